/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's clock: the machine's and a difference, which each answer may narrow down.
 */
#include "store_clock.h"

#include <time.h>

void s3_clock_init(struct s3_clock *clock, struct clock machine)
{
    clock->machine = machine;
    atomic_store(&clock->ahead_ms, 0);
}

static uint64_t wall_ms(void *data)
{
    const struct s3_clock *clock = data;
    return (uint64_t)((int64_t)s3_clock_machine_ms(clock) + s3_clock_ahead_ms(clock));
}

static uint64_t monotonic_ms(void *data)
{
    const struct s3_clock *clock = data;
    return clock_monotonic_ms(clock->machine);
}

struct clock s3_clock_of(struct s3_clock *clock)
{
    return (struct clock){wall_ms, monotonic_ms, clock};
}

int64_t s3_clock_ahead_ms(const struct s3_clock *clock)
{
    return (int64_t)atomic_load(&clock->ahead_ms);
}

uint64_t s3_clock_machine_ms(const struct s3_clock *clock)
{
    return clock_wall_ms(clock->machine);
}

void s3_clock_learn(struct s3_clock *clock, uint64_t sent_ms, uint64_t received_ms, uint64_t date_ms)
{
    int64_t lowest = (int64_t)date_ms - (int64_t)received_ms;
    int64_t highest = (int64_t)date_ms + 999 - (int64_t)sent_ms;
    int64_t ahead = s3_clock_ahead_ms(clock);
    if (lowest > highest) /* the machine's clock was set back meanwhile */
        return;
    if (ahead < lowest)
        atomic_store(&clock->ahead_ms, lowest);
    else if (ahead > highest)
        atomic_store(&clock->ahead_ms, highest);
}

uint64_t s3_parse_date(struct slice text)
{
    char date[64];
    struct tm tm = {0};
    if (text.len >= sizeof(date))
        return 0;
    memcpy(date, text.ptr, text.len);
    date[text.len] = '\0';
    if (strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
        return 0;
    time_t seconds = timegm(&tm);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}
