/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP/2 connection: bytes from the socket to the library and back, what is waited for, and its end. Everything
 * that may run callbacks is bracketed by a hold. Loop thread only.
 */
#include "http2.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FRAME_BYTES_MAX (16384u + 9u)
#define READS_A_TURN 4
/* Streams pay for what they receive; this only has to be out of their way. */
#define CONNECTION_WINDOW (128 << 20)
/* From the first GOAWAY, which only warns, to the one that says which request was the last: a round trip. */
#define GOODBYE_MS 250

static void flush(struct http2_connection *c);

int http_int_http2_preface(struct slice buf)
{
    size_t n = buf.len < sizeof(PREFACE) - 1 ? buf.len : sizeof(PREFACE) - 1;
    if (memcmp(buf.ptr, PREFACE, n) != 0)
        return -1;
    return n == sizeof(PREFACE) - 1 ? 1 : 0;
}

/* ---- memory ---- */

static void hold(struct http2_connection *c)
{
    c->holds++;
}

static void release(struct http2_connection *c)
{
    if (--c->holds > 0)
        return;
    struct http_server *server = c->server;
    nghttp2_session_del(c->session);
    free(c->out);
    free(c);
    http_int_server_forget(server);
}

static struct http2_connection *of_link(struct http_link *link)
{
    return (struct http2_connection *)(void *)link;
}

static struct http2_connection *of_timer(struct timer *timer)
{
    return (struct http2_connection *)(void *)((char *)timer - offsetof(struct http2_connection, timer));
}

/* ---- the end ---- */

/* What the reply of a finished stream has come to. */
static void tell(struct http2_stream *s, enum result r)
{
    http_int_http2_reply_tell(s, r);
    s->is_finished = false; /* not before: the request may end inside */
    http_int_http2_stream_release(s);
}

/* The library no longer knows the streams: their handlers hear that the client has gone. */
static void abort_connection(struct http2_connection *c)
{
    if (c->is_closed)
        return;
    hold(c);
    c->is_closed = true;
    timer_stop(&c->timer);
    timer_stop(&c->flush_timer);
    http_int_server_unlink(c->server, &c->link);
    http_int_transport_close(&c->io);
    while (c->finished != NULL) {
        struct http2_stream *s = c->finished;
        c->finished = s->next_finished;
        tell(s, CANCELLED);
    }
    while (c->streams != NULL)
        http_int_http2_stream_gone(c->streams);
    release(c); /* the open socket's */
    release(c);
}

static void on_linger_timeout(struct timer *timer)
{
    abort_connection(of_timer(timer));
}

/* As HTTP/1.1 does: a reset would overtake the GOAWAY. */
static void linger(struct http2_connection *c)
{
    while (c->lingered_bytes < HTTP_LINGER_BYTES_MAX) {
        size_t n = 0;
        enum result r = http_int_transport_read(&c->io, c->server->scratch, HTTP_HEAD_READ_BYTES, &n);
        if (r == PENDING) {
            http_int_transport_want_read(&c->io);
            return;
        }
        if (r != OK) {
            abort_connection(c);
            return;
        }
        c->lingered_bytes += n;
    }
    http_int_transport_watch_gone(&c->io);
}

static void finish(struct http2_connection *c)
{
    c->is_lingering = true;
    http_int_transport_shutdown_write(&c->io);
    timer_start(c->server->loop, &c->timer, HTTP_LINGER_MS, on_linger_timeout);
    linger(c);
}

/* ---- what is waited for ---- */

static void end_calmly(struct http2_connection *c, uint32_t error)
{
    (void)nghttp2_session_terminate_session(c->session, error);
    flush(c);
}

static void on_settings_timeout(struct timer *timer)
{
    end_calmly(of_timer(timer), NGHTTP2_SETTINGS_TIMEOUT);
}

