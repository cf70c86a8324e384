/* SPDX-License-Identifier: Apache-2.0
 *
 * Below HISTOGRAM_STEPS a bucket holds one value; from there each power of two has HISTOGRAM_STEPS buckets.
 */
#include "histogram.h"

#include <math.h>
#include <stdbool.h>

#define STEP_BITS 7U /* HISTOGRAM_STEPS is 1 << STEP_BITS */

static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    unsigned power = 63U - (unsigned)__builtin_clzll(value); /* at least STEP_BITS */
    unsigned step = (unsigned)(value >> (power - STEP_BITS)) - HISTOGRAM_STEPS;
    unsigned bucket = (power - STEP_BITS + 1) * HISTOGRAM_STEPS + step;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t top_of(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_record(struct histogram *histogram, uint64_t value_us)
{
    histogram->count++;
    histogram->sum_us += value_us;
    histogram->max_us = value_us > histogram->max_us ? value_us : histogram->max_us;
    histogram->buckets[bucket_of(value_us)]++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double fraction)
{
    uint64_t rank = (uint64_t)ceil((double)histogram->count * fraction);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram->count > 0; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            bool is_last = i == HISTOGRAM_BUCKETS - 1; /* holds all that is beyond the range, too */
            uint64_t top = top_of(i);
            return !is_last && top < histogram->max_us ? top : histogram->max_us;
        }
    }
    return histogram->max_us;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum_us / (double)histogram->count;
}
