/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies on HTTP/2. A stream's window is always room in pages that it holds: a read takes a page from the budget (it
 * may have to wait for one) and then gives the client as much window; further pages are taken ahead while there are
 * plenty, so that the client can send while the handler works. A page is handed over when it is full or the body has
 * ended. Waiting for a page is our fault and is not timed, waiting for the client has a stall limit and a minimum rate.
 * Loop thread only.
 */
#include "http2.h"

#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

#define EARLY_BYTES_MAX 65535u

static struct http2_stream *of_timer(struct timer *timer)
{
    return (struct http2_stream *)(void *)((char *)timer - offsetof(struct http2_stream, body.timer));
}

static struct loop *loop_of(const struct http2_stream *s)
{
    return s->connection->server->loop;
}

/* ---- pages ---- */

static size_t room_of(const struct page *page)
{
    return PAGE_BYTES - page->len;
}

static size_t append(struct http2_body *b, const char *ptr, size_t len)
{
    size_t used = 0;
    for (struct page *page = b->pages; page != NULL && used < len; page = page->next) {
        size_t n = len - used < room_of(page) ? len - used : room_of(page);
        memcpy(page->ptr + page->len, ptr + used, n);
        page->len += n;
        used += n;
    }
    return used;
}

static void add_page(struct http2_body *b, struct page *page)
{
    struct page **at = &b->pages;
    while (*at != NULL)
        at = &(*at)->next;
    *at = page;
}

/* What came early moves into pages as they come. */
static void take_early(struct http2_stream *s)
{
    struct http2_body *b = &s->body;
    size_t used = append(b, b->early, b->early_len);
    if (used == 0)
        return;
    (void)nghttp2_session_consume_connection(s->connection->session, used);
    b->early_len -= used;
    memmove(b->early, b->early + used, b->early_len);
    if (b->early_len == 0)
        free(TAKE(b->early));
}

/* What the client may still send of this body. */
static uint64_t expected_bytes(const struct http2_stream *s)
{
    if (s->body.has_ended)
        return 0;
    if (s->req->content_length == UINT64_MAX)
        return UINT64_MAX;
    return s->req->content_length > s->body.received_bytes ? s->req->content_length - s->body.received_bytes : 0;
}

static size_t room_in_pages(const struct http2_body *b)
{
    size_t room = 0;
    for (const struct page *page = b->pages; page != NULL; page = page->next)
        room += room_of(page);
    return room;
}

void http_int_http2_body_open_window(struct http2_stream *s)
{
    nghttp2_session *session = s->connection->session;
    int32_t room = (int32_t)room_in_pages(&s->body);
    /* Below zero when our settings, of no window, came after the client had used its first one. */
    int32_t window = nghttp2_session_get_stream_effective_local_window_size(session, s->id) -
                     nghttp2_session_get_stream_effective_recv_data_length(session, s->id);
    if (s->body.has_ended || room <= window || room == 0)
        return;
    (void)nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, s->id, room - window);
    http_int_http2_flush_soon(s->connection);
}

/* Takes pages ahead, if that takes them from nobody. */
static void take_ahead(struct http2_stream *s)
{
    struct http2_body *b = &s->body;
    unsigned count = 0;
    for (const struct page *page = b->pages; page != NULL; page = page->next)
        count++;
    struct page *page = NULL;
    while (count < PAGES_AHEAD_MAX && expected_bytes(s) > room_in_pages(b) && page_try(loop_of(s), &page)) {
        add_page(b, page);
        count++;
    }
    take_early(s);
    http_int_http2_body_open_window(s);
}

/* ---- reading ---- */

static bool is_ready(const struct http2_body *b)
{
    if (b->has_ended && b->early_len == 0)
        return true;
    return b->pages != NULL && room_of(b->pages) == 0;
}

/* The next page, NULL at the end. */
static struct page *hand_over(struct http2_stream *s)
{
    struct http2_body *b = &s->body;
    struct page *page = b->pages;
    if (page == NULL)
        return NULL;
    b->pages = page->next;
    page->next = NULL;
    if (page->len == 0) { /* only at the end */
        page_release(page);
        return NULL;
    }
    s->req->body_bytes += page->len;
    http_int_server_count(s->connection->server, METRIC_REQUEST_BYTES, page->len);
    return page;
}

static void end_read(struct http2_stream *s, enum result r)
{
    struct http2_body *b = &s->body;
    struct done done = b->done;
    b->is_read = false;
    timer_stop(&b->timer);
    if (b->waits_for_page) /* the body has ended without another byte */
        page_acquire_cancel(loop_of(s), &b->acquired);
    b->waits_for_page = false;
    if (r == OK) {
        *b->ret_page = hand_over(s);
        take_ahead(s);
    } else {
        b->failure = r;
        s->req->body_failure = r;
    }
    done_call(done, r);
}

