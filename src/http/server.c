/* SPDX-License-Identifier: Apache-2.0
 *
 * The server of one loop: what its connections share, and the drain. Loop thread only.
 */
#include "http_int.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "transport.h"

enum result http_server_new(struct loop *loop, const struct http_settings *settings, struct pool *pool,
                            struct metrics *metrics, http_handler *handler, void *data, struct http_server **ret_server)
{
    struct http_server *server = xcalloc(1, sizeof(*server));
    server->loop = loop;
    server->settings = *settings;
    server->pool = pool;
    server->metrics = metrics;
    server->handler = handler;
    server->handler_data = data;
    server->may_sendfile = true;
    server->date_second = -1;
    enum result r = http_int_gone_watch_init(server);
    if (r != OK) {
        free(server);
        return r;
    }
    server->scratch = xmalloc(HTTP_HEAD_READ_BYTES);
    *ret_server = server;
    return OK;
}

void http_server_on_refusal(struct http_server *server, http_refusal_listener *listener, void *data)
{
    server->refusal_listener = listener;
    server->refusal_data = data;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    http_int_listeners_close(server);
    while (server->connections != NULL)
        server->connections->protocol->abort(server->connections);
    assert(server->connection_count == 0 && server->request_count == 0);
    timer_stop(&server->drain_timer);
    http_int_gone_watch_done(server);
    http_tls_unref(server->tls);
    free(server->bulk);
    free(server->scratch);
    free(server);
}

void http_server_set_tls(struct http_server *server, struct http_tls *tls)
{
    struct http_tls *old = server->tls;
    server->tls = tls == NULL ? NULL : http_tls_ref(tls);
    http_tls_unref(old);
}

/* ---- connections ---- */

void http_int_server_link(struct http_server *server, struct http_link *link, const struct http_protocol *protocol)
{
    link->protocol = protocol;
    link->previous = NULL;
    link->next = server->connections;
    if (link->next != NULL)
        link->next->previous = link;
    server->connections = link;
    server->connection_count++;
    http_int_server_gauge(server, METRIC_CONNECTIONS_OPEN, 1);
}

void http_int_server_unlink(struct http_server *server, struct http_link *link)
{
    if (link->previous != NULL)
        link->previous->next = link->next;
    else
        server->connections = link->next;
    if (link->next != NULL)
        link->next->previous = link->previous;
}

void http_int_server_forget(struct http_server *server)
{
    server->connection_count--;
    http_int_server_gauge(server, METRIC_CONNECTIONS_OPEN, -1);
    http_int_server_ended(server);
}

/* ---- shared by connections ---- */

void http_int_server_count(struct http_server *server, enum metric_counter counter, uint64_t n)
{
    if (server->metrics != NULL && n > 0)
        metrics_add(server->metrics, loop_index(server->loop), counter, n);
}

void http_int_server_gauge(struct http_server *server, enum metric_gauge gauge, int64_t delta)
{
    if (server->metrics != NULL)
        metrics_gauge_add(server->metrics, loop_index(server->loop), gauge, delta);
}

void http_int_server_refused(struct http_server *server, const struct http_error *error, struct slice method,
                             struct slice path, struct slice peer, uint64_t duration_ms)
{
    if (server->refusal_listener == NULL)
        return;
    struct http_refusal refusal = {.status = error->status,
                                   .reason = error->message,
                                   .method = method,
                                   .path = path,
                                   .peer = peer,
                                   .duration_ms = duration_ms};
    server->refusal_listener(server->refusal_data, &refusal);
}

struct slice http_int_server_date(struct http_server *server)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != server->date_second) {
        struct tm tm;
        (void)gmtime_r(&now.tv_sec, &tm);
        (void)snprintf(server->date, sizeof(server->date), "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
                       days + tm.tm_wday * 3, (unsigned)tm.tm_mday % 100, months + tm.tm_mon * 3,
                       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                       (unsigned)tm.tm_sec % 100);
        server->date_second = now.tv_sec;
    }
    return slice_of(server->date, HTTP_DATE_SIZE - 1);
}

/* ---- drain ---- */

static void on_drained(struct timer *timer)
{
    struct http_server *server =
        (struct http_server *)(void *)((char *)timer - offsetof(struct http_server, drain_timer));
    void (*drained)(void *data) = server->drained;
    server->drained = NULL;
    if (drained != NULL)
        drained(server->drained_data);
}

void http_int_server_ended(struct http_server *server)
{
    /* From a timer: `drained` may free the server, whose callers are on the stack now. */
    if (server->drained != NULL && server->connection_count == 0 && server->request_count == 0)
        timer_start(server->loop, &server->drain_timer, 0, on_drained);
}

static void on_drain_timeout(struct timer *timer)
{
    struct http_server *server =
        (struct http_server *)(void *)((char *)timer - offsetof(struct http_server, drain_timer));
    while (server->connections != NULL)
        server->connections->protocol->abort(server->connections);
}

void http_server_drain(struct http_server *server, uint64_t timeout_ms, void (*drained)(void *data), void *data)
{
    http_int_listeners_close(server);
    server->draining = true;
    server->drained = drained;
    server->drained_data = data;
    timer_start(server->loop, &server->drain_timer, timeout_ms, on_drain_timeout);
    struct http_link *next;
    for (struct http_link *link = server->connections; link != NULL; link = next) {
        next = link->next;
        link->protocol->drain(link);
    }
    http_int_server_ended(server);
}
