/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache of manifests: bounded, and used by several threads at once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/registry/registry_int.h"

#define ENTRIES 400u

static struct digest add(struct manifest_cache *cache, unsigned i, size_t size)
{
    char *bytes = xcalloc(1, size);
    (void)snprintf(bytes, size, "%u", i);
    struct digest digest;
    digest_of(DIGEST_SHA256, slice_of(bytes, size), &digest);
    struct manifest_view view;
    registry_int_cache_add(cache, &digest, SLICE("type"), slice_of(bytes, size), &view);
    assert_true(slice_equal(view.bytes, slice_of(bytes, size)));
    assert_true(slice_equal(view.media_type, SLICE("type")));
    manifest_view_release(&view);
    manifest_view_release(&view); /* harmless */
    free(bytes);
    return digest;
}

static void old_ones_go_first(void **unused)
{
    (void)unused;
    struct manifest_cache *cache = registry_int_cache_new(8u * 10u * 1100u);
    struct manifest_view view;
    struct digest first = add(cache, 0, 1000);
    struct digest last = first;
    unsigned found = 0;
    for (unsigned i = 1; i < ENTRIES; i++) {
        last = add(cache, i, 1000);
        if (registry_int_cache_find(cache, &first, &view)) { /* used all the time: stays */
            found++;
            manifest_view_release(&view);
        }
    }
    assert_int_equal(found, ENTRIES - 1);
    assert_true(registry_int_cache_find(cache, &last, &view));
    manifest_view_release(&view);
    unsigned kept = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        char bytes[1000] = "";
        (void)snprintf(bytes, sizeof(bytes), "%u", i);
        struct digest digest;
        digest_of(DIGEST_SHA256, slice_of(bytes, sizeof(bytes)), &digest);
        if (registry_int_cache_find(cache, &digest, &view)) {
            kept++;
            manifest_view_release(&view);
        }
    }
    assert_true(kept > 20 && kept <= 80);
    registry_int_cache_free(cache);
}

static void large_ones_are_not_kept_but_served(void **unused)
{
    (void)unused;
    struct manifest_cache *cache = registry_int_cache_new(32u << 20);
    struct manifest_view view;
    struct digest digest = add(cache, 0, 2u << 20);
    assert_false(registry_int_cache_find(cache, &digest, &view));
    registry_int_cache_free(cache);
}

static void a_view_outlives_the_cache_entry(void **unused)
{
    (void)unused;
    struct manifest_cache *cache = registry_int_cache_new(8u * 2000u);
    struct manifest_view view;
    struct digest digest = add(cache, 0, 1000);
    assert_true(registry_int_cache_find(cache, &digest, &view));
    for (unsigned i = 1; i < 100; i++)
        (void)add(cache, i, 1000);
    registry_int_cache_free(cache);
    assert_int_equal(view.bytes.ptr[0], '0');
    manifest_view_release(&view);
}

static void *hammer(void *data)
{
    struct manifest_cache *cache = data;
    for (unsigned i = 0; i < 20000; i++) {
        char bytes[200] = "";
        (void)snprintf(bytes, sizeof(bytes), "%u", i * 2654435761u % 300u);
        struct digest digest;
        struct manifest_view view;
        digest_of(DIGEST_SHA256, slice_of(bytes, sizeof(bytes)), &digest);
        if (!registry_int_cache_find(cache, &digest, &view))
            registry_int_cache_add(cache, &digest, SLICE("t"), slice_of(bytes, sizeof(bytes)), &view);
        if (!slice_equal(view.bytes, slice_of(bytes, sizeof(bytes))))
            abort();
        manifest_view_release(&view);
    }
    return NULL;
}

static void several_loops_share_it(void **unused)
{
    (void)unused;
    struct manifest_cache *cache = registry_int_cache_new(8u * 3000u);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    registry_int_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_ones_go_first),
        cmocka_unit_test(large_ones_are_not_kept_but_served),
        cmocka_unit_test(a_view_outlives_the_cache_entry),
        cmocka_unit_test(several_loops_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
