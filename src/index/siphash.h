/* SPDX-License-Identifier: Apache-2.0
 *
 * SipHash-1-3, the keyed hash of hash tables that strangers fill: without the key nobody finds keys that collide.
 * Words are read in the machine's byte order: the hash never leaves the process.
 */
#ifndef MINATO_INDEX_SIPHASH_H
#define MINATO_INDEX_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct siphash_key {
    uint64_t k0;
    uint64_t k1;
};

#define SIPHASH_ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPHASH_ROUND(v0, v1, v2, v3)                                                                                  \
    do {                                                                                                               \
        (v0) += (v1);                                                                                                  \
        (v2) += (v3);                                                                                                  \
        (v1) = SIPHASH_ROTATE(v1, 13) ^ (v0);                                                                          \
        (v3) = SIPHASH_ROTATE(v3, 16) ^ (v2);                                                                          \
        (v0) = SIPHASH_ROTATE(v0, 32);                                                                                 \
        (v2) += (v1);                                                                                                  \
        (v0) += (v3);                                                                                                  \
        (v1) = SIPHASH_ROTATE(v1, 17) ^ (v2);                                                                          \
        (v3) = SIPHASH_ROTATE(v3, 21) ^ (v0);                                                                          \
        (v2) = SIPHASH_ROTATE(v2, 32);                                                                                 \
    } while (0)

static inline uint64_t siphash(struct siphash_key key, const void *bytes, size_t n)
{
    uint64_t v0 = key.k0 ^ 0x736f6d6570736575u;
    uint64_t v1 = key.k1 ^ 0x646f72616e646f6du;
    uint64_t v2 = key.k0 ^ 0x6c7967656e657261u;
    uint64_t v3 = key.k1 ^ 0x7465646279746573u;
    const uint8_t *p = bytes;
    uint64_t word;
    for (size_t left = n; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v3 ^= word;
        SIPHASH_ROUND(v0, v1, v2, v3);
        v0 ^= word;
    }
    word = (uint64_t)n << 56;
    for (size_t i = 0; i < n % 8; ++i)
        word |= (uint64_t)p[i] << (8 * i);
    v3 ^= word;
    SIPHASH_ROUND(v0, v1, v2, v3);
    v0 ^= word;
    v2 ^= 0xff;
    for (int i = 0; i < 3; ++i)
        SIPHASH_ROUND(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

#endif
