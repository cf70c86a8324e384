/* SPDX-License-Identifier: Apache-2.0
 *
 * The breaker in front of the store, by a clock of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage-drivers/s3/breaker.h"

#define BEGIN_MS 5000u

static void report_failures(struct s3_breaker *breaker, unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++)
        (void)s3_breaker_report(breaker, false, now_ms);
}

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    struct s3_breaker breaker = {0};
    for (unsigned round = 0; round < 3; round++) {
        report_failures(&breaker, 4, BEGIN_MS);
        assert_true(s3_breaker_lets_through(&breaker, BEGIN_MS));
        s3_breaker_report(&breaker, true, BEGIN_MS);
    }
    report_failures(&breaker, 5, BEGIN_MS);
    assert_false(s3_breaker_lets_through(&breaker, BEGIN_MS));
    assert_false(s3_breaker_lets_through(&breaker, BEGIN_MS + 999));
}

static void one_call_a_second_tries(void **state)
{
    (void)state;
    struct s3_breaker breaker = {0};
    report_failures(&breaker, 5, BEGIN_MS);
    unsigned tries = 0;
    for (uint64_t ms = 0; ms < 10000; ms++)
        tries += s3_breaker_lets_through(&breaker, BEGIN_MS + ms);
    assert_int_equal(tries, 9);
}

static void the_first_success_closes_it(void **state)
{
    (void)state;
    struct s3_breaker breaker = {0};
    report_failures(&breaker, 7, BEGIN_MS);
    assert_true(s3_breaker_lets_through(&breaker, BEGIN_MS + 1000));
    s3_breaker_report(&breaker, true, BEGIN_MS + 1001);
    for (unsigned i = 0; i < 10; i++)
        assert_true(s3_breaker_lets_through(&breaker, BEGIN_MS + 1001));
    report_failures(&breaker, 4, BEGIN_MS + 1002);
    assert_true(s3_breaker_lets_through(&breaker, BEGIN_MS + 1002));
}

static void calls_that_were_under_way_do_not_put_off_the_next_try(void **state)
{
    (void)state;
    struct s3_breaker breaker = {0};
    report_failures(&breaker, 5, BEGIN_MS);
    for (unsigned i = 1; i < 20; i++)
        report_failures(&breaker, 1, BEGIN_MS + 50 * i);
    assert_true(s3_breaker_lets_through(&breaker, BEGIN_MS + 1000));
}

static void it_tells_whoever_opens_and_whoever_closes_it(void **state)
{
    (void)state;
    struct s3_breaker breaker = {0};
    assert_false(s3_breaker_report(&breaker, true, BEGIN_MS));
    for (unsigned i = 1; i <= 7; i++)
        assert_int_equal(s3_breaker_report(&breaker, false, BEGIN_MS), i == 5);
    assert_true(s3_breaker_report(&breaker, true, BEGIN_MS + 1000));
    assert_false(s3_breaker_report(&breaker, true, BEGIN_MS + 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(one_call_a_second_tries),
        cmocka_unit_test(the_first_success_closes_it),
        cmocka_unit_test(calls_that_were_under_way_do_not_put_off_the_next_try),
        cmocka_unit_test(it_tells_whoever_opens_and_whoever_closes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
