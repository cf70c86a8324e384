/* SPDX-License-Identifier: Apache-2.0
 *
 * What the door of the index cannot reach in Redis: keys that are evicted, deadlines that pass, times to live, commands
 * that are done long after their connection was given up. The test changes the keys and the index must answer right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index_calls.h"
#include "redis_place.h"
#include "wire.h"

#define TTL_MS 3600000u
#define SHORT_TTL_MS 10000u /* shorter than leases are */
#define LEASE_MS 30000u     /* of a value */
#define SLACK_MS 20000u     /* a slow machine's */

static struct redis_place place;
static struct wire wire;

/* ---- what the test does to keys ---- */

static const struct index_list_key other_list = {INDEX_LIST_TAGS, {{"library/other", 13}}, {NULL, 0}};

static void assert_lives(const char *key, uint64_t at_most_ms)
{
    uint64_t left_ms;
    assert_int_equal(slice_parse_u64(slice_from_cstr(REDIS_PLACE_ASK(&place, "PTTL", key)), &left_ms), OK);
    assert_in_range(left_ms, at_most_ms - SLACK_MS, at_most_ms);
}

static void age(const char *key, const char *left_ms)
{
    assert_string_equal(REDIS_PLACE_ASK(&place, "PEXPIRE", key, left_ms), "1");
}

static void lose(const char *key)
{
    assert_string_equal(REDIS_PLACE_ASK(&place, "DEL", key), "1");
}

/* All writers of the list are past their deadline. */
static void pass_deadlines(void)
{
    const char *ends = redis_place_key(&place, ":e");
    struct slice writers = slice_from_cstr(REDIS_PLACE_ASK(&place, "ZRANGE", ends, "0", "-1")), writer;
    while (slice_split(writers, '\n', &writer, &writers))
        (void)REDIS_PLACE_ASK(&place, "ZADD", ends, "1", arena_cstr(&place.arena, writer));
}

/* ---- values ---- */

static const char *value_key(void)
{
    return redis_place_key(&place, "}la");
}

static void a_value_lives_from_its_lease(void **state)
{
    struct suite *s = *state;
    index_lease lease;
    assert_int_equal(look(s, 0, layer("a"), &lease), '-');
    assert_lives(value_key(), LEASE_MS);
    age(value_key(), "25000");
    assert_int_equal(look(s, 1, layer("a"), NULL), '-');
    assert_lives(value_key(), 25000); /* the lease that is shared is the older one */
    age(value_key(), "5000");
    fill(s, 0, layer("a"), 'a', lease);
    assert_int_equal(look(s, 1, layer("a"), NULL), 'a');
    assert_lives(value_key(), TTL_MS - LEASE_MS + 5000);
    age(value_key(), "1000000");
    fill(s, 1, layer("a"), 'a', lease);
    assert_lives(value_key(), 1000000);
}

/* Between the look and what follows a miss: one connection keeps the order. */
static void what_is_filled_meanwhile_is_read(void **state)
{
    struct suite *s = *state;
    index_lease lease, none;
    struct index_value value = value_of('a'), found;
    struct await filling, reading;
    assert_int_equal(look(s, 1, layer("a"), &lease), '-');
    struct done done = await_begin(&reading, s->loop);
    enum result read = index_read(s->replicas[0], layer("a"), &found, &none, done);
    done = await_begin(&filling, s->loop);
    enum result filled = index_fill(s->replicas[0], layer("a"), &value, lease, done);
    assert_int_equal(await_end(&reading, read), OK);
    assert_int_equal(await_end(&filling, filled), OK);
    assert_int_equal(found.digest.bytes[0], 'a');
}

static void a_value_that_is_too_old_is_not_remembered(void **state)
{
    struct suite *s = *state;
    index_lease lease;
    assert_int_equal(look(s, 0, layer("a"), &lease), '-');
    age(value_key(), "15000");
    fill(s, 0, layer("a"), 'a', lease);
    assert_int_equal(look(s, 0, layer("a"), NULL), '-');
}

static void the_last_writer_keeps_the_others(void **state)
{
    struct suite *s = *state;
    index_write first = begin(s, 0, layer("a"));
    assert_lives(value_key(), INDEX_WRITE_MAX_MS);
    age(value_key(), "30000");
    index_write second = begin(s, 1, layer("a"));
    assert_lives(value_key(), INDEX_WRITE_MAX_MS);
    end(s, 1, layer("a"), second);
    assert_int_equal(look(s, 1, layer("a"), NULL), '0');
    end(s, 0, layer("a"), first);
    assert_int_equal(look(s, 1, layer("a"), NULL), '-');
}

