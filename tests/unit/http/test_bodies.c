/* SPDX-License-Identifier: Apache-2.0
 *
 * Request bodies: asked for by the handler, streamed in pages, within time and memory.
 */
#include "harness.h"

#include "minato/own.h"

#define PUT_CHUNKED "PUT /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
#define NEXT "GET /next HTTP/1.1\r\nhost: a\r\n\r\n"

static struct fixture *serve(http_handler *handler)
{
    struct http_settings settings = quick_settings();
    return start(&settings, 2 * PAGE_BYTES, handler);
}

static void say_length(struct client *c, size_t len)
{
    char head[128];
    (void)snprintf(head, sizeof(head), "PUT /b HTTP/1.1\r\nhost: a\r\ncontent-length: %zu\r\n\r\n", len);
    say(c, head);
}

static void hear_sum(struct client *c, const char *bytes, size_t len)
{
    char text[80];
    (void)snprintf(text, sizeof(text), "read %zu sum %llu", len, (unsigned long long)sum_of(bytes, len));
    hear(c, text);
}

static void bodies_of_every_size_arrive_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 3000000};
    struct fixture *f = serve(read_all);
    struct client *c = dial(f);
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *body = noise(sizes[i]);
        say_length(c, sizes[i]);
        say_bytes(c, body, sizes[i]);
        hear_sum(c, body, sizes[i]);
        forget(c);
        free(body);
    }
    hang_up(c);
    stop(f);
}

static void chunked_bodies_arrive_whole(void **state)
{
    static const size_t chunk_sizes[] = {1, 7, 4096, 32768, 1000000};
    struct fixture *f = serve(read_all);
    struct client *c = dial(f);
    (void)state;
    for (size_t i = 0; i < sizeof(chunk_sizes) / sizeof(chunk_sizes[0]); i++) {
        size_t len = chunk_sizes[i] < 100 ? 5000 : 2000000;
        char *body = noise(len);
        struct strbuf text;
        strbuf_init(&text, 16 << 20);
        strbuf_append_cstr(&text, PUT_CHUNKED);
        for (size_t at = 0; at < len; at += chunk_sizes[i]) {
            size_t n = len - at < chunk_sizes[i] ? len - at : chunk_sizes[i];
            strbuf_append_format(&text, "%zX;x=\"y\"\r\n", n);
            strbuf_append(&text, slice_of(body + at, n));
            strbuf_append_cstr(&text, "\r\n");
        }
        strbuf_append_cstr(&text, "0\r\nx-trailer: skipped\r\n\r\n" NEXT);
        say_bytes(c, text.ptr, text.len);
        hear_sum(c, body, len);
        hear(c, "read 0 sum 0"); /* the next request on the same connection */
        forget(c);
        strbuf_done(&text);
        free(body);
    }
    hang_up(c);
    stop(f);
}

static void a_chunked_body_may_arrive_byte_by_byte(void **state)
{
    static const char text[] = PUT_CHUNKED "3\r\nabc\r\n00a;e\r\n0123456789\r\n000\r\nt: u\r\n\r\n" NEXT;
    struct fixture *f = serve(read_all);
    struct client *c = dial(f);
    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        say_bytes(c, text + i, 1);
        turn(f);
    }
    hear_sum(c, "abc0123456789", 13);
    hear(c, "read 0 sum 0");
    hang_up(c);
    stop(f);
}

static void broken_chunks_are_refused_and_the_connection_closes(void **state)
{
    static const char *const bodies[] = {
        "g\r\n",           "-5\r\nhello\r\n",     "+5\r\nhello\r\n",      "0x5\r\nhello\r\n",      " 5\r\nhello\r\n",
        "5 \r\nhello\r\n", "5\nhello\r\n",        "5\r\nhelloX\r\n",      "5\r\nhello\n0\r\n\r\n", "\r\n",
        ";x\r\n",          "5\r\nhello\r\n0\n\n", "5\rhello\r\n",         "0\r\n x: y\r\n\r\n",    "0\r\nx: y\n\r\n",
        "5\r\nhello0\r\n", "5;\001\r\nhello\r\n", "1ffffffffffffffff\r\n"};
    struct fixture *f = serve(read_all);
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct client *c = dial(f);
        say(c, PUT_CHUNKED);
        say(c, bodies[i]);
        say(c, NEXT);
        hear_end(c);
        if (!has_heard(c, "HTTP/1.1 400 ") || !has_heard(c, "broken invalid") || !has_heard(c, "connection: close") ||
            count_heard(c, "HTTP/1.1 ") != 1)
            fail_msg("%s: heard \"%s\"", bodies[i], c->in.len == 0 ? "" : c->in.ptr);
        hang_up(c);
    }
    stop(f);
}

