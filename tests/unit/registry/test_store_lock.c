/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on names among replicas: two registries on one store, without an index. Who waits for whom, when an object
 * counts as dead, and what it costs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "await.h"
#include "content.h"
#include "src/registry/content_int.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define UUID "01234567-89ab-4def-8123-456789abcdef"
#define PUSHES "minato/locks/library/test/_pushes"
#define DELETES "minato/locks/library/test/_deletes"

struct pair {
    struct env a;
    struct env b; /* the other replica; the store's clock is a's */
};

static int set_up(void **state)
{
    struct pair *p = xcalloc(1, sizeof(*p));
    env_init(&p->a, ENV_DEFERRED | ENV_SHARED | ENV_NO_INDEX);
    env_fresh(&p->a, &p->b);
    p->a.registry->lock_pause_ms = 1;
    p->b.registry->lock_pause_ms = 1;
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;
    env_fresh_done(&p->b);
    env_done(&p->a);
    free(p);
    return 0;
}

static void time_passes(struct pair *p, uint64_t ms)
{
    p->a.now_ms += ms;
    p->b.now_ms += ms;
}

/* ---- somebody who holds names until told ---- */

struct holder {
    struct env *env;
    struct slice names[2];
    struct held_lock held;
    struct flow *flow;
    struct done told;
    bool is_holding;
    bool is_over;
    enum result outcome;
};

static enum flow_next hold(struct flow *f)
{
    struct holder *h = flow_owner(f);
    return registry_int_hold(f, &h->held);
}

static enum flow_next wait_to_be_told(struct flow *f)
{
    struct holder *h = flow_owner(f);
    h->is_holding = true;
    h->told = flow_done(f);
    return flow_await(f, PENDING);
}

static enum flow_next let_go(struct flow *f)
{
    struct holder *h = flow_owner(f);
    return registry_int_let_go(f, &h->held);
}

static const struct flow_step holder_steps[] = {{"hold", hold}, {"wait to be told", wait_to_be_told}};
static const struct flow_step holder_finally[] = {{"let go", let_go}};
static const struct flow_program holder_program = {
    .name = "holder", FLOW_STEPS(holder_steps), FLOW_FINALLY(holder_finally)};

static void on_end(void *data, enum result outcome)
{
    struct holder *h = data;
    h->is_over = true;
    h->outcome = outcome;
}

static void begin(struct holder *h, struct env *env, bool is_exclusive, const char *first, const char *second)
{
    *h = (struct holder){.env = env};
    h->names[0] = slice_from_cstr(first);
    h->names[1] = second == NULL ? SLICE_EMPTY : slice_from_cstr(second);
    h->held.registry = env->registry;
    h->held.reaches_replicas = true;
    h->held.lock = (struct name_lock){
        .repo = {env->repo}, .names = h->names, .count = second == NULL ? 1 : 2, .is_exclusive = is_exclusive};
    h->flow = flow_new(env->loop);
    flow_start(h->flow, &holder_program, h, on_end, h);
}

static void settle(struct env *env)
{
    for (unsigned i = 0; i < 30; i++)
        loop_run_once(env->loop, 1);
}

static void push(struct holder *h, struct env *env, const char *first, const char *second)
{
    begin(h, env, false, first, second);
    settle(env);
}

static void delete_one(struct holder *h, struct env *env, const char *name)
{
    begin(h, env, true, name, NULL);
    settle(env);
}

static void tell(struct holder *h)
{
    assert_true(h->is_holding);
    done_call(h->told, OK);
    await_flag(h->env->loop, &h->is_over);
    assert_int_equal(h->outcome, OK);
    settle(h->env);
}

/* ---- what is in the store ---- */

static size_t count_below(struct pair *p, const char *folder)
{
    size_t count = 0;
    for (size_t i = 0; i < memory_driver_object_count(p->a.memory); i++)
        count += slice_has_prefix(memory_driver_object_path(p->a.memory, i), slice_from_cstr(folder));
    return count;
}

static void assert_nothing_is_left(struct pair *p)
{
    assert_int_equal(count_below(p, "minato/locks"), 0);
}

static void store(struct pair *p, const char *path, struct slice bytes)
{
    assert_int_equal(content_store(&p->a, slice_from_cstr(path), bytes), OK);
}

/* ---- what it costs ---- */

