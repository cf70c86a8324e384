/* SPDX-License-Identifier: Apache-2.0
 *
 * Every flow that publishes, deletes or lists, with one thing going wrong at each of its storage calls in turn: the
 * call fails, its answer is lost, it takes effect late, the client goes away there, the process dies there. After each:
 * every answer is the one from before or the one after, nothing in the store dangles, a registry that knew the store
 * all along answers what one answers that has just come to it, the call can be repeated, and everything can be deleted
 * (nobody still holds a name).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "content_probe.h"

struct scenario {
    const char *name;
    size_t repo;
    /* Without faults, before anything is asked. */
    void (*prepare)(struct env *env, struct world *world);
    struct env_call (*make)(struct world *world);
    enum result again;  /* what else a repetition may say when the first did it */
    bool is_upload;     /* the call ends a session, and a repetition begins anew */
    bool is_cold;       /* the registry knows nothing when the call comes */
    bool holds_nothing; /* no names: on a shared store as elsewhere */
};

/* ---- the flows: pushes of blobs ---- */

static char session[37];

static void begin_session(struct env *env, struct world *world)
{
    (void)world;
    assert_int_equal(env_create(env, session), OK);
}

static void append(struct env *env, struct slice bytes)
{
    assert_int_equal(env_append(env, session, bytes, NULL), OK);
}

static void send_chunks(struct env *env, struct world *world)
{
    begin_session(env, world);
    append(env, slice_of(WORLD_NEW_BYTES.ptr, 7));
    append(env, slice_from(WORLD_NEW_BYTES, 7));
}

static void send_layer(struct env *env, struct world *world)
{
    begin_session(env, world);
    append(env, SLICE("layer"));
}

static struct env_call commit(const struct digest *digest, struct slice body)
{
    struct env_call call = {.kind = ENV_COMMIT, .digest = *digest, .body = {.bytes = body, .is_none = body.len == 0}};
    memcpy(call.uuid, session, sizeof(session));
    return call;
}

static struct env_call commit_chunks(struct world *world)
{
    return commit(&world->blobs[W_NEW_BLOB], SLICE_EMPTY);
}

static struct env_call commit_with_body(struct world *world)
{
    return commit(&world->blobs[W_NEW_BLOB], WORLD_NEW_BYTES);
}

static struct env_call commit_by_sha512(struct world *world)
{
    return commit(&world->blobs[W_NEW_BLOB_512], SLICE_EMPTY);
}

static struct env_call commit_nothing(struct world *world)
{
    return commit(&world->blobs[W_EMPTY], SLICE_EMPTY);
}

static struct env_call commit_layer(struct world *world)
{
    return commit(&world->blobs[W_LAYER], SLICE_EMPTY);
}

static struct env_call mount(struct world *world)
{
    return (struct env_call){.kind = ENV_MOUNT, .from = "library/test", .digest = world->blobs[W_LAYER]};
}

static struct env_call mount_alias(struct world *world)
{
    return (struct env_call){.kind = ENV_MOUNT, .from = "library/test", .digest = world->blobs[W_ALIAS]};
}

/* ---- of manifests ---- */

static struct env_call put_new_tag(struct world *world)
{
    return world_put(world, W_NEW, "new");
}

static struct env_call move_tag(struct world *world)
{
    return world_put(world, W_NEW, "v1");
}

static struct env_call put_by_digest(struct world *world)
{
    return world_put(world, W_NEW, NULL);
}

static struct env_call put_tags(struct world *world)
{
    struct env_call call = world_put(world, W_NEW, NULL);
    struct tag *tags = ARENA_ARRAY(&world->arena, struct tag, 3);
    tags[0].text = SLICE("new");
    tags[1].text = SLICE("v1");
    tags[2].text = SLICE("new2");
    call.tags = tags;
    call.tag_count = 3;
    return call;
}

static struct env_call create_tag(struct world *world)
{
    struct env_call call = world_put(world, W_NEW, "new");
    call.if_none_match = (struct manifest_condition){.is_given = true, .is_any = true};
    return call;
}

