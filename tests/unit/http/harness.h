/* SPDX-License-Identifier: Apache-2.0
 *
 * A server on 127.0.0.1 and clients of it in one thread: whatever waits for an answer turns the loop meanwhile.
 */
#ifndef MINATO_TESTS_HTTP_HARNESS_H
#define MINATO_TESTS_HTTP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "minato/clock.h"
#include "minato/http.h"
#include "src/http/http_int.h"

#define PATIENCE_MS 10000
#define UNUSED __attribute__((unused))

struct fixture {
    struct loop *loop;
    struct pool *pool;
    struct metrics *metrics;
    struct http_server *server;
    struct http_address address;
    http_handler *handler;
    struct http_request *held; /* by the handler `hold` */
    unsigned requests;
    unsigned gone;
    bool is_drained;
};

static struct http_settings quick_settings(void) UNUSED;
static struct http_settings quick_settings(void)
{
    return (struct http_settings){.head_bytes_max = 16384,
                                  .head_timeout_ms = 10000,
                                  .idle_timeout_ms = 10000,
                                  .body_timeout_ms = 10000,
                                  .body_min_rate_bytes = 0,
                                  .write_timeout_ms = 10000,
                                  .connections_max = 100};
}

static void on_request(void *data, struct http_request *req)
{
    struct fixture *f = data;
    f->requests++;
    f->handler(f, req);
}

static void on_drained(void *data)
{
    ((struct fixture *)data)->is_drained = true;
}

static void on_gone(void *data) UNUSED;
static void on_gone(void *data)
{
    ((struct fixture *)data)->gone++;
}

static struct fixture *start(const struct http_settings *settings, size_t page_bytes, http_handler *handler) UNUSED;
static struct fixture *start(const struct http_settings *settings, size_t page_bytes, http_handler *handler)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct strbuf why;
    strbuf_init(&why, 1000);
    f->handler = handler;
    f->metrics = metrics_new(1);
    assert_int_equal(http_library_check(&why), OK);
    assert_int_equal(loop_new(0, page_bytes, &f->loop), OK);
    assert_int_equal(pool_new(2, 8, &f->pool), OK);
    assert_int_equal(http_server_new(f->loop, settings, f->pool, f->metrics, on_request, f, &f->server), OK);
    assert_int_equal(http_address_resolve(SLICE("127.0.0.1:0"), &f->address, &why), OK);
    assert_int_equal(http_server_listen(f->server, &f->address, &(struct http_listen_options){.is_tls = false}, &why),
                     OK);
    strbuf_done(&why);
    return f;
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

static void turn(struct fixture *f)
{
    loop_run_once(f->loop, 5);
}

/* Turns the loop until `condition` holds; fails the test if it never does. */
#define wait_until(f, condition)                                                                                       \
    do {                                                                                                               \
        uint64_t deadline_ = now_ms() + PATIENCE_MS;                                                                   \
        while (!(condition)) {                                                                                         \
            if (now_ms() > deadline_)                                                                                  \
                fail_msg("never happened: %s", #condition);                                                            \
            turn(f);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void turn_for(struct fixture *f, uint64_t ms) UNUSED;
static void turn_for(struct fixture *f, uint64_t ms)
{
    uint64_t end = now_ms() + ms;
    while (now_ms() < end)
        turn(f);
}

/* Everything must be released: requests, connections and pages. */
static void stop(struct fixture *f) UNUSED;
static void stop(struct fixture *f)
{
    if (!f->is_drained)
        http_server_drain(f->server, 100, on_drained, f);
    wait_until(f, f->is_drained);
    assert_int_equal(pages_in_use_bytes(f->loop), 0);
    http_server_free(f->server);
    pool_free(f->pool);
    loop_free(f->loop);
    metrics_free(f->metrics);
    free(f);
}

/* ---- client ---- */

struct client {
    struct fixture *f;
    int fd;
    struct strbuf in;
    bool is_ended; /* FIN or reset */
    bool is_reset;
};

static struct client *dial(struct fixture *f) UNUSED;
static struct client *dial(struct fixture *f)
{
    struct client *c = xcalloc(1, sizeof(*c));
    c->f = f;
    strbuf_init(&c->in, 64 << 20);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&f->address.addr, f->address.len), 0);
    int on = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
    return c;
}

static void hang_up(struct client *c) UNUSED;
static void hang_up(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    strbuf_done(&c->in);
    free(c);
}

static void receive(struct client *c)
{
    static char buf[65536];
    while (!c->is_ended) {
        ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
        if (n > 0) {
            strbuf_append(&c->in, slice_of(buf, (size_t)n));
            continue;
        }
        if (n < 0 && errno == EAGAIN)
            return;
        c->is_ended = true;
        c->is_reset = n < 0;
    }
}

/* Sends all of it, reading what comes meanwhile; stops when the server has closed. */
static void say_bytes(struct client *c, const char *bytes, size_t len) UNUSED;
static void say_bytes(struct client *c, const char *bytes, size_t len)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (len > 0) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN)
            return;
        if (now_ms() > deadline)
            fail_msg("the server takes no more bytes");
        turn(c->f);
        receive(c);
    }
}

static void say(struct client *c, const char *text) UNUSED;
static void say(struct client *c, const char *text)
{
    say_bytes(c, text, strlen(text));
}

