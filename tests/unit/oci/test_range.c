/* SPDX-License-Identifier: Apache-2.0
 *
 * Range and Content-Range: what is satisfiable, what is ignored, what is refused, and numbers at their limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/oci.h"

static void assert_part(const char *header, uint64_t size, uint64_t first, uint64_t length)
{
    struct byte_range range = {0, 0};
    if (range_parse(slice_from_cstr(header), size, &range) != RANGE_PART)
        fail_msg("not a part: %s", header);
    assert_true(range.first == first);
    assert_true(range.length == length);
}

static void assert_kind(const char *header, uint64_t size, enum range_kind expected)
{
    struct byte_range range = {7, 9};
    if (range_parse(slice_from_cstr(header), size, &range) != expected)
        fail_msg("of %llu bytes: %s", (unsigned long long)size, header);
    assert_true(range.first == 7 && range.length == 9); /* untouched unless a part */
}

static void assert_chunk(const char *header, uint64_t first, uint64_t length)
{
    struct byte_range range;
    if (content_range_parse(slice_from_cstr(header), &range) != OK)
        fail_msg("refused: %s", header);
    assert_true(range.first == first);
    assert_true(range.length == length);
}

static void range_with_both_ends_is_inclusive(void **state)
{
    (void)state;
    assert_part("bytes=0-0", 100, 0, 1);
    assert_part("bytes=0-99", 100, 0, 100);
    assert_part("bytes=10-19", 100, 10, 10);
    assert_part("bytes=99-99", 100, 99, 1);
}

static void range_end_behind_the_last_byte_is_cut(void **state)
{
    (void)state;
    assert_part("bytes=10-100", 100, 10, 90);
    assert_part("bytes=10-18446744073709551615", 100, 10, 90);
    assert_part("bytes=10-18446744073709551616", 100, 10, 90);
    assert_part("bytes=10-99999999999999999999999999999999", 100, 10, 90);
}

static void open_range_goes_to_the_end(void **state)
{
    (void)state;
    assert_part("bytes=0-", 100, 0, 100);
    assert_part("bytes=99-", 100, 99, 1);
    assert_part("bytes=0-", UINT64_MAX, 0, UINT64_MAX);
    assert_part("bytes=18446744073709551614-", UINT64_MAX, UINT64_MAX - 1, 1);
}

static void suffix_range_counts_from_the_end(void **state)
{
    (void)state;
    assert_part("bytes=-1", 100, 99, 1);
    assert_part("bytes=-100", 100, 0, 100);
    assert_part("bytes=-101", 100, 0, 100);
    assert_part("bytes=-99999999999999999999999", 100, 0, 100);
}

static void range_behind_the_end_is_unsatisfiable(void **state)
{
    (void)state;
    assert_kind("bytes=100-", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=100-200", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=5-4", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=18446744073709551616-5", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=-0", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=-000", 100, RANGE_UNSATISFIABLE);
    assert_kind("bytes=18446744073709551615-", UINT64_MAX, RANGE_UNSATISFIABLE);
    assert_kind("bytes=18446744073709551616-", UINT64_MAX, RANGE_UNSATISFIABLE);
    assert_kind("bytes=99999999999999999999-99999999999999999999", 100, RANGE_UNSATISFIABLE);
}

static void range_of_an_empty_blob_is_the_whole_or_unsatisfiable(void **state)
{
    (void)state;
    assert_kind("bytes=0-", 0, RANGE_WHOLE);
    assert_kind("bytes=0-99", 0, RANGE_WHOLE);
    assert_kind("bytes=-5", 0, RANGE_WHOLE);
    assert_kind("bytes=1-", 0, RANGE_UNSATISFIABLE);
    assert_kind("bytes=-0", 0, RANGE_UNSATISFIABLE);
}

static void several_ranges_are_answered_with_the_whole(void **state)
{
    (void)state;
    assert_kind("bytes=0-1,5-6", 100, RANGE_WHOLE);
    assert_kind("bytes=0-1, -5", 100, RANGE_WHOLE);
    assert_kind("bytes=0-1,", 100, RANGE_WHOLE);
    assert_kind("bytes=,0-1", 100, RANGE_WHOLE);
}

static void unknown_unit_and_broken_syntax_are_ignored(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "items=0-1",
        "byte=0-1",
        "bytes:0-1",
        "bytes 0-1",
        "bytes=0--1",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=1-2x",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes=--1",
        "=0-1",
        "bytes==0-1",
        "bytes=1.0-2",
        "bytes=\xd9\xa1-2",
        "bytes=1-2/3",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i)
        assert_kind(headers[i], 100, RANGE_WHOLE);
    struct byte_range range;
    assert_int_equal(range_parse(SLICE_EMPTY, 100, &range), RANGE_WHOLE);
    assert_int_equal(range_parse(slice_of("bytes=0-1\0", 10), 100, &range), RANGE_WHOLE);
}

