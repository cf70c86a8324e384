/* SPDX-License-Identifier: Apache-2.0
 *
 * The URL of a Redis server, of its socket, of the Sentinels that know it, or of a cluster. Pure; any thread.
 */
#include "redis_int.h"

#include <stdlib.h>

static enum result complain(struct strbuf *ret_why, const char *what)
{
    strbuf_append_cstr(ret_why, what);
    return INVALID;
}

/* RFC 3986, 2.1, in place. */
static bool decode_percent(char *base, struct slice *text)
{
    char *out = text->len == 0 ? base : base + (text->ptr - base);
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        uint8_t byte = (uint8_t)text->ptr[i];
        if (byte == '%') {
            if (text->len - i < 3)
                return false;
            char hex[2] = {(char)(text->ptr[i + 1] | 0x20), (char)(text->ptr[i + 2] | 0x20)};
            if (hex_decode(slice_of(hex, sizeof(hex)), &byte, 1) != OK)
                return false;
            i += 2;
        }
        out[n++] = (char)byte;
    }
    text->len = n;
    return true;
}

/* "[user]:password@", or "password@"; what follows stays in `rest`. */
static enum result take_user(struct redis_url *url, struct slice *rest, struct strbuf *ret_why)
{
    const char *at = memrchr(rest->ptr, '@', rest->len);
    if (at == NULL)
        return OK;
    struct slice whole = slice_of(rest->ptr, (size_t)(at - rest->ptr));
    *rest = slice_from(*rest, whole.len + 1);
    if (!slice_split(whole, ':', &url->user, &url->password))
        url->password = whole;
    if (!decode_percent(url->text, &url->user) || !decode_percent(url->text, &url->password))
        return complain(ret_why, "index.redis.url: user or password has a % without two hexadecimal digits behind it");
    return OK;
}

/* "host", "host:port" or "[IPv6]:port". */
static bool parse_address(struct slice text, uint16_t port, struct redis_address *ret_address)
{
    struct slice host = text;
    struct slice digits = SLICE_EMPTY;
    if (text.len > 0 && text.ptr[0] == '[') {
        struct slice behind;
        if (!slice_split(slice_from(text, 1), ']', &host, &behind) || (behind.len > 0 && behind.ptr[0] != ':'))
            return false;
        digits = behind.len > 0 ? slice_from(behind, 1) : SLICE_EMPTY;
    } else {
        (void)slice_split(text, ':', &host, &digits);
    }
    uint64_t number = port;
    if (digits.len > 0 && (slice_parse_u64(digits, &number) != OK || number == 0 || number > UINT16_MAX))
        return false;
    if (host.len == 0 || host.len > REDIS_HOST_MAX || memchr(host.ptr, '\0', host.len) != NULL)
        return false;
    memcpy(ret_address->host, host.ptr, host.len);
    ret_address->host[host.len] = '\0';
    ret_address->port = (uint16_t)number;
    return true;
}

static enum result parse_addresses(struct redis_url *url, struct slice list, uint16_t port, struct strbuf *ret_why)
{
    struct slice one;
    do {
        struct slice rest = SLICE_EMPTY;
        one = list;
        (void)slice_split(list, ',', &one, &rest);
        list = rest;
        if (url->address_count == REDIS_ADDRESSES_MAX)
            return complain(ret_why, "index.redis.url: more than 16 addresses");
        if (!parse_address(one, port, &url->addresses[url->address_count++]))
            return complain(ret_why, "index.redis.url: an address is not host, host:port or [IPv6]:port");
    } while (list.len > 0);
    return OK;
}

static enum result check_database(const struct redis_url *url, struct strbuf *ret_why)
{
    uint64_t number;
    if (url->database.len > 0 && (slice_parse_u64(url->database, &number) != OK || number > UINT16_MAX))
        return complain(ret_why, "index.redis.url: the database is not a number");
    return OK;
}

