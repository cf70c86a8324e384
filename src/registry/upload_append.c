/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer of an upload session: takes the claim, receives a body page by page, saves what came. Three calls run side
 * by side: while some pages are hashed and written (on the pool), the next one is read from the client. Append is the
 * writer alone; commit (upload_commit.c) goes on from it. All on the flow's loop but hash_batch.
 */
#include "upload_parts.h"

/* Below this a trip to the pool costs more than the hash. */
#define HASH_INLINE_BYTES (16u * 1024u)
/* States of a session that pile up before the old ones are removed: each removal costs the store a sync. */
#define PRUNE_EVERY 32u

/* ---- claim ---- */

void registry_int_writer_init(struct upload_writer *w, struct flow *f, struct registry *registry,
                              struct upload_ref upload, const struct upload_body *body, uint64_t *ret_offset_bytes)
{
    registry_int_session_init(&w->session, registry, upload, flow_arena(f));
    if (body != NULL)
        w->body = *body;
    w->ret_offset_bytes = ret_offset_bytes;
    w->queue.last = &w->queue.first;
    w->batch.last = &w->batch.first;
}

enum flow_next registry_int_writer_enter(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    /* Whoever is not let in still loads: the answer tells the offset. */
    (void)registry_int_upload_enter(w->session.registry->active, &w->active, w->session.uuid);
    return flow_call(f, &registry_int_session_load_program, &w->session);
}

static uint64_t smaller(uint64_t max, uint64_t other)
{
    return other != 0 && other < max ? other : max; /* 0: no limit */
}

/* `part_bytes` is 0 where parts have any size: there the store has no most of them. */
static uint64_t blob_bytes_max(const struct registry *registry, uint64_t part_bytes)
{
    struct storage_capabilities can = storage_capabilities(registry->storage);
    uint64_t max = smaller(UINT64_MAX, registry->config->uploads.max_blob_bytes);
    return smaller(smaller(max, can.object_bytes_max), part_bytes * can.parts_max);
}

uint64_t upload_blob_bytes_max(const struct registry *registry)
{
    return blob_bytes_max(registry, registry->part_bytes);
}

static enum result check_body(const struct upload_writer *w)
{
    const struct upload_body *body = &w->body;
    uint64_t offset = w->session.state.offset;
    uint64_t length = body->has_range ? body->range.length : body->length;
    if (body->source == NULL)
        return OK;
    if (body->has_range && body->range.first != offset)
        return RANGE;
    if (body->has_range && body->length != UINT64_MAX && body->length != length)
        return INVALID;
    uint64_t max = blob_bytes_max(w->session.registry, w->session.state.part_bytes);
    if (offset > max || (length != UINT64_MAX && length > max - offset))
        return TOO_LARGE;
    return OK;
}

