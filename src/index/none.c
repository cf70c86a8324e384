/* SPDX-License-Identifier: Apache-2.0
 *
 * No index: every look-up reads the store. For a store that several processes share while they share no index: what one
 * of them remembered, another could have changed. Any thread; there is nothing to guard.
 */
#include "index_int.h"

#include <stdlib.h>

static void none_free(struct index *index)
{
    free(index);
}

static enum result none_read(struct index *index, const struct index_key *key, struct index_value *ret_value,
                             index_lease *ret_lease, struct done done)
{
    (void)index;
    (void)key;
    (void)ret_value;
    (void)done;
    *ret_lease = 0;
    return NOT_FOUND;
}

static enum result none_fill(struct index *index, const struct index_key *key, const struct index_value *value,
                             index_lease lease, struct done done)
{
    (void)index;
    (void)key;
    (void)value;
    (void)lease;
    (void)done;
    return OK;
}

static enum result none_begin(struct index *index, const struct index_key *key, index_write *ret_write,
                              struct done done)
{
    (void)index;
    (void)key;
    (void)done;
    *ret_write = 0;
    return OK;
}

static enum result none_end(struct index *index, const struct index_key *key, index_write write, struct done done)
{
    (void)index;
    (void)key;
    (void)write;
    (void)done;
    return OK;
}

static enum result none_list_read(struct index *index, const struct index_list_key *key, struct slice after,
                                  size_t limit, struct arena *arena, struct index_list_page *ret_page,
                                  index_lease *ret_lease, struct done done)
{
    (void)index;
    (void)key;
    (void)after;
    (void)limit;
    (void)arena;
    (void)ret_page;
    (void)done;
    if (ret_lease != NULL)
        *ret_lease = 0;
    return NOT_FOUND;
}

static enum result none_list_fill(struct index *index, const struct index_list_key *key,
                                  const struct index_member *members, size_t count, index_lease lease, struct done done)
{
    (void)index;
    (void)key;
    (void)members;
    (void)count;
    (void)lease;
    (void)done;
    return OK;
}

static enum result none_list_begin(struct index *index, const struct index_list_key *key, struct slice member,
                                   index_write *ret_write, struct done done)
{
    (void)index;
    (void)key;
    (void)member;
    (void)done;
    *ret_write = 0;
    return OK;
}

static enum result none_list_end(struct index *index, const struct index_list_key *key, struct slice member,
                                 index_write write, enum index_list_outcome outcome, struct slice data,
                                 struct done done)
{
    (void)index;
    (void)key;
    (void)member;
    (void)write;
    (void)outcome;
    (void)data;
    (void)done;
    return OK;
}

static const struct index_backend none_backend = {
    .name = "none",
    .free = none_free,
    .read = none_read,
    .fill = none_fill,
    .begin = none_begin,
    .end = none_end,
    .list_read = none_list_read,
    .list_fill = none_list_fill,
    .list_begin = none_list_begin,
    .list_end = none_list_end,
};

struct index *index_new_none(void)
{
    struct index *index = xcalloc(1, sizeof(*index));
    index->backend = &none_backend;
    return index;
}
