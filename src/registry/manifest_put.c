/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting a manifest: is it one, is it what it is put under, has the repository everything it names; then bytes,
 * referrer, revision link, tag index, tag current, in this order, so that a reader never sees a name without its bytes.
 * All it names is held meanwhile, so that no delete takes it between the look and the link.
 */
#include "content_int.h"

#include <stdlib.h>

/* Descriptors with more than this are no use in a list of referrers. */
#define REFERRER_BYTES_MAX (256u * 1024u)

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

    struct held_lock held;
    const struct tag *tags; /* to set */
    size_t tag_count;
    size_t tags_set;

    /* what the tag, or the digest, stands for before: of a conditional put */
    struct slice current;
    struct storage_object current_object;
    bool has_object;
    enum link_guard guard;
    enum result link_result;

    struct slice descriptor; /* for the referrers of its subject */
    struct fence referrer;
    struct gate gate;
    struct pending_call put_referrer;
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
    if (!op->manifest.has_subject)
        return FLOW_NEXT;
    op->put->subject = op->manifest.subject.digest;
    op->descriptor = referrer_descriptor(&op->manifest, &op->put->digest, op->put->bytes.len, op->arena);
    if (op->descriptor.len <= REFERRER_BYTES_MAX)
        return FLOW_NEXT;
    op->put->why = SLICE("the annotations of a manifest with a subject must not be longer than 256 KiB");
    return flow_fail(f, INVALID);
}

/* ---- nothing of it may go meanwhile ---- */

static enum flow_next hold_names(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->held.registry == NULL) {
        size_t count = 0;
        struct slice *names = ARENA_ARRAY(op->arena, struct slice, op->manifest.child_count + op->tag_count + 2);
        names[count++] = digest_text(&op->put->digest, op->arena);
        if (op->manifest.has_config)
            names[count++] = digest_text(&op->manifest.config.digest, op->arena);
        for (size_t i = 0; i < op->manifest.child_count; i++)
            names[count++] = digest_text(&op->manifest.children[i].digest, op->arena);
        for (size_t i = 0; i < op->tag_count; i++)
            names[count++] = op->tags[i].text;
        op->held.registry = op->registry;
        op->held.reaches_replicas = true;
        op->held.lock = (struct name_lock){.repo = op->put->repo, .names = names, .count = count};
    }
    return registry_int_hold(f, &op->held);
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
    put->missing[put->missing_count++] = *digest;
}

static int compare_digests(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct digest));
}

/* Each is told of once. */
static void sort_missing(struct manifest_put *put)
{
    size_t kept = 0;
    qsort(put->missing, put->missing_count, sizeof(put->missing[0]), compare_digests);
    for (size_t i = 0; i < put->missing_count; i++)
        if (kept == 0 || !digest_equal(&put->missing[kept - 1], &put->missing[i]))
            put->missing[kept++] = put->missing[i];
    put->missing_count = kept;
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
    if (r == OK && op->put->missing_count > 0) {
        sort_missing(op->put);
        r = NOT_FOUND;
    }
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

/* ---- does the condition hold? RFC 9110, 13.1 ---- */

static bool is_conditional(const struct manifest_put *put)
{
    return put->if_match.is_given || put->if_none_match.is_given;
}

static bool list_names(const struct manifest_condition *condition, const struct digest *digest)
{
    for (size_t i = 0; i < condition->count; i++)
        if (digest_equal(&condition->digests[i], digest))
            return true;
    return condition->is_any;
}

/* `current` is NULL when there is none. */
static bool condition_holds(const struct manifest_put *put, const struct digest *current)
{
    if (put->if_match.is_given && (current == NULL || !list_names(&put->if_match, current)))
        return false;
    return !(put->if_none_match.is_given && current != NULL && list_names(&put->if_none_match, current));
}

static enum flow_next read_current(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (!is_conditional(op->put))
        return FLOW_NEXT;
    struct slice path = op->put->reference.is_digest ? layout_revision_link(op->arena, op->put->repo, &op->put->digest)
                                                     : layout_tag_current(op->arena, op->put->repo, op->tags[0]);
    return flow_await_any(f, storage_get(op->registry->storage, path, LINK_BYTES_MAX, op->arena, &op->current,
                                         &op->current_object, flow_done(f)));
}

/* An empty or broken link counts as absent, but it is there: it can only be replaced. */
static enum flow_next check_condition(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (!is_conditional(op->put))
        return FLOW_NEXT;
    enum result r = flow_result(f);
    if (r != OK && r != NOT_FOUND && r != TOO_LARGE)
        return flow_fail(f, r);
    struct digest named;
    bool is_named = r == OK && registry_int_link_parse(op->current, &named) == OK;
    op->has_object = r != NOT_FOUND;
    op->guard = op->has_object ? LINK_MATCHES : LINK_CREATES;
    if (op->guard == LINK_MATCHES && !storage_capabilities(op->registry->storage).can_put_if_match) {
        op->put->why = SLICE("this registry's store cannot compare and swap: send no If-Match and no If-None-Match");
        return flow_fail(f, UNSUPPORTED);
    }
    return condition_holds(op->put, is_named ? &named : NULL) ? FLOW_NEXT : flow_fail(f, CONFLICT);
}

/* ---- publish ---- */

static enum flow_next store_bytes(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    struct slice path = layout_blob(op->arena, &op->put->digest);
    return flow_await_any(
        f, storage_put(op->registry->storage, path, op->put->bytes, STORAGE_PUT_CREATE_ONLY, flow_done(f)));
}

static enum flow_next begin_referrer(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (op->referrer.registry == NULL && r != OK && r != EXISTS)
        return flow_fail(f, r);
    if (!op->manifest.has_subject)
        return FLOW_NEXT;
    if (op->referrer.registry == NULL) {
        op->referrer =
            registry_int_fence_of_referrer(op->registry, op->put->repo, &op->put->subject, &op->put->digest, op->arena);
        op->referrer.data = registry_int_referrer_data(op->manifest.artifact_type, op->descriptor, op->arena);
    }
    return registry_int_fences_begin(f, &op->referrer, 1);
}

static enum flow_next put_referrer(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (!op->manifest.has_subject)
        return FLOW_NEXT;
    if (op->put_referrer.state == PENDING_IDLE) {
        struct slice path = layout_referrer(op->arena, op->put->repo, &op->put->subject, &op->put->digest);
        struct done done = registry_int_pending_done(&op->put_referrer, &op->gate, f);
        enum result r = registry_int_write_begin(&op->held);
        if (r == OK)
            r = storage_put(op->registry->storage, path, op->descriptor, 0, done);
        registry_int_pending_started(&op->put_referrer, r);
    }
    return registry_int_pending_await(f, &op->put_referrer);
}

static enum flow_next link_revision(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    return registry_int_link_digest(f, op->registry, &op->held, INDEX_REVISION, op->put->repo, &op->put->digest,
                                    &op->put->digest);
}

static enum flow_next note_referrer(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    op->referrer.outcome = INDEX_MEMBER_PRESENT;
    return FLOW_NEXT;
}

/* A tag under a condition. When its outcome is not known the store is asked what the tag names now. A refusal stands,
 * also where the tag names this manifest: somebody else put the same, and two did not swap the same tag. */
static enum flow_next link_tag_if(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->guard == LINK_REPLACES || op->put->reference.is_digest)
        return FLOW_NEXT;
    op->tags_set = 1;
    return flow_any(f, registry_int_link_tag(f, &op->held, op->tags[0], &op->put->digest, op->guard,
                                             slice_from_cstr(op->current_object.etag)));
}

