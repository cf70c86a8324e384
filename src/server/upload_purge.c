/* SPDX-License-Identifier: Apache-2.0
 *
 * Now and then removes upload sessions that nobody goes on with. One flow at a time, on loop 0.
 */
#include "server_int.h"

#define FIRST_AFTER_MS (60u * 1000u)
#define EVERY_MS (60u * 60u * 1000u)

static enum flow_next purge(struct flow *f)
{
    struct server_loop *sl = flow_owner(f);
    return registry_purge_uploads(f, sl->server->registry);
}

static const struct flow_step purge_steps[] = {{"purge", purge}};
static const struct flow_program purge_program = {"upload_purge", FLOW_STEPS(purge_steps)};

static void on_timer(struct timer *timer);

static void on_end(void *data, enum result outcome)
{
    struct server_loop *sl = data;
    sl->purge = NULL;
    if (outcome != OK && outcome != CANCELLED)
        log_event(sl->server->log, LOG_LEVEL_WARN, "uploads.purge_failed", FIELD_RESULT(outcome),
                  FIELD_CSTR("next", "trying again in an hour"));
    if (!sl->is_draining)
        timer_start(sl->loop, &sl->purge_timer, EVERY_MS, on_timer);
    server_int_flow_ended(sl);
}

static void on_timer(struct timer *timer)
{
    struct server_loop *sl = (struct server_loop *)(void *)((char *)timer - offsetof(struct server_loop, purge_timer));
    sl->purge = flow_new(sl->loop);
    server_int_flow_begun(sl);
    flow_start(sl->purge, &purge_program, sl, on_end, sl);
}

void server_int_purge_start(struct server_loop *sl)
{
    timer_start(sl->loop, &sl->purge_timer, FIRST_AFTER_MS, on_timer);
}

void server_int_purge_stop(struct server_loop *sl)
{
    timer_stop(&sl->purge_timer);
    if (sl->purge != NULL)
        flow_cancel(sl->purge);
}
