/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies on HTTP/2: fields for the library to pack, and a body that it asks for when the client's windows allow.
 * Bodies go from their pages into the connection's output without another copy. Loop thread only.
 */
#include "http2.h"

#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

/* Bodies up to this are copied, and the handler need not wait for the client to take them. */
#define SMALL_BODY_BYTES (16u * 1024u)
#define FIXED_FIELDS 3 /* :status, date, content-length */
#define REFUSAL_BYTES_MAX 1024
#define FRAME_HEAD_BYTES 9u
#define DECIMAL_BYTES 20

static struct loop *loop_of(const struct http2_stream *s)
{
    return s->connection->server->loop;
}

/* ---- fields ---- */

static nghttp2_nv to_nv(struct slice name, struct slice value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len, value.len,
                        NGHTTP2_NV_FLAG_NONE};
}

static struct slice decimal(struct arena *arena, uint64_t value)
{
    char *digits = arena_alloc(arena, DECIMAL_BYTES);
    return slice_of(digits, (size_t)(http_int_put_number(digits, value) - digits));
}

/* Worth a place in the table of the connection: fields that many replies share. */
static bool is_common(struct slice name)
{
    static const struct slice names[] = {{"content-type", 12}, {"docker-distribution-api-version", 31}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_equal(name, names[i]))
            return true;
    return false;
}

static bool is_clean(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
            return false;
    return true;
}

/* A value never ends its line, whatever it was made of. */
static struct slice clean(struct arena *arena, struct slice value)
{
    if (is_clean(value))
        return value;
    char *copy = arena_alloc(arena, value.len);
    for (size_t i = 0; i < value.len; i++)
        copy[i] = value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0' ? ' ' : value.ptr[i];
    return slice_of(copy, value.len);
}

struct fields {
    nghttp2_nv *nv;
    size_t count;
};

