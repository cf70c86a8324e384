/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by what publishes and what deletes (manifest_put.c, *_delete.c, tag.c, catalog.c, referrers.c): locks on what
 * a repository names, work on many things at once, links taken away, the lists of the index.
 */
#ifndef MINATO_CONTENT_INT_H
#define MINATO_CONTENT_INT_H

#include "registry_int.h"

/* ---- locks on names of a repository (name_lock.c): any thread ----------------------------------------------------
 *
 * "Never take what is being pushed": a push holds what its manifest names and the tags it sets, shared; a deleter holds
 * what it deletes, alone, while it looks for references and until they are gone. A digest and a tag never look alike.
 *
 * A request gets all of its names at once or waits; it waits for whoever asked before it, so that pushes cannot starve
 * a delete. A nested request, of somebody who holds names already, waits for holders only, so nobody waits in a circle.
 * In this process; where the store is shared, the same is said to the other replicas in the store (store_lock.c). */

struct name_lock {
    /* in */
    struct repo_name repo;
    const struct slice *names;
    size_t count;
    bool is_exclusive;
    bool is_nested;
    /* private to the table */
    struct name_lock *earlier;
    struct name_lock *later;
    struct done done;
    struct loop_task granted;
    bool is_entered;
    bool is_held;
};

struct name_locks *registry_int_locks_new(void);
void registry_int_locks_free(struct name_locks *locks); /* nothing is held; accepts NULL */
enum result registry_int_lock(struct name_locks *locks, struct name_lock *lock, struct done done) NODISCARD;
/* Harmless on a lock that was never asked for. Not while its `done` is outstanding. */
void registry_int_unlock(struct name_locks *locks, struct name_lock *lock);

#define LOCK_WAIT_MS 20000u  /* for others, in all; then BUSY */
#define LOCK_LEASE_MS 60000u /* after the last renewal: no write of a link begins later */
#define LOCK_STALE_MS                                                                                                  \
    180000u /* older than that, by the store's clock: its holder is dead, and its writes have arrived */

/* A lock's object in the store: an intent or a mark (store_lock.c). On the flow's loop. */
struct store_lock {
    struct slice path; /* empty: there is none */
    struct slice body;
    struct slice stray;    /* a mark on another name that a push has met; empty: none */
    uint64_t wait_end_ms;  /* of the monotonic clock, as the others */
    uint64_t written_ms;   /* when the last write of it that counts began */
    uint64_t lease_end_ms; /* no write of a link begins later */
    unsigned in_doubt;     /* writes of links whose outcome is not known (yet) */
    const struct flow *flow;
    struct timer timer;
    uint64_t renewed_ms;
    struct pending_call renewal;
};

/* A lock as the owner of steps sees it: taken by a step, given back in `finally`. */
struct held_lock {
    /* in */
    struct registry *registry;
    struct name_lock lock;
    bool reaches_replicas; /* else it is of this process alone, be the store shared or not */
    /* private; zeroed */
    struct gate gate;
    struct pending_call ask;
    struct store_lock store;
};
/* BUSY: others would not let go in time. */
enum flow_next registry_int_hold(struct flow *f, struct held_lock *held);
enum flow_next registry_int_let_go(struct flow *f, struct held_lock *held);

/* ---- the same in the store (store_lock.c, lock_lease.c) ---- */

/* Parts of hold and let_go: a step, once the lock in this process is held; a step of `finally`, before it is not. */
enum flow_next registry_int_store_hold(struct flow *f, struct held_lock *held);
enum flow_next registry_int_store_let_go(struct flow *f, struct held_lock *held);
/* The object is written and nobody is in the way: from now on it is renewed. */
void registry_int_lease_begin(const struct flow *f, struct held_lock *held);
/* When an object of ours was written, by the store's clock, and when at the latest, by ours. */
struct store_time {
    uint64_t store_ms; /* 0: the store did not say */
    uint64_t own_ms;
};
/* Whether somebody else's is: by the store's clock alone, of which we know the least that it says now. */
bool registry_int_is_stale(const struct registry *registry, const struct store_time *time,
                           const struct storage_object *object);
