/* SPDX-License-Identifier: Apache-2.0
 *
 * Percentiles are within 0.8 % of what was recorded, over the whole range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "bench/minato_bench/histogram.h"

static void empty_histogram_has_no_latencies(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    assert_int_equal(histogram_percentile(histogram, 0.99), 0);
    assert_true(histogram_mean(histogram) == 0);
    free(histogram);
}

static void one_value_is_kept_closely(void **state)
{
    (void)state;
    for (uint64_t value = 1; value < 40000000000ULL; value += value / 3 + 1) {
        struct histogram *histogram = calloc(1, sizeof(*histogram));
        histogram_record(histogram, value);
        histogram_record(histogram, 2 * value);
        uint64_t median = histogram_percentile(histogram, 0.5);
        assert_true(median >= value && median <= value + value / 127);
        assert_int_equal(histogram_percentile(histogram, 1), 2 * value);
        free(histogram);
    }
}

static void percentiles_split_as_they_say(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    for (unsigned i = 0; i < 989; i++) {
        histogram_record(histogram, 100);
    }
    for (unsigned i = 0; i < 11; i++) {
        histogram_record(histogram, 50000);
    }
    assert_int_equal(histogram_percentile(histogram, 0.5), 100);
    assert_int_equal(histogram_percentile(histogram, 0.989), 100);
    assert_int_equal(histogram_percentile(histogram, 0.99), 50000);
    assert_true(histogram_mean(histogram) == (989 * 100 + 11 * 50000) / 1000.0);
    free(histogram);
}

static void value_beyond_the_range_is_the_maximum(void **state)
{
    (void)state;
    struct histogram *histogram = calloc(1, sizeof(*histogram));
    histogram_record(histogram, UINT64_MAX / 2);
    assert_true(histogram_percentile(histogram, 0.99) > 60000000000ULL);
    assert_true(histogram->max_us == UINT64_MAX / 2);
    free(histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_histogram_has_no_latencies),
        cmocka_unit_test(one_value_is_kept_closely),
        cmocka_unit_test(percentiles_split_as_they_say),
        cmocka_unit_test(value_beyond_the_range_is_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
