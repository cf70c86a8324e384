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

/* ---- beginning ---- */

/* A write that begins this long after its fence still ends before the fence does: no call of a store takes longer than
 * STORE_CALL_MAX_MS, and the fence's time counts from when the index had it. */
#define STORE_CALL_MAX_MS 20000u
#define WRITE_WITHIN_MS (INDEX_WRITE_MAX_MS - STORE_CALL_MAX_MS - 5000u)

static void start_begin(struct flow *f, struct fence *fence)
{
    struct index *index = fence->registry->index;
    struct done done = registry_int_pending_done(&fence->begin, &fence->gate, f);
    fence->begun_ms = clock_monotonic_ms(fence->registry->clock);
    registry_int_pending_started(
        &fence->begin, fence->is_of_list ? index_list_begin(index, fence->list, fence->member, &fence->write, done)
                                         : index_begin(index, fence->key, &fence->write, done));
}

enum flow_next registry_int_fences_begin(struct flow *f, struct fence *fences, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fences[i].begin.state == PENDING_IDLE)
            start_begin(f, &fences[i]);
    for (size_t i = 0; i < count; i++) {
        enum flow_next next = registry_int_pending_await(f, &fences[i].begin);
        if (next != FLOW_NEXT)
            return next;
    }
    return FLOW_NEXT;
}

bool registry_int_fences_hold(const struct fence *fences, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (clock_monotonic_ms(fences[i].registry->clock) - fences[i].begun_ms > WRITE_WITHIN_MS)
            return false;
    return true;
}

/* ---- ending ---- */

static bool is_begun(const struct fence *fence)
{
    return fence->begin.state == PENDING_OVER && fence->begin.result == OK;
}

/* What the write did, if it did it, is in the list when that is read again; what it may still do, when the fence
 * expires. A write of no member in particular makes the index forget the list. */
static void start_doubt(struct flow *f, struct fence *fence)
{
    struct done done = registry_int_pending_done(&fence->begin_doubt, &fence->gate, f);
    registry_int_pending_started(
        &fence->begin_doubt, index_list_begin(fence->registry->index, fence->list, SLICE_EMPTY, &fence->doubt, done));
}

static void start_end(struct flow *f, struct fence *fence)
{
    struct index *index = fence->registry->index;
    struct done done = registry_int_pending_done(&fence->end, &fence->gate, f);
    enum result r = OK;
    if (fence->is_open && fence->is_of_list && fence->begin_doubt.result == OK)
        r = index_list_end(index, fence->list, SLICE_EMPTY, fence->doubt, INDEX_MEMBER_UNKNOWN, SLICE_EMPTY, done);
    else if (!fence->is_open && fence->is_of_list)
        r = index_list_end(index, fence->list, fence->member, fence->write, fence->outcome, fence->data, done);
    else if (!fence->is_open)
        r = index_end(index, fence->key, fence->write, done);
    registry_int_pending_started(&fence->end, r);
}

/* As far as it goes without waiting; true: at its end. */
static bool go_on(struct flow *f, struct fence *fence)
{
    if (fence->begin.state == PENDING_RUNNING)
        return false;
    if (!is_begun(fence))
        return true;
    bool has_doubt = fence->is_open && fence->is_of_list;
    if (has_doubt && fence->begin_doubt.state == PENDING_IDLE)
        start_doubt(f, fence);
    if (has_doubt && fence->begin_doubt.state == PENDING_RUNNING)
        return false;
    if (fence->end.state == PENDING_IDLE)
        start_end(f, fence);
    return fence->end.state == PENDING_OVER;
}

enum flow_next registry_int_fences_end(struct flow *f, struct fence *fences, size_t count)
{
    struct fence *waited_for = NULL;
    for (size_t i = 0; i < count; i++)
        if (!go_on(f, &fences[i]))
            waited_for = &fences[i];
    return waited_for != NULL ? registry_int_gate_wait(f, &waited_for->gate) : FLOW_NEXT;
}
