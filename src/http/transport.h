/* SPDX-License-Identifier: Apache-2.0
 *
 * One client's socket: bounded non-blocking reads, gathered writes with a stall timeout, and the news that the peer has
 * gone. Plaintext reads and writes the descriptor itself; TLS does it behind the same calls (tls_stream.c).
 */
#ifndef MINATO_HTTP_TRANSPORT_H
#define MINATO_HTTP_TRANSPORT_H

#include <sys/uio.h>

#include "http_int.h"
#include "minato/network.h"

#define TRANSPORT_IOV_MAX 3
#define TRANSPORT_PEER_SIZE 56 /* "[address]:port" and a NUL */

struct transport_events {
    /* There may be something to read, or the end. Only while reading. */
    void (*readable)(void *owner);
    /* The peer has gone. Only while watching. */
    void (*gone)(void *owner);
    /* A PENDING write or wait is over: OK, or CANCELLED when the peer has gone or takes nothing any more. */
    void (*written)(void *owner, enum result r);
};

enum transport_mode { TRANSPORT_QUIET, TRANSPORT_READING, TRANSPORT_WATCHING };

struct transport {
    struct st_h2o_socket_t *sock;
    struct http_server *server;
    const struct transport_events *events;
    void *owner;
    int fd;
    enum transport_mode mode;
    bool is_writing;
    unsigned iov_first;
    unsigned iov_count;
    struct iovec iov[TRANSPORT_IOV_MAX];
    uint64_t written_bytes; /* of the current or last write */
    struct timer write_timer;
    struct ip_address address; /* the client's, or its balancer's until the PROXY header has come */
    bool has_address;
    bool is_counted;            /* in the limit of its address */
    unsigned address_excess;    /* by how many its address is over the limit: to be refused */
    struct proxy_intake *proxy; /* a PROXY header is expected first; NULL when it has come */
    /* TLS; ssl is NULL without it. */
    struct ssl_st *ssl;
    struct http_tls *tls;
    struct timer more_timer; /* OpenSSL has bytes that no event will tell of */
    bool may_have_more;
    bool is_retrying;
    bool is_tls_broken;
    bool is_named; /* client_name is known */
    char *client_name;
    char peer[TRANSPORT_PEER_SIZE];
};

/* Owns `fd` from now on. */
void http_int_transport_init(struct transport *t, struct http_server *server, int fd, const struct http_address *peer,
                             const struct transport_events *events, void *owner);
/* *from becomes *to, which another protocol owns; no write may be pending. `from` is gone. */
void http_int_transport_move(struct transport *to, struct transport *from, const struct transport_events *events,
                             void *owner);
/* Counts it for the limit of its address; without a PROXY header only. */
void http_int_transport_count(struct transport *t);
/* So far over it that it is closed without a word. */
bool http_int_transport_is_unheard(const struct transport *t);
/* Before the first read: a PROXY header comes before anything else. */
void http_int_transport_expect_proxy_header(struct transport *t);
/* Before the first read: TLS, with what the server has for it now. */
void http_int_transport_start_tls(struct transport *t);
/* Whether a PROXY header or a handshake is still going on. */
bool http_int_transport_is_opening(const struct transport *t);
/* Fills in what the connection knows of a request's sender. */
void http_int_transport_describe(struct transport *t, struct http_request *req);
/* No event comes after it. The peer sees a FIN, or a reset if bytes are unread. */
void http_int_transport_close(struct transport *t);
/* Ends both directions without giving up the descriptor, which a pool job still uses. No event comes after it. */
void http_int_transport_abort(struct transport *t);
/* Says that nothing more will be sent. */
void http_int_transport_shutdown_write(struct transport *t);

/* OK: 1..n bytes. PENDING: nothing there. CANCELLED: the end, or a failure. */
enum result http_int_transport_read(struct transport *t, void *buf, size_t n, size_t *ret_n) NODISCARD;
/* From now on `readable` is called whenever something is there. */
void http_int_transport_want_read(struct transport *t);
/* From now on only `gone` is called. Bytes stay in the kernel and cost nothing. */
void http_int_transport_watch_gone(struct transport *t);
/* Whether a read would find bytes (not the end). */
bool http_int_transport_has_bytes(struct transport *t);

/* The bytes are borrowed until completion. Not while a write is pending. */
enum result http_int_transport_write(struct transport *t, const struct iovec *iov, unsigned count) NODISCARD;
/* PENDING: `written` is called once the kernel takes bytes again. */
enum result http_int_transport_wait_writable(struct transport *t) NODISCARD;
/* Whether a pool job may send to `fd` itself. */
bool http_int_transport_is_plain(const struct transport *t);

/* For tls_stream.c: `n` bytes of the current write have left. */
void http_int_transport_advance(struct transport *t, size_t n);

/* The server's part of it. */
enum result http_int_gone_watch_init(struct http_server *server) NODISCARD;
void http_int_gone_watch_done(struct http_server *server);

#endif
