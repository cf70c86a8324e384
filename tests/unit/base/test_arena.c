/* SPDX-License-Identifier: Apache-2.0
 *
 * The arena: alignment, zeroes, what is larger than a chunk, and use after arena_done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "minato/arena.h"

static void memory_is_zeroed_and_aligned_for_any_type(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    for (size_t n = 1; n < 3000; n += 7) {
        char *p = arena_alloc(&arena, n);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < n; ++i)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, n); /* the next one must not see this */
    }
    arena_done(&arena);
}

static void allocations_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static char *pieces[COUNT];
    struct arena arena;
    arena_init(&arena);
    for (unsigned i = 0; i < COUNT; ++i) {
        size_t n = 1 + i * 37 % 1500; /* small ones, and some with a chunk of their own */
        pieces[i] = arena_alloc(&arena, n);
        memset(pieces[i], (int)(i % 251), n);
    }
    for (unsigned i = 0; i < COUNT; ++i)
        for (size_t at = 0; at < 1 + i * 37 % 1500; ++at)
            assert_int_equal((unsigned char)pieces[i][at], i % 251);
    arena_done(&arena);
}

static void nothing_can_be_allocated_too(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    volatile uintptr_t fresh = (uintptr_t)arena_alloc(&arena, 0);
    assert_true(fresh != 0);
    (void)arena_alloc(&arena, 8);
    volatile uintptr_t later = (uintptr_t)arena_alloc(&arena, 0);
    assert_true(later != 0);
    arena_done(&arena);
}

static void large_allocation_first_or_later_leaves_the_small_ones_alone(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char *first = arena_alloc(&arena, 1u << 20);
    char *small = arena_alloc(&arena, 16);
    char *large = arena_alloc(&arena, 5u << 20);
    char *next = arena_alloc(&arena, 16);
    memset(first, 1, 1u << 20);
    memset(large, 2, 5u << 20);
    memset(small, 3, 16);
    memset(next, 4, 16);
    assert_int_equal(first[(1u << 20) - 1], 1);
    assert_int_equal(large[0], 2);
    assert_int_equal(small[15], 3);
    arena_done(&arena);
}

static void copies_outlive_what_they_were_made_of(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char text[] = "text";
    struct slice copy = arena_copy(&arena, slice_of(text, 4));
    char *cstr = arena_cstr(&arena, slice_of(text, 2));
    memset(text, 'x', 4);
    assert_true(slice_equal(copy, SLICE("text")));
    assert_string_equal(cstr, "te");
    assert_int_equal(arena_copy(&arena, SLICE_EMPTY).len, 0);
    assert_string_equal(arena_cstr(&arena, SLICE_EMPTY), "");
    arena_done(&arena);
}

static void format_gives_text_of_any_length(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    assert_true(slice_equal(arena_format(&arena, "%s-%d", "a", 7), SLICE("a-7")));
    assert_int_equal(arena_format(&arena, "%s", "").len, 0);
    assert_int_equal(arena_format(&arena, "%10000d", 1).len, 10000);
    arena_done(&arena);
}

static void format_gives_the_same_text_whatever_is_left_of_a_chunk(void **state)
{
    (void)state;
    for (int over = -2; over <= 2; ++over) { /* with its NUL it just fits at -1 */
        struct arena arena;
        arena_init(&arena);
        do
            (void)arena_alloc(&arena, 100);
        while (arena.left > 500);
        struct slice before = arena_copy(&arena, SLICE("before"));
        int n = (int)arena.left + over;
        struct slice text = arena_format(&arena, "%*d", n, 7);
        struct slice after = arena_copy(&arena, SLICE("after"));
        assert_int_equal(text.len, n);
        assert_int_equal(strtol(text.ptr, NULL, 10), 7);
        assert_int_equal(text.ptr[text.len], '\0');
        assert_true(slice_equal(before, SLICE("before")) && slice_equal(after, SLICE("after")));
        arena_done(&arena);
    }
}

static void concat_puts_parts_one_behind_the_other(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct slice text = ARENA_CONCAT(&arena, SLICE("a"), SLICE_EMPTY, SLICE("/"), slice_of("bcd", 2));
    assert_true(slice_equal(text, SLICE("a/bc")));
    assert_int_equal(text.ptr[text.len], '\0');
    assert_int_equal(ARENA_CONCAT(&arena, SLICE_EMPTY).len, 0);
    arena_done(&arena);
}

static void arena_can_be_used_again_after_done(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    arena_done(&arena);
    arena_done(&arena);
    memset(arena_alloc(&arena, 100), 1, 100);
    arena_done(&arena);
}

struct pair {
    uint64_t a;
    uint64_t b;
};

static void typed_helpers_give_zeroed_objects(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    const struct pair *one = ARENA_NEW(&arena, struct pair);
    struct pair *many = ARENA_ARRAY(&arena, struct pair, 1000);
    assert_true(one->a == 0 && one->b == 0 && many[999].b == 0);
    many[999].b = 1;
    assert_true(one->b == 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned_for_any_type),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(nothing_can_be_allocated_too),
        cmocka_unit_test(large_allocation_first_or_later_leaves_the_small_ones_alone),
        cmocka_unit_test(copies_outlive_what_they_were_made_of),
        cmocka_unit_test(format_gives_text_of_any_length),
        cmocka_unit_test(format_gives_the_same_text_whatever_is_left_of_a_chunk),
        cmocka_unit_test(concat_puts_parts_one_behind_the_other),
        cmocka_unit_test(arena_can_be_used_again_after_done),
        cmocka_unit_test(typed_helpers_give_zeroed_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
