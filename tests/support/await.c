/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a loop until a completion has come: see await.h. The loop's own thread.
 */
#include "await.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_S 60

/* libh2o recycles buffers in thread-local lists, which are lost when a thread that ran a loop ends. */
const char *__lsan_default_suppressions(void);
__attribute__((weak)) const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\n";
}

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void on_done(void *data, enum result r)
{
    struct await *a = data;
    if (a->is_done) {
        (void)fprintf(stderr, "await: completed twice (%s, then %s)\n", result_name(a->result), result_name(r));
        abort();
    }
    a->is_done = true;
    a->result = r;
}

struct done await_begin(struct await *a, struct loop *loop)
{
    *a = (struct await){.loop = loop};
    return (struct done){on_done, a, loop};
}

void await_flag(struct loop *loop, const bool *flag)
{
    time_t deadline = now_s() + PATIENCE_S;
    while (!*flag) {
        loop_run_once(loop, 100);
        if (now_s() > deadline) {
            (void)fprintf(stderr, "await: nothing has come for %d s\n", PATIENCE_S);
            abort();
        }
    }
}

enum result await_end(struct await *a, enum result r)
{
    if (r != PENDING) {
        if (a->is_done) {
            (void)fprintf(stderr, "await: returned %s and completed too\n", result_name(r));
            abort();
        }
        return r;
    }
    await_flag(a->loop, &a->is_done);
    return a->result;
}

enum result await_end_at_once(struct await *a, enum result r)
{
    if (a->is_done) {
        (void)fprintf(stderr, "await: completed before the call returned\n");
        abort();
    }
    return await_end(a, r);
}

void await_pool(struct loop *loop, struct pool *pool)
{
    while (pool_depth(pool, POOL_FILES) + pool_depth(pool, POOL_SLOW) > 0)
        loop_run_once(loop, 1);
    /* A job leaves the pool's count after its completion was posted. */
    loop_run_once(loop, 0);
}
