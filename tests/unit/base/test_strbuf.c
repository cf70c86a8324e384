/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable text: its maximum, and the encodings written through it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/slice.h"

static void assert_json(struct slice s, const char *expected)
{
    struct strbuf sb;
    strbuf_init(&sb, 10000);
    strbuf_append_json(&sb, s);
    assert_int_equal(strbuf_result(&sb), OK);
    assert_string_equal(sb.ptr, expected);
    strbuf_done(&sb);
}

static void appended_parts_follow_each_other(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 100);
    assert_int_equal(strbuf_slice(&sb).len, 0);
    strbuf_append(&sb, SLICE("a"));
    strbuf_append(&sb, SLICE_EMPTY);
    strbuf_append_cstr(&sb, "bc");
    strbuf_append_char(&sb, '-');
    strbuf_append_u64(&sb, 0);
    strbuf_append_u64(&sb, UINT64_MAX);
    strbuf_append_format(&sb, "%s=%d", "x", -1);
    assert_string_equal(sb.ptr, "abc-018446744073709551615x=-1");
    assert_int_equal(strbuf_slice(&sb).len, strlen(sb.ptr));
    assert_int_equal(strbuf_result(&sb), OK);
    strbuf_done(&sb);
}

static void text_of_exactly_the_maximum_fits(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 4);
    strbuf_append_cstr(&sb, "abcd");
    assert_int_equal(strbuf_result(&sb), OK);
    assert_string_equal(sb.ptr, "abcd");
    strbuf_append(&sb, SLICE_EMPTY);
    assert_int_equal(strbuf_result(&sb), OK);
    strbuf_append_char(&sb, 'e');
    assert_int_equal(strbuf_result(&sb), TOO_LARGE);
    assert_string_equal(sb.ptr, "abcd");
    strbuf_done(&sb);
}

static void what_does_not_fit_changes_nothing_and_nothing_fits_after_it(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 4);
    strbuf_append_cstr(&sb, "ab");
    strbuf_append_cstr(&sb, "cde");
    strbuf_append_cstr(&sb, "f");
    strbuf_append_format(&sb, "%d", 1);
    assert_true(slice_equal(strbuf_slice(&sb), SLICE("ab")));
    assert_int_equal(strbuf_result(&sb), TOO_LARGE);
    strbuf_done(&sb);
}

static void format_over_the_maximum_changes_nothing(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 10);
    strbuf_append_cstr(&sb, "ab");
    strbuf_append_format(&sb, "%100d", 1);
    assert_true(slice_equal(strbuf_slice(&sb), SLICE("ab")));
    assert_int_equal(strbuf_result(&sb), TOO_LARGE);
    strbuf_done(&sb);
}

static void clear_makes_it_usable_again(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 4);
    strbuf_clear(&sb);
    strbuf_append_cstr(&sb, "abc");
    strbuf_append_cstr(&sb, "abc");
    strbuf_clear(&sb);
    assert_int_equal(strbuf_result(&sb), OK);
    assert_int_equal(sb.len, 0);
    strbuf_append_cstr(&sb, "x");
    assert_string_equal(sb.ptr, "x");
    strbuf_done(&sb);
    strbuf_done(&sb);
}

static void it_grows_over_many_appends(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 100000);
    for (unsigned i = 0; i < 100000; ++i)
        strbuf_append_char(&sb, (char)('a' + i % 26));
    assert_int_equal(strbuf_result(&sb), OK);
    assert_int_equal(sb.len, 100000);
    for (unsigned i = 0; i < 100000; ++i)
        assert_int_equal(sb.ptr[i], 'a' + i % 26);
    strbuf_done(&sb);
}

static void json_escapes_quotes_and_control_characters(void **state)
{
    (void)state;
    assert_json(SLICE_EMPTY, "\"\"");
    assert_json(SLICE("plain /text"), "\"plain /text\"");
    assert_json(SLICE("\"\\\n\r\t"), "\"\\\"\\\\\\n\\r\\t\"");
    assert_json(slice_of("\0\x01\x1f\x7f", 4), "\"\\u0000\\u0001\\u001f\\u007f\"");
}

static void json_keeps_valid_utf_8(void **state)
{
    (void)state;
    assert_json(SLICE("\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2"), "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2\"");
    assert_json(SLICE("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"), "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\"");
}

static void json_replaces_invalid_utf_8(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    assert_json(SLICE("a\xff"
                      "b"),
                "\"a" FFFD "b\"");
    assert_json(SLICE("\xc3"), "\"" FFFD "\"");
    assert_json(SLICE("\x80"), "\"" FFFD "\"");
    assert_json(SLICE("\xc0\xaf"), "\"" FFFD FFFD "\"");                   /* overlong '/' */
    assert_json(SLICE("\xe0\x80\xaf"), "\"" FFFD FFFD FFFD "\"");          /* overlong */
    assert_json(SLICE("\xed\xa0\x80"), "\"" FFFD FFFD FFFD "\"");          /* a surrogate */
    assert_json(SLICE("\xf4\x90\x80\x80"), "\"" FFFD FFFD FFFD FFFD "\""); /* over U+10FFFF */
    assert_json(slice_of("\xe2\x82\xac", 2), "\"" FFFD FFFD "\"");         /* cut */
#undef FFFD
}

static void json_over_the_maximum_is_too_large(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 5);
    strbuf_append_json(&sb, SLICE("a\nbcdef"));
    assert_int_equal(strbuf_result(&sb), TOO_LARGE);
    assert_true(sb.len <= 5);
    strbuf_done(&sb);
}

static void percent_encoding_keeps_unreserved_characters_alone(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 1000);
    strbuf_append_percent_encoded(&sb, SLICE("AZaz09-._~"));
    strbuf_append_percent_encoded(&sb, slice_of("/: %+&=?\0\xff", 10));
    strbuf_append_percent_encoded(&sb, SLICE_EMPTY);
    assert_string_equal(sb.ptr, "AZaz09-._~%2F%3A%20%25%2B%26%3D%3F%00%FF");
    strbuf_done(&sb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_parts_follow_each_other),
        cmocka_unit_test(text_of_exactly_the_maximum_fits),
        cmocka_unit_test(what_does_not_fit_changes_nothing_and_nothing_fits_after_it),
        cmocka_unit_test(format_over_the_maximum_changes_nothing),
        cmocka_unit_test(clear_makes_it_usable_again),
        cmocka_unit_test(it_grows_over_many_appends),
        cmocka_unit_test(json_escapes_quotes_and_control_characters),
        cmocka_unit_test(json_keeps_valid_utf_8),
        cmocka_unit_test(json_replaces_invalid_utf_8),
        cmocka_unit_test(json_over_the_maximum_is_too_large),
        cmocka_unit_test(percent_encoding_keeps_unreserved_characters_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
