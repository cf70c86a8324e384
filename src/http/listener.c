/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets of one loop (SO_REUSEPORT: each loop has its own and the kernel spreads clients over them), and the
 * accepting of connections within the limit. Loop thread only.
 */
#include "http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <h2o.h>

#include "http1.h"

#define LISTEN_BACKLOG 1024
#define ACCEPTS_A_TURN 64
#define ACCEPT_PAUSE_MS 100

struct http_listener {
    struct http_server *server;
    h2o_socket_t *sock;
    struct http_listen_options options;
    struct http_listener *next;
};

void http_int_server_adopt(struct http_server *server, int fd, const struct http_address *peer,
                           const struct http_listen_options *options)
{
    static const int on = 1;
    http_int_server_count(server, METRIC_CONNECTIONS_ACCEPTED, 1);
    bool is_over_limit = server->connection_count >= server->settings.connections_max;
    if (is_over_limit)
        http_int_server_count(server, METRIC_CONNECTIONS_REFUSED, 1);
    if (is_over_limit && server->connection_count - server->settings.connections_max >= HTTP_REFUSED_MAX) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    http_int_http1_open(server, fd, peer, options, is_over_limit);
}

static void on_acceptable(h2o_socket_t *sock, const char *err);

static void on_accept_again(struct timer *timer)
{
    struct http_server *server = H2O_STRUCT_FROM_MEMBER(struct http_server, accept_timer, timer);
    for (struct http_listener *l = server->listeners; l != NULL; l = l->next)
        h2o_socket_read_start(l->sock, on_acceptable);
}

/* Without descriptors the listeners would stay readable and spin. */
static void pause_accepting(struct http_server *server)
{
    for (struct http_listener *l = server->listeners; l != NULL; l = l->next)
        h2o_socket_read_stop(l->sock);
    timer_start(server->loop, &server->accept_timer, ACCEPT_PAUSE_MS, on_accept_again);
}

/* False when there is none left. */
static bool accept_one(struct http_listener *l)
{
    struct http_address peer;
    peer.len = sizeof(peer.addr);
    int fd =
        accept4(h2o_socket_get_fd(l->sock), (struct sockaddr *)&peer.addr, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        http_int_server_adopt(l->server, fd, &peer, &l->options);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        pause_accepting(l->server);
    return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
}

static void on_acceptable(h2o_socket_t *sock, const char *err)
{
    struct http_listener *l = sock->data;
    (void)err;
    for (int i = 0; i < ACCEPTS_A_TURN && accept_one(l); i++)
        ;
}

static enum result open_socket(const struct http_address *address, bool is_shared, int *ret_fd)
{
    static const int on = 1;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return result_from_errno(errno);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (is_shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (address->addr.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        bind(fd, (const struct sockaddr *)&address->addr, address->len) != 0 ||
        (is_shared && listen(fd, LISTEN_BACKLOG) != 0)) {
        int err = errno;
        close(fd);
        errno = err;
        return err == EADDRINUSE ? EXISTS : result_from_errno(err);
    }
    *ret_fd = fd;
    return OK;
}

static void explain(const struct http_address *address, struct strbuf *ret_why)
{
    char text[128];
    int err = errno;
    strbuf_append_cstr(ret_why, "cannot listen on ");
    http_address_format(address, ret_why);
    strbuf_append_format(ret_why, ": %s", strerror_r(err, text, sizeof(text)));
}

enum result http_address_probe(const struct http_address *address, struct strbuf *ret_why)
{
    int fd = -1;
    enum result r = open_socket(address, false, &fd);
    if (r == OK)
        close(fd);
    else
        explain(address, ret_why);
    return r;
}

enum result http_server_listen(struct http_server *server, struct http_address *address,
                               const struct http_listen_options *options, struct strbuf *ret_why)
{
    int fd = -1;
    enum result r = open_socket(address, true, &fd);
    if (r != OK) {
        explain(address, ret_why);
        return r;
    }
    address->len = sizeof(address->addr);
    (void)getsockname(fd, (struct sockaddr *)&address->addr, &address->len);
    struct http_listener *l = xcalloc(1, sizeof(*l));
    l->server = server;
    l->options = *options;
    l->sock = h2o_evloop_socket_create(loop_native(server->loop), fd, H2O_SOCKET_FLAG_DONT_READ);
    l->sock->data = l;
    l->next = server->listeners;
    server->listeners = l;
    h2o_socket_read_start(l->sock, on_acceptable);
    return OK;
}

void http_int_listeners_close(struct http_server *server)
{
    timer_stop(&server->accept_timer);
    while (server->listeners != NULL) {
        struct http_listener *l = server->listeners;
        server->listeners = l->next;
        /* Clients that the kernel has already accepted for us would get a reset. */
        while (accept_one(l))
            ;
        h2o_socket_read_stop(l->sock);
        h2o_socket_close(l->sock);
        free(l);
    }
    timer_stop(&server->accept_timer);
}