static bool has_heard(struct client *c, const char *text)
{
    receive(c);
    return c->in.len > 0 && strstr(c->in.ptr, text) != NULL;
}

static void hear(struct client *c, const char *text) UNUSED;
static void hear(struct client *c, const char *text)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (!has_heard(c, text)) {
        if (now_ms() > deadline || c->is_ended)
            fail_msg("did not hear \"%s\" but \"%.*s\"%s", text, (int)(c->in.len < 2000 ? c->in.len : 2000),
                     c->in.len == 0 ? "" : c->in.ptr, c->is_ended ? " and the end" : "");
        turn(c->f);
    }
}

/* Forgets what was heard. */
static void forget(struct client *c) UNUSED;
static void forget(struct client *c)
{
    strbuf_clear(&c->in);
}

static void hear_bytes(struct client *c, size_t len) UNUSED;
static void hear_bytes(struct client *c, size_t len)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (receive(c), c->in.len < len) {
        if (now_ms() > deadline || c->is_ended)
            fail_msg("heard only %zu of %zu bytes", c->in.len, len);
        turn(c->f);
    }
}

static void hear_end(struct client *c) UNUSED;
static void hear_end(struct client *c)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (receive(c), !c->is_ended) {
        if (now_ms() > deadline)
            fail_msg("the server does not close");
        turn(c->f);
    }
}

static unsigned count_heard(struct client *c, const char *text) UNUSED;
static unsigned count_heard(struct client *c, const char *text)
{
    unsigned n = 0;
    for (const char *at = c->in.len == 0 ? NULL : strstr(c->in.ptr, text); at != NULL; at = strstr(at + 1, text))
        n++;
    return n;
}

/* ---- handlers ---- */

static void end_of_reply(void *data, enum result r) UNUSED;
static void end_of_reply(void *data, enum result r)
{
    (void)r;
    http_request_done(data);
}

static struct done done_of(struct fixture *f, void (*fn)(void *data, enum result r), void *data) UNUSED;
static struct done done_of(struct fixture *f, void (*fn)(void *data, enum result r), void *data)
{
    return (struct done){.fn = fn, .data = data, .loop = f->loop};
}

/* Answers with `text` (which must stay) and ends the request. */
static void answer(struct fixture *f, struct http_request *req, int status, struct slice text) UNUSED;
static void answer(struct fixture *f, struct http_request *req, int status, struct slice text)
{
    enum result r = http_reply_bytes(req, status, NULL, 0, text, done_of(f, end_of_reply, req));
    if (r != PENDING)
        http_request_done(req);
}

/* 200 with the path, at once; the body is not read. */
static void answer_path(void *data, struct http_request *req) UNUSED;
static void answer_path(void *data, struct http_request *req)
{
    answer(data, req, 200, http_request_path(req));
}

/* The test goes on with f->held. */
static void hold(void *data, struct http_request *req) UNUSED;
static void hold(void *data, struct http_request *req)
{
    struct fixture *f = data;
    assert_null(f->held);
    f->held = req;
    http_request_on_gone(req, on_gone, f);
}

/* Reads the whole body, then answers "read <bytes> sum <sum>", or 400 "broken <result>". */
struct body_reader {
    struct fixture *f;
    struct http_request *req;
    struct page *page;
    uint64_t bytes;
    uint64_t sum;
};

static void reader_step(struct body_reader *reader);

static void on_piece(void *data, enum result r)
{
    struct body_reader *reader = data;
    struct arena *arena = http_request_arena(reader->req);
    if (r != OK) {
        answer(reader->f, reader->req, 400, arena_format(arena, "broken %s", result_name(r)));
        return;
    }
    if (reader->page == NULL) {
        answer(reader->f, reader->req, 200,
               arena_format(arena, "read %llu sum %llu", (unsigned long long)reader->bytes,
                            (unsigned long long)reader->sum));
        return;
    }
    for (size_t i = 0; i < reader->page->len; i++)
        reader->sum = reader->sum * 31 + (unsigned char)reader->page->ptr[reader->page->start + i];
    reader->bytes += reader->page->len;
    page_release(reader->page);
    reader->page = NULL;
    reader_step(reader);
}

static void reader_step(struct body_reader *reader)
{
    enum result r = byte_source_read(http_request_body(reader->req), &reader->page,
                                     (struct done){.fn = on_piece, .data = reader, .loop = reader->f->loop});
    if (r != PENDING)
        on_piece(reader, r);
}

static void read_all(void *data, struct http_request *req) UNUSED;
static void read_all(void *data, struct http_request *req)
{
    struct body_reader *reader = ARENA_NEW(http_request_arena(req), struct body_reader);
    reader->f = data;
    reader->req = req;
    reader_step(reader);
}

/* What read_all says about these bytes. */
static uint64_t sum_of(const char *bytes, size_t len) UNUSED;
static uint64_t sum_of(const char *bytes, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    return sum;
}

/* Bytes that are not all the same. */
static char *noise(size_t len) UNUSED;
static char *noise(size_t len)
{
    char *bytes = xmalloc(len + 1);
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (char)('a' + x % 26);
    }
    bytes[len] = '\0';
    return bytes;
}

#endif
