/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP server of one loop: accepts, reads heads, hands out requests, pulls bodies, sends replies. What protocol
 * carries a request is not visible here. Everything runs on the server's loop.
 */
#ifndef MINATO_HTTP_H
#define MINATO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "minato/async.h"
#include "minato/clock.h"
#include "minato/network.h"
#include "minato/result.h"
#include "minato/slice.h"
#include "minato/telemetry.h"

/* Refuses to run on a libh2o whose private structs we do not know; writes why. Call once, before any loop serves: it
 * also sets the process up for it (SIGPIPE ignored, malloc keeps what it frees). */
enum result http_library_check(struct strbuf *ret_why) NODISCARD;

/* ---- server ---------------------------------------------------------------------------------------------------------
 */

struct http_server;
struct http_request;

struct http_settings {
    size_t head_bytes_max;         /* request line and headers: 431 above */
    uint64_t head_timeout_ms;      /* from the first byte of a head to its last: 408, close */
    uint64_t idle_timeout_ms;      /* between requests: close */
    uint64_t body_timeout_ms;      /* without a byte while a handler waits for one */
    uint64_t body_min_rate_bytes;  /* per second over each body_timeout_ms in which the handler waited; 0: none */
    uint64_t write_timeout_ms;     /* without progress while sending: close */
    unsigned connections_max;      /* of this loop: 503 and close above */
    const struct network *trusted; /* proxies whose word counts for who a client is; borrowed, outlives the server */
    size_t trusted_count;
    struct http_address_limit *address_limit; /* shared by all loops, borrowed; NULL: none */
};

/* Connections of each address over all loops; above `max` they hear 503. Any thread. */
struct http_address_limit *http_address_limit_new(unsigned max);
void http_address_limit_free(struct http_address_limit *limit); /* accepts NULL */

/* The handler owns `req` until http_request_done; it answers at once or later. Called when the head is complete,
 * before anything of the body is read. */
typedef void http_handler(void *data, struct http_request *req);

enum result http_server_new(struct loop *loop, const struct http_settings *settings, struct pool *pool,
                            struct metrics *metrics, http_handler *handler, void *data,
                            struct http_server **ret_server) NODISCARD;
/* A request that this layer refused, and closed the connection: no handler has seen it. Valid during the call. */
struct http_refusal {
    int status;
    const char *reason;  /* a constant sentence, as the client was told */
    struct slice method; /* this and `path` (without the query, cut at 1 KiB): empty if there was no such thing */
    struct slice path;
    struct slice peer;
    uint64_t duration_ms; /* since the head began to arrive */
};
typedef void http_refusal_listener(void *data, const struct http_refusal *refusal);
/* Hears of each refusal, for the log; it may not call the server. Before anything is served. */
void http_server_on_refusal(struct http_server *server, http_refusal_listener *listener, void *data);

/* After http_server_drain has reported, or before anything was served. Accepts NULL. */
void http_server_free(struct http_server *server);

/* ---- TLS: certificate, key and session keys; shared by all loops. Any thread. ---- */

struct http_tls;

struct http_tls_settings {
    const char *certificate_file; /* PEM, the chain behind it */
    const char *key_file;         /* PEM, without a passphrase */
    const char *client_ca_file;   /* PEM; NULL: clients are not asked who they are */
    struct slice secret;          /* of session tickets; empty: a random one */
    struct clock clock;
};
/* TLS 1.2 and 1.3; ALPN h2, then http/1.1. INVALID with a sentence in `ret_why`. Reads files. */
enum result http_tls_new(const struct http_tls_settings *settings, struct strbuf *ret_why,
                         struct http_tls **ret_tls) NODISCARD;
struct http_tls *http_tls_ref(struct http_tls *tls);
void http_tls_unref(struct http_tls *tls); /* accepts NULL */
/* For the connections accepted from now on; takes a reference of its own. On the loop, or before it runs. */
void http_server_set_tls(struct http_server *server, struct http_tls *tls);

/* ---- listening ---- */

struct http_listen_options {
    bool is_tls;           /* http_server_set_tls comes first */
    bool has_proxy_header; /* a PROXY protocol header comes first, from trusted addresses only */
};

struct http_address {
    struct sockaddr_storage addr;
    socklen_t len;
};
/* "host:port" as in the configuration. INVALID with a sentence in `ret_why`. May ask the resolver: start-up only. */
enum result http_address_resolve(struct slice text, struct http_address *ret_address, struct strbuf *ret_why) NODISCARD;
/* "127.0.0.1:5000", "[::1]:5000". */
void http_address_format(const struct http_address *address, struct strbuf *out);
/* OK if nobody listens there yet: SO_REUSEPORT would let a second server share the port in silence. Start-up only. */
enum result http_address_probe(const struct http_address *address, struct strbuf *ret_why) NODISCARD;
/* Listens (SO_REUSEPORT). A port 0 is replaced in *address by the one the kernel chose, so that the next loop can
 * share it. May be called several times. */
