/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP/2 stream: its request's head, and how it ends. The library has checked what RFC 9113, section 8 asks of a
 * message (order and grammar of fields, no connection-specific ones, the promise of Content-Length). A stream lives
 * until the library has closed it, its handler is through, and the source of its reply has reported. Loop thread only.
 */
#include "http2.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

#define FIELDS_AT_FIRST 16
#define FIELD_OVERHEAD_BYTES 32 /* RFC 9113, section 6.5.2 */

static const struct http_error head_too_large = {
    431, "UNSUPPORTED", "the request's headers are too large or too many: send fewer or shorter ones", NULL};
static const struct http_error bad_authority = {400, "UNSUPPORTED", "send exactly one valid :authority or Host", NULL};
static const struct http_error bad_length = {400, "UNSUPPORTED", "Content-Length must be one decimal number", NULL};
static const struct http_error bad_expectation = {417, "UNSUPPORTED",
                                                  "the only Expect header understood is \"100-continue\"", NULL};
static const struct http_error too_many_connections = {
    503, "TOOMANYREQUESTS", "too many connections are open: try again in a moment", "retry-after: 1"};

/* ---- life ---- */

static void unlink_stream(struct http2_stream *s)
{
    struct http2_connection *c = s->connection;
    if (s->previous != NULL)
        s->previous->next = s->next;
    else
        c->streams = s->next;
    if (s->next != NULL)
        s->next->previous = s->previous;
    c->stream_count--;
    s->is_closed = true;
}

void http_int_http2_stream_release(struct http2_stream *s)
{
    if (!s->is_closed || s->is_finished || s->req != NULL || s->away != NULL)
        return;
    struct done none;
    bool is_read = http_int_http2_body_cancel(s, &none);
    assert(!is_read);
    (void)is_read;
    http_int_http2_reply_release(s);
    free(s);
}

/* What the request's handler has to hear: gone, its read, its reply. */
static void tell_gone(struct http2_stream *s, struct http_request *req)
{
    struct done body_done = {0};
    struct done reply_done = {0};
    void (*gone)(void *data) = req->reply.state == REPLY_COMPLETE ? NULL : req->gone;
    void *gone_data = req->gone_data;
    enum result outcome = s->out.failure == OK ? CANCELLED : s->out.failure;
    bool body_waits = http_int_http2_body_cancel(s, &body_done);
    /* A source that is reading ends first and reports the reply then. */
    bool reply_waits = req->reply.state == REPLY_BEGUN && s->away == NULL;
    req->stream = NULL;
    req->is_gone = true;
    req->gone = NULL;
    if (reply_waits) {
        reply_done = req->reply.done;
        req->reply.state = REPLY_COMPLETE;
    }
    /* From here on `req` may end inside any of these. */
    if (gone != NULL)
        gone(gone_data);
    if (body_waits)
        done_call(body_done, CANCELLED);
    if (reply_waits)
        done_call(reply_done, outcome);
}

void http_int_http2_stream_gone(struct http2_stream *s)
{
    struct http_request *req = TAKE(s->req);
    unlink_stream(s);
    s->connection = NULL;
    http_int_http2_reply_release(s);
    if (req != NULL && s->has_begun)
        tell_gone(s, req);
    else if (req != NULL)
        http_int_request_free(req);
    http_int_http2_stream_release(s);
}

int http_int_http2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)error;
    (void)data;
    if (s == NULL)
        return 0;
    if (!s->out.is_complete) {
        http_int_http2_stream_gone(s);
        return 0;
    }
    unlink_stream(s);
    http_int_http2_stream_release(s);
    return 0;
}

void http_int_http2_stream_reset(struct http2_stream *s, uint32_t error)
{
    (void)nghttp2_submit_rst_stream(s->connection->session, NGHTTP2_FLAG_NONE, s->id, error);
    http_int_http2_flush_soon(s->connection);
}

static void detach(struct http_request *req)
{
    struct http2_stream *s = req->stream;
    struct done none;
    bool is_read = http_int_http2_body_cancel(s, &none);
    assert(!is_read && req->reply.state != REPLY_BEGUN);
    (void)is_read;
    s->req = NULL;
}

static void resume(void *stream)
{
    http_int_http2_stream_release(stream);
}

const struct http_carrier http_int_http2_carrier = {
    .body_read = http_int_http2_body_read,
    .reply = http_int_http2_reply,
    .detach = detach,
    .resume = resume,
};

/* ---- head ---- */

int http_int_http2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct http2_connection *c = data;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers: nobody asks for them */
    struct http2_stream *s = xcalloc(1, sizeof(*s));
    s->connection = c;
    s->id = frame->hd.stream_id;
    s->req = http_int_request_new(c->server, &http_int_http2_carrier);
    s->next = c->streams;
    if (s->next != NULL)
        s->next->previous = s;
    c->streams = s;
    c->stream_count++;
    c->is_in_head = true;
    if (c->is_settled && !c->is_going)
        timer_stop(&c->timer); /* not idle */
    return nghttp2_session_set_stream_user_data(session, s->id, s);
}

