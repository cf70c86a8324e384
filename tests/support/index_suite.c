/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract of index.h: values and lists by hand, step by step, from two replicas. The random interleavings are in
 * index_suite_random.c.
 */
#include "index_calls.h"

#include <stdio.h>
#include <stdlib.h>

static const struct index_subject *subject; /* of the group that runs */

/* ---- values ---- */

static void what_is_filled_is_known_to_all(void **state)
{
    struct suite *s = *state;
    know(s, layer("a"), 'a');
    assert_int_equal(look(s, 1, layer("a"), NULL), 'a');
}

static void a_value_keeps_its_place(void **state)
{
    struct suite *s = *state;
    struct index_value value = value_of('a'), found;
    index_lease lease;
    uuid_generate(value.place);
    assert_int_equal(look(s, 0, layer("a"), &lease), '-');
    assert_int_equal(AWAIT(s->loop, index_fill(s->replicas[0], layer("a"), &value, lease, done)), OK);
    assert_int_equal(AWAIT(s->loop, index_read(s->replicas[1], layer("a"), &found, &lease, done)), OK);
    assert_string_equal(found.place, value.place);
}

static void keys_differ_by_kind_repository_and_name(void **state)
{
    struct suite *s = *state;
    static const char *const repos[] = {"a", "a/b", "b"};
    static const char *const names[] = {"a", "b", "b/a"};
    char letter = 'a';
    for (int kind = INDEX_LAYER; kind <= INDEX_TAG; kind++)
        for (size_t r = 0; r < 3; r++)
            for (size_t n = 0; n < 3; n++)
                know(s, index_suite_key((enum index_kind)kind, repos[r], names[n]), letter++);
    letter = 'a';
    for (int kind = INDEX_LAYER; kind <= INDEX_TAG; kind++)
        for (size_t r = 0; r < 3; r++)
            for (size_t n = 0; n < 3; n++)
                assert_int_equal(look(s, 1, index_suite_key((enum index_kind)kind, repos[r], names[n]), NULL),
                                 letter++);
}

static void a_fill_needs_its_lease(void **state)
{
    struct suite *s = *state;
    index_lease lease;
    assert_int_equal(look(s, 0, layer("a"), &lease), '-');
    fill(s, 0, layer("a"), 'x', 0);
    fill(s, 0, layer("a"), 'x', lease ^ 1);
    assert_int_equal(look(s, 0, layer("a"), NULL), '-');
}

static void readers_that_miss_at_the_same_time_may_all_fill(void **state)
{
    struct suite *s = *state;
    index_lease first, second;
    assert_int_equal(look(s, 0, layer("a"), &first), '-');
    assert_int_equal(look(s, 1, layer("a"), &second), '-');
    fill(s, 0, layer("a"), 'a', first);
    fill(s, 1, layer("a"), 'a', second);
    assert_int_equal(look(s, 0, layer("a"), NULL), 'a');
}

static void a_write_forgets_and_keeps_readers_from_filling(void **state)
{
    struct suite *s = *state;
    know(s, layer("a"), 'a');
    index_write write = begin(s, 0, layer("a"));
    assert_int_equal(look(s, 0, layer("a"), NULL), '0');
    assert_int_equal(look(s, 1, layer("a"), NULL), '0');
    end(s, 0, layer("a"), write);
    assert_int_equal(look(s, 1, layer("a"), NULL), '-');
}

static void a_lease_does_not_outlive_a_write(void **state)
{
    struct suite *s = *state;
    index_lease before, during;
    assert_int_equal(look(s, 1, layer("a"), &before), '-');
    index_write write = begin(s, 0, layer("a"));
    fill(s, 1, layer("a"), 'x', before);
    assert_int_equal(look(s, 1, layer("a"), &during), '0');
    end(s, 0, layer("a"), write);
    fill(s, 1, layer("a"), 'x', before);
    fill(s, 1, layer("a"), 'x', during);
    assert_int_equal(look(s, 0, layer("a"), NULL), '-');
}

