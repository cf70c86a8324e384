/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 (RFC 9113) on libnghttp2: one connection, its streams, their bodies and replies. The library frames, packs
 * headers and keeps the books of windows; what is read, when, and into which memory is decided here.
 *
 * The window of a stream is room in pages that it holds, so whatever a client may send is paid for from the one budget
 * before it is sent; a stream whose handler has not asked has no window. What comes before the client has seen our
 * settings (at most 64 KiB a connection, by the protocol's defaults) is kept aside.
 *
 * Handlers run inside the library's receiving, where it takes submissions but must not send: sending happens at the
 * top of an event (http_int_http2_flush) or, for replies made elsewhere, on the loop's next turn.
 */
#ifndef MINATO_HTTP_HTTP2_H
#define MINATO_HTTP_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "http_int.h"
#include "transport.h"

#define HTTP2_STREAMS_MAX 100 /* at once on a connection */
#define HTTP2_OUT_BYTES (64u * 1024u)

struct http2_connection;

struct http2_body {
    bool has_ended;    /* END_STREAM has come */
    bool is_discarded; /* nobody will read the rest */
    enum result failure;
    uint64_t received_bytes;
    struct page *pages; /* filled up to some page, empty from there */
    struct page *acquired;
    char *early; /* came before there was a page */
    size_t early_len;
    /* The read under way. */
    bool is_read;
    bool waits_for_page;
    struct page **ret_page;
    struct done done;
    struct timer timer;    /* while it waits for the client */
    uint64_t bytes_before; /* received when the timer was armed */
};

struct http2_sender {
    bool is_complete;     /* the library has sent all of the reply */
    enum result failure;  /* of the source */
    char *copy;           /* a small body: the request may end before it is sent */
    struct slice bytes;   /* what is left of it, or of the handler's; ptr is NULL: from the source */
    uint64_t left;        /* of all of the body */
    struct page *page;    /* being sent */
    struct page *arrived; /* written by the source */
    struct timer timer;
    uint64_t sent_before; /* when the timer was armed */
    uint64_t sent;
};

struct http2_stream {
    struct http2_connection *connection;
    struct http2_stream *previous;
    struct http2_stream *next;
    struct http2_stream *next_finished;
    int32_t id;
    bool is_closed; /* the library has forgotten it: goes when the source's read is back */
    bool is_finished;
    bool expects_continue;
    bool has_begun; /* a handler has got the request, or it was refused */
    const struct http_error *error;
    struct http_request *req;  /* NULL: before the handler has it, and after it is through */
    struct http_request *away; /* the request whose reply waits for its source, also when the client has gone */
    size_t head_bytes;
    size_t field_room;
    struct http2_body body;
    struct http2_sender out;
};

/* Where the frames begin in what the client sends: the library keeps silent on those that it ignores. */
struct http2_scan {
    uint64_t skip; /* bytes of the preface or a payload still to come */
    uint8_t head[9];
    size_t head_len;
};

/* What a connection did lately that costs us more than it costs the client. */
struct http2_guard {
    uint64_t since_ms;
    unsigned resets;
    unsigned provoked; /* resets by us */
    unsigned control;  /* PING, SETTINGS, PRIORITY, unknown frames, DATA without a byte */
    unsigned updates;  /* WINDOW_UPDATE */
    unsigned continuations;
    uint64_t sent_bytes;
};

struct http2_connection {
    struct http_link link; /* first */
    struct http_server *server;
    struct transport io;
    nghttp2_session *session;
    struct http2_stream *streams;
    unsigned stream_count;
    struct http2_stream *finished; /* their replies have left: to be told */
    struct timer flush_timer;
    struct timer timer; /* preface and settings, head, idle, goodbye, linger: whichever is waited for */
    struct http2_scan scan;
    struct http2_guard guard;
    unsigned holds;
    bool is_over_limit;
    bool is_inside;  /* the library is on the stack */
    bool is_writing; /* `out` is on its way */
    bool is_settled; /* the client has acknowledged our settings */
    bool is_in_head; /* of a request: HEADERS without END_HEADERS */
    bool is_going;   /* GOAWAY has been sent */
    bool is_lingering;
    bool is_closed;
    size_t lingered_bytes;
    char *out;
    size_t out_len;
};

/* ---- connection (http2_connection.c) ---- */

/* Whether `buf` is the client preface (1) or may become it (0), or is something else (-1). RFC 9113, section 3.4. */
int http_int_http2_preface(struct slice buf);
/* Takes over *io, which is gone, and what was read from it already. */
void http_int_http2_open(struct http_server *server, struct transport *io, struct slice input, bool is_over_limit);
void http_int_http2_flush_soon(struct http2_connection *c);

/* ---- streams and heads (http2_stream.c) ---- */

extern const struct http_carrier http_int_http2_carrier;

int http_int_http2_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data);
int http_int_http2_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                             const uint8_t *value, size_t value_len, uint8_t flags, void *data);
/* The head of a request is complete: hands it out. */
void http_int_http2_begin_request(struct http2_stream *s);
int http_int_http2_on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data);
/* The client has given it up, or its connection has ended: tells the handler. */
void http_int_http2_stream_gone(struct http2_stream *s);
/* Frees it once nothing holds it. */
void http_int_http2_stream_release(struct http2_stream *s);
/* Resets it; the handler hears that the client has gone. */
void http_int_http2_stream_reset(struct http2_stream *s, uint32_t error);

/* ---- bodies (http2_body.c) ---- */

enum result http_int_http2_body_read(struct http_request *req, struct page **ret_page, struct done done) NODISCARD;
void http_int_http2_body_take(struct http2_stream *s, const char *ptr, size_t len);
void http_int_http2_body_end(struct http2_stream *s);
/* Gives the client as much window as there is room. */
void http_int_http2_body_open_window(struct http2_stream *s);
/* Takes back an outstanding read and gives back what is held; true if its `done` is now the caller's to call. */
bool http_int_http2_body_cancel(struct http2_stream *s, struct done *ret_done);

/* ---- replies (http2_reply.c) ---- */

enum result http_int_http2_reply(struct http_request *req) NODISCARD;
/* For a stream whose request no handler gets; `is_bodiless` to HEAD. */
void http_int_http2_submit_refusal(struct http2_stream *s, const struct http_error *error, bool is_bodiless);
int http_int_http2_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                             nghttp2_data_source *source, void *data);
/* The library has sent the last frame of the stream's reply. */
void http_int_http2_reply_sent(struct http2_stream *s);
/* Tells whoever made the reply. */
void http_int_http2_reply_tell(struct http2_stream *s, enum result r);
void http_int_http2_reply_release(struct http2_stream *s);

/* ---- floods (http2_guard.c) ---- */

#define HTTP2_PREFACE_BYTES 24

/* Looks at what has been read, before the library does, and at each reset that we send. False: the connection is to end
 * with ENHANCE_YOUR_CALM. */
bool http_int_http2_guard_input(struct http2_connection *c, struct slice bytes);
bool http_int_http2_guard_reset(struct http2_connection *c);

#endif
