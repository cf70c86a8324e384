/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared inside src/registry: the registry itself, calls that run while their flow does something else, links looked up
 * through the index, links written inside the index's fences, and the cache of manifests.
 */
#ifndef MINATO_REGISTRY_INT_H
#define MINATO_REGISTRY_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/registry.h"

struct held_lock;
struct manifest_cache;
struct name_locks;
struct upload_table;

#define REGISTRY_PROCESS_SIZE 33 /* 32 hexadecimal characters and a NUL */
#define REGISTRY_KEY_BYTES 32

struct registry {
    const struct config *config;
    struct storage *storage;
    struct index *index;
    struct pool *pool;
    struct clock clock;
    struct metrics *metrics; /* may be NULL (tests) */
    struct log *log;         /* the same */
    struct manifest_cache *manifests;
    struct name_locks *locks;
    struct upload_table *active;         /* sessions that a flow of this process is working on */
    bool is_shared;                      /* a store that other replicas work on too */
    bool has_fixed_parts;                /* a store that cannot rename or wants parts of one size (README.md) */
    uint64_t part_bytes;                 /* of new sessions; 0 without has_fixed_parts */
    char process[REGISTRY_PROCESS_SIZE]; /* random, of this process: says whose an open claim is */
    uint8_t token_key[REGISTRY_KEY_BYTES];
    uint64_t lock_pause_ms; /* the first between two looks at a lock of another replica (store_lock.c) */
    uint64_t lock_renew_ms; /* between two renewals of one of our own */
    struct registry_background background;
};

/* Counts on the flow's loop. */
void registry_int_count(const struct registry *registry, const struct flow *f, enum metric_counter counter);

/* ---- calls that run by themselves (pending.c)
 * ------------------------------------------------------------------------
 *
 * A step awaits one call. Where a flow has several under way (read the next page while the last is written), or must
 * know in `finally` how a call ended although the flow was cancelled meanwhile, the call reports to a pending_call, and
 * the flow waits at a gate for whichever reports first. Whoever began a call sees it to its end in `finally`. */

struct gate {
    struct done waiter; /* fn is NULL while nobody waits */
};

enum pending_state { PENDING_IDLE, PENDING_RUNNING, PENDING_OVER };

struct pending_call {
    struct gate *gate;
    enum pending_state state;
    enum result result; /* when OVER */
};

/* `pending_started(call, some_call(.., pending_done(call, gate, f)))` */
struct done registry_int_pending_done(struct pending_call *call, struct gate *gate, const struct flow *f);
void registry_int_pending_started(struct pending_call *call, enum result r);
/* Runs the step again when a call of the gate has reported. At least one must be running. */
enum flow_next registry_int_gate_wait(struct flow *f, struct gate *gate);
/* For a step that consists of one tracked call, already started: waits for it, then NEXT or FAIL. */
enum flow_next registry_int_pending_await(struct flow *f, struct pending_call *call);

/* Reports OK after a while; the delay is a constant (async.h, timer_start). */
struct pause {
    struct timer timer;
    struct done done;
};
enum result registry_int_pause(struct pause *pause, uint64_t pause_ms, struct done done) NODISCARD;

/* Work for a pool thread, with a result. */
struct offload {
    struct pool_job job;
    enum result (*work)(void *data);
    void *data;
    enum result result;
    struct done done;
};
enum result registry_int_offload(struct registry *registry, struct offload *offload, enum result (*work)(void *data),
                                 void *data, struct done done) NODISCARD;

/* Where bytes stand (blob_place.c). */
struct blob_place {
    struct slice path; /* in the flow's arena */
    uint64_t size;
};

/* ---- links (link.c) ---- */

#define LINK_BYTES_MAX 1024

/* NOT_FOUND for an empty or broken link, which counts as absent. */
enum result registry_int_link_parse(struct slice bytes, struct digest *ret_target) NODISCARD;

/* What a link names: from the index, else from the store. In the flow's arena; result in `value`. */
struct lookup {
    struct registry *registry;
    struct index_key key;
    struct digest digest; /* of LAYER and REVISION */
    struct index_value value;

