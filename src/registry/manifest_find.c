/* SPDX-License-Identifier: Apache-2.0
 *
 * A manifest by tag or digest. Warm: one question to the index and a look into the cache, on a local index without a
 * program. Cold: the links and the bytes are read from the store, the bytes checked against their digest (on the pool
 * if large) and cached.
 */
#include "registry_int.h"

/* What is served may be larger than what is accepted today, but not without bound. */
#define STORED_BYTES_MAX (16u * 1024u * 1024u)

enum looked_at { LOOKED_AT_NOTHING, LOOKED_AT_REVISION, LOOKED_AT_TAG };

struct manifest_find_op {
    struct registry *registry;
    struct repo_name repo;
    struct reference reference;
    struct manifest_view *ret_view;

    struct gate gate;
    struct pending_call ask; /* of a tag: both at once */
    struct index_found found_tag;
    struct index_found found_revision;
    struct lookup tag;
    struct lookup revision;
    bool has_asked_revision;
    enum looked_at looked_at; /* by find_revision */
    struct slice bytes;
    struct slice media_type;
    struct offload job;
    struct arena *arena; /* of the flow; the pool uses it while the flow waits */
};

static void begin_revision(struct manifest_find_op *op)
{
    const struct digest *digest = op->reference.is_digest ? &op->reference.digest : &op->tag.value.digest;
    registry_int_lookup_digest(&op->revision, op->registry, INDEX_REVISION, op->repo, digest);
    op->has_asked_revision = true;
}

static void ask_of_tag(struct manifest_find_op *op, const struct flow *f)
{
    registry_int_lookup_tag(&op->tag, op->registry, op->repo, op->reference.tag);
    struct done done = registry_int_pending_done(&op->ask, &op->gate, f);
    registry_int_pending_started(
        &op->ask, index_read_tag(op->registry->index, op->tag.key, &op->found_tag, &op->found_revision, done));
}

/* Whether the index knows both: then nobody asks for the revision again, and it needs no key. */
static bool take_answer(struct manifest_find_op *op)
{
    if (op->ask.result != OK)
        op->found_tag = (struct index_found){.result = op->ask.result};
    registry_int_lookup_take(&op->tag, &op->found_tag);
    if (op->found_tag.result != OK)
        return false;
    if (op->found_revision.result != OK)
        begin_revision(op);
    op->has_asked_revision = true;
    registry_int_lookup_take(&op->revision, &op->found_revision);
    return op->found_revision.result == OK;
}

static enum flow_next ask_index(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    if (op->ask.state != PENDING_RUNNING)
        return FLOW_NEXT;
    return registry_int_gate_wait(f, &op->gate);
}

static enum flow_next find_tag(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    if (op->reference.is_digest)
        return FLOW_NEXT;
    if (!op->has_asked_revision && take_answer(op))
        return FLOW_NEXT;
    return op->tag.ask.result == OK ? FLOW_NEXT : flow_call(f, &registry_int_lookup_program, &op->tag);
}

static enum flow_next look_up(struct flow *f, struct lookup *lookup, enum looked_at looked_at)
{
    struct manifest_find_op *op = flow_owner(f);
    op->looked_at = looked_at;
    return flow_again(f, flow_call(f, &registry_int_lookup_program, lookup));
}

/* Again for each look. Since a tag was looked up it may have come to name something else, and what it named may be
 * gone: then it is looked up once more. */
