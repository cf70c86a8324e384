/* SPDX-License-Identifier: Apache-2.0
 *
 * A server on one end of a socket pair, for targets that send any bytes from the other, cut into any pieces. The first
 * byte of the input says how they are cut, the second how the handler behaves. Every request must end, and neither
 * pages nor connections may be left over.
 */
#ifndef MINATO_TESTS_FUZZ_HTTP_SCENE_H
#define MINATO_TESTS_FUZZ_HTTP_SCENE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/http/http_int.h"

#define TURNS_MAX 10000

#define HELD_MAX 256
#define LARGE_BYTES 300000u

enum behaviour { READ_ALL, READ_SOME, ANSWER_EARLY, ANSWER_LATER, NO_ANSWER, ANSWER_LARGE, ANSWER_STREAM, BEHAVIOURS };

struct scene {
    struct loop *loop;
    struct pool *pool;
    struct http_server *server;
    enum behaviour behaviour;
    struct http_request *held[HELD_MAX];
    unsigned held_count;
};

struct reader {
    struct scene *scene;
    struct http_request *req;
    struct page *page;
    uint64_t bytes;
};

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void end_of_reply(void *data, enum result r)
{
    (void)r;
    http_request_done(data);
}

static void answer(struct scene *scene, struct http_request *req, struct slice text)
{
    struct http_header header = {SLICE("x-echo"), http_request_path(req)};
    struct done done = {.fn = end_of_reply, .data = req, .loop = scene->loop};
    if (http_reply_bytes(req, 200, &header, 1, text, done) != PENDING)
        http_request_done(req);
}

/* ---- large bodies ---- */

static void answer_large(struct scene *scene, struct http_request *req)
{
    static char zeros[LARGE_BYTES];
    answer(scene, req, slice_of(zeros, sizeof(zeros)));
}

struct trickle {
    struct byte_source source; /* first */
    struct scene *scene;
    unsigned pages_left;
};

static enum result read_trickle(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct trickle *trickle = (struct trickle *)(void *)source;
    if (trickle->pages_left-- == 0)
        return IO; /* it ends too early */
    enum result r = page_acquire(trickle->scene->loop, ret_page, done);
    if (r == OK)
        (*ret_page)->len = 1000;
    return r;
}

static void answer_stream(struct scene *scene, struct http_request *req)
{
    struct trickle *trickle = ARENA_NEW(http_request_arena(req), struct trickle);
    trickle->source.read = read_trickle;
    trickle->scene = scene;
    trickle->pages_left = 3;
    struct done done = {.fn = end_of_reply, .data = req, .loop = scene->loop};
    uint64_t length = http_request_path(req).len % 2 == 0 ? 3000 : 4000;
    if (http_reply_stream(req, 200, NULL, 0, length, &trickle->source, done) != PENDING)
        http_request_done(req);
}

/* ---- reading ---- */

static void read_on(struct reader *reader);

static void on_piece(void *data, enum result r)
{
    struct reader *reader = data;
    bool is_end = r != OK || reader->page == NULL;
    if (!is_end) {
        CHECK(reader->page->len > 0 && reader->page->start + reader->page->len <= PAGE_BYTES);
        reader->bytes += reader->page->len;
        page_release(reader->page);
        reader->page = NULL;
    }
    CHECK(reader->bytes <= http_request_content_length(reader->req));
    if (is_end && r == OK && http_request_content_length(reader->req) != UINT64_MAX)
        CHECK(reader->bytes == http_request_content_length(reader->req));
    if (is_end || (reader->scene->behaviour == READ_SOME && reader->bytes > 4))
        answer(reader->scene, reader->req, SLICE("read"));
    else
        read_on(reader);
}

static void read_on(struct reader *reader)
{
    struct done done = {.fn = on_piece, .data = reader, .loop = reader->scene->loop};
    enum result r = byte_source_read(http_request_body(reader->req), &reader->page, done);
    if (r != PENDING)
        on_piece(reader, r);
}

