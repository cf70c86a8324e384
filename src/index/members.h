/* SPDX-License-Identifier: Apache-2.0
 *
 * The members of one list in byte order, and the changes that a list still to be filled will be corrected by. Plain
 * data: no lock, no clock.
 */
#ifndef MINATO_INDEX_MEMBERS_H
#define MINATO_INDEX_MEMBERS_H

#include "minato/index.h"

struct member {
    uint32_t name_len;
    uint32_t data_len;
    char bytes[]; /* the name, then the data */
};

/* A sorted array of pointers, without duplicates. What it was filled with lies in one block; what was put in later was
 * allocated one by one. */
struct members {
    struct members *next; /* for its owner to chain it */
    struct member **at;
    size_t count;
    size_t capacity;
    char *block;
    size_t block_bytes;
    size_t bytes; /* of memory, all of it */
};

/* What writes did, in the order of their ends. */
struct change {
    uint64_t number; /* rises */
    struct member *member;
    bool is_present;
};

struct changes {
    struct changes *next; /* for its owner to chain it */
    struct change *at;
    size_t count;
    size_t capacity;
    size_t bytes;
};

/* What index_int_members_new would hold at most; SIZE_MAX if a name or data is longer than a member may be. */
size_t index_int_members_bytes(const struct index_member *from, size_t count);
/* Sorts and copies. Any order; of duplicates the last is taken. */
struct members *index_int_members_new(const struct index_member *from, size_t count);
void index_int_members_free(struct members *members); /* accepts NULL */
/* Adds it, or gives it other data. */
void index_int_members_put(struct members *members, struct slice name, struct slice data);
void index_int_members_remove(struct members *members, struct slice name);
/* Copies at most `limit` of those after `after` into `arena`. */
void index_int_members_page(const struct members *members, struct slice after, size_t limit, struct arena *arena,
                            struct index_list_page *ret_page);

struct changes *index_int_changes_new(void);
void index_int_changes_free(struct changes *changes); /* accepts NULL */
void index_int_changes_add(struct changes *changes, uint64_t number, bool is_present, struct index_member member);
/* Makes of `members` what it would be after the changes with a number over `after_number`. The changes lose their
 * members: free them next. Linear, however many there are. */
void index_int_members_replay(struct members *members, struct changes *changes, uint64_t after_number);

#endif