/* Round each write that gives a name its meaning or takes it away, when the lock on it is `held` (NULL: none is
 * needed). UNAVAILABLE: the lock may have gone to somebody else, the write must not be made. */
enum result registry_int_write_begin(struct held_lock *held) NODISCARD;
/* However it ended; also after one that was not made. */
void registry_int_write_end(struct held_lock *held, enum result r);

/* ---- the same work on many things, several at a time (fan.c) ------------------------------------------------------
 *
 * Each thing gets a flow of its own: what it allocates is gone when it ends, so that a million things take the memory
 * of a few. The first failure ends the fan: nothing more begins. */
struct fan {
    /* in */
    bool (*has_next)(struct fan *fan); /* asked again when one has ended */
    /* The program of the next one, and its owner in the arena of its flow. */
    const struct flow_program *(*take_next)(struct fan *fan, struct arena *arena, void **ret_owner);
    bool is_enough; /* set by one of them: nothing more begins, no failure */
    /* private; zeroed */
    unsigned running;
    enum result failure;
    struct done waiter;
    struct loop_task breath;
    bool is_taking_breath;
};
extern const struct flow_program registry_int_fan_program; /* owner: the fan */

/* ---- fences of the index round a write to the store (fence.c) ---- */

/* Of the value `key`, or of the list `list`, which has or gets `member` (empty: it changes in a way not known). */
struct fence {
    /* in */
    struct registry *registry;
    bool is_of_list;
    struct index_key key;
    struct index_list_key list;
    struct slice member;
    /* how the write ended, before registry_int_fences_end */
    bool is_open; /* the store may still change: the fence is left to expire, and a list is forgotten, now and then */
    enum index_list_outcome outcome; /* of a list; zeroed is PRESENT */
    struct slice data;
    /* private; zeroed */
    index_write write;
    uint64_t begun_ms;
    struct gate gate;
    struct pending_call begin;
    index_write doubt;
    struct pending_call begin_doubt;
    struct pending_call end;
};
/* All at once. A step, or a part of one: to be called again until it is NEXT. */
enum flow_next registry_int_fences_begin(struct flow *f, struct fence *fences, size_t count);
/* Whether a write that begins now will have ended when the index stops waiting for it. If not, it must not be made. */
bool registry_int_fences_hold(const struct fence *fences, size_t count);
/* All at once. A step of `finally`; harmless where they were not begun. */
enum flow_next registry_int_fences_end(struct flow *f, struct fence *fences, size_t count);
/* Does the store have it or not? After these nobody can say. */
bool registry_int_is_unknown(enum result r);
struct fence registry_int_fence_of_repository(struct registry *registry, struct repo_name repo);
struct fence registry_int_fence_of_tags(struct registry *registry, struct repo_name repo, struct tag tag);

/* ---- links written (link_write.c) and taken away (unlink.c), by whoever holds their names ---- */

enum link_guard {
    LINK_REPLACES,
    LINK_CREATES, /* only if there is none */
    LINK_MATCHES, /* only if it is the one with `etag` */
    LINK_STANDS,  /* it is there already: only what comes with it is missing */
};
/* Makes `tag` name `digest`. With a guard that does not hold: CONFLICT. */
enum flow_next registry_int_link_tag(struct flow *f, struct held_lock *held, struct tag tag,
                                     const struct digest *digest, enum link_guard guard, struct slice etag);
/* Removes a layer's or revision's link inside the fences of the index. NOT_FOUND: there was none. */
enum flow_next registry_int_unlink_digest(struct flow *f, struct held_lock *held, enum index_kind kind,
                                          const struct digest *digest);
/* Removes a tag: what it has ever named first, what it names now last. NOT_FOUND: there was nothing. */
enum flow_next registry_int_unlink_tag(struct flow *f, struct held_lock *held, struct tag tag);

