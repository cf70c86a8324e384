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

static struct redis_place place;
static struct wire wire;

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

static int set_up(void **state)
{
    static const struct index_subject subject = {.data = &place, .open = redis_place_open, .close = redis_place_close};
    *state = index_suite_open(&subject);
    return 0;
}

static int tear_down(void **state)
{
    index_suite_close(*state);
    return 0;
}

#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        KEYS_TEST(a_begin_that_comes_after_its_write_is_not_believed),
    };
    redis_place_init(&place, TTL_MS);
    return cmocka_run_group_tests_name("keys of redis", tests, NULL, NULL);
}
