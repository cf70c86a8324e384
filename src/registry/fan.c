/* SPDX-License-Identifier: Apache-2.0
 *
 * The same work on many things, WIDTH at a time, each in a flow of its own on the loop of the flow that waits.
 */
#include "content_int.h"

#define WIDTH 8u
#define TURN_MAX 256u /* begun in one turn of the loop: other clients get theirs */

static void wake(struct fan *fan)
{
    struct done waiter = fan->waiter;
    if (waiter.fn == NULL) /* it ended while run_all was still beginning others */
        return;
    fan->waiter.fn = NULL;
    done_call(waiter, OK);
}

static void on_end(void *data, enum result outcome)
{
    struct fan *fan = data;
    fan->running--;
    if (outcome != OK && fan->failure == OK)
        fan->failure = outcome;
    wake(fan);
}

static void on_breath(struct loop_task *task)
{
    struct fan *fan = (struct fan *)((char *)task - offsetof(struct fan, breath));
    fan->is_taking_breath = false;
    wake(fan);
}

static bool has_next(struct fan *fan)
{
    return fan->failure == OK && !fan->is_enough && fan->has_next(fan);
}

static enum flow_next wait_for_one(struct flow *f)
{
    struct fan *fan = flow_owner(f);
    fan->waiter = flow_done(f);
    return flow_await_again(f, PENDING);
}

static enum flow_next run_all(struct flow *f)
{
    struct fan *fan = flow_owner(f);
    unsigned begun = 0;
    while (fan->running < WIDTH && begun < TURN_MAX && has_next(fan)) {
        struct flow *flow = flow_new(flow_loop(f));
        void *owner;
        const struct flow_program *program = fan->take_next(fan, flow_arena(flow), &owner);
        fan->running++;
        begun++;
        flow_start(flow, program, owner, on_end, fan);
    }
    if (begun == TURN_MAX && !fan->is_taking_breath) {
        fan->is_taking_breath = true;
        fan->breath.run = on_breath;
        loop_post(flow_loop(f), &fan->breath);
    }
    if (fan->running > 0 || fan->is_taking_breath)
        return wait_for_one(f);
    return fan->failure == OK ? FLOW_NEXT : flow_fail(f, fan->failure);
}

/* After a cancel: what has begun is seen to its end. */
static enum flow_next wait_for_the_rest(struct flow *f)
{
    const struct fan *fan = flow_owner(f);
    return fan->running > 0 || fan->is_taking_breath ? wait_for_one(f) : FLOW_NEXT;
}

static const struct flow_step fan_steps[] = {{"run all", run_all}};
static const struct flow_step fan_finally[] = {{"wait for the rest", wait_for_the_rest}};
const struct flow_program registry_int_fan_program = {
    .name = "fan",
    FLOW_STEPS(fan_steps),
    FLOW_FINALLY(fan_finally),
};
