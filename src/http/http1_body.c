/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a request: from the socket straight into a page, when the handler asks and not before. A page is taken
 * only once bytes are there, so that slow clients hold none; waiting for a page is our fault and is not timed, waiting
 * for bytes is the client's and has a stall limit and a minimum rate. Loop thread only.
 */
#include "http1.h"

#include <assert.h>
#include <string.h>

#include "minato/own.h"

#define READ_BYTES_MIN 4096u
/* A handler that never waits gets this many pages, then the other connections of the loop have their turn. */
#define PAGES_AT_ONCE_MAX 4

static void finish_read(struct http1_connection *c, enum result r);

void http_int_http1_body_init(struct http1_connection *c, const struct http1_head *head)
{
    c->body = (struct http1_body){
        .framing = head->framing,
        .is_complete = head->framing == FRAMING_NONE,
        .awaits_continue = head->expects_continue && c->in.len == 0,
        .left = head->req->content_length,
    };
}

/* ---- bytes ---- */

/* Decodes `len` bytes at `src`, which may be where the page ends, to the end of the page. */
static enum result append(struct http1_body *b, const char *src, size_t len, size_t *ret_used)
{
    struct page *page = b->page;
    char *dst = page->ptr + page->len;
    if (b->framing == FRAMING_LENGTH) {
        if (src != dst)
            memcpy(dst, src, len);
        page->len += len;
        b->left -= len;
        b->is_complete = b->left == 0;
        *ret_used = len;
        return OK;
    }
    size_t decoded = 0;
    enum result r = http_int_http1_decode_chunks(&b->chunks, dst, src, len, ret_used, &decoded);
    page->len += decoded;
    b->is_complete = r == NOT_FOUND;
    return r == NOT_FOUND ? OK : r;
}

static size_t room(const struct http1_body *b)
{
    size_t space = PAGE_BYTES - b->page->len;
    return b->framing == FRAMING_LENGTH && b->left < space ? (size_t)b->left : space;
}

static enum result take_buffered(struct http1_connection *c)
{
    struct http1_body *b = &c->body;
    size_t n = c->in.len < room(b) ? c->in.len : room(b);
    size_t used = 0;
    if (n == 0)
        return OK;
    enum result r = append(b, c->in.ptr + c->in.start, n, &used);
    b->window_bytes += used;
    http_int_http1_input_consume(c, used);
    return r;
}

/* The last bytes of a page are not worth a read of their own, except as the last of the body. */
static bool has_worthwhile_room(const struct http1_body *b)
{
    return room(b) >= READ_BYTES_MIN || b->page->len == 0 || (b->framing == FRAMING_LENGTH && room(b) == b->left);
}

/* OK: the page has bytes, or the body is complete. PENDING: nothing there. Reads on until the socket runs dry. */
static enum result fill(struct http1_connection *c)
{
    struct http1_body *b = &c->body;
    enum result r = take_buffered(c);
    while (r == OK && !b->is_complete && has_worthwhile_room(b)) {
        char *at = b->page->ptr + b->page->len;
        size_t want = room(b);
        size_t got = 0;
        size_t used = 0;
        r = http_int_transport_read(&c->io, at, want, &got);
        if (r != OK)
            break;
        b->window_bytes += got;
        r = append(b, at, got, &used);
        if (r == OK && used < got) /* the chunked body has ended before the next request's bytes */
            http_int_http1_input_set(c, at + used, got - used);
        if (got < want && b->page->len > 0)
            break;
    }
    if (r == INVALID)
        return INVALID;
    return b->page->len > 0 || b->is_complete ? OK : r;
}

/* ---- one read ---- */

static void on_body_timeout(struct timer *timer)
{
    struct http1_connection *c =
        (struct http1_connection *)(void *)((char *)timer - offsetof(struct http1_connection, timer));
    finish_read(c, UNAVAILABLE);
}

static void on_page(void *data, enum result r);

static void wait_for_bytes(struct http1_connection *c)
{
    c->body.wait = BODY_WAITS_FOR_BYTES;
    c->body.wait_began_ms = loop_now_ms(c->server->loop);
    timer_start(c->server->loop, &c->timer, c->server->settings.body_timeout_ms, on_body_timeout);
    http_int_transport_want_read(&c->io);
}

/* Goes on until there is a piece to hand over (OK; b->page is NULL at the end), a failure, or a wait. */
static enum result advance(struct http1_connection *c)
{
    struct http1_body *b = &c->body;
    if (b->page == NULL) {
        enum result r =
            page_acquire(c->server->loop, &b->page, (struct done){.fn = on_page, .data = c, .loop = c->server->loop});
        if (r == PENDING) {
            b->wait = BODY_WAITS_FOR_PAGE;
            http_int_transport_watch_gone(&c->io);
        }
        if (r != OK)
            return r;
    }
    enum result r = fill(c);
    if (r == OK && b->page->len > 0)
        return OK;
    page_release(TAKE(b->page));
    if (r == PENDING)
        wait_for_bytes(c);
    return r;
}

/* Too little came over the last stretch of waiting. */
static bool is_too_slow(struct http1_connection *c)
{
    const struct http_settings *settings = &c->server->settings;
    struct http1_body *b = &c->body;
    if (b->is_complete || settings->body_min_rate_bytes == 0 || b->window_ms < settings->body_timeout_ms ||
        b->window_ms == 0)
        return false;
    bool is_slow = b->window_bytes * 1000 / b->window_ms < settings->body_min_rate_bytes;
    b->window_ms = 0;
    b->window_bytes = 0;
    return is_slow;
}