static void on_body_timeout(struct timer *timer);

static void arm_timer(struct http2_stream *s)
{
    s->body.bytes_before = s->body.received_bytes;
    timer_start(loop_of(s), &s->body.timer, s->connection->server->settings.body_timeout_ms, on_body_timeout);
}

static void on_body_timeout(struct timer *timer)
{
    struct http2_stream *s = of_timer(timer);
    const struct http_settings *settings = &s->connection->server->settings;
    uint64_t bytes = s->body.received_bytes - s->body.bytes_before;
    if (bytes == 0 || bytes * 1000 / settings->body_timeout_ms < settings->body_min_rate_bytes)
        end_read(s, UNAVAILABLE);
    else
        arm_timer(s);
}

static void on_page(void *data, enum result r)
{
    struct http2_stream *s = data;
    struct http2_body *b = &s->body;
    (void)r; /* never fails */
    b->waits_for_page = false;
    add_page(b, TAKE(b->acquired));
    take_ahead(s);
    if (is_ready(b))
        end_read(s, OK);
    else
        arm_timer(s);
}

static void send_continue(struct http2_stream *s)
{
    static const char name[] = ":status";
    static const char value[] = "100";
    nghttp2_nv field = {(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, sizeof(name) - 1, sizeof(value) - 1,
                        NGHTTP2_NV_FLAG_NONE};
    s->expects_continue = false;
    if (s->body.received_bytes > 0 || s->body.has_ended)
        return;
    (void)nghttp2_submit_headers(s->connection->session, NGHTTP2_FLAG_NONE, s->id, NULL, &field, 1, NULL);
    http_int_http2_flush_soon(s->connection);
}

enum result http_int_http2_body_read(struct http_request *req, struct page **ret_page, struct done done)
{
    struct http2_stream *s = req->stream;
    if (s == NULL || s->is_closed)
        return CANCELLED;
    struct http2_body *b = &s->body;
    if (b->failure != OK)
        return b->failure;
    if (s->expects_continue)
        send_continue(s);
    if (!is_ready(b) && b->pages == NULL) {
        enum result r =
            page_acquire(loop_of(s), &b->acquired, (struct done){.fn = on_page, .data = s, .loop = loop_of(s)});
        b->waits_for_page = r == PENDING;
        if (r == OK)
            add_page(b, TAKE(b->acquired));
        take_early(s);
    }
    if (is_ready(b)) {
        *ret_page = hand_over(s);
        take_ahead(s);
        return OK;
    }
    b->is_read = true;
    b->ret_page = ret_page;
    b->done = done;
    if (!b->waits_for_page) {
        take_ahead(s);
        arm_timer(s);
    }
    return PENDING;
}

bool http_int_http2_body_cancel(struct http2_stream *s, struct done *ret_done)
{
    struct http2_body *b = &s->body;
    bool is_read = b->is_read;
    timer_stop(&b->timer);
    if (b->waits_for_page)
        page_acquire_cancel(b->done.loop, &b->acquired);
    b->waits_for_page = false;
    b->is_read = false;
    b->is_discarded = true;
    while (b->pages != NULL) {
        struct page *page = b->pages;
        b->pages = page->next;
        page_release(page);
    }
    if (b->early_len > 0 && s->connection != NULL && !s->connection->is_closed)
        (void)nghttp2_session_consume_connection(s->connection->session, b->early_len);
    b->early_len = 0;
    free(TAKE(b->early));
    *ret_done = b->done;
    return is_read;
}

/* ---- what comes ---- */

void http_int_http2_body_take(struct http2_stream *s, const char *ptr, size_t len)
{
    struct http2_body *b = &s->body;
    nghttp2_session *session = s->connection->session;
    b->received_bytes += len;
    if (b->is_discarded || b->failure != OK) {
        (void)nghttp2_session_consume_connection(session, len);
        return;
    }
    size_t used = b->early_len > 0 ? 0 : append(b, ptr, len);
    (void)nghttp2_session_consume_connection(session, used);
    if (used < len && b->early_len + len - used > EARLY_BYTES_MAX) {
        http_int_http2_stream_reset(s, NGHTTP2_FLOW_CONTROL_ERROR);
        return;
    }
    if (used < len) {
        b->early = xrealloc(b->early, b->early_len + len - used);
        memcpy(b->early + b->early_len, ptr + used, len - used);
        b->early_len += len - used;
    }
    if (b->is_read && is_ready(b))
        end_read(s, OK);
}

void http_int_http2_body_end(struct http2_stream *s)
{
    s->body.has_ended = true;
    if (s->body.is_read && is_ready(&s->body))
        end_read(s, OK);
}
