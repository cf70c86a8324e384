/* SPDX-License-Identifier: Apache-2.0
 *
 * What redis_url.c (the address), redis_socket.c (hiredis on an event loop), redis_link.c (one connection) and
 * redis_client.c (the calls) share. A link belongs to its loop's thread.
 */
#ifndef MINATO_REDIS_INT_H
#define MINATO_REDIS_INT_H

#include <hiredis/async.h>

#include "minato/outbound.h"

/* ---- the address (redis_url.c): pure ---- */

#define REDIS_HOST_MAX 253u
#define REDIS_ADDRESSES_MAX 16u
#define REDIS_PORT 6379u
#define REDIS_SENTINEL_PORT 26379u

struct redis_address {
    char host[REDIS_HOST_MAX + 1];
    uint16_t port;
};

struct redis_url {
    char *text; /* what all slices borrow from; wiped when done */
    size_t text_len;
    struct slice path; /* of a Unix socket; else empty */
    struct redis_address addresses[REDIS_ADDRESSES_MAX];
    size_t address_count;
    struct slice name; /* of what the addresses, Sentinels, watch over; else empty */
    struct slice user;
    struct slice password;
    struct slice database;
};

enum result redis_url_parse(struct slice text, struct strbuf *ret_why, struct redis_url *ret_url) NODISCARD;
void redis_url_done(struct redis_url *url);

/* ---- hiredis on a loop (redis_socket.c) ---- */

/* Begins to connect; `address` is numeric, or `path` is given. NULL, with the reason in `ret_why`: it cannot be begun.
 * `owner` is ac->data. What is sent in one turn of the loop goes out at its end. */
redisAsyncContext *redis_socket_open(struct loop *loop, const struct redis_address *address, struct slice path,
                                     void *owner, struct strbuf *ret_why);

/* ---- one connection (redis_link.c) ---- */

enum redis_link_state {
    REDIS_RESTING,    /* until the timer begins again */
    REDIS_RESOLVING,  /* the pool looks a name up */
    REDIS_CONNECTING, /* to a server, or to a Sentinel */
    REDIS_GREETING,   /* who are you, here are the scripts */
    REDIS_READY,
};

/* A name being looked up; outlives the link if that ends meanwhile. */
struct redis_lookup {
    struct pool_job job;
    struct redis_link *link; /* NULL: nobody waits any more */
    struct redis_address address;
    bool is_found;
};

struct redis_link {
    struct redis_client *client;
    struct loop *loop;
    enum redis_link_state state;
    struct redis_address address; /* where it goes, or what a Sentinel named */
    bool is_of_sentinel;          /* the connection under way asks a Sentinel */
    size_t sentinel_at;           /* the one asked next */
    struct redis_lookup *lookup;
    redisAsyncContext *ac;
    struct timer timer;
    uint64_t deadline_ms; /* of connecting and greeting */
    unsigned failures;    /* in a row */
    bool has_complained;
    unsigned greetings_left;
    char run_id[REDIS_RUN_ID_LENGTH + 1];
    char hashes[REDIS_SCRIPTS_MAX][41]; /* of the scripts, as the server named them */
    struct redis_command *first;        /* sent, not answered */
    struct redis_command **last;
    uint64_t answered_ms; /* the last that was */
    uint64_t mark;
};

struct redis_client {
    struct redis_client_settings settings;
    struct redis_url url;
    struct redis_link **links; /* by the index of their loop */
    size_t link_count;
};

struct redis_link *redis_link_new(struct redis_client *client, struct loop *loop);
void redis_link_free(struct redis_link *link);
void redis_link_begin(struct redis_link *link);

#endif
