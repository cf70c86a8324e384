/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of src/http share: the server of one loop, a request, its reply, and the seam behind which a
 * protocol carries them (struct http_carrier). HTTP/1.1 is in http1.h; nothing here knows it.
 */
#ifndef MINATO_HTTP_INT_H
#define MINATO_HTTP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "minato/http.h"

struct http_listener;
struct http_link;
struct st_h2o_socket_t;

/* ---- server ---- */

/* One read of a head takes at most this much, so no more of a body than this is held before the handler asks. */
#define HTTP_HEAD_READ_BYTES (16u * 1024u)
#define HTTP_BULK_READ_BYTES (128u * 1024u) /* one read of an HTTP/2 connection */
#define HTTP_HEADERS_MAX 100
#define HTTP_TARGET_BYTES_MAX 8192
/* After the last answer, before the socket is closed: what still comes is thrown away. */
#define HTTP_LINGER_BYTES_MAX (512u * 1024u)
#define HTTP_LINGER_MS 2000
/* Connections above the limit that still get to hear 503; what comes above these is closed at once. */
#define HTTP_REFUSED_MAX 64
#define HTTP_DATE_SIZE 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

struct http_server {
    struct loop *loop;
    struct http_settings settings;
    struct pool *pool;
    struct metrics *metrics; /* may be NULL */
    http_handler *handler;
    void *handler_data;
    struct http_tls *tls;                    /* NULL: plain */
    http_refusal_listener *refusal_listener; /* may be NULL */
    void *refusal_data;

    struct http_listener *listeners;
    struct timer accept_timer; /* running: out of file descriptors, not accepting */
    struct http_link *connections;
    unsigned connection_count;
    unsigned request_count; /* requests outlive their connections */

    /* Sees peers go away that have unread bytes in the kernel, which libh2o cannot poll for (transport.c). */
    int gone_epoll;
    struct st_h2o_socket_t *gone_socket;

    char *bulk;    /* HTTP_BULK_READ_BYTES, from the first HTTP/2 connection on */
    char *scratch; /* HTTP_HEAD_READ_BYTES: heads are read here, so idle connections hold no buffer */
    char date[HTTP_DATE_SIZE];
    time_t date_second;
    bool may_sendfile;

    bool draining;
    struct timer drain_timer;
    void (*drained)(void *data);
    void *drained_data;
};

/* Takes over the non-blocking socket `fd` of a client. */
void http_int_server_adopt(struct http_server *server, int fd, const struct http_address *peer,
                           const struct http_listen_options *options);
/* A connection as the server sees it, whatever it speaks: first member of each protocol's own struct. */
struct http_protocol {
    /* The client has gone, or is given up: tells its handlers, closes. */
    void (*abort)(struct http_link *link);
    /* The server drains: closes now if nothing is under way, else after it. */
    void (*drain)(struct http_link *link);
};
struct http_link {
    const struct http_protocol *protocol;
    struct http_link *previous;
    struct http_link *next;
};
/* Counts the connection, and lists it until it is unlinked; memory may go later, with http_int_server_forget. */
void http_int_server_link(struct http_server *server, struct http_link *link, const struct http_protocol *protocol);
void http_int_server_unlink(struct http_server *server, struct http_link *link);
void http_int_server_forget(struct http_server *server);
/* A connection or request has ended: reports the drain when it was the last. */
void http_int_server_ended(struct http_server *server);
void http_int_server_count(struct http_server *server, enum metric_counter counter, uint64_t n);
void http_int_server_gauge(struct http_server *server, enum metric_gauge gauge, int64_t delta);
/* The value of a Date header, made once a second. */
struct slice http_int_server_date(struct http_server *server);
void http_int_listeners_close(struct http_server *server);

/* ---- errors of this layer: no handler sees the request ---- */

struct http_error {
    int status;
    const char *code; /* of the OCI distribution specification */
    const char *message;
    const char *header; /* "name: value", or NULL */
};
/* Appends the error document. */
void http_int_error_document(const struct http_error *error, struct strbuf *out);
/* Tells whoever writes the access log. */
void http_int_server_refused(struct http_server *server, const struct http_error *error, struct slice method,
                             struct slice path, struct slice peer, uint64_t duration_ms);

