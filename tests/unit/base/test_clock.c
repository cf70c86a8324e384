/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks, RFC 3339, random bytes, UUIDs, and the names and sources of results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "minato/clock.h"
#include "minato/result.h"

static uint64_t read_data(void *data)
{
    return *(uint64_t *)data;
}

static void given_clock_is_the_one_that_is_read(void **state)
{
    (void)state;
    uint64_t now = 5;
    struct clock clock = {read_data, read_data, &now};
    assert_true(clock_wall_ms(clock) == 5);
    now = 6;
    assert_true(clock_monotonic_ms(clock) == 6);
}

static void system_clock_goes_forward_in_this_century(void **state)
{
    (void)state;
    struct clock clock = clock_system();
    assert_true(clock_wall_ms(clock) > UINT64_C(1700000000000));
    assert_true(clock_wall_ms(clock) < UINT64_C(4102444800000));
    uint64_t before = clock_monotonic_ms(clock);
    for (unsigned i = 0; i < 1000; ++i) {
        uint64_t now = clock_monotonic_ms(clock);
        assert_true(now >= before);
        before = now;
    }
}

static void rfc_3339_has_milliseconds_and_is_utc(void **state)
{
    (void)state;
    static const struct {
        uint64_t wall_ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {UINT64_C(951782399999), "2000-02-28T23:59:59.999Z"},
        {UINT64_C(951782400000), "2000-02-29T00:00:00.000Z"},
        {UINT64_C(1234567890123), "2009-02-13T23:31:30.123Z"},
        {UINT64_C(4102444800000), "2100-01-01T00:00:00.000Z"},
        {UINT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char text[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(cases[i].wall_ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[1024] = {0};
    uint8_t b[1024] = {0};
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    static const uint8_t zero[64];
    assert_memory_not_equal(a, zero, 64);
    assert_memory_not_equal(a + 960, zero, 64);
    random_bytes(a, 0);
}

static void generated_uuids_are_valid_and_differ(void **state)
{
    (void)state;
    char before[UUID_TEXT_SIZE] = "";
    for (unsigned i = 0; i < 200; ++i) {
        char uuid[UUID_TEXT_SIZE];
        uuid_generate(uuid);
        assert_int_equal(strlen(uuid), UUID_TEXT_SIZE - 1);
        assert_true(uuid_is_valid(slice_from_cstr(uuid)));
        assert_string_not_equal(uuid, before);
        memcpy(before, uuid, sizeof(before));
    }
}

static void what_is_not_written_as_we_write_it_is_no_uuid(void **state)
{
    (void)state;
    assert_true(uuid_is_valid(SLICE("01234567-89ab-4def-8123-456789abcdef")));
    static const char *const texts[] = {
        "",
        "01234567-89ab-4def-8123-456789abcde",
        "01234567-89ab-4def-8123-456789abcdef0",
        "01234567-89AB-4def-8123-456789abcdef",
        "01234567-89ab-1def-8123-456789abcdef",
        "01234567-89ab-4def-7123-456789abcdef",
        "01234567-89ab-4def-c123-456789abcdef",
        "0123456789ab-4def-8123-456789abcdef0",
        "01234567-89ab-4def-8123_456789abcdef",
        "01234567-89ab-4def-8123-456789abcd/f",
        "../../..-89ab-4def-8123-456789abcdef",
        "01234567-89ab-4def-8123-456789abcde-",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i)
        assert_false(uuid_is_valid(slice_from_cstr(texts[i])));
    assert_false(uuid_is_valid(slice_of("01234567-89ab-4def-\x00"
                                        "123-456789abcdef",
                                        36)));
}

static void every_result_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = OK; a <= PENDING; ++a) {
        assert_non_null(result_name((enum result)a));
        for (int b = OK; b < a; ++b)
            assert_string_not_equal(result_name((enum result)a), result_name((enum result)b));
    }
    assert_string_equal(result_name(NOT_FOUND), "not_found");
}

static void errno_becomes_the_result_it_means(void **state)
{
    (void)state;
    assert_int_equal(result_from_errno(ENOENT), NOT_FOUND);
    assert_int_equal(result_from_errno(ENOTDIR), NOT_FOUND);
    assert_int_equal(result_from_errno(EEXIST), EXISTS);
    assert_int_equal(result_from_errno(ENOSPC), QUOTA);
    assert_int_equal(result_from_errno(EDQUOT), QUOTA);
    assert_int_equal(result_from_errno(EMFILE), UNAVAILABLE);
    assert_int_equal(result_from_errno(ENFILE), UNAVAILABLE);
    assert_int_equal(result_from_errno(ENOMEM), UNAVAILABLE);
    assert_int_equal(result_from_errno(EIO), IO);
    assert_int_equal(result_from_errno(EACCES), IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_clock_is_the_one_that_is_read),
        cmocka_unit_test(system_clock_goes_forward_in_this_century),
        cmocka_unit_test(rfc_3339_has_milliseconds_and_is_utc),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(generated_uuids_are_valid_and_differ),
        cmocka_unit_test(what_is_not_written_as_we_write_it_is_no_uuid),
        cmocka_unit_test(every_result_has_a_name_of_its_own),
        cmocka_unit_test(errno_becomes_the_result_it_means),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
