/* SPDX-License-Identifier: Apache-2.0
 *
 * A lock's object in the store while it is held, and its end: renewals, the writes of links that are made under it, and
 * whether it may be removed. The protocol is told in store_lock.c. All on the flow's loop.
 */
#include "content_int.h"

static uint64_t now_ms(const struct registry *registry)
{
    return clock_monotonic_ms(registry->clock);
}

static struct storage *storage_of(const struct held_lock *held)
{
    return held->registry->storage;
}

bool registry_int_is_stale(const struct registry *registry, const struct store_time *time,
                           const struct storage_object *object)
{
    if (time->store_ms == 0 || object->modified_ms == 0) /* the store did not say */
        return false;
    return time->store_ms + (now_ms(registry) - time->own_ms) > object->modified_ms + LOCK_STALE_MS;
}

/* ---- renewals: by a timer, beside the flow that holds ---- */

static void on_renewal_due(struct timer *timer);

static void wait_for_renewal(struct held_lock *held)
{
    timer_start(flow_loop(held->store.flow), &held->store.timer, held->registry->lock_renew_ms, on_renewal_due);
}

/* A renewal counts if it was confirmed within the lease that it goes on from. */
static void take_renewal(struct held_lock *held)
{
    struct store_lock *own = &held->store;
    if (own->renewal.state == PENDING_OVER && own->renewal.result == OK && now_ms(held->registry) < own->lease_end_ms)
        own->lease_end_ms = own->renewed_ms + LOCK_LEASE_MS;
    if (own->renewal.state == PENDING_OVER)
        own->renewal.state = PENDING_IDLE;
}

static void on_renewal_due(struct timer *timer)
{
    struct store_lock *own = (struct store_lock *)(void *)((char *)timer - offsetof(struct store_lock, timer));
    struct held_lock *held = (struct held_lock *)(void *)((char *)own - offsetof(struct held_lock, store));
    take_renewal(held);
    if (now_ms(held->registry) >= own->lease_end_ms)
        return;
    if (own->renewal.state == PENDING_IDLE) {
        own->renewed_ms = now_ms(held->registry);
        struct done done = registry_int_pending_done(&own->renewal, &held->gate, own->flow);
        registry_int_pending_started(&own->renewal, storage_put(storage_of(held), own->path, own->body, 0, done));
    }
    wait_for_renewal(held);
}

void registry_int_lease_begin(const struct flow *f, struct held_lock *held)
{
    held->store.lease_end_ms = held->store.written_ms + LOCK_LEASE_MS;
    held->store.flow = f;
    wait_for_renewal(held);
}

/* ---- writes under it ---- */

enum result registry_int_write_begin(struct held_lock *held)
{
    if (held == NULL || held->store.path.len == 0)
        return OK;
    if (now_ms(held->registry) >= held->store.lease_end_ms)
        return UNAVAILABLE;
    held->store.in_doubt++;
    return OK;
}

void registry_int_write_end(struct held_lock *held, enum result r)
{
    if (held != NULL && held->store.path.len > 0 && !registry_int_is_unknown(r))
        held->store.in_doubt--;
}

/* ---- let go ---- */

/* An intent removed when its push has been answered, in a flow of its own; and before that the stray mark, if stale. */
struct farewell {
    struct registry *registry;
    unsigned loop;
    struct slice path;
    struct slice stray;
    struct storage_object mark;
    struct storage_object own;
};

static enum flow_next look_at_stray(struct flow *f)
{
    struct farewell *op = flow_owner(f);
    if (op->stray.len == 0)
        return FLOW_NEXT;
    return flow_await_any(f, storage_stat(op->registry->storage, op->stray, &op->mark, flow_done(f)));
}

static enum flow_next ask_own_time(struct flow *f)
{
    struct farewell *op = flow_owner(f);
    if (op->stray.len == 0 || flow_result(f) != OK) {
        op->stray = SLICE_EMPTY;
        return FLOW_NEXT;
    }
    return flow_await_any(f, storage_stat(op->registry->storage, op->path, &op->own, flow_done(f)));
}

static enum flow_next remove_stray(struct flow *f)
{
    const struct farewell *op = flow_owner(f);
    if (op->stray.len == 0 || flow_result(f) != OK)
        return FLOW_NEXT;
    struct store_time time = {.store_ms = op->own.modified_ms, .own_ms = now_ms(op->registry)};
    if (!registry_int_is_stale(op->registry, &time, &op->mark))
        return FLOW_NEXT;
    return flow_await_any(f, storage_delete(op->registry->storage, op->stray, flow_done(f)));
}

static enum flow_next remove_intent(struct flow *f)
{
    const struct farewell *op = flow_owner(f);
    return flow_await_any(f, storage_delete(op->registry->storage, op->path, flow_done(f)));
}

static const struct flow_step farewell_steps[] = {
    {"look at stray", look_at_stray},
    {"ask own time", ask_own_time},
    {"remove stray", remove_stray},
    {"remove intent", remove_intent},
};
static const struct flow_program farewell_program = {.name = "lock_farewell", FLOW_STEPS(farewell_steps)};

static void on_farewell_over(void *data, enum result outcome)
{
    const struct farewell *op = data;
    const struct registry_background *background = &op->registry->background;
    (void)outcome; /* what is left becomes stale */
    if (background->ended != NULL)
        background->ended(background->data, op->loop);
}

static void remove_later(struct flow *f, struct held_lock *held, struct slice path)
{
    struct registry *registry = held->registry;
    struct flow *own = flow_new(flow_loop(f));
    struct farewell *op = ARENA_NEW(flow_arena(own), struct farewell);
    op->registry = registry;
    op->loop = loop_index(flow_loop(f));
    op->path = arena_copy(flow_arena(own), path);
    op->stray = arena_copy(flow_arena(own), held->store.stray);
    if (registry->background.begun != NULL)
        registry->background.begun(registry->background.data, op->loop);
    flow_start(own, &farewell_program, op, on_farewell_over, op);
}

/* A write that may still arrive keeps the others out until the object is stale. Else a mark is removed before the
 * answer, so that a push after it does not find it; an intent after it, as pushes are in a hurry. */
enum flow_next registry_int_store_let_go(struct flow *f, struct held_lock *held)
{
    struct store_lock *own = &held->store;
    timer_stop(&own->timer);
    if (own->renewal.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &held->gate);
    struct slice path = own->path;
    own->path = SLICE_EMPTY;
    if (path.len == 0 || own->in_doubt > 0)
        return FLOW_NEXT;
    if (held->lock.is_exclusive)
        return flow_await_again(f, storage_delete(storage_of(held), path, flow_done(f)));
    remove_later(f, held, path);
    return FLOW_NEXT;
}
