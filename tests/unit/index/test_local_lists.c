/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of the local index: pages, and each race of a filler with writers by name. Members are single letters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lists_fixture.h"

#define PRESENT INDEX_MEMBER_PRESENT
#define ABSENT INDEX_MEMBER_ABSENT
#define UNKNOWN INDEX_MEMBER_UNKNOWN

/* ---- pages ---- */

static void fill_in_any_order_with_duplicates_is_read_in_byte_order(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "dbBacab", miss(&f, a_list()));
    assert_string_equal(all_of(&f, a_list()), "Babcd");
    teardown(&f);
}

static void page_begins_after_a_member_whether_it_exists_or_not(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "bdfh", miss(&f, a_list()));
    static const struct {
        const char *after, *letters;
        size_t limit;
        bool has_more;
    } pages[] = {
        {"", "bd", 2, true},   {"", "bdfh", 4, false}, {"b", "d", 1, true}, {"c", "df", 2, true},
        {"d", "fh", 2, false}, {"f", "h", 9, false},   {"h", "", 9, false}, {"z", "", 9, false},
        {"a", "bdf", 3, true}, {"", "", 0, true},      {"h", "", 0, false}, {"bb", "dfh", 9, false},
        {"g", "h", 1, false},
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); ++i) {
        bool has_more = false;
        assert_string_equal(page_of(&f, a_list(), pages[i].after, pages[i].limit, &has_more), pages[i].letters);
        assert_int_equal(has_more, pages[i].has_more);
    }
    teardown(&f);
}

static void empty_list_is_known_to_be_empty(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "", miss(&f, a_list()));
    assert_string_equal(all_of(&f, a_list()), "");
    end(&f, "a", begin(&f, "a"), PRESENT);
    assert_string_equal(all_of(&f, a_list()), "a");
    teardown(&f);
}

static void data_is_read_as_filled_and_as_last_written(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct index_member given[] = {{SLICE("b"), SLICE("{2}")}, {SLICE("a"), SLICE("")}, {SLICE("b"), SLICE("{3}")}};
    assert_int_equal(index_list_fill(f.index, a_list(), given, 3, miss(&f, a_list()), nobody), OK);
    struct index_list_page page;
    index_lease lease = 7;
    assert_int_equal(index_list_read(f.index, a_list(), SLICE_EMPTY, 9, &f.arena, &page, &lease, nobody), OK);
    assert_int_equal(page.count, 2);
    assert_int_equal(page.members[0].data.len, 0);
    assert_true(slice_equal(page.members[1].data, SLICE("{3}")));
    assert_int_equal(lease, 7); /* written on NOT_FOUND only */
    end_with(&f, "b", begin(&f, "b"), PRESENT, "{44}");
    end_with(&f, "a", begin(&f, "a"), PRESENT, "{5}");
    struct index_list_page after;
    assert_int_equal(index_list_read(f.index, a_list(), SLICE_EMPTY, 9, &f.arena, &after, &lease, nobody), OK);
    assert_true(slice_equal(after.members[0].data, SLICE("{5}")));
    assert_true(slice_equal(after.members[1].data, SLICE("{44}")));
    assert_true(slice_equal(page.members[1].data, SLICE("{3}"))); /* a copy */
    teardown(&f);
}

static void lists_of_other_kinds_repositories_and_subjects_are_different(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct index_list_key keys[] = {
        {INDEX_LIST_TAGS, {SLICE("a")}, SLICE_EMPTY},
        {INDEX_LIST_TAGS, {SLICE("b")}, SLICE_EMPTY},
        {INDEX_LIST_REPOSITORIES, {SLICE_EMPTY}, SLICE_EMPTY},
        {INDEX_LIST_REFERRERS, {SLICE("a")}, SLICE("sha256-1")},
        {INDEX_LIST_REFERRERS, {SLICE("a")}, SLICE("sha256-2")},
    };
    static const char *const letters[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; ++i)
        fill(&f, keys[i], letters[i], miss(&f, keys[i]));
    for (size_t i = 0; i < 5; ++i)
        assert_string_equal(all_of(&f, keys[i]), letters[i]);
    teardown(&f);
}

