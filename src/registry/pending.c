/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that run while their flow does something else, the gate at which a flow waits for the first of them, and work
 * given to the pool. Everything but offload.work runs on the flow's loop.
 */
#include "registry_int.h"

static void on_report(void *data, enum result r)
{
    struct pending_call *call = data;
    call->state = PENDING_OVER;
    call->result = r;
    struct done waiter = call->gate->waiter;
    if (waiter.fn != NULL) {
        call->gate->waiter.fn = NULL;
        done_call(waiter, OK);
    }
}

struct done registry_int_pending_done(struct pending_call *call, struct gate *gate, const struct flow *f)
{
    call->gate = gate;
    call->state = PENDING_RUNNING;
    return (struct done){.fn = on_report, .data = call, .loop = flow_loop(f)};
}

void registry_int_pending_started(struct pending_call *call, enum result r)
{
    if (r == PENDING)
        return;
    call->state = PENDING_OVER;
    call->result = r;
}

enum flow_next registry_int_gate_wait(struct flow *f, struct gate *gate)
{
    gate->waiter = flow_done(f);
    return flow_await_again(f, PENDING);
}

enum flow_next registry_int_pending_await(struct flow *f, struct pending_call *call)
{
    if (call->state == PENDING_RUNNING)
        return registry_int_gate_wait(f, call->gate);
    return call->result == OK ? FLOW_NEXT : flow_fail(f, call->result);
}

static void on_pause_over(struct timer *timer)
{
    struct pause *pause = (struct pause *)(void *)timer;
    done_call(pause->done, OK);
}

enum result registry_int_pause(struct pause *pause, uint64_t pause_ms, struct done done)
{
    pause->done = done;
    timer_start(done.loop, &pause->timer, pause_ms, on_pause_over);
    return PENDING;
}

static void run_work(struct pool_job *job)
{
    struct offload *o = (struct offload *)((char *)job - offsetof(struct offload, job));
    o->result = o->work(o->data);
}

static void report_work(struct pool_job *job)
{
    struct offload *o = (struct offload *)((char *)job - offsetof(struct offload, job));
    done_call(o->done, o->result);
}

enum result registry_int_offload(struct registry *registry, struct offload *offload, enum result (*work)(void *data),
                                 void *data, struct done done)
{
    *offload = (struct offload){.work = work, .data = data, .done = done};
    offload->job.work = run_work;
    offload->job.done = report_work;
    offload->job.loop = done.loop;
    enum result r = pool_submit(registry->pool, POOL_FILES, &offload->job);
    return r == OK ? PENDING : r;
}

void registry_int_count(const struct registry *registry, const struct flow *f, enum metric_counter counter)
{
    if (registry->metrics != NULL)
        metrics_add(registry->metrics, loop_index(flow_loop(f)), counter, 1);
}
