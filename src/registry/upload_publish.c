/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of an upload on a store that cannot rename. What fits into one part is put at its digest's path; what does
 * not is completed there, if the digest was known when the first part went, else at minato/bytes/<uuid>, and a
 * `location` says so. Nothing has its digest's path, or a location, before its digest was compared. When the outcome
 * of a call is not known, the store is asked, and an object that is there is read before it is believed. A commit cut
 * short anywhere can be repeated. All on the flow's loop.
 */
#include "content_int.h"
#include "upload_parts.h"

struct upload_publish {
    struct upload_parts parts; /* first: its steps share this owner */
    struct digest wanted;
    bool is_deferred; /* the digest is compared when the bytes can be read: another algorithm's was hashed */
    bool is_standing; /* the blob was there already */
    struct blob_place place;
    struct pending_call put;
    struct pending_call intent;
    struct storage_part last;
    struct pending_call put_last;
    struct storage_part *list;
    size_t list_count;
    struct pending_call complete;
    unsigned completes;
    struct storage_object object;
    bool is_doubtful; /* completed, but not by an answer that we got */
    struct digest actual;
    struct pending_call locate;
};

static struct upload_session *session_of(struct upload_publish *op)
{
    return &op->parts.writer.session;
}

static bool has_multipart(struct upload_publish *op)
{
    return session_of(op)->state.multipart.id[0] != '\0';
}

static uint64_t total_bytes(struct upload_publish *op)
{
    const struct upload_state *state = &session_of(op)->state;
    const struct upload_piece *rest = registry_int_parts_rest(&op->parts);
    return state->name_count * state->part_bytes + (rest != NULL ? rest->pages.bytes : 0);
}

/* ---- verify ---- */

/* All of it is in memory: it can be hashed once more, by what is asked for. */
static enum flow_next choose_hash(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_state *state = &session_of(op)->state;
    struct upload_piece *rest = registry_int_parts_rest(&op->parts);
    if (!has_multipart(op) && state->hash.algorithm != op->wanted.algorithm) {
        digest_state_init(&state->hash, op->wanted.algorithm);
        op->parts.is_hashed_anew = true;
        if (rest != NULL)
            rest->hashed_bytes = 0;
    }
    return FLOW_NEXT;
}

static enum flow_next refuse_digest(struct flow *f, struct upload_publish *op)
{
    op->parts.writer.is_spoilt = true;
    return flow_fail(f, INVALID);
}

static enum flow_next compare_digest(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    const struct upload_state *state = &session_of(op)->state;
    const struct digest_state *hash = registry_int_parts_hash(&op->parts);
    if (state->is_direct && has_multipart(op) && !digest_equal(&state->digest, &op->wanted))
        return refuse_digest(f, op);
    /* An end by another digest came far enough to write it down: its location may name these bytes by now. */
    if (has_multipart(op) && state->has_digest && !digest_equal(&state->digest, &op->wanted))
        return flow_fail(f, INVALID);
    op->is_deferred = hash->algorithm != op->wanted.algorithm;
    if (op->is_deferred)
        return FLOW_NEXT;
    digest_state_final(hash, &op->actual);
    return digest_equal(&op->actual, &op->wanted) ? FLOW_NEXT : refuse_digest(f, op);
}

/* ---- no more than a part ---- */

static enum flow_next put_whole(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct storage *storage = session_of(op)->registry->storage;
    if (has_multipart(op))
        return FLOW_NEXT;
    if (op->put.state == PENDING_IDLE) {
        const struct upload_piece *rest = registry_int_parts_rest(&op->parts);
        const uint8_t *sha256 = op->wanted.algorithm == DIGEST_SHA256 ? op->wanted.bytes : NULL;
        struct slice path = layout_blob(session_of(op)->arena, &op->wanted);
        struct done done = registry_int_pending_done(&op->put, &op->parts.writer.gate, f);
        enum result r = rest == NULL ? storage_put(storage, path, SLICE_EMPTY, STORAGE_PUT_CREATE_ONLY, done)
                                     : storage_put_pages(storage, path, rest->pages.first, rest->pages.bytes, sha256,
                                                         STORAGE_PUT_CREATE_ONLY, done);
        registry_int_pending_started(&op->put, r);
    }
    if (op->put.state == PENDING_OVER && op->put.result == EXISTS)
        return FLOW_NEXT;
    return registry_int_pending_await(f, &op->put);
}

/* ---- does it stand already? ---- */

