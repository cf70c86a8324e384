/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's socket on libh2o's event loop. libh2o only polls: reads and writes are our own, so that a read never takes
 * more than was asked for (its own loop reads until the kernel is empty) and a write completes at once when it can.
 *
 * A peer that goes away while its bytes are unread cannot be seen by libh2o, which polls for EPOLLIN alone and would be
 * woken for ever by those bytes. Such sockets are taken out of it and put into a second epoll instance that waits for
 * EPOLLRDHUP; that instance is itself a descriptor in the loop. Loop thread only.
 */
#include "transport.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>

#include "minato/own.h"
#include "tls.h"

#define GONE_EVENTS_A_TURN 64

/* ---- who it is ---- */

static void name_peer(struct transport *t, const struct http_address *peer)
{
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, sizeof(t->peer) - 1);
    http_address_format(peer, &text);
    if (text.len > 0)
        memcpy(t->peer, text.ptr, text.len);
    t->peer[text.len] = '\0';
    t->has_address = ip_address_of(&peer->addr, &t->address);
}

/* Proxies that speak HTTP for many are not limited as one client is. */
void http_int_transport_count(struct transport *t)
{
    struct http_address_limit *limit = t->server->settings.address_limit;
    if (limit == NULL || !t->has_address || http_int_is_trusted(t->server, &t->address))
        return;
    t->is_counted = true;
    t->address_excess = http_int_address_take(limit, &t->address);
    if (t->address_excess > 0)
        http_int_server_count(t->server, METRIC_CONNECTIONS_REFUSED, 1);
}

bool http_int_transport_is_unheard(const struct transport *t)
{
    return t->address_excess > HTTP_REFUSED_MAX;
}

struct proxy_intake {
    char bytes[HTTP_PROXY_HEADER_BYTES_MAX];
    size_t len;
};

void http_int_transport_expect_proxy_header(struct transport *t)
{
    t->proxy = xcalloc(1, sizeof(*t->proxy));
}

static enum result refuse_proxy_header(struct transport *t)
{
    http_int_server_count(t->server, METRIC_PROXY_HEADERS_REFUSED, 1);
    return CANCELLED;
}

/* Looks before it takes, so that nothing behind the header is touched; while it is incomplete all that is there is of
 * it. */
static enum result take_proxy_header(struct transport *t)
{
    struct proxy_intake *in = t->proxy;
    struct http_address peer;
    size_t used = 0;
    if (!t->has_address || !http_int_is_trusted(t->server, &t->address))
        return refuse_proxy_header(t);
    ssize_t n = recv(t->fd, in->bytes + in->len, sizeof(in->bytes) - in->len, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return PENDING;
    if (n <= 0)
        return CANCELLED;
    enum result r = http_int_proxy_header_parse(slice_of(in->bytes, in->len + (size_t)n), &used, &peer);
    if (r == INVALID || (r == PENDING && in->len + (size_t)n == sizeof(in->bytes)))
        return refuse_proxy_header(t);
    size_t take = r == OK ? used - in->len : (size_t)n;
    if (recv(t->fd, in->bytes + in->len, take, MSG_DONTWAIT) != (ssize_t)take)
        return CANCELLED;
    in->len += take;
    if (r != OK)
        return PENDING;
    free(TAKE(t->proxy));
    if (peer.len > 0)
        name_peer(t, &peer);
    http_int_transport_count(t);
    return http_int_transport_is_unheard(t) ? CANCELLED : OK;
}

/* ---- reading ---- */

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct transport *t = sock->data;
    (void)err; /* with dont_read libh2o reports readiness only */
    t->events->readable(t->owner);
}

enum result http_int_transport_read(struct transport *t, void *buf, size_t n, size_t *ret_n)
{
    enum result r = t->proxy == NULL ? OK : take_proxy_header(t);
    if (r != OK)
        return r;
    if (t->ssl != NULL)
        return http_int_tls_read(t, buf, n, ret_n);
    ssize_t got;
    do {
        got = read(t->fd, buf, n);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        *ret_n = (size_t)got;
        return OK;
    }
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? PENDING : CANCELLED;
}

