/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers that decide where a request ends and whether another follows, and the request target. Whatever two
 * servers could read in two ways is refused (RFC 9112, sections 3.2, 6.1 and 6.3): that is how requests are smuggled.
 */
#include "http1.h"

#include <string.h>

static const struct http1_error bad_length = {400, "UNSUPPORTED",
                                              "Content-Length must be one header with one decimal number", NULL};
static const struct http1_error bad_coding = {
    400, "UNSUPPORTED", "Transfer-Encoding must be exactly \"chunked\", once, and only on HTTP/1.1", NULL};
static const struct http1_error both_framings = {400, "UNSUPPORTED",
                                                 "send either Content-Length or Transfer-Encoding, not both", NULL};
static const struct http1_error bad_host = {400, "UNSUPPORTED", "send exactly one valid Host header", NULL};
static const struct http1_error bad_expectation = {417, "UNSUPPORTED",
                                                   "the only Expect header understood is \"100-continue\"", NULL};
static const struct http1_error bad_target = {
    400, "UNSUPPORTED", "the request target must be a path or an http URL without a user name", NULL};
static const struct http1_error long_target = {414, "UNSUPPORTED", "the request target is too long: shorten the URL",
                                               NULL};
static const struct http1_error no_tunnels = {405, "UNSUPPORTED", "CONNECT is not offered: this is not a proxy",
                                              "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"};

/* ---- headers ---- */

static const struct http1_error *note_length(struct http1_facts *facts, struct slice value)
{
    facts->length_count++;
    if (facts->length_count > 1 || slice_parse_u64(value, &facts->length) != OK || facts->length > INT64_MAX)
        return &bad_length;
    return NULL;
}

static const struct http1_error *note_coding(struct http1_facts *facts, struct slice value)
{
    facts->coding_count++;
    return facts->coding_count > 1 || !slice_equal_nocase(value, SLICE("chunked")) ? &bad_coding : NULL;
}

static void note_connection(struct http1_facts *facts, struct slice value)
{
    while (value.len > 0) {
        struct slice token = value;
        struct slice rest = SLICE_EMPTY;
        (void)slice_split(value, ',', &token, &rest);
        token = slice_trim(token);
        if (slice_equal_nocase(token, SLICE("close")))
            facts->close = true;
        else if (slice_equal_nocase(token, SLICE("keep-alive")))
            facts->keep_alive = true;
        value = rest;
    }
}

const struct http1_error *http_int_http1_note_header(struct http1_facts *facts, struct slice name, struct slice value)
{
    switch (name.len) {
    case 4:
        if (slice_equal(name, SLICE("host"))) {
            facts->host_count++;
            facts->host = value;
        }
        return NULL;
    case 6:
        if (!slice_equal(name, SLICE("expect")))
            return NULL;
        facts->expects_continue = slice_equal_nocase(value, SLICE("100-continue"));
        return facts->expects_continue ? NULL : &bad_expectation;
    case 10:
        if (slice_equal(name, SLICE("connection")))
            note_connection(facts, value);
        return NULL;
    case 14:
        return slice_equal(name, SLICE("content-length")) ? note_length(facts, value) : NULL;
    case 17:
        return slice_equal(name, SLICE("transfer-encoding")) ? note_coding(facts, value) : NULL;
    default:
        return NULL;
    }
}

bool http_int_http1_is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char ch = (unsigned char)host.ptr[i];
        bool is_alphanumeric = (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
        if (!is_alphanumeric && (ch == '\0' || strchr("-._~%!$&'()*+,;=:[]", ch) == NULL))
            return false;
    }
    return true;
}

const struct http1_error *http_int_http1_check_facts(const struct http1_facts *facts, bool is_http10)
{
    if (facts->coding_count > 0 && facts->length_count > 0)
        return &both_framings;
    if (facts->coding_count > 0 && is_http10)
        return &bad_coding;
    if (facts->host_count > 1 || (facts->host_count == 0 && !is_http10) || !http_int_http1_is_host(facts->host))
        return &bad_host;
    return NULL;
}

/* ---- target ---- */

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

static const struct http1_error *split_absolute(struct slice *target, struct slice *ret_host)
{
    size_t scheme = has_prefix_nocase(*target, SLICE("http://"))    ? 7
                    : has_prefix_nocase(*target, SLICE("https://")) ? 8
                                                                    : 0;
    if (scheme == 0)
        return &bad_target;
    *target = slice_from(*target, scheme);
    *ret_host = slice_of(target->ptr, authority_length(*target));
    *target = slice_from(*target, ret_host->len);
    return ret_host->len == 0 || !http_int_http1_is_host(*ret_host) ? &bad_target : NULL;
}

const struct http1_error *http_int_http1_split_target(struct slice method, struct slice target, struct slice *ret_path,
                                                      struct slice *ret_query, struct slice *ret_host)
{
    if (target.len > HTTP1_URI_BYTES_MAX)
        return &long_target;
    if (slice_equal(method, SLICE("CONNECT")))
        return &no_tunnels;
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] > 0x7e || target.ptr[i] == '#')
            return &bad_target;
    if (target.len == 0)
        return &bad_target;
    if (target.ptr[0] != '/' && !(slice_equal(target, SLICE("*")) && slice_equal(method, SLICE("OPTIONS")))) {
        const struct http1_error *error = split_absolute(&target, ret_host);
        if (error != NULL)
            return error;
    }
    *ret_path = target;
    (void)slice_split(target, '?', ret_path, ret_query);
    if (ret_path->len == 0)
        *ret_path = SLICE("/");
    return NULL;
}