static struct env_call swap_tag(struct world *world)
{
    struct env_call call = world_put(world, W_NEW, "v1");
    call.if_match = (struct manifest_condition){.is_given = true, .digests = &world->manifests[W_IMAGE], .count = 1};
    return call;
}

static struct env_call put_referrer(struct world *world)
{
    return world_put(world, W_NEW_REFERRER, NULL);
}

static struct env_call put_tagged_referrer(struct world *world)
{
    return world_put(world, W_NEW_REFERRER, "new");
}

static struct env_call put_fallback(struct world *world)
{
    return world_put(world, W_NEW_FALLBACK, world->tags[6]);
}

static struct env_call put_signature(struct world *world)
{
    return world_put(world, W_NEW, world->tags[7]);
}

/* ---- deletes ---- */

static struct env_call delete_manifest(struct world *world, enum world_manifest manifest)
{
    return (struct env_call){.kind = ENV_MANIFEST_DELETE, .digest = world->manifests[manifest]};
}

static struct env_call delete_image(struct world *world)
{
    return delete_manifest(world, W_IMAGE);
}

static struct env_call delete_referrer(struct world *world)
{
    return delete_manifest(world, W_REFERRER);
}

static struct env_call delete_fallback(struct world *world)
{
    return delete_manifest(world, W_FALLBACK);
}

static struct env_call delete_last_manifest(struct world *world)
{
    return delete_manifest(world, W_OTHER);
}

static struct env_call delete_old(struct world *world)
{
    return delete_manifest(world, W_OLD);
}

static void move_v1(struct env *env, struct world *world)
{
    struct env_call call = world_put(world, W_NEW, "v1");
    assert_int_equal(env_run(env, &call), OK);
    env_call_done(&call);
}

static struct env_call delete_tag(struct world *world)
{
    (void)world;
    return (struct env_call){.kind = ENV_TAG_DELETE, .reference = "v1"};
}

static struct env_call delete_fallback_tag(struct world *world)
{
    return (struct env_call){.kind = ENV_TAG_DELETE, .reference = world->tags[6]};
}

static struct env_call delete_spare(struct world *world)
{
    return (struct env_call){.kind = ENV_BLOB_DELETE, .digest = world->blobs[W_SPARE]};
}

static struct env_call delete_last_blob(struct world *world)
{
    return (struct env_call){.kind = ENV_BLOB_DELETE, .digest = world->blobs[W_NESTED]};
}

/* ---- lists ---- */

static struct env_call list_tags(struct world *world)
{
    (void)world;
    return (struct env_call){.kind = ENV_TAGS, .limit = 3};
}

static struct env_call list_repositories(struct world *world)
{
    (void)world;
    return (struct env_call){.kind = ENV_REPOSITORIES, .limit = 2};
}

static struct env_call list_referrers(struct world *world)
{
    return (struct env_call){.kind = ENV_REFERRERS, .digest = world->manifests[W_IMAGE], .limit = 10};
}

