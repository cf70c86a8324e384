/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository lets go of a manifest, unless an index names it: the tags that point to it first, then its revision,
 * then its entry among the referrers of its subject. It is held alone meanwhile, so no push can name it half-way.
 */
#include "content_int.h"

#include <stdlib.h>

#define TAGS_AT_ONCE 1000u

struct manifest_delete_op {
    struct references_find find;
    struct slice name;
    struct digest *ret_by;
    struct held_lock held;
    struct lookup revision;
    struct storage_object layer; /* its link as a layer, in very old folders */
    bool has_layer;
    struct manifest_view view;
    struct manifest manifest;
    bool has_subject;
    struct reference fallback;
    struct lookup fallback_lookup;
    struct fence referrer;

    /* the tags that point to it */
    struct fan fan;
    struct list_read *tags;
    size_t asked;
    bool is_asking_tags;
    struct tag *pointing; /* malloc'ed; texts in the flow's arena */
    size_t pointing_count;
    size_t deleted;
};

static enum flow_next hold_manifest(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    return registry_int_hold(f, &op->held);
}

static enum flow_next look_for_revision(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    registry_int_lookup_digest(&op->revision, op->find.registry, INDEX_REVISION, op->find.repo, &op->find.digest);
    return flow_call(f, &registry_int_lookup_program, &op->revision);
}

/* Manifests of very old folders are linked as layers, and served by that link. */
static enum flow_next look_for_layer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    struct slice path = layout_layer_link(flow_arena(f), op->find.repo, &op->find.digest);
    return flow_await_any(f, storage_stat(op->find.registry->storage, path, &op->layer, flow_done(f)));
}

static enum flow_next note_layer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    op->has_layer = r == OK;
    op->find.is_child = !op->has_layer;
    return FLOW_NEXT;
}

/* ---- its subject ---- */

static enum flow_next read_manifest(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    struct reference reference = {.is_digest = true, .digest = op->find.digest};
    return flow_any(f, manifest_find(f, op->find.registry, op->find.repo, &reference, &op->view));
}

/* One that cannot be read can still be deleted, but what is linked as a layer only and is no manifest is a blob. */
static enum flow_next find_subject(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    enum result r = flow_result(f);
    bool is_layer_only = op->revision.links_tried > 1;
    if (r != OK && (!registry_int_is_unreadable(r) || (r == NOT_FOUND && is_layer_only)))
        return flow_fail(f, r);
    struct slice why;
    if (r != OK || manifest_parse(op->view.bytes, op->view.media_type, flow_arena(f), &op->manifest, &why) != OK)
        return FLOW_NEXT;
    op->has_subject = op->manifest.has_subject;
    return FLOW_NEXT;
}

/* The index of a fallback tag lists its subject's referrers; it does not keep them. */
static enum flow_next look_for_fallback(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (!op->has_subject)
        return FLOW_NEXT;
    struct tag tag = {registry_int_subject_tag(&op->manifest.subject.digest, flow_arena(f))};
    registry_int_lookup_tag(&op->fallback_lookup, op->find.registry, op->find.repo, tag);
    return flow_any(f, flow_call(f, &registry_int_lookup_program, &op->fallback_lookup));
}

static enum flow_next look_for_references(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    enum result r = op->has_subject ? flow_result(f) : NOT_FOUND;
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    if (r == OK) {
        op->find.has_ignored = true;
        op->find.ignored = op->fallback_lookup.value.digest;
    }
    return registry_int_find_references(f, &op->find);
}

/* ---- the tags that point to it ---- */

struct tag_question {
    struct manifest_delete_op *op;
    struct tag tag;
    struct lookup lookup;
};

static enum flow_next ask_what_it_names(struct flow *f)
{
    struct tag_question *q = flow_owner(f);
    registry_int_lookup_tag(&q->lookup, q->op->find.registry, q->op->find.repo, q->tag);
    return flow_any(f, flow_call(f, &registry_int_lookup_program, &q->lookup));
}

static enum flow_next note_tag(struct flow *f)
{
    struct tag_question *q = flow_owner(f);
    struct manifest_delete_op *op = q->op;
    enum result r = flow_result(f);
    if (r == NOT_FOUND || (r == OK && !digest_equal(&q->lookup.value.digest, &op->find.digest)))
        return FLOW_NEXT;
    if (r != OK)
        return flow_fail(f, r);
    op->pointing = xrealloc(op->pointing, (op->pointing_count + 1) * sizeof(op->pointing[0]));
    op->pointing[op->pointing_count++] = q->tag;
    return FLOW_NEXT;
}

static const struct flow_step question_steps[] = {
    {"ask what it names", ask_what_it_names},
    {"note tag", note_tag},
};
static const struct flow_program question_program = {.name = "tag_question", FLOW_STEPS(question_steps)};

static bool has_next_tag(struct fan *fan)
{
    const struct manifest_delete_op *op =
        (const struct manifest_delete_op *)((const char *)fan - offsetof(struct manifest_delete_op, fan));
    return op->asked < op->tags->page.count;
}

static const struct flow_program *take_next_tag(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct manifest_delete_op *op =
        (struct manifest_delete_op *)((char *)fan - offsetof(struct manifest_delete_op, fan));
    struct tag_question *q = ARENA_NEW(arena, struct tag_question);
    q->op = op;
    q->tag = (struct tag){op->tags->page.members[op->asked++].name};
    *ret_owner = q;
    return &question_program;
}

