/* SPDX-License-Identifier: Apache-2.0
 *
 * The log: the two line formats, what comes out of a hostile text, and that lines arrive, in order and counted, through
 * the pool, past a reader that stops, and past one that goes away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "minato/clock.h"
#include "minato/own.h"
#include "src/telemetry/telemetry_int.h"

#define TIME_MS 1795471500123ull /* 2026-11-23T22:05:00.123Z */

static void assert_line(enum config_log_format format, const struct log_field *fields, size_t count,
                        const char *expected)
{
    char line[LOG_LINE_BYTES_MAX + 1];
    size_t len = log_int_format(line, format, TIME_MS, LOG_LEVEL_INFO, "http.request", fields, count);
    line[len] = '\0';
    assert_string_equal(line, expected);
}

static void a_line_has_time_level_event_and_fields(void **state)
{
    (void)state;
    const struct log_field fields[] = {FIELD_CSTR("method", "GET"), FIELD_NUM("status", 200),
                                       FIELD_STR("user", SLICE_EMPTY), FIELD_CSTR("agent", "a b=\"c\""),
                                       FIELD_NUM("big", UINT64_MAX)};
    assert_line(
        LOG_FORMAT_JSON, fields, 5,
        "{\"time\":\"2026-11-23T22:05:00.123Z\",\"level\":\"info\",\"event\":\"http.request\",\"method\":\"GET\","
        "\"status\":200,\"agent\":\"a b=\\\"c\\\"\",\"big\":18446744073709551615}\n");
    assert_line(LOG_FORMAT_TEXT, fields, 5,
                "2026-11-23T22:05:00.123Z INFO  http.request method=GET status=200 agent=\"a b=\\\"c\\\"\" "
                "big=18446744073709551615\n");
    assert_line(LOG_FORMAT_JSON, NULL, 0,
                "{\"time\":\"2026-11-23T22:05:00.123Z\",\"level\":\"info\",\"event\":\"http.request\"}\n");
}

static void dates_are_those_of_gmtime(void **state)
{
    (void)state;
    static const uint64_t seconds[] = {0,          951782399,  951782400,  951868800,  1078012800, 1709164800,
                                       1709251199, 1709251200, 1735689599, 1735689600, 4102444800, 4107542400};
    for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
        char expected[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(seconds[i] * 1000 + 7, expected);
        char line[LOG_LINE_BYTES_MAX];
        (void)log_int_format(line, LOG_FORMAT_TEXT, seconds[i] * 1000 + 7, LOG_LEVEL_INFO, "e", NULL, 0);
        assert_memory_equal(line, expected, CLOCK_RFC3339_SIZE - 1);
    }
}

static void hostile_texts_cannot_forge_lines_or_reach_the_terminal(void **state)
{
    (void)state;
    const struct log_field fields[] = {FIELD_STR("a", slice_of("x\n{\"\0\x1b[31m\x7f\\", 12)),
                                       FIELD_CSTR("b", "\xc2\x9b"             /* C1: CSI */
                                                       "\xc3\xa9\xe6\xb8\xaf" /* fine */
                                                       "\xff\xc0\x80\xed\xa0\x80\xf0\x9f")};
    assert_line(
        LOG_FORMAT_JSON, fields, 2,
        "{\"time\":\"2026-11-23T22:05:00.123Z\",\"level\":\"info\",\"event\":\"http.request\","
        "\"a\":\"x\\u000a{\\\"\\u0000\\u001b[31m\\u007f\\\\\",\"b\":\"\\u009b\xc3\xa9\xe6\xb8\xaf"
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}\n");
    const struct log_field forged[] = {FIELD_CSTR("a", "x\n2026 ERROR fake")};
    assert_line(LOG_FORMAT_TEXT, forged, 1,
                "2026-11-23T22:05:00.123Z INFO  http.request a=\"x\\u000a2026 ERROR fake\"\n");
}