static unsigned calls_of(struct pair *p, bool is_exclusive)
{
    struct holder h;
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 0});
    begin(&h, &p->a, is_exclusive, DIGEST_A, NULL);
    settle(&p->a);
    tell(&h);
    return fault_driver_calls(p->a.fault);
}

static void a_lock_that_nobody_wants_costs_three_requests(void **state)
{
    assert_int_equal(calls_of(*state, false), 3);
    assert_int_equal(calls_of(*state, true), 3);
    assert_nothing_is_left(*state);
}

static void where_nothing_can_be_deleted_it_costs_none(void **state)
{
    struct pair *p = *state;
    p->a.config.storage.delete_enabled = false;
    assert_int_equal(calls_of(p, false), 0);
}

static void on_a_store_of_one_process_it_costs_none(void **unused)
{
    (void)unused;
    struct env env;
    struct holder h;
    env_init(&env, ENV_DEFERRED);
    fault_driver_plan(env.fault, (struct fault_plan){.nth = 0});
    push(&h, &env, DIGEST_A, NULL);
    tell(&h);
    assert_int_equal(fault_driver_calls(env.fault), 0);
    env_done(&env);
}

static void a_push_is_answered_before_its_intent_is_removed(void **state)
{
    struct pair *p = *state;
    struct holder h;
    push(&h, &p->a, DIGEST_A, "v1");
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 1, .call = "delete", .kind = FAULT_HOLD, .result = OK});
    done_call(h.told, OK);
    assert_true(h.is_over);
    assert_int_equal(p->a.background, 1);
    assert_int_equal(count_below(p, PUSHES), 1);
    fault_driver_release(p->a.fault);
    env_wait_for_background(&p->a);
    assert_nothing_is_left(p);
}

static void a_delete_is_answered_after_its_mark_is_removed(void **state)
{
    struct pair *p = *state;
    struct holder h;
    delete_one(&h, &p->a, "v1");
    assert_int_equal(count_below(p, DELETES "/t.v1."), 1);
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 1, .call = "delete", .kind = FAULT_HOLD, .result = OK});
    done_call(h.told, OK);
    settle(&p->a);
    assert_false(h.is_over);
    fault_driver_release(p->a.fault);
    await_flag(p->a.loop, &h.is_over);
    assert_nothing_is_left(p);
}

/* ---- who waits for whom ---- */

static void a_delete_waits_for_a_push_at_another_replica(void **state)
{
    struct pair *p = *state;
    struct holder pushes, deletes, other;
    push(&pushes, &p->a, DIGEST_A, "v1");
    delete_one(&deletes, &p->b, "v1");
    delete_one(&other, &p->b, DIGEST_B);
    assert_true(pushes.is_holding && other.is_holding);
    assert_false(deletes.is_holding);
    tell(&pushes);
    settle(&p->b);
    assert_true(deletes.is_holding);
    tell(&deletes);
    tell(&other);
    assert_nothing_is_left(p);
}

static void a_push_waits_for_a_delete_at_another_replica(void **state)
{
    struct pair *p = *state;
    struct holder pushes, deletes, other;
    delete_one(&deletes, &p->a, DIGEST_A);
    push(&pushes, &p->b, DIGEST_B, DIGEST_A);
    push(&other, &p->b, DIGEST_B, "v1");
    assert_true(deletes.is_holding && other.is_holding);
    assert_false(pushes.is_holding);
    assert_int_equal(count_below(p, PUSHES), 1); /* who waits is not waited for */
    tell(&deletes);
    settle(&p->b);
    assert_true(pushes.is_holding);
    assert_int_equal(count_below(p, PUSHES), 2);
    tell(&pushes);
    tell(&other);
    assert_nothing_is_left(p);
}

static void deletes_of_one_name_at_two_replicas_do_not_wait(void **state)
{
    struct pair *p = *state;
    struct holder first, second;
    delete_one(&first, &p->a, DIGEST_A);
    delete_one(&second, &p->b, DIGEST_A);
    assert_true(first.is_holding && second.is_holding);
    tell(&first);
    assert_int_equal(count_below(p, DELETES), 1);
    tell(&second);
    assert_nothing_is_left(p);
}

