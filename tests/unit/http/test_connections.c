/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections as such: how many, when the client leaves, and how the server stops.
 */
#include "harness.h"

#include <sys/resource.h>

#include "minato/own.h"

#define GET(path) "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"

static struct fixture *serve(http_handler *handler)
{
    struct http_settings settings = quick_settings();
    return start(&settings, 2 * PAGE_BYTES, handler);
}

static struct http_request *ask(struct client *c, const char *text)
{
    say(c, text);
    wait_until(c->f, c->f->held != NULL);
    return TAKE(c->f->held);
}

static void connections_over_the_limit_hear_503(void **state)
{
    struct http_settings settings = quick_settings();
    settings.connections_max = 2;
    struct fixture *f = start(&settings, PAGE_BYTES, answer_path);
    struct client *c[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        c[i] = dial(f);
    wait_until(f, f->server->connection_count == 3);
    say(c[2], GET("/2"));
    hear(c[2], "HTTP/1.1 503 ");
    hear(c[2], "TOOMANYREQUESTS");
    hear_end(c[2]);
    say(c[0], GET("/0"));
    hear(c[0], "\r\n\r\n/0");
    for (int i = 0; i < 3; i++)
        hang_up(c[i]);
    wait_until(f, f->server->connection_count == 0);
    struct client *late = dial(f);
    say(late, GET("/late"));
    hear(late, "\r\n\r\n/late");
    hang_up(late);
    stop(f);
}

static void a_flood_of_connections_is_bounded(void **state)
{
    struct http_settings settings = quick_settings();
    settings.connections_max = 1;
    struct fixture *f = start(&settings, PAGE_BYTES, answer_path);
    struct client *c[100];
    (void)state;
    for (int i = 0; i < 100; i++)
        c[i] = dial(f);
    turn_for(f, 50);
    assert_true(f->server->connection_count <= 65);
    say(c[0], GET("/first"));
    hear(c[0], "\r\n\r\n/first");
    for (int i = 0; i < 100; i++)
        hang_up(c[i]);
    stop(f);
}

static void a_client_that_leaves_a_busy_handler_is_noticed_at_once(void **state)
{
    struct fixture *f = serve(hold);
    (void)state;
    for (int with_reset = 0; with_reset < 2; with_reset++) {
        struct client *c = dial(f);
        struct http_request *req = ask(c, GET("/"));
        if (with_reset) {
            struct linger hard = {.l_onoff = 1, .l_linger = 0};
            (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        }
        hang_up(c);
        wait_until(f, f->gone == (unsigned)with_reset + 1);
        wait_until(f, f->server->connection_count == 0);
        assert_true(http_request_is_gone(req));
        /* The request is still whole: jobs may be working on it. */
        assert_true(slice_equal(http_request_path(req), SLICE("/")));
        assert_true(slice_has_prefix(http_request_peer(req), SLICE("127.0.0.1:")));
        assert_int_equal(http_reply_bytes(req, 200, NULL, 0, SLICE("too late"), done_of(f, end_of_reply, req)),
                         CANCELLED);
        http_request_done(req);
    }
    stop(f);
}

static void pipelined_bytes_do_not_hide_that_the_client_left(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    say(c, GET("/second"));
    turn_for(f, 10);
    hang_up(c);
    wait_until(f, f->gone == 1);
    http_request_done(req);
    assert_int_equal(f->requests, 1);
    stop(f);
}

static void nobody_is_told_that_a_client_left_after_its_answer(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    assert_int_equal(http_reply_bytes(req, 200, NULL, 0, SLICE("x"), done_of(f, end_of_reply, req)), OK);
    hear(c, "\r\n\r\nx");
    hang_up(c);
    turn_for(f, 20);
    assert_int_equal(f->gone, 0);
    http_request_done(req);
    stop(f);
}

static void a_client_may_leave_within_a_head(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    struct fixture *f = serve(answer_path);
    (void)state;
    for (size_t n = 0; n < sizeof(head) - 1; n++) {
        struct client *c = dial(f);
        say_bytes(c, head, n);
        turn(f);
        hang_up(c);
    }
    wait_until(f, f->server->connection_count == 0);
    assert_int_equal(f->requests, 0);
    stop(f);
}

static void a_server_out_of_descriptors_waits_for_one_without_spinning(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    struct rlimit limit;
    struct rlimit none;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    say(c, GET("/patient"));
    loop_run_once(f->loop, 50);
    uint64_t begun = now_ms();
    loop_run_once(f->loop, 60);
    assert_true(now_ms() - begun >= 50);
    assert_int_equal(f->server->connection_count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    hear(c, "\r\n\r\n/patient");
    hang_up(c);
    stop(f);
}

/* ---- drain ---- */

static void a_drain_without_connections_reports_after_the_call(void **state)
{
    struct fixture *f = serve(answer_path);
    (void)state;
    http_server_drain(f->server, 1000, on_drained, f);
    assert_false(f->is_drained);
    wait_until(f, f->is_drained);
    stop(f);
}

static void a_drain_closes_idle_connections_and_the_door(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *fresh = dial(f);
    struct client *used = dial(f);
    (void)state;
    say(used, GET("/"));
    hear(used, "\r\n\r\n/");
    http_server_drain(f->server, 1000, on_drained, f);
    hear_end(fresh);
    hear_end(used);
    wait_until(f, f->is_drained);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->address.addr, f->address.len), -1);
    close(fd);
    hang_up(fresh);
    hang_up(used);
    stop(f);
}

static void a_drain_lets_running_requests_finish_and_then_closes(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    http_server_drain(f->server, 5000, on_drained, f);
    turn_for(f, 20);
    assert_false(f->is_drained);
    read_all(f, req);
    say(c, "world");
    hear(c, "read 10 sum");
    assert_true(has_heard(c, "connection: close"));
    hear_end(c);
    wait_until(f, f->is_drained);
    hang_up(c);
    stop(f);
}

static void a_request_that_arrives_during_a_drain_is_still_answered(void **state)
{
    struct fixture *f = serve(answer_path);
    struct client *c = dial(f);
    struct client *unaccepted = dial(f);
    (void)state;
    wait_until(f, f->server->connection_count == 2);
    struct client *queued = dial(f);
    say(c, GET("/in-the-kernel"));
    say(queued, GET("/queued"));
    http_server_drain(f->server, 5000, on_drained, f);
    hear(c, "\r\n\r\n/in-the-kernel");
    hear(queued, "\r\n\r\n/queued");
    hear_end(c);
    hear_end(unaccepted);
    wait_until(f, f->is_drained);
    hang_up(c);
    hang_up(queued);
    hang_up(unaccepted);
    stop(f);
}

static void a_drain_that_takes_too_long_cuts_off(void **state)
{
    struct fixture *f = serve(hold);
    struct client *c = dial(f);
    (void)state;
    struct http_request *req = ask(c, GET("/"));
    http_server_drain(f->server, 50, on_drained, f);
    wait_until(f, f->gone == 1);
    hear_end(c);
    assert_false(f->is_drained); /* its handler still has the request */
    http_request_done(req);
    wait_until(f, f->is_drained);
    hang_up(c);
    stop(f);
}

/* ---- listening ---- */

static void two_servers_share_a_port(void **state)
{
    struct fixture *f = serve(answer_path);
    struct http_settings settings = quick_settings();
    struct http_server *second = NULL;
    struct http_address address = f->address;
    struct strbuf why;
    (void)state;
    strbuf_init(&why, 1000);
    assert_int_equal(http_server_new(f->loop, &settings, f->pool, NULL, on_request, f, &second), OK);
    assert_int_equal(http_server_listen(second, &address, &(struct http_listen_options){.is_tls = false}, &why), OK);
    assert_memory_equal(&address.addr, &f->address.addr, address.len);
    for (int i = 0; i < 50; i++) {
        struct client *c = dial(f);
        say(c, GET("/shared"));
        hear(c, "/shared");
        hang_up(c);
    }
    struct fixture other = {0};
    http_server_drain(second, 100, on_drained, &other);
    wait_until(f, other.is_drained);
    http_server_free(second);
    strbuf_done(&why);
    stop(f);
}

static void a_failed_listen_says_where_and_why(void **state)
{
    struct fixture *f = serve(answer_path);
    struct http_address address;
    struct strbuf why;
    (void)state;
    strbuf_init(&why, 1000);
    assert_int_equal(http_address_resolve(SLICE("192.0.2.1:5000"), &address, &why), OK);
    assert_int_not_equal(http_server_listen(f->server, &address, &(struct http_listen_options){.is_tls = false}, &why),
                         OK);
    assert_string_equal(why.ptr, "cannot listen on 192.0.2.1:5000: Cannot assign requested address");
    strbuf_done(&why);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_over_the_limit_hear_503),
        cmocka_unit_test(a_flood_of_connections_is_bounded),
        cmocka_unit_test(a_client_that_leaves_a_busy_handler_is_noticed_at_once),
        cmocka_unit_test(pipelined_bytes_do_not_hide_that_the_client_left),
        cmocka_unit_test(nobody_is_told_that_a_client_left_after_its_answer),
        cmocka_unit_test(a_client_may_leave_within_a_head),
        cmocka_unit_test(a_server_out_of_descriptors_waits_for_one_without_spinning),
        cmocka_unit_test(a_drain_without_connections_reports_after_the_call),
        cmocka_unit_test(a_drain_closes_idle_connections_and_the_door),
        cmocka_unit_test(a_drain_lets_running_requests_finish_and_then_closes),
        cmocka_unit_test(a_request_that_arrives_during_a_drain_is_still_answered),
        cmocka_unit_test(a_drain_that_takes_too_long_cuts_off),
        cmocka_unit_test(two_servers_share_a_port),
        cmocka_unit_test(a_failed_listen_says_where_and_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
