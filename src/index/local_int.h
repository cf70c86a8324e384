/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the local index share: local.c holds the values, local_lists.c the lists.
 */
#ifndef MINATO_INDEX_LOCAL_INT_H
#define MINATO_INDEX_LOCAL_INT_H

#include <stdatomic.h>

#include "index_int.h"
#include "siphash.h"

/* ---- keys ---- */

#define KEY_MAX (8 + REPO_NAME_MAX + DIGEST_TEXT_MAX)

/* A key's bytes: kind, length of the repository's name, then both texts. No two keys have the same. */
struct packed_key {
    uint64_t hash;
    size_t len;
    char bytes[KEY_MAX];
};

/* False: longer than the grammar of its parts allows. */
bool index_int_pack(struct siphash_key seed, uint32_t kind, struct slice repo, struct slice name,
                    struct packed_key *ret_key);

/* ---- lists ---- */

/* Of all lists together; one that alone is larger is not kept. */
#define LISTS_MEMBERS_MAX ((size_t)4 * 1000 * 1000)
#define LISTS_BYTES_MAX ((size_t)256 * 1024 * 1024)

struct list_shard;

struct local_lists {
    size_t members_max;
    size_t bytes_max;
    /* What is held now. Changed under a shard's lock, read under none. */
    atomic_size_t members;
    atomic_size_t bytes;
    atomic_uint_fast64_t reads; /* what "least recently read" goes by */
    struct list_shard *shards;
};

struct local_lists *index_int_lists_new(size_t members_max, size_t bytes_max);
void index_int_lists_free(struct local_lists *lists); /* accepts NULL */

enum result index_int_local_list_read(struct index *index, const struct index_list_key *key, struct slice after,
                                      size_t limit, struct arena *arena, struct index_list_page *ret_page,
                                      index_lease *ret_lease, struct done done) NODISCARD;
enum result index_int_local_list_fill(struct index *index, const struct index_list_key *key,
                                      const struct index_member *members, size_t count, index_lease lease,
                                      struct done done) NODISCARD;
enum result index_int_local_list_begin(struct index *index, const struct index_list_key *key, struct slice member,
                                       index_write *ret_write, struct done done) NODISCARD;
enum result index_int_local_list_end(struct index *index, const struct index_list_key *key, struct slice member,
                                     index_write write, enum index_list_outcome outcome, struct slice data,
                                     struct done done) NODISCARD;

/* ---- the index ---- */

struct shard;

struct local_index {
    struct index base;
    struct clock clock;
    struct siphash_key seed;
    unsigned shard_count; /* a power of two */
    struct shard *shards;
    struct local_lists *lists;
};

#endif