enum flow_next registry_int_writer_check(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    *w->ret_offset_bytes = s->state.offset;
    if (s->state.kind == UPLOAD_DONE) {
        bool is_repeated = w->wanted != NULL && digest_equal(w->wanted, &s->state.digest);
        return is_repeated ? FLOW_RETURN : flow_fail(f, NOT_FOUND);
    }
    if (!w->active.is_entered || (s->state.kind == UPLOAD_OPEN && !registry_int_session_is_abandoned(s)))
        return flow_fail(f, CONFLICT);
    enum result r = check_body(w);
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

/* Before the claim, which names the multipart: whoever takes over the claim knows where the bytes are. */
enum flow_next registry_int_writer_begin_bytes(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (w->begin.state == PENDING_IDLE) {
        if (w->body.source == NULL || s->state.multipart.id[0] != '\0')
            return FLOW_NEXT;
        struct slice path = layout_bytes(s->arena, s->uuid);
        struct done done = registry_int_pending_done(&w->begin, &w->gate, f);
        registry_int_pending_started(&w->begin,
                                     storage_multipart_begin(s->registry->storage, path, &s->state.multipart, done));
    }
    return registry_int_pending_await(f, &w->begin);
}

bool registry_int_writer_is_claimed(const struct upload_writer *w)
{
    return w->claim.state == PENDING_OVER && w->claim.result == OK;
}

enum flow_next registry_int_writer_claim(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (w->claim.state == PENDING_IDLE) {
        if (w->wanted != NULL && s->state.offset == 0)
            digest_state_init(&s->state.hash, w->wanted->algorithm);
        w->claimed_offset = s->state.offset;
        w->claimed_hash = s->state.hash;
        s->state.kind = UPLOAD_OPEN;
        memcpy(s->state.process, s->registry->process, sizeof(s->state.process));
        s->seq++;
        struct done done = registry_int_pending_done(&w->claim, &w->gate, f);
        registry_int_pending_started(
            &w->claim, registry_int_session_save(s, s->seq, STORAGE_PUT_CREATE_ONLY | STORAGE_PUT_VOLATILE, done));
    }
    if (w->claim.state == PENDING_OVER && w->claim.result == EXISTS)
        return flow_fail(f, CONFLICT);
    return registry_int_pending_await(f, &w->claim);
}

/* ---- receive ---- */

void registry_int_chain_append(struct page_chain *chain, struct page *page)
{
    page->next = NULL;
    *chain->last = page;
    chain->last = &page->next;
    chain->bytes += page->len;
    chain->count++;
}

void registry_int_chain_release(struct page_chain *chain)
{
    while (chain->first != NULL) {
        struct page *page = chain->first;
        chain->first = page->next;
        page_release(page);
    }
    *chain = (struct page_chain){.last = &chain->first};
}

/* What is queued goes too: `r` says that these bytes are not wanted or cannot be kept. */
void registry_int_writer_refuse(struct upload_writer *w, enum result r)
{
    if (w->failure == OK || w->failure == CANCELLED)
        w->failure = r;
    w->may_not_write = true;
    registry_int_chain_release(&w->queue);
}

/* The read has reported. */
void registry_int_writer_take_page(struct upload_writer *w)
{
    struct page *page = w->page;
    w->page = NULL;
    w->read.state = PENDING_IDLE;
    if (w->read.result != OK) {
        /* Broken framing or an oversized body is no body; of one that stopped coming, what came is kept. */
        if (w->read.result == INVALID || w->read.result == TOO_LARGE)
            registry_int_writer_refuse(w, w->read.result);
        else
            w->failure = w->read.result;
        return;
    }
    uint64_t expected = w->body.has_range ? w->body.range.length : UINT64_MAX;
    if (page == NULL) {
        w->is_ended = true;
        if (w->body.has_range && w->received < expected)
            registry_int_writer_refuse(w, INVALID);
        return;
    }
    w->received += page->len;
    if (w->may_not_write || w->received > expected) {
        page_release(page);
        registry_int_writer_refuse(w, INVALID);
    } else if (w->received > blob_bytes_max(w->session.registry, w->session.state.part_bytes) - w->claimed_offset) {
        page_release(page);
        registry_int_writer_refuse(w, TOO_LARGE);
    } else {
        registry_int_chain_append(&w->queue, page);
    }
}

static enum result hash_batch(void *data)
{
    struct upload_writer *w = data;
    for (const struct page *page = w->batch.first; page != NULL; page = page->next)
        digest_state_update(&w->batch_hash, page->ptr + page->start, page->len);
    return OK;
}

static void start_batch(struct upload_writer *w, const struct flow *f)
{
    struct upload_session *s = &w->session;
    struct slice path = layout_bytes(s->arena, s->uuid);
    w->batch = w->queue;
    w->queue = (struct page_chain){.last = &w->queue.first};
    w->batch_hash = s->state.hash;
    w->part = (struct storage_part){.number = s->state.parts + 1, .offset = s->state.offset, .size = w->batch.bytes};
    struct done done = registry_int_pending_done(&w->write, &w->gate, f);
    registry_int_pending_started(&w->write, storage_multipart_put(s->registry->storage, path, &s->state.multipart,
                                                                  w->batch.first, &w->part, done));
    done = registry_int_pending_done(&w->hash, &w->gate, f);
    enum result hashed = w->batch.bytes <= HASH_INLINE_BYTES
                             ? hash_batch(w)
                             : registry_int_offload(s->registry, &w->hash_job, hash_batch, w, done);
    registry_int_pending_started(&w->hash, hashed);
}

/* Both have reported: the offset and the hash move on together or not at all. */
static void take_batch(struct upload_writer *w)
{
    struct upload_state *state = &w->session.state;
    w->hash.state = PENDING_IDLE;
    w->write.state = PENDING_IDLE;
    if (w->write.result == OK && w->hash.result == OK) {
        state->offset += w->batch.bytes;
        state->hash = w->batch_hash;
        state->parts++;
    } else {
        w->is_spoilt = w->write.result == NOT_FOUND; /* its bytes are gone */
        registry_int_writer_refuse(w, w->write.result != OK ? w->write.result : w->hash.result);
    }
    registry_int_chain_release(&w->batch);
}

/* Takes what has reported and starts what can be started, until neither is possible. True: something is running. */
static bool turn(struct upload_writer *w, const struct flow *f, bool may_read)
{
    bool has_moved = true;
    while (has_moved) {
        has_moved = false;
        if (w->read.state == PENDING_OVER) {
            registry_int_writer_take_page(w);
            has_moved = true;
        }
        if (w->write.state == PENDING_OVER && w->hash.state == PENDING_OVER) {
            take_batch(w);
            has_moved = true;
        }
        if (w->batch.count == 0 && w->queue.count > 0 && !w->may_not_write) {
            start_batch(w, f);
            has_moved = true;
        }
        if (may_read && !w->is_ended && w->failure == OK && w->read.state == PENDING_IDLE &&
            w->queue.count + w->batch.count < UPLOAD_PAGES_MAX) {
            struct done done = registry_int_pending_done(&w->read, &w->gate, f);
            registry_int_pending_started(&w->read, byte_source_read(w->body.source, &w->page, done));
            has_moved = true;
        }
    }
    return w->read.state == PENDING_RUNNING || w->write.state == PENDING_RUNNING || w->hash.state == PENDING_RUNNING;
}

/* Again whenever one of the three calls has reported. */
enum flow_next registry_int_writer_receive(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    if (w->body.source == NULL)
        return FLOW_NEXT;
    if (turn(w, f, true))
        return registry_int_gate_wait(f, &w->gate);
    return w->failure == OK ? FLOW_NEXT : flow_fail(f, w->failure);
}

/* ---- finally ---- */

enum flow_next registry_int_writer_drain(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    if (turn(w, f, false) || w->begin.state == PENDING_RUNNING || w->claim.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->gate);
    enum result outcome = flow_outcome(f);
    if (registry_int_writer_is_claimed(w) && (outcome == INVALID || outcome == TOO_LARGE)) {
        w->session.state.offset = w->claimed_offset;
        w->session.state.hash = w->claimed_hash;
    }
    return FLOW_NEXT;
}

/* A saved state must never be ahead of the bytes: its hash would vouch for what a power failure took. */
enum flow_next registry_int_writer_sync(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (!registry_int_writer_is_claimed(w) || w->is_finished || w->is_completed || w->is_spoilt ||
        s->state.offset <= w->claimed_offset)
        return FLOW_NEXT;
    w->has_synced = true;
    return flow_await_any(f, storage_multipart_sync(s->registry->storage, layout_bytes(s->arena, s->uuid),
                                                    &s->state.multipart, flow_done(f)));
}

enum flow_next registry_int_writer_close(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (!registry_int_writer_is_claimed(w) || w->is_finished)
        return FLOW_NEXT;
    if (w->has_synced && flow_result(f) != OK) /* a failed sync is final: nobody knows which bytes are there */
        w->is_spoilt = true;
    if (w->is_spoilt)
        return flow_call(f, &registry_int_session_remove_program, s);
    w->is_closed = true;
    s->state.kind = UPLOAD_CLOSED;
    *w->ret_offset_bytes = s->state.offset;
    bool has_progress = s->state.offset != w->claimed_offset;
    return flow_await(f, registry_int_session_save(s, s->seq, has_progress ? 0 : STORAGE_PUT_VOLATILE, flow_done(f)));
}

/* The multipart that nobody can know of, as the claim that names it was not written. */
enum flow_next registry_int_writer_drop_bytes(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (w->has_synced && w->is_spoilt && flow_outcome(f) == OK)
        return flow_fail(f, IO);
    if (w->begin.state != PENDING_OVER || w->begin.result != OK || registry_int_writer_is_claimed(w))
        return FLOW_NEXT;
    return flow_await_any(f, storage_multipart_abort(s->registry->storage, layout_bytes(s->arena, s->uuid),
                                                     &s->state.multipart, flow_done(f)));
}

/* A session in many small chunks does not keep all its states. */
enum flow_next registry_int_writer_prune(struct flow *f)
{
    struct upload_writer *w = flow_owner(f);
    struct upload_session *s = &w->session;
    if (!w->is_closed || flow_outcome(f) != OK || s->seq % PRUNE_EVERY != 0)
        return FLOW_NEXT;
    struct slice *paths = ARENA_ARRAY(s->arena, struct slice, PRUNE_EVERY);
    size_t count = 0;
    for (uint32_t back = 1; back <= PRUNE_EVERY && back < s->seq; back++)
        paths[count++] = layout_upload_state(s->arena, s->uuid, s->seq - back);
    return flow_await_any(f, storage_delete_many(s->registry->storage, paths, count, flow_done(f)));
}

void registry_int_writer_dispose(void *owner)
{
    struct upload_writer *w = owner;
    registry_int_chain_release(&w->queue);
    registry_int_chain_release(&w->batch);
    registry_int_upload_leave(w->session.registry->active, &w->active);
}

static const struct flow_step append_steps[] = {
    {"enter", registry_int_writer_enter},
    {"check", registry_int_writer_check},
    {"begin bytes", registry_int_writer_begin_bytes},
    {"claim", registry_int_writer_claim},
    {"receive", registry_int_writer_receive},
};
static const struct flow_step append_finally[] = {
    {"drain", registry_int_writer_drain}, {"sync", registry_int_writer_sync},
    {"close", registry_int_writer_close}, {"drop bytes", registry_int_writer_drop_bytes},
    {"prune", registry_int_writer_prune},
};
static const struct flow_program append_program = {
    .name = "upload_append",
    FLOW_STEPS(append_steps),
    FLOW_FINALLY(append_finally),
    .dispose = registry_int_writer_dispose,
};

enum flow_next upload_append(struct flow *f, struct registry *registry, struct upload_ref upload,
                             const struct upload_body *body, uint64_t *ret_offset_bytes)
{
    if (registry->has_fixed_parts)
        return registry_int_parts_append(f, registry, upload, body, ret_offset_bytes);
    struct upload_writer *w = ARENA_NEW(flow_arena(f), struct upload_writer);
    registry_int_writer_init(w, f, registry, upload, body, ret_offset_bytes);
    return flow_call(f, &append_program, w);
}
