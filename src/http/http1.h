/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1: one connection, the head of a request, its body, its reply. A connection is always in one state:
 *
 *     HEAD     waits for a request (idle) or for the rest of a head
 *     BUSY     a handler has the request: it may read the body, it replies once, then http_request_done
 *     DRAIN    replied; the small rest of an unread body is thrown away before the next head
 *     REFUSE   sends an error of this layer, then lingers
 *     LINGER   replied for the last time; input is thrown away for a while, so that the reply is not lost to a reset
 *     CLOSED   the socket is closed or abandoned; memory goes with the last hold
 */
#ifndef MINATO_HTTP_HTTP1_H
#define MINATO_HTTP_HTTP1_H

#include "http_int.h"
#include "transport.h"

/* An unread rest of a body up to this is read and thrown away; above, the connection closes. */
#define HTTP1_DRAIN_BYTES_MAX (64u * 1024u)

/* ---- head (http1_head.c, http1_framing.c) ---- */

enum http1_framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct http1_head {
    struct http_request *req;
    enum http1_framing framing;
    bool keep_alive;
    bool is_http10;
    bool expects_continue;
    size_t bytes; /* of the head */
};

/* OK: *ret_head holds a new request. PENDING: incomplete. INVALID: *ret_error says why. `seen` bytes of `buf` were
 * there at the last call that returned PENDING. `bytes_max` limits the head. */
enum result http_int_http1_parse_head(struct http_server *server, struct slice buf, size_t seen,
                                      struct http1_head *ret_head, const struct http_error **ret_error) NODISCARD;

/* What was asked by a head that is refused or was cut short, as far as it can be told: empty where it cannot. */
void http_int_http1_peek_target(struct slice buf, struct slice *ret_method, struct slice *ret_path);

/* What the headers say about the connection and the body. */
struct http1_facts {
    unsigned host_count;
    struct slice host;
    unsigned length_count;
    uint64_t length;
    unsigned coding_count;
    bool close;
    bool keep_alive;
    bool expects_continue;
};

/* Takes one header into account; NULL, or why the request is refused. */
const struct http_error *http_int_http1_note_header(struct http1_facts *facts, struct slice name, struct slice value);
/* Checks the whole. */
const struct http_error *http_int_http1_check_facts(const struct http1_facts *facts, bool is_http10);

/* ---- chunked coding (http1_chunks.c) ---- */

struct http1_chunks {
    uint8_t state;
    uint8_t digits;
    uint16_t line_bytes;    /* of the current size line or trailer section */
    uint64_t left_in_chunk; /* data still to come */
};

/* Decodes `len` bytes at `src` to `dst` (which may be the same place, or before it). OK: all used, more to come.
 * NOT_FOUND: the body has ended; what is behind *ret_used belongs to the next request. INVALID: not chunked coding. */
enum result http_int_http1_decode_chunks(struct http1_chunks *chunks, char *dst, const char *src, size_t len,
                                         size_t *ret_used, size_t *ret_decoded) NODISCARD;

/* ---- connection (http1_connection.c) ---- */

enum http1_state { HTTP1_HEAD, HTTP1_BUSY, HTTP1_DRAIN, HTTP1_REFUSE, HTTP1_LINGER, HTTP1_CLOSED };

enum http1_body_wait { BODY_NOT_WAITING, BODY_WAITS_FOR_CONTINUE, BODY_WAITS_FOR_PAGE, BODY_WAITS_FOR_BYTES };

struct http1_body {
    enum http1_framing framing;
    bool is_complete;
    bool awaits_continue; /* the client waits for 100 and has sent nothing yet */
    enum result failure;  /* sticky: INVALID, UNAVAILABLE */
    uint64_t left;        /* FRAMING_LENGTH */
    struct http1_chunks chunks;
    /* The read under way, when wait is not BODY_NOT_WAITING. */
    enum http1_body_wait wait;
    struct page *page;
    struct page **ret_page;
    struct done done;
    unsigned pages_at_once; /* handed over without a wait */
    /* Minimum rate, over the time in which the handler waited for bytes. */
    uint64_t wait_began_ms;
    uint64_t window_ms;
    uint64_t window_bytes;
};

/* Bytes read but not used yet; memory only while there are any. */
struct http1_input {
    char *ptr;
    size_t start;
    size_t len;
    size_t capacity; /* 0: ptr is the server's scratch buffer */
};

struct http1_file_job {
    struct pool_job job; /* first */
    struct http1_connection *connection;
    int socket_fd;
    int fd;
    struct slice head;
    uint64_t offset;
    uint64_t left;
    uint64_t sent;
    enum result outcome; /* OK: may go on. PENDING: the socket is full. UNSUPPORTED: not by sendfile. */
};

