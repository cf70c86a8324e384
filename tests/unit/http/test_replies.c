/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies: their heads, their bodies from memory, file and stream, and what becomes of the connection.
 */
#include "harness.h"

#include <sys/stat.h>

#include "minato/own.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"

static struct fixture *serve(http_handler *handler)
{
    struct http_settings settings = quick_settings();
    return start(&settings, 2 * PAGE_BYTES, handler);
}

/* A file of `len` bytes that is gone from its folder. */
static int file_of(const char *bytes, size_t len)
{
    char path[] = "/tmp/minato-http-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
    return fd;
}

struct outcome {
    bool is_known;
    enum result r;
};

static void note_outcome(void *data, enum result r)
{
    struct outcome *outcome = data;
    assert_false(outcome->is_known);
    outcome->is_known = true;
    outcome->r = r;
}

static void note_now(struct outcome *outcome, enum result r)
{
    if (r != PENDING)
        note_outcome(outcome, r);
}

static struct http_request *ask(struct client *c, const char *text)
{
    say(c, text);
    wait_until(c->f, c->f->held != NULL);
    return TAKE(c->f->held);
}

/* ---- heads ---- */

static void a_reply_has_date_and_length_and_the_given_headers(void **state)
{
    static const struct http_header headers[] = {
        {{"content-type", 12}, {"text/plain", 10}},
        {{"location", 8}, {"/a\r\nset-cookie: stolen", 22}},
    };
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    enum result r = http_reply_bytes(req, 404, headers, 2, SLICE("gone"), done_of(f, end_of_reply, req));
    assert_int_equal(r, OK); /* the kernel took it at once */
    assert_int_equal(http_request_reply_status(req), 404);
    assert_int_equal(http_request_reply_bytes(req), 4);
    http_request_done(req);
    hear(c, "gone");
    assert_true(has_heard(c, "HTTP/1.1 404 Not Found\r\ndate: "));
    assert_true(has_heard(c, " GMT\r\ncontent-length: 4\r\ncontent-type: text/plain\r\n"));
    assert_true(has_heard(c, "location: /a  set-cookie: stolen\r\n\r\ngone")); /* one line, whatever is in it */
    assert_false(has_heard(c, "connection:"));
    hang_up(c);
    stop(f);
}

static void bodiless_answers_carry_no_body(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    answer(f, req, 204, SLICE(""));
    hear(c, "\r\n\r\n");
    assert_false(has_heard(c, "content-length"));
    forget(c);
    answer(f, ask(c, GET("/")), 304, SLICE(""));
    hear(c, "HTTP/1.1 304 Not Modified\r\n");
    assert_false(has_heard(c, "content-length"));
    forget(c);
    req = ask(c, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_int_equal(http_reply_head(req, 200, NULL, 0, 12345678901, done_of(f, end_of_reply, req)), OK);
    http_request_done(req);
    hear(c, "content-length: 12345678901\r\n\r\n");
    forget(c);
    answer(f, ask(c, "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"), 200, SLICE("not sent"));
    hear(c, "content-length: 8\r\n\r\n");
    forget(c);
    answer(f, ask(c, GET("/")), 200, SLICE("sent"));
    hear(c, "\r\n\r\nsent");
    assert_false(has_heard(c, "not sent"));
    hang_up(c);
    stop(f);
}

static void a_handler_without_an_answer_answers_500(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    http_request_done(ask(c, GET("/")));
    hear(c, "HTTP/1.1 500 Internal Server Error\r\n");
    hear(c, "\"code\":\"UNKNOWN\"");
    hang_up(c);
    stop(f);
}

/* ---- keep-alive ---- */

static void connections_stay_open_as_the_client_asks(void **state)
{
    static const struct {
        const char *head;
        bool stays;
    } cases[] = {
        {"GET / HTTP/1.1\r\nhost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nhost: a\r\nconnection: x , Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\nconnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", true},
    };
    struct fixture *f = serve(answer_path);
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client *c = dial(f);
        say(c, cases[i].head);
        hear(c, "\r\n\r\n/");
        if (cases[i].stays) {
            assert_false(has_heard(c, "connection: close"));
            say(c, GET("/again"));
            hear(c, "\r\n\r\n/again");
        } else {
            assert_true(has_heard(c, "connection: close"));
            hear_end(c);
        }
        assert_true(strncmp(c->in.ptr, "HTTP/1.1 200 OK\r\n", 17) == 0);
        hang_up(c);
    }
    stop(f);
}