static void a_writer_past_its_deadline_lets_readers_fill(void **state)
{
    struct suite *s = *state;
    (void)begin(s, 0, layer("a"));
    const char *field = REDIS_PLACE_ASK(&place, "HKEYS", value_key());
    struct slice name = slice_from_cstr(field), rest;
    assert_true(slice_split(name, '\n', &name, &rest));
    (void)REDIS_PLACE_ASK(&place, "HSET", value_key(), arena_cstr(&place.arena, name), "1");
    index_write second = begin(s, 1, layer("a"));
    assert_int_equal(look(s, 0, layer("a"), NULL), '0');
    end(s, 1, layer("a"), second);
    know(s, layer("a"), 'a');
}

/* ---- lists ---- */

static void a_list_lives_from_its_lease(void **state)
{
    struct suite *s = *state;
    index_lease lease = miss(s, 0, a_list);
    const char *known = redis_place_key(&place, ":s");
    assert_lives(known, INDEX_WRITE_MAX_MS);
    list_write(s, 1, a_list, "x", INDEX_MEMBER_PRESENT, "");
    assert_lives(redis_place_key(&place, ":c"), INDEX_WRITE_MAX_MS);
    age(known, "10000");
    install(s, 0, a_list, "a b ", lease);
    assert_lives(known, TTL_MS - INDEX_WRITE_MAX_MS + 10000);
    assert_lives(redis_place_key(&place, ":m"), TTL_MS - INDEX_WRITE_MAX_MS + 10000);
    age(known, "1000000");
    list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    assert_lives(known, 1000000);
    assert_lives(redis_place_key(&place, ":m"), 1000000);
}

static void a_list_that_is_too_old_is_not_installed(void **state)
{
    struct suite *s = *state;
    index_lease lease = miss(s, 0, a_list);
    age(redis_place_key(&place, ":s"), "40000");
    install(s, 0, a_list, "a ", lease);
    assert_cold(s, a_list);
    assert_true(miss(s, 1, a_list) != 0); /* nobody waits for what was refused */
}

static void writers_are_remembered_for_longer_than_what_is_known(void **state)
{
    struct suite *s = *state;
    (void)list_begin(s, 0, a_list, "a");
    age(redis_place_key(&place, ":w"), "1000");
    age(redis_place_key(&place, ":e"), "1000");
    (void)list_begin(s, 0, a_list, "b");
    assert_lives(redis_place_key(&place, ":w"), TTL_MS + 2 * INDEX_WRITE_MAX_MS);
    assert_lives(redis_place_key(&place, ":e"), TTL_MS + 2 * INDEX_WRITE_MAX_MS);
}

static void a_list_that_has_lost_a_key_is_not_believed(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a b ", miss(s, 0, a_list));
    lose(redis_place_key(&place, ":m"));
    assert_cold(s, a_list);
    install(s, 0, a_list, "a b ", miss(s, 0, a_list));
    lose(redis_place_key(&place, ":m"));
    list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    assert_cold(s, a_list);
    install(s, 0, a_list, "a b ", miss(s, 0, a_list));
    lose(redis_place_key(&place, ":s"));
    assert_cold(s, a_list);
    install(s, 0, a_list, "", miss(s, 0, a_list)); /* what was known of it is in the way of nothing */
    assert_page(s, a_list, "");
}

static void changes_that_are_lost_are_missed(void **state)
{
    struct suite *s = *state;
    index_lease lease = miss(s, 0, a_list);
    list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    lose(redis_place_key(&place, ":c"));
    install(s, 0, a_list, "a b ", lease);
    assert_cold(s, a_list);
    lease = miss(s, 0, a_list);
    list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    lose(redis_place_key(&place, ":c"));
    list_write(s, 1, a_list, "d", INDEX_MEMBER_PRESENT, "");
    install(s, 0, a_list, "a b ", lease);
    assert_cold(s, a_list);
}

static void changes_of_a_lease_that_is_over_are_not_replayed(void **state)
{
    struct suite *s = *state;
    index_lease first = miss(s, 0, a_list);
    list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    assert_int_equal(AWAIT(s->loop, index_list_give_back(s->replicas[0], a_list, first, done)), OK);
    list_write(s, 1, a_list, "c", INDEX_MEMBER_ABSENT, "");
    index_lease second = miss(s, 0, a_list);
    install(s, 0, a_list, "a b ", second);
    assert_page(s, a_list, "a b ");
}

static void writers_that_are_lost_make_their_ends_doubtful(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a b ", miss(s, 0, a_list));
    index_write write = list_begin(s, 1, a_list, "a");
    lose(redis_place_key(&place, ":w"));
    list_end(s, 1, a_list, "a", write, INDEX_MEMBER_ABSENT, "");
    assert_cold(s, a_list);
}

