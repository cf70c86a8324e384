/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics: what is counted comes out, summed over the loops, in Prometheus' text format, read here by a small parser of
 * its rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#include "minato/clock.h"
#include "minato/own.h"
#include "minato/telemetry.h"

static void render(const struct metrics *m, struct strbuf *out)
{
    strbuf_init(out, 4 << 20);
    metrics_render(m, out);
    assert_int_equal(strbuf_result(out), OK);
}

/* The value of the sample whose line begins with `sample` and a space. */
static double value_of(const struct strbuf *text, const char *sample)
{
    size_t len = strlen(sample);
    for (const char *line = text->ptr; line != NULL && *line != '\0';) {
        if (strncmp(line, sample, len) == 0 && line[len] == ' ')
            return strtod(line + len + 1, NULL);
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    fail_msg("%s is not in the page", sample);
    return -1;
}

static void counters_and_gauges_are_summed_over_the_loops(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(3);
    metrics_add(m, 0, METRIC_CONNECTIONS_ACCEPTED, 1);
    metrics_add(m, 2, METRIC_CONNECTIONS_ACCEPTED, 41);
    metrics_gauge_add(m, 0, METRIC_CONNECTIONS_OPEN, 5);
    metrics_gauge_add(m, 1, METRIC_CONNECTIONS_OPEN, -2); /* opened on one loop, closed on another */
    metrics_gauge_add(m, 1, METRIC_REQUESTS_RUNNING, -1);
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    assert_true(value_of(&text, "minato_connections_accepted_total") == 42);
    assert_true(value_of(&text, "minato_connections_open") == 3);
    assert_true(value_of(&text, "minato_requests_running") == -1);
    assert_true(value_of(&text, "minato_storage_errors_total") == 0);
    metrics_free(m);
}

static void requests_fall_into_their_buckets_and_classes(void **state)
{
    (void)state;
    static const char route[] = "blob.get";
    static const char same_name_elsewhere[] = "blob.get";
    struct metrics *m = metrics_new(2);
    metrics_request(m, 0, route, 200, 0);
    metrics_request(m, 0, route, 200, 1000);
    metrics_request(m, 1, route, 404, 1001);
    metrics_request(m, 1, same_name_elsewhere, 499, 61000000);
    metrics_request(m, 1, "manifest.put", 201, 2500000);
    metrics_request(m, 1, "manifest.put", 0, 1);
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    assert_true(value_of(&text, "minato_requests_total{route=\"blob.get\",class=\"2xx\"}") == 2);
    assert_true(value_of(&text, "minato_requests_total{route=\"blob.get\",class=\"4xx\"}") == 2);
    assert_true(value_of(&text, "minato_requests_total{route=\"manifest.put\",class=\"other\"}") == 1);
    assert_true(value_of(&text, "minato_request_duration_seconds_bucket{route=\"blob.get\",le=\"0.001\"}") == 2);
    assert_true(value_of(&text, "minato_request_duration_seconds_bucket{route=\"blob.get\",le=\"0.002\"}") == 3);
    assert_true(value_of(&text, "minato_request_duration_seconds_bucket{route=\"blob.get\",le=\"60\"}") == 3);
    assert_true(value_of(&text, "minato_request_duration_seconds_bucket{route=\"blob.get\",le=\"+Inf\"}") == 4);
    assert_true(value_of(&text, "minato_request_duration_seconds_count{route=\"blob.get\"}") == 4);
    assert_true(value_of(&text, "minato_request_duration_seconds_sum{route=\"blob.get\"}") == 61.002001);
    metrics_free(m);
}

static void more_routes_than_expected_are_counted_as_other(void **state)
{
    (void)state;
    static char names[200][16];
    struct metrics *m = metrics_new(1);
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "route%u", i);
        metrics_request(m, 0, names[i], 200, 10);
    }
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    assert_true(value_of(&text, "minato_requests_total{route=\"other\",class=\"2xx\"}") == 200 - 64);
    assert_true(value_of(&text, "minato_requests_total{route=\"route63\",class=\"2xx\"}") == 1);
    metrics_free(m);
}