static void endless_extensions_and_trailers_are_refused(void **state)
{
    struct fixture *f = serve(read_all);
    char *filler = noise(20000);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client *c = dial(f);
        say(c, PUT_CHUNKED);
        say(c, i == 0 ? "5;" : "0\r\nx: ");
        say(c, filler);
        hear(c, "broken invalid");
        hear_end(c);
        hang_up(c);
    }
    free(filler);
    stop(f);
}

/* ---- 100 Continue ---- */

#define PUT_EXPECTING "PUT /b HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 5\r\n\r\n"

static void continue_is_sent_when_the_handler_reads_and_not_before(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    say(c, PUT_EXPECTING);
    wait_until(f, f->held != NULL);
    turn_for(f, 20);
    receive(c);
    assert_int_equal(c->in.len, 0);
    read_all(f, TAKE(f->held));
    hear(c, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(count_heard(c, "HTTP/1.1"), 1);
    say(c, "hello" NEXT);
    hear_sum(c, "hello", 5);
    assert_int_equal(count_heard(c, "100 Continue"), 1);
    wait_until(f, f->held != NULL);
    answer(f, f->held, 200, SLICE("done"));
    hear(c, "done");
    hang_up(c);
    stop(f);
}

static void continue_is_not_sent_to_a_client_that_did_not_wait(void **state)
{
    struct fixture *f = serve(read_all);
    struct client *c = dial(f);
    (void)state;
    say(c, PUT_EXPECTING "hello");
    hear_sum(c, "hello", 5);
    assert_false(has_heard(c, "100 Continue"));
    forget(c);
    say(c, "PUT /b HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    turn_for(f, 20);
    assert_false(has_heard(c, "100 Continue"));
    say(c, "hello");
    hear_sum(c, "hello", 5);
    hang_up(c);
    stop(f);
}

static void a_refusal_instead_of_continue_closes(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    (void)state;
    say(c, PUT_EXPECTING);
    hear(c, "HTTP/1.1 200 ");
    hear_end(c);
    assert_true(has_heard(c, "connection: close"));
    assert_false(has_heard(c, "100 Continue"));
    assert_false(c->is_reset);
    hang_up(c);
    stop(f);
}

/* ---- early answers ---- */

static void an_early_answer_reaches_a_client_that_keeps_sending(void **state)
{
    struct fixture *f = serve(answer_path);
    char *body = noise(8 << 20);
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct client *c = dial(f);
        if (i == 0)
            say_length(c, 300u << 20);
        else
            say(c, PUT_CHUNKED "ffffff\r\n");
        size_t sent = 0;
        uint64_t deadline = now_ms() + PATIENCE_MS;
        /* A client that writes without reading, up to what the kernel takes. */
        while (sent < (4u << 20) && now_ms() < deadline) {
            ssize_t n = send(c->fd, body + sent, (4u << 20) - sent, MSG_NOSIGNAL);
            if (n > 0)
                sent += (size_t)n;
            else if (errno != EAGAIN)
                break;
            turn(f);
            if (has_heard(c, "\r\n\r\n/b"))
                break;
        }
        hear(c, "\r\n\r\n/b");
        assert_true(has_heard(c, "connection: close"));
        hear_end(c);
        assert_false(c->is_reset);
        hang_up(c);
    }
    assert_int_equal(pages_in_use_bytes(f->loop), 0);
    free(body);
    stop(f);
}

static void a_small_unread_body_is_drained_and_the_connection_goes_on(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    char *body = noise(64 << 10);
    (void)state;
    say_length(c, 64 << 10);
    hear(c, "\r\n\r\n/b");
    assert_false(has_heard(c, "connection: close"));
    forget(c);
    say_bytes(c, body, 64 << 10);
    say(c, NEXT);
    hear(c, "\r\n\r\n/next");
    hang_up(c);
    free(body);
    stop(f);
}

static void an_unread_rest_over_64_kilobytes_closes(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    (void)state;
    say_length(c, (64 << 10) + 1);
    hear(c, "\r\n\r\n/b");
    assert_true(has_heard(c, "connection: close"));
    hear_end(c);
    hang_up(c);
    stop(f);
}

/* ---- memory ---- */

static void nothing(void *data, enum result r)
{
    (void)data;
    (void)r;
}

static void a_body_waits_while_no_page_is_free_and_is_not_charged(void **state)
{
    struct http_settings settings = quick_settings();
    settings.body_timeout_ms = 40;
    settings.body_min_rate_bytes = 1000000;
    struct fixture *f = start(&settings, PAGE_BYTES, read_all);
    struct client *c = dial(f);
    struct page *page = NULL;
    (void)state;
    assert_int_equal(page_acquire(f->loop, &page, done_of(f, nothing, NULL)), OK);
    say_length(c, 5);
    say(c, "hello");
    turn_for(f, 200); /* five times the body's time */
    assert_false(has_heard(c, "HTTP"));
    page_release(page);
    hear_sum(c, "hello", 5);
    hang_up(c);
    stop(f);
}

static void a_client_that_leaves_while_waiting_for_a_page_is_noticed(void **state)
{
    struct fixture *f = serve(hold);
    struct page *pages[2];
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(page_acquire(f->loop, &pages[i], done_of(f, nothing, NULL)), OK);
    struct client *c = dial(f);
    say_length(c, 100000);
    say(c, "hello");
    wait_until(f, f->held != NULL);
    read_all(f, f->held);
    turn_for(f, 10);
    hang_up(c);
    wait_until(f, f->gone == 1);
    page_release(pages[0]);
    page_release(pages[1]);
    stop(f);
}

static void waiting_for_bytes_holds_no_page(void **state)
{
    struct fixture *f = serve(read_all);
    struct client *c = dial(f);
    (void)state;
    say_length(c, 10);
    wait_until(f, f->requests == 1);
    assert_int_equal(pages_in_use_bytes(f->loop), 0);
    say(c, "hello");
    turn_for(f, 20);
    assert_int_equal(pages_in_use_bytes(f->loop), 0);
    say(c, "world");
    hear_sum(c, "helloworld", 10);
    hang_up(c);
    stop(f);
}

static void nothing_is_read_from_the_socket_before_the_handler_asks(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    char *body = noise(32 << 20);
    (void)state;
    say_length(c, 32 << 20);
    wait_until(f, f->held != NULL);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t n = send(c->fd, body + sent, (32u << 20) - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        turn(f);
    }
    assert_true(sent < 32u << 20); /* the kernel's buffers are full: nobody reads */
    assert_int_equal(http_request_body_bytes(f->held), 0);
    assert_int_equal(pages_in_use_bytes(f->loop), 0);
    read_all(f, f->held);
    say_bytes(c, body + sent, (32u << 20) - sent);
    hear_sum(c, body, 32 << 20);
    hang_up(c);
    free(body);
    stop(f);
}

static void a_handler_that_never_waits_lets_others_have_their_turn(void **state)
{
    struct fixture *f = serve(read_all);
    struct client *busy = dial(f);
    char *body = noise(8 << 20);
    size_t sent = 0;
    (void)state;
    say_length(busy, 8 << 20);
    /* Fills the kernel's buffers as far as they go, then lets the loop turn once at a time. */
    unsigned turns = 0;
    while (!has_heard(busy, "read 8388608") && turns < 100000) {
        ssize_t n = send(busy->fd, body + sent, (8u << 20) - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_run_once(f->loop, 1);
        turns++;
    }
    hear_sum(busy, body, 8 << 20);
    assert_true(turns >= (8u << 20) / (5 * PAGE_BYTES)); /* the first piece may come with the head */
    hang_up(busy);
    free(body);
    stop(f);
}

/* ---- time ---- */

static void a_body_that_stalls_is_given_up(void **state)
{
    struct http_settings settings = quick_settings();
    settings.body_timeout_ms = 40;
    struct fixture *f = start(&settings, PAGE_BYTES, read_all);
    struct client *c = dial(f);
    (void)state;
    say_length(c, 100000);
    say(c, "hello");
    hear(c, "broken unavailable");
    hear_end(c);
    assert_true(has_heard(c, "connection: close"));
    hang_up(c);
    stop(f);
}

static void a_body_below_the_minimum_rate_is_given_up(void **state)
{
    struct http_settings settings = quick_settings();
    settings.body_timeout_ms = 100;
    settings.body_min_rate_bytes = 10000;
    struct fixture *f = start(&settings, PAGE_BYTES, read_all);
    struct client *c = dial(f);
    (void)state;
    say_length(c, 100000);
    uint64_t deadline = now_ms() + PATIENCE_MS;
    while (!has_heard(c, "broken unavailable") && now_ms() < deadline) {
        say(c, "x"); /* always in time, never enough */
        turn_for(f, 10);
    }
    assert_true(has_heard(c, "broken unavailable"));
    hang_up(c);
    stop(f);
}

static void time_in_which_the_handler_does_not_read_is_not_charged(void **state)
{
    struct http_settings settings = quick_settings();
    settings.body_timeout_ms = 40;
    settings.body_min_rate_bytes = 1000;
    struct fixture *f = start(&settings, PAGE_BYTES, hold);
    struct client *c = dial(f);
    (void)state;
    say_length(c, 5);
    wait_until(f, f->held != NULL);
    turn_for(f, 200);
    assert_int_equal(f->gone, 0);
    say(c, "hello");
    read_all(f, f->held);
    hear_sum(c, "hello", 5);
    hang_up(c);
    stop(f);
}

/* ---- the client goes away ---- */

static void a_client_that_leaves_within_its_body_cancels_the_read(void **state)
{
    struct fixture *f = serve(hold);
    (void)state;
    for (int chunked = 0; chunked < 2; chunked++) {
        struct client *c = dial(f);
        if (chunked)
            say(c, PUT_CHUNKED "ffff\r\nhello");
        else
            say_length(c, 100000);
        wait_until(f, f->held != NULL);
        struct http_request *req = TAKE(f->held);
        read_all(f, req);
        turn_for(f, 10);
        assert_int_equal(f->gone, (unsigned)chunked);
        hang_up(c);
        wait_until(f, f->gone == (unsigned)chunked + 1);
    }
    stop(f);
}

static void bytes_sent_before_a_client_left_do_not_hide_that(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    say_length(c, 100000);
    wait_until(f, f->held != NULL);
    say(c, "some of the body, which nobody reads");
    turn_for(f, 10);
    hang_up(c);
    wait_until(f, f->gone == 1);
    assert_true(http_request_is_gone(f->held));
    struct page *page = NULL;
    assert_int_equal(byte_source_read(http_request_body(f->held), &page, done_of(f, nothing, NULL)), CANCELLED);
    http_request_done(f->held);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_of_every_size_arrive_whole),
        cmocka_unit_test(chunked_bodies_arrive_whole),
        cmocka_unit_test(a_chunked_body_may_arrive_byte_by_byte),
        cmocka_unit_test(broken_chunks_are_refused_and_the_connection_closes),
        cmocka_unit_test(endless_extensions_and_trailers_are_refused),
        cmocka_unit_test(continue_is_sent_when_the_handler_reads_and_not_before),
        cmocka_unit_test(continue_is_not_sent_to_a_client_that_did_not_wait),
        cmocka_unit_test(a_refusal_instead_of_continue_closes),
        cmocka_unit_test(an_early_answer_reaches_a_client_that_keeps_sending),
        cmocka_unit_test(a_small_unread_body_is_drained_and_the_connection_goes_on),
        cmocka_unit_test(an_unread_rest_over_64_kilobytes_closes),
        cmocka_unit_test(a_body_waits_while_no_page_is_free_and_is_not_charged),
        cmocka_unit_test(a_client_that_leaves_while_waiting_for_a_page_is_noticed),
        cmocka_unit_test(waiting_for_bytes_holds_no_page),
        cmocka_unit_test(nothing_is_read_from_the_socket_before_the_handler_asks),
        cmocka_unit_test(a_handler_that_never_waits_lets_others_have_their_turn),
        cmocka_unit_test(a_body_that_stalls_is_given_up),
        cmocka_unit_test(a_body_below_the_minimum_rate_is_given_up),
        cmocka_unit_test(time_in_which_the_handler_does_not_read_is_not_charged),
        cmocka_unit_test(a_client_that_leaves_within_its_body_cancels_the_read),
        cmocka_unit_test(bytes_sent_before_a_client_left_do_not_hide_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
