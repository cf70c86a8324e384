/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the upload_*.c: a session's saved state, who is working on it, and the claim that makes its writer the only
 * one. The protocol is told in README.md, the format of a state in upload_state.c.
 */
#ifndef MINATO_UPLOAD_INT_H
#define MINATO_UPLOAD_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/clock.h"
#include "registry_int.h"

/* ---- state (upload_state.c): pure ---- */

/* The largest names 10,000 parts. */
#define UPLOAD_STATE_BYTES_MAX (1024u * 1024u)

enum upload_kind {
    UPLOAD_OPEN,   /* claimed: a writer is at it, or was when its process died */
    UPLOAD_CLOSED, /* at rest: the next writer goes on from here */
    UPLOAD_DONE,   /* committed: kept for a while, so that a repeated final PUT is answered */
};

/* A part that the store acknowledged: its size is the session's part size, its place in the list its place. */
struct upload_part_name {
    uint32_t number;
    char etag[STORAGE_ETAG_MAX + 1];
};

struct upload_state {
    enum upload_kind kind;
    struct slice repo;
    char process[REGISTRY_PROCESS_SIZE]; /* OPEN: whose claim */
    uint64_t activity_ms;                /* when this was written */
    uint64_t offset;                     /* bytes that are durable and hashed */
    struct digest_state hash;
    uint32_t parts;                     /* put so far: the next one's number is one more */
    struct storage_multipart multipart; /* where they are; empty id: no body has come yet */
    struct digest digest;               /* if has_digest: what it was, or is to be, published as */
    bool has_digest;                    /* always when DONE */

    /* Of sessions on a store that cannot rename; part_bytes is 0 elsewhere. */
    uint64_t part_bytes;            /* size of all parts but the last */
    uint64_t lease_ms;              /* OPEN: nobody else may write before */
    bool is_direct;                 /* the multipart is at the path of `digest`, not at minato/bytes/<uuid> */
    uint64_t tail_bytes;            /* beyond the parts, in an object of its own: */
    uint32_t tail_seq;              /* the state that it was written with */
    struct upload_part_name *names; /* of the parts, `name_count`; room for `name_room` */
    size_t name_count;
    size_t name_room;
};

/* Where its multipart is. */
struct slice registry_int_upload_target(const struct upload_state *state, struct slice uuid, struct arena *arena);
void registry_int_upload_add_name(struct upload_state *state, const struct storage_part *part, struct arena *arena);

struct slice registry_int_upload_state_format(const struct upload_state *state, struct arena *arena);
/* CORRUPT if these are not bytes that format wrote. ret->repo borrows from `bytes`; names are in `arena`. */
enum result registry_int_upload_state_parse(struct slice bytes, struct arena *arena,
                                            struct upload_state *ret) NODISCARD;

/* ---- who is at work (upload_active.c): any thread ---- */

/* Embedded in the worker's memory from enter to leave. */
struct upload_active {
    char uuid[UUID_TEXT_SIZE];
    bool is_entered;
    struct upload_active *next;
};

struct upload_table *registry_int_uploads_new(void);
void registry_int_uploads_free(struct upload_table *table);
/* False if some flow of this process is at work on this session. */
bool registry_int_upload_enter(struct upload_table *table, struct upload_active *entry, struct slice uuid);
void registry_int_upload_leave(struct upload_table *table, struct upload_active *entry); /* harmless if not entered */

/* ---- session (upload_session.c) ---- */

/* Of a claim on a shared store. */
#define UPLOAD_LEASE_MS 60000u

struct upload_session {
    struct registry *registry;
    struct arena *arena;
    struct slice repo; /* empty: whosever it is (purge) */
    struct slice uuid;
    uint32_t seq; /* of the newest state: the next claim's is one more */
    struct upload_state state;

    unsigned looks;
    unsigned attempts;
    bool was_seen;
    uint32_t read_seq;   /* of the state read: below `seq` when a power failure has torn a volatile one */
    uint64_t unreadable; /* states from this number on cannot be read; 0: none */
    struct slice after;  /* of the listing */
    struct storage_listing listing;
    struct slice bytes;
    struct storage_object object;
    struct blob_place named; /* by the location, when removing */
};

/* INVALID uuids are NOT_FOUND. `arena` is the flow's, as a rule. */
void registry_int_session_init(struct upload_session *s, struct registry *registry, struct upload_ref upload,
                               struct arena *arena);