static const struct scenario scenarios[] = {
    {.name = "push in chunks", .prepare = send_chunks, .make = commit_chunks, .is_upload = true},
    {.name = "push at once", .prepare = begin_session, .make = commit_with_body, .is_upload = true},
    {.name = "push by sha512", .prepare = send_chunks, .make = commit_by_sha512, .is_upload = true},
    {.name = "push of nothing", .repo = 1, .prepare = begin_session, .make = commit_nothing, .is_upload = true},
    {.name = "push of known bytes", .repo = 1, .prepare = send_layer, .make = commit_layer, .is_upload = true},
    {.name = "mount", .repo = 1, .make = mount, .holds_nothing = true},
    {.name = "mount of an alias", .repo = 2, .make = mount_alias, .holds_nothing = true},
    {.name = "put of a new tag", .make = put_new_tag},
    {.name = "put that moves a tag", .make = move_tag},
    {.name = "put by digest", .make = put_by_digest},
    {.name = "put with tags", .make = put_tags},
    {.name = "put if there is none", .make = create_tag, .again = CONFLICT},
    {.name = "put if unchanged", .make = swap_tag, .again = CONFLICT},
    {.name = "put of a referrer", .make = put_referrer},
    {.name = "put of a referrer with a tag", .make = put_tagged_referrer},
    {.name = "put of a fallback tag", .make = put_fallback},
    {.name = "put of a cosign tag", .make = put_signature},
    {.name = "put, cold", .make = move_tag, .is_cold = true},
    {.name = "delete of an image", .make = delete_image, .again = NOT_FOUND},
    {.name = "delete of an image, cold", .make = delete_image, .again = NOT_FOUND, .is_cold = true},
    {.name = "delete of a referrer", .make = delete_referrer, .again = NOT_FOUND},
    {.name = "delete of a fallback index", .make = delete_fallback, .again = NOT_FOUND},
    {.name = "delete of the last manifest", .repo = 1, .make = delete_last_manifest, .again = NOT_FOUND},
    {.name = "delete of a layer link", .make = delete_old, .again = NOT_FOUND},
    {.name = "delete of a tag", .prepare = move_v1, .make = delete_tag, .again = NOT_FOUND},
    {.name = "delete of a fallback tag", .make = delete_fallback_tag, .again = NOT_FOUND},
    {.name = "delete of a blob", .make = delete_spare, .again = NOT_FOUND},
    {.name = "delete of the last blob", .repo = 2, .make = delete_last_blob, .again = NOT_FOUND},
    {.name = "list of tags", .make = list_tags, .is_cold = true, .holds_nothing = true},
    {.name = "catalog", .make = list_repositories, .is_cold = true, .holds_nothing = true},
    {.name = "referrers", .make = list_referrers, .is_cold = true, .holds_nothing = true},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---- one run ---- */

struct run {
    const struct scenario *scenario;
    const char *what; /* goes wrong */
    struct loop *loop;
    unsigned flags; /* of the env */
    unsigned nth;
    struct env env;
    struct world world;
    const struct probe *before;
    const struct probe *goal;
};

static void expect_none(const struct run *run, const char *moment, const char *found)
{
    if (found != NULL)
        fail_msg("%s, %s at call %u, %s: %s", run->scenario->name, run->what, run->nth, moment, found);
}

static void expect_result(const struct run *run, const char *moment, enum result r, bool is_so)
{
    if (!is_so)
        fail_msg("%s, %s at call %u, %s: %s", run->scenario->name, run->what, run->nth, moment, result_name(r));
}

static void begin_run(struct run *run, const struct scenario *scenario)
{
    struct probe probe;
    run->scenario = scenario;
    env_init_on(&run->env, run->loop, run->flags);
    world_build(&run->env, &run->world);
    run->env.repo = run->world.repos[scenario->repo].text;
    if (scenario->prepare != NULL)
        scenario->prepare(&run->env, &run->world);
    if (scenario->is_cold) {
        env_restart(&run->env);
    } else {
        probe_run(&run->env, &run->world, &probe); /* it knows everything */
        probe_done(&probe);
    }
}

static void end_run(struct run *run)
{
    env_done(&run->env);
    world_done(&run->world);
}

/* Only here does every call wait for the store: for the questions it would but take time. */
static void start_call(struct run *run, struct env_call *call)
{
    *call = run->scenario->make(&run->world);
    fault_driver_defer(run->env.fault, true);
    env_start(&run->env, call);
}

static enum result end_call(struct run *run, struct env_call *call)
{
    enum result r = env_wait(call);
    env_call_done(call);
    env_wait_for_background(&run->env);
    fault_driver_defer(run->env.fault, false);
    return r;
}

static enum result do_call(struct run *run)
{
    struct env_call call;
    start_call(run, &call);
    return end_call(run, &call);
}

/* The registry's answers are those of one that knows nothing, and each is from before or after. */
static void check_answers(struct run *run, const char *moment, bool has_lists, const struct probe *only)
{
    struct probe known, fresh;
    struct env fresh_env;
    probe_run(&run->env, &run->world, &known);
    env_fresh(&run->env, &fresh_env);
    probe_run(&fresh_env, &run->world, &fresh);
    env_fresh_done(&fresh_env);
    expect_none(run, moment, probe_stranger(&fresh, only == NULL ? run->before : only, run->goal));
    expect_none(run, moment, probe_difference(&known, &fresh, has_lists));
    expect_none(run, moment, world_dangling(&run->env, &run->world));
    probe_done(&known);
    probe_done(&fresh);
}

static void delete_one(struct run *run, struct env_call call)
{
    enum result r = env_run(&run->env, &call);
    env_call_done(&call);
    expect_result(run, "deleting all", r, r == OK || r == NOT_FOUND);
}

/* Everything goes by the front door: nothing that the fault has left behind is in the way. */
static void delete_all(struct run *run)
{
    struct env *env = &run->env;
    struct world *w = &run->world;
    for (size_t i = 0; i < WORLD_REPOS; i++) {
        env->repo = w->repos[i].text;
        for (size_t k = i == 0 ? WORLD_MANIFESTS : W_OTHER + 1; k > (i == 0 ? 0 : W_OTHER); k--)
            delete_one(run, delete_manifest(w, (enum world_manifest)(k - 1))); /* indexes before what they name */
        for (size_t k = 0; k < (i == 0 ? WORLD_TAGS : 0); k++)
            delete_one(run, (struct env_call){.kind = ENV_TAG_DELETE, .reference = w->tags[k]});
        for (size_t k = 0; k < WORLD_BLOBS; k++)
            if (world_asks_for(i, (enum world_blob)k))
                delete_one(run, (struct env_call){.kind = ENV_BLOB_DELETE, .digest = w->blobs[k]});
    }
    expect_none(run, "at the end", content_repositories_are(env, "") ? NULL : "the catalog is not empty");
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        if (slice_has_prefix(memory_driver_object_path(env->memory, i), SLICE("docker/registry/v2/repositories/")))
            expect_none(run, "left behind", memory_driver_object_path(env->memory, i).ptr);
}

/* Once more, and this time nothing goes wrong. */
static void repeat(struct run *run)
{
    const struct scenario *s = run->scenario;
    enum result r = do_call(run);
    if (s->is_upload && (r == NOT_FOUND || r == INVALID)) { /* it is over, or had kept the bytes that come again */
        s->prepare(&run->env, &run->world);
        r = do_call(run);
    }
    expect_result(run, "repeated", r, r == OK || r == s->again);
    check_answers(run, "after the repetition", true, run->goal);
}

/* `is_late`: the store changed after it had said that it failed. Lists may go without that until the fence expires. */
static void check_all(struct run *run, enum result first, bool is_late)
{
    fault_driver_plan(run->env.fault, (struct fault_plan){.nth = 0});
    check_answers(run, "at once", !is_late, first == OK ? run->goal : NULL);
    if (is_late) {
        run->env.now_ms += INDEX_WRITE_MAX_MS + 1;
        check_answers(run, "a minute later", true, first == OK ? run->goal : NULL);
    }
    run->env.now_ms += 5u * 60u * 1000u; /* what other replicas might hold is stale */
    repeat(run);
    delete_all(run);
}

/* ---- what goes wrong ---- */

/* False: the flow has fewer calls than that. */
static bool run_failing(struct run *run, struct fault_plan plan)
{
    fault_driver_plan(run->env.fault, plan);
    enum result r = do_call(run);
    bool is_hit = fault_driver_hits(run->env.fault) > 0;
    if (plan.kind == FAULT_LATE && is_hit) {
        fault_driver_plan(run->env.fault, (struct fault_plan){.nth = 0});
        check_answers(run, "before the late effect", false, r == OK ? run->goal : NULL);
        fault_driver_release(run->env.fault);
    }
    check_all(run, r, plan.kind == FAULT_LATE);
    return is_hit;
}

/* The call is held back, readers come, and then the client goes away, or does not. */
static bool run_held(struct run *run, struct fault_plan plan, bool is_cancelled)
{
    struct env_call call;
    fault_driver_plan(run->env.fault, plan);
    start_call(run, &call);
    while (fault_driver_hits(run->env.fault) == 0 && !call.is_over)
        loop_run_once(run->env.loop, 10);
    bool is_hit = fault_driver_hits(run->env.fault) > 0;
    env_settle(&run->env);
    fault_driver_plan(run->env.fault, (struct fault_plan){.nth = 0});
    if (is_hit && plan.call != NULL) {
        struct probe probe;
        probe_run(&run->env, &run->world, &probe);
        expect_none(run, "meanwhile", probe_stranger(&probe, run->before, run->goal));
        probe_done(&probe);
    }
    if (is_hit && is_cancelled && !call.is_over) /* what goes on after it has no client */
        flow_cancel(call.flow);
    env_settle(&run->env);
    fault_driver_release(run->env.fault);
    enum result r = end_call(run, &call);
    check_all(run, r, false);
    return is_hit;
}

static bool run_crash(struct run *run, struct fault_plan plan)
{
    fault_driver_plan(run->env.fault, plan);
    enum result r = do_call(run);
    bool is_hit = fault_driver_hits(run->env.fault) > 0;
    fault_driver_plan(run->env.fault, (struct fault_plan){.nth = 0});
    memory_driver_crash(run->env.memory);
    env_restart(&run->env);
    check_all(run, r, false);
    return is_hit;
}

struct cancel_at {
    struct env *env;
    const char *call; /* NULL: any */
    unsigned left;
};

static void cancel_hook(void *data, const char *call)
{
    struct cancel_at *at = data;
    if (at->call != NULL && strcmp(call, at->call) != 0)
        return;
    if (at->left > 0 && --at->left == 0 && !at->env->running->is_over)
        flow_cancel(at->env->running->flow);
}

/* At any call, or at the write that goes wrong. */
static bool run_cancelled(struct run *run, struct fault_plan plan)
{
    struct cancel_at at = {&run->env, plan.call, run->nth};
    if (plan.call != NULL)
        fault_driver_plan(run->env.fault, plan);
    fault_driver_hook(run->env.fault, cancel_hook, &at);
    enum result r = do_call(run);
    fault_driver_hook(run->env.fault, NULL, NULL);
    if (plan.call != NULL) {
        fault_driver_plan(run->env.fault, (struct fault_plan){.nth = 0});
        check_answers(run, "before the late effect", false, NULL);
        fault_driver_release(run->env.fault);
    }
    check_all(run, r, plan.call != NULL);
    return at.left == 0;
}

/* ---- all of them ---- */

enum way { FAILS, HELD, HELD_AND_CANCELLED, CRASHES, IS_CANCELLED };

struct wrong {
    const char *what;
    enum way way;
    struct fault_plan plan;
};

static bool run_once(struct run *run, const struct wrong *wrong)
{
    struct fault_plan plan = wrong->plan;
    plan.nth = run->nth;
    switch (wrong->way) {
    case FAILS:
        return run_failing(run, plan);
    case HELD:
        return run_held(run, plan, false);
    case HELD_AND_CANCELLED:
        return run_held(run, plan, true);
    case CRASHES:
        return run_crash(run, plan);
    case IS_CANCELLED:
        return run_cancelled(run, plan);
    }
    return false;
}

/* What every question is answered before the call, and after. */
static void learn(const struct run *model, const struct scenario *scenario, struct probe *ret_before,
                  struct probe *ret_goal)
{
    struct run run = *model;
    run.what = "nothing";
    struct env fresh;
    begin_run(&run, scenario);
    env_fresh(&run.env, &fresh);
    probe_run(&fresh, &run.world, ret_before);
    env_fresh_done(&fresh);
    enum result r = do_call(&run);
    expect_result(&run, "by itself", r, r == OK);
    env_fresh(&run.env, &fresh);
    probe_run(&fresh, &run.world, ret_goal);
    env_fresh_done(&fresh);
    run.before = ret_before;
    run.goal = ret_goal;
    check_answers(&run, "by itself", true, ret_goal);
    end_run(&run);
}

/* The two kinds of stores. */
static int on_filesystem(void **state)
{
    static const unsigned flags = 0;
    *state = (void *)(uintptr_t)&flags;
    return 0;
}

static int on_shared_store(void **state)
{
    static const unsigned flags = ENV_SHARED;
    *state = (void *)(uintptr_t)&flags;
    return 0;
}

static void run_all(void **state, const struct wrong *wrongs, size_t count)
{
    struct run model = {.flags = *(const unsigned *)*state};
    assert_int_equal(loop_new(0, 64u * PAGE_BYTES, &model.loop), OK);
    for (size_t i = 0; i < SCENARIOS; i++) {
        struct probe before, goal;
        if (model.flags == ENV_SHARED && (scenarios[i].is_upload || scenarios[i].holds_nothing))
            continue;
        learn(&model, &scenarios[i], &before, &goal);
        for (size_t k = 0; k < count; k++) {
            bool was_hit = true;
            for (unsigned nth = 1; was_hit; nth++) {
                struct run run = model;
                run.what = wrongs[k].what;
                run.nth = nth;
                run.before = &before;
                run.goal = &goal;
                begin_run(&run, &scenarios[i]);
                was_hit = run_once(&run, &wrongs[k]);
                end_run(&run);
            }
        }
        probe_done(&before);
        probe_done(&goal);
    }
    loop_free(model.loop);
}

static void every_call_fails_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"IO", FAILS, {.kind = FAULT_BEFORE, .result = IO}},
        {"QUOTA", FAILS, {.kind = FAULT_BEFORE, .result = QUOTA}},
        {"a short write", FAILS, {.call = "multipart_put", .kind = FAULT_SHORT, .result = QUOTA}},
        {"a short read", FAILS, {.call = "read", .kind = FAULT_SHORT, .result = OK}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

static void every_answer_is_lost_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"an answer lost", FAILS, {.kind = FAULT_AFTER, .result = UNAVAILABLE}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

static void every_write_has_its_effect_late_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"a late put", FAILS, {.call = "put", .kind = FAULT_LATE, .result = UNAVAILABLE}},
        {"a late swap", FAILS, {.call = "put_if_match", .kind = FAULT_LATE, .result = UNAVAILABLE}},
        {"a late delete", FAILS, {.call = "delete", .kind = FAULT_LATE, .result = UNAVAILABLE}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

static void readers_come_while_every_write_is_under_way_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"a slow put", HELD, {.call = "put", .kind = FAULT_HOLD}},
        {"a slow swap", HELD, {.call = "put_if_match", .kind = FAULT_HOLD}},
        {"a slow delete", HELD, {.call = "delete", .kind = FAULT_HOLD}},
        {"a slow answer to a put", HELD, {.call = "put", .kind = FAULT_STALL}},
        {"a slow answer to a swap", HELD, {.call = "put_if_match", .kind = FAULT_STALL}},
        {"a slow answer to a delete", HELD, {.call = "delete", .kind = FAULT_STALL}},
        {"a slow put, gone", HELD_AND_CANCELLED, {.call = "put", .kind = FAULT_HOLD}},
        {"a slow delete, gone", HELD_AND_CANCELLED, {.call = "delete", .kind = FAULT_HOLD}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

static void the_client_goes_away_at_every_call_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"gone", IS_CANCELLED, {0}},
        {"gone, and a late put", IS_CANCELLED, {.call = "put", .kind = FAULT_LATE, .result = UNAVAILABLE}},
        {"gone, and a late delete", IS_CANCELLED, {.call = "delete", .kind = FAULT_LATE, .result = UNAVAILABLE}},
        {"gone while it stalls and fails", HELD_AND_CANCELLED, {.kind = FAULT_STALL, .result = IO}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

static void the_process_dies_at_every_call_in_turn(void **state)
{
    static const struct wrong wrongs[] = {
        {"death", CRASHES, {.repeat = UINT32_MAX, .kind = FAULT_BEFORE, .result = IO}},
    };
    run_all(state, wrongs, sizeof(wrongs) / sizeof(wrongs[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) {#name, name, on_filesystem, NULL, NULL}, {#name ", shared", name, on_shared_store, NULL, NULL}
        T(every_call_fails_in_turn),
        T(every_answer_is_lost_in_turn),
        T(every_write_has_its_effect_late_in_turn),
        T(readers_come_while_every_write_is_under_way_in_turn),
        T(the_client_goes_away_at_every_call_in_turn),
        T(the_process_dies_at_every_call_in_turn),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
