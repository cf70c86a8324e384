/* SPDX-License-Identifier: Apache-2.0
 *
 * The same work on many things: how many at a time, what a failure and a cancel do, and that the loop turns meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/registry/content_int.h"

#define WIDTH 8u

/* Things that end when the test says so, or at once. */
struct things {
    struct fan fan; /* first */
    unsigned count;
    unsigned begun;
    unsigned disposed;
    bool is_at_once;
    unsigned enough_at; /* this one says that it is enough, from 1; 0: none */
    struct done waiting[64];
    unsigned waiting_count;

    struct loop *loop;
    struct flow *flow;
    struct loop_task turn;
    unsigned begun_at_turn;
    bool is_over;
    enum result outcome;
};

struct thing {
    struct things *things;
    unsigned number;
};

static enum flow_next work(struct flow *f)
{
    struct thing *thing = flow_owner(f);
    struct things *things = thing->things;
    if (thing->number == things->enough_at)
        things->fan.is_enough = true;
    if (things->is_at_once)
        return FLOW_NEXT;
    things->waiting[things->waiting_count++] = flow_done(f);
    return flow_await(f, PENDING);
}

static void dispose_thing(void *owner)
{
    struct thing *thing = owner;
    thing->things->disposed++;
}

static const struct flow_step thing_steps[] = {{"work", work}};
static const struct flow_program thing_program = {.name = "thing", FLOW_STEPS(thing_steps), .dispose = dispose_thing};

static bool has_next(struct fan *fan)
{
    const struct things *things = (const struct things *)fan;
    return things->begun < things->count;
}

static const struct flow_program *take_next(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct things *things = (struct things *)fan;
    struct thing *thing = ARENA_NEW(arena, struct thing);
    *thing = (struct thing){things, ++things->begun};
    *ret_owner = thing;
    return &thing_program;
}

static void on_end(void *data, enum result outcome)
{
    struct things *things = data;
    things->is_over = true;
    things->outcome = outcome;
}

static void begin(struct things *things)
{
    things->fan.has_next = has_next;
    things->fan.take_next = take_next;
    assert_int_equal(loop_new(0, PAGE_BYTES, &things->loop), OK);
    things->flow = flow_new(things->loop);
    flow_start(things->flow, &registry_int_fan_program, things, on_end, things);
}

/* The one that waits longest ends with `r`. */
static void end_one(struct things *things, enum result r)
{
    struct done done = things->waiting[0];
    things->waiting_count--;
    memmove(things->waiting, things->waiting + 1, things->waiting_count * sizeof(things->waiting[0]));
    done_call(done, r);
}

static void finish(struct things *things)
{
    assert_true(things->is_over);
    assert_int_equal(things->disposed, things->begun);
    assert_int_equal(things->waiting_count, 0);
    loop_free(things->loop);
}

static void nothing_to_do_is_done_at_once(void **unused)
{
    (void)unused;
    struct things things = {.count = 0};
    begin(&things);
    assert_int_equal(things.outcome, OK);
    finish(&things);
}

static void a_few_run_at_a_time_until_all_are_through(void **unused)
{
    (void)unused;
    struct things things = {.count = 30};
    begin(&things);
    assert_int_equal(things.begun, WIDTH);
    for (unsigned i = 1; i <= things.count; i++) {
        assert_false(things.is_over);
        end_one(&things, OK);
        assert_int_equal(things.begun, i + WIDTH < things.count ? i + WIDTH : things.count);
    }
    assert_int_equal(things.outcome, OK);
    finish(&things);
}

static void the_first_failure_is_the_outcome_and_nothing_more_begins(void **unused)
{
    (void)unused;
    struct things things = {.count = 30};
    begin(&things);
    end_one(&things, OK);
    end_one(&things, IO);
    assert_int_equal(things.begun, WIDTH + 1);
    end_one(&things, QUOTA);
    while (things.waiting_count > 0) {
        assert_false(things.is_over); /* who has begun is waited for */
        end_one(&things, OK);
    }
    assert_int_equal(things.begun, WIDTH + 1);
    assert_int_equal(things.outcome, IO);
    finish(&things);
}

static void enough_is_no_failure(void **unused)
{
    (void)unused;
    struct things things = {.count = 30, .enough_at = 3};
    begin(&things);
    assert_int_equal(things.begun, 3);
    while (things.waiting_count > 0)
        end_one(&things, OK);
    assert_int_equal(things.begun, 3);
    assert_int_equal(things.outcome, OK);
    finish(&things);
}

static void a_cancel_waits_for_those_that_have_begun(void **unused)
{
    (void)unused;
    struct things things = {.count = 30};
    begin(&things);
    end_one(&things, OK);
    flow_cancel(things.flow);
    while (things.waiting_count > 0) {
        assert_false(things.is_over);
        end_one(&things, OK);
    }
    assert_int_equal(things.begun, WIDTH + 1);
    assert_int_equal(things.outcome, CANCELLED);
    finish(&things);
}

static void on_turn(struct loop_task *task)
{
    struct things *things = (struct things *)((char *)task - offsetof(struct things, turn));
    things->begun_at_turn = things->begun;
}

static void the_loop_turns_while_many_end_at_once(void **unused)
{
    (void)unused;
    struct things things = {.count = 10000, .is_at_once = true};
    begin(&things);
    assert_false(things.is_over);
    things.turn.run = on_turn;
    loop_post(things.loop, &things.turn);
    for (unsigned i = 0; i < 1000 && !things.is_over; i++)
        loop_run_once(things.loop, 0);
    assert_true(things.begun_at_turn > 0 && things.begun_at_turn < things.count);
    assert_int_equal(things.begun, things.count);
    assert_int_equal(things.outcome, OK);
    finish(&things);
}

static void a_cancel_while_the_loop_turns_is_heard(void **unused)
{
    (void)unused;
    struct things things = {.count = 10000, .is_at_once = true};
    begin(&things);
    flow_cancel(things.flow);
    for (unsigned i = 0; i < 10 && !things.is_over; i++)
        loop_run_once(things.loop, 0);
    assert_true(things.begun < things.count);
    assert_int_equal(things.outcome, CANCELLED);
    finish(&things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_is_done_at_once),
        cmocka_unit_test(a_few_run_at_a_time_until_all_are_through),
        cmocka_unit_test(the_first_failure_is_the_outcome_and_nothing_more_begins),
        cmocka_unit_test(enough_is_no_failure),
        cmocka_unit_test(a_cancel_waits_for_those_that_have_begun),
        cmocka_unit_test(the_loop_turns_while_many_end_at_once),
        cmocka_unit_test(a_cancel_while_the_loop_turns_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
