/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of an upload: the last bytes, the digest, then publishing in the order bytes -> blob link -> done record. A
 * commit that was cut short anywhere can be repeated: each step finds what an earlier one left.
 */
#include "upload_parts.h"

struct upload_commit {
    struct upload_writer writer; /* first: its steps share this owner */
    struct digest wanted;
    struct digest actual;
    struct storage_part all; /* the whole blob as one part: parts of any size have no numbers to keep */
    struct pending_call complete;
    struct pending_call move;
    struct storage_object standing;
};

/* ---- a second hash: sha512 asked for at the end of a session that hashed sha256, or the reverse ---- */

struct rehash {
    struct upload_session *session;
    struct slice path; /* of the object; empty: the parts, not yet completed */
    uint64_t size;
    struct digest_state hash;
    struct digest *ret_digest;
    struct gate gate;
    struct pending_call open;
    struct pending_call acquire;
    struct storage_reader *reader;
    struct page *page;
    struct offload job;
    uint64_t hashed;
    bool is_read;
};

static enum flow_next open_bytes(struct flow *f)
{
    struct rehash *op = flow_owner(f);
    struct upload_session *s = op->session;
    if (op->open.state == PENDING_IDLE) {
        struct storage *storage = s->registry->storage;
        struct done done = registry_int_pending_done(&op->open, &op->gate, f);
        enum result r = op->path.len > 0
                            ? storage_open_read(storage, op->path, 0, UINT64_MAX, NULL, &op->reader, done)
                            : storage_multipart_open_read(storage, layout_bytes(s->arena, s->uuid), &s->state.multipart,
                                                          op->size, &op->reader, done);
        registry_int_pending_started(&op->open, r);
    }
    return registry_int_pending_await(f, &op->open);
}

static enum flow_next acquire_page(struct flow *f)
{
    struct rehash *op = flow_owner(f);
    if (op->acquire.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&op->acquire, &op->gate, f);
        registry_int_pending_started(&op->acquire, page_acquire(flow_loop(f), &op->page, done));
    }
    return registry_int_pending_await(f, &op->acquire);
}

static enum result hash_page(void *data)
{
    struct rehash *op = data;
    digest_state_update(&op->hash, op->page->ptr + op->page->start, op->page->len);
    return OK;
}