static void a_push_waits_for_all_deletes_of_its_names(void **state)
{
    struct pair *p = *state;
    struct holder pushes, deletes[3];
    delete_one(&deletes[0], &p->a, DIGEST_A);
    delete_one(&deletes[1], &p->a, "v1");
    delete_one(&deletes[2], &p->b, "v1");
    push(&pushes, &p->b, DIGEST_A, NULL);
    assert_false(pushes.is_holding);
    tell(&deletes[0]);
    settle(&p->b);
    assert_true(pushes.is_holding);
    tell(&pushes);
    push(&pushes, &p->b, DIGEST_B, "v1");
    tell(&deletes[2]);
    assert_false(pushes.is_holding);
    tell(&deletes[1]);
    settle(&p->b);
    assert_true(pushes.is_holding);
    tell(&pushes);
    assert_nothing_is_left(p);
}

static void pushes_that_come_later_do_not_keep_a_delete_waiting(void **state)
{
    struct pair *p = *state;
    struct holder early, deletes, late;
    push(&early, &p->a, DIGEST_A, NULL);
    delete_one(&deletes, &p->b, DIGEST_A);
    push(&late, &p->a, DIGEST_A, NULL);
    assert_false(deletes.is_holding || late.is_holding);
    tell(&early);
    settle(&p->b);
    assert_true(deletes.is_holding);
    assert_false(late.is_holding);
    tell(&deletes);
    settle(&p->a);
    tell(&late);
    assert_nothing_is_left(p);
}

/* The mark on the tag v1.<uuid>, and the one on the tag v1. */
static void a_tag_that_ends_like_a_mark_is_another_name(void **state)
{
    struct pair *p = *state;
    struct holder deletes, pushes;
    delete_one(&deletes, &p->a, "v1." UUID);
    push(&pushes, &p->b, "v1", NULL);
    assert_true(pushes.is_holding);
    tell(&pushes);
    tell(&deletes);
    delete_one(&deletes, &p->a, "v1");
    push(&pushes, &p->b, "v1." UUID, NULL);
    assert_true(pushes.is_holding);
    tell(&pushes);
    tell(&deletes);
}

static void another_repository_is_another_name(void **state)
{
    struct pair *p = *state;
    struct holder deletes, pushes;
    delete_one(&deletes, &p->a, DIGEST_A);
    p->b.repo = SLICE("library/test/nested");
    push(&pushes, &p->b, DIGEST_A, NULL);
    assert_true(pushes.is_holding);
    tell(&pushes);
    tell(&deletes);
    assert_nothing_is_left(p);
}

static void who_waits_too_long_is_told_that_others_are_busy(void **state)
{
    struct pair *p = *state;
    struct holder holds, waits;
    for (unsigned is_push = 0; is_push < 2; is_push++) {
        begin(&holds, &p->a, is_push == 1, DIGEST_A, NULL);
        settle(&p->a);
        begin(&waits, &p->b, is_push == 0, DIGEST_A, NULL);
        settle(&p->b);
        time_passes(p, LOCK_WAIT_MS - 1);
        settle(&p->b);
        assert_false(waits.is_over);
        time_passes(p, 1);
        await_flag(p->b.loop, &waits.is_over);
        assert_int_equal(waits.outcome, BUSY);
        tell(&holds);
        assert_nothing_is_left(p);
    }
}

static void who_goes_away_while_it_waits_leaves_nothing(void **state)
{
    struct pair *p = *state;
    struct holder holds, waits;
    for (unsigned is_push = 0; is_push < 2; is_push++) {
        begin(&holds, &p->a, is_push == 1, DIGEST_A, NULL);
        settle(&p->a);
        begin(&waits, &p->b, is_push == 0, DIGEST_A, NULL);
        settle(&p->b);
        flow_cancel(waits.flow);
        await_flag(p->b.loop, &waits.is_over);
        assert_int_equal(waits.outcome, CANCELLED);
        tell(&holds);
        assert_nothing_is_left(p);
    }
}

/* ---- the dead ---- */

static void what_a_dead_replica_left_is_removed_when_it_is_old_enough(void **state)
{
    struct pair *p = *state;
    struct holder h;
    for (unsigned is_push = 0; is_push < 2; is_push++) {
        store(p, is_push == 1 ? DELETES "/t.v1." UUID : PUSHES "/" UUID, SLICE("v1\n"));
        time_passes(p, LOCK_STALE_MS);
        begin(&h, &p->a, is_push == 0, "v1", NULL);
        settle(&p->a);
        assert_false(h.is_holding);
        time_passes(p, 1);
        settle(&p->a);
        assert_true(h.is_holding);
        assert_int_equal(count_below(p, "minato/locks"), 1);
        tell(&h);
        assert_nothing_is_left(p);
    }
}

