/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's clock, learned from answers with dates of whole seconds, by a clock of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "storage-drivers/s3/store_clock.h"

#define BEGIN_MS 1700000000400
#define MINUTE_MS 60000

static uint64_t machine_ms(void *data)
{
    return *(const uint64_t *)data;
}

/* An answer of a store that is so far ahead, after so long; its date is written when it comes. */
static void answer(struct s3_clock *clock, uint64_t *now_ms, int64_t ahead_ms, uint64_t took_ms, uint64_t wrote_ms)
{
    uint64_t sent_ms = *now_ms;
    uint64_t date_ms = (uint64_t)((int64_t)(sent_ms + wrote_ms) + ahead_ms) / 1000 * 1000;
    *now_ms += took_ms;
    s3_clock_learn(clock, sent_ms, *now_ms, date_ms);
}

static struct s3_clock clock_at(uint64_t *now_ms)
{
    struct s3_clock clock;
    *now_ms = BEGIN_MS;
    s3_clock_init(&clock, (struct clock){machine_ms, machine_ms, now_ms});
    return clock;
}

static void a_right_clock_is_left_alone(void **state)
{
    (void)state;
    uint64_t now_ms;
    struct s3_clock clock = clock_at(&now_ms);
    for (unsigned i = 0; i < 2000; i++) {
        answer(&clock, &now_ms, 0, i % 5000, i % 5000 / 2);
        assert_int_equal(s3_clock_ahead_ms(&clock), 0);
        now_ms += 137;
    }
}

static void one_answer_tells_the_difference_to_a_second(void **state)
{
    (void)state;
    static const int64_t ahead[] = {10 * MINUTE_MS, -10 * MINUTE_MS, 25 * 60 * MINUTE_MS, -1500};
    for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
        uint64_t now_ms;
        struct s3_clock clock = clock_at(&now_ms);
        answer(&clock, &now_ms, ahead[i], 30, 10);
        assert_true(llabs(s3_clock_ahead_ms(&clock) - ahead[i]) <= 1000 + 30);
        assert_int_equal(clock_wall_ms(s3_clock_of(&clock)), (uint64_t)((int64_t)now_ms + s3_clock_ahead_ms(&clock)));
    }
}

static void more_answers_tell_more_and_slow_ones_spoil_nothing(void **state)
{
    (void)state;
    uint64_t now_ms;
    struct s3_clock clock = clock_at(&now_ms);
    for (unsigned i = 0; i < 100; i++) {
        answer(&clock, &now_ms, 600123, 5, 2);
        now_ms += 77;
    }
    int64_t known = s3_clock_ahead_ms(&clock);
    assert_true(llabs(known - 600123) <= 100);
    answer(&clock, &now_ms, 600123, 19000, 0);
    answer(&clock, &now_ms, 600123, 19000, 19000);
    assert_int_equal(s3_clock_ahead_ms(&clock), known);
}

static void a_machines_clock_that_is_set_is_learned_anew(void **state)
{
    (void)state;
    uint64_t now_ms;
    struct s3_clock clock = clock_at(&now_ms);
    answer(&clock, &now_ms, 10 * MINUTE_MS, 5, 2);
    now_ms += 10 * MINUTE_MS;
    s3_clock_learn(&clock, now_ms + 1000, now_ms, now_ms); /* set back while it was under way */
    answer(&clock, &now_ms, 0, 5, 2);
    assert_true(llabs(s3_clock_ahead_ms(&clock)) <= 1005);
}

static void dates_are_read(void **state)
{
    (void)state;
    assert_int_equal(s3_parse_date(SLICE("Sun, 06 Nov 1994 08:49:37 GMT")), 784111777000);
    assert_int_equal(s3_parse_date(SLICE("Sunday, 06-Nov-94 08:49:37 GMT")), 0);
    assert_int_equal(s3_parse_date(SLICE("")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_clock_is_left_alone),
        cmocka_unit_test(one_answer_tells_the_difference_to_a_second),
        cmocka_unit_test(more_answers_tell_more_and_slow_ones_spoil_nothing),
        cmocka_unit_test(a_machines_clock_that_is_set_is_learned_anew),
        cmocka_unit_test(dates_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
