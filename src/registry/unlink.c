/* SPDX-License-Identifier: Apache-2.0
 *
 * Links taken away: inside the fence of the name that loses its meaning, and of the lists that show it. The bytes stay
 * for garbage collection. The caller holds the names.
 */
#include "content_int.h"

#include <stdlib.h>

/* ---- one object, in a flow of its own or in the caller's ---- */

struct removal {
    struct held_lock *held;
    struct slice path;
    bool *ret_is_removed; /* set if there was one */
};

static enum flow_next remove_object(struct flow *f)
{
    const struct removal *op = flow_owner(f);
    enum result r = registry_int_write_begin(op->held);
    if (r == OK)
        r = storage_delete(op->held->registry->storage, op->path, flow_done(f));
    return flow_await_any(f, r);
}

static enum flow_next judge_removal(struct flow *f)
{
    const struct removal *op = flow_owner(f);
    enum result r = flow_result(f);
    registry_int_write_end(op->held, r);
    if (r == OK)
        *op->ret_is_removed = true;
    return r == OK || r == NOT_FOUND ? FLOW_NEXT : flow_fail(f, r);
}

static const struct flow_step removal_steps[] = {
    {"remove object", remove_object},
    {"judge removal", judge_removal},
};
static const struct flow_program removal_program = {.name = "removal", FLOW_STEPS(removal_steps)};

/* ---- what a tag has ever named, by one digest algorithm ---- */

struct history {
    struct held_lock *held;
    struct folder_list list;
    struct slice *paths;
    bool *ret_is_removed;
};

static enum flow_next list_history(struct flow *f)
{
    struct history *op = flow_owner(f);
    return registry_int_list_folder(f, &op->list);
}

static enum flow_next remove_entries(struct flow *f)
{
    struct history *op = flow_owner(f);
    op->paths = ARENA_ARRAY(flow_arena(f), struct slice, op->list.count + 1);
    for (size_t i = 0; i < op->list.count; i++)
        op->paths[i] =
            arena_format(flow_arena(f), "%.*s/%.*s/link", SLICE_ARG(op->list.folder), SLICE_ARG(op->list.names[i]));
    enum result r = registry_int_write_begin(op->held);
    if (r == OK)
        r = storage_delete_many(op->list.registry->storage, op->paths, op->list.count, flow_done(f));
    return flow_await_any(f, r);
}

static enum flow_next judge_entries(struct flow *f)
{
    const struct history *op = flow_owner(f);
    enum result r = flow_result(f);
    registry_int_write_end(op->held, r);
    if (r != OK)
        return flow_fail(f, r);
    *op->ret_is_removed = *op->ret_is_removed || op->list.count > 0;
    return FLOW_NEXT;
}

/* A crash may have left its folder, which would be listed: a delete of any object in it takes the folders that are
 * empty. */
static enum flow_next remove_empty_folder(struct flow *f)
{
    struct history *op = flow_owner(f);
    if (op->list.count > 0)
        return FLOW_NEXT;
    struct removal *removal = ARENA_NEW(flow_arena(f), struct removal);
    removal->held = op->held;
    removal->path = arena_format(flow_arena(f), "%.*s/link", SLICE_ARG(op->list.folder));
    removal->ret_is_removed = op->ret_is_removed;
    return flow_call(f, &removal_program, removal);
}

static void free_history(void *owner)
{
    struct history *op = owner;
    free(op->list.names);
}

static const struct flow_step history_steps[] = {
    {"list history", list_history},
    {"remove entries", remove_entries},
    {"judge entries", judge_entries},
    {"remove empty folder", remove_empty_folder},
};
static const struct flow_program history_program = {
    .name = "tag_history",
    FLOW_STEPS(history_steps),
    .dispose = free_history,
};

/* ---- a link with its fences ---- */

enum { FENCE_VALUE, FENCE_REPOSITORIES, FENCE_TAGS, FENCE_REFERRERS, FENCES };

struct unlink {
    struct registry *registry;
    struct held_lock *held;
    struct repo_name repo;
    struct tag tag;
    bool is_tag;
    struct fence fences[FENCES];
    size_t fence_count;
    unsigned histories;
    struct removal link;
    bool is_removed;
};

static enum flow_next begin_fences(struct flow *f)
{
    struct unlink *op = flow_owner(f);
    return registry_int_fences_begin(f, op->fences, op->fence_count);
}

