/* SPDX-License-Identifier: Apache-2.0
 *
 * Latencies in buckets that grow with them, after HdrHistogram (of which Debian has no library for C): any value from 1
 * us to 19 hours is kept to within 0.8 %.
 */
#ifndef MINATO_BENCH_HISTOGRAM_H
#define MINATO_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 128U /* of each power of two */
#define HISTOGRAM_POWERS 30U
#define HISTOGRAM_BUCKETS (HISTOGRAM_STEPS * HISTOGRAM_POWERS)

struct histogram {
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *histogram, uint64_t value_us);
/* The value that a fraction (0 to 1) of all is not above; 0 of none. Never above the largest recorded. */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);
double histogram_mean(const struct histogram *histogram);

#endif
