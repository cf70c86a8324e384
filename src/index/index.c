/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of the index: hands each call to the backend that was chosen at start and counts hits and misses. The
 * protocol itself lives in the backends. Any thread.
 */
#include "index_int.h"

void index_free(struct index *index)
{
    if (index != NULL)
        index->backend->free(index);
}

void index_int_count(const struct index *index, struct done done, enum result r)
{
    if (index->metrics != NULL && done.loop != NULL && (r == OK || r == NOT_FOUND))
        metrics_add(index->metrics, loop_index(done.loop), r == OK ? METRIC_INDEX_HITS : METRIC_INDEX_MISSES, 1);
}

enum result index_read(struct index *index, struct index_key key, struct index_value *ret_value, index_lease *ret_lease,
                       struct done done)
{
    enum result r = index->backend->read(index, &key, ret_value, ret_lease, done);
    index_int_count(index, done, r);
    return r;
}

enum result index_fill(struct index *index, struct index_key key, const struct index_value *value, index_lease lease,
                       struct done done)
{
    return lease == 0 ? OK : index->backend->fill(index, &key, value, lease, done);
}

enum result index_begin(struct index *index, struct index_key key, index_write *ret_write, struct done done)
{
    return index->backend->begin(index, &key, ret_write, done);
}

enum result index_end(struct index *index, struct index_key key, index_write write, struct done done)
{
    return index->backend->end(index, &key, write, done);
}