static void the_last_of_several_writes_lets_readers_fill(void **state)
{
    struct suite *s = *state;
    index_write first = begin(s, 0, layer("a"));
    index_write second = begin(s, 1, layer("a"));
    end(s, 0, layer("a"), first);
    assert_int_equal(look(s, 0, layer("a"), NULL), '0');
    end(s, 1, layer("a"), second);
    know(s, layer("a"), 'a');
}

static void an_end_without_its_beginning_forgets(void **state)
{
    struct suite *s = *state;
    index_lease lease;
    know(s, layer("a"), 'a');
    end(s, 1, layer("a"), 12345);
    assert_int_equal(look(s, 0, layer("a"), &lease), '-');
    end(s, 1, layer("a"), 12345);
    fill(s, 0, layer("a"), 'x', lease);
    assert_int_equal(look(s, 0, layer("a"), NULL), '-');
}

/* ---- a tag and what it names ---- */

static void ask_tag(struct suite *s, unsigned replica, enum result tag, enum result revision)
{
    struct index_found found_tag, found_revision = {.result = PENDING};
    struct index_key key = index_suite_key(INDEX_TAG, "library/debian", "latest");
    assert_int_equal(AWAIT(s->loop, index_read_tag(s->replicas[replica], key, &found_tag, &found_revision, done)), OK);
    assert_int_equal(found_tag.result, tag);
    if (tag == OK)
        assert_int_equal(found_revision.result, revision);
    else
        assert_true(found_tag.lease != 0);
    if (tag == OK && revision == NOT_FOUND)
        assert_true(found_revision.lease != 0);
    if (tag == OK && revision == OK)
        assert_true(digest_equal(&found_tag.value.digest, &found_revision.value.digest));
}

static void a_tag_is_read_with_the_manifest_it_names(void **state)
{
    struct suite *s = *state;
    char text[DIGEST_TEXT_MAX + 1];
    struct index_value value = value_of('a');
    text[digest_format(&value.digest, text)] = '\0';
    struct index_key tag = index_suite_key(INDEX_TAG, "library/debian", "latest");
    struct index_key revision = index_suite_key(INDEX_REVISION, "library/debian", text);
    ask_tag(s, 0, NOT_FOUND, NOT_FOUND);
    know(s, tag, 'a');
    ask_tag(s, 1, OK, NOT_FOUND);
    know(s, revision, 'a');
    ask_tag(s, 1, OK, OK);
    index_write write = begin(s, 0, revision);
    end(s, 0, revision, write);
    ask_tag(s, 1, OK, NOT_FOUND);
    write = begin(s, 0, tag);
    end(s, 0, tag, write);
    ask_tag(s, 1, NOT_FOUND, NOT_FOUND);
}

/* ---- lists ---- */

static void a_list_is_read_page_by_page(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a a-b a.b ab b v1 v1-a v1.0 v10 ", miss(s, 0, a_list));
    assert_page(s, a_list, "a a-b a.b ab b v1 v1-a v1.0 v10 ");
    assert_string_equal(page(s, 1, a_list, "", 2), "a a-b ...");
    assert_string_equal(page(s, 1, a_list, "a-b", 3), "a.b ab b ...");
    assert_string_equal(page(s, 1, a_list, "v1", 3), "v1-a v1.0 v10 ");
    assert_string_equal(page(s, 1, a_list, "b0", 1), "v1 ...");
    assert_string_equal(page(s, 1, a_list, "z", 5), "");
}

static void an_empty_list_is_known(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "", miss(s, 0, a_list));
    assert_page(s, a_list, "");
    list_write(s, 1, a_list, "a", INDEX_MEMBER_PRESENT, "");
    assert_page(s, a_list, "a ");
    list_write(s, 1, a_list, "a", INDEX_MEMBER_ABSENT, "");
    assert_page(s, a_list, "");
}

