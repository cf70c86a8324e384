/* SPDX-License-Identifier: Apache-2.0
 *
 * The request target and the host, whatever protocol brought them: RFC 9112, section 3.2, and RFC 9113, section 8.3.1.
 */
#include <string.h>

#include "http_int.h"

static const struct http_error bad_target = {
    400, "UNSUPPORTED", "the request target must be a path or an http URL without a user name", NULL};
static const struct http_error long_target = {414, "UNSUPPORTED", "the request target is too long: shorten the URL",
                                              NULL};
static const struct http_error no_tunnels = {405, "UNSUPPORTED", "CONNECT is not offered: this is not a proxy",
                                             "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"};

bool http_int_is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char ch = (unsigned char)host.ptr[i];
        bool is_alphanumeric = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
        if (!is_alphanumeric && (ch == '\0' || strchr("-._~%!$&'()*+,;=:[]", ch) == NULL))
            return false;
    }
    return true;
}

static bool has_prefix_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal_nocase(slice_of(s.ptr, prefix.len), prefix);
}

static size_t authority_length(struct slice s)
{
    size_t n = 0;
    while (n < s.len && s.ptr[n] != '/' && s.ptr[n] != '?')
        n++;
    return n;
}

static const struct http_error *split_absolute(struct slice *target, struct slice *ret_host)
{
    size_t scheme = has_prefix_nocase(*target, SLICE("http://"))    ? 7
                    : has_prefix_nocase(*target, SLICE("https://")) ? 8
                                                                    : 0;
    if (scheme == 0)
        return &bad_target;
    *target = slice_from(*target, scheme);
    *ret_host = slice_of(target->ptr, authority_length(*target));
    *target = slice_from(*target, ret_host->len);
    return ret_host->len == 0 || !http_int_is_host(*ret_host) ? &bad_target : NULL;
}

const struct http_error *http_int_split_target(struct slice method, struct slice target, struct slice *ret_path,
                                               struct slice *ret_query, struct slice *ret_host)
{
    if (target.len > HTTP_TARGET_BYTES_MAX)
        return &long_target;
    if (slice_equal(method, SLICE("CONNECT")))
        return &no_tunnels;
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] > 0x7e || target.ptr[i] == '#')
            return &bad_target;
    if (target.len == 0)
        return &bad_target;
    if (target.ptr[0] != '/' && !(slice_equal(target, SLICE("*")) && slice_equal(method, SLICE("OPTIONS")))) {
        const struct http_error *error = split_absolute(&target, ret_host);
        if (error != NULL)
            return error;
    }
    *ret_path = target;
    (void)slice_split(target, '?', ret_path, ret_query);
    if (ret_path->len == 0)
        *ret_path = SLICE("/");
    return NULL;
}
