/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on names of repositories, in this process. All requests, held and waiting, in one queue in the order they came;
 * one is granted when nothing before it is in its way. Any thread: the mutex guards the queue and the requests' private
 * members. A grant to a waiter is reported on the loop that asked.
 */
#include "content_int.h"

#include <pthread.h>
#include <stdlib.h>

struct name_locks {
    pthread_mutex_t mutex;
    struct name_lock *first;
    struct name_lock *last;
    size_t waiting;
};

struct name_locks *registry_int_locks_new(void)
{
    struct name_locks *locks = xcalloc(1, sizeof(*locks));
    pthread_mutex_init(&locks->mutex, NULL);
    return locks;
}

void registry_int_locks_free(struct name_locks *locks)
{
    if (locks == NULL)
        return;
    pthread_mutex_destroy(&locks->mutex);
    free(locks);
}

static bool share_a_name(const struct name_lock *a, const struct name_lock *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < b->count; k++)
            if (slice_equal(a->names[i], b->names[k]))
                return true;
    return false;
}

static bool are_in_conflict(const struct name_lock *a, const struct name_lock *b)
{
    return (a->is_exclusive || b->is_exclusive) && slice_equal(a->repo.text, b->repo.text) && share_a_name(a, b);
}

static bool may_be_granted(const struct name_lock *lock)
{
    for (const struct name_lock *at = lock->earlier; at != NULL; at = at->earlier)
        if ((at->is_held || !lock->is_nested) && are_in_conflict(lock, at))
            return false;
    /* One that came later can hold already only if it is no hindrance to those before it, or is nested. */
    for (const struct name_lock *at = lock->later; at != NULL; at = at->later)
        if (at->is_held && are_in_conflict(lock, at))
            return false;
    return true;
}

static void report_grant(struct loop_task *task)
{
    struct name_lock *lock = (struct name_lock *)((char *)task - offsetof(struct name_lock, granted));
    done_call(lock->done, OK);
}

enum result registry_int_lock(struct name_locks *locks, struct name_lock *lock, struct done done)
{
    lock->done = done;
    lock->later = NULL;
    pthread_mutex_lock(&locks->mutex);
    lock->earlier = locks->last;
    *(locks->last != NULL ? &locks->last->later : &locks->first) = lock;
    locks->last = lock;
    lock->is_entered = true;
    lock->is_held = may_be_granted(lock);
    bool is_held = lock->is_held;
    if (!is_held)
        locks->waiting++;
    pthread_mutex_unlock(&locks->mutex);
    return is_held ? OK : PENDING;
}

static void grant_waiters(struct name_locks *locks)
{
    struct name_lock *next;
    for (struct name_lock *at = locks->first; at != NULL && locks->waiting > 0; at = next) {
        next = at->later;
        if (at->is_held || !may_be_granted(at))
            continue;
        at->is_held = true;
        locks->waiting--;
        at->granted.run = report_grant;
        loop_post(at->done.loop, &at->granted);
    }
}

void registry_int_unlock(struct name_locks *locks, struct name_lock *lock)
{
    if (!lock->is_entered)
        return;
    lock->is_entered = false;
    pthread_mutex_lock(&locks->mutex);
    *(lock->earlier != NULL ? &lock->earlier->later : &locks->first) = lock->later;
    *(lock->later != NULL ? &lock->later->earlier : &locks->last) = lock->earlier;
    grant_waiters(locks);
    pthread_mutex_unlock(&locks->mutex);
}

/* ---- for flows ---- */

enum flow_next registry_int_hold(struct flow *f, struct held_lock *held)
{
    if (held->ask.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&held->ask, &held->gate, f);
        held->store.wait_end_ms = clock_monotonic_ms(held->registry->clock) + LOCK_WAIT_MS;
        registry_int_pending_started(&held->ask, registry_int_lock(held->registry->locks, &held->lock, done));
    }
    enum flow_next next = registry_int_pending_await(f, &held->ask);
    return next == FLOW_NEXT ? registry_int_store_hold(f, held) : next;
}

enum flow_next registry_int_let_go(struct flow *f, struct held_lock *held)
{
    if (held->ask.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &held->gate);
    if (held->ask.state == PENDING_OVER) {
        enum flow_next next = registry_int_store_let_go(f, held);
        if (next != FLOW_NEXT)
            return next;
        registry_int_unlock(held->registry->locks, &held->lock);
    }
    held->ask.state = PENDING_IDLE;
    return FLOW_NEXT;
}