static void members_have_data(void **state)
{
    struct suite *s = *state;
    install(s, 0, with_data, "a=1 a-b=2 b=3 ", miss(s, 0, with_data));
    assert_page(s, with_data, "a=1 a-b=2 b=3 ");
    assert_string_equal(page(s, 0, with_data, "a", 1), "a-b=2 ...");
    list_write(s, 0, with_data, "a", INDEX_MEMBER_PRESENT, "changed");
    list_write(s, 1, with_data, "b", INDEX_MEMBER_ABSENT, "");
    assert_page(s, with_data, "a=changed a-b=2 ");
}

static void a_list_needs_its_lease(void **state)
{
    struct suite *s = *state;
    index_lease lease = miss(s, 0, a_list);
    assert_true(lease != 0);
    install(s, 0, a_list, "x ", 0);
    assert_cold(s, a_list);
}

static void one_replica_at_a_time_fills_a_list(void **state)
{
    struct suite *s = *state;
    struct index_list_page found;
    index_lease first = miss(s, 0, a_list), second = 0;
    if (!subject->is_shared)
        return;
    assert_int_equal(
        AWAIT(s->loop, index_list_read(s->replicas[1], a_list, SLICE_EMPTY, 10, &s->arena, &found, &second, done)),
        BUSY);
    assert_int_equal(AWAIT(s->loop, index_list_give_back(s->replicas[0], a_list, first, done)), OK);
    second = miss(s, 1, a_list);
    assert_int_equal(AWAIT(s->loop, index_list_give_back(s->replicas[0], a_list, first, done)), OK);
    install(s, 1, a_list, "a ", second);
    install(s, 0, a_list, "x ", first);
    assert_page(s, a_list, "a ");
}

static void what_is_written_meanwhile_corrects_what_was_listed(void **state)
{
    struct suite *s = *state;
    index_lease lease = miss(s, 0, with_data);
    list_write(s, 1, with_data, "new", INDEX_MEMBER_PRESENT, "1");
    list_write(s, 1, with_data, "b", INDEX_MEMBER_ABSENT, "");
    list_write(s, 0, with_data, "c", INDEX_MEMBER_PRESENT, "changed");
    list_write(s, 0, with_data, "d", INDEX_MEMBER_ABSENT, "");
    list_write(s, 1, with_data, "d", INDEX_MEMBER_PRESENT, "again");
    install(s, 0, with_data, "a=1 b=2 c=3 d=4 ", lease);
    assert_page(s, with_data, "a=1 c=changed d=again new=1 ");
}

static void a_write_that_ends_after_the_fill_changes_what_is_known(void **state)
{
    struct suite *s = *state;
    index_write early = list_begin(s, 0, a_list, "early");
    index_lease lease = miss(s, 0, a_list);
    index_write late = list_begin(s, 1, a_list, "late");
    install(s, 0, a_list, "a ", lease);
    assert_page(s, a_list, "a ");
    list_end(s, 0, a_list, "early", early, INDEX_MEMBER_PRESENT, "");
    list_end(s, 1, a_list, "late", late, INDEX_MEMBER_PRESENT, "");
    assert_page(s, a_list, "a early late ");
}

static void what_is_not_known_forgets_the_list(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a ", miss(s, 0, a_list));
    list_write(s, 1, a_list, "a", INDEX_MEMBER_UNKNOWN, "");
    assert_cold(s, a_list);
    index_lease lease = miss(s, 0, a_list);
    list_write(s, 1, a_list, "", INDEX_MEMBER_UNKNOWN, "");
    install(s, 0, a_list, "x ", lease);
    assert_cold(s, a_list);
    install(s, 0, a_list, "a ", miss(s, 0, a_list));
    list_write(s, 1, a_list, "", INDEX_MEMBER_PRESENT, "");
    assert_cold(s, a_list);
}

