/* SPDX-License-Identifier: Apache-2.0
 *
 * libcurl's multi interface on an event loop: its sockets are watched, its timer is ours, and what it has finished is
 * told once it has returned.
 */
#include "outbound_int.h"

#include <stdlib.h>

struct watched_socket {
    struct fd_watch watch;
    struct http_loop *http;
};

/* ---- what is ready ---- */

void outbound_int_queue(struct http_download *transfer)
{
    struct http_loop *http = transfer->http;
    if (transfer->is_queued)
        return;
    transfer->is_queued = true;
    transfer->next_ready = NULL;
    *http->last_ready = transfer;
    http->last_ready = &transfer->next_ready;
}

void outbound_int_unqueue(struct http_download *transfer)
{
    struct http_loop *http = transfer->http;
    if (!transfer->is_queued)
        return;
    transfer->is_queued = false;
    struct http_download **at = &http->first_ready;
    while (*at != transfer)
        at = &(*at)->next_ready;
    *at = transfer->next_ready;
    if (http->last_ready == &transfer->next_ready)
        http->last_ready = at;
}

static void take_messages(struct http_loop *http)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *private;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        outbound_int_over((struct http_download *)(void *)private, code);
    }
}

static void settle(struct http_loop *http)
{
    take_messages(http);
    while (http->first_ready != NULL) {
        struct http_download *transfer = http->first_ready;
        outbound_int_unqueue(transfer);
        outbound_int_tell(transfer);
    }
}

/* ---- the timer ---- */

static void on_timer(struct timer *timer);

/* A loop knows few different delays: the next lower one, and then libcurl is asked again. */
static void arm(struct http_loop *http, long wanted_ms)
{
    static const uint64_t delays[] = {1000, 200, 50, 10, 2, 1, 0};
    size_t i = 0;
    while (delays[i] > (uint64_t)wanted_ms)
        i++;
    timer_start(http->loop, &http->timer, delays[i], on_timer);
}

static void on_timer(struct timer *timer)
{
    struct http_loop *http = (struct http_loop *)(void *)((char *)timer - offsetof(struct http_loop, timer));
    int running;
    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    settle(http);
    long left_ms = -1;
    curl_multi_timeout(http->multi, &left_ms);
    if (left_ms >= 0 && !timer_is_running(&http->timer))
        arm(http, left_ms == 0 ? 1 : left_ms);
}

static int on_timeout_changed(CURLM *multi, long timeout_ms, void *data)
{
    struct http_loop *http = data;
    (void)multi;
    if (timeout_ms < 0)
        timer_stop(&http->timer);
    else
        arm(http, timeout_ms);
    return 0;
}

/* A multi handle that could not watch a socket takes nothing any more while transfers are left in it. */
void outbound_int_start(struct http_download *transfer)
{
    struct http_loop *http = transfer->http;
    if (curl_multi_add_handle(http->multi, transfer->easy) == CURLM_OK)
        return;
    transfer->is_over = true;
    transfer->outcome = UNAVAILABLE;
    outbound_int_queue(transfer);
    arm(http, 0);
}

/* ---- the sockets ---- */

static void on_ready(struct fd_watch *watch, unsigned events)
{
    struct watched_socket *sock = (struct watched_socket *)(void *)watch;
    struct http_loop *http = sock->http; /* the socket may be gone afterwards */
    int action = 0;
    int running;
    if (events & FD_READABLE)
        action |= CURL_CSELECT_IN;
    if (events & FD_WRITABLE)
        action |= CURL_CSELECT_OUT;
    curl_multi_socket_action(http->multi, watch->fd, action, &running);
    settle(http);
}

static int on_socket_changed(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct http_loop *http = data;
    struct watched_socket *sock = socket_data;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (sock != NULL)
            loop_unwatch(http->loop, &sock->watch);
        free(sock);
        curl_multi_assign(http->multi, fd, NULL);
        return 0;
    }
    if (sock == NULL) {
        sock = xcalloc(1, sizeof(*sock));
        sock->http = http;
        curl_multi_assign(http->multi, fd, sock);
    }
    unsigned events = ((what & CURL_POLL_IN) ? FD_READABLE : 0u) | ((what & CURL_POLL_OUT) ? FD_WRITABLE : 0u);
    return loop_watch(http->loop, &sock->watch, fd, events, on_ready) == OK ? 0 : -1;
}

/* ---- its life ---- */

static struct http_loop *loop_new_http(struct http_client *client, struct loop *loop)
{
    struct http_loop *http = xcalloc(1, sizeof(*http));
    http->client = client;
    http->loop = loop;
    http->last_ready = &http->first_ready;
    http->multi = curl_multi_init();
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket_changed);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timeout_changed);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)client->settings.connections_kept);
    return http;
}

struct http_loop *outbound_int_loop(struct http_client *client, struct loop *loop)
{
    pthread_mutex_lock(&client->mutex);
    struct http_loop *http = client->loops;
    while (http != NULL && http->loop != loop)
        http = http->next;
    if (http == NULL) {
        http = loop_new_http(client, loop);
        http->next = client->loops;
        client->loops = http;
    }
    pthread_mutex_unlock(&client->mutex);
    return http;
}

void outbound_int_loop_free(struct http_loop *http)
{
    curl_multi_cleanup(http->multi); /* closes its sockets, each of which on_socket_changed is told of */
    timer_stop(&http->timer);
    free(http);
}