static void any_delete_removes_the_intents_of_the_dead(void **state)
{
    struct pair *p = *state;
    struct holder h;
    char path[128];
    for (unsigned i = 0; i < 30; i++) {
        (void)snprintf(path, sizeof(path), PUSHES "/%02u234567-89ab-4def-8123-456789abcdef", i);
        store(p, path, SLICE("v1\nv2\n"));
    }
    time_passes(p, LOCK_STALE_MS + 1);
    store(p, PUSHES "/" UUID, SLICE("v1\nv2\n")); /* alive */
    delete_one(&h, &p->a, DIGEST_A);
    assert_true(h.is_holding);
    assert_int_equal(count_below(p, PUSHES), 1);
    tell(&h);
}

static void a_push_removes_a_mark_of_the_dead_on_another_name(void **state)
{
    struct pair *p = *state;
    struct holder h;
    char path[128];
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), DELETES "/t.v%u." UUID, i);
        store(p, path, SLICE("v\n"));
    }
    time_passes(p, LOCK_STALE_MS);
    for (unsigned i = 0; i < 6; i++) {
        push(&h, &p->a, "latest", NULL);
        tell(&h);
        assert_int_equal(count_below(p, "minato/locks"), i < 3 ? 3 : 5 - i); /* one each, when they are old enough */
        if (i == 2)
            time_passes(p, 1);
    }
    assert_nothing_is_left(p);
}

/* Ten minutes ahead or behind. */
static void a_wrong_clock_makes_nobody_dead(void **state)
{
    struct pair *p = *state;
    struct holder holds, waits;
    for (unsigned is_ahead = 0; is_ahead < 2; is_ahead++) {
        for (unsigned is_push = 0; is_push < 2; is_push++) {
            p->b.now_ms = is_ahead == 1 ? p->a.now_ms + 600000 : p->a.now_ms - 600000;
            begin(&holds, &p->a, is_push == 1, "v1", NULL);
            settle(&p->a);
            begin(&waits, &p->b, is_push == 0, "v1", NULL);
            settle(&p->b);
            assert_true(holds.is_holding);
            assert_false(waits.is_holding);
            tell(&holds);
            settle(&p->b);
            assert_true(waits.is_holding);
            tell(&waits);
        }
    }
    assert_nothing_is_left(p);
}

/* Nobody knows what it names: everything, then. */
static void an_intent_too_large_to_be_read_is_waited_for(void **state)
{
    struct pair *p = *state;
    struct holder h;
    size_t length = (size_t)5 * 1024 * 1024;
    char *bytes = xcalloc(1, length);
    store(p, PUSHES "/" UUID, slice_of(bytes, length));
    free(bytes);
    delete_one(&h, &p->a, "v1");
    assert_false(h.is_holding);
    assert_int_equal(content_remove(&p->a, SLICE(PUSHES "/" UUID)), OK);
    settle(&p->a);
    assert_true(h.is_holding);
    tell(&h);
}

/* ---- the lease ---- */

static void no_write_begins_when_the_lease_is_over(void **state)
{
    struct pair *p = *state;
    struct holder h;
    push(&h, &p->a, "v1", NULL);
    time_passes(p, LOCK_LEASE_MS - 1);
    assert_int_equal(registry_int_write_begin(&h.held), OK);
    registry_int_write_end(&h.held, OK);
    time_passes(p, 1);
    assert_int_equal(registry_int_write_begin(&h.held), UNAVAILABLE);
    tell(&h);
    assert_nothing_is_left(p);
}

/* Under no lock, or one that no other replica has to know of. */
static void without_an_object_in_the_store_there_is_no_lease(void **state)
{
    struct pair *p = *state;
    struct holder h;
    assert_int_equal(registry_int_write_begin(NULL), OK);
    registry_int_write_end(NULL, IO);
    p->a.config.storage.delete_enabled = false;
    push(&h, &p->a, "v1", NULL);
    time_passes(p, 10 * LOCK_LEASE_MS);
    assert_int_equal(registry_int_write_begin(&h.held), OK);
    registry_int_write_end(&h.held, IO);
    tell(&h);
}

