/* SPDX-License-Identifier: Apache-2.0
 *
 * tag_rates PORT PREFIX COUNT CONNECTIONS SECONDS: GETs of PREFIX followed by a number below COUNT, as %06u, each
 * connection one after the other, all numbers equally often in an order without pattern. Prints "running", then one
 * line of JSON: how many were answered in each tenth of a second, for what happens to the rate when something happens
 * to the server.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load_client.h"

#define CONNECTIONS_MAX 64
#define BIN_NS 100000000U
#define BINS_MAX 10000U

struct load {
    uint16_t port;
    const char *prefix;
    unsigned count;
    unsigned next; /* number, before it is scattered */
    int connections[CONNECTIONS_MAX];
    unsigned bins[BINS_MAX];
    uint64_t errors;
};

static void send_next(struct load *load, int fd)
{
    /* A prime that divides no COUNT in use walks through all of them. */
    unsigned number = (unsigned)(((uint64_t)load->next++ * 7919U) % load->count);
    client_send_head(fd, "GET %s%06u HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", load->prefix, number, load->port);
}

static void open_connection(struct load *load, int epoll, unsigned index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    load->connections[index] = client_connect(load->port);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, load->connections[index], &event) != 0) {
        fail("epoll_ctl failed");
    }
    send_next(load, load->connections[index]);
}

static void take_answer(struct load *load, int epoll, unsigned index, uint64_t begun_ns)
{
    static struct response response;
    int fd = load->connections[index];
    bool is_whole = client_read_head(fd, &response) && client_discard(fd, response.content_length);
    uint64_t bin = (clock_now_ns() - begun_ns) / BIN_NS;
    if (!is_whole || response.status != 200) {
        load->errors++;
    } else if (bin < BINS_MAX) {
        load->bins[bin]++;
    }
    if (is_whole && !response.closes) {
        send_next(load, fd);
        return;
    }
    close(fd);
    open_connection(load, epoll, index);
}

static void report(const struct load *load, unsigned bins)
{
    printf("{\"interval_ms\": %u, \"errors\": %llu, \"answers\": [", BIN_NS / 1000000U,
           (unsigned long long)load->errors);
    for (unsigned i = 0; i < bins; i++) {
        printf("%s%u", i > 0 ? ", " : "", load->bins[i]);
    }
    puts("]}");
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc != 6) {
        fail("usage: tag_rates PORT PREFIX COUNT CONNECTIONS SECONDS");
    }
    load.port = (uint16_t)strtoul(argv[1], NULL, 10);
    load.prefix = argv[2];
    load.count = (unsigned)strtoul(argv[3], NULL, 10);
    unsigned connections = (unsigned)strtoul(argv[4], NULL, 10);
    unsigned bins = (unsigned)strtoul(argv[5], NULL, 10) * (1000000000U / BIN_NS);
    if (connections == 0 || connections > CONNECTIONS_MAX || bins == 0 || bins > BINS_MAX || load.count == 0) {
        fail("1 to %d connections, 1 to %u seconds, at least one number", CONNECTIONS_MAX, BINS_MAX / 10);
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t begun = clock_now_ns();
    for (unsigned i = 0; i < connections; i++) {
        open_connection(&load, epoll, i);
    }
    puts("running");
    fflush(stdout);
    while (clock_now_ns() - begun < (uint64_t)bins * BIN_NS) {
        struct epoll_event events[CONNECTIONS_MAX];
        int ready = epoll_wait(epoll, events, CONNECTIONS_MAX, 100);
        for (int i = 0; i < ready; i++) {
            take_answer(&load, epoll, events[i].data.u32, begun);
        }
    }
    report(&load, bins);
    return 0;
}
