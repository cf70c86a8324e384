/* SPDX-License-Identifier: Apache-2.0
 *
 * open_loop PORT PATH RATE CONNECTIONS [SECONDS]: GETs at a fixed rate whatever the server does. Each latency runs from
 * the moment the request was meant to start, so a server that stalls cannot hide behind a client that waits for it.
 * Ends after SECONDS or when standard input ends, and prints one line of JSON. Asks for real-time priority, because it
 * shares its core with the client that loads the server.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load_client.h"

#define CONNECTIONS_MAX 64
#define SAMPLES_MAX (4U << 20)
#define GIVE_UP_NS 5000000000U

struct connection {
    int fd;
    bool busy;
    uint64_t intended_ns;
};

struct load {
    uint16_t port;
    char request[1024];
    int request_length;
    uint64_t interval_ns;
    unsigned connection_count;
    struct connection connections[CONNECTIONS_MAX];
    int epoll;
    uint64_t begun_ns;
    uint64_t intended; /* requests whose time has come */
    uint64_t started;
    uint32_t *latencies_us;
    size_t count;
    size_t errors;
};

static void be_urgent(void)
{
    struct sched_param param = {.sched_priority = 1};
    prctl(PR_SET_TIMERSLACK, 1);
    if (sched_setscheduler(0, SCHED_FIFO, &param) != 0) {
        fprintf(stderr, "open_loop: no real-time priority (%s); latencies include this side's waits\n",
                strerror(errno));
    }
}

static void open_connection(struct load *load, unsigned index)
{
    struct connection *connection = &load->connections[index];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    connection->fd = client_connect(load->port);
    connection->busy = false;
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        fail("epoll_ctl: %s", strerror(errno));
    }
}

/* Starts every request whose time has come, as far as there are idle connections. */
static void start_due(struct load *load, uint64_t now)
{
    load->intended = (now - load->begun_ns) / load->interval_ns + 1;
    for (unsigned i = 0; i < load->connection_count && load->started < load->intended; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->busy) {
            continue;
        }
        connection->busy = true;
        connection->intended_ns = load->begun_ns + load->started * load->interval_ns;
        load->started++;
        client_send(connection->fd, load->request, (size_t)load->request_length);
    }
}

static void finish(struct load *load, unsigned index)
{
    static struct response response;
    struct connection *connection = &load->connections[index];
    bool good = client_read_head(connection->fd, &response) && response.status == 200 &&
                client_discard(connection->fd, response.content_length);
    uint64_t latency_us = (clock_now_ns() - connection->intended_ns) / 1000;
    if (!good) {
        load->errors++;
    } else if (load->count < SAMPLES_MAX) {
        load->latencies_us[load->count++] = latency_us > UINT32_MAX ? UINT32_MAX : (uint32_t)latency_us;
    }
    connection->busy = false;
    if (!good || response.closes) {
        close(connection->fd);
        open_connection(load, index);
    }
}

static void wait_and_finish(struct load *load, uint64_t until_ns)
{
    struct epoll_event events[CONNECTIONS_MAX];
    uint64_t now = clock_now_ns();
    uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / 1000000000U), .tv_nsec = (long)(wait_ns % 1000000000U)};
    int ready = epoll_pwait2(load->epoll, events, CONNECTIONS_MAX, &timeout, NULL);
    for (int i = 0; i < ready; i++) {
        finish(load, events[i].data.u32);
    }
}

static bool input_ended(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;
    return poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static int compare_latencies(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static double percentile_ms(const struct load *load, double fraction)
{
    if (load->count == 0) {
        return 0;
    }
    size_t index = (size_t)((double)load->count * fraction);
    return (double)load->latencies_us[index < load->count ? index : load->count - 1] / 1000.0;
}

static size_t finished(const struct load *load)
{
    return load->count + load->errors;
}

static void report(struct load *load)
{
    qsort(load->latencies_us, load->count, sizeof(uint32_t), compare_latencies);
    printf("{\"count\": %zu, \"errors\": %zu, \"unanswered\": %llu, \"p50_ms\": %.3f, \"p90_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"p999_ms\": %.3f, \"max_ms\": %.3f}\n",
           load->count, load->errors, (unsigned long long)(load->intended - finished(load)), percentile_ms(load, 0.5),
           percentile_ms(load, 0.9), percentile_ms(load, 0.99), percentile_ms(load, 0.999), percentile_ms(load, 1.0));
}

/* Until the time is over or standard input ends; then what was meant to start still gets its answer. */
static void run(struct load *load, uint64_t length_ns, bool is_timed)
{
    load->begun_ns = clock_now_ns();
    uint64_t now = load->begun_ns;
    do {
        start_due(load, now);
        wait_and_finish(load, load->begun_ns + load->intended * load->interval_ns);
        now = clock_now_ns();
    } while (now - load->begun_ns < length_ns && (is_timed || !input_ended()));
    uint64_t give_up = clock_now_ns() + GIVE_UP_NS;
    while (finished(load) < load->intended && clock_now_ns() < give_up) {
        start_due(load, now);
        wait_and_finish(load, give_up);
    }
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc < 5) {
        fail("usage: open_loop PORT PATH RATE CONNECTIONS [SECONDS]");
    }
    load.port = (uint16_t)strtoul(argv[1], NULL, 10);
    load.request_length = snprintf(load.request, sizeof(load.request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
                                   argv[2], load.port);
    load.interval_ns = 1000000000U / strtoul(argv[3], NULL, 10);
    load.connection_count = (unsigned)strtoul(argv[4], NULL, 10);
    if (load.connection_count == 0 || load.connection_count > CONNECTIONS_MAX) {
        fail("1 to %d connections", CONNECTIONS_MAX);
    }
    uint64_t length_ns = argc > 5 ? strtoul(argv[5], NULL, 10) * 1000000000U : UINT64_MAX;
    load.latencies_us = malloc(SAMPLES_MAX * sizeof(uint32_t));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < load.connection_count; i++) {
        open_connection(&load, i);
    }
    be_urgent();
    puts("running");
    fflush(stdout);
    run(&load, length_ns, argc > 5);
    report(&load);
    return 0;
}
