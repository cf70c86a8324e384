/* SPDX-License-Identifier: Apache-2.0
 *
 * The local index: what it remembers, what it must not, and each race of a lease by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "minato/index.h"

static uint64_t read_fake_ms(void *data)
{
    return *(uint64_t *)data;
}

struct fixture {
    uint64_t now_ms;
    struct index *index;
};

static const struct done nobody = {NULL, NULL, NULL};

static void setup(struct fixture *f, size_t entries_max)
{
    f->now_ms = 1000;
    struct clock clock = {read_fake_ms, read_fake_ms, &f->now_ms};
    f->index = index_new_local(entries_max, clock, NULL);
}

static struct index_key key_of(enum index_kind kind, const char *repo, const char *name)
{
    return (struct index_key){kind, {slice_from_cstr(repo)}, slice_from_cstr(name)};
}

static struct index_key a_tag(void)
{
    return key_of(INDEX_TAG, "library/debian", "latest");
}

static struct index_value value_of(uint64_t n)
{
    struct index_value v = {.digest = {.algorithm = DIGEST_SHA256}, .size = n};
    memcpy(v.digest.bytes, &n, sizeof(n));
    return v;
}

static index_lease miss(struct fixture *f, struct index_key key)
{
    struct index_value v;
    index_lease lease = UINT64_MAX;
    assert_int_equal(index_read(f->index, key, &v, &lease, nobody), NOT_FOUND);
    assert_true(lease != UINT64_MAX);
    return lease;
}

static void fill(struct fixture *f, struct index_key key, uint64_t n, index_lease lease)
{
    struct index_value v = value_of(n);
    assert_int_equal(index_fill(f->index, key, &v, lease, nobody), OK);
}

static bool remembers(struct fixture *f, struct index_key key, uint64_t n)
{
    struct index_value v;
    index_lease lease;
    if (index_read(f->index, key, &v, &lease, nobody) != OK)
        return false;
    struct index_value expected = value_of(n);
    assert_true(digest_equal(&v.digest, &expected.digest));
    assert_true(v.size == n);
    return true;
}

static index_write begin(struct fixture *f, struct index_key key)
{
    index_write write = 0;
    assert_int_equal(index_begin(f->index, key, &write, nobody), OK);
    return write;
}

static void end(struct fixture *f, struct index_key key, index_write write)
{
    assert_int_equal(index_end(f->index, key, write, nobody), OK);
}

/* ---- values ---- */

static void miss_gives_a_lease_and_a_fill_with_it_is_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_lease lease = miss(&f, a_tag());
    assert_true(lease != 0);
    fill(&f, a_tag(), 42, lease);
    assert_true(remembers(&f, a_tag(), 42));
    index_free(f.index);
}

static void hit_leaves_the_lease_untouched(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    fill(&f, a_tag(), 42, miss(&f, a_tag()));
    struct index_value v;
    index_lease lease = 7;
    assert_int_equal(index_read(f.index, a_tag(), &v, &lease, nobody), OK);
    assert_true(lease == 7);
    index_free(f.index);
}

static void keys_that_differ_in_one_part_are_different(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1000);
    struct index_key keys[] = {
        key_of(INDEX_TAG, "a", "bc"),  key_of(INDEX_TAG, "ab", "c"),      key_of(INDEX_LAYER, "a", "bc"),
        key_of(INDEX_TAG, "a", "bcd"), key_of(INDEX_REVISION, "a", "bc"), key_of(INDEX_TAG, "a/b", "c"),
    };
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    for (size_t i = 0; i < count; ++i)
        fill(&f, keys[i], 100 + i, miss(&f, keys[i]));
    for (size_t i = 0; i < count; ++i)
        assert_true(remembers(&f, keys[i], 100 + i));
    index_free(f.index);
}

static void key_longer_than_its_grammar_is_never_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    char text[300];
    memset(text, 'a', sizeof(text));
    struct index_key key = {INDEX_TAG, {slice_of(text, 256)}, SLICE("x")};
    struct index_value v = value_of(1);
    index_lease lease;
    index_write write;
    assert_int_equal(index_read(f.index, key, &v, &lease, nobody), UNAVAILABLE);
    assert_int_equal(index_fill(f.index, key, &v, 1, nobody), INVALID);
    assert_int_equal(index_begin(f.index, key, &write, nobody), INVALID);
    assert_int_equal(index_end(f.index, key, 1, nobody), INVALID);
    key = (struct index_key){INDEX_LAYER, {slice_of(text, 255)}, slice_of(text, DIGEST_TEXT_MAX)};
    fill(&f, key, 5, miss(&f, key));
    assert_true(remembers(&f, key, 5));
    index_free(f.index);
}

static struct index_key numbered(unsigned i, char name[16])
{
    (void)snprintf(name, 16, "t%u", i);
    return key_of(INDEX_TAG, "r", name);
}

