/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening, asking after and cancelling an upload session. Writing to one is in upload_append.c, ending it in
 * upload_commit.c.
 */
#include "upload_int.h"

/* ---- create ---- */

struct upload_create_op {
    struct upload_session session;
    struct slice *ret_uuid;
};

/* A session that a power failure takes with it was promised nothing yet. */
static enum flow_next save_first(struct flow *f)
{
    struct upload_create_op *op = flow_owner(f);
    return flow_await(
        f, registry_int_session_save(&op->session, 1, STORAGE_PUT_CREATE_ONLY | STORAGE_PUT_VOLATILE, flow_done(f)));
}

static enum flow_next return_uuid(struct flow *f)
{
    struct upload_create_op *op = flow_owner(f);
    registry_int_count(op->session.registry, f, METRIC_UPLOADS_STARTED);
    *op->ret_uuid = op->session.uuid;
    return FLOW_NEXT;
}

static const struct flow_step create_steps[] = {
    {"save first", save_first},
    {"return uuid", return_uuid},
};
static const struct flow_program create_program = {.name = "upload_create", FLOW_STEPS(create_steps)};

enum flow_next upload_create(struct flow *f, struct registry *registry, struct repo_name repo,
                             enum digest_algorithm algorithm, struct slice *ret_uuid)
{
    struct arena *arena = flow_arena(f);
    struct upload_create_op *op = ARENA_NEW(arena, struct upload_create_op);
    char *uuid = arena_alloc(arena, UUID_TEXT_SIZE);
    uuid_generate(uuid);
    registry_int_session_init(&op->session, registry, (struct upload_ref){repo, slice_from_cstr(uuid)}, arena);
    op->session.state.kind = UPLOAD_CLOSED;
    op->session.state.repo = repo.text;
    op->session.state.part_bytes = registry->part_bytes;
    digest_state_init(&op->session.state.hash, algorithm);
    op->ret_uuid = ret_uuid;
    return flow_call(f, &create_program, op);
}

/* ---- status ---- */

struct upload_status_op {
    struct upload_session session;
    uint64_t *ret_offset_bytes;
};

static enum flow_next load(struct flow *f)
{
    struct upload_status_op *op = flow_owner(f);
    return flow_call(f, &registry_int_session_load_program, &op->session);
}

static enum flow_next return_offset(struct flow *f)
{
    struct upload_status_op *op = flow_owner(f);
    if (op->session.state.kind == UPLOAD_DONE)
        return flow_fail(f, NOT_FOUND);
    *op->ret_offset_bytes = op->session.state.offset;
    return FLOW_NEXT;
}

static const struct flow_step status_steps[] = {
    {"load", load},
    {"return offset", return_offset},
};
static const struct flow_program status_program = {.name = "upload_status", FLOW_STEPS(status_steps)};

enum flow_next upload_status(struct flow *f, struct registry *registry, struct upload_ref upload,
                             uint64_t *ret_offset_bytes)
{
    struct upload_status_op *op = ARENA_NEW(flow_arena(f), struct upload_status_op);
    registry_int_session_init(&op->session, registry, upload, flow_arena(f));
    op->ret_offset_bytes = ret_offset_bytes;
    return flow_call(f, &status_program, op);
}

/* ---- cancel ---- */

struct upload_cancel_op {
    struct upload_session session;
    struct upload_active active;
};

static enum flow_next enter(struct flow *f)
{
    struct upload_cancel_op *op = flow_owner(f);
    (void)registry_int_upload_enter(op->session.registry->active, &op->active, op->session.uuid);
    return flow_call(f, &registry_int_session_load_program, &op->session);
}

static enum flow_next remove_session(struct flow *f)
{
    struct upload_cancel_op *op = flow_owner(f);
    if (op->session.state.kind == UPLOAD_DONE)
        return flow_fail(f, NOT_FOUND);
    const struct upload_session *s = &op->session;
    if (!op->active.is_entered || (s->state.kind == UPLOAD_OPEN && !registry_int_session_is_abandoned(s)))
        return flow_fail(f, CONFLICT);
    return flow_call(f, &registry_int_session_take_and_remove_program, &op->session);
}

static void leave(void *owner)
{
    struct upload_cancel_op *op = owner;
    registry_int_upload_leave(op->session.registry->active, &op->active);
}

static const struct flow_step cancel_steps[] = {
    {"enter", enter},
    {"remove session", remove_session},
};
static const struct flow_program cancel_program = {
    .name = "upload_cancel",
    FLOW_STEPS(cancel_steps),
    .dispose = leave,
};

enum flow_next upload_cancel(struct flow *f, struct registry *registry, struct upload_ref upload)
{
    struct upload_cancel_op *op = ARENA_NEW(flow_arena(f), struct upload_cancel_op);
    registry_int_session_init(&op->session, registry, upload, flow_arena(f));
    return flow_call(f, &cancel_program, op);
}