static void long_texts_and_lines_are_cut(void **state)
{
    (void)state;
    char text[4096];
    memset(text, '\n', sizeof(text));
    struct log_field fields[8];
    for (size_t i = 0; i < 8; i++)
        fields[i] = FIELD_STR("f", slice_of(text, sizeof(text)));
    fields[7] = FIELD_NUM("last", 1);
    char line[LOG_LINE_BYTES_MAX + 1];
    size_t len = log_int_format(line, LOG_FORMAT_JSON, TIME_MS, LOG_LEVEL_INFO, "e", fields, 8);
    line[len] = '\0';
    assert_true(len <= LOG_LINE_BYTES_MAX);
    assert_non_null(strstr(line, "\"event\":\"e\",\"last\":1,\"truncated\":true}\n"));
    memset(text, 'x', sizeof(text));
    len = log_int_format(line, LOG_FORMAT_TEXT, TIME_MS, LOG_LEVEL_INFO, "e", fields, 1);
    assert_true(len < LOG_TEXT_BYTES_MAX + 64 && len > LOG_TEXT_BYTES_MAX);
}

/* ---- through the pool ---- */

struct rig {
    struct loop *loop;
    struct pool *pool;
    struct log *log;
    int read_fd;
    int write_fd;
};

static void rig_init(struct rig *rig, size_t buffer_bytes)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    *rig = (struct rig){.read_fd = fds[0], .write_fd = fds[1]};
    assert_int_equal(loop_new(0, 1 << 20, &rig->loop), OK);
    assert_int_equal(pool_new(2, 4, &rig->pool), OK);
    rig->log = log_new(rig->write_fd, LOG_LEVEL_INFO, LOG_FORMAT_TEXT, buffer_bytes);
    log_attach(rig->log, rig->loop, rig->pool);
}

static void rig_done(struct rig *rig)
{
    log_detach(rig->log);
    pool_free(rig->pool);
    loop_run_once(rig->loop, 0);
    loop_free(rig->loop);
    log_free(rig->log);
    if (rig->read_fd >= 0)
        close(rig->read_fd);
    close(rig->write_fd);
}

/* Appends what can be read at once. */
static void read_some(struct rig *rig, struct strbuf *text)
{
    struct pollfd p = {.fd = rig->read_fd, .events = POLLIN};
    char bytes[65536];
    while (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0) {
        ssize_t n = read(rig->read_fd, bytes, sizeof(bytes));
        if (n <= 0)
            return;
        strbuf_append(text, slice_of(bytes, (size_t)n));
    }
}

static size_t count_of(const struct strbuf *text, const char *part)
{
    size_t count = 0;
    for (const char *p = text->len == 0 ? NULL : strstr(text->ptr, part); p != NULL; p = strstr(p + 1, part))
        count++;
    return count;
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

/* Until `part` was read `times` times; at most 10 s. */
static void run_until(struct rig *rig, struct strbuf *text, const char *part, size_t times)
{
    uint64_t deadline = now_ms() + 10000;
    while (count_of(text, part) < times) {
        if (now_ms() > deadline)
            fail_msg("%zu of %zu \"%s\" arrived", count_of(text, part), times, part);
        loop_run_once(rig->loop, 20);
        read_some(rig, text);
    }
}

static void a_line_arrives_after_the_timer_and_a_warning_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1 << 20);
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 1 << 20);
    log_event(rig.log, LOG_LEVEL_INFO, "one", FIELD_NUM("n", 1));
    log_event(rig.log, LOG_LEVEL_DEBUG, "never", FIELD_NUM("n", 1));
    loop_run_once(rig.loop, 0);
    read_some(&rig, &text);
    assert_int_equal(text.len, 0); /* still buffered */
    run_until(&rig, &text, "one n=1\n", 1);
    log_event(rig.log, LOG_LEVEL_INFO, "two", FIELD_NUM("n", 2));
    log_event(rig.log, LOG_LEVEL_WARN, "three", FIELD_NUM("n", 3));
    run_until(&rig, &text, "two n=2\n", 1);
    run_until(&rig, &text, "three n=3\n", 1);
    assert_int_equal(count_of(&text, "\n"), 3);
    assert_int_equal(log_dropped(rig.log), 0);
    rig_done(&rig);
}

static void detaching_writes_what_is_buffered_and_then_each_line_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1 << 20);
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 1 << 20);
    log_event(rig.log, LOG_LEVEL_INFO, "one", FIELD_NUM("n", 1));
    log_detach(rig.log);
    read_some(&rig, &text);
    assert_int_equal(count_of(&text, "one n=1\n"), 1);
    log_event(rig.log, LOG_LEVEL_INFO, "two", FIELD_NUM("n", 2));
    read_some(&rig, &text);
    assert_int_equal(count_of(&text, "two n=2\n"), 1);
    rig_done(&rig);
}