static void key_or_member_longer_than_its_grammar_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    char text[300];
    memset(text, 'a', sizeof(text));
    struct index_list_key key = {INDEX_LIST_TAGS, {slice_of(text, 256)}, SLICE_EMPTY};
    struct index_member member = {slice_of(text, 256), SLICE_EMPTY};
    struct index_list_page page;
    index_lease lease;
    index_write write;
    assert_int_equal(index_list_read(f.index, key, SLICE_EMPTY, 1, &f.arena, &page, &lease, nobody), UNAVAILABLE);
    assert_int_equal(index_list_fill(f.index, key, NULL, 0, 1, nobody), INVALID);
    assert_int_equal(index_list_begin(f.index, key, SLICE("a"), &write, nobody), INVALID);
    assert_int_equal(index_list_end(f.index, key, SLICE("a"), 1, PRESENT, SLICE_EMPTY, nobody), INVALID);
    assert_int_equal(index_list_begin(f.index, a_list(), member.name, &write, nobody), INVALID);
    assert_int_equal(index_list_end(f.index, a_list(), member.name, 1, PRESENT, SLICE_EMPTY, nobody), INVALID);
    assert_int_equal(index_list_fill(f.index, a_list(), &member, 1, miss(&f, a_list()), nobody), OK);
    assert_string_equal(all_of(&f, a_list()), "?"); /* such a list is not kept */
    teardown(&f);
}

/* ---- writes of a list that is known ---- */

