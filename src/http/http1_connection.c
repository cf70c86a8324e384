/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP/1.1 connection: takes heads off the socket, hands out one request after the other, and ends in a way that
 * lets the last answer arrive. Its states are listed in http1.h. Everything that may run callbacks is bracketed by a
 * hold, so that the connection is still there afterwards. Loop thread only.
 */
#include "http1.h"
#include "http2.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

static const struct http_error too_many_connections = {
    503, "TOOMANYREQUESTS", "too many connections are open: try again in a moment", "retry-after: 1"};
static const struct http_error head_too_slow = {408, "UNSUPPORTED", "the request's headers did not arrive in time",
                                                NULL};

/* ---- memory ---- */

static struct http1_connection *of_timer(struct timer *timer)
{
    return (struct http1_connection *)(void *)((char *)timer - offsetof(struct http1_connection, timer));
}

void http_int_http1_hold(struct http1_connection *c)
{
    c->holds++;
}

void http_int_http1_release(struct http1_connection *c)
{
    if (--c->holds > 0)
        return;
    struct http_server *server = c->server;
    free(c->refusal);
    http_int_http1_input_free(c);
    free(c);
    http_int_server_forget(server);
}

void http_int_http1_input_free(struct http1_connection *c)
{
    if (c->in.capacity > 0)
        free(c->in.ptr);
    c->in = (struct http1_input){NULL, 0, 0, 0};
}

void http_int_http1_input_consume(struct http1_connection *c, size_t n)
{
    c->in.start += n;
    c->in.len -= n;
    if (c->in.len == 0)
        http_int_http1_input_free(c);
}

void http_int_http1_input_set(struct http1_connection *c, const char *ptr, size_t len)
{
    struct http1_input in = {NULL, 0, len, len};
    if (len > 0)
        in.ptr = memcpy(xmalloc(len), ptr, len);
    http_int_http1_input_free(c);
    c->in = in;
}

/* The scratch buffer serves all connections: what stays moves to memory of this one. */
static void own_input(struct http1_connection *c)
{
    if (c->in.len > 0 && c->in.capacity == 0)
        http_int_http1_input_set(c, c->in.ptr + c->in.start, c->in.len);
}

/* Room for more behind the input of a head that is incomplete. */
static size_t make_room(struct http1_connection *c)
{
    if (c->in.start > 0) {
        memmove(c->in.ptr, c->in.ptr + c->in.start, c->in.len);
        c->in.start = 0;
    }
    if (c->in.capacity - c->in.len < 1024) {
        c->in.capacity = c->in.capacity * 2 + 2048;
        c->in.ptr = xrealloc(c->in.ptr, c->in.capacity);
    }
    return c->in.capacity - c->in.len;
}

/* ---- the end ---- */

/* No request is attached any more. While a pool job sends, the descriptor stays and the job's end closes it. */
static void close_now(struct http1_connection *c)
{
    assert(c->state != HTTP1_CLOSED);
    c->state = HTTP1_CLOSED;
    timer_stop(&c->timer);
    http_int_server_unlink(c->server, &c->link);
    page_release(TAKE(c->page));
    if (c->is_fd_lent)
        http_int_transport_abort(&c->io);
    else
        http_int_transport_close(&c->io);
    http_int_http1_release(c);
}

void http_int_http1_abort(struct http1_connection *c)
{
    if (c->state == HTTP1_CLOSED)
        return;
    struct http_request *req = c->req;
    struct done body_done = {0};
    struct done reply_done = {0};
    void (*gone)(void *data) = NULL;
    void *gone_data = NULL;
    bool body_waits = http_int_http1_body_cancel(c, &body_done);
    bool reply_waits = false;
    if (req != NULL) {
        c->req = NULL;
        req->stream = NULL;
        req->is_gone = true;
        if (req->reply.state != REPLY_COMPLETE)
            gone = req->gone;
        gone_data = req->gone_data;
        req->gone = NULL;
        /* What the reply waits for outside the connection ends first and reports it then. */
        reply_waits = req->reply.state == REPLY_BEGUN && c->away == NULL;
        if (reply_waits) {
            http_int_http1_reply_note_sent(c, req);
            reply_done = req->reply.done;
            req->reply.state = REPLY_COMPLETE;
        }
    }
    http_int_http1_hold(c);
    close_now(c);
    /* From here on `req` may end inside any of these. */
    if (gone != NULL)
        gone(gone_data);
    if (body_waits)
        done_call(body_done, CANCELLED);
    if (reply_waits)
        done_call(reply_done, CANCELLED);
    http_int_http1_release(c);
}

