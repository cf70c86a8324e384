/* SPDX-License-Identifier: Apache-2.0
 *
 * What the load clients share: a blocking HTTP/1.1 client on a raw loopback socket, cheap enough never to be the
 * bottleneck, and a clock. Clients talk to 127.0.0.1 only.
 */
#ifndef MINATO_BENCH_LOAD_CLIENT_H
#define MINATO_BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_HEAD_MAX 16384

struct response {
    int status;
    size_t head_bytes;
    uint64_t content_length; /* 0 if absent */
    bool closes;
    char location[4096]; /* path and query only; empty if absent */
    char head[RESPONSE_HEAD_MAX + 1];
};

uint64_t clock_now_ns(void);
void clock_sleep_until(uint64_t when_ns);

/* Never returns -1: complains and ends the program. */
int client_connect(uint16_t port);
/* -1 if refused. */
int client_try_connect(uint16_t port);
/* False if the peer closed or reset. */
bool client_send(int fd, const void *bytes, size_t length);
/* Sends a formatted head (up to 8 KiB). */
bool client_send_head(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Reads exactly one head; the body stays in the socket. False on a broken or early closed answer. */
bool client_read_head(int fd, struct response *ret_response);
/* Throws away `length` bytes without copying them. False if there were fewer. */
bool client_discard(int fd, uint64_t length);

/* "2G", "300M", "64K", "12" in bytes; ends the program on anything else. */
uint64_t parse_size(const char *text);
/* Ends the program with a message. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
