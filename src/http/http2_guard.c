/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that cost us more than they cost the client, counted for each connection over ten seconds: resets by the
 * client (CVE-2023-44487), resets it provokes from us (CVE-2025-8671), PING, SETTINGS, PRIORITY and unknown frames,
 * DATA without a byte, WINDOW_UPDATE. Over the limit the connection ends with
 * ENHANCE_YOUR_CALM. Loop thread only.
 */
#include "http2.h"

#include <string.h>

#define WINDOW_MS 10000u
#define RESETS_MAX 100u
#define CONTROL_MAX 500u
#define CONTINUATIONS_MAX 64u
/* A client that downloads answers what we send with updates, at most some for each frame of it. */
#define UPDATES_MAX 1000u
#define BYTES_FOR_AN_UPDATE 2048u

static void renew(struct http2_connection *c)
{
    uint64_t now_ms = loop_now_ms(c->server->loop);
    if (now_ms - c->guard.since_ms >= WINDOW_MS)
        c->guard = (struct http2_guard){.since_ms = now_ms};
}

static bool is_welcome(struct http2_guard *guard, const uint8_t head[9])
{
    bool is_empty = head[0] == 0 && head[1] == 0 && head[2] == 0;
    switch (head[3]) {
    case NGHTTP2_RST_STREAM:
        return ++guard->resets <= RESETS_MAX;
    case NGHTTP2_HEADERS:
    case NGHTTP2_GOAWAY:
        return true;
    case NGHTTP2_DATA:
        return !is_empty || (head[4] & NGHTTP2_FLAG_END_STREAM) != 0 || ++guard->control <= CONTROL_MAX;
    case NGHTTP2_CONTINUATION:
        return ++guard->continuations <= CONTINUATIONS_MAX;
    case NGHTTP2_WINDOW_UPDATE:
        return ++guard->updates <= UPDATES_MAX + guard->sent_bytes / BYTES_FOR_AN_UPDATE;
    default:
        return ++guard->control <= CONTROL_MAX;
    }
}

bool http_int_http2_guard_input(struct http2_connection *c, struct slice bytes)
{
    struct http2_scan *scan = &c->scan;
    renew(c);
    while (bytes.len > 0) {
        if (scan->skip > 0) {
            size_t n = scan->skip < bytes.len ? (size_t)scan->skip : bytes.len;
            scan->skip -= n;
            bytes = slice_from(bytes, n);
            continue;
        }
        size_t n = sizeof(scan->head) - scan->head_len;
        n = n < bytes.len ? n : bytes.len;
        memcpy(scan->head + scan->head_len, bytes.ptr, n);
        scan->head_len += n;
        bytes = slice_from(bytes, n);
        if (scan->head_len < sizeof(scan->head))
            return true;
        scan->head_len = 0;
        scan->skip = (uint64_t)scan->head[0] << 16 | (uint64_t)scan->head[1] << 8 | scan->head[2];
        if (!is_welcome(&c->guard, scan->head))
            return false;
    }
    return true;
}

bool http_int_http2_guard_reset(struct http2_connection *c)
{
    renew(c);
    return ++c->guard.provoked <= RESETS_MAX;
}