static void look_at(struct http_request *req)
{
    struct slice value;
    struct slice path = http_request_path(req);
    CHECK(http_request_method(req).len > 0 && path.len > 0 && (path.ptr[0] == '/' || slice_equal(path, SLICE("*"))));
    CHECK(memchr(path.ptr, '?', path.len) == NULL && memchr(path.ptr, ' ', path.len) == NULL);
    (void)http_request_query_value(req, SLICE("a"), 0, &value);
    (void)http_request_query_value(req, SLICE("a"), 1, &value);
    CHECK(http_request_header(req, SLICE("content-length")).ptr == NULL ||
          http_request_header(req, SLICE("transfer-encoding")).ptr == NULL);
}

static void on_request(void *data, struct http_request *req)
{
    struct scene *scene = data;
    look_at(req);
    switch (scene->behaviour) {
    case READ_ALL:
    case READ_SOME: {
        struct reader *reader = ARENA_NEW(http_request_arena(req), struct reader);
        reader->scene = scene;
        reader->req = req;
        read_on(reader);
        return;
    }
    case ANSWER_EARLY:
        answer(scene, req, SLICE("early"));
        return;
    case ANSWER_LATER:
        CHECK(scene->held_count < HELD_MAX);
        scene->held[scene->held_count++] = req;
        return;
    case ANSWER_LARGE:
        answer_large(scene, req);
        return;
    case ANSWER_STREAM:
        answer_stream(scene, req);
        return;
    case NO_ANSWER:
    case BEHAVIOURS:
        http_request_done(req);
        return;
    }
}

static void on_refusal(void *data, const struct http_refusal *refusal)
{
    (void)data;
    CHECK(refusal->status >= 400 && refusal->reason != NULL && refusal->peer.len > 0);
    CHECK(refusal->path.len == 0 || (refusal->method.len > 0 && refusal->path.ptr[0] == '/'));
    CHECK(refusal->path.len == 0 || memchr(refusal->path.ptr, '?', refusal->path.len) == NULL);
}

static void turn(struct scene *scene)
{
    loop_run_once(scene->loop, 0);
    while (scene->held_count > 0)
        answer(scene, scene->held[--scene->held_count], SLICE("later"));
}

static void drink(int fd)
{
    char buf[65536];
    while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        ;
}

static struct scene *scene_get(void)
{
    static struct scene *scene; /* one for the whole run */
    if (scene != NULL)
        return scene;
    static const struct http_settings settings = {.head_bytes_max = 4096,
                                                  .head_timeout_ms = 60000,
                                                  .idle_timeout_ms = 60000,
                                                  .body_timeout_ms = 60000,
                                                  .body_min_rate_bytes = 1,
                                                  .write_timeout_ms = 60000,
                                                  .connections_max = 10};
    struct strbuf why;
    strbuf_init(&why, 1000);
    scene = xcalloc(1, sizeof(*scene));
    CHECK(http_library_check(&why) == OK);
    CHECK(loop_new(0, 2 * PAGE_BYTES, &scene->loop) == OK);
    CHECK(pool_new(1, 1, &scene->pool) == OK);
    CHECK(http_server_new(scene->loop, &settings, scene->pool, NULL, on_request, scene, &scene->server) == OK);
    http_server_on_refusal(scene->server, on_refusal, scene);
    strbuf_done(&why);
    return scene;
}

/* Sends `opening`, then the input. */
static int fuzz_connection(struct slice opening, const uint8_t *data, size_t size)
{
    static const struct http_address nobody = {.addr = {.ss_family = AF_UNIX}, .len = sizeof(sa_family_t)};
    if (size < 2)
        return 0;
    struct scene *scene = scene_get();
    size_t step = data[0] == 0 ? size : data[0];
    scene->behaviour = data[1] % BEHAVIOURS;
    data += 2;
    size -= 2;
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    http_int_server_adopt(scene->server, ends[0], &nobody, &(struct http_listen_options){.is_tls = false});
    CHECK(send(ends[1], opening.ptr, opening.len, MSG_NOSIGNAL) == (ssize_t)opening.len);
    for (unsigned turns = 0; size > 0 && turns < TURNS_MAX; turns++) {
        size_t piece = step < size ? step : size;
        ssize_t n = send(ends[1], data, piece, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
        turn(scene);
        drink(ends[1]);
    }
    turn(scene);
    close(ends[1]);
    for (unsigned turns = 0; scene->server->connection_count > 0; turns++) {
        CHECK(turns < TURNS_MAX);
        turn(scene);
    }
    CHECK(scene->server->request_count == 0 && pages_in_use_bytes(scene->loop) == 0);
    return 0;
}

#endif
