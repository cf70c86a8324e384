/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine's clocks, random bytes and UUIDs. Any thread.
 */
#include "minato/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock_ms(clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0)
        abort();
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t system_wall_ms(void *data)
{
    (void)data;
    return read_clock_ms(CLOCK_REALTIME);
}

static uint64_t system_monotonic_ms(void *data)
{
    (void)data;
    return read_clock_ms(CLOCK_MONOTONIC);
}

struct clock clock_system(void)
{
    return (struct clock){system_wall_ms, system_monotonic_ms, NULL};
}

void clock_format_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL)
        abort();
    char text[64];
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ms % 1000));
    memcpy(out, text, CLOCK_RFC3339_SIZE - 1);
    out[CLOCK_RFC3339_SIZE - 1] = '\0';
}

void random_bytes(void *out, size_t n)
{
    char *p = out;
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}

void uuid_generate(char out[UUID_TEXT_SIZE])
{
    uint8_t bytes[16];
    random_bytes(bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    char hex[32];
    hex_encode(bytes, sizeof(bytes), hex);
    static const unsigned char groups[] = {8, 4, 4, 4, 12};
    const char *from = hex;
    char *to = out;
    for (size_t i = 0; i < sizeof(groups); i++) {
        if (i > 0)
            *to++ = '-';
        memcpy(to, from, groups[i]);
        to += groups[i];
        from += groups[i];
    }
    *to = '\0';
}

static bool is_lower_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool uuid_is_valid(struct slice s)
{
    if (s.len != UUID_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? s.ptr[i] != '-' : !is_lower_hex(s.ptr[i]))
            return false;
    }
    return s.ptr[14] == '4' && strchr("89ab", s.ptr[19]) != NULL;
}