static enum flow_next find_revision(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    enum result r = flow_result(f);
    switch (op->looked_at) {
    case LOOKED_AT_NOTHING:
        if (!op->has_asked_revision)
            begin_revision(op);
        if (op->revision.ask.state == PENDING_OVER && op->revision.ask.result == OK)
            return FLOW_NEXT;
        return look_up(f, &op->revision, LOOKED_AT_REVISION);
    case LOOKED_AT_REVISION:
        if (r == OK)
            return FLOW_NEXT;
        if (r != NOT_FOUND || op->reference.is_digest)
            return flow_fail(f, r);
        registry_int_lookup_tag(&op->tag, op->registry, op->repo, op->reference.tag);
        return look_up(f, &op->tag, LOOKED_AT_TAG);
    case LOOKED_AT_TAG:
        if (r == OK && digest_equal(&op->tag.value.digest, &op->revision.digest))
            r = NOT_FOUND;
        if (r != OK)
            return flow_fail(f, r);
        begin_revision(op);
        return look_up(f, &op->revision, LOOKED_AT_REVISION);
    }
    return FLOW_NEXT;
}

static enum flow_next read_bytes(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    if (registry_int_cache_find(op->registry->manifests, &op->revision.value.digest, op->ret_view))
        return FLOW_RETURN;
    struct slice path = layout_blob(flow_arena(f), &op->revision.value.digest);
    return flow_await_any(
        f, storage_get(op->registry->storage, path, STORED_BYTES_MAX, flow_arena(f), &op->bytes, NULL, flow_done(f)));
}

static enum result check_bytes(void *data)
{
    struct manifest_find_op *op = data;
    struct digest actual;
    digest_of(op->revision.value.digest.algorithm, op->bytes, &actual);
    if (!digest_equal(&actual, &op->revision.value.digest))
        return CORRUPT;
    return manifest_sniff(op->bytes, op->arena, &op->media_type);
}

static enum flow_next check(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r == TOO_LARGE) /* a layer, by the layer links of very old folders */
        r = NOT_FOUND;
    if (r != OK)
        return flow_fail(f, r);
    if (op->bytes.len <= MANIFEST_INLINE_BYTES)
        return flow_await_any(f, check_bytes(op));
    return flow_await_any(f, registry_int_offload(op->registry, &op->job, check_bytes, op, flow_done(f)));
}

static enum flow_next keep(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r == CORRUPT && op->revision.links_tried > 1) /* linked as a layer only, and it is one */
        r = NOT_FOUND;
    if (r != OK)
        return flow_fail(f, r);
    registry_int_cache_add(op->registry->manifests, &op->revision.value.digest, op->media_type, op->bytes,
                           op->ret_view);
    return FLOW_NEXT;
}

static enum flow_next settle_tag(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    if (op->ask.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->gate);
    return registry_int_lookup_settle(f, &op->tag);
}

static enum flow_next settle_revision(struct flow *f)
{
    struct manifest_find_op *op = flow_owner(f);
    return registry_int_lookup_settle(f, &op->revision);
}

static const struct flow_step find_steps[] = {
    {"ask index", ask_index},   {"find tag", find_tag}, {"find revision", find_revision},
    {"read bytes", read_bytes}, {"check", check},       {"keep", keep},
};
static const struct flow_step find_finally[] = {
    {"settle tag", settle_tag},
    {"settle revision", settle_revision},
};
static const struct flow_program find_program = {
    .name = "manifest_find",
    FLOW_STEPS(find_steps),
    FLOW_FINALLY(find_finally),
};

enum flow_next manifest_find(struct flow *f, struct registry *registry, struct repo_name repo,
                             const struct reference *reference, struct manifest_view *ret_view)
{
    struct manifest_find_op *op = ARENA_NEW(flow_arena(f), struct manifest_find_op);
    op->registry = registry;
    op->repo = repo;
    op->reference = *reference;
    op->ret_view = ret_view;
    op->arena = flow_arena(f);
    bool is_known;
    if (reference->is_digest) {
        begin_revision(op);
        is_known = registry_int_lookup_is_known(&op->revision, f);
    } else {
        ask_of_tag(op, f);
        is_known = op->ask.state == PENDING_OVER && take_answer(op);
    }
    if (is_known && registry_int_cache_find(registry->manifests, &op->revision.value.digest, ret_view))
        return FLOW_NEXT;
    return flow_call(f, &find_program, op);
}
