/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of lists under local_lists.c: sharded, bounded, with what is known of each list and the writes under way.
 *
 *     state    holds               is left when
 *     IDLE     writes under way    somebody misses it (LEASED); its last write ends (freed)
 *     LEASED   changes             filled (WARM); the leases expire, too many changes, forgotten (IDLE)
 *     WARM     members             forgotten, or the least recently read when there is too much (IDLE)
 *
 * All of a shard's numbers (leases, changes, writes) come from one counter: a lease is the number of the last thing
 * that had happened, good from `valid_from` on, which a list that becomes LEASED takes anew; so no lease outlives the
 * changes kept for it.
 */
#ifndef MINATO_INDEX_LIST_TABLE_H
#define MINATO_INDEX_LIST_TABLE_H

#include <pthread.h>

#include "local_int.h"
#include "members.h"

#define LIST_BUCKETS 8192u /* per shard: some five lists in each when 256 MiB are full of small ones */

/* ---- rings ---- */

/* A place in a ring; the first member of what is linked. A ring's head is a link too. */
struct link {
    struct link *prev;
    struct link *next;
};

static inline void link_init(struct link *head)
{
    head->prev = head->next = head;
}

static inline void link_take_out(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link_init(link);
}

static inline void link_put_last(struct link *head, struct link *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

/* NULL: the ring is empty. */
static inline void *link_first(const struct link *head)
{
    return head->next == head ? NULL : head->next;
}

/* ---- lists, guarded by their shard's lock ---- */

/* What a write did to its member, as one number: two are equal when they agree. */
typedef uint64_t effect;
#define EFFECT_NONE 0u
#define EFFECT_UNKNOWN 1u
#define EFFECT_ABSENT 2u
#define EFFECT_PRESENT 4u /* and the hash of the data */

enum list_state { LIST_IDLE, LIST_LEASED, LIST_WARM };

struct list {
    struct link link;  /* in the shard's `leased` or `warm` */
    struct list *next; /* in its bucket */
    enum list_state state;
    struct members *members; /* WARM */
    struct changes *changes; /* LEASED: since the oldest lease; NULL: none yet */
    index_lease valid_from;
    uint64_t lease_expires_ms;
    uint64_t last_read;
    struct list_write *writes;
    size_t counted_members; /* as it last went into the sums of all */
    size_t counted_bytes;
    uint64_t hash;
    size_t key_len;
    char key[];
};

struct list_write {
    struct link link;        /* in the shard's `writes` */
    struct list_write *next; /* of its list */
    struct list *list;
    index_write id;
    uint64_t expires_ms;
    effect overlapped; /* of the writes of the same member that ended since this one began */
    size_t member_len; /* 0: of any member */
    char member[REPO_NAME_MAX];
};

struct list_shard {
    _Alignas(64) pthread_mutex_t lock;
    struct link warm;   /* least recently read first */
    struct link leased; /* first to expire first */
    struct link writes; /* first to expire first */
    uint32_t leased_count;
    uint32_t write_count;
    uint64_t last_number;
    uint64_t closed_until_ms; /* a write is under way that nothing remembers: no leases */
    struct list **buckets;
};

/* A locked shard, and what will be freed once it no longer is. */
struct locked {
    struct local_lists *lists;
    struct list_shard *shard;
    struct clock clock;
    uint64_t now_ms; /* 0: not asked for */
    struct members *old_members;
    struct changes *old_changes;
};

static inline struct slice member_of(const struct list_write *w)
{
    return slice_of(w->member, w->member_len);
}

/* ---- the lock ---- */

/* Locks the shard of `key`, and drops what has expired in it. */
void index_int_lists_lock(struct locked *l, const struct local_index *index, const struct packed_key *key);
void index_int_lists_unlock(struct locked *l);
/* Asks the clock once. */
uint64_t index_int_lists_now_ms(struct locked *l);

/* ---- under the lock ---- */

struct list *index_int_list_find(const struct locked *l, const struct packed_key *key); /* may return NULL */
struct list *index_int_list_ensure(const struct locked *l, const struct packed_key *key);
/* Brings the sums of all lists up to date with this one. */
void index_int_list_recount(const struct locked *l, struct list *list);
/* Leaves it IDLE: nothing known of it, all its leases void. Follow with index_int_list_free_if_unused. */
void index_int_list_forget(struct locked *l, struct list *list);
/* An IDLE list without writes holds no memory. */
void index_int_list_free_if_unused(const struct locked *l, struct list *list);
/* Both. */
void index_int_list_drop(struct locked *l, struct list *list);
/* The list of the shard that was not read for longest. NULL: none has anything to forget. */
struct list *index_int_lists_least_recent(const struct list_shard *shard);

void index_int_write_add(const struct locked *l, struct list *list, struct list_write *w);
/* Out of its list and shard; the caller frees it. */
void index_int_write_take_out(const struct locked *l, struct list_write *w);
/* A write of `member` (empty: of any) has ended with this effect: tells those of the same member under way. */
void index_int_write_tell_overlapping(const struct list *list, struct slice member, effect did);

/* ---- under no lock ---- */

/* Forgets the least recently read lists until there is no longer too much. */
void index_int_lists_trim(struct local_lists *lists);

#endif
