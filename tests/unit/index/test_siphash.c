/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyed hash under the local index.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/index/siphash.h"

static void siphash_depends_on_key_length_and_every_byte(void **state)
{
    (void)state;
    const struct siphash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    const struct siphash_key other = {0x0706050403020101u, 0x0f0e0d0c0b0a0908u};
    uint8_t bytes[64] = {0};
    for (size_t n = 0; n < sizeof(bytes); ++n) {
        uint64_t h = siphash(key, bytes, n);
        assert_true(h != siphash(other, bytes, n));
        assert_true(h != siphash(key, bytes, n + 1));
        for (size_t i = 0; i < n; ++i) {
            bytes[i] = 1;
            assert_true(h != siphash(key, bytes, n));
            bytes[i] = 0;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_depends_on_key_length_and_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
