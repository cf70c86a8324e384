/* SPDX-License-Identifier: Apache-2.0
 *
 * Links written: inside the fence of the name they give a meaning to, and of the list that shows the name.
 */
#include "content_int.h"

enum { FENCE_VALUE, FENCE_LIST, FENCE_REFERRERS, FENCES };

struct link_write {
    struct registry *registry;
    struct held_lock *held;
    struct digest target;
    struct slice paths[2];
    size_t path_count;
    enum link_guard guard; /* of the first path */
    struct slice etag;

    struct fence fences[FENCES];
    size_t fence_count; /* without the last, unless a tag carries referrers */
    char text[DIGEST_TEXT_MAX];
    size_t written;
    struct gate gate;
    struct pending_call put;
};

static enum flow_next begin_fences(struct flow *f)
{
    struct link_write *w = flow_owner(f);
    return registry_int_fences_begin(f, w->fences, w->fence_count);
}

static enum result put_link(struct link_write *w, struct done done)
{
    struct storage *storage = w->registry->storage;
    struct slice path = w->paths[w->written];
    enum result r = registry_int_write_begin(w->held);
    if (r != OK)
        return r;
    struct slice text = {w->text, digest_format(&w->target, w->text)};
    if (w->guard == LINK_MATCHES && w->written == 0)
        return storage_put_if_match(storage, path, text, w->etag, done);
    return storage_put(storage, path, text, w->guard == LINK_CREATES && w->written == 0 ? STORAGE_PUT_CREATE_ONLY : 0,
                       done);
}

static enum flow_next write_links(struct flow *f)
{
    struct link_write *w = flow_owner(f);
    if (w->put.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->gate);
    if (w->put.state == PENDING_OVER) {
        enum result r = w->put.result;
        bool is_refused = r == EXISTS || r == CONFLICT || (r == NOT_FOUND && w->guard == LINK_MATCHES);
        if (r != OK)
            return flow_fail(f, is_refused ? CONFLICT : r);
        registry_int_write_end(w->held, OK);
        w->put.state = PENDING_IDLE;
        w->written++;
    }
    if (w->written == w->path_count) {
        w->fences[FENCE_LIST].outcome = INDEX_MEMBER_PRESENT;
        return FLOW_NEXT;
    }
    if (!registry_int_fences_hold(w->fences, w->fence_count))
        return flow_fail(f, UNAVAILABLE);
    struct done done = registry_int_pending_done(&w->put, &w->gate, f);
    registry_int_pending_started(&w->put, put_link(w, done));
    return FLOW_AGAIN;
}

/* A guard that did not hold says what the list has: that the link is there, or that it is not. */
static enum index_list_outcome outcome_of_refusal(enum result r)
{
    if (r == EXISTS || r == CONFLICT)
        return INDEX_MEMBER_PRESENT;
    return r == NOT_FOUND ? INDEX_MEMBER_ABSENT : INDEX_MEMBER_UNKNOWN;
}

static enum flow_next see_to_the_put(struct flow *f)
{
    struct link_write *w = flow_owner(f);
    if (w->put.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->gate);
    if (w->put.state == PENDING_OVER)
        registry_int_write_end(w->held, w->put.result);
    if (w->put.state == PENDING_OVER && w->put.result != OK) {
        for (size_t i = 0; i < w->fence_count; i++)
            w->fences[i].is_open = registry_int_is_unknown(w->put.result);
        w->fences[FENCE_LIST].outcome = w->written == 0 ? outcome_of_refusal(w->put.result) : INDEX_MEMBER_UNKNOWN;
    }
    return FLOW_NEXT;
}

static enum flow_next end_fences(struct flow *f)
{
    struct link_write *w = flow_owner(f);
    return registry_int_fences_end(f, w->fences, w->fence_count);
}

static const struct flow_step link_write_steps[] = {
    {"begin fences", begin_fences},
    {"write links", write_links},
};
static const struct flow_step link_write_finally[] = {
    {"see to the put", see_to_the_put},
    {"end fences", end_fences},
};
static const struct flow_program link_write_program = {
    .name = "link_write",
    FLOW_STEPS(link_write_steps),
    FLOW_FINALLY(link_write_finally),
};

enum flow_next registry_int_link_digest(struct flow *f, struct registry *registry, struct held_lock *held,
                                        enum index_kind kind, struct repo_name repo, const struct digest *digest,
                                        const struct digest *target)
{
    struct arena *arena = flow_arena(f);
    struct link_write *w = ARENA_NEW(arena, struct link_write);
    w->registry = registry;
    w->held = held;
    w->target = *target;
    w->fences[FENCE_VALUE].registry = registry;
    w->fences[FENCE_VALUE].key = (struct index_key){.kind = kind, .repo = repo, .name = digest_text(digest, arena)};
    w->fences[FENCE_LIST] = registry_int_fence_of_repository(registry, repo);
    w->fence_count = FENCE_LIST + 1;
    w->paths[0] =
        kind == INDEX_LAYER ? layout_layer_link(arena, repo, digest) : layout_revision_link(arena, repo, digest);
    w->path_count = 1;
    return flow_call(f, &link_write_program, w);
}

/* What it has ever named, then what it names now. With a guard it is the other way round: a tag that is refused must
 * not be left with a history, for which Docker Registry would list it. */
enum flow_next registry_int_link_tag(struct flow *f, struct held_lock *held, struct tag tag,
                                     const struct digest *digest, enum link_guard guard, struct slice etag)
{
    struct arena *arena = flow_arena(f);
    struct registry *registry = held->registry;
    struct repo_name repo = held->lock.repo;
    struct link_write *w = ARENA_NEW(arena, struct link_write);
    w->registry = registry;
    w->held = held;
    w->target = *digest;
    w->fences[FENCE_VALUE].registry = registry;
    w->fences[FENCE_VALUE].key = (struct index_key){.kind = INDEX_TAG, .repo = repo, .name = tag.text};
    w->fences[FENCE_LIST] = registry_int_fence_of_tags(registry, repo, tag);
    bool has_referrers = registry_int_fence_of_referrers_tag(registry, repo, tag, &w->fences[FENCE_REFERRERS]);
    w->fence_count = has_referrers ? FENCES : FENCE_LIST + 1;
    w->guard = guard;
    w->etag = etag;
    if (guard == LINK_CREATES || guard == LINK_MATCHES)
        w->paths[w->path_count++] = layout_tag_current(arena, repo, tag);
    w->paths[w->path_count++] = layout_tag_index(arena, repo, tag, digest);
    if (guard == LINK_REPLACES)
        w->paths[w->path_count++] = layout_tag_current(arena, repo, tag);
    return flow_call(f, &link_write_program, w);
}
