/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in Redis keeps the contract of index.h on a real server, whose URL is MINATO_TESTS_REDIS_URL: the phase s3
 * of tests/run.sh starts one. Without it the program fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "await.h"
#include "index_suite.h"

#define TTL_MS 3600000u

struct place {
    const char *url;
    unsigned tests;
};

static struct index *open_replica(const struct place *place, struct pool *pool)
{
    char store[INDEX_STORE_NAME_MAX];
    struct index *index;
    struct strbuf why;
    int length = snprintf(store, sizeof(store), "suite%ld-%u", (long)getpid(), place->tests);
    struct index_redis_settings settings = {.url = slice_from_cstr(place->url),
                                            .ttl_ms = TTL_MS,
                                            .store = slice_of(store, (size_t)length),
                                            .pool = pool,
                                            .clock = clock_system()};
    strbuf_init(&why, 1024);
    if (index_new_redis(&settings, &why, &index) != OK) {
        (void)fprintf(stderr, "%s\n", why.ptr);
        exit(1);
    }
    strbuf_done(&why);
    return index;
}

/* Asks until it is connected. */
static void wait_for_redis(struct index *index, struct loop *loop)
{
    struct index_key key = {INDEX_TAG, {SLICE("nothing")}, SLICE("nothing")};
    struct index_value value;
    index_lease lease;
    for (unsigned i = 0; i < 500; i++) {
        if (AWAIT(loop, index_read(index, key, &value, &lease, done)) == NOT_FOUND)
            return;
        loop_run_once(loop, 10);
    }
    (void)fprintf(stderr, "no connection to MINATO_TESTS_REDIS_URL\n");
    exit(1);
}

static void open_redis(void *data, struct loop *loop, struct pool *pool, struct index *ret_replicas[2])
{
    struct place *place = data;
    place->tests++;
    for (unsigned i = 0; i < 2; i++) {
        ret_replicas[i] = open_replica(place, pool);
        index_start(ret_replicas[i], loop);
        wait_for_redis(ret_replicas[i], loop);
    }
}

static void close_redis(void *data, struct index *replicas[2])
{
    (void)data;
    index_free(replicas[0]);
    index_free(replicas[1]);
}

int main(void)
{
    struct place place = {.url = getenv("MINATO_TESTS_REDIS_URL")};
    if (place.url == NULL) {
        (void)fprintf(stderr, "MINATO_TESTS_REDIS_URL is not set: this is run by tests/run.sh --only s3\n");
        return 1;
    }
    struct index_subject subject = {
        .name = "redis", .data = &place, .open = open_redis, .close = close_redis, .is_shared = true};
    return index_suite_run(&subject);
}