static void a_list_is_forgotten_past_a_writers_deadline(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a b ", miss(s, 0, a_list));
    index_write write = list_begin(s, 1, a_list, "a");
    pass_deadlines();
    assert_cold(s, a_list);
    install(s, 0, a_list, "a b ", miss(s, 0, a_list)); /* and once: its end is told of no more */
    assert_page(s, a_list, "a b ");
    list_end(s, 1, a_list, "a", write, INDEX_MEMBER_ABSENT, "");
    assert_cold(s, a_list);
}

static void what_was_listed_before_a_deadline_is_not_installed(void **state)
{
    struct suite *s = *state;
    (void)list_begin(s, 1, a_list, "a");
    index_lease lease = miss(s, 0, a_list);
    pass_deadlines();
    install(s, 0, a_list, "a b ", lease);
    assert_cold(s, a_list);
}

static void a_write_that_has_ended_has_no_deadline(void **state)
{
    struct suite *s = *state;
    index_write other = list_begin(s, 1, other_list, "b");
    list_write(s, 1, a_list, "a", INDEX_MEMBER_PRESENT, "");
    list_end(s, 1, other_list, "b", other, INDEX_MEMBER_PRESENT, "");
    assert_int_equal(redis_place_keys(&place, ":w").len, 0);
    assert_int_equal(redis_place_keys(&place, ":e").len, 0);
}

/* Fills a list by many pieces; after the first of them, whose key it is given, `meanwhile` happens. */
static void fill_by_pieces(struct suite *s, void (*meanwhile)(const char *pieces))
{
    enum { COUNT = 50000 };
    struct index_member *members = xcalloc(COUNT, sizeof(*members));
    struct await filling;
    for (size_t i = 0; i < COUNT; i++)
        members[i].name = arena_format(&s->arena, "tag-%06zu", i);
    index_lease lease = miss(s, 0, a_list);
    struct done done = await_begin(&filling, s->loop);
    enum result r = index_list_fill(s->replicas[0], a_list, members, COUNT, lease, done);
    while (redis_place_keys(&place, "}T:????????????????").len == 0)
        continue;
    meanwhile(redis_place_key(&place, "}T:????????????????"));
    assert_int_equal(await_end(&filling, r), OK);
    free(members);
}

static void pieces_that_are_lost_are_missed(void **state)
{
    struct suite *s = *state;
    fill_by_pieces(s, lose);
    assert_cold(s, a_list);
    assert_int_equal(redis_place_keys(&place, "}T*").len, 0);
}

static void cut_connections(const char *pieces)
{
    (void)pieces;
    (void)REDIS_PLACE_ASK(&place, "CLIENT", "KILL", "TYPE", "normal");
}

static void what_a_filler_leaves_that_is_cut_off_goes_by_itself(void **state)
{
    struct suite *s = *state;
    fill_by_pieces(s, cut_connections);
    assert_lives(redis_place_key(&place, "}T:????????????????"), INDEX_WRITE_MAX_MS);
    assert_lives(redis_place_key(&place, "}T:s"), INDEX_WRITE_MAX_MS);
    redis_place_wait(&place, s->replicas[0]);
    redis_place_wait(&place, s->replicas[1]);
    assert_cold(s, a_list);
}

/* Members with data: as many as 4 MiB hold, one at least. */
static void assert_page_of(struct suite *s, const char *after, size_t count, bool has_more)
{
    struct index_list_page found;
    assert_int_equal(AWAIT(s->loop, index_list_read(s->replicas[0], with_data, slice_from_cstr(after), 10, &s->arena,
                                                    &found, NULL, done)),
                     OK);
    assert_int_equal(found.count, count);
    assert_int_equal(found.has_more, has_more);
}

static void a_page_ends_where_it_would_be_large(void **state)
{
    struct suite *s = *state;
    enum { HALF = 2 * 1024 * 1024 - 2, MORE_THAN_ALL = 5 * 1024 * 1024 }; /* a name and a line feed are before them */
    char *bytes = xcalloc(1, MORE_THAN_ALL);
    memset(bytes, '.', MORE_THAN_ALL);
    struct index_member members[] = {{SLICE("a"), slice_of(bytes, HALF)},
                                     {SLICE("b"), slice_of(bytes, HALF)},
                                     {SLICE("c"), slice_of(bytes, MORE_THAN_ALL)},
                                     {SLICE("d"), slice_of(bytes, 1)},
                                     {SLICE("e"), slice_of(bytes, MORE_THAN_ALL)}};
    index_lease lease = miss(s, 0, with_data);
    assert_int_equal(AWAIT(s->loop, index_list_fill(s->replicas[0], with_data, members, 5, lease, done)), OK);
    assert_page_of(s, "", 2, true);
    assert_page_of(s, "a", 1, true);
    assert_page_of(s, "b", 1, true);
    assert_page_of(s, "c", 1, true);
    assert_page_of(s, "d", 1, false);
    free(bytes);
}

