/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in Redis for tests: see redis_place.h. The loop's own thread.
 */
#include "redis_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await.h"
#include "minato/outbound.h"

#define TURNS_MAX 500u
#define TURN_MS 10u

static void fail(const char *what)
{
    (void)fprintf(stderr, "redis: %s\n", what);
    abort();
}

void redis_place_init(struct redis_place *place, uint64_t ttl_ms)
{
    *place = (struct redis_place){.url = getenv("MINATO_TESTS_REDIS_URL"), .ttl_ms = ttl_ms};
    if (place->url == NULL) {
        (void)fprintf(stderr, "MINATO_TESTS_REDIS_URL is not set: this is run by tests/run.sh --only s3\n");
        exit(1);
    }
}

/* ---- the index ---- */

void redis_place_wait(struct redis_place *place, struct index *index)
{
    struct index_key key = {INDEX_TAG, {SLICE("nothing")}, SLICE("nothing")};
    struct index_value value;
    index_lease lease;
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        if (AWAIT(place->loop, index_read(index, key, &value, &lease, done)) == NOT_FOUND)
            return;
        loop_run_once(place->loop, TURN_MS);
    }
    fail("no connection");
}

struct index *redis_place_replica(struct redis_place *place, const char *url)
{
    struct index *index;
    struct strbuf why;
    struct index_redis_settings settings = {.url = slice_from_cstr(url),
                                            .ttl_ms = place->ttl_ms,
                                            .store = slice_from_cstr(place->store),
                                            .pool = place->pool,
                                            .clock = clock_system()};
    strbuf_init(&why, 1024);
    if (index_new_redis(&settings, &why, &index) != OK)
        fail(why.ptr);
    strbuf_done(&why);
    index_start(index, place->loop);
    redis_place_wait(place, index);
    return index;
}

/* ---- the test's own connection ---- */

static void on_told(void *data, struct redis_link *link)
{
    (void)data;
    (void)link;
}

static void on_lost(void *data, struct loop *loop, struct slice why)
{
    (void)data;
    (void)loop;
    (void)why;
}

static void connect_client(struct redis_place *place)
{
    struct strbuf why;
    struct redis_client_settings settings = {.url = slice_from_cstr(place->url),
                                             .pool = place->pool,
                                             .on_ready = on_told,
                                             .on_lost = on_lost,
                                             .on_error = on_lost};
    strbuf_init(&why, 1024);
    if (redis_client_new(&settings, &why, &place->client) != OK)
        fail(why.ptr);
    strbuf_done(&why);
    redis_client_start(place->client, place->loop);
    for (unsigned i = 0; redis_client_link(place->client, place->loop, SLICE_EMPTY) == NULL; i++) {
        if (i == TURNS_MAX)
            fail("no connection");
        loop_run_once(place->loop, TURN_MS);
    }
}

struct question {
    struct redis_command command;
    struct strbuf text;
    bool is_answered;
};

static void append_reply(struct strbuf *text, const struct redis_reply *reply)
{
    struct slice word;
    int64_t number;
    if (redis_reply_text(reply, &word))
        strbuf_append(text, word);
    else if (redis_reply_number(reply, &number))
        strbuf_append_format(text, "%lld", (long long)number);
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        append_reply(text, redis_reply_at(reply, i));
        strbuf_append_cstr(text, "\n");
    }
}

static void on_answered(struct redis_command *command, const struct redis_reply *reply)
{
    struct question *question = (struct question *)(void *)command;
    if (reply == NULL)
        fail("a command was refused");
    append_reply(&question->text, reply);
    question->is_answered = true;
}

const char *redis_place_ask(struct redis_place *place, const char *const *words)
{
    struct redis_link *link = redis_client_link(place->client, place->loop, SLICE_EMPTY);
    struct question question = {.command.answered = on_answered};
    struct slice arguments[16];
    size_t count = 0;
    for (; words[count] != NULL; count++)
        arguments[count] = slice_from_cstr(words[count]);
    strbuf_init(&question.text, (size_t)16 * 1024 * 1024);
    if (link == NULL || !redis_link_send(link, &question.command, arguments, count))
        fail("the connection was lost");
    await_flag(place->loop, &question.is_answered);
    const char *text = arena_cstr(&place->arena, strbuf_slice(&question.text));
    strbuf_done(&question.text);
    return text;
}

struct slice redis_place_keys(struct redis_place *place, const char *end)
{
    char pattern[128];
    (void)snprintf(pattern, sizeof(pattern), "minato:%s:*%s", place->store, end);
    return slice_from_cstr(REDIS_PLACE_ASK(place, "KEYS", pattern));
}

const char *redis_place_key(struct redis_place *place, const char *end)
{
    struct slice key, rest;
    if (!slice_split(redis_place_keys(place, end), '\n', &key, &rest) || rest.len > 0)
        fail("not one key has that name");
    return arena_cstr(&place->arena, key);
}

/* No key of the index may stay for ever. */
static void check_times_to_live(struct redis_place *place)
{
    struct slice keys = redis_place_keys(place, ""), key;
    while (slice_split(keys, '\n', &key, &keys))
        if (strcmp(REDIS_PLACE_ASK(place, "PTTL", arena_cstr(&place->arena, key)), "-1") == 0)
            fail(arena_cstr(&place->arena, key));
}

void redis_place_lose_a_key(void *data, uint64_t roll)
{
    struct redis_place *place = data;
    struct slice keys = redis_place_keys(place, ""), key = SLICE_EMPTY;
    uint64_t count = 0;
    check_times_to_live(place);
    for (size_t i = 0; i < keys.len; i++)
        count += keys.ptr[i] == '\n' ? 1 : 0;
    if (count == 0)
        return;
    for (uint64_t i = 0; i <= roll % count; i++)
        (void)slice_split(keys, '\n', &key, &keys);
    (void)REDIS_PLACE_ASK(place, "DEL", arena_cstr(&place->arena, key));
}

/* ---- its life ---- */

void redis_place_open(void *data, struct loop *loop, struct pool *pool, struct index *ret_replicas[2])
{
    struct redis_place *place = data;
    place->loop = loop;
    place->pool = pool;
    arena_init(&place->arena);
    (void)snprintf(place->store, sizeof(place->store), "suite%ld-%u", (long)getpid(), place->opened++);
    connect_client(place);
    for (unsigned i = 0; i < 2; i++)
        ret_replicas[i] = redis_place_replica(place, place->url);
}

void redis_place_close(void *data, struct index *replicas[2])
{
    struct redis_place *place = data;
    check_times_to_live(place);
    index_free(replicas[0]);
    index_free(replicas[1]);
    redis_client_free(place->client);
    arena_done(&place->arena);
}
