/* SPDX-License-Identifier: Apache-2.0
 *
 * Checksums of chains of pages: the examples of RFC 3720, B.4, and that of the sum's definition ("123456789").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "storage-drivers/s3/checksum.h"

static void fill(char *bytes, int first, int step)
{
    for (int i = 0; i < 32; i++)
        bytes[i] = (char)(first + step * i);
}

static void expect(struct slice bytes, const char *sum)
{
    char out[S3_CHECKSUM_TEXT + 1];
    char room[64];
    memcpy(room + 3, bytes.ptr, bytes.len);
    for (size_t cut = 0; cut <= bytes.len; cut++) {
        struct page last = {.ptr = room, .start = 3 + cut, .len = bytes.len - cut};
        struct page first = {.ptr = room, .start = 3, .len = cut, .next = &last};
        s3_checksum(&first, out);
        assert_string_equal(out, sum);
    }
}

static void sums_are_the_published_ones_however_the_bytes_are_paged(void **state)
{
    (void)state;
    char bytes[32];
    expect(SLICE("123456789"), "4waSgw=="); /* e3069283 */
    fill(bytes, 0, 0);
    expect(slice_of(bytes, 32), "ipE2qg=="); /* 8a9136aa */
    fill(bytes, 0xff, 0);
    expect(slice_of(bytes, 32), "YqirQw=="); /* 62a8ab43 */
    fill(bytes, 0, 1);
    expect(slice_of(bytes, 32), "Rt15Tg=="); /* 46dd794e */
    fill(bytes, 31, -1);
    expect(slice_of(bytes, 32), "ET/bXA=="); /* 113fdb5c */
}

static void the_sum_of_nothing_is_zero(void **state)
{
    (void)state;
    char out[S3_CHECKSUM_TEXT + 1];
    s3_checksum(NULL, out);
    assert_string_equal(out, "AAAAAA==");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_published_ones_however_the_bytes_are_paged),
        cmocka_unit_test(the_sum_of_nothing_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