enum result http_server_listen(struct http_server *server, struct http_address *address,
                               const struct http_listen_options *options, struct strbuf *ret_why) NODISCARD;
/* Stops accepting, closes idle connections, lets running requests finish (each answered with Connection: close),
 * closes what is left after `timeout_ms`. `drained` is called once, after the call has returned, when no connection
 * is left and no handler has a request any more; it may free the server. */
void http_server_drain(struct http_server *server, uint64_t timeout_ms, void (*drained)(void *data), void *data);

/* ---- request: valid from the handler's call to http_request_done, also after the client has gone --------------------
 */

struct slice http_request_method(const struct http_request *req);
/* The path as sent, without the query; not decoded, starts with '/'; "*" of "OPTIONS *". */
struct slice http_request_path(const struct http_request *req);
/* What follows the first '?', not decoded; empty without one. */
struct slice http_request_query(const struct http_request *req);
/* The first value of a header (`name` in lower case), trimmed; ptr is NULL if there is none. */
struct slice http_request_header(const struct http_request *req, struct slice name);
/* Of the Host header, an absolute URL, :authority, or what a trusted proxy says of it; checked for its characters only;
 * may be empty. */
struct slice http_request_host(const struct http_request *req);
/* "127.0.0.1:43210", or what a trusted proxy says of its client, with or without a port. */
struct slice http_request_peer(const struct http_request *req);
bool http_request_is_secure(const struct http_request *req);
/* The common name in the subject of the client's certificate, verified; empty without one. Printable ASCII. */
struct slice http_request_client_name(const struct http_request *req);
/* "HTTP/1.1" */
struct slice http_request_protocol(const struct http_request *req);
uint64_t http_request_begun_ms(const struct http_request *req); /* loop_now_ms when its head was complete */
/* Lives as long as the request. */
struct arena *http_request_arena(struct http_request *req);

/* Decoded value of a query parameter ("+" is not a space); false if it is absent. INVALID escapes count as absent.
 * `index`: 0 is the first occurrence. */
bool http_request_query_value(struct http_request *req, struct slice name, unsigned index, struct slice *ret_value);

/* Whether a body is announced (Content-Length over 0, or chunked). */
bool http_request_has_body(const struct http_request *req);
/* UINT64_MAX when it is not known before its end; 0 without a body. */
uint64_t http_request_content_length(const struct http_request *req);
/* The body. The first read sends "100 Continue" if the client waits for it. Pages are the caller's to release. */
struct byte_source *http_request_body(struct http_request *req);
uint64_t http_request_body_bytes(const struct http_request *req); /* read so far */
/* What reading it has failed with, OK so far: tells a failure of the sender's from one of the store's. */
enum result http_request_body_failure(const struct http_request *req);

/* Called at most once, when the client goes away before the reply is complete; not if it had gone before this call.
 * Outstanding body reads and replies report CANCELLED by themselves. A client that closes only its sending side counts
 * as gone. */
void http_request_on_gone(struct http_request *req, void (*gone)(void *data), void *data);
bool http_request_is_gone(const struct http_request *req);

/* ---- reply: exactly one per request ---- */

struct http_header {
    struct slice name; /* in lower case */
    struct slice value;
};

/* All replies: OK when the last byte was handed to the kernel (at once, for small ones), CANCELLED if the client went
 * away. Date, Connection and Content-Length are added here (no Content-Length on 204 and 304, no body on these and to
 * HEAD). Headers are copied at once, line ends in their values become spaces; bodies are borrowed until completion. An
 * unread body is drained if it is small, else the connection closes after a linger, so that the answer always reaches
 * the client. */
enum result http_reply_bytes(struct http_request *req, int status, const struct http_header *headers, size_t count,
                             struct slice body, struct done done) NODISCARD;
/* For HEAD: the header of an answer whose body would have `content_length` bytes; no body. */
enum result http_reply_head(struct http_request *req, int status, const struct http_header *headers, size_t count,
                            uint64_t content_length, struct done done) NODISCARD;
/* `length` bytes of `fd` from `offset`, sent by the pool. `fd` stays the caller's. IO if the file is shorter. */
enum result http_reply_file(struct http_request *req, int status, const struct http_header *headers, size_t count,
                            int fd, uint64_t offset, uint64_t length, struct done done) NODISCARD;
/* `length` bytes pulled from `source`. A source that fails or ends early closes the connection: its result. */
enum result http_reply_stream(struct http_request *req, int status, const struct http_header *headers, size_t count,
                              uint64_t length, struct byte_source *source, struct done done) NODISCARD;
/* Bytes of the reply's body handed to the kernel so far. */
uint64_t http_request_reply_bytes(const struct http_request *req);
int http_request_reply_status(const struct http_request *req); /* 0 before the reply began */

/* The handler is through; `req` is gone. Without a reply the client gets 500. No reply or body read is outstanding. */
void http_request_done(struct http_request *req);

#endif
