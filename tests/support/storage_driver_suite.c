/* SPDX-License-Identifier: Apache-2.0
 *
 * The suite's fixture and runner: a loop, a pool and a fresh store for each test; afterwards nothing may be left.
 */
#include "storage_driver_suite_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "minato/own.h"

/* ---- words ---- */

struct slice suite_bytes(struct suite *s, size_t size, unsigned seed)
{
    char *bytes = arena_alloc(&s->arena, size + 1);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (char)(x >> 24);
    }
    return slice_of(bytes, size);
}

enum result suite_try_put(struct suite *s, const char *path, struct slice bytes, unsigned flags)
{
    return AWAIT(s->loop, storage_put(s->storage, slice_from_cstr(path), bytes, flags, done));
}

void suite_put(struct suite *s, const char *path, struct slice bytes)
{
    suite_expect(OK, suite_try_put(s, path, bytes, 0));
}

void suite_delete(struct suite *s, const char *path)
{
    suite_expect(OK, AWAIT(s->loop, storage_delete(s->storage, slice_from_cstr(path), done)));
}

struct storage_object suite_stat(struct suite *s, const char *path)
{
    struct storage_object object;
    suite_expect(OK, AWAIT(s->loop, storage_stat(s->storage, slice_from_cstr(path), &object, done)));
    return object;
}

void suite_expect_bytes(struct suite *s, const char *path, struct slice bytes)
{
    struct slice got = SLICE_EMPTY;
    suite_expect(
        OK, AWAIT(s->loop, storage_get(s->storage, slice_from_cstr(path), SUITE_GET_MAX, &s->arena, &got, NULL, done)));
    assert_int_equal(got.len, bytes.len);
    assert_true(slice_equal(got, bytes));
}

void suite_expect_absent(struct suite *s, const char *path)
{
    struct storage_object object;
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_stat(s->storage, slice_from_cstr(path), &object, done)));
}

struct slice suite_names(struct suite *s, const char *folder, size_t limit)
{
    struct slice names = SLICE_EMPTY;
    struct slice after = SLICE_EMPTY;
    do {
        struct storage_listing listing;
        suite_expect(OK, AWAIT(s->loop, storage_list(s->storage, slice_from_cstr(folder), after, limit, &s->arena,
                                                     &listing, done)));
        assert_true(listing.count <= limit);
        for (size_t i = 0; i < listing.count; i++)
            names = arena_format(&s->arena, "%.*s%s%.*s%s", SLICE_ARG(names), names.len == 0 ? "" : " ",
                                 SLICE_ARG(listing.entries[i].name), listing.entries[i].is_folder ? "/" : "");
        after = listing.next;
    } while (after.len > 0);
    return names;
}

void suite_restart(struct suite *s)
{
    s->subject->close(s->subject->data, s->storage);
    s->storage = s->subject->open(s->subject->data, s->pool);
    assert_non_null(s->storage);
}

/* ---- fixture ---- */

static int setup(void **state)
{
    struct suite *s = xcalloc(1, sizeof(*s));
    s->subject = *state;
    arena_init(&s->arena);
    if (loop_new(0, SUITE_PAGES_BYTES, &s->loop) != OK || pool_new(4, 8, &s->pool) != OK)
        return -1;
    s->storage = s->subject->open(s->subject->data, s->pool);
    *state = s;
    return s->storage == NULL ? -1 : 0;
}

/* Objects below "suite", the tests' only folder; their names go to stderr. */
static size_t count_objects(struct suite *s, struct slice folder)
{
    struct storage_listing listing;
    size_t count = 0;
    enum result r = AWAIT(s->loop, storage_list(s->storage, folder, SLICE_EMPTY, 1000, &s->arena, &listing, done));
    if (r != OK)
        return 1;
    for (size_t i = 0; i < listing.count; i++) {
        struct slice path = arena_format(&s->arena, "%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(listing.entries[i].name));
        if (listing.entries[i].is_folder) {
            count += count_objects(s, path);
        } else {
            (void)fprintf(stderr, "left behind: %.*s\n", SLICE_ARG(path));
            count++;
        }
    }
    return count;
}

static int teardown(void **state)
{
    struct suite *s = *state;
    int failed = 0;
    if (count_objects(s, SLICE("suite")) > 0 || pages_in_use_bytes(s->loop) > 0)
        failed = -1;
    await_pool(s->loop, s->pool);
    s->subject->close(s->subject->data, s->storage);
    if (s->subject->dispose != NULL && s->subject->dispose(s->subject->data) > 0)
        failed = -1;
    pool_free(s->pool);
    loop_free(s->loop);
    arena_done(&s->arena);
    free(s);
    return failed;
}

static size_t add_tests(struct CMUnitTest *to, const struct suite_test *from, size_t count,
                        const struct storage_subject *subject, struct arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        struct slice name = arena_format(arena, "%s: %s", subject->name, from[i].name);
        to[i] = (struct CMUnitTest){.name = name.ptr, /* NUL-terminated by arena_format */
                                    .test_func = from[i].run,
                                    .setup_func = setup,
                                    .teardown_func = teardown,
                                    .initial_state = (void *)(uintptr_t)subject};
    }
    return count;
}

int storage_driver_suite_run(const struct storage_subject *subject)
{
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    size_t total = suite_object_test_count + suite_read_test_count + suite_parts_test_count;
    struct CMUnitTest *tests = ARENA_ARRAY(&arena, struct CMUnitTest, total);
    size_t count = add_tests(tests, suite_object_tests, suite_object_test_count, subject, &arena);
    count += add_tests(tests + count, suite_read_tests, suite_read_test_count, subject, &arena);
    count += add_tests(tests + count, suite_parts_tests, suite_parts_test_count, subject, &arena);
    return _cmocka_run_group_tests(subject->name, tests, count, NULL, NULL);
}
