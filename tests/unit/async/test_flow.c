/* SPDX-License-Identifier: Apache-2.0
 *
 * Behaviour of the step runner: order, waiting, calls, failures, cancellation, cleanup.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "minato/async.h"

#define TRACE_MAX 256

struct scene {
    struct loop *loop;
    struct flow *flow;
    char trace[TRACE_MAX];
    struct done pending;
    bool has_pending;
    unsigned rounds;
    bool ended;
    enum result outcome;
};

static void note(struct scene *s, const char *what)
{
    strncat(s->trace, what, TRACE_MAX - strlen(s->trace) - 1);
    strncat(s->trace, " ", TRACE_MAX - strlen(s->trace) - 1);
}

static enum result call_later(struct scene *s, struct done done)
{
    s->pending = done;
    s->has_pending = true;
    return PENDING;
}

static void complete(struct scene *s, enum result r)
{
    assert_true(s->has_pending);
    s->has_pending = false;
    done_call(s->pending, r);
}

static void on_end(void *data, enum result outcome)
{
    struct scene *s = data;
    s->ended = true;
    s->outcome = outcome;
}

static enum flow_next step_a(struct flow *f)
{
    note(flow_owner(f), "a");
    return FLOW_NEXT;
}

static enum flow_next step_b(struct flow *f)
{
    note(flow_owner(f), "b");
    return FLOW_NEXT;
}

static enum flow_next step_wait(struct flow *f)
{
    struct scene *s = flow_owner(f);
    note(s, "wait");
    return flow_await(f, call_later(s, flow_done(f)));
}

static enum flow_next step_wait_any(struct flow *f)
{
    struct scene *s = flow_owner(f);
    note(s, "wait");
    return flow_await_any(f, call_later(s, flow_done(f)));
}

static enum flow_next step_read_result(struct flow *f)
{
    note(flow_owner(f), result_name(flow_result(f)));
    return FLOW_NEXT;
}

static enum flow_next step_three_times(struct flow *f)
{
    struct scene *s = flow_owner(f);
    if (s->rounds == 3)
        return FLOW_NEXT;
    s->rounds++;
    note(s, "round");
    return flow_await_again(f, call_later(s, flow_done(f)));
}

static enum flow_next step_fail(struct flow *f)
{
    note(flow_owner(f), "fail");
    return flow_fail(f, CONFLICT);
}

static enum flow_next step_outcome(struct flow *f)
{
    note(flow_owner(f), result_name(flow_outcome(f)));
    return FLOW_NEXT;
}

static enum flow_next step_return(struct flow *f)
{
    (void)f;
    return FLOW_RETURN;
}

static void dispose(void *owner)
{
    note(owner, "dispose");
}

static int setup(void **state)
{
    struct scene *s = xcalloc(1, sizeof(*s));
    assert_int_equal(loop_new(0, PAGE_BYTES, &s->loop), OK);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    loop_free(s->loop);
    free(s);
    return 0;
}

static void start(struct scene *s, const struct flow_program *program)
{
    s->flow = flow_new(s->loop);
    flow_start(s->flow, program, s, on_end, s);
}

static void steps_run_in_order_and_dispose_runs_once(void **state)
{
    static const struct flow_step steps[] = {{"a", step_a}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps), .dispose = dispose};
    struct scene *s = *state;
    start(s, &program);
    assert_true(s->ended);
    assert_int_equal(s->outcome, OK);
    assert_string_equal(s->trace, "a b dispose ");
}

static void a_wait_goes_on_with_the_next_step_when_it_completes(void **state)
{
    static const struct flow_step steps[] = {{"wait", step_wait}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps), .dispose = dispose};
    struct scene *s = *state;
    start(s, &program);
    assert_false(s->ended);
    assert_string_equal(s->trace, "wait ");
    complete(s, OK);
    assert_string_equal(s->trace, "wait b dispose ");
}

static void a_failed_wait_skips_the_rest_and_runs_finally(void **state)
{
    static const struct flow_step steps[] = {{"wait", step_wait}, {"b", step_b}};
    static const struct flow_step finally[] = {{"outcome", step_outcome}};
    static const struct flow_program program = {
        .name = "p", FLOW_STEPS(steps), FLOW_FINALLY(finally), .dispose = dispose};
    struct scene *s = *state;
    start(s, &program);
    complete(s, IO);
    assert_string_equal(s->trace, "wait io dispose ");
    assert_int_equal(s->outcome, IO);
}

static void a_tolerated_failure_is_read_by_the_next_step(void **state)
{
    static const struct flow_step steps[] = {{"wait", step_wait_any}, {"read", step_read_result}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps)};
    struct scene *s = *state;
    start(s, &program);
    complete(s, NOT_FOUND);
    assert_string_equal(s->trace, "wait not_found b ");
    assert_int_equal(s->outcome, OK);
}

static void a_loop_lives_inside_one_step(void **state)
{
    static const struct flow_step steps[] = {{"rounds", step_three_times}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps)};
    struct scene *s = *state;
    start(s, &program);
    for (int i = 0; i < 3; i++)
        complete(s, OK);
    assert_string_equal(s->trace, "round round round b ");
}

static const struct flow_step failing_steps[] = {{"a", step_a}, {"fail", step_fail}, {"b", step_b}};
static const struct flow_step failing_finally[] = {{"wait", step_wait}, {"outcome", step_outcome}};
static const struct flow_program failing = {
    .name = "failing", FLOW_STEPS(failing_steps), FLOW_FINALLY(failing_finally), .dispose = dispose};

static enum flow_next call_failing(struct flow *f)
{
    return flow_call(f, &failing, flow_owner(f));
}

static enum flow_next call_failing_any(struct flow *f)
{
    return flow_any(f, flow_call(f, &failing, flow_owner(f)));
}

static void a_failing_callee_fails_its_caller_after_its_own_cleanup(void **state)
{
    static const struct flow_step steps[] = {{"call", call_failing}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps), .dispose = dispose};
    struct scene *s = *state;
    start(s, &program);
    complete(s, OK);
    assert_string_equal(s->trace, "a fail wait conflict dispose dispose ");
    assert_int_equal(s->outcome, CONFLICT);
}

static void a_tolerated_callee_leaves_its_result_to_the_caller(void **state)
{
    static const struct flow_step steps[] = {{"call", call_failing_any}, {"read", step_read_result}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps)};
    struct scene *s = *state;
    start(s, &program);
    complete(s, OK);
    assert_string_equal(s->trace, "a fail wait conflict dispose conflict ");
    assert_int_equal(s->outcome, OK);
}

static void cancelling_lets_the_outstanding_call_report_first(void **state)
{
    static const struct flow_step steps[] = {{"wait", step_wait}, {"b", step_b}};
    static const struct flow_step finally[] = {{"wait", step_wait}, {"outcome", step_outcome}};
    static const struct flow_program program = {
        .name = "p", FLOW_STEPS(steps), FLOW_FINALLY(finally), .dispose = dispose};
    struct scene *s = *state;
    start(s, &program);
    flow_cancel(s->flow);
    assert_false(s->ended);
    complete(s, OK); /* the step's call */
    assert_false(s->ended);
    complete(s, OK); /* the cleanup's call, which is not cancelled */
    assert_string_equal(s->trace, "wait wait cancelled dispose ");
    assert_int_equal(s->outcome, CANCELLED);
}

