/* SPDX-License-Identifier: Apache-2.0
 *
 * A reply on HTTP/1.1: its head, and a body from memory or from a source. Head and body leave in one system call where
 * they can. Here is decided, once, whether the connection can go on after it. Loop thread only.
 */
#include "http1.h"

#include <string.h>

#include "minato/own.h"

/* Date, Content-Length, Connection and the status line, with room to spare. */
#define HEAD_FIXED_BYTES 256
#define REFUSAL_BYTES_MAX 1024

const struct http_carrier http_int_http1_carrier = {
    .body_read = http_int_http1_body_read,
    .reply = http_int_http1_reply,
    .detach = http_int_http1_detach,
    .resume = http_int_http1_resume,
};

/* ---- head ---- */

static char *put(char *at, struct slice s)
{
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* A value never ends its line, whatever it was made of. */
static char *put_value(char *at, struct slice value)
{
    static const char breaks[] = {'\r', '\n', '\0'};
    char *end = put(at, value);
    for (size_t i = 0; i < sizeof(breaks); i++)
        for (char *found = at; (found = memchr(found, breaks[i], (size_t)(end - found))) != NULL; found++)
            *found = ' ';
    return end;
}

static struct slice make_head(struct http1_connection *c, struct http_request *req)
{
    const struct http_reply *reply = &req->reply;
    const char *reason = http_int_reason(reply->status);
    size_t bytes = HEAD_FIXED_BYTES + strlen(reason);
    for (size_t i = 0; i < reply->header_count; i++)
        bytes += reply->headers[i].name.len + reply->headers[i].value.len + 4;
    char *head = arena_alloc(&req->arena, bytes);
    char *at = put(head, SLICE("HTTP/1.1 "));
    at = http_int_put_number(at, (uint64_t)reply->status);
    *at++ = ' ';
    at = put(at, slice_from_cstr(reason));
    at = put(at, SLICE("\r\ndate: "));
    at = put(at, http_int_server_date(c->server));
    if (!c->keep_alive)
        at = put(at, SLICE("\r\nconnection: close"));
    else if (c->is_http10)
        at = put(at, SLICE("\r\nconnection: keep-alive"));
    if (reply->status != 204 && reply->status != 304) {
        at = put(at, SLICE("\r\ncontent-length: "));
        at = http_int_put_number(at, reply->length);
    }
    at = put(at, SLICE("\r\n"));
    for (size_t i = 0; i < reply->header_count; i++) {
        at = put(at, reply->headers[i].name);
        at = put(at, SLICE(": "));
        at = put_value(at, reply->headers[i].value);
        at = put(at, SLICE("\r\n"));
    }
    at = put(at, SLICE("\r\n"));
    return slice_of(head, (size_t)(at - head));
}

/* ---- the end ---- */

/* The reply is over; whoever made it hears `r`. A reply that broke off cannot be followed by another. */
static enum result complete(struct http1_connection *c, struct http_request *req, enum result r)
{
    req->reply.state = REPLY_COMPLETE;
    req->is_gone = req->is_gone || r == CANCELLED;
    if (r != OK)
        http_int_http1_abort_soon(c);
    return r;
}

void http_int_http1_reply_finish(struct http1_connection *c, struct http_request *req, enum result r)
{
    if (r == PENDING)
        return;
    struct done done = req->reply.done;
    r = complete(c, req, r);
    done_call(done, r);
}

void http_int_http1_reply_note_sent(struct http1_connection *c, struct http_request *req)
{
    uint64_t written = c->io.written_bytes;
    uint64_t body = written > c->head.len ? written - c->head.len : 0;
    req->reply.sent += body;
    http_int_server_count(c->server, METRIC_RESPONSE_BYTES, body);
}

/* ---- a body from a source ---- */

static void on_source(void *data, enum result r);

static struct iovec to_iovec(struct slice s)
{
    return (struct iovec){.iov_base = (char *)(uintptr_t)s.ptr, .iov_len = s.len};
}

/* OK: the page has left. */
static enum result write_page(struct http1_connection *c, struct http_request *req, struct page *page)
{
    uint64_t left = req->reply.length - req->reply.sent;
    if (page == NULL)
        return IO; /* the source ended before its length */
    c->page = page;
    if (page->len > left)
        page->len = (size_t)left;
    struct iovec iov[2] = {to_iovec(c->head), to_iovec(slice_of(page->ptr + page->start, page->len))};
    return http_int_transport_write(&c->io, iov, 2);
}

static void page_written(struct http1_connection *c, struct http_request *req)
{
    http_int_http1_reply_note_sent(c, req);
    c->head = SLICE_EMPTY;
    page_release(TAKE(c->page));
}

/* Sends pages until the last has left, the socket is full, or the source has none ready. */
static enum result pump(struct http1_connection *c, struct http_request *req)
{
    enum result r = OK;
    while (r == OK && req->reply.sent < req->reply.length) {
        r = byte_source_read(req->reply.source, &c->source_page,
                             (struct done){.fn = on_source, .data = c, .loop = c->server->loop});
        if (r == PENDING) {
            c->away = req;
            http_int_http1_hold(c);
            return PENDING;
        }
        if (r != OK)
            return r;
        r = write_page(c, req, TAKE(c->source_page));
        if (r == OK)
            page_written(c, req);
    }
    return r;
}

static void on_source(void *data, enum result r)
{
    struct http1_connection *c = data;
    struct http_request *req = TAKE(c->away);
    struct page *page = TAKE(c->source_page);
    if (c->state == HTTP1_CLOSED) {
        page_release(page);
        r = CANCELLED;
    } else if (r == OK) {
        r = write_page(c, req, page);
        if (r == OK) {
            page_written(c, req);
            r = pump(c, req);
        }
    }
    http_int_http1_reply_finish(c, req, r);
    http_int_http1_release(c);
}

enum result http_int_http1_send_stream(struct http1_connection *c, struct http_request *req)
{
    return pump(c, req);
}

/* ---- all of it ---- */

static enum result send_bytes(struct http1_connection *c, struct http_request *req)
{
    struct slice body = req->reply.is_bodiless ? SLICE_EMPTY : req->reply.bytes;
    struct iovec iov[2] = {to_iovec(c->head), to_iovec(body)};
    enum result r = http_int_transport_write(&c->io, iov, body.len > 0 ? 2 : 1);
    if (r == OK)
        http_int_http1_reply_note_sent(c, req);
    return r;
}

static enum result send_reply(struct http1_connection *c, struct http_request *req)
{
    const struct http_reply *reply = &req->reply;
    if (reply->kind == REPLY_BYTES || reply->is_bodiless || reply->length == 0)
        return send_bytes(c, req);
    if (reply->kind == REPLY_FILE)
        return http_int_http1_send_file(c, req);
    return http_int_http1_send_stream(c, req);
}

enum result http_int_http1_reply(struct http_request *req)
{
    struct http1_connection *c = req->stream;
    if (c == NULL || c->is_broken)
        return CANCELLED;
    c->keep_alive = c->keep_alive && !c->server->draining && http_int_http1_body_is_drainable(c);
    c->head = make_head(c, req);
    req->reply.state = REPLY_BEGUN;
    if (c->continue_is_unsent) {
        c->reply_waits = true;
        return PENDING;
    }
    enum result r = send_reply(c, req);
    return r == PENDING ? PENDING : complete(c, req, r);
}

void http_int_http1_reply_go(struct http1_connection *c)
{
    struct http_request *req = c->req;
    c->reply_waits = false;
    http_int_http1_reply_finish(c, req, send_reply(c, req));
}

void http_int_http1_reply_on_written(struct http1_connection *c)
{
    struct http_request *req = c->req;
    if (c->file_job != NULL) {
        http_int_http1_file_on_writable(c, req);
    } else if (c->page != NULL) {
        page_written(c, req);
        http_int_http1_reply_finish(c, req, pump(c, req));
    } else {
        http_int_http1_reply_note_sent(c, req);
        http_int_http1_reply_finish(c, req, OK);
    }
}

/* ---- refusals ---- */

enum result http_int_http1_send_refusal(struct http1_connection *c, const struct http_error *error)
{
    struct strbuf text;
    struct strbuf body;
    strbuf_init(&body, REFUSAL_BYTES_MAX);
    http_int_error_document(error, &body);
    strbuf_init(&text, REFUSAL_BYTES_MAX);
    strbuf_append_format(&text,
                         "HTTP/1.1 %d %s\r\ndate: %.*s\r\nconnection: close\r\ncontent-type: application/json\r\n"
                         "%s%scontent-length: %zu\r\n\r\n",
                         error->status, http_int_reason(error->status), SLICE_ARG(http_int_server_date(c->server)),
                         error->header == NULL ? "" : error->header, error->header == NULL ? "" : "\r\n", body.len);
    strbuf_append(&text, strbuf_slice(&body));
    strbuf_done(&body);
    struct iovec iov = to_iovec(strbuf_slice(&text));
    c->refusal = TAKE(text.ptr); /* lives until the connection ends: the write may be pending */
    return http_int_transport_write(&c->io, &iov, 1);
}
