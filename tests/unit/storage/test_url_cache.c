/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs that were given out are given out again while they are the answer, and no longer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "src/storage/url_cache.h"

#define NOW_MS 1700000000500u

static void a_url_is_known_until_its_time(void **state)
{
    (void)state;
    struct url_cache *cache = url_cache_new();
    struct storage_url url = {SLICE("https://store/a?signed"), 300}, found;
    struct arena arena;
    arena_init(&arena);
    assert_false(url_cache_find(cache, SLICE("a"), NOW_MS, &arena, &found));
    url_cache_add(cache, SLICE("a"), NOW_MS, &url);
    assert_true(url_cache_find(cache, SLICE("a"), NOW_MS, &arena, &found));
    assert_true(slice_equal(found.text, url.text));
    assert_int_equal(found.same_for_s, 300);
    assert_true(url_cache_find(cache, SLICE("a"), NOW_MS + 299000, &arena, &found));
    assert_int_equal(found.same_for_s, 1);
    assert_false(url_cache_find(cache, SLICE("a"), NOW_MS + 300000, &arena, &found));
    assert_false(url_cache_find(cache, SLICE("b"), NOW_MS, &arena, &found));
    arena_done(&arena);
    url_cache_free(cache);
}

/* More paths than there are places: each is itself or unknown, never another. */
static void no_path_gets_the_url_of_another(void **state)
{
    (void)state;
    struct url_cache *cache = url_cache_new();
    struct arena arena;
    unsigned known = 0;
    arena_init(&arena);
    for (unsigned i = 0; i < 10000; i++) {
        struct storage_url url = {arena_format(&arena, "https://store/%u", i), 300};
        url_cache_add(cache, arena_format(&arena, "blobs/%u", i), NOW_MS, &url);
    }
    for (unsigned i = 0; i < 10000; i++) {
        struct storage_url found;
        if (!url_cache_find(cache, arena_format(&arena, "blobs/%u", i), NOW_MS, &arena, &found))
            continue;
        known++;
        assert_true(slice_equal(found.text, arena_format(&arena, "https://store/%u", i)));
    }
    assert_in_range(known, 2000, 4096);
    arena_done(&arena);
    url_cache_free(cache);
}

static void what_is_too_long_is_not_kept(void **state)
{
    (void)state;
    struct url_cache *cache = url_cache_new();
    struct arena arena;
    arena_init(&arena);
    struct storage_url url = {slice_of(arena_alloc(&arena, 5000), 5000), 300}, found;
    url_cache_add(cache, SLICE("a"), NOW_MS, &url);
    assert_false(url_cache_find(cache, SLICE("a"), NOW_MS, &arena, &found));
    arena_done(&arena);
    url_cache_free(cache);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_known_until_its_time),
        cmocka_unit_test(no_path_gets_the_url_of_another),
        cmocka_unit_test(what_is_too_long_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