static void too_many_changes_forget_the_list(void **state)
{
    struct suite *s = *state;
    enum { CHANGES_MAX = 4096 };
    index_lease lease = miss(s, 0, a_list);
    for (unsigned i = 0; i < CHANGES_MAX; i++)
        list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    install(s, 0, a_list, "a ", lease);
    assert_page(s, a_list, "a c ");
    list_write(s, 1, a_list, "c", INDEX_MEMBER_UNKNOWN, "");
    lease = miss(s, 0, a_list);
    for (unsigned i = 0; i <= CHANGES_MAX; i++)
        list_write(s, 1, a_list, "c", INDEX_MEMBER_PRESENT, "");
    install(s, 0, a_list, "a ", lease);
    assert_cold(s, a_list);
}

/* ---- commands that come late ---- */

static uint16_t port_of_redis(void)
{
    uint64_t port;
    struct slice url = slice_from_cstr(place.url), rest;
    while (slice_split(url, ':', &rest, &url))
        continue;
    (void)slice_split(url, '/', &url, &rest);
    if (slice_parse_u64(url, &port) != OK)
        abort();
    return (uint16_t)port;
}

/* A replica whose begin is kept on its way, past the end of its connection, until another has written the member. */
static void a_begin_that_comes_after_its_write_is_not_believed(void **state)
{
    struct suite *s = *state;
    char url[64];
    wire_open(&wire, s->loop, port_of_redis());
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u", wire.port);
    struct index *direct = s->replicas[0];
    s->replicas[0] = redis_place_replica(&place, url);
    wire_hold(&wire);
    index_write held = list_begin(s, 0, a_list, "a");
    redis_place_wait(&place, s->replicas[0]);
    install(s, 1, a_list, "a b ", miss(s, 1, a_list));
    list_write(s, 1, a_list, "a", INDEX_MEMBER_ABSENT, "");
    wire_release(&wire);
    while (redis_place_keys(&place, ":w").len == 0)
        loop_run_once(s->loop, 10);
    list_end(s, 0, a_list, "a", held, INDEX_MEMBER_PRESENT, "");
    assert_cold(s, a_list);
    index_free(s->replicas[0]);
    s->replicas[0] = direct;
    wire_close(&wire);
}

/* ---- the group ---- */

static int open_place(void **state, uint64_t ttl_ms)
{
    static const struct index_subject subject = {.data = &place, .open = redis_place_open, .close = redis_place_close};
    place.ttl_ms = ttl_ms;
    *state = index_suite_open(&subject);
    return 0;
}

static int set_up(void **state)
{
    return open_place(state, TTL_MS);
}

static int set_up_short(void **state)
{
    return open_place(state, SHORT_TTL_MS);
}

static int tear_down(void **state)
{
    index_suite_close(*state);
    return 0;
}

#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SHORT_KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_short, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KEYS_TEST(a_value_lives_from_its_lease),
        SHORT_KEYS_TEST(a_value_that_is_too_old_is_not_remembered),
        KEYS_TEST(what_is_filled_meanwhile_is_read),
        KEYS_TEST(the_last_writer_keeps_the_others),
        KEYS_TEST(a_writer_past_its_deadline_lets_readers_fill),
        KEYS_TEST(a_list_lives_from_its_lease),
        SHORT_KEYS_TEST(a_list_that_is_too_old_is_not_installed),
        KEYS_TEST(writers_are_remembered_for_longer_than_what_is_known),
        KEYS_TEST(a_list_that_has_lost_a_key_is_not_believed),
        KEYS_TEST(changes_that_are_lost_are_missed),
        KEYS_TEST(changes_of_a_lease_that_is_over_are_not_replayed),
        KEYS_TEST(writers_that_are_lost_make_their_ends_doubtful),
        KEYS_TEST(a_list_is_forgotten_past_a_writers_deadline),
        KEYS_TEST(what_was_listed_before_a_deadline_is_not_installed),
        KEYS_TEST(a_write_that_has_ended_has_no_deadline),
        KEYS_TEST(pieces_that_are_lost_are_missed),
        KEYS_TEST(what_a_filler_leaves_that_is_cut_off_goes_by_itself),
        KEYS_TEST(a_page_ends_where_it_would_be_large),
        KEYS_TEST(too_many_changes_forget_the_list),
        KEYS_TEST(a_begin_that_comes_after_its_write_is_not_believed),
    };
    redis_place_init(&place, TTL_MS);
    return cmocka_run_group_tests_name("keys of redis", tests, NULL, NULL);
}