/* redis://[[user]:password@]host[:port][/database] */
static enum result parse_server(struct redis_url *url, struct slice rest, struct strbuf *ret_why)
{
    (void)slice_split(rest, '/', &rest, &url->database);
    enum result r = take_user(url, &rest, ret_why);
    if (r == OK && memchr(rest.ptr, ',', rest.len) != NULL)
        r = complain(ret_why, "index.redis.url: several addresses are Sentinels' or a cluster's: "
                              "redis+sentinel://host,host/name, redis+cluster://host,host");
    return r == OK ? parse_addresses(url, rest, REDIS_PORT, ret_why) : r;
}

/* redis+sentinel://[[user]:password@]host[:port],.../name[/database] */
static enum result parse_sentinels(struct redis_url *url, struct slice rest, struct strbuf *ret_why)
{
    struct slice list;
    if (!slice_split(rest, '/', &list, &url->name) || url->name.len == 0)
        return complain(ret_why, "index.redis.url: behind the Sentinels' addresses the name of the primary is missing");
    (void)slice_split(url->name, '/', &url->name, &url->database);
    enum result r = take_user(url, &list, ret_why);
    return r == OK ? parse_addresses(url, list, REDIS_SENTINEL_PORT, ret_why) : r;
}

/* redis+cluster://[[user]:password@]host[:port],... */
static enum result parse_cluster(struct redis_url *url, struct slice rest, struct strbuf *ret_why)
{
    url->is_cluster = true;
    (void)slice_split(rest, '/', &rest, &url->database);
    if (url->database.len > 0)
        return complain(ret_why, "index.redis.url: a cluster has one database, which has no number");
    enum result r = take_user(url, &rest, ret_why);
    return r == OK ? parse_addresses(url, rest, REDIS_PORT, ret_why) : r;
}

/* unix://[[user]:password@]path[?database] */
static enum result parse_socket(struct redis_url *url, struct slice rest, struct strbuf *ret_why)
{
    (void)slice_split(rest, '?', &rest, &url->database);
    enum result r = take_user(url, &rest, ret_why);
    url->path = rest;
    if (r == OK && (rest.len == 0 || rest.ptr[0] != '/' || rest.len > 107))
        return complain(ret_why, "index.redis.url: the socket is not an absolute path of at most 107 bytes");
    return r;
}

enum result redis_url_parse(struct slice text, struct strbuf *ret_why, struct redis_url *ret_url)
{
    static const struct {
        struct slice prefix;
        enum result (*parse)(struct redis_url *url, struct slice rest, struct strbuf *ret_why);
    } schemes[] = {
        {{"redis://", 8}, parse_server},
        {{"redis+sentinel://", 17}, parse_sentinels},
        {{"redis+cluster://", 16}, parse_cluster},
        {{"unix://", 7}, parse_socket},
    };
    struct redis_url url = {.text = xmalloc(text.len + 1), .text_len = text.len};
    memcpy(url.text, text.ptr, text.len);
    struct slice whole = slice_of(url.text, text.len);
    enum result r = UNSUPPORTED;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && r == UNSUPPORTED; i++)
        if (slice_has_prefix(whole, schemes[i].prefix))
            r = schemes[i].parse(&url, slice_from(whole, schemes[i].prefix.len), ret_why);
    if (r == UNSUPPORTED)
        r = complain(ret_why,
                     slice_has_prefix(whole, SLICE("rediss://"))
                         ? "index.redis.url: the hiredis that this is built with has no TLS: use redis:// on a "
                           "private network, or a tunnel such as stunnel in front of Redis"
                         : "index.redis.url: expected redis://, redis+sentinel://, redis+cluster:// or unix://");
    if (r == OK)
        r = check_database(&url, ret_why);
    if (r == OK)
        *ret_url = url;
    else
        redis_url_done(&url);
    return r;
}

void redis_url_done(struct redis_url *url)
{
    if (url->text != NULL)
        explicit_bzero(url->text, url->text_len);
    free(url->text);
    url->text = NULL;
}
