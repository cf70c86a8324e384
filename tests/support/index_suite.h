/* SPDX-License-Identifier: Apache-2.0
 *
 * What every index backend must do (include/minato/index.h), as one cmocka group that each backend's program runs.
 */
#ifndef MINATO_TEST_INDEX_SUITE_H
#define MINATO_TEST_INDEX_SUITE_H

#include "minato/index.h"

struct index_subject {
    const char *name;
    void *data;
    /* Two replicas' handles on one index that knows nothing yet, ready to answer on `loop`. A backend of one process
     * gives the same twice. */
    void (*open)(void *data, struct loop *loop, struct pool *pool, struct index *ret_replicas[2]);
    void (*close)(void *data, struct index *replicas[2]);
    /* Forgets one thing of all that the index keeps, as a server does that runs out of memory. NULL: it does not. */
    void (*lose_a_key)(void *data, uint64_t roll);
    bool is_shared; /* by processes: then one of them at a time fills a list */
};

/* The number of tests that failed. */
int index_suite_run(const struct index_subject *subject);

#endif
