/* SPDX-License-Identifier: Apache-2.0
 *
 * Removes the upload sessions that nobody came back to, with their bytes, and the done records that have served their
 * time. One session at a time, each in memory of its own: there may be very many.
 */
#include "upload_int.h"

#define PURGE_LIST_LIMIT 200u

struct upload_purge {
    struct registry *registry;
    struct arena page_arena; /* of one page of the listing */
    struct slice after;
    char after_bytes[STORAGE_PATH_MAX + 1];
    struct storage_listing listing;
    bool is_listed;
};

struct purge_one {
    struct upload_session session;
    struct upload_active active;
    struct arena arena;
};

/* ---- one session ---- */

static enum flow_next load_one(struct flow *f)
{
    struct purge_one *op = flow_owner(f);
    if (!uuid_is_valid(op->session.uuid))
        return FLOW_RETURN; /* not ours */
    if (!registry_int_upload_enter(op->session.registry->active, &op->active, op->session.uuid))
        return FLOW_RETURN; /* somebody is at it */
    return flow_any(f, flow_call(f, &registry_int_session_load_program, &op->session));
}

static enum flow_next judge_one(struct flow *f)
{
    struct purge_one *op = flow_owner(f);
    struct upload_session *s = &op->session;
    enum result r = flow_result(f);
    if (r == CORRUPT) {
        /* A state that cannot be read counts as one written when the store says. */
        memset(&s->state, 0, sizeof(s->state));
        s->state.kind = UPLOAD_CLOSED;
        s->state.activity_ms = s->object.modified_ms;
    } else if (r != OK) {
        return FLOW_RETURN;
    }
    if (s->state.kind == UPLOAD_OPEN && !registry_int_session_is_abandoned(s))
        return FLOW_RETURN;
    return registry_int_session_is_expired(s) ? FLOW_NEXT : FLOW_RETURN;
}

static enum flow_next remove_one(struct flow *f)
{
    struct purge_one *op = flow_owner(f);
    return flow_any(f, flow_call(f, &registry_int_session_take_and_remove_program, &op->session));
}

static void dispose_one(void *owner)
{
    struct purge_one *op = owner;
    registry_int_upload_leave(op->session.registry->active, &op->active);
    arena_done(&op->arena);
}

static const struct flow_step purge_one_steps[] = {
    {"load one", load_one},
    {"judge one", judge_one},
    {"remove one", remove_one},
};
static const struct flow_program purge_one_program = {
    .name = "purge_one",
    FLOW_STEPS(purge_one_steps),
    .dispose = dispose_one,
};

/* ---- all ---- */

struct purge_page {
    struct upload_purge *purge;
    size_t next;
    struct purge_one one;
};

static enum flow_next list_page(struct flow *f)
{
    struct purge_page *op = flow_owner(f);
    struct upload_purge *purge = op->purge;
    memset(&purge->listing, 0, sizeof(purge->listing));
    return flow_await(f, storage_list(purge->registry->storage, layout_uploads_folder(&purge->page_arena), purge->after,
                                      PURGE_LIST_LIMIT, &purge->page_arena, &purge->listing, flow_done(f)));
}

/* Again for each of the page. */
static enum flow_next purge_each(struct flow *f)
{
    struct purge_page *op = flow_owner(f);
    struct upload_purge *purge = op->purge;
    if (op->next == purge->listing.count)
        return FLOW_NEXT;
    const struct storage_entry *entry = &purge->listing.entries[op->next++];
    if (!entry->is_folder)
        return FLOW_AGAIN;
    memset(&op->one, 0, sizeof(op->one));
    arena_init(&op->one.arena);
    registry_int_session_init(&op->one.session, purge->registry, (struct upload_ref){.uuid = entry->name},
                              &op->one.arena);
    return flow_again(f, flow_call(f, &purge_one_program, &op->one));
}

static const struct flow_step purge_page_steps[] = {
    {"list page", list_page},
    {"purge each", purge_each},
};
static const struct flow_program purge_page_program = {.name = "purge_page", FLOW_STEPS(purge_page_steps)};

/* Again for each page of the listing. */
static enum flow_next purge_pages(struct flow *f)
{
    struct upload_purge *op = flow_owner(f);
    if (op->is_listed) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        size_t len = op->listing.next.len;
        if (len == 0)
            return FLOW_NEXT;
        if (len >= sizeof(op->after_bytes))
            return flow_fail(f, IO);
        memcpy(op->after_bytes, op->listing.next.ptr, len);
        op->after = slice_of(op->after_bytes, len);
        arena_done(&op->page_arena);
        arena_init(&op->page_arena);
    }
    op->is_listed = true;
    struct purge_page *page = ARENA_NEW(&op->page_arena, struct purge_page);
    page->purge = op;
    return flow_again(f, flow_call(f, &purge_page_program, page));
}

static void dispose_purge(void *owner)
{
    struct upload_purge *op = owner;
    arena_done(&op->page_arena);
}

static const struct flow_step purge_steps[] = {{"purge pages", purge_pages}};
static const struct flow_program purge_program = {
    .name = "purge_uploads",
    FLOW_STEPS(purge_steps),
    .dispose = dispose_purge,
};

enum flow_next registry_purge_uploads(struct flow *f, struct registry *registry)
{
    struct upload_purge *op = ARENA_NEW(flow_arena(f), struct upload_purge);
    op->registry = registry;
    arena_init(&op->page_arena);
    return flow_call(f, &purge_program, op);
}