static void a_null_log_swallows_lines(void **state)
{
    (void)state;
    log_event(NULL, LOG_LEVEL_ERROR, "nobody", FIELD_NUM("n", 1));
    assert_false(log_is_enabled(NULL, LOG_LEVEL_ERROR));
    assert_int_equal(log_dropped(NULL), 0);
    log_free(NULL);
}

#define THREADS 4
#define LINES_EACH 5000

struct writer {
    struct log *log;
    unsigned index;
};

static void *write_lines(void *data)
{
    const struct writer *w = data;
    for (unsigned i = 0; i < LINES_EACH; i++)
        log_event(w->log, i % 1000 == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "line", FIELD_NUM("thread", w->index),
                  FIELD_NUM("i", i), FIELD_CSTR("end", "x"));
    return NULL;
}

static void lines_of_many_threads_arrive_whole_and_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 16 << 20);
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 16 << 20);
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){rig.log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    uint64_t deadline = now_ms() + 30000;
    size_t lines = 0;
    size_t at = 0;
    unsigned next[THREADS] = {0};
    while (lines < THREADS * LINES_EACH && now_ms() < deadline) {
        loop_run_once(rig.loop, 20);
        read_some(&rig, &text);
        const char *end;
        while (at < text.len && (end = memchr(text.ptr + at, '\n', text.len - at)) != NULL) {
            unsigned thread;
            unsigned i;
            assert_int_equal(sscanf(text.ptr + at + 25, "%*s line thread=%u i=%u end=x\n", &thread, &i), 2);
            assert_true(thread < THREADS);
            assert_int_equal(i, next[thread]++);
            at = (size_t)(end - text.ptr) + 1;
            lines++;
        }
    }
    assert_int_equal(lines, THREADS * LINES_EACH);
    assert_int_equal(log_dropped(rig.log), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rig_done(&rig);
}

static void a_reader_that_stops_costs_lines_but_no_time_and_they_are_reported(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 64 << 10);
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 16 << 20);
    unsigned written = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 500; i++, written++)
            log_event(rig.log, LOG_LEVEL_INFO, "line", FIELD_NUM("i", written));
        uint64_t before = now_ms();
        loop_run_once(rig.loop, 0);
        assert_true(now_ms() - before < 2000); /* nothing on the loop waits for the reader */
    }
    uint64_t dropped = log_dropped(rig.log);
    assert_true(dropped > 0 && dropped < written);
    log_event(rig.log, LOG_LEVEL_WARN, "room.is.kept", FIELD_NUM("n", 1));
    run_until(&rig, &text, "room.is.kept", 1);
    run_until(&rig, &text, "log.dropped lines=", 1);
    assert_int_equal(count_of(&text, " line i="), written - log_dropped(rig.log));
    rig_done(&rig);
}

static void a_reader_that_is_gone_costs_the_lines_only(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 64 << 10);
    close(rig.read_fd);
    rig.read_fd = -1;
    log_event(rig.log, LOG_LEVEL_WARN, "lost", FIELD_NUM("n", 1));
    uint64_t deadline = now_ms() + 10000;
    while (log_dropped(rig.log) == 0 && now_ms() < deadline)
        loop_run_once(rig.loop, 20);
    assert_true(log_dropped(rig.log) >= 1);
    rig_done(&rig);
}

static void ending_does_not_wait_for_a_reader_that_stopped(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1 << 20);
    for (unsigned i = 0; i < 8000; i++)
        log_event(rig.log, LOG_LEVEL_INFO, "line", FIELD_CSTR("text", "more than the pipe takes, all in all"));
    uint64_t before = now_ms();
    rig_done(&rig);
    assert_true(now_ms() - before < 8000);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_event_and_fields),
        cmocka_unit_test(dates_are_those_of_gmtime),
        cmocka_unit_test(hostile_texts_cannot_forge_lines_or_reach_the_terminal),
        cmocka_unit_test(long_texts_and_lines_are_cut),
        cmocka_unit_test(a_line_arrives_after_the_timer_and_a_warning_at_once),
        cmocka_unit_test(detaching_writes_what_is_buffered_and_then_each_line_at_once),
        cmocka_unit_test(a_null_log_swallows_lines),
        cmocka_unit_test(lines_of_many_threads_arrive_whole_and_in_order),
        cmocka_unit_test(a_reader_that_stops_costs_lines_but_no_time_and_they_are_reported),
        cmocka_unit_test(a_reader_that_is_gone_costs_the_lines_only),
        cmocka_unit_test(ending_does_not_wait_for_a_reader_that_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