static void values_are_bounded_by_entries_max(void **state)
{
    (void)state;
    static const size_t bounds[] = {1, 3, 16, 100, 1000};
    for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); ++b) {
        struct fixture f;
        setup(&f, bounds[b]);
        char name[16];
        for (unsigned i = 0; i < 5000; ++i) {
            struct index_key key = numbered(i, name);
            fill(&f, key, i, miss(&f, key));
            assert_true(remembers(&f, key, i)); /* the newest is always there */
        }
        size_t remembered = 0;
        for (unsigned i = 0; i < 5000; ++i)
            remembered += remembers(&f, numbered(i, name), i) ? 1 : 0;
        assert_in_range(remembered, 1, bounds[b]);
        assert_true(remembered * 2 >= bounds[b]); /* and they are used */
        index_free(f.index);
    }
}

static void what_is_read_often_outlives_what_is_read_once(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1000);
    fill(&f, a_tag(), 42, miss(&f, a_tag()));
    char name[16];
    for (unsigned i = 0; i < 20000; ++i) {
        struct index_key key = numbered(i, name);
        fill(&f, key, i, miss(&f, key));
        assert_true(remembers(&f, a_tag(), 42));
    }
    index_free(f.index);
}

static void misses_evict_nothing(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 16);
    fill(&f, a_tag(), 42, miss(&f, a_tag()));
    char name[16];
    for (unsigned i = 0; i < 5000; ++i)
        (void)miss(&f, numbered(i, name));
    assert_true(remembers(&f, a_tag(), 42));
    index_free(f.index);
}

static void second_fill_of_a_key_replaces_the_first(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_lease one = miss(&f, a_tag());
    index_lease two = miss(&f, a_tag());
    fill(&f, a_tag(), 1, one);
    fill(&f, a_tag(), 1, two);
    assert_true(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

/* ---- leases and writes ---- */

static void begin_forgets_the_value(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    fill(&f, a_tag(), 1, miss(&f, a_tag()));
    index_write write = begin(&f, a_tag());
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), write);
    fill(&f, a_tag(), 2, miss(&f, a_tag()));
    assert_true(remembers(&f, a_tag(), 2));
    index_free(f.index);
}

static void fill_with_lease_0_is_not_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    fill(&f, a_tag(), 1, 0);
    assert_false(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

static void fill_while_a_write_is_under_way_is_not_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_lease lease = miss(&f, a_tag());
    index_write write = begin(&f, a_tag());
    fill(&f, a_tag(), 1, lease);
    assert_false(remembers(&f, a_tag(), 1));
    end(&f, a_tag(), write);
    index_free(f.index);
}

static void fill_after_a_whole_write_with_a_lease_from_before_is_not_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_lease lease = miss(&f, a_tag());
    end(&f, a_tag(), begin(&f, a_tag()));
    fill(&f, a_tag(), 1, lease);
    assert_false(remembers(&f, a_tag(), 1));
    fill(&f, a_tag(), 2, miss(&f, a_tag()));
    assert_true(remembers(&f, a_tag(), 2));
    index_free(f.index);
}

static void two_writes_at_once_both_have_to_end(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_write one = begin(&f, a_tag());
    index_write two = begin(&f, a_tag());
    assert_true(one != two);
    end(&f, a_tag(), one);
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), two);
    assert_int_not_equal(miss(&f, a_tag()), 0);
    index_free(f.index);
}

static void end_said_twice_does_not_end_the_other_write(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_write one = begin(&f, a_tag());
    index_write two = begin(&f, a_tag());
    end(&f, a_tag(), one);
    end(&f, a_tag(), one);
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), two);
    index_free(f.index);
}

static void write_that_never_ends_keeps_readers_from_filling_until_it_expires(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    (void)begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    assert_int_equal(miss(&f, a_tag()), 0);
    f.now_ms += 1;
    index_lease lease = miss(&f, a_tag());
    assert_int_not_equal(lease, 0);
    fill(&f, a_tag(), 1, lease);
    assert_true(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

static void lease_from_before_a_write_that_expired_does_not_fill(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_lease lease = miss(&f, a_tag());
    (void)begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS;
    fill(&f, a_tag(), 1, lease);
    assert_false(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

static void late_end_of_an_expired_write_forgets_what_was_filled_meanwhile(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_write write = begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS;
    fill(&f, a_tag(), 1, miss(&f, a_tag())); /* the store still said 1 */
    end(&f, a_tag(), write);                 /* by now it says 2 */
    assert_false(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

static void fill_with_a_lease_from_before_a_late_end_is_not_remembered(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    index_write write = begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS;
    index_lease lease = miss(&f, a_tag());
    end(&f, a_tag(), write);
    fill(&f, a_tag(), 1, lease);
    assert_false(remembers(&f, a_tag(), 1));
    index_free(f.index);
}

static void expired_write_does_not_expire_a_younger_one(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 100);
    (void)begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS / 2;
    index_write young = begin(&f, a_tag());
    f.now_ms += INDEX_WRITE_MAX_MS / 2;
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), young);
    assert_int_not_equal(miss(&f, a_tag()), 0);
    index_free(f.index);
}

static void write_of_one_key_does_not_stop_readers_of_others(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 10000);
    index_write write = begin(&f, a_tag());
    char name[16];
    for (unsigned i = 0; i < 5000; ++i) {
        struct index_key key = numbered(i, name);
        fill(&f, key, i, miss(&f, key));
        assert_true(remembers(&f, key, i));
    }
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), write);
    index_free(f.index);
}