bool http_int_transport_has_bytes(struct transport *t)
{
    char byte;
    if (t->ssl != NULL && SSL_has_pending(t->ssl))
        return true;
    return recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void leave_mode(struct transport *t)
{
    if (t->mode == TRANSPORT_READING)
        h2o_socket_read_stop(t->sock);
    else if (t->mode == TRANSPORT_WATCHING)
        (void)epoll_ctl(t->server->gone_epoll, EPOLL_CTL_DEL, t->fd, NULL);
    t->mode = TRANSPORT_QUIET;
}

static void on_more(struct timer *timer)
{
    struct transport *t = H2O_STRUCT_FROM_MEMBER(struct transport, more_timer, timer);
    if (t->mode == TRANSPORT_READING)
        t->events->readable(t->owner);
}

void http_int_transport_want_read(struct transport *t)
{
    if (t->may_have_more)
        timer_start(t->server->loop, &t->more_timer, 0, on_more);
    if (t->mode == TRANSPORT_READING)
        return;
    leave_mode(t);
    h2o_socket_read_start(t->sock, on_readable);
    t->mode = TRANSPORT_READING;
}

void http_int_transport_watch_gone(struct transport *t)
{
    if (t->mode == TRANSPORT_WATCHING)
        return;
    leave_mode(t);
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data = {.ptr = t}};
    /* Out of memory or watches: the next read or write will find out. */
    if (epoll_ctl(t->server->gone_epoll, EPOLL_CTL_ADD, t->fd, &event) == 0)
        t->mode = TRANSPORT_WATCHING;
}

static void on_gone_ready(h2o_socket_t *sock, const char *err)
{
    struct http_server *server = sock->data;
    (void)err;
    /* One at a time: handling an event may close other watched sockets. */
    for (int i = 0; i < GONE_EVENTS_A_TURN; i++) {
        struct epoll_event event;
        if (epoll_wait(server->gone_epoll, &event, 1, 0) != 1)
            return;
        struct transport *t = event.data.ptr;
        t->events->gone(t->owner);
    }
}

enum result http_int_gone_watch_init(struct http_server *server)
{
    server->gone_epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server->gone_epoll < 0)
        return result_from_errno(errno);
    server->gone_socket =
        h2o_evloop_socket_create(loop_native(server->loop), server->gone_epoll, H2O_SOCKET_FLAG_DONT_READ);
    server->gone_socket->data = server;
    h2o_socket_read_start(server->gone_socket, on_gone_ready);
    return OK;
}

void http_int_gone_watch_done(struct http_server *server)
{
    if (server->gone_socket == NULL)
        return;
    h2o_socket_read_stop(server->gone_socket);
    h2o_socket_close(server->gone_socket); /* closes gone_epoll */
    server->gone_socket = NULL;
}

/* ---- writing ---- */

static void arm_write_timer(struct transport *t);

void http_int_transport_advance(struct transport *t, size_t n)
{
    t->written_bytes += n;
    while (t->iov_first < t->iov_count && n >= t->iov[t->iov_first].iov_len)
        n -= t->iov[t->iov_first++].iov_len;
    if (n > 0) {
        struct iovec *v = &t->iov[t->iov_first];
        v->iov_base = (char *)v->iov_base + n;
        v->iov_len -= n;
    }
}

/* OK: all of it is with the kernel. PENDING: the rest has to wait. */
static enum result send_iov(struct transport *t)
{
    if (t->ssl != NULL)
        return http_int_tls_send(t);
    while (t->iov_first < t->iov_count) {
        struct msghdr message = {.msg_iov = &t->iov[t->iov_first], .msg_iovlen = t->iov_count - t->iov_first};
        ssize_t n = sendmsg(t->fd, &message, MSG_NOSIGNAL);
        if (n >= 0)
            http_int_transport_advance(t, (size_t)n);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return PENDING;
        else if (errno != EINTR)
            return CANCELLED;
    }
    return OK;
}

static void end_write(struct transport *t, enum result r)
{
    timer_stop(&t->write_timer);
    t->is_writing = false;
    t->events->written(t->owner, r);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct transport *t = sock->data;
    uint64_t before = t->written_bytes;
    enum result r = err != NULL ? CANCELLED : send_iov(t);
    if (r != PENDING) {
        end_write(t, r);
        return;
    }
    if (t->written_bytes != before)
        arm_write_timer(t);
    h2o_socket_notify_write(t->sock, on_writable);
}