static void http10_clients_hear_that_the_connection_stays(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    (void)state;
    say(c, "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n");
    hear(c, "connection: keep-alive\r\n");
    hang_up(c);
    stop(f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    struct strbuf text;
    (void)state;
    strbuf_init(&text, 1 << 20);
    for (int i = 0; i < 1000; i++)
        strbuf_append_format(&text, "PUT /%d HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", i);
    say_bytes(c, text.ptr, text.len);
    hear(c, "/999");
    assert_int_equal(f->requests, 1000);
    const char *at = c->in.ptr;
    for (int i = 0; i < 1000; i++) {
        char path[24];
        (void)snprintf(path, sizeof(path), "\r\n\r\n/%d", i);
        at = strstr(at, path);
        assert_non_null(at);
    }
    strbuf_done(&text);
    hang_up(c);
    stop(f);
}

static void pipelined_requests_wait_for_their_turn_without_spinning(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *first = ask(c, GET("/1"));
    say(c, GET("/2"));
    turn_for(f, 10);
    /* Bytes that nobody reads must not wake the loop again and again. */
    uint64_t begun = now_ms();
    loop_run_once(f->loop, 60);
    loop_run_once(f->loop, 60);
    assert_true(now_ms() - begun >= 60);
    assert_int_equal(f->requests, 1);
    answer(f, first, 200, SLICE("one"));
    wait_until(f, f->held != NULL);
    answer(f, TAKE(f->held), 200, SLICE("two"));
    hear(c, "two");
    hang_up(c);
    stop(f);
}

/* ---- large bodies and slow clients ---- */

static void a_large_body_waits_for_a_slow_client(void **state)
{
    size_t len = 20 << 20;
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    char *body = noise(len);
    struct outcome outcome = {0};
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    assert_int_equal(http_reply_bytes(req, 200, NULL, 0, slice_of(body, len), done_of(f, note_outcome, &outcome)),
                     PENDING);
    turn_for(f, 20);
    assert_false(outcome.is_known);
    wait_until(f, (receive(c), outcome.is_known));
    assert_int_equal(outcome.r, OK);
    assert_int_equal(http_request_reply_bytes(req), len);
    http_request_done(req);
    hear_bytes(c, len);
    assert_memory_equal(strstr(c->in.ptr, "\r\n\r\n") + 4, body, 1000);
    assert_memory_equal(c->in.ptr + c->in.len - 1000, body + len - 1000, 1000);
    free(body);
    hang_up(c);
    stop(f);
}

static void a_client_that_reads_nothing_is_given_up(void **state)
{
    size_t len = 20 << 20;
    struct http_settings settings = quick_settings();
    settings.write_timeout_ms = 50;
    struct fixture *f = start(&settings, PAGE_BYTES, hold);
    char *body = noise(len);
    int fd = file_of(body, len);
    (void)state;
    for (int from_file = 0; from_file < 2; from_file++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        struct http_request *req = ask(c, GET("/"));
        struct done done = done_of(f, note_outcome, &outcome);
        note_now(&outcome, from_file ? http_reply_file(req, 200, NULL, 0, fd, 0, len, done)
                                     : http_reply_bytes(req, 200, NULL, 0, slice_of(body, len), done));
        wait_until(f, outcome.is_known);
        assert_int_equal(outcome.r, CANCELLED);
        assert_int_equal(f->gone, (unsigned)from_file + 1);
        assert_true(http_request_reply_bytes(req) > 0 && http_request_reply_bytes(req) < len);
        http_request_done(req);
        hang_up(c);
    }
    close(fd);
    free(body);
    stop(f);
}

/* ---- files ---- */

static void check_file(struct fixture *f, int fd, const char *bytes, size_t offset, size_t len)
{
    struct client *c = dial(f);
    struct outcome outcome = {0};
    struct http_request *req = ask(c, GET("/"));
    note_now(&outcome, http_reply_file(req, 206, NULL, 0, fd, offset, len, done_of(f, note_outcome, &outcome)));
    wait_until(f, (receive(c), outcome.is_known));
    assert_int_equal(outcome.r, OK);
    assert_int_equal(http_request_reply_bytes(req), len);
    http_request_done(req);
    hear(c, "\r\n\r\n");
    size_t head = (size_t)(strstr(c->in.ptr, "\r\n\r\n") + 4 - c->in.ptr);
    hear_bytes(c, head + len);
    assert_int_equal(c->in.len, head + len);
    assert_memory_equal(c->in.ptr + head, bytes + offset, len);
    forget(c);
    answer(f, ask(c, GET("/")), 200, SLICE("next"));
    hear(c, "next");
    hang_up(c);
}

static void check_files(bool may_sendfile)
{
    size_t len = 9 << 20;
    struct fixture *f = serve(hold);
    char *bytes = noise(len);
    int fd = file_of(bytes, len);
    f->server->may_sendfile = may_sendfile;
    check_file(f, fd, bytes, 0, len);
    check_file(f, fd, bytes, 12345, 6000000);
    check_file(f, fd, bytes, len - 1, 1);
    check_file(f, fd, bytes, 100, 0);
    check_file(f, fd, bytes, 0, PAGE_BYTES);
    close(fd);
    free(bytes);
    stop(f);
}

static void a_range_of_a_file_is_sent_by_the_pool(void **state)
{
    (void)state;
    check_files(true);
}

static void a_range_of_a_file_is_sent_without_sendfile(void **state)
{
    (void)state;
    check_files(false);
}

static void a_file_that_turns_out_shorter_closes_the_connection(void **state)
{
    struct fixture *f = serve(hold);
    int fd = file_of("short", 5);
    (void)state;
    for (int may_sendfile = 0; may_sendfile < 2; may_sendfile++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        f->server->may_sendfile = may_sendfile;
        struct http_request *req = ask(c, GET("/"));
        note_now(&outcome, http_reply_file(req, 200, NULL, 0, fd, 0, 500000, done_of(f, note_outcome, &outcome)));
        wait_until(f, outcome.is_known);
        assert_int_equal(outcome.r, IO);
        http_request_done(req);
        hear_end(c);
        hang_up(c);
    }
    close(fd);
    stop(f);
}

static void a_client_that_leaves_during_a_file_cancels_it(void **state)
{
    size_t len = 30 << 20;
    struct fixture *f = serve(hold);
    char *bytes = noise(len);
    int fd = file_of(bytes, len);
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        f->server->may_sendfile = i % 4 != 0;
        struct http_request *req = ask(c, GET("/"));
        assert_int_equal(http_reply_file(req, 200, NULL, 0, fd, 0, len, done_of(f, note_outcome, &outcome)), PENDING);
        for (int turns = 0; turns < i; turns++)
            loop_run_once(f->loop, 1);
        hang_up(c);
        wait_until(f, outcome.is_known);
        assert_int_equal(outcome.r, CANCELLED);
        assert_true(http_request_is_gone(req));
        http_request_done(req);
    }
    close(fd);
    free(bytes);
    stop(f);
}

