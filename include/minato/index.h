/* SPDX-License-Identifier: Apache-2.0
 *
 * The look-up in front of the store: may this repository serve this digest, which digest does a tag name, and the
 * lists of tags, repositories and referrers. Readers fill under leases and writers announce themselves (DESIGN.md, "The
 * index and its coherence"), so that an answer is never older than the last acknowledged write. Calls follow async.h;
 * the local index completes every call at once. What a call is given by pointer or slice lives until it has reported.
 */
#ifndef MINATO_INDEX_H
#define MINATO_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/arena.h"
#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/oci.h"
#include "minato/telemetry.h"

struct index;

/* ---- values: readers fill, writers only delete ---- */

enum index_kind {
    INDEX_LAYER,    /* (repository, digest): a blob this repository may serve; value: what the link names, and size */
    INDEX_REVISION, /* (repository, digest): a manifest of this repository */
    INDEX_TAG,      /* (repository, tag): the digest it names */
};

struct index_key {
    enum index_kind kind;
    struct repo_name repo;
    struct slice name; /* digest text or tag */
};

struct index_value {
    struct digest digest;       /* the target */
    uint64_t size;              /* of the blob; 0 where it is not known */
    char place[UUID_TEXT_SIZE]; /* of the blob: its bytes are at minato/bytes/<this>; empty: at their digest's path */
};

/* A write that never ends keeps readers from filling for this long. Longer than the store's total deadline. */
#define INDEX_WRITE_MAX_MS 60000u

/* The right to fill after a miss; 0: somebody is writing, do not fill. */
typedef uint64_t index_lease;
/* A write under way. */
typedef uint64_t index_write;

/* In memory, for one process; any thread. At most `entries_max` values, the least used go first. `metrics` may be NULL.
 */
struct index *index_new_local(size_t entries_max, struct clock clock, struct metrics *metrics);
/* Remembers nothing: for a store that other processes write to as well, while no index is shared. */
struct index *index_new_none(void);

#define INDEX_STORE_NAME_MAX 32u
struct index_redis_settings {
    struct slice url; /* redis_client_settings has its form */
    uint64_t ttl_ms;  /* how long anything is remembered at most */
    struct slice
        store; /* names the store among all that may share the server, at most INDEX_STORE_NAME_MAX characters */
    struct pool *pool;
    struct clock clock;
    struct metrics *metrics; /* may be NULL */
    struct log *log;         /* the same; outlives the index */
};
/* In Redis, shared by all replicas of one store: src/index/README.md. INVALID: the URL is none, and a sentence for the
 * operator is in `ret_why`. */
enum result index_new_redis(const struct index_redis_settings *settings, struct strbuf *ret_why,
                            struct index **ret_index) NODISCARD;
/* For each loop that will use it: on its thread, or before it runs. */
void index_start(struct index *index, struct loop *loop);
/* Whether reads on this loop are answered now. On the loop. */
bool index_is_reachable(struct index *index, struct loop *loop);
/* No loop runs any more; they still exist. Accepts NULL. */
void index_free(struct index *index);

/* OK: *ret_value. NOT_FOUND: not known here: read the store, then index_fill with *ret_lease (absence is not filled);
 * *ret_lease is written on NOT_FOUND only. UNAVAILABLE: read the store, do not fill. */
enum result index_read(struct index *index, struct index_key key, struct index_value *ret_value, index_lease *ret_lease,
                       struct done done) NODISCARD;

/* What index_read says. */
struct index_found {
    enum result result;
    struct index_value value;
    index_lease lease;
};
/* Reads a TAG and, if it is known, the REVISION that it names, at once. OK: both have been read, *ret_revision only if
 * *ret_tag is OK. UNAVAILABLE: neither. */
enum result index_read_tag(struct index *index, struct index_key tag, struct index_found *ret_tag,
                           struct index_found *ret_revision, struct done done) NODISCARD;
/* Remembers what the store said, unless the lease is 0 or a writer began since it was given. OK either way: a fill that
 * is refused is no failure. */
