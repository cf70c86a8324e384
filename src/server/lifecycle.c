/* SPDX-License-Identifier: Apache-2.0
 *
 * Start, run, drain, stop. Every loop has a thread; the main thread waits for signals, which all others block.
 *
 *   running --SIGHUP--> reads certificates again (reload.c)
 *   running --SIGTERM, SIGINT--> draining --every loop is empty--> stopped
 *                                   |--a second signal, or http.drain_timeout and a grace--> _exit
 *
 * A draining loop stops when its HTTP servers have no connection and its flows have ended: a client that is gone may
 * leave a flow that still puts its upload in order.
 */
#include "server_int.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOP_STACK_BYTES ((size_t)1024 * 1024)
#define DRAIN_GRACE_MS 5000u
#define SIGNAL_LOOP_ENDED SIGUSR1 /* from a loop's thread to the main thread */

/* ---- on a loop ---- */

static void stop_when_idle(struct server_loop *sl)
{
    if (sl->is_draining && sl->servers_left == 0 && sl->flows_running == 0)
        loop_stop(sl->loop);
}

void server_int_flow_begun(struct server_loop *sl)
{
    sl->flows_running++;
}

void server_int_flow_ended(struct server_loop *sl)
{
    sl->flows_running--;
    stop_when_idle(sl);
}

static void on_drained(void *data)
{
    struct server_loop *sl = data;
    sl->servers_left--;
    stop_when_idle(sl);
}

static void drain_loop(struct loop_task *task)
{
    struct server_loop *sl = (struct server_loop *)(void *)((char *)task - offsetof(struct server_loop, drain_task));
    uint64_t timeout_ms = sl->server->config->http.drain_timeout_ms;
    sl->is_draining = true;
    sl->servers_left = sl->metrics_http == NULL ? 1 : 2;
    server_int_purge_stop(sl);
    server_int_watch_stop(sl);
    if (sl->metrics_http != NULL)
        http_server_drain(sl->metrics_http, timeout_ms, on_drained, sl);
    http_server_drain(sl->http, timeout_ms, on_drained, sl);
}

static void *loop_thread(void *data)
{
    struct server_loop *sl = data;
    loop_run(sl->loop);
    atomic_fetch_add(&sl->server->loops_ended, 1);
    pthread_kill(sl->server->main_thread, SIGNAL_LOOP_ENDED);
    return NULL;
}

/* ---- on the main thread ---- */

static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGNAL_LOOP_ENDED);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static enum result start_threads(struct server *server, struct strbuf *ret_why)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, LOOP_STACK_BYTES);
    enum result r = OK;
    for (unsigned i = 0; r == OK && i < server->loop_count; i++) {
        struct server_loop *sl = &server->loops[i];
        sl->has_thread = pthread_create(&sl->thread, &attributes, loop_thread, sl) == 0;
        if (!sl->has_thread) {
            strbuf_append_format(ret_why, "cannot start %u event loops: raise the limit of processes (ulimit -u)",
                                 server->loop_count);
            r = UNAVAILABLE;
        }
    }
    pthread_attr_destroy(&attributes);
    return r;
}

static void join_threads(struct server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (server->loops[i].has_thread)
            pthread_join(server->loops[i].thread, NULL);
        server->loops[i].has_thread = false;
    }
}

static void announce(const struct server *server)
{
    struct strbuf line;
    strbuf_init(&line, 16384);
    strbuf_append_cstr(&line, "minato " MINATO_VERSION " listening on ");
    for (unsigned i = 0; i < server->address_count; i++) {
        strbuf_append_cstr(&line, i == 0 ? "" : ", ");
        strbuf_append_cstr(&line, server->listen_options[i].is_tls ? "https://" : "http://");
        http_address_format(&server->addresses[i], &line);
    }
    if (strcmp(server->config->storage.driver, "filesystem") == 0)
        strbuf_append_format(&line, " (data in %s)", server->config->storage.filesystem.root);
    (void)puts(line.ptr);
    (void)fflush(stdout);
    strbuf_done(&line);
    log_event(server->log, LOG_LEVEL_INFO, "server.started", FIELD_CSTR("version", MINATO_VERSION),
              FIELD_NUM("loops", server->loop_count));
}

/* Waits at most `timeout_ms`. The signal, or -1 when the time is over. */
static int wait_for_signal(const sigset_t *set, uint64_t timeout_ms)
{
    struct timespec timeout = {(time_t)(timeout_ms / 1000), (long)(timeout_ms % 1000) * 1000000};
    for (;;) {
        int signal_number = sigtimedwait(set, NULL, &timeout);
        if (signal_number >= 0 || errno != EINTR)
            return signal_number;
    }
}

/* The log's lines of the last moments are lost, nothing else: what was acknowledged is durable. */
static void end_at_once(const char *why)
{
    (void)fprintf(stderr, "minato: %s: ending at once\n", why);
    _exit(1);
}

static void drain(struct server *server, const sigset_t *set)
{
    log_event(server->log, LOG_LEVEL_INFO, "server.draining",
              FIELD_NUM("timeout_ms", server->config->http.drain_timeout_ms));
    atomic_store(&server->is_draining, true);
    for (unsigned i = 0; i < server->loop_count; i++) {
        if (!server->loops[i].has_thread) { /* a start that failed half-way */
            atomic_fetch_add(&server->loops_ended, 1);
            continue;
        }
        server->loops[i].drain_task.run = drain_loop;
        loop_post(server->loops[i].loop, &server->loops[i].drain_task);
    }
    struct clock clock = server->services.clock;
    uint64_t deadline_ms = clock_monotonic_ms(clock) + server->config->http.drain_timeout_ms + DRAIN_GRACE_MS;
    while (atomic_load(&server->loops_ended) < server->loop_count) {
        uint64_t now_ms = clock_monotonic_ms(clock);
        int signal_number = now_ms >= deadline_ms ? -1 : wait_for_signal(set, deadline_ms - now_ms);
        if (signal_number == SIGTERM || signal_number == SIGINT)
            end_at_once("a second signal");
        if (signal_number < 0)
            end_at_once("requests are stuck after http.drain_timeout");
    }
}

static void wait_for_stop(struct server *server, const sigset_t *set)
{
    int signal_number = 0;
    while (signal_number != SIGTERM && signal_number != SIGINT) {
        if (sigwait(set, &signal_number) != 0)
            signal_number = 0;
        if (signal_number == SIGHUP)
            server_int_reload(server);
    }
}

static enum result run(struct server *server, struct strbuf *ret_why)
{
    sigset_t set;
    block_signals(&set);
    server->main_thread = pthread_self();
    enum result r = server_int_build(server, ret_why);
    if (r != OK)
        return r;
    server_int_purge_start(&server->loops[0]);
    server_int_watch_start(&server->loops[0]);
    r = start_threads(server, ret_why);
    if (r == OK) {
        announce(server);
        wait_for_stop(server, &set);
    }
    drain(server, &set);
    join_threads(server);
    log_event(server->log, LOG_LEVEL_INFO, "server.stopped", FIELD_RESULT(r));
    return r;
}

enum result server_run(const struct config *config, struct strbuf *ret_why)
{
    /* One malloc arena for each loop and one for the pool: more only cost memory. */
    mallopt(M_ARENA_MAX, (int)(config->http.loops > 0 ? config->http.loops + 1 : 3));
    struct server *server = xcalloc(1, sizeof(*server));
    server->config = config;
    enum result r = run(server, ret_why);
    server_int_dismantle(server);
    free(server);
    return r;
}
