/* SPDX-License-Identifier: Apache-2.0
 *
 * Pushes racing deletes of the same blob, manifest and tag, thousands of times: a few operations at once on a tiny
 * world (tests/support/race_world.h), whose storage calls happen in a random order, some flows cancelled, some calls
 * failing. At every moment nothing that is named is missing; at the end everything that was answered can be explained
 * by some order of what was done, the index agrees with the store, and nobody holds a lock. In one process, and at two
 * replicas, whose clock then also jumps over leases.
 *
 * The seed is printed. MINATO_SEED=.. begins with that one and tells what happened when it fails; MINATO_SECONDS=..
 * goes on for so long.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "race_world.h"
#include "src/registry/content_int.h"

#define EPISODES 800u  /* worlds */
#define ROUNDS_MAX 12u /* in one of them */
#define OPS_MAX 7u
#define IDLE_MAX 60u   /* turns in which nothing happens: then it is stuck */
#define STEPS_MAX 600u /* after so many they wait for somebody of another replica, and time goes on */

struct run {
    struct race_world world;
    struct history *history;
    struct race_op ops[OPS_MAX];
    unsigned op_count;
    unsigned begun;
    unsigned cancel_percent; /* of steps */
    unsigned jump_percent;
    struct race_state before;
    uint64_t rounds;
    uint64_t steps;
    bool is_traced;
    bool is_untidy; /* something was cut short in this world: there may be garbage */
    uint64_t outcomes[RACE_KINDS][PENDING];
};

/* ---- when it goes wrong ---- */

static void describe_ops(struct run *run, struct strbuf *out)
{
    struct arena arena;
    arena_init(&arena);
    for (unsigned i = 0; i < run->op_count; i++) {
        const struct race_op *op = &run->ops[i];
        strbuf_append_format(out, "  %4" PRIu64 " to %4" PRIu64 "  %.*s\n", op->begun, op->ended,
                             SLICE_ARG(race_op_name(op, &run->world.content, &arena)));
    }
    arena_done(&arena);
}

static void check(struct run *run, uint64_t seed)
{
    if (run->world.wrong.len == 0)
        return;
    struct strbuf out;
    strbuf_init(&out, 1u << 22);
    describe_ops(run, &out);
    (void)fprintf(stderr, "%.*s%.*s%.*sMINATO_SEED=%" PRIu64 " repeats it\n",
                  SLICE_ARG(strbuf_slice(&run->world.trace)), SLICE_ARG(strbuf_slice(&out)),
                  SLICE_ARG(strbuf_slice(&run->world.wrong)), seed);
    strbuf_done(&out);
    fail();
}

/* ---- a round ---- */

static unsigned count_over(const struct run *run)
{
    unsigned over = 0;
    for (unsigned i = 0; i < run->op_count; i++)
        over += run->ops[i].is_over;
    return over;
}

static void begin_next(struct run *run)
{
    struct race_op *op = &run->ops[run->begun++];
    if (run->is_traced)
        strbuf_append_format(&run->world.trace, "  begin %u\n", run->begun - 1);
    race_op_begin(op, &run->world);
}

static void cancel_one(struct run *run)
{
    struct race_op *op = &run->ops[dice_below(&run->world.dice, run->begun)];
    if (op->is_over)
        return;
    op->is_cancelled = true;
    flow_cancel(op->flow);
}

/* Time passes, but a call that has begun comes to its end first. */
static void let_time_pass(struct run *run, uint64_t steps)
{
    struct race_world *world = &run->world;
    if (steps > STEPS_MAX)
        world->now_ms += 1000;
    if (dice_chance(&world->dice, run->jump_percent) && !scripted_driver_is_writing(world->script))
        world->now_ms += LOCK_STALE_MS + 1;
}

static bool is_going_on(const struct run *run)
{
    return count_over(run) < run->op_count || run->world.background > 0 ||
           scripted_driver_waiting(run->world.script) > 0;
}

/* Until all are over. What happens next is thrown: one begins, one is cancelled, the loop turns (a lock is granted), or
 * the store does something. */
static void interleave(struct run *run)
{
    struct race_world *world = &run->world;
    struct dice *dice = &world->dice;
    unsigned idle = 0;
    uint64_t steps = scripted_driver_steps(world->script);
    while (is_going_on(run) && idle < IDLE_MAX) {
        idle++;
        let_time_pass(run, scripted_driver_steps(world->script) - steps);
        bool is_idle = count_over(run) == run->begun;
        if (run->begun < run->op_count && (is_idle || dice_chance(dice, 12)))
            begin_next(run);
        if (dice_chance(dice, run->cancel_percent))
            cancel_one(run);
        if (!dice_chance(dice, 25) && scripted_driver_step(world->script))
            idle = 0;
        else
            loop_run_once(world->loop, 0);
    }
    if (idle < IDLE_MAX)
        return;
    strbuf_append_cstr(&world->wrong, "they wait for each other\n");
}