static struct fields make_fields(struct http2_stream *s, struct http_request *req)
{
    const struct http_reply *reply = &req->reply;
    struct fields f = {ARENA_ARRAY(&req->arena, nghttp2_nv, reply->header_count + FIXED_FIELDS), 0};
    f.nv[f.count++] = to_nv(SLICE(":status"), decimal(&req->arena, (uint64_t)reply->status));
    f.nv[f.count++] = to_nv(SLICE("date"), http_int_server_date(s->connection->server));
    if (reply->status != 204 && reply->status != 304)
        f.nv[f.count++] = to_nv(SLICE("content-length"), decimal(&req->arena, reply->length));
    for (size_t i = 0; i < reply->header_count; i++) {
        nghttp2_nv *nv = &f.nv[f.count++];
        *nv = to_nv(reply->headers[i].name, clean(&req->arena, reply->headers[i].value));
        if (!is_common(reply->headers[i].name))
            nv->flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
    return f;
}

/* ---- the end ---- */

void http_int_http2_reply_release(struct http2_stream *s)
{
    timer_stop(&s->out.timer);
    free(TAKE(s->out.copy));
    page_release(TAKE(s->out.page));
}

void http_int_http2_reply_tell(struct http2_stream *s, enum result r)
{
    struct http_request *req = s->req;
    if (req == NULL || req->reply.state != REPLY_BEGUN)
        return;
    req->reply.state = REPLY_COMPLETE;
    if (r == CANCELLED)
        req->is_gone = true;
    done_call(req->reply.done, r);
}

void http_int_http2_reply_sent(struct http2_stream *s)
{
    struct http2_connection *c = s->connection;
    s->out.is_complete = true;
    http_int_http2_reply_release(s);
    if (!s->body.has_ended) /* the rest of the request is not wanted; RFC 9113, section 8.1 */
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
    if (s->req != NULL && s->req->reply.state == REPLY_BEGUN) {
        s->is_finished = true;
        s->next_finished = c->finished;
        c->finished = s;
    }
}

/* ---- a body ---- */

static void on_reply_timeout(struct timer *timer)
{
    struct http2_stream *s = (struct http2_stream *)(void *)((char *)timer - offsetof(struct http2_stream, out.timer));
    if (s->out.sent == s->out.sent_before && s->away == NULL)
        http_int_http2_stream_reset(s, NGHTTP2_CANCEL); /* the client takes nothing */
    s->out.sent_before = s->out.sent;
    timer_start(loop_of(s), &s->out.timer, s->connection->server->settings.write_timeout_ms, on_reply_timeout);
}

static void on_source(void *data, enum result r)
{
    struct http2_stream *s = data;
    struct http_request *req = TAKE(s->away);
    struct page *page = TAKE(s->out.arrived);
    if (s->is_closed) { /* the client went meanwhile */
        page_release(page);
        req->reply.state = REPLY_COMPLETE;
        done_call(req->reply.done, CANCELLED);
        http_int_http2_stream_release(s);
        return;
    }
    s->out.page = page;
    s->out.failure = r == OK && page == NULL ? IO : r; /* the source ended before its length */
    (void)nghttp2_session_resume_data(s->connection->session, s->id);
    http_int_http2_flush_soon(s->connection);
}

/* OK: there is a page. PENDING: it will come. */
static enum result next_page(struct http2_stream *s)
{
    struct http2_sender *out = &s->out;
    if (out->page != NULL || out->failure != OK)
        return out->failure;
    enum result r = byte_source_read(s->req->reply.source, &out->arrived,
                                     (struct done){.fn = on_source, .data = s, .loop = loop_of(s)});
    if (r == PENDING) {
        s->away = s->req;
        return PENDING;
    }
    if (r == OK)
        out->page = TAKE(out->arrived);
    out->failure = r == OK && out->page == NULL ? IO : r;
    return out->failure;
}

static size_t smaller(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

/* How much of the body goes into the next frame; the library asks when there is window for `length` bytes. */
static ssize_t measure(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct http2_stream *s = source->ptr;
    struct http2_sender *out = &s->out;
    (void)session;
    (void)id;
    (void)buf;
    (void)data;
    size_t n = smaller(length, out->left);
    if (out->bytes.ptr == NULL) {
        enum result r = s->away != NULL ? PENDING : next_page(s);
        if (r == PENDING)
            return NGHTTP2_ERR_DEFERRED;
        if (r != OK)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the stream is reset */
        n = smaller(n, out->page->len);
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == out->left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void copy_out(struct http2_sender *out, char *dst, size_t n)
{
    if (out->bytes.ptr != NULL) {
        memcpy(dst, out->bytes.ptr, n);
        out->bytes = slice_from(out->bytes, n);
    } else {
        memcpy(dst, out->page->ptr + out->page->start, n);
        out->page->start += n;
        out->page->len -= n;
        if (out->page->len == 0)
            page_release(TAKE(out->page));
    }
    out->left -= n;
    out->sent += n;
}

int http_int_http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                             nghttp2_data_source *source, void *data)
{
    struct http2_connection *c = data;
    struct http2_stream *s = source->ptr;
    (void)session;
    (void)frame; /* never padded */
    if (HTTP2_OUT_BYTES - c->out_len < FRAME_HEAD_BYTES + length)
        return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(c->out + c->out_len, framehd, FRAME_HEAD_BYTES);
    copy_out(&s->out, c->out + c->out_len + FRAME_HEAD_BYTES, length);
    c->out_len += FRAME_HEAD_BYTES + length;
    if (s->req != NULL)
        s->req->reply.sent = s->out.sent;
    http_int_server_count(c->server, METRIC_RESPONSE_BYTES, length);
    return 0;
}

/* ---- all of it ---- */

static enum result submit(struct http2_stream *s, const nghttp2_nv *nv, size_t count)
{
    nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = measure};
    bool has_body = s->out.left > 0;
    if (nghttp2_submit_response(s->connection->session, s->id, nv, count, has_body ? &provider : NULL) != 0)
        return CANCELLED;
    if (has_body)
        timer_start(loop_of(s), &s->out.timer, s->connection->server->settings.write_timeout_ms, on_reply_timeout);
    http_int_http2_flush_soon(s->connection);
    return OK;
}

static void keep_copy(struct http2_sender *out, struct slice body)
{
    out->copy = memcpy(xmalloc(body.len), body.ptr, body.len);
    out->bytes = slice_of(out->copy, body.len);
    out->left = body.len;
}

/* OK: the handler need not wait. PENDING: its body is borrowed until it has left. */
static enum result prepare_body(struct http2_stream *s, struct http_request *req)
{
    struct http_reply *reply = &req->reply;
    if (reply->is_bodiless || reply->length == 0)
        return OK;
    if (reply->kind == REPLY_BYTES && reply->length <= SMALL_BODY_BYTES) {
        keep_copy(&s->out, reply->bytes);
        reply->sent = reply->length;
        return OK;
    }
    s->out.left = reply->length;
    if (reply->kind == REPLY_BYTES)
        s->out.bytes = reply->bytes;
    else if (reply->kind == REPLY_FILE)
        reply->source = http_int_file_source_new(req, reply->fd, reply->offset, reply->length);
    return PENDING;
}

enum result http_int_http2_reply(struct http_request *req)
{
    struct http2_stream *s = req->stream;
    if (s == NULL || s->is_closed)
        return CANCELLED;
    struct fields f = make_fields(s, req);
    enum result r = prepare_body(s, req);
    req->reply.state = r == PENDING ? REPLY_BEGUN : REPLY_COMPLETE;
    enum result submitted = submit(s, f.nv, f.count);
    if (submitted == OK)
        return r;
    req->reply.state = REPLY_COMPLETE;
    req->is_gone = true;
    return submitted;
}

void http_int_http2_submit_refusal(struct http2_stream *s, const struct http_error *error, bool is_bodiless)
{
    OWNED(strbuf_done) struct strbuf body;
    struct slice name = SLICE_EMPTY;
    struct slice value = SLICE_EMPTY;
    char status[DECIMAL_BYTES];
    char length[DECIMAL_BYTES];
    strbuf_init(&body, REFUSAL_BYTES_MAX);
    http_int_error_document(error, &body);
    size_t status_len = (size_t)(http_int_put_number(status, (uint64_t)error->status) - status);
    size_t length_len = (size_t)(http_int_put_number(length, body.len) - length);
    nghttp2_nv nv[5] = {to_nv(SLICE(":status"), slice_of(status, status_len)),
                        to_nv(SLICE("date"), http_int_server_date(s->connection->server)),
                        to_nv(SLICE("content-type"), SLICE("application/json")),
                        to_nv(SLICE("content-length"), slice_of(length, length_len))};
    size_t count = 4;
    if (error->header != NULL && slice_split(slice_from_cstr(error->header), ':', &name, &value))
        nv[count++] = to_nv(name, slice_trim(value));
    if (!is_bodiless)
        keep_copy(&s->out, strbuf_slice(&body));
    (void)submit(s, nv, count);
}