/* What a read that has got its result does to body and request. */
static enum result conclude(struct http1_connection *c, enum result r, struct page **ret_page)
{
    struct http1_body *b = &c->body;
    b->wait = BODY_NOT_WAITING;
    if (r == OK && is_too_slow(c))
        r = UNAVAILABLE;
    if (r == OK) {
        *ret_page = TAKE(b->page);
        if (*ret_page != NULL) {
            c->req->body_bytes += (*ret_page)->len;
            http_int_server_count(c->server, METRIC_REQUEST_BYTES, (*ret_page)->len);
        }
        return OK;
    }
    page_release(TAKE(b->page));
    b->failure = r;
    c->req->body_failure = r;
    return r;
}

/* The end of a PENDING read. */
static void finish_read(struct http1_connection *c, enum result r)
{
    struct http1_body *b = &c->body;
    timer_stop(&c->timer);
    if (r == CANCELLED) {
        http_int_http1_abort(c); /* reports the read as well */
        return;
    }
    struct done done = b->done;
    r = conclude(c, r, b->ret_page);
    done_call(done, r);
}

static void on_page(void *data, enum result r)
{
    struct http1_connection *c = data;
    http_int_http1_hold(c);
    c->body.wait = BODY_WAITS_FOR_BYTES;
    if (r == OK)
        r = c->is_broken ? CANCELLED : advance(c);
    if (r != PENDING)
        finish_read(c, r);
    http_int_http1_release(c);
}

void http_int_http1_body_on_readable(struct http1_connection *c)
{
    struct http1_body *b = &c->body;
    uint64_t now = loop_now_ms(c->server->loop);
    b->window_ms += now > b->wait_began_ms ? now - b->wait_began_ms : 0;
    timer_stop(&c->timer);
    enum result r = c->is_broken ? CANCELLED : advance(c);
    if (r == PENDING && is_too_slow(c))
        r = UNAVAILABLE;
    if (r != PENDING)
        finish_read(c, r);
}

void http_int_http1_body_on_continue_sent(struct http1_connection *c)
{
    c->body.wait = BODY_WAITS_FOR_BYTES;
    enum result r = advance(c);
    if (r != PENDING)
        finish_read(c, r);
}

/* The client waits for leave to send. Once bytes have come it is no longer waiting. */
static enum result send_continue(struct http1_connection *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    c->body.awaits_continue = false;
    if (c->in.len > 0 || c->req->reply.state != REPLY_NONE || http_int_transport_has_bytes(&c->io))
        return OK;
    struct iovec iov = {.iov_base = (char *)(uintptr_t)text, .iov_len = sizeof(text) - 1};
    enum result r = http_int_transport_write(&c->io, &iov, 1);
    if (r == PENDING) {
        c->continue_is_unsent = true;
        c->body.wait = BODY_WAITS_FOR_CONTINUE;
    }
    return r;
}

enum result http_int_http1_body_read(struct http_request *req, struct page **ret_page, struct done done)
{
    struct http1_connection *c = req->stream;
    if (c == NULL || c->is_broken)
        return CANCELLED;
    struct http1_body *b = &c->body;
    assert(b->wait == BODY_NOT_WAITING);
    if (b->failure != OK)
        return b->failure;
    if (b->is_complete) {
        *ret_page = NULL;
        return OK;
    }
    enum result r = b->awaits_continue ? send_continue(c) : OK;
    if (r == OK && b->pages_at_once == PAGES_AT_ONCE_MAX && c->in.len == 0) {
        wait_for_bytes(c);
        r = PENDING;
    } else if (r == OK) {
        b->pages_at_once++;
        r = advance(c);
    }
    if (r == PENDING) {
        b->pages_at_once = 0;
        b->ret_page = ret_page;
        b->done = done;
        return PENDING;
    }
    if (r == CANCELLED) {
        req->is_gone = true;
        http_int_http1_abort_soon(c);
    }
    return conclude(c, r, ret_page);
}

/* ---- without the handler ---- */

bool http_int_http1_body_cancel(struct http1_connection *c, struct done *ret_done)
{
    struct http1_body *b = &c->body;
    if (b->wait == BODY_NOT_WAITING)
        return false;
    if (b->wait == BODY_WAITS_FOR_PAGE)
        page_acquire_cancel(c->server->loop, &b->page);
    page_release(TAKE(b->page));
    b->wait = BODY_NOT_WAITING;
    *ret_done = b->done;
    return true;
}

bool http_int_http1_body_is_drainable(const struct http1_connection *c)
{
    const struct http1_body *b = &c->body;
    if (b->is_complete)
        return true;
    return b->framing == FRAMING_LENGTH && b->left <= HTTP1_DRAIN_BYTES_MAX && !b->awaits_continue && b->failure == OK;
}

enum result http_int_http1_body_drain(struct http1_connection *c)
{
    struct http1_body *b = &c->body;
    if (b->is_complete)
        return OK;
    size_t n = c->in.len < b->left ? c->in.len : (size_t)b->left;
    http_int_http1_input_consume(c, n);
    b->left -= n;
    while (b->left > 0) {
        size_t want = b->left < HTTP_HEAD_READ_BYTES ? (size_t)b->left : HTTP_HEAD_READ_BYTES;
        enum result r = http_int_transport_read(&c->io, c->server->scratch, want, &n);
        if (r != OK)
            return r;
        b->left -= n;
    }
    b->is_complete = true;
    return OK;
}
