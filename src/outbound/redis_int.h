/* SPDX-License-Identifier: Apache-2.0
 *
 * What redis_url.c (the address), redis_socket.c (hiredis on an event loop), redis_link.c (one connection),
 * redis_greet.c (its beginning), redis_cluster.c (those of one loop) and redis_client.c (the calls) share. Hubs and
 * links belong to their loop's thread.
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
    bool is_cluster;   /* the addresses are of some of its nodes */
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

/* ---- one connection (redis_link.c, redis_greet.c) ---- */

enum redis_role {
    REDIS_SERVER, /* the one server */
    REDIS_SEED,   /* some node of a cluster, which tells who the others are */
    REDIS_NODE,   /* a primary of a cluster */
};

enum redis_link_state {
    REDIS_RESTING,    /* until the timer begins again */
    REDIS_RESOLVING,  /* the pool looks a name up */
    REDIS_CONNECTING, /* to a server, or to a Sentinel */
    REDIS_GREETING,   /* who are you, here are the scripts */
    REDIS_READY,
};

struct redis_hub;

/* A name being looked up; outlives the link if that ends meanwhile. */
struct redis_lookup {
    struct pool_job job;
    struct redis_link *link; /* NULL: nobody waits any more */
    struct redis_address address;
    bool is_found;
};

struct redis_link {
    struct redis_client *client;
    struct redis_hub *hub;
    struct loop *loop;
    enum redis_role role;
    enum redis_link_state state;
    bool is_retired;              /* of a node that has no slots any more: it stays closed */
    struct redis_address address; /* where it goes, by the name it was given */
    bool is_of_sentinel;          /* the connection under way asks a Sentinel */
    size_t address_at;            /* of the URL's, the one tried next */
    struct redis_lookup *lookup;
    redisAsyncContext *ac;
    struct timer timer;
    uint64_t deadline_ms; /* of connecting and greeting */
    unsigned failures;    /* in a row */
    bool has_complained;
    uint64_t told_ms; /* when the last refusal was told of */
    unsigned greetings_left;
    char run_id[REDIS_RUN_ID_LENGTH + 1];
    char hashes[REDIS_SCRIPTS_MAX][41]; /* of the scripts, as the server named them */
    struct redis_command *first;        /* sent, not answered */
    struct redis_command **last;
    struct strbuf command_text; /* of the one that is being sent */
    uint64_t answered_ms;       /* the last that was */
    uint64_t mark;
};

struct redis_link *redis_link_new(struct redis_hub *hub, enum redis_role role);
void redis_link_free(struct redis_link *link);
void redis_link_begin(struct redis_link *link);
void redis_link_connect(struct redis_link *link, const struct redis_address *address);
void redis_link_disconnect(struct redis_link *link);
/* It is connected: says what is to be said. */
void redis_link_greet(struct redis_link *link);
/* redis_link_close, for a reason of ours. */
void redis_link_fail(struct redis_link *link, const char *why);

/* Whether a callback of hiredis is about the connection that its link has now. */
static inline bool redis_link_is_current(const redisAsyncContext *ac)
{
    const struct redis_link *link = ac->data;
    return link->ac == ac && link->state != REDIS_RESTING;
}

/* ---- the connections of one loop (redis_cluster.c) ---- */

#define REDIS_NODES_MAX 128u
#define REDIS_SLOTS 16384u

/* Without a cluster the first link is the only one. In one it is the seed, the others are its primaries. */
struct redis_hub {
    struct redis_client *client;
    struct loop *loop;
    struct redis_link *links[1 + REDIS_NODES_MAX];
    size_t link_count;
    struct redis_command question; /* who has which slots? */
    bool is_asking;
    uint64_t asked_ms;
    uint8_t slots[REDIS_SLOTS]; /* whose: a place in `links`, 0: nobody's */
};

struct redis_hub *redis_hub_new(struct redis_client *client, struct loop *loop);
void redis_hub_free(struct redis_hub *hub);
/* NULL: none is ready. */
struct redis_link *redis_hub_link(struct redis_hub *hub, struct slice hashed);
/* Every slot has a link that is ready. */
bool redis_hub_is_ready(struct redis_hub *hub);
/* The slots are not as they were thought to be: some node that answers is asked. */
void redis_hub_ask(struct redis_hub *hub);
/* `asked`: whose answer it is; a node without an address is that one. */
void redis_hub_take_slots(struct redis_hub *hub, const struct redis_reply *reply, const struct redis_address *asked);

struct redis_client {
    struct redis_client_settings settings;
    struct redis_url url;
    struct redis_hub **hubs; /* by the index of their loop */
    size_t hub_count;
};

#endif
