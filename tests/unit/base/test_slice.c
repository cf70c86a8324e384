/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices: comparing, splitting, trimming, numbers and hexadecimal, empty ones included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "minato/slice.h"

static void empty_slices_are_equal_whatever_they_point_to(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE_EMPTY, SLICE("")));
    assert_true(slice_equal_nocase(SLICE_EMPTY, SLICE("")));
    assert_true(slice_equal_secret(SLICE_EMPTY, SLICE("")));
    assert_int_equal(slice_compare(SLICE_EMPTY, SLICE("")), 0);
    assert_int_equal(slice_from_cstr(NULL).len, 0);
}

static void slices_are_equal_only_with_the_same_bytes(void **state)
{
    (void)state;
    assert_true(slice_equal(SLICE("abc"), slice_of("abcd", 3)));
    assert_false(slice_equal(SLICE("abc"), SLICE("abcd")));
    assert_false(slice_equal(SLICE("abc"), SLICE("abC")));
    assert_true(slice_equal(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    assert_false(slice_equal(slice_of("a\0b", 3), slice_of("a\0c", 3)));
}

static void case_is_ignored_for_ascii_letters_alone(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(SLICE("Content-TYPE"), SLICE("content-type")));
    assert_false(slice_equal_nocase(SLICE("a"), SLICE("ab")));
    assert_false(slice_equal_nocase(SLICE("@["), SLICE("`{")));
    assert_false(slice_equal_nocase(SLICE("\xc3\x84"), SLICE("\xc3\xa4")));
}

static void secret_equality_agrees_with_equality(void **state)
{
    (void)state;
    assert_true(slice_equal_secret(SLICE("secret"), SLICE("secret")));
    assert_false(slice_equal_secret(SLICE("secret"), SLICE("secreT")));
    assert_false(slice_equal_secret(SLICE("Secret"), SLICE("secret")));
    assert_false(slice_equal_secret(SLICE("secret"), SLICE("secrets")));
}

static void prefixes_and_suffixes_are_found(void **state)
{
    (void)state;
    assert_true(slice_has_prefix(SLICE("sha256:abc"), SLICE("sha256:")));
    assert_true(slice_has_prefix(SLICE("a"), SLICE_EMPTY));
    assert_false(slice_has_prefix(SLICE("a"), SLICE("ab")));
    assert_true(slice_has_suffix(SLICE("x.sig"), SLICE(".sig")));
    assert_true(slice_has_suffix(SLICE("x"), SLICE_EMPTY));
    assert_false(slice_has_suffix(SLICE("sig"), SLICE(".sig")));
    assert_false(slice_has_suffix(SLICE("x.sig"), SLICE("x.si")));
}

static void order_is_that_of_bytes_then_of_length(void **state)
{
    (void)state;
    static const char *const ordered[] = {"", "-", "A", "Z", "_", "a", "a-b", "a.b", "aa", "b", "\x7f", "\x80", "\xff"};
    const size_t count = sizeof(ordered) / sizeof(ordered[0]);
    for (size_t i = 0; i < count; ++i) {
        for (size_t j = 0; j < count; ++j) {
            int order = slice_compare(slice_from_cstr(ordered[i]), slice_from_cstr(ordered[j]));
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

static void split_is_at_the_first_separator(void **state)
{
    (void)state;
    struct slice head;
    struct slice tail;
    assert_true(slice_split(SLICE("a:b:c"), ':', &head, &tail));
    assert_true(slice_equal(head, SLICE("a")));
    assert_true(slice_equal(tail, SLICE("b:c")));
    assert_true(slice_split(SLICE(":"), ':', &head, &tail));
    assert_true(head.len == 0 && tail.len == 0);
}

static void split_without_separator_leaves_its_outputs(void **state)
{
    (void)state;
    struct slice head = SLICE("h");
    struct slice tail = SLICE("t");
    assert_false(slice_split(SLICE("abc"), ':', &head, &tail));
    assert_false(slice_split(SLICE_EMPTY, ':', &head, &tail));
    assert_true(slice_equal(head, SLICE("h")) && slice_equal(tail, SLICE("t")));
}

static void trim_takes_spaces_and_tabs_from_both_ends(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
    assert_true(slice_equal(slice_trim(SLICE("a\n")), SLICE("a\n")));
    assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
    assert_int_equal(slice_trim(SLICE_EMPTY).len, 0);
}

static void numbers_parse_up_to_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {{"0", 0}, {"7", 7}, {"0042", 42}, {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        uint64_t value = 1;
        assert_int_equal(slice_parse_u64(slice_from_cstr(cases[i].text), &value), OK);
        assert_true(value == cases[i].value);
    }
}

static void what_is_no_number_leaves_the_value(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "-1",
                                        "+1",
                                        " 1",
                                        "1 ",
                                        "1x",
                                        "0x1",
                                        "1.0",
                                        "18446744073709551616",
                                        "99999999999999999999",
                                        "100000000000000000000"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
        uint64_t value = 77;
        assert_int_equal(slice_parse_u64(slice_from_cstr(texts[i]), &value), INVALID);
        assert_true(value == 77);
    }
}

static void hexadecimal_survives_both_ways(void **state)
{
    (void)state;
    uint8_t bytes[256];
    uint8_t again[256];
    char hex[512];
    for (size_t i = 0; i < sizeof(bytes); ++i)
        bytes[i] = (uint8_t)i;
    hex_encode(bytes, sizeof(bytes), hex);
    assert_memory_equal(hex, "000102", 6);
    assert_memory_equal(hex + 506, "fdfeff", 6);
    assert_int_equal(hex_decode(slice_of(hex, sizeof(hex)), again, sizeof(again)), OK);
    assert_memory_equal(bytes, again, sizeof(bytes));
    assert_int_equal(hex_decode(SLICE_EMPTY, again, 0), OK);
}

static void broken_hexadecimal_is_invalid_and_leaves_the_bytes(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     "0",    "00",   "00000", "000000", "0A0b",
                                        "00g0", "000/", "000:", "00 0",  "0x00"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i) {
        uint8_t out[2] = {0x5a, 0x5a};
        assert_int_equal(hex_decode(slice_from_cstr(texts[i]), out, 2), INVALID);
        assert_true(out[0] == 0x5a && out[1] == 0x5a);
    }
}

static void sixteen_bytes_are_hexadecimal_digits(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; ++byte) {
        const char pair[2] = {'0', (char)byte};
        uint8_t out = 0x5a;
        bool is_digit = byte != 0 && strchr("0123456789abcdef", (int)byte) != NULL;
        assert_int_equal(hex_decode(slice_of(pair, 2), &out, 1), is_digit ? OK : INVALID);
        assert_int_equal(out, is_digit ? strtoul((char[]){(char)byte, '\0'}, NULL, 16) : 0x5a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_slices_are_equal_whatever_they_point_to),
        cmocka_unit_test(slices_are_equal_only_with_the_same_bytes),
        cmocka_unit_test(case_is_ignored_for_ascii_letters_alone),
        cmocka_unit_test(secret_equality_agrees_with_equality),
        cmocka_unit_test(prefixes_and_suffixes_are_found),
        cmocka_unit_test(order_is_that_of_bytes_then_of_length),
        cmocka_unit_test(split_is_at_the_first_separator),
        cmocka_unit_test(split_without_separator_leaves_its_outputs),
        cmocka_unit_test(trim_takes_spaces_and_tabs_from_both_ends),
        cmocka_unit_test(numbers_parse_up_to_64_bits),
        cmocka_unit_test(what_is_no_number_leaves_the_value),
        cmocka_unit_test(hexadecimal_survives_both_ways),
        cmocka_unit_test(broken_hexadecimal_is_invalid_and_leaves_the_bytes),
        cmocka_unit_test(sixteen_bytes_are_hexadecimal_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