static void overlapping_writes_that_agree_are_understood(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "", miss(s, 0, a_list));
    index_write first = list_begin(s, 0, a_list, "a"), second = list_begin(s, 1, a_list, "a");
    index_write third = list_begin(s, 1, a_list, "a");
    list_end(s, 1, a_list, "a", second, INDEX_MEMBER_PRESENT, "");
    list_end(s, 0, a_list, "a", first, INDEX_MEMBER_PRESENT, "");
    list_end(s, 1, a_list, "a", third, INDEX_MEMBER_PRESENT, "");
    assert_page(s, a_list, "a ");
}

static void overlapping_writes_that_disagree_forget_the_list(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "", miss(s, 0, a_list));
    index_write first = list_begin(s, 0, a_list, "a"), second = list_begin(s, 1, a_list, "a");
    index_write other = list_begin(s, 1, a_list, "b");
    list_end(s, 1, a_list, "a", second, INDEX_MEMBER_ABSENT, "");
    list_end(s, 1, a_list, "b", other, INDEX_MEMBER_PRESENT, "");
    list_end(s, 0, a_list, "a", first, INDEX_MEMBER_PRESENT, "");
    assert_cold(s, a_list);
    install(s, 1, a_list, "a b ", miss(s, 1, a_list));
    assert_page(s, a_list, "a b ");
}

static void overlapping_writes_with_other_data_forget_the_list(void **state)
{
    struct suite *s = *state;
    install(s, 0, with_data, "", miss(s, 0, with_data));
    index_write first = list_begin(s, 0, with_data, "a"), second = list_begin(s, 1, with_data, "a");
    list_end(s, 1, with_data, "a", second, INDEX_MEMBER_PRESENT, "1");
    list_end(s, 0, with_data, "a", first, INDEX_MEMBER_PRESENT, "2");
    assert_cold(s, with_data);
}

static void a_write_of_anything_makes_those_under_way_doubtful(void **state)
{
    struct suite *s = *state;
    index_write any = list_begin(s, 0, a_list, ""), one = list_begin(s, 1, a_list, "a");
    list_end(s, 0, a_list, "", any, INDEX_MEMBER_UNKNOWN, "");
    install(s, 0, a_list, "", miss(s, 0, a_list));
    list_end(s, 1, a_list, "a", one, INDEX_MEMBER_PRESENT, "");
    assert_cold(s, a_list);
}

static void an_end_that_nobody_began_forgets_the_list(void **state)
{
    struct suite *s = *state;
    install(s, 0, a_list, "a ", miss(s, 0, a_list));
    list_end(s, 1, a_list, "a", 999999, INDEX_MEMBER_ABSENT, "");
    assert_cold(s, a_list);
}

static void lists_are_kept_apart(void **state)
{
    struct suite *s = *state;
    struct index_list_key other = {INDEX_LIST_TAGS, {SLICE("library/other")}, SLICE_EMPTY};
    struct index_list_key all = {INDEX_LIST_REPOSITORIES, {SLICE_EMPTY}, SLICE_EMPTY};
    install(s, 0, a_list, "a ", miss(s, 0, a_list));
    install(s, 0, other, "b ", miss(s, 0, other));
    install(s, 0, all, "library/debian library/other ", miss(s, 0, all));
    install(s, 0, with_data, "d=1 ", miss(s, 0, with_data));
    list_write(s, 1, other, "c", INDEX_MEMBER_UNKNOWN, "");
    assert_cold(s, other);
    assert_page(s, a_list, "a ");
    assert_page(s, all, "library/debian library/other ");
    assert_page(s, with_data, "d=1 ");
}

static void a_long_list_is_installed_whole(void **state)
{
    struct suite *s = *state;
    enum { COUNT = 5432 };
    struct index_member *members = xcalloc(COUNT, sizeof(*members));
    struct index_list_page found;
    for (size_t i = 0; i < COUNT; i++)
        members[i].name = arena_format(&s->arena, "tag-%06zu", i);
    index_lease lease = miss(s, 0, a_list);
    list_write(s, 1, a_list, "tag-000001-new", INDEX_MEMBER_PRESENT, "");
    assert_int_equal(AWAIT(s->loop, index_list_fill(s->replicas[0], a_list, members, COUNT, lease, done)), OK);
    free(members);
    assert_int_equal(AWAIT(s->loop, index_list_read(s->replicas[1], a_list, SLICE("tag-000000"), 10000, &s->arena,
                                                    &found, NULL, done)),
                     OK);
    assert_int_equal(found.count, COUNT);
    assert_false(found.has_more);
    assert_true(slice_equal(found.members[1].name, SLICE("tag-000001-new")));
    assert_true(slice_equal(found.members[COUNT - 1].name, SLICE("tag-005431")));
}

