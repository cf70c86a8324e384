/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in Redis for tests: two replicas on a real server, and a connection of the test's own that looks at what
 * they keep there and disturbs it. The server's URL is MINATO_TESTS_REDIS_URL: the phase s3 of tests/run.sh starts one.
 */
#ifndef MINATO_TEST_REDIS_PLACE_H
#define MINATO_TEST_REDIS_PLACE_H

#include "minato/index.h"

struct redis_place {
    const char *url;
    uint64_t ttl_ms;
    struct loop *loop;
    struct pool *pool;
    struct redis_client *client;
    struct arena arena;
    char store[INDEX_STORE_NAME_MAX];
    unsigned opened;
};

/* Without a server the program ends. */
void redis_place_init(struct redis_place *place, uint64_t ttl_ms);
/* For struct index_subject, each time another store. Closing fails if a key has no time to live; so does losing one. */
void redis_place_open(void *place, struct loop *loop, struct pool *pool, struct index *ret_replicas[2]);
void redis_place_close(void *place, struct index *replicas[2]);
/* One replica more; it is connected. */
struct index *redis_place_replica(struct redis_place *place, const char *url);
/* Until the index answers by Redis. */
void redis_place_wait(struct redis_place *place, struct index *index);

/* A command, its words ended by NULL. The answer is a text, or several, each ended by a line feed; it lives until the
 * place is closed. */
const char *redis_place_ask(struct redis_place *place, const char *const *words);
#define REDIS_PLACE_ASK(place, ...) redis_place_ask((place), (const char *const[]){__VA_ARGS__, NULL})
/* The keys of the store whose names end so, one a line. */
struct slice redis_place_keys(struct redis_place *place, const char *end);
/* The only one. */
const char *redis_place_key(struct redis_place *place, const char *end);
/* Removes a key of the store, as an eviction does. */
void redis_place_lose_a_key(void *place, uint64_t roll);

#endif