/* ---- lists (list.c) ---- */

/* The folders (or the objects) right below `folder` in the store, all of them: names in the flow's arena. */
struct folder_list {
    struct registry *registry;
    struct slice folder;
    bool wants_objects;
    struct slice *names; /* malloc'ed: free in dispose */
    size_t count;
    size_t capacity;
    struct storage_listing listing;
    bool is_asked;
};
/* A step, which runs until all are there; `list` is zeroed but for its first members. */
enum flow_next registry_int_list_folder(struct flow *f, struct folder_list *list);
/* A folder that only repositories have. */
bool registry_int_makes_a_repository(struct slice folder);
/* NOT_FOUND: the store has no such repository. */
enum flow_next registry_int_find_repository(struct flow *f, struct registry *registry, struct repo_name repo);

/* A list of the index, read from the store by `fill` when it is cold: by one flow at a time, the others wait for it. */
struct list_read {
    /* in */
    struct registry *registry;
    struct index_list_key key;
    struct slice after;
    size_t limit;
    /* Calls a program that puts what the store has into `filled`, in any order. */
    enum flow_next (*fill)(struct flow *f, struct list_read *read);
    /* out */
    struct index_list_page page; /* in the flow's arena */
    /* of the filler */
    struct index_member *filled; /* malloc'ed, freed by the program; names and data in the flow's arena */
    size_t filled_count;
    size_t filled_capacity;
    bool stays_cold; /* the index is not told */

    index_lease lease; /* 0: none, or used */
    struct gate gate;
    struct pending_call ask;
    struct pending_call tell;
    struct pause pause;
    uint64_t asked_ms;
    struct held_lock single;
    struct slice lock_name;
};
void registry_int_list_add(struct list_read *read, struct slice name, struct slice data);
extern const struct flow_program registry_int_list_read_program;

/* A reading of a repository's tags: `after` and `limit` are to be set, then it is the program's owner. */
struct list_read *registry_int_tags_read(struct flow *f, struct registry *registry, struct repo_name repo);
/* Deletes a tag if it names `digest`, for somebody who holds that digest. NOT_FOUND: it names something else. */
enum flow_next registry_int_tag_delete_if(struct flow *f, struct registry *registry, struct repo_name repo,
                                          struct tag tag, const struct digest *digest);

/* ---- who names a digest (references.c) ---- */

struct references_find {
    struct registry *registry;
    struct repo_name repo;
    struct digest digest;
    bool is_child;         /* a manifest: indexes alone can name it. Else a blob: images, and indexes too */
    struct digest ignored; /* an index that does not count */
    bool has_ignored;
    /* out */
    bool is_found;
    struct digest by;
};
/* With validation switched off manifests may dangle: then they keep nothing. */
enum flow_next registry_int_find_references(struct flow *f, struct references_find *find);

/* What manifest_find says of one that nobody can read: it is not there, or is none. Any other failure is the store's,
 * and no answer. */
bool registry_int_is_unreadable(enum result r);

/* ---- referrers (referrers.c) ---- */

/* A subject as its fallback tag spells it (distribution-spec, "Referrers Tag Schema"). */
struct slice registry_int_subject_tag(const struct digest *subject, struct arena *arena);
/* The fence of the referrers that a change of this tag changes; false if it carries none: it is neither a fallback tag
 * nor one of cosign's. */
bool registry_int_fence_of_referrers_tag(struct registry *registry, struct repo_name repo, struct tag tag,
                                         struct fence *ret_fence);
/* The fence of one manifest's entry in the list of its subject's referrers. */
struct fence registry_int_fence_of_referrer(struct registry *registry, struct repo_name repo,
                                            const struct digest *subject, const struct digest *referrer,
                                            struct arena *arena);
/* What the index's list keeps of one. */
struct slice registry_int_referrer_data(struct slice artifact_type, struct slice descriptor, struct arena *arena);

#endif
