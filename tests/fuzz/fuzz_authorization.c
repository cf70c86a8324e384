/* SPDX-License-Identifier: Apache-2.0
 *
 * The Authorization header: any bytes are credentials within the limits, or INVALID. What was accepted is written back
 * in base64 and must be the header again, so that no two headers mean the same.
 */
#include <stdlib.h>

#include "../../src/access/access_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice encode(struct arena *arena, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_alloc(arena, s.len * 2 + 8);
    size_t len = 0;
    for (size_t i = 0; i < s.len; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < s.len ? (unsigned char)s.ptr[i + k] : 0u);
        for (size_t k = 0; k < 4; k++)
            out[len++] = i + k > s.len ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    return slice_of(out, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena);
    struct slice header = slice_of((const char *)data, size);
    struct credentials c;
    if (credentials_parse(header, &arena, &c) == OK) {
        if (c.user.len > USER_NAME_BYTES_MAX || c.password.len > PASSWORD_BYTES_MAX ||
            (c.user.len > 0 && memchr(c.user.ptr, ':', c.user.len) != NULL))
            abort();
        struct slice pair = arena_format(&arena, "%.*s:%.*s", SLICE_ARG(c.user), SLICE_ARG(c.password));
        if (!slice_has_suffix(slice_trim(header), encode(&arena, pair)))
            abort();
        credentials_wipe(&c);
    }
    arena_done(&arena);
    return 0;
}
