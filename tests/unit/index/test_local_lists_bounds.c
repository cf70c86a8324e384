/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of the local index: what they may cost, and what goes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "lists_fixture.h"

static size_t bytes_held(struct fixture *f)
{
    return atomic_load(&lists_of(f)->bytes);
}

static struct index_list_key numbered(unsigned i, char name[16])
{
    (void)snprintf(name, 16, "r%u", i);
    return tags_of(name);
}

/* One with `count` members of its own. */
static void fill_many(struct fixture *f, struct index_list_key key, unsigned count, index_lease lease)
{
    struct index_member *members = calloc(count, sizeof(*members));
    char(*names)[16] = calloc(count, sizeof(*names));
    for (unsigned i = 0; i < count; ++i) {
        (void)snprintf(names[i], sizeof(names[i]), "%07u", i * 7919 % count);
        members[i].name = slice_from_cstr(names[i]);
    }
    assert_int_equal(index_list_fill(f->index, key, members, count, lease, nobody), OK);
    free(names);
    free(members);
}

static bool is_known(struct fixture *f, struct index_list_key key)
{
    struct index_list_page page;
    index_lease lease;
    return index_list_read(f->index, key, SLICE_EMPTY, 0, &f->arena, &page, &lease, nobody) == OK;
}

static void least_recently_read_list_goes_first(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    lists_of(&f)->members_max = 30;
    fill_many(&f, tags_of("one"), 10, miss(&f, tags_of("one")));
    fill_many(&f, tags_of("two"), 10, miss(&f, tags_of("two")));
    fill_many(&f, tags_of("three"), 10, miss(&f, tags_of("three")));
    assert_true(is_known(&f, tags_of("one")));
    index_lease lease = miss(&f, tags_of("four"));
    fill_many(&f, tags_of("four"), 10, lease);
    assert_true(is_known(&f, tags_of("one")));
    assert_true(is_known(&f, tags_of("three")));
    assert_true(is_known(&f, tags_of("four")));
    assert_false(is_known(&f, tags_of("two")));
    assert_int_equal(atomic_load(&lists_of(&f)->members), 30);
    teardown(&f);
}

static void lists_are_bounded_by_bytes(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    lists_of(&f)->bytes_max = (size_t)256 * 1024;
    char name[16];
    for (unsigned i = 0; i < 500; ++i) {
        struct index_list_key key = numbered(i, name);
        fill_many(&f, key, 100, miss(&f, key));
        assert_true(is_known(&f, key));
        assert_in_range(bytes_held(&f), 1, 256 * 1024);
    }
    assert_true(bytes_held(&f) > 200 * 1024);
    teardown(&f);
}

static void list_larger_than_all_may_be_is_not_kept(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    lists_of(&f)->members_max = 100;
    fill(&f, tags_of("small"), "abc", miss(&f, tags_of("small")));
    fill_many(&f, a_list(), 101, miss(&f, a_list()));
    assert_false(is_known(&f, a_list()));
    fill_many(&f, a_list(), 97, miss(&f, a_list()));
    assert_true(is_known(&f, a_list()));
    for (unsigned i = 0; i < 4; ++i) {
        char name[16];
        (void)snprintf(name, sizeof(name), "new%u", i);
        end(&f, name, begin(&f, name), INDEX_MEMBER_PRESENT);
        assert_true(is_known(&f, a_list()) == (i < 3));
    }
    assert_false(is_known(&f, tags_of("small"))); /* driven out */
    fill(&f, a_list(), "abc", miss(&f, a_list()));
    lists_of(&f)->bytes_max = 20000;
    index_write write = begin(&f, "big");
    char *data = calloc(1, 30000);
    assert_int_equal(
        index_list_end(f.index, a_list(), SLICE("big"), write, INDEX_MEMBER_PRESENT, slice_of(data, 30000), nobody),
        OK);
    free(data);
    assert_false(is_known(&f, a_list()));
    teardown(&f);
}

static void list_that_nobody_reads_or_writes_holds_no_memory(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    end(&f, "a", begin(&f, "a"), INDEX_MEMBER_PRESENT);
    assert_int_equal(bytes_held(&f), 0);
    (void)miss(&f, a_list());
    for (unsigned i = 0; i < 100; ++i)
        end(&f, "a", begin(&f, "a"), INDEX_MEMBER_PRESENT);
    assert_true(bytes_held(&f) > 0);
    f.now_ms += INDEX_WRITE_MAX_MS;
    end(&f, "a", begin(&f, "a"), INDEX_MEMBER_PRESENT);
    assert_int_equal(bytes_held(&f), 0);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    end(&f, "", begin(&f, ""), INDEX_MEMBER_UNKNOWN);
    assert_int_equal(bytes_held(&f), 0);
    (void)begin(&f, "a"); /* never ends */
    f.now_ms += INDEX_WRITE_MAX_MS;
    end(&f, "b", begin(&f, "b"), INDEX_MEMBER_PRESENT);
    assert_int_equal(bytes_held(&f), 0);
    assert_int_equal(atomic_load(&lists_of(&f)->members), 0);
    teardown(&f);
}