static void ended_write_is_in_the_list_and_a_pending_one_is_not_yet(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "ac", miss(&f, a_list()));
    index_write add = begin(&f, "b");
    index_write remove = begin(&f, "c");
    assert_string_equal(all_of(&f, a_list()), "ac");
    end(&f, "b", add, PRESENT);
    assert_string_equal(all_of(&f, a_list()), "abc");
    end(&f, "c", remove, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    end(&f, "x", begin(&f, "x"), ABSENT);
    end(&f, "a", begin(&f, "a"), PRESENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void write_with_unknown_outcome_forgets_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "ac", miss(&f, a_list()));
    end(&f, "b", begin(&f, "b"), UNKNOWN);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void write_without_a_member_forgets_the_list_at_its_end(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "ac", miss(&f, a_list()));
    index_write write = begin(&f, "");
    assert_string_equal(all_of(&f, a_list()), "ac");
    end(&f, "", write, ABSENT);
    index_lease lease = miss(&f, a_list());
    end(&f, "", begin(&f, ""), PRESENT);
    fill(&f, a_list(), "ac", lease);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void write_that_overlapped_one_without_a_member_forgets_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_write all = begin(&f, "");
    index_write one = begin(&f, "b");
    end(&f, "", all, UNKNOWN);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    end(&f, "b", one, PRESENT); /* before or after the other removed it */
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void write_that_overlapped_an_unknown_outcome_forgets_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_write lost = begin(&f, "b");
    index_write one = begin(&f, "b");
    index_write other = begin(&f, "c");
    end(&f, "b", lost, UNKNOWN);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    end(&f, "c", other, PRESENT); /* another member has nothing to do with it */
    assert_string_equal(all_of(&f, a_list()), "ac");
    end(&f, "b", one, PRESENT);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

/* ---- writes between a lease and its fill ---- */

static void fill_is_corrected_by_writes_that_ended_since_its_lease(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease lease = miss(&f, a_list());
    end(&f, "b", begin(&f, "b"), PRESENT);
    end(&f, "c", begin(&f, "c"), ABSENT);
    end(&f, "d", begin(&f, "d"), PRESENT);
    end(&f, "d", begin(&f, "d"), ABSENT);
    end(&f, "e", begin(&f, "e"), ABSENT);
    end(&f, "e", begin(&f, "e"), PRESENT);
    end(&f, "z", begin(&f, "z"), PRESENT);
    fill(&f, a_list(), "edca", lease);
    assert_string_equal(all_of(&f, a_list()), "abez");
    teardown(&f);
}

static void write_that_ended_before_the_lease_does_not_correct_the_fill(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease early = miss(&f, a_list());
    end(&f, "b", begin(&f, "b"), PRESENT);
    index_lease late = miss(&f, a_list());
    fill(&f, a_list(), "a", late); /* the store no longer has it: somebody else's doing, but the newer word */
    assert_string_equal(all_of(&f, a_list()), "a");
    fill(&f, a_list(), "c", early);
    assert_string_equal(all_of(&f, a_list()), "a"); /* the first fill stays */
    teardown(&f);
}

static void member_still_being_written_stays_as_listed_until_the_end_corrects_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_write before = begin(&f, "b");
    index_lease lease = miss(&f, a_list());
    index_write since = begin(&f, "c");
    fill(&f, a_list(), "ac", lease);
    assert_string_equal(all_of(&f, a_list()), "ac");
    end(&f, "b", before, PRESENT);
    end(&f, "c", since, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void unknown_outcome_refuses_outstanding_leases(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease lease = miss(&f, a_list());
    end(&f, "b", begin(&f, "b"), UNKNOWN);
    fill(&f, a_list(), "a", lease);
    assert_string_equal(all_of(&f, a_list()), "?");
    fill(&f, a_list(), "ab", miss(&f, a_list()));
    fill(&f, a_list(), "a", lease);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void lease_from_before_a_list_was_known_and_forgotten_does_not_fill(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease old = miss(&f, a_list());
    fill(&f, a_list(), "a", miss(&f, a_list()));
    end(&f, "b", begin(&f, "b"), PRESENT);
    end(&f, "c", begin(&f, "c"), UNKNOWN);
    index_lease fresh = miss(&f, a_list());
    fill(&f, a_list(), "a", old); /* nobody remembers that b was added */
    assert_string_equal(all_of(&f, a_list()), "?");
    fill(&f, a_list(), "ab", fresh);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void lease_0_does_not_fill(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "a", 0);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

/* ---- writes of one member at once ---- */

static void writes_at_once_that_do_not_agree_forget_the_list_at_the_last_end(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    index_write add = begin(&f, "b");
    index_write remove = begin(&f, "b");
    end(&f, "b", add, PRESENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    end(&f, "b", remove, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void writes_at_once_that_do_not_agree_refuse_outstanding_leases(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease first = miss(&f, a_list());
    index_write add = begin(&f, "b");
    index_write remove = begin(&f, "b");
    end(&f, "b", remove, ABSENT);
    index_lease second = miss(&f, a_list());
    end(&f, "b", add, PRESENT);
    fill(&f, a_list(), "a", first);
    fill(&f, a_list(), "a", second);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void writes_at_once_that_agree_keep_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "ac", miss(&f, a_list()));
    index_write one = begin(&f, "b");
    index_write two = begin(&f, "b");
    end_with(&f, "b", one, PRESENT, "{}");
    end_with(&f, "b", two, PRESENT, "{}");
    one = begin(&f, "c");
    two = begin(&f, "c");
    end(&f, "c", two, ABSENT);
    end(&f, "c", one, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void writes_at_once_with_other_data_do_not_agree(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    index_write one = begin(&f, "b");
    index_write two = begin(&f, "b");
    end_with(&f, "b", one, PRESENT, "{1}");
    end_with(&f, "b", two, PRESENT, "{2}");
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void long_write_round_two_that_did_not_agree_forgets_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    index_write round = begin(&f, "b");
    end(&f, "b", begin(&f, "b"), PRESENT);
    end(&f, "b", begin(&f, "b"), ABSENT);
    assert_string_equal(all_of(&f, a_list()), "a");
    end(&f, "b", round, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void writes_of_different_members_at_once_keep_the_list(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "ac", miss(&f, a_list()));
    index_write one = begin(&f, "b");
    index_write two = begin(&f, "c");
    end(&f, "b", one, PRESENT);
    end(&f, "c", two, ABSENT);
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

/* ---- deadlines ---- */

static void write_past_its_deadline_forgets_the_list_and_then_it_is_simply_cold(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    fill(&f, a_list(), "a", miss(&f, a_list()));
    (void)begin(&f, "b");
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    assert_string_equal(all_of(&f, a_list()), "a");
    f.now_ms += 1;
    assert_string_equal(all_of(&f, a_list()), "?");
    fill(&f, a_list(), "ab", miss(&f, a_list()));
    assert_string_equal(all_of(&f, a_list()), "ab");
    teardown(&f);
}

static void lease_from_before_the_deadline_of_a_lost_write_does_not_fill_after_it(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    (void)begin(&f, "b");
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    index_lease lease = miss(&f, a_list());
    f.now_ms += 1;
    fill(&f, a_list(), "a", lease);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void lost_write_spoils_the_writes_it_overlapped(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    (void)begin(&f, "b");
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    index_write spoilt = begin(&f, "b");
    index_write other = begin(&f, "c");
    f.now_ms += 1;
    fill(&f, a_list(), "a", miss(&f, a_list()));
    index_write later = begin(&f, "b");
    end(&f, "c", other, PRESENT);
    assert_string_equal(all_of(&f, a_list()), "ac");
    end(&f, "b", spoilt, PRESENT);
    assert_string_equal(all_of(&f, a_list()), "?");
    end(&f, "b", later, PRESENT);
    teardown(&f);
}

static void late_end_of_an_expired_write_forgets_what_was_filled_meanwhile(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_write write = begin(&f, "b");
    f.now_ms += INDEX_WRITE_MAX_MS;
    fill(&f, a_list(), "a", miss(&f, a_list()));
    assert_string_equal(all_of(&f, a_list()), "a");
    end(&f, "b", write, PRESENT);
    index_lease lease = miss(&f, a_list());
    end(&f, "b", write, PRESENT);
    fill(&f, a_list(), "a", lease);
    assert_string_equal(all_of(&f, a_list()), "?");
    teardown(&f);
}

static void lease_lives_as_long_as_a_write_may_take(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    index_lease lease = miss(&f, a_list());
    f.now_ms += INDEX_WRITE_MAX_MS - 1;
    fill(&f, a_list(), "a", lease);
    assert_string_equal(all_of(&f, a_list()), "a");
    lease = miss(&f, tags_of("other"));
    f.now_ms += INDEX_WRITE_MAX_MS;
    fill(&f, tags_of("other"), "a", lease);
    assert_string_equal(all_of(&f, tags_of("other")), "?");
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill_in_any_order_with_duplicates_is_read_in_byte_order),
        cmocka_unit_test(page_begins_after_a_member_whether_it_exists_or_not),
        cmocka_unit_test(empty_list_is_known_to_be_empty),
        cmocka_unit_test(data_is_read_as_filled_and_as_last_written),
        cmocka_unit_test(lists_of_other_kinds_repositories_and_subjects_are_different),
        cmocka_unit_test(key_or_member_longer_than_its_grammar_is_refused),
        cmocka_unit_test(ended_write_is_in_the_list_and_a_pending_one_is_not_yet),
        cmocka_unit_test(write_with_unknown_outcome_forgets_the_list),
        cmocka_unit_test(write_without_a_member_forgets_the_list_at_its_end),
        cmocka_unit_test(write_that_overlapped_one_without_a_member_forgets_the_list),
        cmocka_unit_test(write_that_overlapped_an_unknown_outcome_forgets_the_list),
        cmocka_unit_test(fill_is_corrected_by_writes_that_ended_since_its_lease),
        cmocka_unit_test(write_that_ended_before_the_lease_does_not_correct_the_fill),
        cmocka_unit_test(member_still_being_written_stays_as_listed_until_the_end_corrects_it),
        cmocka_unit_test(unknown_outcome_refuses_outstanding_leases),
        cmocka_unit_test(lease_from_before_a_list_was_known_and_forgotten_does_not_fill),
        cmocka_unit_test(lease_0_does_not_fill),
        cmocka_unit_test(writes_at_once_that_do_not_agree_forget_the_list_at_the_last_end),
        cmocka_unit_test(writes_at_once_that_do_not_agree_refuse_outstanding_leases),
        cmocka_unit_test(writes_at_once_that_agree_keep_the_list),
        cmocka_unit_test(writes_at_once_with_other_data_do_not_agree),
        cmocka_unit_test(long_write_round_two_that_did_not_agree_forgets_the_list),
        cmocka_unit_test(writes_of_different_members_at_once_keep_the_list),
        cmocka_unit_test(write_past_its_deadline_forgets_the_list_and_then_it_is_simply_cold),
        cmocka_unit_test(lease_from_before_the_deadline_of_a_lost_write_does_not_fill_after_it),
        cmocka_unit_test(lost_write_spoils_the_writes_it_overlapped),
        cmocka_unit_test(late_end_of_an_expired_write_forgets_what_was_filled_meanwhile),
        cmocka_unit_test(lease_lives_as_long_as_a_write_may_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