/* ---- streams ---- */

struct test_source {
    struct byte_source source;
    struct fixture *f;
    uint64_t left;
    enum result end; /* what comes after `left` bytes */
    bool is_slow;
    struct page **ret_page;
    struct done done;
    struct timer timer;
};

static enum result next_page(struct test_source *s, struct page **ret_page)
{
    struct page *page = NULL;
    if (s->left == 0) {
        if (s->end == OK)
            *ret_page = NULL;
        return s->end;
    }
    assert_int_equal(page_acquire(s->f->loop, &page, (struct done){0}), OK);
    page->len = s->left < 100000 ? (size_t)s->left : 100000;
    memset(page->ptr, 's', page->len);
    s->left -= page->len;
    *ret_page = page;
    return OK;
}

static void on_slow(struct timer *timer)
{
    struct test_source *s = (struct test_source *)(void *)((char *)timer - offsetof(struct test_source, timer));
    done_call(s->done, next_page(s, s->ret_page));
}

static enum result read_source(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct test_source *s = (struct test_source *)(void *)source;
    if (!s->is_slow)
        return next_page(s, ret_page);
    s->ret_page = ret_page;
    s->done = done;
    timer_start(s->f->loop, &s->timer, 2, on_slow);
    return PENDING;
}

static void a_stream_is_pulled_page_by_page(void **state)
{
    struct fixture *f = serve(hold);
    (void)state;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        struct test_source source = {.source = {read_source}, .f = f, .left = 5000000, .is_slow = is_slow};
        struct http_request *req = ask(c, GET("/"));
        note_now(&outcome,
                 http_reply_stream(req, 200, NULL, 0, 5000000, &source.source, done_of(f, note_outcome, &outcome)));
        wait_until(f, (receive(c), outcome.is_known));
        assert_int_equal(outcome.r, OK);
        assert_int_equal(http_request_reply_bytes(req), 5000000);
        http_request_done(req);
        hear_bytes(c, 5000000);
        forget(c);
        answer(f, ask(c, GET("/")), 200, SLICE("next"));
        hear(c, "next");
        hang_up(c);
    }
    stop(f);
}

