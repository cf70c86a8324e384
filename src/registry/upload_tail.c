/* SPDX-License-Identifier: Apache-2.0
 *
 * The rest of a PATCH that fills no part: an object beside the session's states, read back as the beginning of a piece
 * by the next writer. All on the flow's loop.
 */
#include "upload_parts.h"

static struct upload_state *state_of(struct upload_parts *w)
{
    return &w->writer.session.state;
}

enum flow_next registry_int_parts_reserve_tail(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    if (state_of(w)->tail_bytes == 0)
        return FLOW_NEXT;
    while (w->granted == 0) {
        if (w->reserve.state == PENDING_IDLE)
            registry_int_parts_reserve(w, f, state_of(w)->tail_bytes);
        registry_int_parts_keep_lease(w, f);
        if (w->writer.failure != OK)
            return flow_fail(f, w->writer.failure);
        if (w->reserve.state != PENDING_OVER || w->reserve.result != OK)
            return registry_int_pending_await(f, &w->reserve);
        registry_int_parts_take_room(w);
    }
    (void)registry_int_parts_open_piece(w);
    return FLOW_NEXT;
}

enum flow_next registry_int_parts_open_tail(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_session *s = &w->writer.session;
    if (s->state.tail_bytes == 0)
        return FLOW_NEXT;
    if (w->tail_open.state == PENDING_IDLE) {
        struct slice path = layout_upload_tail(s->arena, s->uuid, s->state.tail_seq);
        struct done done = registry_int_pending_done(&w->tail_open, &w->writer.gate, f);
        registry_int_pending_started(
            &w->tail_open, storage_open_read(s->registry->storage, path, 0, UINT64_MAX, NULL, &w->tail_reader, done));
    }
    if (w->tail_open.state == PENDING_OVER && w->tail_open.result == NOT_FOUND)
        w->writer.is_spoilt = true; /* the client has to start anew */
    return registry_int_pending_await(f, &w->tail_open);
}

/* A page was read. True: it was the last. */
static bool take_page(struct upload_parts *w)
{
    struct page *page = w->tail_page;
    w->tail_page = NULL;
    w->is_tail_read = false;
    if (page->len > 0)
        page = registry_int_piece_pour(&w->pieces[w->first], page, state_of(w)->part_bytes);
    else
        w->pieces[w->first].hashed_bytes = w->pieces[w->first].pages.bytes;
    page_release(page); /* nothing of it is left, or more than there can be */
    return w->pieces[w->first].hashed_bytes > 0;
}

/* Again for each page. */
enum flow_next registry_int_parts_read_tail(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    if (state_of(w)->tail_bytes == 0)
        return FLOW_NEXT;
    if (w->is_tail_read && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (w->is_tail_read) {
        bool is_empty = w->tail_page->len == 0;
        if (take_page(w) || is_empty)
            return w->pieces[w->first].pages.bytes == state_of(w)->tail_bytes ? FLOW_NEXT : flow_fail(f, CORRUPT);
    }
    if (w->tail_acquire.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&w->tail_acquire, &w->writer.gate, f);
        registry_int_pending_started(&w->tail_acquire, page_acquire(flow_loop(f), &w->tail_page, done));
    }
    if (w->tail_acquire.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->writer.gate);
    w->tail_acquire.state = PENDING_IDLE;
    w->is_tail_read = true;
    return flow_await_again(
        f, storage_read(w->writer.session.registry->storage, w->tail_reader, w->tail_page, flow_done(f)));
}

/* Before the state that names it. What was read back and got no more bytes stays where it is. */
enum flow_next registry_int_parts_put_tail(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_session *s = &w->writer.session;
    const struct upload_piece *rest = registry_int_parts_rest(w);
    bool is_complete =
        w->tail_open.state == PENDING_IDLE || (rest != NULL && rest->hashed_bytes > 0) || s->state.tail_bytes == 0;
    if (!registry_int_writer_is_claimed(&w->writer) || w->writer.is_finished || w->writer.is_spoilt || rest == NULL ||
        !is_complete || rest->hash.state != PENDING_OVER || rest->hash.result != OK || !registry_int_parts_has_lease(w))
        return FLOW_NEXT;
    w->has_put_tail = true;
    struct slice path = layout_upload_tail(s->arena, s->uuid, s->seq);
    return flow_await_any(
        f, storage_put_pages(s->registry->storage, path, rest->pages.first, rest->pages.bytes, NULL, 0, flow_done(f)));
}