    char name[DIGEST_TEXT_MAX]; /* key.name of LAYER and REVISION */
    index_lease lease;
    struct gate gate;
    struct pending_call ask;
    struct slice path; /* of the link being read */
    struct slice bytes;
    struct blob_place place;
    unsigned links_tried;
};

/* Both leave `l` ready to be asked, also one that was used before. */
void registry_int_lookup_digest(struct lookup *l, struct registry *registry, enum index_kind kind,
                                struct repo_name repo, const struct digest *digest);
void registry_int_lookup_tag(struct lookup *l, struct registry *registry, struct repo_name repo, struct tag tag);
/* Asks the index without a program. True: it is in l->value. Otherwise the program must be called, which goes on from
 * here: a question may be under way. */
bool registry_int_lookup_is_known(struct lookup *l, struct flow *f);
/* What the index said when it was asked for more than this: the lookup goes on from there. */
void registry_int_lookup_take(struct lookup *l, const struct index_found *found);
/* In `finally` of whoever may not have come to calling the program: sees the question to its end. */
enum flow_next registry_int_lookup_settle(struct flow *f, struct lookup *l);
/* NOT_FOUND: there is no such link, or (LAYER) its bytes are not there. */
extern const struct flow_program registry_int_lookup_program;

/* Writes the link that lets `repo` serve `digest` as a LAYER or REVISION; it names `target`, which is the same but
 * where an older registry linked another algorithm's digest. `held` (content_int.h) is the lock on its name: a
 * REVISION's; a LAYER's link is written without one, NULL. */
enum flow_next registry_int_link_digest(struct flow *f, struct registry *registry, struct held_lock *held,
                                        enum index_kind kind, struct repo_name repo, const struct digest *digest,
                                        const struct digest *target);
/* Publish, then verify: the bytes that a link just written names must stand. UNAVAILABLE if they went meanwhile. */
enum flow_next registry_int_verify_stands(struct flow *f, struct registry *registry, const struct digest *digest);

/* ---- where bytes are (blob_place.c) ---- */

/* Where the bytes of a digest stand, asked of the store. NOT_FOUND: nowhere. */
enum flow_next registry_int_blob_place(struct flow *f, struct registry *registry, const struct digest *digest,
                                       struct blob_place *ret_place);
/* A place as the index keeps it, and its path: empty where the bytes are at their digest's. */
void registry_int_place_keep(const struct blob_place *place, char ret_kept[UUID_TEXT_SIZE]);
struct slice registry_int_place_path(const char kept[UUID_TEXT_SIZE], const struct digest *digest, struct arena *arena);
/* What the location beside a blob's own path says, whether that is there or not. NOT_FOUND: there is none. */
enum flow_next registry_int_location_read(struct flow *f, struct registry *registry, const struct digest *digest,
                                          struct blob_place *ret_place);
struct slice registry_int_location_format(const struct blob_place *place, const struct digest *digest,
                                          struct arena *arena);
/* CORRUPT if it is not what format wrote for this digest. ret_place->path borrows from `bytes`. */
enum result registry_int_location_parse(struct slice bytes, const struct digest *digest,
                                        struct blob_place *ret_place) NODISCARD;

/* ---- at start-up (stored_random.c) ---- */

/* `length` (even, at most 128) hexadecimal characters from the object at `path`, made if there is none. Runs `loop`. */
enum result registry_int_stored_random(struct storage *storage, struct loop *loop, struct slice path, char *ret_text,
                                       size_t length) NODISCARD;

/* ---- cache of manifests (manifest_cache.c): any thread ---- */

/* Outside this size a manifest's hash and JSON are work for the pool. */
#define MANIFEST_INLINE_BYTES (64u * 1024u)

struct manifest_cache *registry_int_cache_new(size_t bytes_max);
void registry_int_cache_free(struct manifest_cache *cache);
/* A buffer with one reference, which *ret_view takes; kept in the cache unless it is large. Copies. */
void registry_int_cache_add(struct manifest_cache *cache, const struct digest *digest, struct slice media_type,
                            struct slice bytes, struct manifest_view *ret_view);
bool registry_int_cache_find(struct manifest_cache *cache, const struct digest *digest, struct manifest_view *ret_view);

#endif
