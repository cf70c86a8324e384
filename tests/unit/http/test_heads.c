/* SPDX-License-Identifier: Apache-2.0
 *
 * What of a request's head is taken, and what is refused before any handler sees it.
 */
#include "harness.h"

static struct fixture *serve(void)
{
    struct http_settings settings = quick_settings();
    return start(&settings, 1 << 20, answer_path);
}

struct refusal {
    const char *what;
    const char *head;
    int status;
};

static void check_refusals(const struct refusal *cases, size_t count)
{
    struct fixture *f = serve();
    for (size_t i = 0; i < count; i++) {
        char status[32];
        (void)snprintf(status, sizeof(status), "HTTP/1.1 %d ", cases[i].status);
        struct client *c = dial(f);
        say(c, cases[i].head);
        hear_end(c);
        if (!has_heard(c, status) || !has_heard(c, "\r\nconnection: close\r\n") ||
            !has_heard(c, "{\"errors\":[{\"code\":\"") || count_heard(c, "\r\ndate: ") != 1 || c->is_reset)
            fail_msg("%s: heard \"%s\"", cases[i].what, c->in.len == 0 ? "" : c->in.ptr);
        hang_up(c);
    }
    assert_int_equal(f->requests, 0);
    stop(f);
}

#define HEAD "POST /v2/ HTTP/1.1\r\nhost: a\r\n"
/* Would be answered 200 if it were taken for a request of its own. */
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"

