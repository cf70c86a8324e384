/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that keep back what is sent over them: see wire.h. The loop's own thread.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void must(bool is_so, const char *what)
{
    if (is_so)
        return;
    perror(what);
    abort();
}

static void close_end(struct wire *wire, struct wire_end *end)
{
    if (end->fd < 0)
        return;
    loop_unwatch(wire->loop, &end->watch);
    (void)close(end->fd);
    end->fd = -1;
}

/* What has come goes to the other side, and so does the end of it. */
static void on_bytes(struct fd_watch *watch, unsigned events)
{
    struct wire_end *end = (struct wire_end *)(void *)watch;
    struct wire *wire = end->link->wire;
    char bytes[4096];
    (void)events;
    ssize_t count = recv(end->fd, bytes, sizeof(bytes), 0);
    if (count > 0 && end->other->fd >= 0)
        (void)send(end->other->fd, bytes, (size_t)count, MSG_NOSIGNAL); /* lost, if nobody is there any more */
    if (count > 0)
        return;
    if (end == &end->link->client && end->other->fd >= 0)
        (void)shutdown(end->other->fd, SHUT_WR);
    else
        close_end(wire, end->other);
    close_end(wire, end);
}

static void watch(struct wire *wire, struct wire_end *end)
{
    must(loop_watch(wire->loop, &end->watch, end->fd, FD_READABLE, on_bytes) == OK, "watch");
}

static struct sockaddr_in at_port(uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void on_client(struct fd_watch *listener, unsigned events)
{
    struct wire *wire = (struct wire *)(void *)listener;
    struct sockaddr_in address = at_port(wire->to_port);
    (void)events;
    must(wire->count < WIRE_LINKS_MAX, "too many connections");
    struct wire_link *link = &wire->links[wire->count++];
    link->wire = wire;
    link->client = (struct wire_end){.link = link, .other = &link->server, .fd = accept(wire->fd, NULL, NULL)};
    link->server = (struct wire_end){.link = link, .other = &link->client, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    must(link->client.fd >= 0, "accept");
    must(connect(link->server.fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect");
    watch(wire, &link->client);
    watch(wire, &link->server);
}

void wire_open(struct wire *wire, struct loop *loop, uint16_t to_port)
{
    struct sockaddr_in address = at_port(0);
    socklen_t length = sizeof(address);
    *wire = (struct wire){.loop = loop, .to_port = to_port, .fd = socket(AF_INET, SOCK_STREAM, 0)};
    must(bind(wire->fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
    must(listen(wire->fd, (int)WIRE_LINKS_MAX) == 0, "listen");
    must(getsockname(wire->fd, (struct sockaddr *)&address, &length) == 0, "getsockname");
    wire->port = ntohs(address.sin_port);
    must(loop_watch(loop, &wire->watch, wire->fd, FD_READABLE, on_client) == OK, "watch");
}

void wire_hold(struct wire *wire)
{
    for (unsigned i = 0; i < wire->count; i++)
        if (wire->links[i].client.fd >= 0)
            loop_unwatch(wire->loop, &wire->links[i].client.watch);
}

void wire_release(struct wire *wire)
{
    for (unsigned i = 0; i < wire->count; i++)
        if (wire->links[i].client.fd >= 0)
            watch(wire, &wire->links[i].client);
}

void wire_close(struct wire *wire)
{
    loop_unwatch(wire->loop, &wire->watch);
    (void)close(wire->fd);
    for (unsigned i = 0; i < wire->count; i++) {
        close_end(wire, &wire->links[i].client);
        close_end(wire, &wire->links[i].server);
    }
}