static void add_field(struct http2_stream *s, struct slice name, struct slice value)
{
    struct http_request *req = s->req;
    if (req->field_count == HTTP_HEADERS_MAX) {
        s->error = &head_too_large;
        return;
    }
    if (req->field_count == s->field_room) {
        size_t room = s->field_room == 0 ? FIELDS_AT_FIRST : s->field_room * 2;
        struct http_field *fields = ARENA_ARRAY(&req->arena, struct http_field, room);
        if (req->field_count > 0)
            memcpy(fields, req->fields, req->field_count * sizeof(*fields));
        req->fields = fields;
        s->field_room = room;
    }
    req->fields[req->field_count++] =
        (struct http_field){arena_copy(&req->arena, name), arena_copy(&req->arena, slice_trim(value))};
}

static void note_pseudo_field(struct http2_stream *s, struct slice name, struct slice value)
{
    struct http_request *req = s->req;
    if (slice_equal(name, SLICE(":method")))
        req->method = arena_copy(&req->arena, value);
    else if (slice_equal(name, SLICE(":path")))
        req->path = arena_copy(&req->arena, value); /* split when the head is complete */
    else if (slice_equal(name, SLICE(":authority")))
        req->host = arena_copy(&req->arena, value);
}

int http_int_http2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_ptr,
                             size_t name_len, const uint8_t *value_ptr, size_t value_len, uint8_t flags, void *data)
{
    struct http2_connection *c = data;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (s == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST || s->error != NULL)
        return 0;
    struct slice name = slice_of((const char *)name_ptr, name_len);
    struct slice value = slice_of((const char *)value_ptr, value_len);
    s->head_bytes += name_len + value_len + FIELD_OVERHEAD_BYTES;
    if (s->head_bytes > c->server->settings.head_bytes_max)
        s->error = &head_too_large;
    else if (slice_has_prefix(name, SLICE(":")))
        note_pseudo_field(s, name, value);
    else
        add_field(s, name, value);
    return 0;
}

/* An absent :authority is what Host says; both have to agree. */
static const struct http_error *choose_host(struct http_request *req)
{
    struct slice host = http_request_header(req, SLICE("host"));
    if (req->host.len == 0)
        req->host = host;
    else if (host.len > 0 && !slice_equal_nocase(host, req->host))
        return &bad_authority;
    return http_int_is_host(req->host) ? NULL : &bad_authority;
}

static const struct http_error *note_body(struct http2_stream *s)
{
    struct http_request *req = s->req;
    struct slice length = http_request_header(req, SLICE("content-length"));
    struct slice expect = http_request_header(req, SLICE("expect"));
    req->content_length = s->body.has_ended ? 0 : UINT64_MAX;
    if (!s->body.has_ended && length.ptr != NULL &&
        (slice_parse_u64(length, &req->content_length) != OK || req->content_length > INT64_MAX))
        return &bad_length;
    req->has_body = req->content_length != 0;
    s->expects_continue = expect.len > 0 && req->has_body;
    return expect.len > 0 && !slice_equal_nocase(expect, SLICE("100-continue")) ? &bad_expectation : NULL;
}

static const struct http_error *complete_head(struct http2_stream *s)
{
    struct http_request *req = s->req;
    struct slice elsewhere = SLICE_EMPTY;
    const struct http_error *error = http_int_split_target(req->method, req->path, &req->path, &req->query, &elsewhere);
    if (error == NULL)
        error = choose_host(req);
    if (error == NULL)
        error = note_body(s);
    if (error == NULL && (s->connection->is_over_limit || s->connection->io.address_excess > 0))
        error = &too_many_connections;
    return error;
}

static void refuse(struct http2_stream *s, const struct http_error *error)
{
    struct http_request *req = TAKE(s->req);
    http_int_server_refused(s->connection->server, error, req->method, req->path,
                            slice_from_cstr(s->connection->io.peer), 0);
    http_int_http2_submit_refusal(s, error, slice_equal(req->method, SLICE("HEAD")));
    http_int_request_free(req);
    s->body.is_discarded = true;
}

void http_int_http2_begin_request(struct http2_stream *s)
{
    struct http2_connection *c = s->connection;
    struct http_request *req = s->req;
    const struct http_error *error = s->error != NULL ? s->error : complete_head(s);
    s->has_begun = true;
    if (error != NULL) {
        refuse(s, error);
        return;
    }
    req->stream = s;
    req->protocol = SLICE("HTTP/2");
    http_int_transport_describe(&c->io, req);
    req->begun_ms = loop_now_ms(c->server->loop);
    c->server->handler(c->server->handler_data, req);
}
