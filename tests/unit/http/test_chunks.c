/* SPDX-License-Identifier: Apache-2.0
 *
 * The decoder of the chunked coding: however the bytes are cut up, it says the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/http/http1.h"

struct verdict {
    enum result r;
    char data[256];
    size_t len;
    size_t used;
};

/* Feeds `text` in pieces of `first`, then `step` bytes, in place as bodies do. */
static struct verdict decode(const char *text, size_t first, size_t step)
{
    struct http1_chunks chunks = {0};
    struct verdict v = {.r = OK};
    size_t left = strlen(text);
    size_t n = first;
    while (left > 0 && v.r == OK) {
        size_t piece = n < left ? n : left;
        size_t used = 0;
        size_t decoded = 0;
        memcpy(v.data + v.len, text + v.used, piece);
        v.r = http_int_http1_decode_chunks(&chunks, v.data + v.len, v.data + v.len, piece, &used, &decoded);
        v.len += decoded;
        v.used += used;
        left -= used;
        n = step;
        if (v.r == OK)
            assert_int_equal(used, piece);
    }
    return v;
}

static void check(const char *text, enum result r, const char *data, size_t used)
{
    for (size_t first = 1; first <= strlen(text); first++) {
        for (size_t step = 1; step <= 3; step++) {
            struct verdict v = decode(text, first, step);
            if (v.r != r || (r != INVALID && (v.len != strlen(data) || memcmp(v.data, data, v.len) != 0)) ||
                (r == NOT_FOUND && v.used != used))
                fail_msg("\"%s\" cut at %zu: %s, %zu bytes, used %zu", text, first, result_name(v.r), v.len, v.used);
        }
    }
}

static void every_cut_gives_the_same_body(void **state)
{
    (void)state;
    check("5\r\nhello\r\n0\r\n\r\nGET /", NOT_FOUND, "hello", 15);
    check("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", NOT_FOUND, "hello world", 28);
    check("A;n=v;m=\"q\"\r\n0123456789\r\n0;x\r\n\r\n", NOT_FOUND, "0123456789", 32);
    check("0\r\na: b\r\nc: d\r\n\r\nrest", NOT_FOUND, "", 17);
    check("00000000000000a\r\n0123456789\r\n", OK, "0123456789", 0);
    check("5\r\nhel", OK, "hel", 0);
}

static void every_cut_finds_the_same_fault(void **state)
{
    (void)state;
    check("5\r\nhelloo", INVALID, "", 0);
    check("5\r\nhello\n", INVALID, "", 0);
    check("0000000000000005\r\nhello\r\n", INVALID, "", 0); /* 16 digits */
    check("5\nhello", INVALID, "", 0);
    check("0x5\r\n", INVALID, "", 0);
    check("5 \r\n", INVALID, "", 0);
    check(" 5\r\n", INVALID, "", 0);
    check("\r\n", INVALID, "", 0);
    check("0\r\n\n", INVALID, "", 0);
    check("0\r\n x\r\n", INVALID, "", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_same_body),
        cmocka_unit_test(every_cut_finds_the_same_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