enum result index_fill(struct index *index, struct index_key key, const struct index_value *value, index_lease lease,
                       struct done done) NODISCARD;
/* Before a write to the store: forgets the value and keeps readers from filling until index_end, or for
 * INDEX_WRITE_MAX_MS. Not OK: the write must not be made. */
enum result index_begin(struct index *index, struct index_key key, index_write *ret_write, struct done done) NODISCARD;
/* After the store's outcome is known, before the client is told. Not called if the outcome is unknown: the write
 * expires by itself. Late, after the expiry, it still forgets what was filled meanwhile. */
enum result index_end(struct index *index, struct index_key key, index_write write, struct done done) NODISCARD;

/* ---- lists: readers fill, writers correct ---- */

enum index_list_kind { INDEX_LIST_TAGS, INDEX_LIST_REPOSITORIES, INDEX_LIST_REFERRERS };

struct index_list_key {
    enum index_list_kind kind;
    struct repo_name repo; /* empty of REPOSITORIES */
    struct slice name;     /* of REFERRERS: the subject as its fallback tag spells it; else empty */
};

struct index_member {
    struct slice name; /* 1 to REPO_NAME_MAX bytes */
    struct slice data; /* of REFERRERS: the descriptor's JSON; else empty */
};

struct index_list_page {
    struct index_member *members;
    size_t count;
    bool has_more; /* members follow the last of these */
};

/* What the store holds once a write has ended. */
enum index_list_outcome {
    INDEX_MEMBER_PRESENT,
    INDEX_MEMBER_ABSENT,
    INDEX_MEMBER_UNKNOWN, /* one or the other, but nothing of this write will still reach the store */
};

/* OK: at most `limit` members after `after` (empty: from the first), in byte order, copied into `arena`; less than
 * there are if they are large. A write under way is not yet in it. NOT_FOUND: the list is not known: read the store
 * whole, after this call has answered, then index_list_fill with *ret_lease, which is written on NOT_FOUND only (0: do
 * not fill); a NULL ret_lease asks for none. BUSY: another replica is reading it from the store: ask again, or read it
 * too and do not fill. UNAVAILABLE: read the store, do not fill. */
enum result index_list_read(struct index *index, struct index_list_key key, struct slice after, size_t limit,
                            struct arena *arena, struct index_list_page *ret_page, index_lease *ret_lease,
                            struct done done) NODISCARD;
/* Installs what the store listed, in byte order and each member once, corrected by the writes that ended since the
 * lease was given; of a member whose write has not ended it keeps what was listed. OK also when it is refused: the
 * lease is over (INDEX_WRITE_MAX_MS at most), too much was written meanwhile, or the list is larger than all lists may
 * be. */
enum result index_list_fill(struct index *index, struct index_list_key key, const struct index_member *members,
                            size_t count, index_lease lease, struct done done) NODISCARD;
/* Instead of filling: another may. */
enum result index_list_give_back(struct index *index, struct index_list_key key, index_lease lease,
                                 struct done done) NODISCARD;
/* Before a write to the store that adds, changes or removes `member`. An empty member: a write that changes the list in
 * a way not known; its end forgets the list. Not OK: the write must not be made. */
enum result index_list_begin(struct index *index, struct index_list_key key, struct slice member,
                             index_write *ret_write, struct done done) NODISCARD;
/* After the store's outcome is known, before the client is told; `member` as index_list_begin got it. `data` only with
 * PRESENT. UNKNOWN forgets the list, and so do writes of one member that overlapped and do not agree: which came last
 * is not known. Not called when a write may still reach the store: past its deadline (INDEX_WRITE_MAX_MS) the list is
 * forgotten before it is next read. Late, after the deadline, it forgets the list again. */
enum result index_list_end(struct index *index, struct index_list_key key, struct slice member, index_write write,
                           enum index_list_outcome outcome, struct slice data, struct done done) NODISCARD;

#endif