static void on_abort_soon(struct timer *timer)
{
    http_int_http1_abort(of_timer(timer));
}

void http_int_http1_abort_soon(struct http1_connection *c)
{
    c->is_broken = true;
    if (c->state != HTTP1_CLOSED)
        timer_start(c->server->loop, &c->timer, 0, on_abort_soon);
}

static struct http1_connection *of_link(struct http_link *link)
{
    return (struct http1_connection *)(void *)link;
}

static void abort_link(struct http_link *link)
{
    http_int_http1_abort(of_link(link));
}

/* Closes now if the connection is idle and nothing has arrived; otherwise the next reply will be the last. */
static void drain_link(struct http_link *link)
{
    struct http1_connection *c = of_link(link);
    if (c->state == HTTP1_HEAD && c->in.len == 0 && !c->is_running && !http_int_transport_has_bytes(&c->io))
        close_now(c);
}

static void on_linger_timeout(struct timer *timer)
{
    close_now(of_timer(timer));
}

/* Throws input away for a while; beyond that it is left in the kernel, where it slows the client down. */
static void linger(struct http1_connection *c)
{
    while (c->lingered_bytes < HTTP_LINGER_BYTES_MAX) {
        size_t n = 0;
        enum result r = http_int_transport_read(&c->io, c->server->scratch, HTTP_HEAD_READ_BYTES, &n);
        if (r == PENDING) {
            http_int_transport_want_read(&c->io);
            return;
        }
        if (r != OK) {
            close_now(c);
            return;
        }
        c->lingered_bytes += n;
    }
    http_int_transport_watch_gone(&c->io);
}

/* Everything of this layer has been sent. A reset, caused by unread input, would overtake it: FIN first, then wait. */
static void finish(struct http1_connection *c)
{
    if (!c->must_linger && c->in.len == 0) {
        close_now(c);
        return;
    }
    c->state = HTTP1_LINGER;
    http_int_http1_input_free(c);
    http_int_transport_shutdown_write(&c->io);
    timer_start(c->server->loop, &c->timer, HTTP_LINGER_MS, on_linger_timeout);
    linger(c);
}

/* ---- heads ---- */

static void tell_refusal(const struct http1_connection *c, const struct http_error *error)
{
    struct slice method;
    struct slice path;
    http_int_http1_peek_target(slice_of(c->in.ptr + c->in.start, c->in.len), &method, &path);
    http_int_server_refused(c->server, error, method, path, slice_from_cstr(c->io.peer),
                            c->is_head_begun ? loop_now_ms(c->server->loop) - c->head_began_ms : 0);
}

/* Sends an error of this layer, for a request that no handler gets to see, and closes. */
static void refuse(struct http1_connection *c, const struct http_error *error)
{
    tell_refusal(c, error);
    c->state = HTTP1_REFUSE;
    c->must_linger = true;
    timer_stop(&c->timer);
    enum result r = http_int_http1_send_refusal(c, error);
    if (r == OK)
        finish(c);
    else if (r != PENDING)
        close_now(c);
}

static void on_idle_timeout(struct timer *timer)
{
    close_now(of_timer(timer));
}

static void on_head_timeout(struct timer *timer)
{
    refuse(of_timer(timer), &head_too_slow);
}

/* Some clients send an empty line behind a body. */
static void skip_empty_lines(struct http1_connection *c)
{
    while (c->in.len >= 2 && c->in.ptr[c->in.start] == '\r' && c->in.ptr[c->in.start + 1] == '\n')
        http_int_http1_input_consume(c, 2);
}