static void on_write_timeout(struct timer *timer)
{
    struct transport *t = H2O_STRUCT_FROM_MEMBER(struct transport, write_timer, timer);
    end_write(t, CANCELLED);
}

static void arm_write_timer(struct transport *t)
{
    timer_start(t->server->loop, &t->write_timer, t->server->settings.write_timeout_ms, on_write_timeout);
}

static enum result wait_writable(struct transport *t)
{
    t->is_writing = true;
    arm_write_timer(t);
    h2o_socket_notify_write(t->sock, on_writable);
    return PENDING;
}

enum result http_int_transport_wait_writable(struct transport *t)
{
    t->written_bytes = 0;
    t->iov_first = 0;
    t->iov_count = 0;
    return wait_writable(t);
}

enum result http_int_transport_write(struct transport *t, const struct iovec *iov, unsigned count)
{
    t->written_bytes = 0;
    t->iov_first = 0;
    t->iov_count = count;
    memcpy(t->iov, iov, count * sizeof(*iov));
    enum result r = send_iov(t);
    return r == PENDING ? wait_writable(t) : r;
}

bool http_int_transport_is_plain(const struct transport *t)
{
    return t->ssl == NULL;
}

/* ---- life ---- */

void http_int_transport_init(struct transport *t, struct http_server *server, int fd, const struct http_address *peer,
                             const struct transport_events *events, void *owner)
{
    *t = (struct transport){.server = server, .fd = fd, .events = events, .owner = owner};
    name_peer(t, peer);
    t->sock = h2o_evloop_socket_create(loop_native(server->loop), fd,
                                       H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION | H2O_SOCKET_FLAG_DONT_READ);
    t->sock->data = t;
}

void http_int_transport_start_tls(struct transport *t)
{
    assert(t->server->tls != NULL);
    t->tls = http_tls_ref(t->server->tls);
    t->ssl = http_int_tls_session_new(t->tls);
    if (SSL_set_fd(t->ssl, t->fd) != 1)
        abort(); /* out of memory, as everywhere */
}

bool http_int_transport_is_opening(const struct transport *t)
{
    return t->proxy != NULL || (t->ssl != NULL && !SSL_is_init_finished(t->ssl));
}

void http_int_transport_describe(struct transport *t, struct http_request *req)
{
    req->peer = arena_copy(&req->arena, slice_from_cstr(t->peer));
    req->is_secure = t->ssl != NULL;
    if (t->ssl != NULL && !t->is_named)
        t->client_name = http_int_tls_client_name(t);
    t->is_named = true;
    if (t->client_name != NULL)
        req->client_name = arena_copy(&req->arena, slice_from_cstr(t->client_name));
    if (t->has_address)
        http_int_forwarded_apply(req, &t->address);
}

void http_int_transport_move(struct transport *to, struct transport *from, const struct transport_events *events,
                             void *owner)
{
    assert(!from->is_writing && !from->is_retrying);
    leave_mode(from);
    timer_stop(&from->more_timer);
    *to = *from;
    to->events = events;
    to->owner = owner;
    to->sock->data = to;
    *from = (struct transport){.fd = -1};
}

void http_int_transport_shutdown_write(struct transport *t)
{
    if (t->ssl != NULL)
        http_int_tls_close_notify(t);
    (void)shutdown(t->fd, SHUT_WR);
}

void http_int_transport_abort(struct transport *t)
{
    timer_stop(&t->write_timer);
    timer_stop(&t->more_timer);
    t->is_writing = false;
    leave_mode(t);
    (void)shutdown(t->fd, SHUT_RDWR);
}

void http_int_transport_close(struct transport *t)
{
    timer_stop(&t->write_timer);
    timer_stop(&t->more_timer);
    leave_mode(t);
    if (t->ssl != NULL) {
        http_int_tls_close_notify(t);
        SSL_free(TAKE(t->ssl));
        http_tls_unref(TAKE(t->tls));
    }
    if (t->is_counted)
        http_int_address_give_back(t->server->settings.address_limit, &t->address);
    free(TAKE(t->proxy));
    free(TAKE(t->client_name));
    t->is_writing = false;
    h2o_socket_close(t->sock);
    t->sock = NULL;
    t->fd = -1;
}
