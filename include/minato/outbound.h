/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to other servers: over HTTP (redirects are not followed, certificates always checked) and to Redis. One
 * client each, with connections that every loop keeps for itself. Asynchronous calls follow async.h.
 */
#ifndef MINATO_OUTBOUND_H
#define MINATO_OUTBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "minato/arena.h"
#include "minato/async.h"
#include "minato/result.h"
#include "minato/slice.h"

struct http_client;

struct http_client_settings {
    const char *ca_file; /* PEM; NULL: the system's authorities. Borrowed for the client's life */
    uint32_t connect_timeout_ms;
    uint32_t stall_timeout_s;  /* an exchange that moves no byte for so long has failed */
    unsigned connections_kept; /* by each loop */
    bool is_direct;            /* never by the proxy that the environment names */
};

/* Start-up. `settings` is copied. */
enum result http_client_new(const struct http_client_settings *settings, struct http_client **ret_client) NODISCARD;
/* No exchange is outstanding and no loop runs; the loops still exist. Accepts NULL. */
void http_client_free(struct http_client *client);
/* Closes what `loop` keeps, before a loop ends that the client outlives. On its thread; nothing is outstanding. */
void http_client_leave(struct http_client *client, struct loop *loop);

#define HTTP_CLIENT_HEAD_MAX (32u * 1024u)

/* One request and its answer. Lives until completion; what it points to as well. */
struct http_exchange {
    /* in */
    const char *method;
    const char *url;
    const char *const *fields; /* "Name: value", ended by NULL */
    struct slice body;         /* or: */
    const struct page *pages;  /* a chain, sent one after the other */
    uint32_t timeout_ms;       /* of all of it, of a download until its head is there; 0: none but the client's */
    size_t answer_max;         /* bytes of the answer's body; more is TOO_LARGE */
    struct arena *arena;       /* where head and body of the answer go */
    /* out */
    unsigned status;
    struct slice head;    /* its lines as they came, the status line first */
    struct slice answer;  /* the body */
    bool was_sent;        /* the server may have seen the request; also on failure */
    struct slice trouble; /* on failure: what it was, for an operator */
};

/* OK: there is an answer, whatever its status. UNAVAILABLE: there is none, or only a part of one. */
enum result http_client_perform(struct http_client *client, struct http_exchange *exchange, struct done done) NODISCARD;

/* The value of a field of the answer, without blanks round it; false if there is none. */
bool http_exchange_field(const struct http_exchange *exchange, struct slice name, struct slice *ret_value);

/* The same with a body that is read page by page; the server is held back while nobody reads. */
struct http_download;
/* Completes when the head of the answer is there. `exchange` may go then. */
enum result http_client_open(struct http_client *client, struct http_exchange *exchange,
                             struct http_download **ret_download, struct done done) NODISCARD;
/* Fills page->ptr from 0 and sets start and len; len 0 is the end. UNAVAILABLE: cut off. One at a time. */
enum result http_download_read(struct http_download *download, struct page *page, struct done done) NODISCARD;
/* On its loop, no read outstanding. Accepts NULL. */
void http_download_close(struct http_download *download);

/* ---- Redis ----
 *
 * Each loop has a connection of its own to the server (of a cluster: to each of its primaries that it needs), over
 * which commands are pipelined: what one turn of the loop sends goes out by one write. A connection that lets a command
 * wait for REDIS_DEADLINE_MS is closed, and until another one is ready nobody waits: a dead server costs one deadline.
 */

#define REDIS_DEADLINE_MS 500u
#define REDIS_SCRIPTS_MAX 16u
#define REDIS_RUN_ID_LENGTH 16u

struct redis_client;
struct redis_link;  /* a connection that is ready. Valid until control returns to its loop */
struct redis_reply; /* valid until the call that got it returns */

struct redis_client_settings {
    /* "redis://[[user]:password@]host[:port][/database]", "unix://[[user]:password@]path[?database]",
     * "redis+sentinel://[[user]:password@]host[:port],.../name[/database]", or some nodes of a cluster,
     * "redis+cluster://[[user]:password@]host[:port],...". A secret. */
    struct slice url;
    struct pool *pool; /* looks names up */
    /* In Lua: loaded whenever a connection is made, known by their positions. Borrowed for the client's life. */
    const char *const *scripts;
    size_t script_count;
    /* All on the loop of the connection. Before anything else is sent over it. */
    void (*on_ready)(void *data, struct redis_link *link);
    /* Not reached, or no longer; `why` for the log. Told once for each spell of silence. */
    void (*on_lost)(void *data, struct loop *loop, struct slice why);
    /* The server refused a command. */
    void (*on_error)(void *data, struct loop *loop, struct slice text);
    void *data;
};

/* Start-up. INVALID: a sentence for the operator is in `ret_why`, without the URL's secrets. */
enum result redis_client_new(const struct redis_client_settings *settings, struct strbuf *ret_why,
                             struct redis_client **ret_client) NODISCARD;
/* Begins to connect from `loop`: on its thread, or before it runs. */
void redis_client_start(struct redis_client *client, struct loop *loop);
/* No loop runs any more; they still exist. What is outstanding is answered with NULL. Accepts NULL. */
void redis_client_free(struct redis_client *client);

/* The connection of `loop` for keys whose part in braces is `hashed`; NULL: none is ready. On the loop. */
struct redis_link *redis_client_link(struct redis_client *client, struct loop *loop, struct slice hashed);
/* Whether there is one for every key. On the loop. */
bool redis_client_is_ready(struct redis_client *client, struct loop *loop);
struct loop *redis_link_loop(const struct redis_link *link);
/* Names the server's process: another after each restart and at each server. REDIS_RUN_ID_LENGTH characters. */
struct slice redis_link_run_id(const struct redis_link *link);
/* A number of the caller's, 0 on each new connection. */
uint64_t *redis_link_mark(struct redis_link *link);
/* Another one is made after a pause. Harmless where it is closed already. */
void redis_link_close(struct redis_link *link, struct slice why);

/* A command under way; embedded in the caller's memory until it is answered. */
struct redis_command {
    /* Once, after the call that sent it has returned. NULL: refused, or nobody knows whether it was done. May send. */
    void (*answered)(struct redis_command *command, const struct redis_reply *reply);
    /* private */
    struct redis_link *link;
    struct redis_command *next;
    uint64_t sent_ms;
};

#define REDIS_ARGUMENTS_MAX 1100u

/* False: the connection is ending, and `answered` will not be called. `arguments` are copied. */
bool redis_link_send(struct redis_link *link, struct redis_command *command, const struct slice *arguments,
                     size_t count) NODISCARD;
/* The same with a script: its keys (at most 9), then its other arguments. */
bool redis_link_run(struct redis_link *link, struct redis_command *command, unsigned script, const struct slice *keys,
                    size_t key_count, const struct slice *arguments, size_t count) NODISCARD;

/* False if the reply is of another kind; a nil is of none. */
bool redis_reply_text(const struct redis_reply *reply, struct slice *ret_text);
bool redis_reply_number(const struct redis_reply *reply, int64_t *ret_number);
/* Of an array; 0 of anything else. */
size_t redis_reply_count(const struct redis_reply *reply);
const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i);

#endif