/* Finds the newest state. NOT_FOUND: none, of another repository, or expired. Owner: struct upload_session. */
extern const struct flow_program registry_int_session_load_program;
/* Removes the bytes, then the states, the newest last. Owner: struct upload_session, loaded, and claimed by the caller
 * or, where no replica can be at it, known to be nobody's. */
extern const struct flow_program registry_int_session_remove_program;
/* The same for one whom nobody has claimed: claims it first where the store is shared. CONFLICT: another was faster. */
extern const struct flow_program registry_int_session_take_and_remove_program;
bool registry_int_session_is_expired(const struct upload_session *s);
/* Does the open state belong to a writer that is no more? */
bool registry_int_session_is_abandoned(const struct upload_session *s);
/* Writes `state` as object `seq`, stamped with the time. */
enum result registry_int_session_save(struct upload_session *s, uint32_t seq, unsigned flags,
                                      struct done done) NODISCARD;

/* ---- writer (upload_append.c) ---- */

/* A page being filled, pages waiting, pages being hashed and written: at most this many together. */
#define UPLOAD_PAGES_MAX 4

struct page_chain {
    struct page *first;
    struct page **last;
    size_t bytes;
    unsigned count;
};

/* Takes the claim, receives a body, saves what came. The base of append and of commit. */
struct upload_writer {
    struct upload_session session;
    struct upload_active active;
    struct upload_body body;
    uint64_t *ret_offset_bytes;
    const struct digest *wanted; /* of commit, else NULL */

    bool is_completed; /* the multipart is an object now: there is nothing to sync */
    bool is_spoilt;    /* the session cannot be used any more: remove it */
    bool is_finished;  /* published: nothing to close */
    bool is_closed;    /* the state after this writer's is saved */
    bool has_synced;
    uint64_t claimed_offset;
    struct digest_state claimed_hash;
    uint64_t received;

    struct gate gate;
    struct pending_call begin;
    struct pending_call claim;
    struct pending_call read;
    struct pending_call hash;
    struct pending_call write;
    struct page *page; /* what `read` brings */
    bool is_ended;
    enum result failure; /* of reading or writing; what was queued before a failed read is still written */
    bool may_not_write;  /* a write failed, or the body is refused: drop what is queued */
    struct page_chain queue;
    struct page_chain batch; /* being hashed and written */
    struct digest_state batch_hash;
    struct offload hash_job;
    struct storage_part part;
};

void registry_int_chain_append(struct page_chain *chain, struct page *page);
void registry_int_chain_release(struct page_chain *chain);
/* Takes what `read` brought into the queue, or ends the body. */
void registry_int_writer_take_page(struct upload_writer *w);
/* What is queued goes: `r` says that these bytes are not wanted or cannot be kept. */
void registry_int_writer_refuse(struct upload_writer *w, enum result r);
bool registry_int_writer_is_claimed(const struct upload_writer *w);
void registry_int_writer_init(struct upload_writer *w, struct flow *f, struct registry *registry,
                              struct upload_ref upload, const struct upload_body *body, uint64_t *ret_offset_bytes);
/* Steps, in this order; their owner begins with a struct upload_writer. */
enum flow_next registry_int_writer_enter(struct flow *f);
enum flow_next registry_int_writer_check(struct flow *f);
enum flow_next registry_int_writer_begin_bytes(struct flow *f);
enum flow_next registry_int_writer_claim(struct flow *f);
enum flow_next registry_int_writer_receive(struct flow *f);
/* `finally` steps. */
enum flow_next registry_int_writer_drain(struct flow *f);
enum flow_next registry_int_writer_sync(struct flow *f);
enum flow_next registry_int_writer_close(struct flow *f);
enum flow_next registry_int_writer_drop_bytes(struct flow *f);
enum flow_next registry_int_writer_prune(struct flow *f);
void registry_int_writer_dispose(void *owner);

/* ---- a second hash (upload_commit.c) ---- */

/* Of the object at `path`, or with an empty path of the session's parts; CORRUPT if there are not `size` bytes. */
enum flow_next registry_int_rehash(struct flow *f, struct upload_session *session, struct slice path, uint64_t size,
                                   enum digest_algorithm algorithm, struct digest *ret_digest);

/* ---- token (upload_token.c) ---- */

/* Derives or loads the key that signs tokens. Start-up only, may block. */
enum result registry_int_token_key(struct registry *registry) NODISCARD;

#endif
