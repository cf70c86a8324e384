/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeps calls from waiting for a store that does not work. Opens after failures in a row; then one call a second
 * goes through, and the first that is answered closes it. Any thread.
 */
#ifndef MINATO_S3_BREAKER_H
#define MINATO_S3_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised is closed. */
struct s3_breaker {
    atomic_uint failures;             /* in a row */
    atomic_uint_fast64_t next_try_ms; /* 0: closed, all go through */
};

/* False: the call is to fail at once. */
bool s3_breaker_lets_through(struct s3_breaker *breaker, uint64_t now_ms);
/* An attempt has ended: does the store work? True: this opened it, or closed it. */
bool s3_breaker_report(struct s3_breaker *breaker, bool is_working, uint64_t now_ms);

#endif