static void reading_a_million_absent_lists_costs_bounded_memory_and_drives_out_no_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "abc", miss(&f, a_list()));
    char name[16];
    for (unsigned i = 0; i < 1000000; ++i)
        (void)miss(&f, numbered(i, name));
    assert_true(bytes_held(&f) < (size_t)8 * 1024 * 1024);
    assert_string_equal(all_of(&f, a_list()), "abc");
    teardown(&f);
}

static void more_changes_than_are_kept_refuse_outstanding_leases(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (unsigned changes = 4096; changes <= 4097; ++changes) {
        index_lease lease = miss(&f, a_list());
        for (unsigned i = 0; i < changes; ++i)
            end(&f, "b", begin(&f, "b"), i % 2 == 0 ? INDEX_MEMBER_ABSENT : INDEX_MEMBER_PRESENT);
        fill(&f, a_list(), "a", lease);
        assert_string_equal(all_of(&f, a_list()), changes == 4096 ? "ab" : "?");
        end(&f, "b", begin(&f, "b"), INDEX_MEMBER_UNKNOWN);
    }
    teardown(&f);
}

static void changes_are_bounded_by_bytes_too(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease lease = miss(&f, a_list());
    char *data = calloc(1, 1024 * 1024);
    for (unsigned i = 0; i < 5; ++i) {
        index_write write = begin(&f, "b");
        assert_int_equal(index_list_end(f.index, a_list(), SLICE("b"), write, INDEX_MEMBER_PRESENT,
                                        slice_of(data, 1024 * 1024), nobody),
                         OK);
        assert_in_range(bytes_held(&f), 0, 5 * 1024 * 1024);
    }
    free(data);
    fill(&f, a_list(), "ab", lease);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void more_writes_than_are_kept_forget_the_lists_until_they_must_have_ended(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_write first = begin(&f, "a");
    for (unsigned i = 1; i < 4096; ++i)
        (void)begin(&f, "b");
    fill(&f, a_list(), "c", miss(&f, a_list()));
    assert_string_equal(all_of(&f, a_list()), "c");
    f.now_ms += INDEX_WRITE_MAX_MS / 2;
    index_write over = begin(&f, "a"); /* the shard's 4097th */
    assert_int_equal(miss(&f, a_list()), 0);
    end(&f, "a", first, INDEX_MEMBER_PRESENT);
    index_write meanwhile = begin(&f, "d");
    end(&f, "a", over, INDEX_MEMBER_ABSENT);
    assert_int_equal(miss(&f, a_list()), 0);
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    assert_int_equal(miss(&f, a_list()), 0);
    f.now_ms += 1;
    assert_int_not_equal(miss(&f, a_list()), 0);
    (void)meanwhile;
    fill(&f, a_list(), "d", miss(&f, a_list()));
    end(&f, "e", begin(&f, "e"), INDEX_MEMBER_PRESENT);
    assert_string_equal(all_of(&f, a_list()), "de");
    teardown(&f);
}

static void many_changes_are_replayed_over_a_large_fill(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease lease = miss(&f, a_list());
    char name[16];
    for (unsigned i = 0; i < 2000; ++i) {
        (void)snprintf(name, sizeof(name), "%07u", i * 5); /* of 10,000 listed: every fifth goes, and some come */
        end(&f, name, begin(&f, name), INDEX_MEMBER_ABSENT);
        (void)snprintf(name, sizeof(name), "%07u+", i * 6 + 1);
        end(&f, name, begin(&f, name), INDEX_MEMBER_PRESENT);
    }
    fill_many(&f, a_list(), 10000, lease);
    struct index_list_page page;
    assert_int_equal(index_list_read(f.index, a_list(), SLICE_EMPTY, SIZE_MAX, &f.arena, &page, &lease, nobody), OK);
    assert_int_equal(page.count, 10000);
    for (size_t i = 1; i < page.count; ++i)
        assert_true(slice_compare(page.members[i - 1].name, page.members[i].name) < 0);
    size_t added = 0;
    for (size_t i = 0; i < page.count; ++i) {
        struct slice text = page.members[i].name;
        uint64_t number = 0;
        assert_int_equal(slice_parse_u64(slice_of(text.ptr, 7), &number), OK);
        added += text.len == 8 ? 1 : 0;
        assert_true(text.len == 8 ? number % 6 == 1 : number % 5 != 0);
    }
    assert_int_equal(added, 2000);
    teardown(&f);
}

static void free_accepts_writes_leases_and_lists(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, tags_of("known"), "abc", miss(&f, tags_of("known")));
    (void)miss(&f, a_list());
    (void)begin(&f, "a");
    end(&f, "b", begin(&f, "b"), INDEX_MEMBER_PRESENT);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_recently_read_list_goes_first),
        cmocka_unit_test(lists_are_bounded_by_bytes),
        cmocka_unit_test(list_larger_than_all_may_be_is_not_kept),
        cmocka_unit_test(list_that_nobody_reads_or_writes_holds_no_memory),
        cmocka_unit_test(reading_a_million_absent_lists_costs_bounded_memory_and_drives_out_no_list),
        cmocka_unit_test(more_changes_than_are_kept_refuse_outstanding_leases),
        cmocka_unit_test(changes_are_bounded_by_bytes_too),
        cmocka_unit_test(more_writes_than_are_kept_forget_the_lists_until_they_must_have_ended),
        cmocka_unit_test(many_changes_are_replayed_over_a_large_fill),
        cmocka_unit_test(free_accepts_writes_leases_and_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