static enum flow_next read_tags(struct flow *f, struct manifest_delete_op *op, struct slice after)
{
    op->tags = registry_int_tags_read(f, op->find.registry, op->find.repo);
    op->tags->after = after;
    op->tags->limit = TAGS_AT_ONCE;
    op->asked = 0;
    op->fan = (struct fan){.has_next = has_next_tag, .take_next = take_next_tag};
    return flow_again(f, flow_call(f, &registry_int_list_read_program, op->tags));
}

/* By pages: one is read, then all on it are asked. */
static enum flow_next find_tags(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (op->find.is_found) {
        *op->ret_by = op->find.by;
        return flow_fail(f, CONFLICT);
    }
    if (op->tags == NULL)
        return read_tags(f, op, SLICE_EMPTY);
    if (flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    const struct index_list_page *page = &op->tags->page;
    op->is_asking_tags = !op->is_asking_tags;
    if (op->is_asking_tags)
        return flow_again(f, flow_call(f, &registry_int_fan_program, &op->fan));
    return page->has_more ? read_tags(f, op, page->members[page->count - 1].name) : FLOW_NEXT;
}

/* Again for each. One that names something else meanwhile stays. */
static enum flow_next delete_tags(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    enum result r = op->deleted > 0 ? flow_result(f) : OK;
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    if (op->deleted == op->pointing_count)
        return FLOW_NEXT;
    struct tag tag = op->pointing[op->deleted++];
    return flow_again(f, registry_int_tag_delete_if(f, op->find.registry, op->find.repo, tag, &op->find.digest));
}

/* ---- itself ---- */

static enum flow_next begin_referrer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (!op->has_subject)
        return FLOW_NEXT;
    if (op->referrer.registry == NULL)
        op->referrer = registry_int_fence_of_referrer(op->find.registry, op->find.repo, &op->manifest.subject.digest,
                                                      &op->find.digest, flow_arena(f));
    return registry_int_fences_begin(f, &op->referrer, 1);
}

static enum flow_next unlink_revision(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    return flow_any(f, registry_int_unlink_digest(f, &op->held, INDEX_REVISION, &op->find.digest));
}

static enum flow_next unlink_layer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    if (!op->has_layer)
        return FLOW_NEXT;
    return registry_int_unlink_digest(f, &op->held, INDEX_LAYER, &op->find.digest);
}

static enum flow_next remove_referrer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (!op->has_subject)
        return FLOW_NEXT;
    struct slice path = layout_referrer(flow_arena(f), op->find.repo, &op->manifest.subject.digest, &op->find.digest);
    enum result r = registry_int_write_begin(&op->held);
    if (r == OK)
        r = storage_delete(op->find.registry->storage, path, flow_done(f));
    return flow_await_any(f, r);
}

/* Without its revision the entry means nothing: whether it is gone does not decide. */
static enum flow_next note_removed(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (op->has_subject)
        registry_int_write_end(&op->held, flow_result(f));
    op->referrer.outcome = INDEX_MEMBER_ABSENT;
    return FLOW_NEXT;
}

static enum flow_next end_referrer(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    if (op->referrer.registry == NULL)
        return FLOW_NEXT;
    op->referrer.is_open = registry_int_is_unknown(flow_outcome(f));
    return registry_int_fences_end(f, &op->referrer, 1);
}

static enum flow_next let_go_of_manifest(struct flow *f)
{
    struct manifest_delete_op *op = flow_owner(f);
    return registry_int_let_go(f, &op->held);
}

static void release_delete(void *owner)
{
    struct manifest_delete_op *op = owner;
    manifest_view_release(&op->view);
    free(op->pointing);
}

static const struct flow_step manifest_delete_steps[] = {
    {"hold manifest", hold_manifest},
    {"look for revision", look_for_revision},
    {"look for layer", look_for_layer},
    {"note layer", note_layer},
    {"read manifest", read_manifest},
    {"find subject", find_subject},
    {"look for fallback", look_for_fallback},
    {"look for references", look_for_references},
    {"find tags", find_tags},
    {"delete tags", delete_tags},
    {"begin referrer", begin_referrer},
    {"unlink revision", unlink_revision},
    {"unlink layer", unlink_layer},
    {"remove referrer", remove_referrer},
    {"note removed", note_removed},
};
static const struct flow_step manifest_delete_finally[] = {
    {"end referrer", end_referrer},
    {"let go of manifest", let_go_of_manifest},
};
static const struct flow_program manifest_delete_program = {
    .name = "manifest_delete",
    FLOW_STEPS(manifest_delete_steps),
    FLOW_FINALLY(manifest_delete_finally),
    .dispose = release_delete,
};

enum flow_next manifest_delete(struct flow *f, struct registry *registry, struct repo_name repo,
                               const struct digest *digest, struct digest *ret_by)
{
    struct manifest_delete_op *op = ARENA_NEW(flow_arena(f), struct manifest_delete_op);
    op->find.registry = registry;
    op->find.repo = repo;
    op->find.digest = *digest;
    op->name = digest_text(digest, flow_arena(f));
    op->ret_by = ret_by;
    op->held.registry = registry;
    op->held.reaches_replicas = true;
    op->held.lock = (struct name_lock){.repo = repo, .names = &op->name, .count = 1, .is_exclusive = true};
    return flow_call(f, &manifest_delete_program, op);
}