static void begin_request(struct http1_connection *c, const struct http1_head *head)
{
    struct http_request *req = head->req;
    timer_stop(&c->timer);
    http_int_http1_input_consume(c, head->bytes);
    own_input(c);
    c->state = HTTP1_BUSY;
    c->is_head_begun = false;
    c->has_served = true;
    c->req = req;
    c->keep_alive = head->keep_alive;
    c->is_http10 = head->is_http10;
    http_int_http1_body_init(c, head);
    req->stream = c;
    http_int_transport_describe(&c->io, req);
    req->begun_ms = loop_now_ms(c->server->loop);
    c->server->handler(c->server->handler_data, req);
}

/* Whoever begins with the preface of HTTP/2 speaks it, whether TLS has agreed on it or the client knows beforehand. */
static void become_http2(struct http1_connection *c)
{
    c->state = HTTP1_CLOSED;
    timer_stop(&c->timer);
    http_int_server_unlink(c->server, &c->link);
    http_int_http2_open(c->server, &c->io, slice_of(c->in.ptr + c->in.start, c->in.len), c->is_over_limit);
    http_int_http1_release(c);
}

/* False: the head is not complete. */
static bool take_head(struct http1_connection *c)
{
    struct http1_head head;
    const struct http_error *error = NULL;
    int preface = c->has_served ? -1 : http_int_http2_preface(slice_of(c->in.ptr + c->in.start, c->in.len));
    if (preface == 1)
        become_http2(c);
    if (preface >= 0)
        return preface == 1;
    skip_empty_lines(c);
    if (c->in.len == 0)
        return false;
    enum result r =
        http_int_http1_parse_head(c->server, slice_of(c->in.ptr + c->in.start, c->in.len), c->head_seen, &head, &error);
    if (r == PENDING) {
        c->head_seen = c->in.len;
        return false;
    }
    c->head_seen = 0;
    if (r == OK && (c->is_over_limit || c->io.address_excess > 0)) {
        http_int_request_free(head.req);
        error = &too_many_connections;
        r = UNAVAILABLE;
    }
    if (r == OK)
        begin_request(c, &head);
    else
        refuse(c, error);
    return true;
}

/* Makes sure that something wakes the connection in the state it is in now. */
static void settle(struct http1_connection *c)
{
    if (c->state != HTTP1_HEAD)
        return;
    own_input(c);
    if (c->in.len == 0 && c->server->draining && !http_int_transport_has_bytes(&c->io)) {
        close_now(c);
        return;
    }
    if (c->in.len == 0)
        timer_start(c->server->loop, &c->timer,
                    http_int_transport_is_opening(&c->io) ? c->server->settings.head_timeout_ms
                                                          : c->server->settings.idle_timeout_ms,
                    on_idle_timeout);
    else if (!c->is_head_begun) {
        c->head_began_ms = loop_now_ms(c->server->loop);
        timer_start(c->server->loop, &c->timer, c->server->settings.head_timeout_ms, on_head_timeout);
    }
    c->is_head_begun = c->in.len > 0;
    http_int_transport_want_read(&c->io);
}

/* Hands out requests for as long as complete ones are there and each is answered at once. */
static void run(struct http1_connection *c)
{
    if (c->is_running)
        return;
    http_int_http1_hold(c);
    c->is_running = true;
    while (c->state == HTTP1_HEAD && c->in.len > 0 && take_head(c))
        ;
    c->is_running = false;
    settle(c);
    http_int_http1_release(c);
}

static void read_head(struct http1_connection *c)
{
    size_t n = 0;
    enum result r;
    bool was_opening = http_int_transport_is_opening(&c->io);
    if (c->in.len == 0) {
        r = http_int_transport_read(&c->io, c->server->scratch, HTTP_HEAD_READ_BYTES, &n);
        if (r == OK)
            c->in = (struct http1_input){c->server->scratch, 0, n, 0};
    } else {
        size_t room = make_room(c);
        r = http_int_transport_read(&c->io, c->in.ptr + c->in.len, room, &n);
        c->in.len += n;
    }
    if (r == OK)
        run(c);
    else if (r != PENDING)
        http_int_http1_abort(c);
    else if (was_opening && !http_int_transport_is_opening(&c->io))
        settle(c); /* idle from now on */
}