static void a_stream_that_fails_or_ends_early_closes_the_connection(void **state)
{
    struct fixture *f = serve(hold);
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        struct test_source source = {
            .source = {read_source}, .f = f, .left = 1000000, .is_slow = i % 2 == 0, .end = i < 2 ? UNAVAILABLE : OK};
        struct http_request *req = ask(c, GET("/"));
        note_now(&outcome,
                 http_reply_stream(req, 200, NULL, 0, 5000000, &source.source, done_of(f, note_outcome, &outcome)));
        wait_until(f, (receive(c), outcome.is_known));
        assert_int_equal(outcome.r, i < 2 ? UNAVAILABLE : IO);
        http_request_done(req);
        hear_end(c);
        assert_true(c->in.len < 1001000);
        hang_up(c);
    }
    stop(f);
}

static void a_client_that_leaves_during_a_stream_cancels_it(void **state)
{
    struct fixture *f = serve(hold);
    (void)state;
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        struct client *c = dial(f);
        struct outcome outcome = {0};
        struct test_source source = {.source = {read_source}, .f = f, .left = 50000000, .is_slow = is_slow};
        struct http_request *req = ask(c, GET("/"));
        assert_int_equal(
            http_reply_stream(req, 200, NULL, 0, 50000000, &source.source, done_of(f, note_outcome, &outcome)),
            PENDING);
        turn(f);
        hang_up(c);
        wait_until(f, outcome.is_known);
        assert_int_equal(outcome.r, CANCELLED);
        http_request_done(req);
    }
    stop(f);
}

static void an_early_answer_may_overtake_an_outstanding_body_read(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    struct outcome body = {0};
    struct page *page = NULL;
    (void)state;
    struct http_request *req = ask(c, "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n");
    assert_int_equal(byte_source_read(http_request_body(req), &page, done_of(f, note_outcome, &body)), PENDING);
    hear(c, "100 Continue");
    assert_int_equal(http_reply_bytes(req, 507, NULL, 0, SLICE("full"), done_of(f, end_of_reply, req)), OK);
    hear(c, "full");
    hang_up(c);
    wait_until(f, body.is_known);
    assert_int_equal(body.r, CANCELLED);
    http_request_done(req);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_has_date_and_length_and_the_given_headers),
        cmocka_unit_test(bodiless_answers_carry_no_body),
        cmocka_unit_test(a_handler_without_an_answer_answers_500),
        cmocka_unit_test(connections_stay_open_as_the_client_asks),
        cmocka_unit_test(http10_clients_hear_that_the_connection_stays),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(pipelined_requests_wait_for_their_turn_without_spinning),
        cmocka_unit_test(a_large_body_waits_for_a_slow_client),
        cmocka_unit_test(a_client_that_reads_nothing_is_given_up),
        cmocka_unit_test(a_range_of_a_file_is_sent_by_the_pool),
        cmocka_unit_test(a_range_of_a_file_is_sent_without_sendfile),
        cmocka_unit_test(a_file_that_turns_out_shorter_closes_the_connection),
        cmocka_unit_test(a_client_that_leaves_during_a_file_cancels_it),
        cmocka_unit_test(a_stream_is_pulled_page_by_page),
        cmocka_unit_test(a_stream_that_fails_or_ends_early_closes_the_connection),
        cmocka_unit_test(a_client_that_leaves_during_a_stream_cancels_it),
        cmocka_unit_test(an_early_answer_may_overtake_an_outstanding_body_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