static void ambiguous_framing_is_refused_with_400_and_close(void **state)
{
    static const struct refusal cases[] = {
        {"both", HEAD "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"both, other order", HEAD "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"two lengths", HEAD "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!" SMUGGLED, 400},
        {"the same length twice", HEAD "content-length: 5\r\ncontent-length: 5\r\n\r\nhello" SMUGGLED, 400},
        {"a list of lengths", HEAD "content-length: 5,5\r\n\r\nhello" SMUGGLED, 400},
        {"a sign", HEAD "content-length: +5\r\n\r\nhello" SMUGGLED, 400},
        {"negative", HEAD "content-length: -5\r\n\r\nhello" SMUGGLED, 400},
        {"two numbers", HEAD "content-length: 5 6\r\n\r\nhello" SMUGGLED, 400},
        {"hexadecimal", HEAD "content-length: 0x5\r\n\r\nhello" SMUGGLED, 400},
        {"empty", HEAD "content-length:\r\n\r\n" SMUGGLED, 400},
        {"too large for 64 bits", HEAD "content-length: 99999999999999999999999\r\n\r\n" SMUGGLED, 400},
        {"too large for off_t", HEAD "content-length: 18446744073709551615\r\n\r\n" SMUGGLED, 400},
        {"gzip, chunked", HEAD "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"chunked, identity", HEAD "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"xchunked", HEAD "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"identity", HEAD "transfer-encoding: identity\r\n\r\n" SMUGGLED, 400},
        {"empty coding", HEAD "transfer-encoding:\r\n\r\n" SMUGGLED, 400},
        {"chunked twice", HEAD "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
         400},
        {"quoted", HEAD "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"vertical tab", HEAD "transfer-encoding: \vchunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
        {"chunked on 1.0", "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400},
    };
    (void)state;
    check_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

static void malformed_heads_are_refused_with_400_and_close(void **state)
{
    static const struct refusal cases[] = {
        {"folded header", HEAD "x: a\r\n b\r\n\r\n", 400},
        {"folded with a tab", HEAD "x: a\r\n\tcontent-length: 5\r\n\r\n", 400},
        {"first header folded", "GET / HTTP/1.1\r\n host: a\r\n\r\n", 400},
        {"space before the colon", HEAD "content-length : 5\r\n\r\nhello", 400},
        {"space in a name", HEAD "content length: 5\r\n\r\nhello", 400},
        {"no colon", HEAD "x\r\n\r\n", 400},
        {"no name", HEAD ": x\r\n\r\n", 400},
        {"bare LF behind a header", HEAD "x: a\ncontent-length: 5\r\n\r\nhello", 400},
        {"bare LF at the end", HEAD "x: a\r\n\n", 400},
        {"bare LF behind the request line", "GET / HTTP/1.1\nhost: a\r\n\r\n", 400},
        {"bare CR in a value", HEAD "x: a\rb\r\n\r\n", 400},
        {"control character in a value", HEAD "x: a\001b\r\n\r\n", 400},
        {"no host", "GET / HTTP/1.1\r\nx: a\r\n\r\n", 400},
        {"two hosts", HEAD "host: b\r\n\r\n", 400},
        {"two equal hosts", HEAD "host: a\r\n\r\n", 400},
        {"host with a space", "GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400},
        {"host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400},
        {"host with a user", "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", 400},
        {"no target", "GET HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"relative target", "GET v2/ HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"star but not OPTIONS", "GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"two spaces", "GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"bytes above ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"fragment", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"user in the URL", "GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"other scheme", "GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"no authority", "GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"method that is no token", "GE(T / HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"endless method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\nhost: a\r\n\r\n", 400},
        {"TLS", "\026\003\001\002\r\n\r\n", 400},
        {"tunnel", "CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 405},
        {"unknown expectation", HEAD "expect: 200-ok\r\n\r\n", 417},
        {"HTTP/2 without its preface", "PRI * HTTP/2.0\r\n\r\nno\r\n\r\n", 505},
        {"HTTP/0.9", "GET /\r\n\r\n", 400},
    };
    (void)state;
    check_refusals(cases, sizeof(cases) / sizeof(cases[0]));
}

static void a_nul_in_a_head_is_refused(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n";
    struct fixture *f = serve();
    struct client *c = dial(f);
    (void)state;
    say_bytes(c, head, sizeof(head) - 1);
    hear(c, "HTTP/1.1 400 ");
    hear_end(c);
    hang_up(c);
    stop(f);
}

static void a_refusal_says_what_to_do(void **state)
{
    struct fixture *f = serve();
    struct client *c = dial(f);
    (void)state;
    say(c, HEAD "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n");
    hear(c, "\r\n\r\n{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"send either Content-Length or "
            "Transfer-Encoding, not both\"}]}\n");
    hear_end(c);
    assert_true(has_heard(c, "content-type: application/json\r\n"));
    hang_up(c);
    stop(f);
}

struct heard_refusal {
    unsigned count;
    int status;
    bool has_reason;
    bool has_peer;
    char method[64];
    char path[2048];
};

static void on_refusal(void *data, const struct http_refusal *refusal)
{
    struct heard_refusal *heard = data;
    heard->count++;
    heard->status = refusal->status;
    heard->has_reason = refusal->reason != NULL && refusal->reason[0] != '\0';
    heard->has_peer = refusal->peer.len > 0;
    (void)snprintf(heard->method, sizeof(heard->method), "%.*s", SLICE_ARG(refusal->method));
    (void)snprintf(heard->path, sizeof(heard->path), "%.*s", SLICE_ARG(refusal->path));
}

static void each_refusal_is_told_to_the_listener_once_and_without_secrets(void **state)
{
    static const struct {
        const char *head;
        int status;
        const char *method;
        const char *path;
    } cases[] = {
        {"GET /v2/?token=secret HTTP/1.1\r\n\r\n", 400, "GET", "/v2/"}, /* no Host */
        {HEAD "x: a\r\n b\r\n\r\n", 400, "POST", "/v2/"},
        {"GET http://user:secret@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, "GET", ""},
        {"GET /x\r\nhost: a\r\n\r\n", 400, "GET", "/x"},
        {"GET\r\n\r\n", 400, "", ""},
        {"\x16\x03\x01 /\r\n\r\n", 400, "", ""},
        {"GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505, "GET", "/"},
        {"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n", 405, "CONNECT", ""},
    };
    (void)state;
    struct fixture *f = serve();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct heard_refusal heard = {0};
        http_server_on_refusal(f->server, on_refusal, &heard);
        struct client *c = dial(f);
        say(c, cases[i].head);
        hear_end(c);
        hang_up(c);
        assert_int_equal(heard.count, 1);
        assert_int_equal(heard.status, cases[i].status);
        assert_true(heard.has_reason && heard.has_peer);
        assert_string_equal(heard.method, cases[i].method);
        assert_string_equal(heard.path, cases[i].path);
    }
    stop(f);
}

static void a_client_that_begins_with_tls_is_told_apart(void **state)
{
    (void)state;
    struct fixture *f = serve();
    struct client *c = dial(f);
    say(c, "\x16\x03\x01");
    hear_end(c);
    assert_true(has_heard(c, "HTTP/1.1 400 ") && has_heard(c, "this port speaks plain HTTP, not TLS"));
    hang_up(c);
    stop(f);
}

static void heads_over_the_limit_answer_431(void **state)
{
    struct fixture *f = serve();
    struct client *c = dial(f);
    char *filler = noise(20000);
    (void)state;
    say(c, "GET / HTTP/1.1\r\nhost: a\r\nx: ");
    say(c, filler);
    hear(c, "HTTP/1.1 431 ");
    hear_end(c);
    hang_up(c);
    free(filler);
    stop(f);
}

static void over_100_headers_answer_431(void **state)
{
    struct fixture *f = serve();
    (void)state;
    for (int headers = 100; headers <= 101; headers++) {
        struct client *c = dial(f);
        say(c, "GET /many HTTP/1.1\r\nhost: a\r\n");
        for (int i = 1; i < headers; i++)
            say(c, "x: y\r\n");
        say(c, "\r\n");
        hear(c, headers == 100 ? "HTTP/1.1 200 " : "HTTP/1.1 431 ");
        hang_up(c);
    }
    struct client *c = dial(f);
    struct strbuf text;
    strbuf_init(&text, 16384);
    strbuf_append_cstr(&text, "GET /many HTTP/1.1\r\nhost: a\r\n");
    for (int i = 0; i < 1000; i++)
        strbuf_append_cstr(&text, "x: y\r\n");
    strbuf_append_cstr(&text, "\r\n");
    say(c, text.ptr);
    hear(c, "HTTP/1.1 431 ");
    strbuf_done(&text);
    hang_up(c);
    stop(f);
}

static void long_urls_answer_414(void **state)
{
    struct fixture *f = serve();
    char *filler = noise(9000);
    (void)state;
    struct client *c = dial(f);
    say(c, "GET /");
    say(c, filler);
    say(c, " HTTP/1.1\r\nhost: a\r\n\r\n");
    hear(c, "HTTP/1.1 414 ");
    hear_end(c);
    hang_up(c);
    c = dial(f);
    say(c, "GET /");
    say(c, filler);
    say(c, filler); /* and the line never ends */
    hear(c, "HTTP/1.1 414 ");
    hear_end(c);
    hang_up(c);
    free(filler);
    stop(f);
}

static void slow_heads_answer_408(void **state)
{
    struct http_settings settings = quick_settings();
    settings.head_timeout_ms = 60;
    struct fixture *f = start(&settings, 1 << 20, answer_path);
    struct client *c = dial(f);
    (void)state;
    uint64_t begun = now_ms();
    while (!c->is_ended && now_ms() < begun + PATIENCE_MS) {
        say(c, "x"); /* never idle, never complete */
        turn_for(f, 10);
        receive(c);
    }
    assert_true(now_ms() - begun >= 50);
    assert_true(has_heard(c, "HTTP/1.1 408 "));
    hang_up(c);
    stop(f);
}

static void idle_connections_are_closed_without_a_word(void **state)
{
    struct http_settings settings = quick_settings();
    settings.idle_timeout_ms = 50;
    struct fixture *f = start(&settings, 1 << 20, answer_path);
    struct client *fresh = dial(f);
    struct client *used = dial(f);
    (void)state;
    say(used, "GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    hear(used, "\r\n\r\n/a");
    hear_end(fresh);
    hear_end(used);
    assert_int_equal(fresh->in.len, 0);
    assert_int_equal(count_heard(used, "HTTP/1.1"), 1);
    hang_up(fresh);
    hang_up(used);
    stop(f);
}

static void a_head_may_arrive_byte_by_byte(void **state)
{
    static const char head[] = "\r\nGET /slow?x=y HTTP/1.1\r\nHost: a\r\nX-Empty:\r\n\r\n";
    struct fixture *f = serve();
    struct client *c = dial(f);
    (void)state;
    for (size_t i = 0; i < sizeof(head) - 1; i++) {
        say_bytes(c, head + i, 1);
        turn(f);
    }
    hear(c, "\r\n\r\n/slow");
    hang_up(c);
    stop(f);
}

static void check_request(void *data, struct http_request *req)
{
    struct fixture *f = data;
    struct slice value;
    assert_true(slice_equal(http_request_method(req), SLICE("GET")));
    assert_true(slice_equal(http_request_path(req), SLICE("/v2/a%2fb/tags")));
    assert_true(slice_equal(http_request_query(req), SLICE("n=10&last=a%2Bb+c&n=20&bad=%zz&empty=&flag")));
    assert_true(slice_equal(http_request_host(req), SLICE("registry.example:5000")));
    assert_true(slice_equal(http_request_header(req, SLICE("x-one")), SLICE("first value")));
    assert_null(http_request_header(req, SLICE("x-none")).ptr);
    assert_true(http_request_header(req, SLICE("x-empty")).ptr != NULL);
    assert_int_equal(http_request_header(req, SLICE("x-empty")).len, 0);
    assert_true(slice_has_prefix(http_request_peer(req), SLICE("127.0.0.1:")));
    assert_true(slice_equal(http_request_protocol(req), SLICE("HTTP/1.1")));
    assert_false(http_request_is_secure(req));
    assert_false(http_request_has_body(req));
    assert_int_equal(http_request_content_length(req), 0);
    assert_true(http_request_query_value(req, SLICE("n"), 0, &value) && slice_equal(value, SLICE("10")));
    assert_true(http_request_query_value(req, SLICE("n"), 1, &value) && slice_equal(value, SLICE("20")));
    assert_false(http_request_query_value(req, SLICE("n"), 2, &value));
    assert_true(http_request_query_value(req, SLICE("last"), 0, &value) && slice_equal(value, SLICE("a+b+c")));
    assert_false(http_request_query_value(req, SLICE("bad"), 0, &value));
    assert_true(http_request_query_value(req, SLICE("empty"), 0, &value) && value.len == 0);
    assert_true(http_request_query_value(req, SLICE("flag"), 0, &value) && value.len == 0);
    answer(f, req, 200, SLICE("as sent"));
}

static void a_handler_sees_the_request_as_it_was_sent(void **state)
{
    struct http_settings settings = quick_settings();
    struct fixture *f = start(&settings, 1 << 20, check_request);
    struct client *c = dial(f);
    (void)state;
    say(c, "GET /v2/a%2fb/tags?n=10&last=a%2Bb+c&n=20&bad=%zz&empty=&flag HTTP/1.1\r\nHost: registry.example:5000\r\n"
           "X-One: \t first value \t\r\nX-one: second\r\nX-Empty:\r\n\r\n");
    hear(c, "as sent");
    forget(c);
    say(c, "GET HTTP://registry.example:5000/v2/a%2fb/tags?n=10&last=a%2Bb+c&n=20&bad=%zz&empty=&flag HTTP/1.1\r\n"
           "host: other\r\nx-one: first value\r\nx-empty: \r\n\r\n");
    hear(c, "as sent");
    hang_up(c);
    stop(f);
}

static void absolute_and_star_targets_are_taken(void **state)
{
    struct fixture *f = serve();
    struct client *c = dial(f);
    (void)state;
    say(c, "GET https://a:5000 HTTP/1.1\r\nhost: a\r\n\r\n");
    hear(c, "\r\n\r\n/");
    forget(c);
    say(c, "GET http://a?x HTTP/1.1\r\nhost: a\r\n\r\n");
    hear(c, "\r\n\r\n/");
    forget(c);
    say(c, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    hear(c, "\r\n\r\n*");
    forget(c);
    say(c, "TRACE /t HTTP/1.1\r\nhost:\r\n\r\n");
    hear(c, "\r\n\r\n/t");
    hang_up(c);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_framing_is_refused_with_400_and_close),
        cmocka_unit_test(malformed_heads_are_refused_with_400_and_close),
        cmocka_unit_test(a_nul_in_a_head_is_refused),
        cmocka_unit_test(a_refusal_says_what_to_do),
        cmocka_unit_test(each_refusal_is_told_to_the_listener_once_and_without_secrets),
        cmocka_unit_test(a_client_that_begins_with_tls_is_told_apart),
        cmocka_unit_test(heads_over_the_limit_answer_431),
        cmocka_unit_test(over_100_headers_answer_431),
        cmocka_unit_test(long_urls_answer_414),
        cmocka_unit_test(slow_heads_answer_408),
        cmocka_unit_test(idle_connections_are_closed_without_a_word),
        cmocka_unit_test(a_head_may_arrive_byte_by_byte),
        cmocka_unit_test(a_handler_sees_the_request_as_it_was_sent),
        cmocka_unit_test(absolute_and_star_targets_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
