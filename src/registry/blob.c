/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs of a repository: may it serve this digest, how many bytes, and a reader of them. The answer comes from the
 * index by one read (no store, no program); a miss reads the layer link and asks the store for the size.
 */
#include "registry_int.h"

struct blob_find_op {
    struct lookup lookup;
    struct blob_info *ret_info;
};

static void give_info(struct blob_find_op *op)
{
    const struct index_value *value = &op->lookup.value;
    op->ret_info->digest = value->digest;
    op->ret_info->size = value->size;
    memcpy(op->ret_info->place, value->place, sizeof(value->place));
}

static enum flow_next look_up(struct flow *f)
{
    struct blob_find_op *op = flow_owner(f);
    return flow_call(f, &registry_int_lookup_program, &op->lookup);
}

static enum flow_next return_info(struct flow *f)
{
    give_info(flow_owner(f));
    return FLOW_NEXT;
}

static enum flow_next settle(struct flow *f)
{
    struct blob_find_op *op = flow_owner(f);
    return registry_int_lookup_settle(f, &op->lookup);
}

static const struct flow_step blob_find_steps[] = {
    {"look up", look_up},
    {"return info", return_info},
};
static const struct flow_step blob_find_finally[] = {{"settle", settle}};
static const struct flow_program blob_find_program = {
    .name = "blob_find",
    FLOW_STEPS(blob_find_steps),
    FLOW_FINALLY(blob_find_finally),
};

enum flow_next blob_find(struct flow *f, struct registry *registry, struct repo_name repo, const struct digest *digest,
                         struct blob_info *ret_info)
{
    struct blob_find_op *op = ARENA_NEW(flow_arena(f), struct blob_find_op);
    op->ret_info = ret_info;
    registry_int_lookup_digest(&op->lookup, registry, INDEX_LAYER, repo, digest);
    if (!registry_int_lookup_is_known(&op->lookup, f))
        return flow_call(f, &blob_find_program, op);
    give_info(op);
    return FLOW_NEXT;
}

/* ---- open ---- */

struct blob_open_op {
    struct registry *registry;
    struct digest digest;
    struct slice path;
    struct blob_place place; /* as the store says, when they were not where they had been */
    uint64_t offset;
    uint64_t length;
    uint64_t size;
    struct gate gate;
    struct pending_call open;
    struct storage_object object;
    struct storage_reader *reader;
    struct storage_reader **ret_reader;
};

static enum flow_next open_at(struct flow *f, bool is_last)
{
    struct blob_open_op *op = flow_owner(f);
    if (op->open.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&op->open, &op->gate, f);
        registry_int_pending_started(&op->open, storage_open_read(op->registry->storage, op->path, op->offset,
                                                                  op->length, &op->object, &op->reader, done));
    }
    bool may_be_elsewhere = op->open.state == PENDING_OVER && op->open.result == NOT_FOUND && !is_last;
    return may_be_elsewhere ? FLOW_NEXT : registry_int_pending_await(f, &op->open);
}

static enum flow_next open_reader(struct flow *f)
{
    const struct blob_open_op *op = flow_owner(f);
    return open_at(f, !op->registry->has_fixed_parts);
}

/* Moved since the index was told? */
static enum flow_next find_place(struct flow *f)
{
    struct blob_open_op *op = flow_owner(f);
    if (op->open.result == OK)
        return FLOW_NEXT;
    return registry_int_blob_place(f, op->registry, &op->digest, &op->place);
}

static enum flow_next open_again(struct flow *f)
{
    struct blob_open_op *op = flow_owner(f);
    if (op->open.result == OK)
        return FLOW_NEXT;
    if (!slice_equal(op->path, op->place.path)) {
        op->path = op->place.path;
        op->open = (struct pending_call){0};
    }
    return open_at(f, true);
}

/* The index said how long it is, and the reply's length was chosen by that. */
static enum flow_next check_size(struct flow *f)
{
    struct blob_open_op *op = flow_owner(f);
    if (op->object.size != op->size)
        return flow_fail(f, CORRUPT);
    *op->ret_reader = op->reader;
    op->reader = NULL;
    return FLOW_NEXT;
}

static void dispose_open(void *owner)
{
    struct blob_open_op *op = owner;
    if (op->reader != NULL)
        storage_close_read(op->registry->storage, op->reader);
}

static const struct flow_step blob_open_steps[] = {
    {"open reader", open_reader},
    {"find place", find_place},
    {"open again", open_again},
    {"check size", check_size},
};
static const struct flow_program blob_open_program = {
    .name = "blob_open",
    FLOW_STEPS(blob_open_steps),
    .dispose = dispose_open,
};

enum flow_next blob_open(struct flow *f, struct registry *registry, const struct blob_info *info, uint64_t offset,
                         uint64_t length, struct storage_reader **ret_reader)
{
    struct blob_open_op *op = ARENA_NEW(flow_arena(f), struct blob_open_op);
    op->registry = registry;
    op->digest = info->digest;
    op->path = registry_int_place_path(info->place, &info->digest, flow_arena(f));
    op->offset = offset;
    op->length = length;
    op->size = info->size;
    op->ret_reader = ret_reader;
    return flow_call(f, &blob_open_program, op);
}

enum result blob_find_url(struct registry *registry, const struct blob_info *info, struct arena *arena,
                          struct storage_url *ret_url)
{
    struct slice path = registry_int_place_path(info->place, &info->digest, arena);
    return storage_find_url(registry->storage, path, clock_wall_ms(registry->clock), arena, ret_url);
}

struct storage *registry_storage(struct registry *registry)
{
    return registry->storage;
}
