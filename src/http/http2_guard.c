/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that cost us more than they cost the client, counted for each connection over ten seconds: resets by the
 * client (CVE-2023-44487), resets it provokes from us (CVE-2025-8671), PING, SETTINGS, PRIORITY and unknown frames,
 * DATA without a byte, WINDOW_UPDATE. CONTINUATION is bounded by the library. Over the limit the connection ends with
 * ENHANCE_YOUR_CALM. Loop thread only.
 */
#include "http2.h"

#define WINDOW_MS 10000u
#define RESETS_MAX 100u
#define CONTROL_MAX 500u
/* A client that downloads answers what we send with updates, at most some for each frame of it. */
#define UPDATES_MAX 1000u
#define BYTES_FOR_AN_UPDATE 2048u

static void renew(struct http2_connection *c)
{
    uint64_t now_ms = loop_now_ms(c->server->loop);
    if (now_ms - c->guard.since_ms >= WINDOW_MS)
        c->guard = (struct http2_guard){.since_ms = now_ms};
}

bool http_int_http2_guard_frame(struct http2_connection *c, const nghttp2_frame_hd *hd)
{
    struct http2_guard *guard = &c->guard;
    renew(c);
    switch (hd->type) {
    case NGHTTP2_RST_STREAM:
        return ++guard->resets <= RESETS_MAX;
    case NGHTTP2_HEADERS:
    case NGHTTP2_GOAWAY:
        return true;
    case NGHTTP2_DATA:
        return hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0 || ++guard->control <= CONTROL_MAX;
    case NGHTTP2_WINDOW_UPDATE:
        return ++guard->updates <= UPDATES_MAX + guard->sent_bytes / BYTES_FOR_AN_UPDATE;
    default:
        return ++guard->control <= CONTROL_MAX;
    }
}

bool http_int_http2_guard_reset(struct http2_connection *c)
{
    renew(c);
    return ++c->guard.provoked <= RESETS_MAX;
}
