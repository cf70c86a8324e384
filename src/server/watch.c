/* SPDX-License-Identifier: Apache-2.0
 *
 * Says in the log what lower levels only count, as they do not log: password files that could not be read again. On
 * loop 0, now and then.
 */
#include "server_int.h"

#include "minato/own.h"

#define EVERY_MS (5u * 1000u) /* no more often are password files looked at (access.h) */
#define WHY_BYTES_MAX 4096

static void warn_of_reload(struct server_loop *sl)
{
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, WHY_BYTES_MAX);
    uint64_t failures = access_reload_failures(sl->server->access, &why);
    if (failures == sl->reload_failures_logged)
        return;
    log_event(sl->server->log, LOG_LEVEL_WARN, "access.reload_failed", FIELD_STR("why", strbuf_slice(&why)),
              FIELD_NUM("failures", failures),
              FIELD_CSTR("next", "the users of the last sound file stay; reading it again when it changes"));
    sl->reload_failures_logged = failures;
}

static void on_timer(struct timer *timer)
{
    struct server_loop *sl = (struct server_loop *)(void *)((char *)timer - offsetof(struct server_loop, watch_timer));
    warn_of_reload(sl);
    timer_start(sl->loop, timer, EVERY_MS, on_timer);
}

void server_int_watch_start(struct server_loop *sl)
{
    timer_start(sl->loop, &sl->watch_timer, EVERY_MS, on_timer);
}

void server_int_watch_stop(struct server_loop *sl)
{
    if (!timer_is_running(&sl->watch_timer))
        return;
    timer_stop(&sl->watch_timer);
    warn_of_reload(sl); /* what the last seconds brought */
}
