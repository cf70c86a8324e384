/* SPDX-License-Identifier: Apache-2.0
 *
 * The look-up in front of the store: may this repository serve this digest, which digest does a tag name. Readers fill,
 * writers only delete, under leases (DESIGN.md, "The index and its coherence"), so that an answer is never older than
 * the last acknowledged write. Calls follow async.h; the local index completes every call at once.
 */
#ifndef MINATO_INDEX_H
#define MINATO_INDEX_H

#include <stdint.h>

#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/oci.h"
#include "minato/telemetry.h"

struct index;

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
    struct digest digest; /* the target */
    uint64_t size;        /* of the blob; 0 where it is not known */
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
void index_free(struct index *index); /* accepts NULL */

/* OK: *ret_value. NOT_FOUND: not known here: read the store, then index_fill with *ret_lease (absence is not filled);
 * *ret_lease is written on NOT_FOUND only. UNAVAILABLE: read the store, do not fill. */
enum result index_read(struct index *index, struct index_key key, struct index_value *ret_value, index_lease *ret_lease,
                       struct done done) NODISCARD;
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

#endif
