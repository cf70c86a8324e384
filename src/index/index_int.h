/* SPDX-License-Identifier: Apache-2.0
 *
 * What an index backend is. index.c is the door and counts; a backend (local.c, redis.c, none.c) answers. The calls
 * have the contracts of index.h; a backend that answers PENDING ends a read with index_int_count before it calls
 * `done`.
 */
#ifndef MINATO_INDEX_INT_H
#define MINATO_INDEX_INT_H

#include "minato/index.h"

struct index_backend {
    const char *name;
    void (*free)(struct index *index);
    void (*start)(struct index *index, struct loop *loop);        /* may be NULL */
    bool (*is_reachable)(struct index *index, struct loop *loop); /* NULL: always */
    enum result (*read)(struct index *index, const struct index_key *key, struct index_value *ret_value,
                        index_lease *ret_lease, struct done done);
    enum result (*read_tag)(struct index *index, const struct index_key *tag, struct index_found *ret_tag,
                            struct index_found *ret_revision, struct done done); /* NULL: by two reads */
    enum result (*fill)(struct index *index, const struct index_key *key, const struct index_value *value,
                        index_lease lease, struct done done);
    enum result (*begin)(struct index *index, const struct index_key *key, index_write *ret_write, struct done done);
    enum result (*end)(struct index *index, const struct index_key *key, index_write write, struct done done);
    enum result (*list_read)(struct index *index, const struct index_list_key *key, struct slice after, size_t limit,
                             struct arena *arena, struct index_list_page *ret_page, index_lease *ret_lease,
                             struct done done);
    enum result (*list_fill)(struct index *index, const struct index_list_key *key, const struct index_member *members,
                             size_t count, index_lease lease, struct done done);
    enum result (*list_give_back)(struct index *index, const struct index_list_key *key, index_lease lease,
                                  struct done done); /* NULL: a lease keeps nobody from reading */
    enum result (*list_begin)(struct index *index, const struct index_list_key *key, struct slice member,
                              index_write *ret_write, struct done done);
    enum result (*list_end)(struct index *index, const struct index_list_key *key, struct slice member,
                            index_write write, enum index_list_outcome outcome, struct slice data, struct done done);
};

/* The first member of every backend's own struct. */
struct index {
    const struct index_backend *backend;
    struct metrics *metrics;
};

void index_int_count(const struct index *index, struct done done, enum result r);

#endif