static void choose_ops(struct run *run)
{
    run->op_count = 2 + dice_below(&run->world.dice, OPS_MAX - 1);
    run->begun = 0;
    race_world_choose_theme(&run->world);
    for (unsigned i = 0; i < run->op_count; i++)
        race_op_choose(&run->ops[i], &run->world);
}

static void race(struct run *run)
{
    struct race_world *world = &run->world;
    world->is_faulty = dice_chance(&world->dice, 20);
    run->cancel_percent = dice_chance(&world->dice, 40) ? 5 : 0;
    world->has_jumps = world->replicas > 1 && dice_chance(&world->dice, 25);
    run->jump_percent = world->has_jumps ? 2 : 0;
    world->is_rough = world->is_faulty || world->has_jumps || run->cancel_percent > 0;
    run->is_untidy = run->is_untidy || world->is_rough;
    choose_ops(run);
    scripted_driver_run_at_once(world->script, false);
    scripted_driver_fail(world->script, world->is_faulty ? 4 * world->replicas : 0);
    scripted_driver_fail_late(world->script, world->replicas > 1); /* a folder's calls block until they are done */
    uint64_t steps = scripted_driver_steps(world->script);
    interleave(run);
    run->steps += scripted_driver_steps(world->script) - steps;
    scripted_driver_run_at_once(world->script, true);
    scripted_driver_fail(world->script, 0);
    if (world->is_rough) /* writes of which nobody knows whether they happened have happened by now */
        world->now_ms += LOCK_STALE_MS + 1;
    run->rounds++;
}

/* ---- what must be true after it ---- */

static void check_histories(struct run *run, const struct race_state *after)
{
    struct race_world *world = &run->world;
    history_clear(run->history);
    for (unsigned i = 0; i < run->op_count; i++) {
        race_op_note_others(&run->ops[i], run->ops, run->op_count);
        race_op_add_to_history(&run->ops[i], world, run->history);
        run->outcomes[run->ops[i].kind][run->ops[i].outcome]++;
    }
    for (unsigned i = 0; i < run->op_count; i++)
        race_op_check_repositories(&run->ops[i], world, run->history, &run->before);
    for (unsigned i = 0; i < RACE_REGISTERS; i++) {
        if (history_is_explained(run->history, i, run->before.values[i], after->values[i]))
            continue;
        strbuf_append_format(&world->wrong, "no order explains %.*s, from %u to %u:\n",
                             SLICE_ARG(world->content.paths[i]), run->before.values[i], after->values[i]);
        history_print(run->history, i, &world->wrong);
    }
}

static void compare(struct race_world *world, const char *what, unsigned repo, unsigned item, unsigned found,
                    unsigned wanted)
{
    if (found != wanted && world->wrong.len == 0)
        strbuf_append_format(&world->wrong, "%s %u of repository %u is %u, the store says %u\n", what, item, repo,
                             found, wanted);
}

static unsigned ask(struct race_world *world, enum race_kind kind, unsigned repo, unsigned item, struct strbuf *text)
{
    struct race_op op = {
        .kind = kind, .replica = dice_below(&world->dice, world->replicas), .repo = repo, .item = item};
    if (world->wrong.len > 0) /* what went wrong may not have ended */
        return 0;
    enum result r = race_op_run(&op, world);
    if (r != OK && r != NOT_FOUND)
        strbuf_append_format(&world->wrong, "a read answered %s\n", result_name(r));
    if (text != NULL && r == OK)
        strbuf_append(text, strbuf_slice(&op.text));
    race_op_done(&op);
    return r == OK ? op.found : kind == RACE_TAG_LIST ? UINT32_MAX : 0;
}

/* Everything that can be asked of a set of repositories, against what the store holds. Lists are added to `lists`. */
static void compare_with_store(struct race_world *world, const struct race_state *state, unsigned repos,
                               struct strbuf *lists)
{
    unsigned repositories = 0;
    for (unsigned r = 0; r < RACE_REPOS; r++) {
        const uint8_t *values = &state->values[r * RACE_OF_REPO];
        unsigned listed = 0;
        unsigned any = 0;
        for (unsigned i = 0; i < RACE_OF_REPO; i++)
            any |= values[i];
        repositories |= (any != 0 ? 1u : 0) << r;
        if ((repos >> r & 1u) == 0)
            continue;
        for (unsigned b = 0; b < RACE_BLOBS; b++)
            compare(world, "blob", r, b, ask(world, RACE_BLOB_FIND, r, b, NULL), values[RACE_LAYER + b]);
        for (unsigned m = 0; m < RACE_MANIFESTS; m++)
            compare(world, "manifest", r, m, ask(world, RACE_MANIFEST_FIND, r, m, NULL),
                    values[RACE_REVISION + m] * (1 + m));
        for (unsigned t = 0; t < RACE_TAGS; t++) {
            compare(world, "tag", r, t, ask(world, RACE_TAG_FIND, r, t, NULL), values[RACE_TAG + t]);
            listed |= (unsigned)values[RACE_LISTED + t] << t;
        }
        compare(world, "list of tags", r, 0, ask(world, RACE_TAG_LIST, r, 0, lists), any != 0 ? listed : UINT32_MAX);
        compare(world, "list of referrers", r, 0, ask(world, RACE_REFERRER_LIST, r, 0, lists), values[RACE_REFERRED]);
    }
    compare(world, "list of repositories", 0, 0, ask(world, RACE_REPOSITORY_LIST, 0, 0, lists), repositories);
}