static void renewals_go_on_with_the_lease(void **state)
{
    struct pair *p = *state;
    struct holder holds, waits;
    p->a.registry->lock_renew_ms = 1;
    push(&holds, &p->a, "v1", NULL);
    delete_one(&waits, &p->b, "v1");
    for (unsigned i = 0; i < 10; i++) {
        time_passes(p, LOCK_LEASE_MS - 1);
        p->b.now_ms -= LOCK_LEASE_MS - 1; /* else its patience would be over */
        settle(&p->a);
        assert_int_equal(registry_int_write_begin(&holds.held), OK);
        registry_int_write_end(&holds.held, OK);
        assert_false(waits.is_holding);
    }
    tell(&holds);
    settle(&p->b);
    assert_true(waits.is_holding);
    tell(&waits);
    assert_nothing_is_left(p);
}

static void a_renewal_that_is_confirmed_too_late_does_not_count(void **state)
{
    struct pair *p = *state;
    struct holder h;
    p->a.registry->lock_renew_ms = 1;
    push(&h, &p->a, "v1", NULL);
    time_passes(p, LOCK_LEASE_MS / 2);
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 1, .call = "put", .kind = FAULT_STALL, .result = OK});
    while (fault_driver_hits(p->a.fault) == 0)
        loop_run_once(p->a.loop, 1);
    time_passes(p, LOCK_LEASE_MS / 2);
    fault_driver_release(p->a.fault);
    settle(&p->a);
    assert_int_equal(registry_int_write_begin(&h.held), UNAVAILABLE);
    tell(&h);
    assert_nothing_is_left(p);
}

static void a_renewal_that_fails_is_repeated(void **state)
{
    struct pair *p = *state;
    struct holder h;
    p->a.registry->lock_renew_ms = 1;
    push(&h, &p->a, "v1", NULL);
    fault_driver_plan(p->a.fault,
                      (struct fault_plan){.nth = 1, .call = "put", .kind = FAULT_BEFORE, .result = UNAVAILABLE});
    while (fault_driver_hits(p->a.fault) == 0)
        loop_run_once(p->a.loop, 1);
    time_passes(p, LOCK_LEASE_MS - 1);
    settle(&p->a);
    time_passes(p, LOCK_LEASE_MS - 1);
    assert_int_equal(registry_int_write_begin(&h.held), OK);
    registry_int_write_end(&h.held, OK);
    tell(&h);
}

/* The renewal is written when the lock is let go of: the object must not come back. */
static void a_renewal_under_way_is_seen_to_its_end(void **state)
{
    struct pair *p = *state;
    struct holder h;
    p->a.registry->lock_renew_ms = 1;
    push(&h, &p->a, "v1", NULL);
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 1, .call = "put", .kind = FAULT_HOLD, .result = OK});
    while (fault_driver_hits(p->a.fault) == 0)
        loop_run_once(p->a.loop, 1);
    done_call(h.told, OK);
    settle(&p->a);
    assert_false(h.is_over);
    fault_driver_release(p->a.fault);
    await_flag(p->a.loop, &h.is_over);
    settle(&p->a);
    assert_nothing_is_left(p);
}

/* ---- what may still arrive ---- */

static void a_write_of_unknown_outcome_keeps_others_out_until_it_has_arrived(void **state)
{
    static const enum result results[] = {OK, NOT_FOUND, EXISTS, QUOTA, UNAVAILABLE, IO, CANCELLED};
    struct pair *p = *state;
    struct holder h;
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        for (unsigned is_push = 0; is_push < 2; is_push++) {
            bool is_unknown = registry_int_is_unknown(results[i]);
            begin(&h, &p->a, is_push == 0, "v1", NULL);
            settle(&p->a);
            assert_int_equal(registry_int_write_begin(&h.held), OK);
            assert_int_equal(registry_int_write_begin(&h.held), OK);
            registry_int_write_end(&h.held, results[i]);
            registry_int_write_end(&h.held, OK);
            tell(&h);
            assert_int_equal(count_below(p, "minato/locks"), is_unknown ? 1 : 0);
            time_passes(p, LOCK_STALE_MS + 1);
            begin(&h, &p->b, is_push == 1, "v1", NULL);
            settle(&p->b);
            tell(&h);
            assert_nothing_is_left(p);
        }
    }
}

struct image {
    struct digest config;
    struct digest layer;
    struct content content;
};

static void push_blobs(struct pair *p, struct image *i)
{
    assert_int_equal(env_push_blob(&p->a, SLICE("config"), &i->config), OK);
    assert_int_equal(env_push_blob(&p->a, SLICE("layer"), &i->layer), OK);
    i->content = (struct content){.config = &i->config, .children = &i->layer, .child_count = 1};
}

