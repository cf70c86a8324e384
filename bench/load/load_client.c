/* SPDX-License-Identifier: Apache-2.0
 *
 * The blocking client of the load tools. Heads are found by MSG_PEEK, so that a body is never read by accident;
 * bodies are thrown away by the kernel (MSG_TRUNC).
 */
#include "load_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

void clock_sleep_until(uint64_t when_ns)
{
    struct timespec when = {.tv_sec = (time_t)(when_ns / 1000000000U), .tv_nsec = (long)(when_ns % 1000000000U)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

uint64_t parse_size(const char *text)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    switch (*end) {
    case 'G':
        value *= 1024;
        /* fall through */
    case 'M':
        value *= 1024;
        /* fall through */
    case 'K':
        value *= 1024;
        end++;
        break;
    default:
        break;
    }
    if (end == text || *end != '\0') {
        fail("not a size: %s", text);
    }
    return value;
}

int client_try_connect(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail("socket: %s", strerror(errno));
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

int client_connect(uint16_t port)
{
    int fd = client_try_connect(port);
    if (fd < 0) {
        fail("connect to 127.0.0.1:%u: %s", port, strerror(errno));
    }
    return fd;
}

bool client_send(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

bool client_send_head(int fd, const char *format, ...)
{
    char head[8192];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(head, sizeof(head), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(head)) {
        fail("request head too long");
    }
    return client_send(fd, head, (size_t)length);
}

/* Length of the head that waits in the socket, 0 if it is too long or the connection ended before its end. */
static size_t peek_head(int fd, char *head)
{
    size_t seen = 0;
    for (;;) {
        ssize_t n = recv(fd, head, RESPONSE_HEAD_MAX, MSG_PEEK);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return 0;
        }
        head[n] = '\0';
        const char *end = memmem(head, (size_t)n, "\r\n\r\n", 4);
        if (end != NULL) {
            return (size_t)(end - head) + 4;
        }
        if (n == RESPONSE_HEAD_MAX) {
            return 0;
        }
        if ((size_t)n == seen) {
            clock_sleep_until(clock_now_ns() + 50000);
        }
        seen = (size_t)n;
    }
}

/* An absolute Location loses its scheme and authority. */
static void keep_location(struct response *response, const char *value, size_t length)
{
    const char *scheme = memmem(value, length, "://", 3);
    if (*value != '/' && scheme != NULL) {
        size_t skipped = (size_t)(scheme - value) + 3;
        const char *path = memchr(value + skipped, '/', length - skipped);
        if (path == NULL) {
            return;
        }
        length -= (size_t)(path - value);
        value = path;
    }
    if (length >= sizeof(response->location)) {
        fail("Location too long");
    }
    memcpy(response->location, value, length);
    response->location[length] = '\0';
}

static void keep_header(struct response *response, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    if (colon == NULL) {
        return;
    }
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    while (value < line + length && *value == ' ') {
        value++;
    }
    size_t value_length = (size_t)(line + length - value);
    if (name == 14 && strncasecmp(line, "content-length", name) == 0) {
        response->content_length = strtoull(value, NULL, 10);
    } else if (name == 8 && strncasecmp(line, "location", name) == 0) {
        keep_location(response, value, value_length);
    } else if (name == 10 && strncasecmp(line, "connection", name) == 0) {
        response->closes = value_length == 5 && strncasecmp(value, "close", 5) == 0;
    }
}

bool client_read_head(int fd, struct response *ret_response)
{
    memset(ret_response, 0, offsetof(struct response, head));
    size_t length = peek_head(fd, ret_response->head);
    if (length == 0 || recv(fd, ret_response->head, length, MSG_WAITALL) != (ssize_t)length) {
        return false;
    }
    ret_response->head[length] = '\0';
    ret_response->head_bytes = length;
    if (strncmp(ret_response->head, "HTTP/1.1 ", 9) != 0) {
        return false;
    }
    ret_response->status = (int)strtol(ret_response->head + 9, NULL, 10);
    const char *line = strstr(ret_response->head, "\r\n") + 2;
    while (line[0] != '\r') {
        const char *end = strstr(line, "\r\n");
        keep_header(ret_response, line, (size_t)(end - line));
        line = end + 2;
    }
    return true;
}

bool client_discard(int fd, uint64_t length)
{
    while (length > 0) {
        size_t wanted = length > (16U << 20) ? (16U << 20) : (size_t)length;
        ssize_t n = recv(fd, NULL, wanted, MSG_TRUNC);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        length -= (uint64_t)n;
    }
    return true;
}