/* Warm, and cold. */
static void check_index(struct run *run, const struct race_state *state)
{
    struct race_world *world = &run->world;
    struct strbuf warm, cold;
    strbuf_init(&warm, 1u << 16);
    strbuf_init(&cold, 1u << 16);
    unsigned repos = 0;
    for (unsigned i = 0; i < run->op_count; i++)
        repos |= 1u << run->ops[i].repo;
    compare_with_store(world, state, repos, &warm);
    if (world->wrong.len == 0 && dice_chance(&world->dice, 20)) {
        race_world_restart(world);
        compare_with_store(world, state, repos, &cold);
        if (!slice_equal(strbuf_slice(&warm), strbuf_slice(&cold)))
            strbuf_append_format(&world->wrong, "warm lists: %.*s\ncold lists: %.*s\n", SLICE_ARG(strbuf_slice(&warm)),
                                 SLICE_ARG(strbuf_slice(&cold)));
    }
    strbuf_done(&warm);
    strbuf_done(&cold);
}

static void delete (struct race_world *world, enum race_kind kind, unsigned repo, unsigned item)
{
    struct race_op op = {
        .kind = kind, .replica = dice_below(&world->dice, world->replicas), .repo = repo, .item = item};
    if (world->wrong.len > 0)
        return;
    enum result r = race_op_run(&op, world);
    if (r != OK && r != NOT_FOUND)
        strbuf_append_format(&world->wrong, "the last delete answered %s\n", result_name(r));
}

static void check_all_can_go(struct run *run)
{
    struct race_world *world = &run->world;
    for (unsigned r = 0; r < RACE_REPOS; r++) {
        for (unsigned t = 0; t < RACE_TAGS; t++)
            delete (world, RACE_TAG_DELETE, r, t);
        delete (world, RACE_MANIFEST_DELETE, r, RACE_INDEX);
        for (unsigned m = 0; m < RACE_MANIFESTS; m++)
            delete (world, RACE_MANIFEST_DELETE, r, m);
        for (unsigned b = 0; b < RACE_BLOBS; b++)
            delete (world, RACE_BLOB_DELETE, r, b);
    }
    struct race_state state = race_world_state(world);
    compare_with_store(world, &state, UINT32_MAX, NULL);
    if (race_world_has_repositories(world))
        strbuf_append_cstr(&world->wrong, "something is left of the repositories\n");
    if (!run->is_untidy && race_world_has_referrers(world))
        strbuf_append_cstr(&world->wrong, "something is left of the referrers\n");
    if (!run->is_untidy && race_world_has_locks(world))
        strbuf_append_cstr(&world->wrong, "something is left of the locks\n");
}

static void forget_ops(struct run *run)
{
    for (unsigned i = 0; i < run->op_count; i++)
        race_op_done(&run->ops[i]);
}

/* ---- all ---- */

