/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of minato-bench: values and their units. What it refuses is in tests/bench/command_line.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/minato_bench/options.h"

#define ARGUMENTS_MAX 8

/* Parses `minato-bench single-large OPTION VALUE http://host/`. */
static bool parse(const char *option, const char *value, struct options *ret_options)
{
    char program[] = "minato-bench";
    char scenario[] = "single-large";
    char url[] = "http://host:5000//";
    char name[32];
    char text[32];
    char error[256];
    snprintf(name, sizeof(name), "%s", option);
    snprintf(text, sizeof(text), "%s", value);
    char *argv[ARGUMENTS_MAX] = {program, scenario, name, text, url, NULL};
    return options_parse(5, argv, ret_options, error, sizeof(error));
}

static void sizes_have_binary_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"12", 12},         {"12B", 12},          {"4K", 4096},     {"1.5K", 1536},
                 {"10M", 10U << 20}, {"1GiB", 1ULL << 30}, {"64KiB", 65536}, {"10G", 10ULL << 30}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options;
        assert_true(parse("--size", cases[i].text, &options));
        assert_int_equal(options.size_bytes, cases[i].bytes);
        options_done(&options);
    }
}

static void other_sizes_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "K", "0", "-1", "1X", "1KB", "1 K", "nan", "inf", "0x10", "99999999999G"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct options options;
        assert_false(parse("--size", texts[i], &options));
        options_done(&options);
    }
}

static void times_are_seconds_minutes_or_hours(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"2", 2}, {"2s", 2}, {"0.5s", 0.5}, {"3m", 180}, {"1h", 3600}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct options options;
        assert_true(parse("--duration", cases[i].text, &options));
        assert_true(options.duration_s == cases[i].seconds);
        options_done(&options);
    }
}

static void single_large_is_one_client_and_one_job_unless_told(void **state)
{
    (void)state;
    struct options options;
    assert_true(parse("--seed", "18446744073709551615", &options));
    assert_int_equal(options.clients, 1);
    assert_int_equal(options.jobs, 1);
    assert_true(options.seed == UINT64_MAX);
    options_done(&options);
    assert_true(parse("--clients", "3", &options));
    assert_int_equal(options.clients, 3);
    options_done(&options);
}

static void slashes_at_the_end_of_the_url_are_dropped(void **state)
{
    (void)state;
    struct options options;
    assert_true(parse("--jobs", "2", &options));
    assert_string_equal(options.url, "http://host:5000");
    options_done(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_binary_units),
        cmocka_unit_test(other_sizes_are_refused),
        cmocka_unit_test(times_are_seconds_minutes_or_hours),
        cmocka_unit_test(single_large_is_one_client_and_one_job_unless_told),
        cmocka_unit_test(slashes_at_the_end_of_the_url_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