static enum flow_next look_for_blob(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    if (op->is_deferred || (!has_multipart(op) && op->put.result == OK))
        return FLOW_NEXT;
    return flow_any(f, registry_int_blob_place(f, session_of(op)->registry, &op->wanted, &op->place));
}

/* The session's own bytes were verified, so linking is right whoever put the blob there; but it must be there whole. */
static enum flow_next judge_blob(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    const struct upload_session *s = session_of(op);
    if (op->is_deferred || (!has_multipart(op) && op->put.result == OK))
        return FLOW_NEXT;
    enum result r = flow_result(f);
    if (r == NOT_FOUND && has_multipart(op))
        return FLOW_NEXT;
    if (r != OK || op->place.size != total_bytes(op))
        return flow_fail(f, r == OK ? CORRUPT : r);
    op->is_standing = true;
    if (!has_multipart(op) || slice_equal(op->place.path, layout_bytes(s->arena, s->uuid)))
        return FLOW_NEXT;
    struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
    return flow_await_any(f, storage_multipart_abort(s->registry->storage, path, &s->state.multipart, flow_done(f)));
}

/* ---- more than a part: complete ---- */

static bool must_complete(struct upload_publish *op)
{
    return has_multipart(op) && !op->is_standing;
}

/* Said before it is done: whoever removes the session then knows which location to ask for its bytes. */
static enum flow_next save_intent(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_parts *w = &op->parts;
    if (!must_complete(op))
        return FLOW_NEXT;
    if (op->intent.state == PENDING_IDLE) {
        session_of(op)->state.has_digest = true;
        session_of(op)->state.digest = op->wanted;
        op->intent.state = PENDING_OVER;
        registry_int_parts_start_save(w, f);
    }
    if (w->save.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->writer.gate);
    enum result r = registry_int_parts_take_save(w);
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

static enum flow_next put_last(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_session *s = session_of(op);
    const struct upload_piece *rest = registry_int_parts_rest(&op->parts);
    if (!must_complete(op) || rest == NULL)
        return FLOW_NEXT;
    if (op->put_last.state == PENDING_IDLE) {
        uint32_t numbers_max = storage_capabilities(s->registry->storage).parts_max;
        if (numbers_max > 0 && s->state.parts >= numbers_max)
            return flow_fail(f, TOO_LARGE);
        op->last = (struct storage_part){
            .number = ++s->state.parts, .offset = s->state.name_count * s->state.part_bytes, .size = rest->pages.bytes};
        struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
        struct done done = registry_int_pending_done(&op->put_last, &op->parts.writer.gate, f);
        registry_int_pending_started(
            &op->put_last,
            storage_multipart_put(s->registry->storage, path, &s->state.multipart, rest->pages.first, &op->last, done));
    }
    if (op->put_last.state == PENDING_OVER && op->put_last.result == NOT_FOUND)
        return FLOW_NEXT; /* perhaps because it is complete */
    return registry_int_pending_await(f, &op->put_last);
}

/* What our own answers named, and nothing else. */
static void make_list(struct upload_publish *op)
{
    const struct upload_state *state = &session_of(op)->state;
    op->list = ARENA_ARRAY(session_of(op)->arena, struct storage_part, state->name_count + 1);
    for (size_t i = 0; i < state->name_count; i++) {
        struct storage_part *part = &op->list[op->list_count++];
        *part = (struct storage_part){
            .number = state->names[i].number, .offset = i * state->part_bytes, .size = state->part_bytes};
        memcpy(part->etag, state->names[i].etag, sizeof(part->etag));
    }
    if (op->put_last.state == PENDING_OVER)
        op->list[op->list_count++] = op->last;
}

static enum flow_next complete(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    const struct upload_session *s = session_of(op);
    if (!must_complete(op) || op->put_last.result == NOT_FOUND)
        return FLOW_NEXT;
    if (op->complete.state == PENDING_IDLE) {
        if (!registry_int_parts_has_lease(&op->parts))
            return flow_fail(f, UNAVAILABLE);
        if (op->list == NULL)
            make_list(op);
        struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
        struct done done = registry_int_pending_done(&op->complete, &op->parts.writer.gate, f);
        registry_int_pending_started(&op->complete,
                                     storage_multipart_complete(s->registry->storage, path, &s->state.multipart,
                                                                op->list, op->list_count, total_bytes(op), 0, done));
    }
    if (op->complete.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->parts.writer.gate);
    return FLOW_NEXT;
}

static bool is_completed(const struct upload_publish *op)
{
    return op->complete.state == PENDING_OVER && op->complete.result == OK;
}

/* The answer was lost, or somebody, perhaps an earlier commit of this session, has completed it before. */
static enum flow_next look_at_object(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    const struct upload_session *s = session_of(op);
    if (!must_complete(op) || is_completed(op))
        return FLOW_NEXT;
    struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
    return flow_await_any(f, storage_stat(s->registry->storage, path, &op->object, flow_done(f)));
}

static enum flow_next judge_object(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    if (!must_complete(op) || is_completed(op))
        return FLOW_NEXT;
    enum result asked = op->put_last.result == NOT_FOUND ? NOT_FOUND : op->complete.result;
    enum result r = flow_result(f);
    if (r == OK && op->object.size == total_bytes(op)) {
        op->is_doubtful = true;
        return FLOW_NEXT;
    }
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    if (asked == NOT_FOUND)
        op->parts.writer.is_spoilt = true; /* the bytes are gone: the client has to send them again */
    return flow_fail(f, asked);
}

/* Once more, when it is not known how the first ended and the object is not there. */
static enum flow_next repeat_complete(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    bool is_unknown = op->complete.state == PENDING_OVER && registry_int_is_unknown(op->complete.result);
    if (!must_complete(op) || !is_unknown || flow_result(f) != NOT_FOUND || op->completes > 0)
        return FLOW_NEXT;
    op->completes++;
    op->complete = (struct pending_call){0};
    return FLOW_NEXT;
}

/* ---- what was completed by an answer that we did not get, or hashed by another algorithm, is read ---- */

static enum flow_next read_object(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_session *s = session_of(op);
    bool is_direct = s->state.is_direct; /* at the digest's path everything was verified by whoever put it there */
    if (!must_complete(op) || is_direct || (!op->is_doubtful && !op->is_deferred))
        return FLOW_NEXT;
    return registry_int_rehash(f, s, layout_bytes(s->arena, s->uuid), total_bytes(op), op->wanted.algorithm,
                               &op->actual);
}

static enum flow_next compare_object(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    if (!must_complete(op) || digest_equal(&op->actual, &op->wanted))
        return FLOW_NEXT;
    return refuse_digest(f, op);
}

/* ---- the location ---- */

static bool must_locate(struct upload_publish *op)
{
    return must_complete(op) && !session_of(op)->state.is_direct;
}

static enum flow_next put_location(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_session *s = session_of(op);
    if (!must_locate(op))
        return FLOW_NEXT;
    if (op->locate.state == PENDING_IDLE) {
        struct blob_place ours = {layout_bytes(s->arena, s->uuid), total_bytes(op)};
        struct slice path = layout_blob_location(s->arena, &op->wanted);
        struct slice text = registry_int_location_format(&ours, &op->wanted, s->arena);
        struct done done = registry_int_pending_done(&op->locate, &op->parts.writer.gate, f);
        registry_int_pending_started(&op->locate,
                                     storage_put(s->registry->storage, path, text, STORAGE_PUT_CREATE_ONLY, done));
    }
    if (op->locate.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->parts.writer.gate);
    if (op->locate.result == OK)
        return FLOW_NEXT;
    return flow_any(f, registry_int_location_read(f, s->registry, &op->wanted, &op->place));
}

static bool is_located_elsewhere(struct upload_publish *op)
{
    const struct upload_session *s = session_of(op);
    return must_locate(op) && op->locate.result != OK && !slice_equal(op->place.path, layout_bytes(s->arena, s->uuid));
}

/* The location is not ours, or is, written by an earlier commit. */
static enum flow_next judge_location(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    if (!must_locate(op) || op->locate.result == OK)
        return FLOW_NEXT;
    if (flow_result(f) != OK)
        return flow_fail(f, op->locate.result == EXISTS ? flow_result(f) : op->locate.result);
    if (!is_located_elsewhere(op))
        return FLOW_NEXT;
    return flow_await_any(f,
                          storage_stat(session_of(op)->registry->storage, op->place.path, &op->object, flow_done(f)));
}

/* The loser of a race removes its own bytes; where those of the winner are gone, the location is ours. */
static enum flow_next yield_or_replace(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    const struct upload_session *s = session_of(op);
    struct storage *storage = s->registry->storage;
    if (!is_located_elsewhere(op))
        return FLOW_NEXT;
    struct slice ours = layout_bytes(s->arena, s->uuid);
    if (flow_result(f) == OK)
        return flow_await_any(f, storage_delete(storage, ours, flow_done(f)));
    if (flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    struct blob_place place = {ours, total_bytes(op)};
    struct slice text = registry_int_location_format(&place, &op->wanted, s->arena);
    return flow_await(f, storage_put(storage, layout_blob_location(s->arena, &op->wanted), text, 0, flow_done(f)));
}

/* ---- publish ---- */

static enum flow_next link_blob(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_session *s = session_of(op);
    return registry_int_link_digest(f, s->registry, NULL, INDEX_LAYER, (struct repo_name){s->repo}, &op->wanted,
                                    &op->wanted);
}

static enum flow_next verify_stands(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    return registry_int_verify_stands(f, session_of(op)->registry, &op->wanted);
}

/* A lost done record costs nothing but a repeated publish. */
static enum flow_next record_done(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    struct upload_session *s = session_of(op);
    op->parts.writer.is_finished = true;
    s->state.kind = UPLOAD_DONE;
    s->state.has_digest = true;
    s->state.digest = op->wanted;
    s->state.offset = total_bytes(op);
    s->state.name_count = 0;
    s->state.tail_bytes = 0;
    *op->parts.writer.ret_offset_bytes = s->state.offset;
    registry_int_count(s->registry, f, METRIC_UPLOADS_COMPLETED);
    return flow_await_any(f, registry_int_session_save(s, s->seq, 0, flow_done(f)));
}

static enum flow_next note_done(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    op->parts.is_done_saved = flow_result(f) == OK;
    return FLOW_NEXT;
}

static enum flow_next settle_publish(struct flow *f)
{
    struct upload_publish *op = flow_owner(f);
    if (op->put.state == PENDING_RUNNING || op->put_last.state == PENDING_RUNNING ||
        op->complete.state == PENDING_RUNNING || op->locate.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->parts.writer.gate);
    if (flow_outcome(f) != OK)
        registry_int_count(session_of(op)->registry, f, METRIC_UPLOADS_FAILED);
    return FLOW_NEXT;
}

static const struct flow_step commit_steps[] = {
    {"enter", registry_int_writer_enter},
    {"check", registry_int_writer_check},
    {"claim", registry_int_parts_claim},
    {"forget empty", registry_int_parts_forget_empty},
    {"reserve tail", registry_int_parts_reserve_tail},
    {"open tail", registry_int_parts_open_tail},
    {"read tail", registry_int_parts_read_tail},
    {"receive", registry_int_parts_receive},
    {"choose hash", choose_hash},
    {"hash rest", registry_int_parts_hash_rest},
    {"compare digest", compare_digest},
    {"put whole", put_whole},
    {"look for blob", look_for_blob},
    {"judge blob", judge_blob},
    {"put last", put_last},
    {"save intent", save_intent},
    {"complete", complete},
    {"look at object", look_at_object},
    {"repeat complete", repeat_complete},
    {"complete again", complete},
    {"look again", look_at_object},
    {"judge object", judge_object},
    {"read object", read_object},
    {"compare object", compare_object},
    {"put location", put_location},
    {"judge location", judge_location},
    {"yield or replace", yield_or_replace},
    {"link blob", link_blob},
    {"verify stands", verify_stands},
    {"record done", record_done},
    {"note done", note_done},
};
static const struct flow_step commit_finally[] = {
    {"settle", settle_publish},
    {"drain", registry_int_parts_drain},
    {"hash rest", registry_int_parts_hash_rest},
    {"put tail", registry_int_parts_put_tail},
    {"close", registry_int_parts_close},
    {"after close", registry_int_parts_after_close},
    {"drop tail", registry_int_parts_drop_tail},
    {"prune", registry_int_writer_prune},
};
static const struct flow_program commit_program = {
    .name = "upload_commit_parts",
    FLOW_STEPS(commit_steps),
    FLOW_FINALLY(commit_finally),
    .dispose = registry_int_parts_dispose,
};

enum flow_next registry_int_parts_commit(struct flow *f, struct registry *registry, struct upload_ref upload,
                                         const struct upload_body *body, const struct digest *digest,
                                         uint64_t *ret_offset_bytes)
{
    struct upload_publish *op = ARENA_NEW(flow_arena(f), struct upload_publish);
    registry_int_parts_init(&op->parts, f, registry, upload, body, ret_offset_bytes);
    op->wanted = *digest;
    op->parts.writer.wanted = &op->wanted;
    return flow_call(f, &commit_program, op);
}