static void unit_is_case_insensitive_and_outer_space_ignored(void **state)
{
    (void)state;
    assert_part("Bytes=1-2", 100, 1, 2);
    assert_part("BYTES=1-2", 100, 1, 2);
    assert_part(" bytes= 1-2 \t", 100, 1, 2);
    assert_part("bytes=0001-0002", 100, 1, 2);
}

static void content_range_of_an_upload_is_two_numbers(void **state)
{
    (void)state;
    assert_chunk("0-0", 0, 1);
    assert_chunk("0-1023", 0, 1024);
    assert_chunk("1024-2047", 1024, 1024);
    assert_chunk(" 5-6 ", 5, 2);
    assert_chunk("0-18446744073709551614", 0, UINT64_MAX);
    assert_chunk("18446744073709551614-18446744073709551614", UINT64_MAX - 1, 1);
}

static void content_range_with_its_unit_needs_a_complete_length(void **state)
{
    (void)state;
    assert_chunk("bytes 0-9/10", 0, 10);
    assert_chunk("bytes 0-9/11", 0, 10);
    assert_chunk("Bytes 0-9/*", 0, 10);
    struct byte_range range;
    static const char *const headers[] = {"bytes 0-9",
                                          "bytes 0-9/",
                                          "bytes 0-9/9",
                                          "bytes 0-9/**",
                                          "bytes 0-9/10x",
                                          "bytes */10",
                                          "bytes 0-9/ 10",
                                          "bytes=0-9/10",
                                          "bytes  0-9/10",
                                          "items 0-9/10",
                                          "bytes 0-9/18446744073709551616"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i)
        if (content_range_parse(slice_from_cstr(headers[i]), &range) != INVALID)
            fail_msg("accepted: %s", headers[i]);
}

static void broken_content_range_is_invalid(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "",
        "-",
        "0",
        "0-",
        "-0",
        "1-0",
        "a-b",
        "0-1-2",
        "0--1",
        "+0-1",
        "0 -1",
        "0- 1",
        "0-1/2",
        "0-1/*",
        "0x0-1",
        "0-18446744073709551615",
        "0-1,",
        "0-1\n",
        "bytes ",
        "bytes",
        "18446744073709551616-18446744073709551617",
        "5-18446744073709551616",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i) {
        struct byte_range range = {7, 9};
        if (content_range_parse(slice_from_cstr(headers[i]), &range) != INVALID)
            fail_msg("accepted: %s", headers[i]);
        assert_true(range.first == 7 && range.length == 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_with_both_ends_is_inclusive),
        cmocka_unit_test(range_end_behind_the_last_byte_is_cut),
        cmocka_unit_test(open_range_goes_to_the_end),
        cmocka_unit_test(suffix_range_counts_from_the_end),
        cmocka_unit_test(range_behind_the_end_is_unsatisfiable),
        cmocka_unit_test(range_of_an_empty_blob_is_the_whole_or_unsatisfiable),
        cmocka_unit_test(several_ranges_are_answered_with_the_whole),
        cmocka_unit_test(unknown_unit_and_broken_syntax_are_ignored),
        cmocka_unit_test(unit_is_case_insensitive_and_outer_space_ignored),
        cmocka_unit_test(content_range_of_an_upload_is_two_numbers),
        cmocka_unit_test(content_range_with_its_unit_needs_a_complete_length),
        cmocka_unit_test(broken_content_range_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
