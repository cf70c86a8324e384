/* SPDX-License-Identifier: Apache-2.0
 *
 * The store's clock, as its answers tell it: signatures are dated by it, as the store refuses what is a quarter of an
 * hour off, and so is whatever replicas compare, whose own clocks may differ. Any thread.
 */
#ifndef MINATO_S3_STORE_CLOCK_H
#define MINATO_S3_STORE_CLOCK_H

#include <stdatomic.h>

#include "minato/clock.h"

struct s3_clock {
    struct clock machine;
    atomic_int_fast64_t ahead_ms; /* of the machine's */
};

/* Not known yet: as the machine's. */
void s3_clock_init(struct s3_clock *clock, struct clock machine);
/* The store's time, and the machine's monotonic one. Borrows `clock`. */
struct clock s3_clock_of(struct s3_clock *clock);
int64_t s3_clock_ahead_ms(const struct s3_clock *clock);
/* The machine's wall clock. */
uint64_t s3_clock_machine_ms(const struct s3_clock *clock);
/* The store wrote `date_ms` between these two, by the machine's clock; it is cut to whole seconds. Between them
 * everything is possible, so that an answer which took long moves nothing that others have made sure of. */
void s3_clock_learn(struct s3_clock *clock, uint64_t sent_ms, uint64_t received_ms, uint64_t date_ms);
/* RFC 9110, 5.6.7: an IMF-fixdate, in milliseconds; 0: it is none. */
uint64_t s3_parse_date(struct slice text);

#endif
