/* SPDX-License-Identifier: Apache-2.0
 *
 * `minato reindex`: a server without listeners whose loop 0 walks the store, tells how far it is, and ends.
 */
#include "server_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TELL_EVERY_MS 200u
#define TELL_LINES_EVERY_MS 5000u
#define BAR_CELLS 30u

struct reindex {
    struct server *server;
    struct loop *loop;
    struct registry_reindex run;
    struct flow *flow;
    struct timer timer;
    struct fd_watch signals;
    uint64_t begun_ms;
    bool has_terminal;
    bool is_over;
    enum result outcome;
    char last[REPO_NAME_MAX + 1]; /* run.last goes with the flow */
};

/* ---- telling how far it is ---- */

static void tell(const struct reindex *op)
{
    char bar[BAR_CELLS + 1];
    size_t total = op->run.repositories;
    size_t filled = total == 0 ? 0 : op->run.repositories_done * BAR_CELLS / total;
    for (size_t i = 0; i < BAR_CELLS; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    uint64_t seconds = (loop_now_ms(op->loop) - op->begun_ms) / 1000;
    (void)fprintf(stderr, "%s[%s] %zu of %zu repositories, %llu names, %llu s%s", op->has_terminal ? "\r" : "", bar,
                  op->run.repositories_done, total, (unsigned long long)op->run.names_done, (unsigned long long)seconds,
                  op->has_terminal && !op->is_over ? "" : "\n");
}

static void on_timer(struct timer *timer)
{
    struct reindex *op = (struct reindex *)(void *)((char *)timer - offsetof(struct reindex, timer));
    tell(op);
    timer_start(op->loop, &op->timer, op->has_terminal ? TELL_EVERY_MS : TELL_LINES_EVERY_MS, on_timer);
}

/* ---- the walk ---- */

static enum flow_next walk(struct flow *f)
{
    struct reindex *op = flow_owner(f);
    return registry_reindex(f, op->server->registry, &op->run);
}

static const struct flow_step steps[] = {{"walk", walk}};
static const struct flow_program program = {"server_reindex", FLOW_STEPS(steps)};

static void on_end(void *data, enum result outcome)
{
    struct reindex *op = data;
    op->flow = NULL;
    op->outcome = outcome;
    op->is_over = true;
    (void)snprintf(op->last, sizeof(op->last), "%.*s", SLICE_ARG(op->run.last));
    timer_stop(&op->timer);
    tell(op);
}

static void on_signal(struct fd_watch *watch, unsigned events)
{
    struct reindex *op = (struct reindex *)(void *)((char *)watch - offsetof(struct reindex, signals));
    (void)events;
    loop_unwatch(op->loop, watch);
    if (op->flow != NULL)
        flow_cancel(op->flow);
}

/* Before there are other threads, which would be ended by them. */
static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a connection that is gone is an error of its own */
}

/* SIGINT and SIGTERM end it in order. -1 if the system refuses. */
static int watch_signals(struct reindex *op, const sigset_t *set)
{
    int fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0 || loop_watch(op->loop, &op->signals, fd, FD_READABLE, on_signal) != OK)
        return -1;
    return fd;
}

static void run(struct reindex *op, const sigset_t *set)
{
    int signals = watch_signals(op, set);
    op->begun_ms = loop_now_ms(op->loop);
    op->has_terminal = isatty(STDERR_FILENO) == 1;
    on_timer(&op->timer);
    op->flow = flow_new(op->loop);
    flow_start(op->flow, &program, op, on_end, op);
    while (!op->is_over)
        loop_run_once(op->loop, INT32_MAX);
    loop_unwatch(op->loop, &op->signals);
    if (signals >= 0)
        close(signals);
}

static void explain(const struct reindex *op, struct strbuf *ret_why)
{
    strbuf_append_format(ret_why, "reindex: %s", op->outcome == CANCELLED ? "stopped" : result_name(op->outcome));
    if (op->last[0] != '\0')
        strbuf_append_format(ret_why, "; to go on: minato reindex --after %s", op->last);
}

enum result server_reindex(const struct config *config, struct slice after, struct strbuf *ret_why)
{
    if (config->redis.url.value == NULL) {
        strbuf_append_cstr(ret_why, "reindex: without index.redis the index is the memory of each `minato serve`, "
                                    "which fills it by itself: there is nothing to do");
        return INVALID;
    }
    sigset_t set;
    block_signals(&set);
    struct server *server = xcalloc(1, sizeof(*server));
    server->config = config;
    struct reindex op = {.server = server, .run.after = after};
    enum result r = server_int_build_domain(server, ret_why);
    if (r == OK) {
        op.loop = server->loops[0].loop;
        run(&op, &set);
        r = op.outcome;
        if (r != OK)
            explain(&op, ret_why);
    }
    server_int_dismantle(server);
    free(server);
    return r;
}