static void on_head_timeout(struct timer *timer)
{
    static const struct http_error head_too_slow = {408, "UNSUPPORTED", "the request's headers did not arrive in time",
                                                    NULL};
    struct http2_connection *c = of_timer(timer);
    http_int_server_refused(c->server, &head_too_slow, SLICE_EMPTY, SLICE_EMPTY, slice_from_cstr(c->io.peer),
                            c->server->settings.head_timeout_ms);
    end_calmly(c, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void on_idle_timeout(struct timer *timer)
{
    end_calmly(of_timer(timer), NGHTTP2_NO_ERROR);
}

static void on_goodbye(struct timer *timer)
{
    struct http2_connection *c = of_timer(timer);
    int32_t last = nghttp2_session_get_last_proc_stream_id(c->session);
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    flush(c);
}

static void wait_for(struct http2_connection *c, uint64_t delay_ms, void (*fire)(struct timer *timer))
{
    if (!timer_is_running(&c->timer) || c->timer.fire != fire)
        timer_start(c->server->loop, &c->timer, delay_ms, fire);
}

static void settle(struct http2_connection *c)
{
    const struct http_settings *settings = &c->server->settings;
    if (c->is_closed || c->is_lingering || c->is_inside)
        return;
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session) && !c->is_writing) {
        finish(c);
        return;
    }
    if (timer_is_running(&c->timer) && c->timer.fire == on_goodbye)
        return;
    if (!c->is_settled)
        wait_for(c, settings->head_timeout_ms, on_settings_timeout);
    else if (c->is_in_head)
        wait_for(c, settings->head_timeout_ms, on_head_timeout);
    else if (c->stream_count == 0 && !c->is_going)
        wait_for(c, settings->idle_timeout_ms, on_idle_timeout);
    else
        timer_stop(&c->timer);
}

/* ---- sending ---- */

static void tell_finished(struct http2_connection *c)
{
    while (c->finished != NULL) {
        struct http2_stream *s = c->finished;
        c->finished = s->next_finished;
        tell(s, OK);
    }
}

/* False: there is nothing to send. */
static bool fill_out(struct http2_connection *c)
{
    const uint8_t *data = NULL;
    ssize_t n = 1;
    if (!nghttp2_session_want_write(c->session))
        return false;
    if (c->out == NULL)
        c->out = xmalloc(HTTP2_OUT_BYTES);
    c->out_len = 0;
    c->is_inside = true;
    while (n > 0 && HTTP2_OUT_BYTES - c->out_len >= FRAME_BYTES_MAX) {
        n = nghttp2_session_mem_send(c->session, &data);
        if (n > 0) {
            memcpy(c->out + c->out_len, data, (size_t)n);
            c->out_len += (size_t)n;
        }
    }
    c->is_inside = false;
    return c->out_len > 0;
}

static enum result send_all(struct http2_connection *c)
{
    enum result r = OK;
    while (r == OK && fill_out(c)) {
        struct iovec iov = {.iov_base = c->out, .iov_len = c->out_len};
        c->guard.sent_bytes += c->out_len;
        r = http_int_transport_write(&c->io, &iov, 1);
    }
    c->is_writing = r == PENDING;
    if (r == OK) {
        free(c->out); /* idle connections hold none */
        c->out = NULL;
    }
    return r;
}

/* At the top of an event only: it tells handlers what has left. */
static void flush(struct http2_connection *c)
{
    if (c->is_closed || c->is_lingering)
        return;
    hold(c);
    timer_stop(&c->flush_timer);
    enum result r = c->is_writing ? PENDING : send_all(c);
    tell_finished(c);
    if (r == CANCELLED)
        abort_connection(c);
    else
        settle(c);
    release(c);
}

static void on_flush_soon(struct timer *timer)
{
    flush((struct http2_connection *)(void *)((char *)timer - offsetof(struct http2_connection, flush_timer)));
}

void http_int_http2_flush_soon(struct http2_connection *c)
{
    if (!c->is_inside && !c->is_writing && !c->is_closed && !timer_is_running(&c->flush_timer))
        timer_start(c->server->loop, &c->flush_timer, 0, on_flush_soon);
}

/* ---- receiving ---- */

