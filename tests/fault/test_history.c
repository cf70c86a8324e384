/* SPDX-License-Identifier: Apache-2.0
 *
 * The judge of the races (tests/support/history.h): what it lets pass and what not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "history.h"

struct told {
    struct relation relation;
    uint64_t begun;
    uint64_t ended;
};

static bool is_explained(const struct told *events, size_t count, unsigned first, unsigned last)
{
    struct history *history = history_new(2);
    for (size_t i = 0; i < count; i++)
        history_add(history, 1, events[i].relation, events[i].begun, events[i].ended, "event");
    bool is_so = history_is_explained(history, 1, first, last);
    history_free(history);
    return is_so;
}

#define EXPLAINED(first, last, ...)                                                                                    \
    is_explained((const struct told[]){__VA_ARGS__}, sizeof((const struct told[]){__VA_ARGS__}) / sizeof(struct told), \
                 (first), (last))

static void a_write_that_was_acknowledged_is_not_lost(void **unused)
{
    (void)unused;
    assert_true(EXPLAINED(0, 1, {relation_write(1), 1, 2}));
    assert_false(EXPLAINED(0, 0, {relation_write(1), 1, 2}));
    assert_true(EXPLAINED(0, 0, {relation_perhaps(relation_write(1)), 1, 2}));
    assert_true(EXPLAINED(0, 1, {relation_perhaps(relation_write(1)), 1, 2}));
    assert_false(EXPLAINED(0, 2, {relation_perhaps(relation_write(1)), 1, 2}));
}

static void of_two_writes_at_once_either_may_be_the_last(void **unused)
{
    (void)unused;
    assert_true(EXPLAINED(0, 1, {relation_write(1), 1, 3}, {relation_write(2), 2, 4}));
    assert_true(EXPLAINED(0, 2, {relation_write(1), 1, 3}, {relation_write(2), 2, 4}));
    assert_false(EXPLAINED(0, 1, {relation_write(1), 1, 2}, {relation_write(2), 3, 4}));
}

static void a_read_never_goes_back(void **unused)
{
    (void)unused;
    struct told write = {relation_write(1), 1, 10};
    assert_true(EXPLAINED(0, 1, write, {relation_read(1u << 0), 2, 3}, {relation_read(1u << 1), 4, 5}));
    assert_false(EXPLAINED(0, 1, write, {relation_read(1u << 1), 2, 3}, {relation_read(1u << 0), 4, 5}));
    assert_true(EXPLAINED(0, 1, write, {relation_read(1u << 1), 2, 5}, {relation_read(1u << 0), 3, 4}));
    assert_false(EXPLAINED(0, 1, write, {relation_read(1u << 0), 11, 12}));
}

static void of_two_swaps_from_one_value_one_wins(void **unused)
{
    (void)unused;
    struct told first = {relation_change(1u << 0, 1), 1, 3};
    assert_false(EXPLAINED(0, 2, first, {relation_change(1u << 0, 2), 2, 4}));
    assert_true(EXPLAINED(0, 2, first, {relation_change(1u << 1, 2), 2, 4}));
    assert_true(EXPLAINED(0, 1, first, {relation_read(1u << 1), 2, 4}));
    assert_true(EXPLAINED(0, 0, {relation_change_if(1u << 2, 0), 1, 2}, {relation_read(1u << 0), 3, 4}));
}

static void what_nothing_can_change_is_constant(void **unused)
{
    (void)unused;
    struct history *history = history_new(2);
    history_add(history, 0, relation_read(1u << 1), 1, 2, "read");
    history_add(history, 0, relation_write(1), 3, 4, "write");
    assert_true(history_is_constant(history, 0, 1));
    assert_false(history_is_constant(history, 0, 0));
    assert_true(history_is_constant(history, 1, 0));
    history_clear(history);
    assert_true(history_is_explained(history, 0, 0, 0));
    assert_false(history_is_explained(history, 0, 0, 1));
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_was_acknowledged_is_not_lost),
        cmocka_unit_test(of_two_writes_at_once_either_may_be_the_last),
        cmocka_unit_test(a_read_never_goes_back),
        cmocka_unit_test(of_two_swaps_from_one_value_one_wins),
        cmocka_unit_test(what_nothing_can_change_is_constant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
