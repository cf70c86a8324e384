/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v2/, /healthz and /readyz. Alive means this loop turns; ready means the store answers in time and nobody has
 * told the server to stop. A store that hangs must not collect checks: few run at once, the others are told it is not
 * ready.
 */
#include "api_int.h"

#include <stdlib.h>

#define CHECK_DEADLINE_MS 2000
#define CHECKS_MAX 4

static enum flow_next reply_json(struct flow *f, struct slice body)
{
    struct api_call *call = flow_owner(f);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), SLICE("application/json"));
    return flow_await(f, api_int_reply(call, 200, &headers, body, flow_done(f)));
}

static enum flow_next reply_base(struct flow *f)
{
    return reply_json(f, SLICE("{}"));
}

static enum flow_next reply_ok(struct flow *f)
{
    return reply_json(f, SLICE("{\"status\":\"ok\"}\n"));
}

/* A check with a deadline. It outlives the flow that waits for it: the store reports in its own time. */
struct check {
    struct timer timer;
    struct done waiter;
    bool has_waiter;
    atomic_uint *running;
};

static void on_checked(void *data, enum result r)
{
    struct check *check = data;
    atomic_fetch_sub(check->running, 1);
    timer_stop(&check->timer);
    struct done waiter = check->waiter;
    bool has_waiter = check->has_waiter;
    free(check);
    if (has_waiter)
        done_call(waiter, r);
}

static void on_deadline(struct timer *timer)
{
    struct check *check = (struct check *)(void *)((char *)timer - offsetof(struct check, timer));
    check->has_waiter = false;
    done_call(check->waiter, UNAVAILABLE);
}

static enum result check_store(const struct api_services *services, struct done done)
{
    if (atomic_fetch_add(services->ready_checks, 1) >= CHECKS_MAX) {
        atomic_fetch_sub(services->ready_checks, 1);
        return UNAVAILABLE;
    }
    struct check *check = xcalloc(1, sizeof(*check));
    check->waiter = done;
    check->has_waiter = true;
    check->running = services->ready_checks;
    enum result r = storage_check(registry_storage(services->registry), (struct done){on_checked, check, done.loop});
    if (r != PENDING) {
        check->has_waiter = false;
        on_checked(check, r);
        return r;
    }
    timer_start(done.loop, &check->timer, CHECK_DEADLINE_MS, on_deadline);
    return PENDING;
}

static enum flow_next check_readiness(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    if (call->services->is_draining(call->services->data))
        return api_int_fail(f, API_SUBJECT_NONE, UNAVAILABLE, SLICE("this server is stopping"));
    return flow_any(f, flow_await(f, check_store(call->services, flow_done(f))));
}

static enum flow_next answer_readiness(struct flow *f)
{
    /* Whatever the store's trouble is, the answer to "send me requests?" is "not now". */
    if (flow_result(f) != OK)
        return api_int_fail(f, API_SUBJECT_NONE, UNAVAILABLE, SLICE("the store does not answer as it should"));
    return reply_ok(f);
}

static const struct flow_step base_steps[] = {{"reply", reply_base}};
const struct flow_program api_int_base = {"base", FLOW_STEPS(base_steps)};

static const struct flow_step healthz_steps[] = {{"reply", reply_ok}};
const struct flow_program api_int_healthz = {"healthz", FLOW_STEPS(healthz_steps)};

static const struct flow_step readyz_steps[] = {{"check", check_readiness}, {"answer", answer_readiness}};
const struct flow_program api_int_readyz = {"readyz", FLOW_STEPS(readyz_steps)};
