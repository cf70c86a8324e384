/* SPDX-License-Identifier: Apache-2.0
 *
 * An asynchronous call made as if it were not: runs the loop until the completion has come.
 *
 *     enum result r = AWAIT(loop, storage_stat(storage, path, &object, done));
 *
 * `done` is the name the call uses for its completion. Aborts with a message when nothing has come after a minute.
 */
#ifndef MINATO_TEST_AWAIT_H
#define MINATO_TEST_AWAIT_H

#include <stdbool.h>

#include "minato/async.h"

struct await {
    struct loop *loop;
    bool is_done;
    enum result result;
};

/* The completion of one call; `a` is initialised by it. */
struct done await_begin(struct await *a, struct loop *loop);
/* What the call comes to, given what it returned. The loop may have run in between. */
enum result await_end(struct await *a, enum result r) NODISCARD;
/* The same, right after the call. */
enum result await_end_at_once(struct await *a, enum result r) NODISCARD;
/* Runs the loop until *flag is set, a minute at most. */
void await_flag(struct loop *loop, const bool *flag);
/* Runs the loop until the pool has nothing left and what it did has been reported. */
void await_pool(struct loop *loop, struct pool *pool);

#define AWAIT(the_loop, call)                                                                                          \
    ({                                                                                                                 \
        struct await await_;                                                                                           \
        struct done done = await_begin(&await_, (the_loop));                                                           \
        await_end_at_once(&await_, (call));                                                                            \
    })

#endif
