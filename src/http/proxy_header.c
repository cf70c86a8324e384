/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY protocol's header (version 1 and 2, haproxy's proxy-protocol.txt): who the client of a balancer is. Pure.
 */
#include <netinet/in.h>
#include <string.h>

#include "http_int.h"
#include "minato/network.h"

#define V1_BYTES_MAX 107u
#define V2_HEAD_BYTES 16u
#define V2_COMMAND_LOCAL 0x20
#define V2_COMMAND_PROXY 0x21
#define V2_TCP4 0x11
#define V2_TCP6 0x21
#define V2_TCP4_BYTES 12u
#define V2_TCP6_BYTES 36u

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static bool is_prefix_of(struct slice buf, const char *text, size_t len)
{
    size_t n = buf.len < len ? buf.len : len;
    return memcmp(buf.ptr, text, n) == 0;
}

/* ---- version 2: binary ---- */

static void take_v4(const uint8_t *at, struct http_address *ret_peer)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)&ret_peer->addr;
    in->sin_family = AF_INET;
    memcpy(&in->sin_addr, at, 4);
    memcpy(&in->sin_port, at + 8, 2);
    ret_peer->len = sizeof(*in);
}

static void take_v6(const uint8_t *at, struct http_address *ret_peer)
{
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)(void *)&ret_peer->addr;
    in->sin6_family = AF_INET6;
    memcpy(&in->sin6_addr, at, 16);
    memcpy(&in->sin6_port, at + 32, 2);
    ret_peer->len = sizeof(*in);
}

static enum result parse_v2(struct slice buf, size_t *ret_used, struct http_address *ret_peer)
{
    const uint8_t *bytes = (const uint8_t *)buf.ptr;
    if (buf.len < V2_HEAD_BYTES)
        return PENDING;
    size_t len = (size_t)bytes[14] << 8 | bytes[15];
    if (len > HTTP_PROXY_HEADER_BYTES_MAX - V2_HEAD_BYTES ||
        (bytes[12] != V2_COMMAND_LOCAL && bytes[12] != V2_COMMAND_PROXY))
        return INVALID;
    if (buf.len < V2_HEAD_BYTES + len)
        return PENDING;
    bool is_proxied = bytes[12] == V2_COMMAND_PROXY;
    if ((is_proxied && bytes[13] == V2_TCP4 && len < V2_TCP4_BYTES) ||
        (is_proxied && bytes[13] == V2_TCP6 && len < V2_TCP6_BYTES))
        return INVALID;
    if (is_proxied && bytes[13] == V2_TCP4)
        take_v4(bytes + V2_HEAD_BYTES, ret_peer);
    else if (is_proxied && bytes[13] == V2_TCP6)
        take_v6(bytes + V2_HEAD_BYTES, ret_peer);
    *ret_used = V2_HEAD_BYTES + len;
    return OK;
}

/* ---- version 1: a line ---- */

static bool take_word(struct slice *line, struct slice *ret_word)
{
    struct slice rest = SLICE_EMPTY;
    *ret_word = *line;
    (void)slice_split(*line, ' ', ret_word, &rest);
    *line = rest;
    return ret_word->len > 0;
}

static enum result take_line(struct slice line, struct http_address *ret_peer)
{
    struct slice words[6];
    struct ip_address source;
    struct ip_address target;
    uint64_t ports[2];
    static const struct ip_address zero = {{0}};
    for (size_t i = 0; i < 6; i++) {
        if (!take_word(&line, &words[i]))
            return i >= 2 && slice_equal(words[1], SLICE("UNKNOWN")) ? OK : INVALID;
        if (i == 1 && slice_equal(words[1], SLICE("UNKNOWN")))
            return OK; /* the rest of the line says nothing */
    }
    bool is_v4 = slice_equal(words[1], SLICE("TCP4"));
    if (line.len > 0 || (!is_v4 && !slice_equal(words[1], SLICE("TCP6"))) ||
        ip_address_parse(words[2], &source) != OK || ip_address_parse(words[3], &target) != OK ||
        slice_parse_u64(words[4], &ports[0]) != OK || slice_parse_u64(words[5], &ports[1]) != OK || ports[0] > 65535 ||
        ports[1] > 65535 || (memchr(words[2].ptr, ':', words[2].len) == NULL) != is_v4)
        return INVALID;
    uint8_t bytes[V2_TCP6_BYTES];
    memcpy(bytes, zero.bytes, sizeof(zero.bytes));
    if (is_v4) {
        memcpy(bytes, source.bytes + 12, 4);
        bytes[8] = (uint8_t)(ports[0] >> 8);
        bytes[9] = (uint8_t)ports[0];
        take_v4(bytes, ret_peer);
    } else {
        memcpy(bytes, source.bytes, 16);
        bytes[32] = (uint8_t)(ports[0] >> 8);
        bytes[33] = (uint8_t)ports[0];
        take_v6(bytes, ret_peer);
    }
    return OK;
}

static enum result parse_v1(struct slice buf, size_t *ret_used, struct http_address *ret_peer)
{
    const char *lf = memchr(buf.ptr, '\n', buf.len < V1_BYTES_MAX ? buf.len : V1_BYTES_MAX);
    if (lf == NULL)
        return buf.len < V1_BYTES_MAX ? PENDING : INVALID;
    struct slice line = slice_of(buf.ptr, (size_t)(lf - buf.ptr));
    if (!slice_has_suffix(line, SLICE("\r")))
        return INVALID;
    line.len--;
    *ret_used = line.len + 2;
    return take_line(line, ret_peer);
}

enum result http_int_proxy_header_parse(struct slice buf, size_t *ret_used, struct http_address *ret_peer)
{
    memset(ret_peer, 0, sizeof(*ret_peer));
    if (buf.len == 0)
        return PENDING;
    if (is_prefix_of(buf, v2_signature, sizeof(v2_signature)))
        return parse_v2(buf, ret_used, ret_peer);
    return is_prefix_of(buf, "PROXY ", 6) ? parse_v1(buf, ret_used, ret_peer) : INVALID;
}
