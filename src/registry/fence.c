/* SPDX-License-Identifier: Apache-2.0
 *
 * Fences of the index round a write to the store: begun before it, ended when its outcome is known, left to expire when
 * nobody can say. On the flow's loop.
 */
#include "content_int.h"

bool registry_int_is_unknown(enum result r)
{
    return r == UNAVAILABLE || r == IO || r == CANCELLED;
}

struct fence registry_int_fence_of_repository(struct registry *registry, struct repo_name repo)
{
    return (struct fence){.registry = registry,
                          .is_of_list = true,
                          .list = {.kind = INDEX_LIST_REPOSITORIES},
                          .member = repo.text,
                          .outcome = INDEX_MEMBER_UNKNOWN};
}

struct fence registry_int_fence_of_tags(struct registry *registry, struct repo_name repo, struct tag tag)
{
    return (struct fence){.registry = registry,
                          .is_of_list = true,
                          .list = {.kind = INDEX_LIST_TAGS, .repo = repo},
                          .member = tag.text,
                          .outcome = INDEX_MEMBER_UNKNOWN};
}

enum flow_next registry_int_fence_begin(struct flow *f, struct fence *fence)
{
    if (fence->begin.state == PENDING_IDLE) {
        struct index *index = fence->registry->index;
        struct done done = registry_int_pending_done(&fence->begin, &fence->gate, f);
        enum result r = fence->is_of_list ? index_list_begin(index, fence->list, fence->member, &fence->write, done)
                                          : index_begin(index, fence->key, &fence->write, done);
        registry_int_pending_started(&fence->begin, r);
    }
    return registry_int_pending_await(f, &fence->begin);
}

/* What the write did, if it did it, is in the list when that is read again; what it may still do, when the fence
 * expires. A write of no member in particular makes the index forget the list. */
static enum flow_next forget_list(struct flow *f, struct fence *fence)
{
    struct index *index = fence->registry->index;
    if (fence->begin_doubt.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&fence->begin_doubt, &fence->gate, f);
        registry_int_pending_started(&fence->begin_doubt,
                                     index_list_begin(index, fence->list, SLICE_EMPTY, &fence->doubt, done));
    }
    if (fence->begin_doubt.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &fence->gate);
    fence->is_ended = true;
    if (fence->begin_doubt.result != OK)
        return FLOW_NEXT;
    return flow_await_any(f, index_list_end(index, fence->list, SLICE_EMPTY, fence->doubt, INDEX_MEMBER_UNKNOWN,
                                            SLICE_EMPTY, flow_done(f)));
}

enum flow_next registry_int_fence_end(struct flow *f, struct fence *fence)
{
    if (fence->begin.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &fence->gate);
    if (fence->begin.state != PENDING_OVER || fence->begin.result != OK || fence->is_ended)
        return FLOW_NEXT;
    if (fence->is_open)
        return fence->is_of_list ? forget_list(f, fence) : FLOW_NEXT;
    fence->is_ended = true;
    struct index *index = fence->registry->index;
    if (!fence->is_of_list)
        return flow_await_any(f, index_end(index, fence->key, fence->write, flow_done(f)));
    return flow_await_any(
        f, index_list_end(index, fence->list, fence->member, fence->write, fence->outcome, fence->data, flow_done(f)));
}
