/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections to a server of this machine that may keep back what is sent over them: what a network does that loses
 * packets and repeats them, also when who sent them has long given up. All on one loop, which the test runs.
 */
#ifndef MINATO_TEST_WIRE_H
#define MINATO_TEST_WIRE_H

#include <stdint.h>

#include "minato/async.h"

#define WIRE_LINKS_MAX 16u

struct wire_end {
    struct fd_watch watch;
    struct wire_link *link;
    struct wire_end *other;
    int fd;
};

struct wire_link {
    struct wire *wire;
    struct wire_end client;
    struct wire_end server;
};

struct wire {
    struct fd_watch watch;
    struct loop *loop;
    int fd;
    uint16_t port;    /* where it listens */
    uint16_t to_port; /* where the server does */
    struct wire_link links[WIRE_LINKS_MAX];
    unsigned count;
};

void wire_open(struct wire *wire, struct loop *loop, uint16_t to_port);
/* What comes over the connections that there are now is kept back until it is released; new ones are as any. */
void wire_hold(struct wire *wire);
void wire_release(struct wire *wire);
void wire_close(struct wire *wire);

#endif