/* Reads a page, hashes it, and again. */
static enum flow_next hash_bytes(struct flow *f)
{
    struct rehash *op = flow_owner(f);
    struct registry *registry = op->session->registry;
    if (flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    op->is_read = !op->is_read;
    if (op->is_read)
        return flow_await_again(f, storage_read(registry->storage, op->reader, op->page, flow_done(f)));
    if (op->page->len == 0)
        return op->hashed == op->size ? FLOW_NEXT : flow_fail(f, CORRUPT);
    op->hashed += op->page->len;
    return flow_await_again(f, registry_int_offload(registry, &op->job, hash_page, op, flow_done(f)));
}

static enum flow_next return_digest(struct flow *f)
{
    struct rehash *op = flow_owner(f);
    digest_state_final(&op->hash, op->ret_digest);
    return FLOW_NEXT;
}

static enum flow_next settle_rehash(struct flow *f)
{
    struct rehash *op = flow_owner(f);
    if (op->open.state == PENDING_RUNNING || op->acquire.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->gate);
    return FLOW_NEXT;
}

static void dispose_rehash(void *owner)
{
    struct rehash *op = owner;
    page_release(op->page);
    if (op->reader != NULL)
        storage_close_read(op->session->registry->storage, op->reader);
}

static const struct flow_step rehash_steps[] = {
    {"open bytes", open_bytes},
    {"acquire page", acquire_page},
    {"hash bytes", hash_bytes},
    {"return digest", return_digest},
};
static const struct flow_step rehash_finally[] = {{"settle", settle_rehash}};
static const struct flow_program rehash_program = {
    .name = "upload_rehash",
    FLOW_STEPS(rehash_steps),
    FLOW_FINALLY(rehash_finally),
    .dispose = dispose_rehash,
};

enum flow_next registry_int_rehash(struct flow *f, struct upload_session *session, struct slice path, uint64_t size,
                                   enum digest_algorithm algorithm, struct digest *ret_digest)
{
    struct rehash *rehash = ARENA_NEW(session->arena, struct rehash);
    rehash->session = session;
    rehash->path = path;
    rehash->size = size;
    rehash->ret_digest = ret_digest;
    digest_state_init(&rehash->hash, algorithm);
    return flow_call(f, &rehash_program, rehash);
}

/* ---- verify ---- */

static enum flow_next find_digest(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (s->state.offset == 0 || s->state.hash.algorithm == op->wanted.algorithm) {
        if (s->state.offset == 0)
            digest_of(op->wanted.algorithm, SLICE_EMPTY, &op->actual);
        else
            digest_state_final(&s->state.hash, &op->actual);
        return FLOW_NEXT;
    }
    return registry_int_rehash(f, s, SLICE_EMPTY, s->state.offset, op->wanted.algorithm, &op->actual);
}

static enum flow_next compare_digest(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    if (digest_equal(&op->actual, &op->wanted))
        return FLOW_NEXT;
    op->writer.is_spoilt = true;
    return flow_fail(f, INVALID);
}

/* ---- publish ---- */

static bool is_empty(const struct upload_commit *op)
{
    return op->writer.session.state.offset == 0;
}

/* Bytes that a PATCH was told are safe must not get out of the session's sight: when this process dies between moving
 * them and its answer, the state has to say how far they reach, or neither a PATCH nor a repeated PUT could go on.
 * Before the state says so the bytes are synced, as its hash vouches for them. */
static bool has_more_than_was_saved(const struct upload_commit *op)
{
    return op->writer.claimed_offset > 0 && op->writer.session.state.offset > op->writer.claimed_offset;
}

static enum flow_next sync_bytes(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (!has_more_than_was_saved(op))
        return FLOW_NEXT;
    return flow_await(f, storage_multipart_sync(s->registry->storage, layout_bytes(s->arena, s->uuid),
                                                &s->state.multipart, flow_done(f)));
}

static enum flow_next save_offset(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (!has_more_than_was_saved(op))
        return FLOW_NEXT;
    return flow_await(f, registry_int_session_save(s, s->seq, STORAGE_PUT_VOLATILE, flow_done(f)));
}

/* NOT_FOUND goes on: an earlier commit may have come further than this. */
static enum flow_next complete_bytes(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (op->complete.state == PENDING_IDLE) {
        if (is_empty(op))
            return FLOW_NEXT;
        op->all = (struct storage_part){.number = 1, .offset = 0, .size = s->state.offset};
        struct done done = registry_int_pending_done(&op->complete, &op->writer.gate, f);
        registry_int_pending_started(&op->complete,
                                     storage_multipart_complete(s->registry->storage, layout_bytes(s->arena, s->uuid),
                                                                &s->state.multipart, &op->all, 1, s->state.offset,
                                                                STORAGE_PUT_VOLATILE, done));
    }
    if (op->complete.state == PENDING_OVER && op->complete.result == NOT_FOUND)
        return FLOW_NEXT;
    return registry_int_pending_await(f, &op->complete);
}

/* To the digest's path, which must be free: of two pushes of the same bytes the first stays. */
static enum flow_next move_bytes(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    struct storage *storage = s->registry->storage;
    if (op->move.state == PENDING_IDLE) {
        struct slice to = layout_blob(s->arena, &op->wanted);
        struct done done = registry_int_pending_done(&op->move, &op->writer.gate, f);
        enum result r;
        if (is_empty(op))
            r = storage_put(storage, to, SLICE_EMPTY, STORAGE_PUT_CREATE_ONLY, done);
        else if (op->complete.result == NOT_FOUND)
            r = NOT_FOUND;
        else
            r = storage_rename_create(storage, layout_bytes(s->arena, s->uuid), to, done);
        registry_int_pending_started(&op->move, r);
    }
    if (op->move.state == PENDING_OVER && (op->move.result == EXISTS || op->move.result == NOT_FOUND))
        return FLOW_NEXT;
    return registry_int_pending_await(f, &op->move);
}

static enum flow_next drop_duplicate(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (is_empty(op) || op->move.result != EXISTS)
        return FLOW_NEXT;
    return flow_await_any(f, storage_delete(s->registry->storage, layout_bytes(s->arena, s->uuid), flow_done(f)));
}

static enum flow_next stat_blob(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    if (op->move.result == OK)
        return FLOW_NEXT;
    return flow_await_any(
        f, storage_stat(s->registry->storage, layout_blob(s->arena, &op->wanted), &op->standing, flow_done(f)));
}

/* They were there already. The session's own bytes were verified, so linking is right whoever put the blob there; but
 * it must be there whole. */
static enum flow_next check_blob(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    if (op->move.result == OK)
        return FLOW_NEXT;
    enum result r = flow_result(f);
    if (r == OK && op->standing.size == op->writer.session.state.offset)
        return FLOW_NEXT;
    if (r == NOT_FOUND && op->move.result == NOT_FOUND)
        op->writer.is_spoilt = true; /* the bytes are gone: the client has to send them again */
    return flow_fail(f, r == OK ? CORRUPT : r);
}

static enum flow_next link_blob(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    return registry_int_link_digest(f, s->registry, NULL, INDEX_LAYER, (struct repo_name){s->repo}, &op->wanted,
                                    &op->wanted);
}

static enum flow_next verify_stands(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    return registry_int_verify_stands(f, op->writer.session.registry, &op->wanted);
}

/* A lost done record costs nothing but a repeated publish. */
static enum flow_next record_done(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    struct upload_session *s = &op->writer.session;
    op->writer.is_finished = true;
    s->state.kind = UPLOAD_DONE;
    s->state.digest = op->wanted;
    *op->writer.ret_offset_bytes = s->state.offset;
    registry_int_count(s->registry, f, METRIC_UPLOADS_COMPLETED);
    return flow_await_any(f, registry_int_session_save(s, s->seq, STORAGE_PUT_VOLATILE, flow_done(f)));
}

static enum flow_next settle_commit(struct flow *f)
{
    struct upload_commit *op = flow_owner(f);
    if (op->complete.state == PENDING_RUNNING || op->move.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->writer.gate);
    op->writer.is_completed = op->complete.state == PENDING_OVER && op->complete.result == OK;
    if (flow_outcome(f) != OK)
        registry_int_count(op->writer.session.registry, f, METRIC_UPLOADS_FAILED);
    return FLOW_NEXT;
}

static const struct flow_step commit_steps[] = {
    {"enter", registry_int_writer_enter},
    {"check", registry_int_writer_check},
    {"begin bytes", registry_int_writer_begin_bytes},
    {"claim", registry_int_writer_claim},
    {"receive", registry_int_writer_receive},
    {"find digest", find_digest},
    {"compare digest", compare_digest},
    {"sync bytes", sync_bytes},
    {"save offset", save_offset},
    {"complete bytes", complete_bytes},
    {"move bytes", move_bytes},
    {"drop duplicate", drop_duplicate},
    {"stat blob", stat_blob},
    {"check blob", check_blob},
    {"link blob", link_blob},
    {"verify stands", verify_stands},
    {"record done", record_done},
};
static const struct flow_step commit_finally[] = {
    {"settle", settle_commit},
    {"drain", registry_int_writer_drain},
    {"sync", registry_int_writer_sync},
    {"close", registry_int_writer_close},
    {"drop bytes", registry_int_writer_drop_bytes},
    {"prune", registry_int_writer_prune},
};
static const struct flow_program commit_program = {
    .name = "upload_commit",
    FLOW_STEPS(commit_steps),
    FLOW_FINALLY(commit_finally),
    .dispose = registry_int_writer_dispose,
};

enum flow_next upload_commit(struct flow *f, struct registry *registry, struct upload_ref upload,
                             const struct upload_body *body, const struct digest *digest, uint64_t *ret_offset_bytes)
{
    if (registry->has_fixed_parts)
        return registry_int_parts_commit(f, registry, upload, body, digest, ret_offset_bytes);
    struct upload_commit *op = ARENA_NEW(flow_arena(f), struct upload_commit);
    registry_int_writer_init(&op->writer, f, registry, upload, body, ret_offset_bytes);
    op->wanted = *digest;
    op->writer.wanted = &op->wanted;
    return flow_call(f, &commit_program, op);
}