static void the_process_tells_about_itself(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(1);
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    assert_true(value_of(&text, "minato_build_info{version=\"" MINATO_VERSION "\"}") == 1);
    assert_true(value_of(&text, "minato_process_resident_memory_bytes") > 100000);
    assert_true(value_of(&text, "minato_process_open_fds") >= 3);
    assert_true(value_of(&text, "minato_process_max_fds") >= 3);
    assert_true(value_of(&text, "minato_process_cpu_seconds_total") >= 0);
    double start = value_of(&text, "minato_process_start_time_seconds");
    double now = (double)clock_wall_ms(clock_system()) / 1000;
    assert_true(start < now + 5 && start > now - 3600);
    metrics_free(m);
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* `name{label="value",...} value`: returns the length of the name. */
static size_t check_sample(const char *line)
{
    size_t name = strspn(line, NAME_CHARACTERS);
    assert_true(name > 0);
    const char *p = line + name;
    if (*p == '{') {
        do {
            p++;
            size_t label = strspn(p, NAME_CHARACTERS);
            assert_true(label > 0 && strncmp(p + label, "=\"", 2) == 0);
            p += label + 2;
            p += strcspn(p, "\"\\\n");
            assert_int_equal(*p, '"');
            p++;
        } while (*p == ',');
        assert_int_equal(*p, '}');
        p++;
    }
    assert_int_equal(*p, ' ');
    char *end = NULL;
    (void)strtod(p + 1, &end);
    assert_true(end > p + 1);
    assert_int_equal(*end, '\n');
    return name;
}

/* HELP, then TYPE, then all samples of one name, each name once. */
static void the_page_follows_the_text_format(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(2);
    metrics_request(m, 0, "a", 200, 10);
    metrics_request(m, 1, "b", 500, 10);
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    char family[128] = "";
    char seen[64][128];
    size_t seen_count = 0;
    for (const char *line = text.ptr; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_non_null(strchr(line, '\n'));
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t len = strspn(line + 7, NAME_CHARACTERS);
            (void)snprintf(family, sizeof(family), "%.*s", (int)len, line + 7);
            assert_int_equal(strncmp(family, "minato_", 7), 0);
            for (size_t i = 0; i < seen_count; i++)
                assert_string_not_equal(seen[i], family);
            (void)snprintf(seen[seen_count++], sizeof(seen[0]), "%s", family);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_int_equal(strncmp(line + 7, family, strlen(family)), 0);
            const char *type = line + 7 + strlen(family) + 1;
            assert_true(strncmp(type, "counter\n", 8) == 0 || strncmp(type, "gauge\n", 6) == 0 ||
                        strncmp(type, "histogram\n", 10) == 0);
            assert_true(strncmp(type, "counter\n", 8) != 0 || strstr(family, "_total") != NULL);
        } else {
            assert_true(check_sample(line) >= strlen(family));
            assert_int_equal(strncmp(line, family, strlen(family)), 0);
        }
    }
    assert_true(seen_count > 20);
    metrics_free(m);
}

#define THREADS 4
#define EACH 20000

static void *count_requests(void *data)
{
    static const char *const routes[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (unsigned i = 0; i < EACH; i++)
        metrics_request(data, i % 2, routes[i % 8], 200, i);
    return NULL;
}

static void nothing_is_lost_when_threads_share_a_loop_index(void **state)
{
    (void)state;
    struct metrics *m = metrics_new(2);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_requests, m), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    OWNED(strbuf_done) struct strbuf text;
    render(m, &text);
    assert_true(value_of(&text, "minato_requests_total{route=\"c\",class=\"2xx\"}") == THREADS * EACH / 8);
    assert_true(value_of(&text, "minato_request_duration_seconds_count{route=\"h\"}") == THREADS * EACH / 8);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_are_summed_over_the_loops),
        cmocka_unit_test(requests_fall_into_their_buckets_and_classes),
        cmocka_unit_test(more_routes_than_expected_are_counted_as_other),
        cmocka_unit_test(the_process_tells_about_itself),
        cmocka_unit_test(the_page_follows_the_text_format),
        cmocka_unit_test(nothing_is_lost_when_threads_share_a_loop_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