/* ---- proxies in front (proxy_header.c, forwarded.c, address_limit.c) ---- */

#define HTTP_PROXY_HEADER_BYTES_MAX 536u
#define HTTP_PEER_BYTES_MAX 256u

/* OK: *ret_used bytes are the header; ret_peer->len is 0 if it names no client. PENDING: incomplete. INVALID. */
enum result http_int_proxy_header_parse(struct slice buf, size_t *ret_used, struct http_address *ret_peer) NODISCARD;
bool http_int_is_trusted(const struct http_server *server, const struct ip_address *address);
/* Lets Forwarded and its like say who sent `req`, if `sender`, whose connection it is, is a trusted proxy. */
void http_int_forwarded_apply(struct http_request *req, const struct ip_address *sender);
/* Counts a connection; by how many its address is over the limit. */
unsigned http_int_address_take(struct http_address_limit *limit, const struct ip_address *address);
void http_int_address_give_back(struct http_address_limit *limit, const struct ip_address *address);

/* ---- target (target.c) ---- */

/* Splits the request target into path, query and, for the absolute form, host. */
const struct http_error *http_int_split_target(struct slice method, struct slice target, struct slice *ret_path,
                                               struct slice *ret_query, struct slice *ret_host);
bool http_int_is_host(struct slice host);

/* ---- request ------------------------------------------------------------------------------------------------------
 */

enum http_reply_state { REPLY_NONE, REPLY_BEGUN, REPLY_COMPLETE };
enum http_reply_kind { REPLY_BYTES, REPLY_FILE, REPLY_STREAM };

struct http_reply {
    enum http_reply_state state;
    enum http_reply_kind kind;
    int status;
    bool is_bodiless;                  /* HEAD, 204, 304: only the head goes out */
    const struct http_header *headers; /* only until the carrier's `reply` has returned */
    size_t header_count;
    uint64_t length; /* what Content-Length says */
    struct slice bytes;
    int fd;
    uint64_t offset;
    struct byte_source *source;
    struct done done;
    uint64_t sent; /* bytes of the body handed to the kernel */
};

struct http_request;

/* What a protocol does for a request. All on the loop. */
struct http_carrier {
    enum result (*body_read)(struct http_request *req, struct page **ret_page, struct done done);
    /* Sends req->reply, completing as the door says. */
    enum result (*reply)(struct http_request *req);
    /* The handler is through: the request is about to be freed, with a reply made or the client gone. Not called once
     * `stream` is NULL. */
    void (*detach)(struct http_request *req);
    /* After that, with what was the request's stream: go on with the next one. */
    void (*resume)(void *stream);
};

struct http_field {
    struct slice name; /* in lower case */
    struct slice value;
};

struct http_request {
    struct arena arena; /* holds this struct too */
    struct http_server *server;
    const struct http_carrier *carrier;
    void *stream; /* the carrier's; NULL once the client has gone */
    struct byte_source body;
    struct slice method;
    struct slice path;
    struct slice query;
    struct slice host;
    struct slice peer;
    struct slice protocol;
    struct slice client_name;
    struct http_field *fields;
    size_t field_count;
    bool is_secure;
    bool has_body;
    uint64_t content_length; /* UINT64_MAX: unknown */
    uint64_t body_bytes;
    enum result body_failure;
    uint64_t begun_ms;
    void (*gone)(void *data);
    void *gone_data;
    bool is_gone;
    struct http_reply reply;
};

/* A request in its own arena, without a head. */
struct http_request *http_int_request_new(struct http_server *server, const struct http_carrier *carrier);
/* Counts and frees it. */
void http_int_request_free(struct http_request *req);

/* ---- reply --------------------------------------------------------------------------------------------------------
 */

/* Writes `value` in decimal digits (20 at most) and returns where they end. */
char *http_int_put_number(char *at, uint64_t value);
/* "Not Found"; "Status" for what is not in the table. */
const char *http_int_reason(int status);
/* `length` bytes of `fd` from `offset`, read by the pool into pages, for connections that cannot sendfile. */
struct byte_source *http_int_file_source_new(struct http_request *req, int fd, uint64_t offset, uint64_t length);

#endif