static void end_flood(struct http2_connection *c)
{
    http_int_server_count(c->server, METRIC_HTTP2_FLOODS, 1);
    (void)nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* False: no more is taken; what the library still wants to say is sent, then the connection ends. */
static bool receive(struct http2_connection *c, struct slice bytes)
{
    if (!http_int_http2_guard_input(c, bytes)) {
        end_flood(c);
        return false;
    }
    c->is_inside = true;
    ssize_t n = nghttp2_session_mem_recv(c->session, (const uint8_t *)bytes.ptr, bytes.len);
    c->is_inside = false;
    if (n == NGHTTP2_ERR_FLOODED)
        end_flood(c);
    else if (n < 0)
        (void)nghttp2_session_terminate_session(c->session, NGHTTP2_PROTOCOL_ERROR);
    return n >= 0;
}

static enum result read_some(struct http2_connection *c)
{
    enum result r = OK;
    for (int i = 0; i < READS_A_TURN && r == OK; i++) {
        size_t n = 0;
        r = http_int_transport_read(&c->io, c->server->bulk, HTTP_BULK_READ_BYTES, &n);
        if (r == OK && (!receive(c, slice_of(c->server->bulk, n)) || !nghttp2_session_want_read(c->session)))
            return OK;
    }
    return r;
}

static void on_readable(void *owner)
{
    struct http2_connection *c = owner;
    hold(c);
    if (c->is_lingering) {
        linger(c);
    } else if (read_some(c) == CANCELLED) {
        abort_connection(c);
    } else {
        http_int_transport_want_read(&c->io);
        flush(c);
    }
    release(c);
}

static void on_gone(void *owner)
{
    abort_connection(owner);
}

static void on_written(void *owner, enum result r)
{
    struct http2_connection *c = owner;
    c->is_writing = false;
    if (r == OK)
        flush(c);
    else
        abort_connection(c);
}

/* ---- what the library tells ---- */

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct http2_connection *c = data;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && !c->is_settled) {
        c->is_settled = true;
        for (s = c->streams; s != NULL; s = s->next) /* the library has just taken their first windows away */
            http_int_http2_body_open_window(s);
        return nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    }
    if (s == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        c->is_in_head = false;
    if (is_end)
        http_int_http2_body_end(s);
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        http_int_http2_begin_request(s);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *ptr, size_t len, void *data)
{
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)data;
    if (s == NULL)
        return nghttp2_session_consume_connection(session, len);
    http_int_http2_body_take(s, (const char *)ptr, len);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct http2_connection *c = data;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
        !http_int_http2_guard_reset(c))
        end_flood(c);
    if (is_end && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (s != NULL)
            http_int_http2_reply_sent(s);
    }
    return 0;
}

static nghttp2_session *new_session(struct http2_connection *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        abort(); /* out of memory, as everywhere */
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, http_int_http2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, http_int_http2_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, http_int_http2_on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, http_int_http2_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    /* It counts pieces of frames as well; whole ones are counted in http2_guard.c. */
    nghttp2_option_set_max_continuations(option, 1024);
    if (nghttp2_session_server_new2(&session, callbacks, c, option) != 0)
        abort();
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return session;
}

/* ---- life ---- */

static void abort_link(struct http_link *link)
{
    abort_connection(of_link(link));
}

static void drain_link(struct http_link *link)
{
    struct http2_connection *c = of_link(link);
    if (c->is_going || c->is_lingering)
        return;
    c->is_going = true;
    (void)nghttp2_submit_shutdown_notice(c->session);
    timer_start(c->server->loop, &c->timer, GOODBYE_MS, on_goodbye);
    http_int_http2_flush_soon(c);
}

static const struct http_protocol protocol = {.abort = abort_link, .drain = drain_link};
static const struct transport_events events = {.readable = on_readable, .gone = on_gone, .written = on_written};

void http_int_http2_open(struct http_server *server, struct transport *io, struct slice input, bool is_over_limit)
{
    struct http2_connection *c = xcalloc(1, sizeof(*c));
    c->server = server;
    c->holds = 1;
    c->scan.skip = HTTP2_PREFACE_BYTES;
    c->is_over_limit = is_over_limit;
    if (server->bulk == NULL)
        server->bulk = xmalloc(HTTP_BULK_READ_BYTES);
    http_int_server_link(server, &c->link, &protocol);
    http_int_transport_move(&c->io, io, &events, c);
    c->session = new_session(c);
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)server->settings.head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    (void)nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0]));
    hold(c);
    (void)receive(c, input);
    http_int_transport_want_read(&c->io);
    flush(c);
    if (server->draining && !c->is_closed)
        drain_link(&c->link);
    release(c);
}