/* ---- the group ---- */

struct suite *index_suite_open(const struct index_subject *the_subject)
{
    struct suite *s = xcalloc(1, sizeof(*s));
    if (loop_new(0, PAGE_BYTES, &s->loop) != OK || pool_new(2, 1, &s->pool) != OK)
        abort();
    arena_init(&s->arena);
    s->subject = the_subject;
    s->subject->open(s->subject->data, s->loop, s->pool, s->replicas);
    return s;
}

void index_suite_close(struct suite *s)
{
    s->subject->close(s->subject->data, s->replicas);
    arena_done(&s->arena);
    pool_free(s->pool);
    loop_run_once(s->loop, 0);
    loop_free(s->loop);
    free(s);
}

static int set_up(void **state)
{
    *state = index_suite_open(subject);
    return 0;
}

static int tear_down(void **state)
{
    index_suite_close(*state);
    return 0;
}

#define INDEX_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int index_suite_run(const struct index_subject *the_subject)
{
    static const struct CMUnitTest tests[] = {
        INDEX_TEST(what_is_filled_is_known_to_all),
        INDEX_TEST(a_value_keeps_its_place),
        INDEX_TEST(keys_differ_by_kind_repository_and_name),
        INDEX_TEST(a_fill_needs_its_lease),
        INDEX_TEST(readers_that_miss_at_the_same_time_may_all_fill),
        INDEX_TEST(a_write_forgets_and_keeps_readers_from_filling),
        INDEX_TEST(a_lease_does_not_outlive_a_write),
        INDEX_TEST(the_last_of_several_writes_lets_readers_fill),
        INDEX_TEST(an_end_without_its_beginning_forgets),
        INDEX_TEST(a_tag_is_read_with_the_manifest_it_names),
        INDEX_TEST(a_list_is_read_page_by_page),
        INDEX_TEST(an_empty_list_is_known),
        INDEX_TEST(members_have_data),
        INDEX_TEST(a_list_needs_its_lease),
        INDEX_TEST(one_replica_at_a_time_fills_a_list),
        INDEX_TEST(what_is_written_meanwhile_corrects_what_was_listed),
        INDEX_TEST(a_write_that_ends_after_the_fill_changes_what_is_known),
        INDEX_TEST(what_is_not_known_forgets_the_list),
        INDEX_TEST(overlapping_writes_that_agree_are_understood),
        INDEX_TEST(overlapping_writes_that_disagree_forget_the_list),
        INDEX_TEST(overlapping_writes_with_other_data_forget_the_list),
        INDEX_TEST(a_write_of_anything_makes_those_under_way_doubtful),
        INDEX_TEST(an_end_that_nobody_began_forgets_the_list),
        INDEX_TEST(lists_are_kept_apart),
        INDEX_TEST(a_long_list_is_installed_whole),
        INDEX_TEST(index_suite_values_in_random_order),
        INDEX_TEST(index_suite_lists_in_random_order),
    };
    static const struct CMUnitTest with_losses[] = {
        INDEX_TEST(index_suite_values_that_are_lost),
        INDEX_TEST(index_suite_lists_that_are_lost),
    };
    subject = the_subject;
    int failed = cmocka_run_group_tests_name(subject->name, tests, NULL, NULL);
    if (subject->lose_a_key != NULL)
        failed += cmocka_run_group_tests_name(subject->name, with_losses, NULL, NULL);
    return failed;
}
