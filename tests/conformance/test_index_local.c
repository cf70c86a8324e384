/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in memory keeps the contract of index.h.
 */
#include "index_suite.h"

static void open_local(void *data, struct loop *loop, struct pool *pool, struct index *ret_replicas[2])
{
    (void)data;
    (void)loop;
    (void)pool;
    ret_replicas[0] = ret_replicas[1] = index_new_local(1000, clock_system(), NULL);
}

static void close_local(void *data, struct index *replicas[2])
{
    (void)data;
    index_free(replicas[0]);
}

int main(void)
{
    struct index_subject subject = {.name = "local", .open = open_local, .close = close_local};
    return index_suite_run(&subject);
}