static void evicted_value_does_not_take_its_write_with_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1);
    fill(&f, a_tag(), 1, miss(&f, a_tag()));
    index_write write = begin(&f, a_tag());
    struct index_key other = key_of(INDEX_TAG, "r", "other");
    fill(&f, other, 2, miss(&f, other));
    assert_int_equal(miss(&f, a_tag()), 0);
    end(&f, a_tag(), write);
    index_free(f.index);
}

static void more_writes_than_are_kept_close_their_keys_until_they_expire(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1);
    char name[16];
    for (unsigned i = 0; i < 5000; ++i)
        (void)begin(&f, numbered(i, name));
    for (unsigned i = 0; i < 5000; ++i)
        assert_int_equal(miss(&f, numbered(i, name)), 0);
    index_write write = begin(&f, a_tag()); /* not kept: its end does not open the key */
    end(&f, a_tag(), write);
    assert_int_equal(miss(&f, a_tag()), 0);
    f.now_ms += INDEX_WRITE_MAX_MS;
    for (unsigned i = 0; i < 5000; ++i)
        assert_int_not_equal(miss(&f, numbered(i, name)), 0);
    assert_int_not_equal(miss(&f, a_tag()), 0);
    index_free(f.index);
}

static void writes_that_never_ended_make_room_for_new_ones_once_expired(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, 1);
    char name[16];
    for (unsigned i = 0; i < 5000; ++i)
        (void)begin(&f, numbered(i, name));
    f.now_ms += INDEX_WRITE_MAX_MS;
    index_write write = begin(&f, a_tag()); /* kept, so its end opens the key */
    end(&f, a_tag(), write);
    assert_int_not_equal(miss(&f, a_tag()), 0);
    index_free(f.index);
}

static void free_accepts_null_and_writes_under_way(void **state)
{
    (void)state;
    index_free(NULL);
    struct fixture f;
    setup(&f, 10);
    (void)begin(&f, a_tag());
    index_free(f.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(miss_gives_a_lease_and_a_fill_with_it_is_remembered),
        cmocka_unit_test(hit_leaves_the_lease_untouched),
        cmocka_unit_test(keys_that_differ_in_one_part_are_different),
        cmocka_unit_test(key_longer_than_its_grammar_is_never_remembered),
        cmocka_unit_test(values_are_bounded_by_entries_max),
        cmocka_unit_test(what_is_read_often_outlives_what_is_read_once),
        cmocka_unit_test(misses_evict_nothing),
        cmocka_unit_test(second_fill_of_a_key_replaces_the_first),
        cmocka_unit_test(begin_forgets_the_value),
        cmocka_unit_test(fill_with_lease_0_is_not_remembered),
        cmocka_unit_test(fill_while_a_write_is_under_way_is_not_remembered),
        cmocka_unit_test(fill_after_a_whole_write_with_a_lease_from_before_is_not_remembered),
        cmocka_unit_test(two_writes_at_once_both_have_to_end),
        cmocka_unit_test(end_said_twice_does_not_end_the_other_write),
        cmocka_unit_test(write_that_never_ends_keeps_readers_from_filling_until_it_expires),
        cmocka_unit_test(lease_from_before_a_write_that_expired_does_not_fill),
        cmocka_unit_test(late_end_of_an_expired_write_forgets_what_was_filled_meanwhile),
        cmocka_unit_test(fill_with_a_lease_from_before_a_late_end_is_not_remembered),
        cmocka_unit_test(expired_write_does_not_expire_a_younger_one),
        cmocka_unit_test(write_of_one_key_does_not_stop_readers_of_others),
        cmocka_unit_test(evicted_value_does_not_take_its_write_with_it),
        cmocka_unit_test(more_writes_than_are_kept_close_their_keys_until_they_expire),
        cmocka_unit_test(writes_that_never_ended_make_room_for_new_ones_once_expired),
        cmocka_unit_test(free_accepts_null_and_writes_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
