/* SPDX-License-Identifier: Apache-2.0
 *
 * The breaker: two atomics, no lock. Whoever wins a comparison is the one that tries.
 */
#include "breaker.h"

#define FAILURES_MAX 5u
#define BETWEEN_TRIES_MS 1000u

bool s3_breaker_lets_through(struct s3_breaker *breaker, uint64_t now_ms)
{
    uint_fast64_t try_ms = atomic_load(&breaker->next_try_ms);
    if (try_ms == 0)
        return true;
    return now_ms >= try_ms &&
           atomic_compare_exchange_strong(&breaker->next_try_ms, &try_ms, now_ms + BETWEEN_TRIES_MS);
}

bool s3_breaker_report(struct s3_breaker *breaker, bool is_working, uint64_t now_ms)
{
    if (is_working) {
        atomic_store(&breaker->failures, 0);
        return atomic_exchange(&breaker->next_try_ms, 0) != 0;
    }
    if (atomic_fetch_add(&breaker->failures, 1) + 1 < FAILURES_MAX)
        return false;
    /* Only what was closed: the end of calls that were under way when it opened must not put off the next try. */
    uint_fast64_t closed = 0;
    return atomic_compare_exchange_strong(&breaker->next_try_ms, &closed, now_ms + BETWEEN_TRIES_MS);
}
