/* SPDX-License-Identifier: Apache-2.0
 *
 * One hot function, prepared: what bench/micro times and has counted.
 */
#ifndef MINATO_BENCH_MICRO_H
#define MINATO_BENCH_MICRO_H

#include "minato/arena.h"

struct micro_benchmark {
    const char *name;
    /* What the function works on, in `arena`. */
    void *(*setup)(struct arena *arena);
    /* The function, called once. What it makes is in `arena`, which is new for each call. */
    struct slice (*run)(void *state, struct arena *arena);
    struct slice answer;           /* of each call */
    void (*teardown)(void *state); /* may be NULL */
};

/* hot_functions.c */
extern const struct micro_benchmark micro_benchmarks[];
extern const size_t micro_benchmark_count;

#endif