static void cancelling_does_not_interrupt_cleanup(void **state)
{
    static const struct flow_step steps[] = {{"call", call_failing_any}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps)};
    struct scene *s = *state;
    start(s, &program);
    flow_cancel(s->flow);
    complete(s, OK);
    assert_string_equal(s->trace, "a fail wait conflict dispose ");
    assert_int_equal(s->outcome, CANCELLED);
}

static void return_skips_the_remaining_steps(void **state)
{
    static const struct flow_step steps[] = {{"a", step_a}, {"return", step_return}, {"b", step_b}};
    static const struct flow_step finally[] = {{"outcome", step_outcome}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps), FLOW_FINALLY(finally)};
    struct scene *s = *state;
    start(s, &program);
    assert_string_equal(s->trace, "a ok ");
    assert_int_equal(s->outcome, OK);
}

static void a_failure_in_cleanup_becomes_the_outcome_of_a_good_run(void **state)
{
    static const struct flow_step steps[] = {{"a", step_a}};
    static const struct flow_step finally[] = {{"wait", step_wait}, {"b", step_b}};
    static const struct flow_program program = {.name = "p", FLOW_STEPS(steps), FLOW_FINALLY(finally)};
    struct scene *s = *state;
    start(s, &program);
    complete(s, IO);
    assert_string_equal(s->trace, "a wait b ");
    assert_int_equal(s->outcome, IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(steps_run_in_order_and_dispose_runs_once),
        TEST(a_wait_goes_on_with_the_next_step_when_it_completes),
        TEST(a_failed_wait_skips_the_rest_and_runs_finally),
        TEST(a_tolerated_failure_is_read_by_the_next_step),
        TEST(a_loop_lives_inside_one_step),
        TEST(a_failing_callee_fails_its_caller_after_its_own_cleanup),
        TEST(a_tolerated_callee_leaves_its_result_to_the_caller),
        TEST(cancelling_lets_the_outstanding_call_report_first),
        TEST(cancelling_does_not_interrupt_cleanup),
        TEST(return_skips_the_remaining_steps),
        TEST(a_failure_in_cleanup_becomes_the_outcome_of_a_good_run),
    };
    return cmocka_run_group_tests_name("flow", tests, NULL, NULL);
}
