/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer of an upload session on a store that cannot rename, whose parts have one size and which other replicas
 * share: bytes are gathered into pieces, each piece goes as one part, several at a time; a lease says until when the
 * claim is ours. README.md tells the protocol. Shared by upload_parts.c, upload_lease.c, upload_tail.c and
 * upload_publish.c.
 */
#ifndef MINATO_UPLOAD_PARTS_H
#define MINATO_UPLOAD_PARTS_H

#include "upload_int.h"

/* A lease is renewed this often while a writer waits, and where parts come fast with every so many of them. */
#define UPLOAD_RENEW_MS 15000u
#define UPLOAD_SAVE_EVERY 32u
/* Part numbers that a dead writer may have used since it last saved: more than SAVE_EVERY and what may be unsaved. */
#define UPLOAD_NUMBERS_SKIPPED 64u
#define UPLOAD_NUMBERS_UNSAVED_MAX 56u

/* The bytes of one part: gathered, then on their way. */
struct upload_piece {
    struct page_chain pages; /* all but the last are full, and begin at 0 */
    struct page *last_page;
    size_t reserved;       /* pages of the loop's budget */
    uint64_t hashed_bytes; /* of its beginning: the session's hash knows them already (a tail) */
    bool is_sealed;        /* full, and more follows: it may go */
    struct digest_state hash_after;
    struct offload hash_job;
    struct pending_call hash;
    struct pending_call write;
    struct storage_part part;
};

/* A step's owner begins with it. */
struct upload_parts {
    struct upload_writer writer; /* first: its steps share this owner */
    struct upload_piece *pieces; /* a ring of `piece_max`, the oldest at `first` */
    unsigned piece_max;
    unsigned first;
    unsigned count;
    struct pending_call reserve;
    bool asks_between;  /* the reservation under way is that for what is read between two pieces */
    bool holds_between; /* it was granted */
    size_t asked;       /* pages */
    size_t granted;     /* for the next piece */
    bool has_gap;       /* a part failed: what comes behind it has no place */

    struct pending_call place; /* beginning the multipart */
    bool is_place_taken;
    bool is_placed; /* the store knows of it by a saved state: parts may go */

    struct pending_call save;
    struct arena save_arena; /* of the save under way */
    bool is_save_due;
    bool has_saved_place;  /* the save under way, or the last, names the multipart */
    uint64_t lease_end_ms; /* by the monotonic clock */
    uint64_t next_lease_end_ms;
    uint32_t saved_number;
    uint32_t saving_number;
    struct timer renew;
    struct flow *flow;

    struct upload_state claimed; /* to roll back to */
    bool is_hashed_anew; /* by another algorithm than the session's: unless it ends now, nothing of it is kept */
    struct pending_call tail_open;
    struct pending_call tail_acquire;
    struct storage_reader *tail_reader;
    struct page *tail_page;
    bool is_tail_read;
    bool has_put_tail;
    bool is_tail_lost;
    bool is_done_saved; /* the done record: nobody will ask for the tail again */
};

/* ---- upload_parts.c: gathering and sending ---- */

void registry_int_parts_init(struct upload_parts *w, struct flow *f, struct registry *registry,
                             struct upload_ref upload, const struct upload_body *body, uint64_t *ret_offset_bytes);
enum flow_next registry_int_parts_receive(struct flow *f);
/* For a step that waits before it: renews the lease when that is due. */
void registry_int_parts_keep_lease(struct upload_parts *w, const struct flow *f);
enum flow_next registry_int_parts_drain(struct flow *f); /* finally */
void registry_int_parts_dispose(void *owner);
/* What is left when the body is over and fills no part, or fills just one; NULL: nothing. */
struct upload_piece *registry_int_parts_rest(struct upload_parts *w);
/* The hash of all that came; its rest is hashed. */
const struct digest_state *registry_int_parts_hash(struct upload_parts *w);
/* Step: hashes the rest, if that has not been done. */
enum flow_next registry_int_parts_hash_rest(struct flow *f);
/* The page's bytes at the end of the piece; what has no room comes back, NULL if all had. */
struct page *registry_int_piece_pour(struct upload_piece *piece, struct page *page, uint64_t part_bytes);
/* Begins a piece with what `granted` allows. */
struct upload_piece *registry_int_parts_open_piece(struct upload_parts *w);
/* Asks for room for a piece of the bytes that are still expected, `tail_bytes` apart; before the first of several for
 * room for what is read between them. */
void registry_int_parts_reserve(struct upload_parts *w, struct flow *f, uint64_t tail_bytes);
/* What was asked for is granted. */
void registry_int_parts_take_room(struct upload_parts *w);

/* ---- upload_lease.c: the claim and what it saves ---- */

enum flow_next registry_int_parts_claim(struct flow *f);
/* Step after it: a multipart without a part, to the path of a digest that may not be wanted any more, is forgotten. */
enum flow_next registry_int_parts_forget_empty(struct flow *f);
bool registry_int_parts_has_lease(const struct upload_parts *w);
/* Writes the state as it is, open, with a lease from now. One at a time. */
void registry_int_parts_start_save(struct upload_parts *w, const struct flow *f);
/* It has reported: the lease is longer if that was in time. UNAVAILABLE: it was not. */
enum result registry_int_parts_take_save(struct upload_parts *w) NODISCARD;
/* `finally` steps, in this order, after drain. */
enum flow_next registry_int_parts_close(struct flow *f);
enum flow_next registry_int_parts_after_close(struct flow *f);
enum flow_next registry_int_parts_drop_tail(struct flow *f);

/* ---- upload_tail.c ---- */

enum flow_next registry_int_parts_reserve_tail(struct flow *f);
enum flow_next registry_int_parts_open_tail(struct flow *f);
enum flow_next registry_int_parts_read_tail(struct flow *f);
enum flow_next registry_int_parts_put_tail(struct flow *f); /* finally */

/* ---- the two roads ---- */

enum flow_next registry_int_parts_append(struct flow *f, struct registry *registry, struct upload_ref upload,
                                         const struct upload_body *body, uint64_t *ret_offset_bytes);
enum flow_next registry_int_parts_commit(struct flow *f, struct registry *registry, struct upload_ref upload,
                                         const struct upload_body *body, const struct digest *digest,
                                         uint64_t *ret_offset_bytes);

#endif