static enum result delete_impatiently(struct pair *p, const struct digest *digest)
{
    struct env_call call = {.kind = ENV_BLOB_DELETE, .digest = *digest};
    env_start(&p->b, &call);
    settle(&p->b);
    p->b.now_ms += LOCK_WAIT_MS;
    enum result r = env_wait(&call);
    env_call_done(&call);
    return r;
}

/* The link of a manifest that arrives when its push has failed long ago finds its layer. */
static void a_late_link_of_a_failed_push_finds_its_layer(void **state)
{
    struct pair *p = *state;
    struct image i;
    push_blobs(p, &i);
    /* The puts of a push: intent, bytes, revision. */
    fault_driver_plan(p->a.fault,
                      (struct fault_plan){.nth = 3, .call = "put", .kind = FAULT_LATE, .result = UNAVAILABLE});
    assert_int_equal(content_put(&p->a, "v1", &i.content, NULL), UNAVAILABLE);
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 0});
    assert_int_equal(delete_impatiently(p, &i.layer), BUSY);
    fault_driver_release(p->a.fault);
    time_passes(p, LOCK_STALE_MS + 1);
    assert_int_equal(content_delete_blob(&p->b, &i.layer, NULL), CONFLICT);
    assert_int_equal(content_find_blob(&p->a, &i.layer), OK);
    assert_nothing_is_left(p);
}

/* A layer's link that is taken away late is not missing to a push that has looked at it. */
static void a_late_unlink_of_a_failed_delete_takes_nothing_from_a_push(void **state)
{
    struct pair *p = *state;
    struct image i;
    push_blobs(p, &i);
    fault_driver_plan(p->a.fault,
                      (struct fault_plan){.nth = 1, .call = "delete", .kind = FAULT_LATE, .result = UNAVAILABLE});
    assert_int_equal(content_delete_blob(&p->b, &i.layer, NULL), UNAVAILABLE);
    fault_driver_plan(p->a.fault, (struct fault_plan){.nth = 0});
    p->a.registry->lock_pause_ms = 0;
    struct arena arena;
    arena_init(&arena);
    struct env_call call = {.kind = ENV_MANIFEST_PUT,
                            .reference = "v1",
                            .content_type = content_type_of(&i.content),
                            .bytes = content_json(&arena, &i.content)};
    env_start(&p->a, &call);
    settle(&p->a);
    assert_false(call.is_over);
    fault_driver_release(p->a.fault);
    time_passes(p, LOCK_STALE_MS + 1);
    assert_int_equal(env_wait(&call), NOT_FOUND);
    env_call_done(&call);
    arena_done(&arena);
    settle(&p->a);
    assert_nothing_is_left(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_lock_that_nobody_wants_costs_three_requests),
        T(where_nothing_can_be_deleted_it_costs_none),
        cmocka_unit_test(on_a_store_of_one_process_it_costs_none),
        T(a_push_is_answered_before_its_intent_is_removed),
        T(a_delete_is_answered_after_its_mark_is_removed),
        T(a_delete_waits_for_a_push_at_another_replica),
        T(a_push_waits_for_a_delete_at_another_replica),
        T(deletes_of_one_name_at_two_replicas_do_not_wait),
        T(a_push_waits_for_all_deletes_of_its_names),
        T(pushes_that_come_later_do_not_keep_a_delete_waiting),
        T(a_tag_that_ends_like_a_mark_is_another_name),
        T(another_repository_is_another_name),
        T(who_waits_too_long_is_told_that_others_are_busy),
        T(who_goes_away_while_it_waits_leaves_nothing),
        T(what_a_dead_replica_left_is_removed_when_it_is_old_enough),
        T(any_delete_removes_the_intents_of_the_dead),
        T(a_push_removes_a_mark_of_the_dead_on_another_name),
        T(a_wrong_clock_makes_nobody_dead),
        T(an_intent_too_large_to_be_read_is_waited_for),
        T(no_write_begins_when_the_lease_is_over),
        T(without_an_object_in_the_store_there_is_no_lease),
        T(renewals_go_on_with_the_lease),
        T(a_renewal_that_is_confirmed_too_late_does_not_count),
        T(a_renewal_that_fails_is_repeated),
        T(a_renewal_under_way_is_seen_to_its_end),
        T(a_write_of_unknown_outcome_keeps_others_out_until_it_has_arrived),
        T(a_late_link_of_a_failed_push_finds_its_layer),
        T(a_late_unlink_of_a_failed_delete_takes_nothing_from_a_push),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
