/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting a manifest: is it one, is it what it is put under, has the repository everything it names; then bytes,
 * revision link, tag index, tag current, in this order, so that a reader never sees a name without its bytes.
 */
#include "registry_int.h"

struct manifest_put_op {
    struct registry *registry;
    struct manifest_put *put;
    struct arena *arena;

    struct offload job;
    struct manifest manifest;
    size_t checked;            /* of references */
    bool is_looking_for_layer; /* a child of an index that is no revision here */
    bool is_asked;
    struct lookup lookup;
};

/* ---- is it one? ---- */

static enum result parse(void *data)
{
    struct manifest_put_op *op = data;
    struct manifest_put *put = op->put;
    enum digest_algorithm algorithm = put->reference.is_digest ? put->reference.digest.algorithm : DIGEST_SHA256;
    digest_of(algorithm, put->bytes, &put->digest);
    if (put->reference.is_digest && !digest_equal(&put->digest, &put->reference.digest)) {
        put->why = SLICE("the manifest's digest is not the one it was put under");
        return INVALID;
    }
    return manifest_parse(put->bytes, put->content_type, op->arena, &op->manifest, &put->why);
}

static enum flow_next check_manifest(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->put->bytes.len <= MANIFEST_INLINE_BYTES)
        return flow_await(f, parse(op));
    return flow_await(f, registry_int_offload(op->registry, &op->job, parse, op, flow_done(f)));
}

static enum flow_next note_subject(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    op->put->has_subject = op->manifest.has_subject;
    if (op->manifest.has_subject)
        op->put->subject = op->manifest.subject.digest;
    return FLOW_NEXT;
}

/* ---- is everything here that it names? ---- */

static size_t reference_count(const struct manifest_put_op *op)
{
    const struct config *config = op->registry->config;
    bool is_checked = op->manifest.kind == MANIFEST_INDEX ? config->validation.children : config->validation.layers;
    return is_checked ? op->manifest.child_count + (op->manifest.has_config ? 1 : 0) : 0;
}

static const struct descriptor *reference_at(const struct manifest_put_op *op, size_t i)
{
    if (op->manifest.has_config)
        return i == 0 ? &op->manifest.config : &op->manifest.children[i - 1];
    return &op->manifest.children[i];
}

static void note_missing(struct manifest_put_op *op, const struct digest *digest)
{
    struct manifest_put *put = op->put;
    if (put->missing == NULL)
        put->missing = ARENA_ARRAY(op->arena, struct digest, reference_count(op));
    for (size_t i = 0; i < put->missing_count; i++) {
        if (digest_equal(&put->missing[i], digest))
            return;
    }
    put->missing[put->missing_count++] = *digest;
}

/* What the look-up of the reference at `checked` said. */
static enum result take_answer(struct manifest_put_op *op, enum result r)
{
    op->is_asked = false;
    if (r == NOT_FOUND && op->manifest.kind == MANIFEST_INDEX && !op->is_looking_for_layer) {
        op->is_looking_for_layer = true; /* BuildKit's caches name layers in an index */
        return OK;
    }
    if (r == NOT_FOUND)
        note_missing(op, &op->lookup.digest);
    else if (r != OK)
        return r;
    op->is_looking_for_layer = false;
    op->checked++;
    return OK;
}

/* Again for each reference; those that the index knows go by without a turn of the flow. */
static enum flow_next check_references(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    size_t count = reference_count(op);
    enum result r = op->is_asked ? take_answer(op, flow_result(f)) : OK;
    while (r == OK && op->checked < count) {
        const struct descriptor *reference = reference_at(op, op->checked);
        if (reference->is_nondistributable) {
            op->checked++;
            continue;
        }
        bool is_revision = op->manifest.kind == MANIFEST_INDEX && !op->is_looking_for_layer;
        registry_int_lookup_digest(&op->lookup, op->registry, is_revision ? INDEX_REVISION : INDEX_LAYER, op->put->repo,
                                   &reference->digest);
        op->is_asked = true;
        if (!registry_int_lookup_is_known(&op->lookup, f))
            return flow_again(f, flow_call(f, &registry_int_lookup_program, &op->lookup));
        r = take_answer(op, OK);
    }
    if (r == OK && op->put->missing_count > 0)
        r = NOT_FOUND;
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

/* ---- publish ---- */

static enum flow_next store_bytes(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    struct slice path = layout_blob(op->arena, &op->put->digest);
    return flow_await_any(
        f, storage_put(op->registry->storage, path, op->put->bytes, STORAGE_PUT_CREATE_ONLY, flow_done(f)));
}

static enum flow_next link_revision(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r != OK && r != EXISTS)
        return flow_fail(f, r);
    return registry_int_link_digest(f, op->registry, INDEX_REVISION, op->put->repo, &op->put->digest);
}

static enum flow_next link_tag(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->put->reference.is_digest)
        return FLOW_NEXT;
    return registry_int_link_tag(f, op->registry, op->put->repo, op->put->reference.tag, &op->put->digest);
}

/* What the manifest names is looked at again here as soon as something can be deleted. */
static enum flow_next verify_stands(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    return registry_int_verify_stands(f, op->registry, &op->put->digest);
}

static enum flow_next keep(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    struct manifest_view view;
    registry_int_count(op->registry, f, METRIC_MANIFESTS_PUT);
    registry_int_cache_add(op->registry->manifests, &op->put->digest, op->manifest.media_type, op->put->bytes, &view);
    manifest_view_release(&view);
    return FLOW_NEXT;
}

static const struct flow_step put_steps[] = {
    {"check manifest", check_manifest},     {"note subject", note_subject},
    {"check references", check_references}, {"store bytes", store_bytes},
    {"link revision", link_revision},       {"link tag", link_tag},
    {"verify stands", verify_stands},       {"keep", keep},
};
static const struct flow_program put_program = {.name = "manifest_put", FLOW_STEPS(put_steps)};

enum flow_next manifest_put(struct flow *f, struct registry *registry, struct manifest_put *put)
{
    struct manifest_put_op *op = ARENA_NEW(flow_arena(f), struct manifest_put_op);
    op->registry = registry;
    op->put = put;
    op->arena = flow_arena(f);
    put->missing = NULL;
    put->missing_count = 0;
    put->has_subject = false;
    put->why = SLICE_EMPTY;
    return flow_call(f, &put_program, op);
}