static enum flow_next read_again(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    op->link_result = op->guard == LINK_REPLACES || op->put->reference.is_digest ? OK : flow_result(f);
    if (op->link_result == OK)
        return FLOW_NEXT;
    if (!registry_int_is_unknown(op->link_result))
        return flow_fail(f, op->link_result);
    struct slice path = layout_tag_current(op->arena, op->put->repo, op->tags[0]);
    return flow_await_any(
        f, storage_get(op->registry->storage, path, LINK_BYTES_MAX, op->arena, &op->current, NULL, flow_done(f)));
}

static enum flow_next compare_again(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    struct digest named;
    if (op->link_result == OK)
        return FLOW_NEXT;
    bool is_ours = flow_result(f) == OK && registry_int_link_parse(op->current, &named) == OK &&
                   digest_equal(&named, &op->put->digest);
    return is_ours ? FLOW_NEXT : flow_fail(f, op->link_result);
}

/* It is ours, and nobody deletes it while its name is held; what the write left undone when it seemed to fail is made
 * up for: its history, and the list of tags, which must show it before the client is told. */
static enum flow_next link_history(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->link_result == OK)
        return FLOW_NEXT;
    op->link_result = OK;
    return registry_int_link_tag(f, &op->held, op->tags[0], &op->put->digest, LINK_STANDS, SLICE_EMPTY);
}

/* Again for each. */
static enum flow_next link_tags(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->tags_set > 0 && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (op->tags_set == op->tag_count)
        return FLOW_NEXT;
    struct tag tag = op->tags[op->tags_set++];
    return flow_again(f, registry_int_link_tag(f, &op->held, tag, &op->put->digest, LINK_REPLACES, SLICE_EMPTY));
}

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

static enum flow_next end_referrer(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    if (op->put_referrer.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->gate);
    if (op->put_referrer.state == PENDING_OVER)
        registry_int_write_end(&op->held, op->put_referrer.result);
    op->put_referrer.state = PENDING_IDLE;
    if (op->referrer.registry == NULL)
        return FLOW_NEXT;
    op->referrer.is_open = op->referrer.outcome != INDEX_MEMBER_PRESENT && registry_int_is_unknown(flow_outcome(f));
    return registry_int_fences_end(f, &op->referrer, 1);
}

static enum flow_next let_go_of_names(struct flow *f)
{
    struct manifest_put_op *op = flow_owner(f);
    return registry_int_let_go(f, &op->held);
}

static const struct flow_step put_steps[] = {
    {"check manifest", check_manifest}, {"note subject", note_subject},
    {"hold names", hold_names},         {"check references", check_references},
    {"read current", read_current},     {"check condition", check_condition},
    {"store bytes", store_bytes},       {"begin referrer", begin_referrer},
    {"put referrer", put_referrer},     {"link revision", link_revision},
    {"note referrer", note_referrer},   {"link tag if", link_tag_if},
    {"read again", read_again},         {"compare again", compare_again},
    {"link history", link_history},     {"link tags", link_tags},
    {"verify stands", verify_stands},   {"keep", keep},
};
static const struct flow_step put_finally[] = {
    {"end referrer", end_referrer},
    {"let go of names", let_go_of_names},
};
static const struct flow_program put_program = {
    .name = "manifest_put",
    FLOW_STEPS(put_steps),
    FLOW_FINALLY(put_finally),
};

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
    op->tags = put->reference.is_digest ? put->tags : &put->reference.tag;
    op->tag_count = put->reference.is_digest ? put->tag_count : 1;
    return flow_call(f, &put_program, op);
}