struct http1_connection {
    struct http_link link; /* first */
    struct http_server *server;
    struct transport io;
    struct timer timer; /* idle, head, body, linger: whatever the state waits for */
    enum http1_state state;
    unsigned holds; /* the open socket, a pool job, callers on the stack */
    bool is_over_limit;
    bool is_running;
    bool has_served;    /* a request: what follows is not HTTP/2 */
    bool is_head_begun; /* part of a head is there and its time runs */
    bool is_broken;     /* a write or read failed inside a call of the handler's; closes on the loop's next turn */
    bool keep_alive;
    bool is_http10;
    bool continue_is_unsent; /* "100 Continue" is on its way; the reply waits for it */
    bool reply_waits;
    bool must_linger;
    bool is_fd_lent; /* a pool job sends on the socket */
    size_t head_seen;
    uint64_t head_began_ms; /* of the loop's clock, while is_head_begun */
    size_t lingered_bytes;
    struct http1_input in;
    struct http1_body body;
    struct http_request *req;
    /* The request whose reply waits for a pool job or a source. Both hold the connection and report the reply when
     * they are through, also after the client has gone. */
    struct http_request *away;
    struct slice head;        /* of the reply, in the request's arena */
    struct page *page;        /* of a streamed reply: being written */
    struct page *source_page; /* being read */
    struct http1_file_job *file_job;
    char *refusal;
};

extern const struct http_carrier http_int_http1_carrier;

/* Owns `fd` from now on. */
void http_int_http1_open(struct http_server *server, int fd, const struct http_address *peer,
                         const struct http_listen_options *options, bool is_over_limit);
void http_int_http1_hold(struct http1_connection *c);
void http_int_http1_release(struct http1_connection *c);
/* The client has gone, or is given up: tells the handler, closes. The handler's completions run inside. */
void http_int_http1_abort(struct http1_connection *c);
/* The same on the loop's next turn, for use inside calls of the handler's. */
void http_int_http1_abort_soon(struct http1_connection *c);
/* The carrier's. The connection is held from one to the other. */
void http_int_http1_detach(struct http_request *req);
void http_int_http1_resume(void *stream);

void http_int_http1_input_consume(struct http1_connection *c, size_t n);
void http_int_http1_input_set(struct http1_connection *c, const char *ptr, size_t len);
void http_int_http1_input_free(struct http1_connection *c);

/* ---- body (http1_body.c) ---- */

void http_int_http1_body_init(struct http1_connection *c, const struct http1_head *head);
enum result http_int_http1_body_read(struct http_request *req, struct page **ret_page, struct done done) NODISCARD;
void http_int_http1_body_on_readable(struct http1_connection *c);
void http_int_http1_body_on_continue_sent(struct http1_connection *c);
/* Whether the next request can follow on this connection if the handler reads no more. */
bool http_int_http1_body_is_drainable(const struct http1_connection *c);
/* Throws away the rest. OK: complete. PENDING: more to come. CANCELLED: the client has gone. */
enum result http_int_http1_body_drain(struct http1_connection *c) NODISCARD;
/* Takes back an outstanding read; true if its `done` is now the caller's to call. */
bool http_int_http1_body_cancel(struct http1_connection *c, struct done *ret_done);

/* ---- reply (http1_reply.c, http1_file.c) ---- */

enum result http_int_http1_reply(struct http_request *req) NODISCARD;
/* The transport's `written`, for a reply. */
void http_int_http1_reply_on_written(struct http1_connection *c);
/* The reply waited for "100 Continue" to leave. */
void http_int_http1_reply_go(struct http1_connection *c);
/* Sends `error` without a request; completes through the transport's `written`. */
enum result http_int_http1_send_refusal(struct http1_connection *c, const struct http_error *error) NODISCARD;
/* Sends `req->reply.source`, and c->head before it unless that is empty. */
enum result http_int_http1_send_stream(struct http1_connection *c, struct http_request *req) NODISCARD;
/* The reply has ended with `r`, unless that is PENDING: tells whoever made it. */
void http_int_http1_reply_finish(struct http1_connection *c, struct http_request *req, enum result r);
/* Counts what the current write has handed to the kernel. */
void http_int_http1_reply_note_sent(struct http1_connection *c, struct http_request *req);

enum result http_int_http1_send_file(struct http1_connection *c, struct http_request *req) NODISCARD;
void http_int_http1_file_on_writable(struct http1_connection *c, struct http_request *req);

#endif
