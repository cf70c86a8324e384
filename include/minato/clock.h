/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and randomness are given, never taken: tests hand in their own.
 */
#ifndef MINATO_CLOCK_H
#define MINATO_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "minato/slice.h"

struct clock {
    /* Milliseconds since 1970-01-01 UTC. */
    uint64_t (*wall_ms)(void *data);
    /* Milliseconds of a clock that never goes back. */
    uint64_t (*monotonic_ms)(void *data);
    void *data;
};

/* The machine's clocks. Any thread. */
struct clock clock_system(void);

static inline uint64_t clock_wall_ms(struct clock c)
{
    return c.wall_ms(c.data);
}

static inline uint64_t clock_monotonic_ms(struct clock c)
{
    return c.monotonic_ms(c.data);
}

#define CLOCK_RFC3339_SIZE 25 /* "2026-11-23T22:05:00.123Z" and a NUL */
/* Writes RFC 3339 in UTC with milliseconds and a NUL. */
void clock_format_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);

/* Cryptographically strong random bytes. Aborts where the kernel has none. Any thread. */
void random_bytes(void *out, size_t n);

#define UUID_TEXT_SIZE 37 /* 36 characters and a NUL */
/* A random UUID (RFC 9562, version 4) in lower case, with a NUL. */
void uuid_generate(char out[UUID_TEXT_SIZE]);
/* Whether `s` is a UUID as uuid_generate writes it. */
bool uuid_is_valid(struct slice s);

#endif
