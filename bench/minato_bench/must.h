/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that must be there: without it there is nothing to measure.
 */
#ifndef MINATO_BENCH_MUST_H
#define MINATO_BENCH_MUST_H

#include <stdlib.h>

static inline void *must(void *pointer)
{
    if (pointer == NULL) {
        abort();
    }
    return pointer;
}

#endif