static void run_episode(struct run *run, uint64_t seed, bool is_traced)
{
    struct race_world *world = &run->world;
    world->dice.state = seed;
    race_world_begin(world);
    run->is_traced = is_traced;
    run->is_untidy = false;
    if (is_traced)
        race_world_wants_trace(world);
    unsigned rounds = 1 + dice_below(&world->dice, ROUNDS_MAX);
    for (unsigned i = 0; i < rounds; i++) {
        if (i > 0 && dice_chance(&world->dice, 50)) { /* cold */
            race_world_restart(world);
            race_world_fill(world);
        }
        run->before = race_world_state(world);
        race(run);
        struct race_state after = race_world_state(world);
        check_histories(run, &after);
        check(run, seed);
        check_index(run, &after);
        check(run, seed);
        forget_ops(run);
    }
    check_all_can_go(run);
    check(run, seed);
    race_world_end(world);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void print_outcomes(const struct run *run)
{
    for (unsigned k = 0; k < RACE_KINDS; k++) {
        (void)fprintf(stderr, "  %-16s", race_kind_name((enum race_kind)k));
        for (unsigned r = 0; r < PENDING; r++)
            if (run->outcomes[k][r] > 0)
                (void)fprintf(stderr, " %s %" PRIu64, result_name((enum result)r), run->outcomes[k][r]);
        (void)fprintf(stderr, "\n");
    }
}

static void race_for_long(unsigned replicas)
{
    static struct run run;
    memset(&run, 0, sizeof(run));
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    seed = number_from_environment("MINATO_SEED", seed >> 32);
    uint64_t seconds = number_from_environment("MINATO_SECONDS", 0);
    bool is_traced = getenv("MINATO_SEED") != NULL;
    time_t begin = time(NULL);
    (void)fprintf(stderr, "seed %" PRIu64 "\n", seed);
    race_world_init(&run.world);
    run.world.replicas = replicas;
    run.history = history_new(RACE_REGISTERS);
    for (uint64_t i = 0; i < EPISODES || (uint64_t)(time(NULL) - begin) < seconds; i++)
        run_episode(&run, seed + i, is_traced && i == 0);
    (void)fprintf(stderr, "%" PRIu64 " rounds, %" PRIu64 " steps\n", run.rounds, run.steps);
    print_outcomes(&run);
    history_free(run.history);
    race_world_done(&run.world);
}

static void pushes_racing_deletes_lose_nothing_and_leave_nothing_dangling(void **unused)
{
    (void)unused;
    race_for_long(1);
}

static void nor_do_they_at_two_replicas(void **unused)
{
    (void)unused;
    race_for_long(2);
}

/* ---- one by one: what the races have found ---- */

static enum result run_one(struct race_world *world, struct race_op op)
{
    enum result r = race_op_run(&op, world);
    race_op_done(&op);
    return r;
}

/* A world with all blobs in the first repository, and nothing else. */
static void begin_told(struct race_world *world)
{
    race_world_init(world);
    race_world_begin_empty(world);
    for (unsigned b = 0; b < RACE_BLOBS; b++) {
        struct race_op commit = {.kind = RACE_BLOB_COMMIT, .item = b};
        race_op_prepare(&commit, world);
        assert_int_equal(run_one(world, commit), OK);
    }
}

static void end_told(struct race_world *world)
{
    assert_int_equal(world->wrong.len, 0);
    race_world_end(world);
    race_world_done(world);
}

static const struct race_op put_first = {.kind = RACE_MANIFEST_PUT, .item = 0, .tags = 1};
static const struct race_op put_last = {.kind = RACE_MANIFEST_PUT, .item = 3, .tags = 1};
static const struct race_op delete_first = {.kind = RACE_MANIFEST_DELETE, .item = 0};

/* The list of tags does not know of it. */
static void a_delete_sees_a_tag_whose_push_got_no_answer(void **unused)
{
    (void)unused;
    struct race_world world;
    begin_told(&world);
    assert_int_equal(run_one(&world, (struct race_op){.kind = RACE_TAG_LIST}), OK);
    scripted_driver_lose(world.script, world.content.paths[RACE_TAG]);
    assert_int_equal(run_one(&world, put_first), IO);
    assert_int_equal(race_world_state(&world).values[RACE_TAG], 1);
    assert_int_equal(run_one(&world, delete_first), OK);
    assert_int_equal(race_world_state(&world).values[RACE_TAG], 0);
    race_world_check_references(&world);
    end_told(&world);
}

/* It names one manifest or the other all the while. */
static void a_tag_that_moves_while_it_is_looked_up_is_found(void **unused)
{
    (void)unused;
    struct race_world world;
    struct race_op find = {.kind = RACE_TAG_FIND};
    begin_told(&world);
    assert_int_equal(run_one(&world, put_first), OK);
    race_world_restart(&world);
    scripted_driver_run_at_once(world.script, false);
    race_op_begin(&find, &world);
    uint64_t asked = scripted_driver_calls(world.script);
    while (scripted_driver_calls(world.script) == asked) /* until the manifest is asked for */
        assert_true(scripted_driver_step(world.script));
    scripted_driver_run_at_once(world.script, true);
    assert_int_equal(run_one(&world, put_last), OK);
    assert_int_equal(run_one(&world, delete_first), OK);
    while (scripted_driver_step(world.script))
        continue;
    assert_true(find.is_over);
    assert_int_equal(find.outcome, OK);
    assert_int_equal(find.found, 1 + 3);
    end_told(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delete_sees_a_tag_whose_push_got_no_answer),
        cmocka_unit_test(a_tag_that_moves_while_it_is_looked_up_is_found),
        cmocka_unit_test(pushes_racing_deletes_lose_nothing_and_leave_nothing_dangling),
        cmocka_unit_test(nor_do_they_at_two_replicas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
