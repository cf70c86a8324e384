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

void index_start(struct index *index, struct loop *loop)
{
    if (index->backend->start != NULL)
        index->backend->start(index, loop);
}

bool index_is_reachable(struct index *index, struct loop *loop)
{
    return index->backend->is_reachable == NULL || index->backend->is_reachable(index, loop);
}

void index_int_count(const struct index *index, struct done done, enum result r)
{
    if (index->metrics == NULL || done.loop == NULL || r == PENDING)
        return;
    metrics_add(index->metrics, loop_index(done.loop),
                r == OK            ? METRIC_INDEX_HITS
                : r == UNAVAILABLE ? METRIC_INDEX_UNREACHABLE
                                   : METRIC_INDEX_MISSES,
                1);
}

enum result index_read(struct index *index, struct index_key key, struct index_value *ret_value, index_lease *ret_lease,
                       struct done done)
{
    enum result r = index->backend->read(index, &key, ret_value, ret_lease, done);
    index_int_count(index, done, r);
    return r;
}

/* For a backend that answers at once. */
static enum result read_tag_by_two(struct index *index, struct index_key tag, struct index_found *ret_tag,
                                   struct index_found *ret_revision, struct done done)
{
    char text[DIGEST_TEXT_MAX];
    ret_tag->result = index_read(index, tag, &ret_tag->value, &ret_tag->lease, done);
    if (ret_tag->result == UNAVAILABLE)
        return UNAVAILABLE;
    if (ret_tag->result != OK)
        return OK;
    struct index_key key = {INDEX_REVISION, tag.repo, {text, digest_format(&ret_tag->value.digest, text)}};
    ret_revision->result = index_read(index, key, &ret_revision->value, &ret_revision->lease, done);
    return OK;
}

enum result index_read_tag(struct index *index, struct index_key tag, struct index_found *ret_tag,
                           struct index_found *ret_revision, struct done done)
{
    if (index->backend->read_tag == NULL)
        return read_tag_by_two(index, tag, ret_tag, ret_revision, done);
    enum result r = index->backend->read_tag(index, &tag, ret_tag, ret_revision, done);
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

enum result index_list_read(struct index *index, struct index_list_key key, struct slice after, size_t limit,
                            struct arena *arena, struct index_list_page *ret_page, index_lease *ret_lease,
                            struct done done)
{
    enum result r = index->backend->list_read(index, &key, after, limit, arena, ret_page, ret_lease, done);
    index_int_count(index, done, r);
    return r;
}

enum result index_list_fill(struct index *index, struct index_list_key key, const struct index_member *members,
                            size_t count, index_lease lease, struct done done)
{
    return lease == 0 ? OK : index->backend->list_fill(index, &key, members, count, lease, done);
}

enum result index_list_give_back(struct index *index, struct index_list_key key, index_lease lease, struct done done)
{
    if (lease == 0 || index->backend->list_give_back == NULL)
        return OK;
    return index->backend->list_give_back(index, &key, lease, done);
}

enum result index_list_begin(struct index *index, struct index_list_key key, struct slice member,
                             index_write *ret_write, struct done done)
{
    return index->backend->list_begin(index, &key, member, ret_write, done);
}

enum result index_list_end(struct index *index, struct index_list_key key, struct slice member, index_write write,
                           enum index_list_outcome outcome, struct slice data, struct done done)
{
    return index->backend->list_end(index, &key, member, write, outcome, data, done);
}
