/* SPDX-License-Identifier: Apache-2.0
 *
 * The claim of a session that other replicas may want too: a lease, renewed by saving the state. A save renews only if
 * it reported before the lease it follows was over: else somebody may have taken over meanwhile. Leases are dated by
 * the store's clock, about which replicas may be wrong by UPLOAD_LEASE_GRACE_MS (upload_session.c); how long one's own
 * has still to go is measured. All on the flow's loop.
 */
#include "upload_parts.h"

bool registry_int_parts_has_lease(const struct upload_parts *w)
{
    return clock_monotonic_ms(w->writer.session.registry->clock) < w->lease_end_ms;
}

static enum result put_state(struct upload_parts *w, unsigned flags, struct done done)
{
    struct upload_session *s = &w->writer.session;
    struct clock clock = s->registry->clock;
    arena_done(&w->save_arena);
    arena_init(&w->save_arena);
    s->state.activity_ms = storage_now_ms(s->registry->storage, clock);
    s->state.lease_ms = s->state.kind == UPLOAD_OPEN ? s->state.activity_ms + UPLOAD_LEASE_MS : 0;
    w->next_lease_end_ms = clock_monotonic_ms(clock) + UPLOAD_LEASE_MS;
    struct slice path = layout_upload_state(&w->save_arena, s->uuid, s->seq);
    return storage_put(s->registry->storage, path, registry_int_upload_state_format(&s->state, &w->save_arena), flags,
                       done);
}

enum flow_next registry_int_parts_claim(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_writer *base = &w->writer;
    struct upload_session *s = &base->session;
    if (base->claim.state == PENDING_IDLE) {
        if (base->wanted != NULL && s->state.offset == 0)
            digest_state_init(&s->state.hash, base->wanted->algorithm);
        if (s->state.kind == UPLOAD_OPEN) /* taken over: its writer may have used these */
            s->state.parts += UPLOAD_NUMBERS_SKIPPED;
        base->claimed_offset = s->state.offset;
        w->claimed = s->state;
        w->saved_number = s->state.parts;
        s->state.kind = UPLOAD_OPEN;
        memcpy(s->state.process, s->registry->process, sizeof(s->state.process));
        s->seq++;
        struct done done = registry_int_pending_done(&base->claim, &base->gate, f);
        registry_int_pending_started(&base->claim, put_state(w, STORAGE_PUT_CREATE_ONLY, done));
        w->lease_end_ms = w->next_lease_end_ms;
    }
    if (base->claim.state == PENDING_OVER && base->claim.result == EXISTS)
        return flow_fail(f, CONFLICT);
    return registry_int_pending_await(f, &base->claim);
}

enum flow_next registry_int_parts_forget_empty(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_session *s = &w->writer.session;
    if (s->state.multipart.id[0] == '\0' || !s->state.is_direct || s->state.name_count > 0)
        return FLOW_NEXT;
    struct storage_multipart *forgotten = ARENA_NEW(s->arena, struct storage_multipart);
    struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
    *forgotten = s->state.multipart;
    s->state.multipart.id[0] = '\0';
    s->state.is_direct = false;
    s->state.has_digest = false;
    return flow_await_any(f, storage_multipart_abort(s->registry->storage, path, forgotten, flow_done(f)));
}

void registry_int_parts_start_save(struct upload_parts *w, const struct flow *f)
{
    w->is_save_due = false;
    w->saving_number = w->writer.session.state.parts;
    w->has_saved_place = w->writer.session.state.multipart.id[0] != '\0';
    struct done done = registry_int_pending_done(&w->save, &w->writer.gate, f);
    registry_int_pending_started(&w->save, put_state(w, 0, done));
}

enum result registry_int_parts_take_save(struct upload_parts *w)
{
    w->save.state = PENDING_IDLE;
    if (w->save.result != OK)
        return w->save.result;
    if (!registry_int_parts_has_lease(w))
        return UNAVAILABLE;
    w->lease_end_ms = w->next_lease_end_ms;
    w->saved_number = w->saving_number;
    return OK;
}

/* ---- finally ---- */

/* The tail that was just put is part of the state now, or the state goes without it. */
static void take_tail(struct upload_parts *w, enum result r)
{
    struct upload_session *s = &w->writer.session;
    struct upload_piece *rest = registry_int_parts_rest(w);
    if (!w->has_put_tail)
        return;
    if (r != OK) {
        w->is_tail_lost = true;
        return;
    }
    s->state.hash = *registry_int_parts_hash(w);
    s->state.tail_seq = s->seq;
    s->state.tail_bytes = rest->pages.bytes;
    s->state.offset = s->state.name_count * s->state.part_bytes + rest->pages.bytes;
}

enum flow_next registry_int_parts_close(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_session *s = &w->writer.session;
    if (!registry_int_writer_is_claimed(&w->writer) || w->writer.is_finished)
        return FLOW_NEXT;
    if (w->writer.is_spoilt)
        return flow_call(f, &registry_int_session_remove_program, s);
    take_tail(w, flow_result(f));
    if (!registry_int_parts_has_lease(w))
        return FLOW_NEXT; /* it may be somebody else's already */
    w->writer.is_closed = true;
    s->state.kind = UPLOAD_CLOSED;
    *w->writer.ret_offset_bytes = s->state.offset;
    return flow_await(f, put_state(w, 0, flow_done(f)));
}

/* What was saved too late, or without its tail, was not received. */
enum flow_next registry_int_parts_after_close(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    if (!registry_int_writer_is_claimed(&w->writer) || w->writer.is_finished || w->writer.is_spoilt)
        return FLOW_NEXT;
    bool is_late = !registry_int_parts_has_lease(w);
    if (is_late)
        w->writer.is_closed = false;
    if ((is_late || w->is_tail_lost) && flow_outcome(f) == OK)
        return flow_fail(f, UNAVAILABLE);
    return FLOW_NEXT;
}

/* The tail that this writer read: the state that named it does not count any more. */
enum flow_next registry_int_parts_drop_tail(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    const struct upload_session *s = &w->writer.session;
    bool is_over = w->is_done_saved || (w->writer.is_closed && flow_outcome(f) == OK);
    if (!is_over || w->claimed.tail_bytes == 0 ||
        (!w->writer.is_finished && s->state.tail_bytes > 0 && s->state.tail_seq == w->claimed.tail_seq))
        return FLOW_NEXT;
    struct slice path = layout_upload_tail(s->arena, s->uuid, w->claimed.tail_seq);
    return flow_await_any(f, storage_delete(s->registry->storage, path, flow_done(f)));
}
