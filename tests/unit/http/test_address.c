/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses to listen on, as text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "minato/http.h"

static void check(const char *text, const char *expected)
{
    struct http_address address;
    struct strbuf out;
    strbuf_init(&out, 1000);
    assert_int_equal(http_address_resolve(slice_from_cstr(text), &address, &out), OK);
    assert_int_equal(out.len, 0);
    http_address_format(&address, &out);
    assert_string_equal(out.ptr, expected);
    strbuf_done(&out);
}

static void addresses_are_understood_and_written_back(void **state)
{
    (void)state;
    check("127.0.0.1:5000", "127.0.0.1:5000");
    check("localhost:5000", "127.0.0.1:5000");
    check(":5000", "0.0.0.0:5000");
    check("0.0.0.0:0", "0.0.0.0:0");
    check("[::1]:5000", "[::1]:5000");
    check("[::]:65535", "[::]:65535");
}

static void other_texts_are_refused_with_a_sentence(void **state)
{
    static const char *const texts[] = {
        "",         "5000",  "localhost",      "localhost:", "localhost:65536", ":-1",   ":+5",
        "::1:5000", "[::1]", "localhost:http", ": 500",      "[::1]:5000x",     "a:b:1", "no such host.invalid:1"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct http_address address;
        struct strbuf why;
        strbuf_init(&why, 1000);
        if (http_address_resolve(slice_from_cstr(texts[i]), &address, &why) != INVALID || why.len == 0)
            fail_msg("\"%s\" was taken", texts[i]);
        strbuf_done(&why);
    }
}

static void the_library_is_one_we_know(void **state)
{
    struct strbuf why;
    (void)state;
    strbuf_init(&why, 1000);
    assert_int_equal(http_library_check(&why), OK);
    assert_int_equal(why.len, 0);
    strbuf_done(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_understood_and_written_back),
        cmocka_unit_test(other_texts_are_refused_with_a_sentence),
        cmocka_unit_test(the_library_is_one_we_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