/* ---- between requests ---- */

static void on_drain_timeout(struct timer *timer)
{
    close_now(of_timer(timer));
}

static void drain(struct http1_connection *c)
{
    enum result r = http_int_http1_body_drain(c);
    if (r == PENDING) {
        c->state = HTTP1_DRAIN;
        if (!timer_is_running(&c->timer))
            timer_start(c->server->loop, &c->timer, c->server->settings.body_timeout_ms, on_drain_timeout);
        http_int_transport_want_read(&c->io);
    } else if (r == OK) {
        c->state = HTTP1_HEAD;
        timer_stop(&c->timer);
        run(c);
    } else {
        http_int_http1_abort(c);
    }
}

void http_int_http1_detach(struct http_request *req)
{
    struct http1_connection *c = req->stream;
    assert(c->body.wait == BODY_NOT_WAITING && req->reply.state != REPLY_BEGUN);
    http_int_http1_hold(c);
    c->req = NULL;
    c->must_linger = !c->body.is_complete;
}

void http_int_http1_resume(void *stream)
{
    struct http1_connection *c = stream;
    if (c->is_broken)
        close_now(c);
    else if (!c->keep_alive)
        finish(c);
    else
        drain(c);
    http_int_http1_release(c);
}

/* ---- events ---- */

static void on_readable(void *owner)
{
    struct http1_connection *c = owner;
    http_int_http1_hold(c);
    switch (c->state) {
    case HTTP1_HEAD:
        read_head(c);
        break;
    case HTTP1_BUSY:
        if (c->body.wait == BODY_WAITS_FOR_BYTES)
            http_int_http1_body_on_readable(c);
        else
            http_int_transport_watch_gone(&c->io);
        break;
    case HTTP1_DRAIN:
        drain(c);
        break;
    case HTTP1_LINGER:
        linger(c);
        break;
    case HTTP1_REFUSE:
        http_int_transport_watch_gone(&c->io);
        break;
    case HTTP1_CLOSED:
        break;
    }
    http_int_http1_release(c);
}

static void on_gone(void *owner)
{
    http_int_http1_abort(owner);
}

static void on_written(void *owner, enum result r)
{
    struct http1_connection *c = owner;
    http_int_http1_hold(c);
    if (r != OK)
        http_int_http1_abort(c);
    else if (c->state == HTTP1_REFUSE)
        finish(c);
    else if (c->continue_is_unsent) {
        c->continue_is_unsent = false;
        if (c->reply_waits)
            http_int_http1_reply_go(c);
        if (c->state == HTTP1_BUSY && c->body.wait == BODY_WAITS_FOR_CONTINUE)
            http_int_http1_body_on_continue_sent(c);
    } else {
        http_int_http1_reply_on_written(c);
    }
    http_int_http1_release(c);
}

static const struct transport_events events = {.readable = on_readable, .gone = on_gone, .written = on_written};

static const struct http_protocol protocol = {.abort = abort_link, .drain = drain_link};

void http_int_http1_open(struct http_server *server, int fd, const struct http_address *peer,
                         const struct http_listen_options *options, bool is_over_limit)
{
    struct http1_connection *c = xcalloc(1, sizeof(*c));
    c->server = server;
    c->holds = 1;
    c->is_over_limit = is_over_limit;
    http_int_server_link(server, &c->link, &protocol);
    http_int_transport_init(&c->io, server, fd, peer, &events, c);
    if (options->has_proxy_header)
        http_int_transport_expect_proxy_header(&c->io);
    else
        http_int_transport_count(&c->io);
    if (options->is_tls)
        http_int_transport_start_tls(&c->io);
    if (http_int_transport_is_unheard(&c->io))
        close_now(c);
    else
        settle(c);
}
