/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to other servers over HTTP: one client, with connections that each loop keeps for itself. Asynchronous calls
 * follow async.h. Redirects are not followed; certificates are always checked.
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
    uint32_t timeout_ms;       /* of all of it; 0: none but the client's */
    size_t answer_max;         /* bytes of the answer's body; more is TOO_LARGE */
    struct arena *arena;       /* where head and body of the answer go */
    /* out */
    unsigned status;
    struct slice head;   /* its lines as they came, the status line first */
    struct slice answer; /* the body */
    bool was_sent;       /* the server may have seen the request; also on failure */
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

#endif
