/* SPDX-License-Identifier: Apache-2.0
 *
 * Two loops on one port, each on its own thread, one pool behind both: files, uploads and clients that leave. Says
 * something under the thread sanitizer above all.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "minato/http.h"

#define LOOPS 2
#define CLIENTS 4
#define ROUNDS 25
#define FILE_BYTES (6u << 20)
#define BODY_BYTES 700000u

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct pool *pool;
    struct http_server *server;
    struct loop_task drain;
    int file;
};

struct upload {
    struct http_request *req;
    struct worker *w;
    struct page *page;
    uint64_t bytes;
};

static void end_of_reply(void *data, enum result r)
{
    (void)r;
    http_request_done(data);
}

static void answer(struct worker *w, struct http_request *req, struct slice text)
{
    struct done done = {.fn = end_of_reply, .data = req, .loop = w->loop};
    if (http_reply_bytes(req, 200, NULL, 0, text, done) != PENDING)
        http_request_done(req);
}

static void read_on(struct upload *u);

static void on_piece(void *data, enum result r)
{
    struct upload *u = data;
    if (r == OK && u->page != NULL) {
        u->bytes += u->page->len;
        page_release(u->page);
        u->page = NULL;
        read_on(u);
        return;
    }
    answer(u->w, u->req,
           arena_format(http_request_arena(u->req), "%s %llu\n", result_name(r), (unsigned long long)u->bytes));
}

static void read_on(struct upload *u)
{
    struct done done = {.fn = on_piece, .data = u, .loop = u->w->loop};
    enum result r = byte_source_read(http_request_body(u->req), &u->page, done);
    if (r != PENDING)
        on_piece(u, r);
}

static void on_request(void *data, struct http_request *req)
{
    struct worker *w = data;
    if (http_request_has_body(req)) {
        struct upload *u = ARENA_NEW(http_request_arena(req), struct upload);
        *u = (struct upload){.req = req, .w = w};
        read_on(u);
        return;
    }
    struct done done = {.fn = end_of_reply, .data = req, .loop = w->loop};
    if (http_reply_file(req, 200, NULL, 0, w->file, 0, FILE_BYTES, done) != PENDING)
        http_request_done(req);
}

static void on_drained(void *data)
{
    struct worker *w = data;
    http_server_free(w->server);
    loop_stop(w->loop);
}

static void on_drain(struct loop_task *task)
{
    struct worker *w = (struct worker *)(void *)((char *)task - offsetof(struct worker, drain));
    http_server_drain(w->server, 2000, on_drained, w);
}

static void *run_loop(void *data)
{
    loop_run(((struct worker *)data)->loop);
    return NULL;
}

/* ---- clients: blocking, one thread each ---- */

struct visitor {
    pthread_t thread;
    struct http_address address;
    unsigned seed;
    unsigned failures;
};

static int call(const struct visitor *v)
{
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&v->address.addr, v->address.len) != 0)
        abort();
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads until `max` bytes or the end. */
static size_t drink(int fd, size_t max)
{
    static const size_t gulp = 65536;
    char buf[65536];
    size_t len = 0;
    while (len < max) {
        ssize_t n = recv(fd, buf, max - len < gulp ? max - len : gulp, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

static void download(struct visitor *v, size_t max)
{
    static const char head[] = "GET /file HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    int fd = call(v);
    if (!send_all(fd, head, sizeof(head) - 1))
        v->failures++;
    size_t len = drink(fd, max);
    if (len < max && len < FILE_BYTES)
        v->failures++;
    close(fd);
}

static void upload(struct visitor *v, size_t max)
{
    char head[128];
    char *body = calloc(1, BODY_BYTES);
    int fd = call(v);
    (void)snprintf(head, sizeof(head), "PUT /up HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %u\r\n\r\n",
                   BODY_BYTES);
    if (!send_all(fd, head, strlen(head)) || !send_all(fd, body, max < BODY_BYTES ? max : BODY_BYTES))
        v->failures++;
    if (max >= BODY_BYTES && drink(fd, SIZE_MAX) < 100)
        v->failures++;
    close(fd);
    free(body);
}

static void *visit(void *data)
{
    struct visitor *v = data;
    for (int i = 0; i < ROUNDS; i++) {
        size_t some = (size_t)rand_r(&v->seed) % FILE_BYTES;
        download(v, i % 3 == 0 ? SIZE_MAX : some); /* two in three leave early */
        upload(v, i % 2 == 0 ? SIZE_MAX : some % BODY_BYTES);
    }
    return NULL;
}

static void two_loops_and_a_pool_serve_clients_that_come_and_go(void **state)
{
    struct http_settings settings = {.head_bytes_max = 16384,
                                     .head_timeout_ms = 20000,
                                     .idle_timeout_ms = 20000,
                                     .body_timeout_ms = 20000,
                                     .write_timeout_ms = 20000,
                                     .connections_max = 100};
    struct worker workers[LOOPS] = {0};
    struct visitor visitors[CLIENTS] = {0};
    struct http_address address;
    struct pool *pool = NULL;
    struct strbuf why;
    char path[] = "/tmp/minato-http-test-XXXXXX";
    int file = mkstemp(path);
    (void)state;
    assert_true(file >= 0 && unlink(path) == 0 && ftruncate(file, FILE_BYTES) == 0);
    strbuf_init(&why, 1000);
    assert_int_equal(http_library_check(&why), OK);
    assert_int_equal(pool_new(3, 8, &pool), OK);
    assert_int_equal(http_address_resolve(SLICE("127.0.0.1:0"), &address, &why), OK);
    for (unsigned i = 0; i < LOOPS; i++) {
        struct worker *w = &workers[i];
        w->file = file;
        w->drain.run = on_drain;
        assert_int_equal(loop_new(i, 4 * PAGE_BYTES, &w->loop), OK);
        assert_int_equal(http_server_new(w->loop, &settings, pool, NULL, on_request, w, &w->server), OK);
        assert_int_equal(http_server_listen(w->server, &address, &(struct http_listen_options){.is_tls = false}, &why),
                         OK);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_loop, &workers[i]), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        visitors[i].address = address;
        visitors[i].seed = i;
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(visitors[i].thread, NULL);
        assert_int_equal(visitors[i].failures, 0);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        loop_post(workers[i].loop, &workers[i].drain);
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(workers[i].thread, NULL);
    pool_free(pool);
    for (unsigned i = 0; i < LOOPS; i++) {
        assert_int_equal(pages_in_use_bytes(workers[i].loop), 0);
        loop_free(workers[i].loop);
    }
    strbuf_done(&why);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_loops_and_a_pool_serve_clients_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
