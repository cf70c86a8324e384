/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop: libcurl's multi interface over epoll, whose cost does not grow with the number of idle clients. Each client
 * has its own connection also over HTTP/2: clients stand for machines of their own.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "http_int.h"
#include "must.h"

#define EVENTS_MAX 64
#define CONNECTIONS_PER_CLIENT 3L /* the registry, its store, its token server */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
    struct transport *transport = data;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(transport->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
    if (epoll_ctl(transport->epoll, known == NULL ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0) {
        abort();
    }
    curl_multi_assign(transport->multi, fd, transport);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *data)
{
    struct transport *transport = data;
    (void)multi;
    transport->timer_ns = timeout_ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)timeout_ms * 1000000U;
    return 0;
}

struct transport *transport_new(const struct options *options, const struct image_source *source, struct auth *auth,
                                struct stats *stats)
{
    struct transport *transport = must(calloc(1, sizeof(*transport)));
    *transport =
        (struct transport){.options = options, .source = source, .auth = auth, .stats = stats, .timer_ns = UINT64_MAX};
    transport->epoll = epoll_create1(EPOLL_CLOEXEC);
    transport->multi = must(curl_multi_init());
    curl_multi_setopt(transport->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(transport->multi, CURLMOPT_SOCKETDATA, transport);
    curl_multi_setopt(transport->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(transport->multi, CURLMOPT_TIMERDATA, transport);
    curl_multi_setopt(transport->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(transport->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_PER_CLIENT * (long)options->clients);
    return transport;
}

void transport_free(struct transport *transport)
{
    if (transport != NULL) {
        curl_multi_cleanup(transport->multi);
        close(transport->epoll);
        free(transport);
    }
}

static void take_ended(struct transport *transport)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(transport->multi, &left)) != NULL) {
        struct exchange *exchange = NULL;
        CURLcode code = message->data.result;
        CURL *easy = message->easy_handle;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&exchange);
        curl_multi_remove_handle(transport->multi, easy);
        exchange_int_ended(exchange, code);
    }
}

void transport_turn(struct transport *transport, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = now_ns();
    uint64_t wake = until_ns < transport->timer_ns ? until_ns : transport->timer_ns;
    uint64_t wait = wake > now ? wake - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000U), .tv_nsec = (long)(wait % 1000000000U)};
    int ready = epoll_pwait2(transport->epoll, events, EVENTS_MAX, &timeout, NULL);
    int running;
    for (int i = 0; i < ready; i++) {
        int what = ((events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                   ((events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(transport->multi, events[i].data.fd, what, &running);
    }
    if (now_ns() >= transport->timer_ns) {
        transport->timer_ns = UINT64_MAX;
        curl_multi_socket_action(transport->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    take_ended(transport);
}