/* Again for each algorithm. */
static enum flow_next remove_history(struct flow *f)
{
    static const enum digest_algorithm algorithms[] = {DIGEST_SHA256, DIGEST_SHA512};
    struct unlink *op = flow_owner(f);
    if (op->histories > 0 && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (!op->is_tag || op->histories == sizeof(algorithms) / sizeof(algorithms[0]))
        return FLOW_NEXT;
    struct history *history = ARENA_NEW(flow_arena(f), struct history);
    history->held = op->held;
    history->list.registry = op->registry;
    history->list.folder = layout_tag_history_folder(flow_arena(f), op->repo, op->tag, algorithms[op->histories++]);
    history->ret_is_removed = &op->is_removed;
    return flow_again(f, flow_call(f, &history_program, history));
}

static enum flow_next remove_link(struct flow *f)
{
    struct unlink *op = flow_owner(f);
    if (!registry_int_fences_hold(op->fences, op->fence_count))
        return flow_fail(f, UNAVAILABLE);
    op->link.held = op->held;
    op->link.ret_is_removed = &op->is_removed;
    return flow_call(f, &removal_program, &op->link);
}

static enum flow_next look_for_repository(struct flow *f)
{
    const struct unlink *op = flow_owner(f);
    return flow_any(f, registry_int_find_repository(f, op->registry, op->repo));
}

static enum flow_next note_outcomes(struct flow *f)
{
    struct unlink *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r == OK || r == NOT_FOUND)
        op->fences[FENCE_REPOSITORIES].outcome = r == OK ? INDEX_MEMBER_PRESENT : INDEX_MEMBER_ABSENT;
    op->fences[FENCE_TAGS].outcome = INDEX_MEMBER_ABSENT;
    return op->is_removed ? FLOW_NEXT : flow_fail(f, NOT_FOUND);
}

static enum flow_next end_fences(struct flow *f)
{
    struct unlink *op = flow_owner(f);
    /* A cancelled flow has seen its last call end, but not what it said. */
    for (size_t i = 0; i < op->fence_count; i++)
        op->fences[i].is_open = registry_int_is_unknown(flow_outcome(f));
    return registry_int_fences_end(f, op->fences, op->fence_count);
}

static const struct flow_step unlink_steps[] = {
    {"begin fences", begin_fences},   {"remove history", remove_history},
    {"remove link", remove_link},     {"look for repository", look_for_repository},
    {"note outcomes", note_outcomes},
};
static const struct flow_step unlink_finally[] = {{"end fences", end_fences}};
static const struct flow_program unlink_program = {
    .name = "unlink",
    FLOW_STEPS(unlink_steps),
    FLOW_FINALLY(unlink_finally),
};

static struct unlink *unlink_new(struct flow *f, struct held_lock *held, struct index_key key)
{
    struct registry *registry = held->registry;
    struct repo_name repo = held->lock.repo;
    struct unlink *op = ARENA_NEW(flow_arena(f), struct unlink);
    op->registry = registry;
    op->held = held;
    op->repo = repo;
    op->fences[FENCE_VALUE] = (struct fence){.registry = registry, .key = key};
    op->fences[FENCE_REPOSITORIES] = registry_int_fence_of_repository(registry, repo);
    op->fence_count = FENCE_REPOSITORIES + 1;
    return op;
}

enum flow_next registry_int_unlink_digest(struct flow *f, struct held_lock *held, enum index_kind kind,
                                          const struct digest *digest)
{
    struct arena *arena = flow_arena(f);
    struct repo_name repo = held->lock.repo;
    struct index_key key = {.kind = kind, .repo = repo, .name = digest_text(digest, arena)};
    struct unlink *op = unlink_new(f, held, key);
    op->link.path =
        kind == INDEX_LAYER ? layout_layer_link(arena, repo, digest) : layout_revision_link(arena, repo, digest);
    return flow_call(f, &unlink_program, op);
}

enum flow_next registry_int_unlink_tag(struct flow *f, struct held_lock *held, struct tag tag)
{
    struct registry *registry = held->registry;
    struct repo_name repo = held->lock.repo;
    struct index_key key = {.kind = INDEX_TAG, .repo = repo, .name = tag.text};
    struct unlink *op = unlink_new(f, held, key);
    op->is_tag = true;
    op->tag = tag;
    op->link.path = layout_tag_current(flow_arena(f), repo, tag);
    op->fences[FENCE_TAGS] = registry_int_fence_of_tags(registry, repo, tag);
    op->fence_count = FENCE_TAGS + 1;
    if (registry_int_fence_of_referrers_tag(registry, repo, tag, &op->fences[FENCE_REFERRERS]))
        op->fence_count = FENCE_REFERRERS + 1;
    return flow_call(f, &unlink_program, op);
}
