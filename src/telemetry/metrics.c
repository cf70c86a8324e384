/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters, gauges and the request histogram: relaxed atomics in one block per loop, aligned so that no two loops write
 * to one cache line; whoever renders sums them up. Any thread. What /proc tells is in process.c.
 */
#include "telemetry_int.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64
#define ROUTES_MAX 64u
#define ROUTE_SLOTS 128u /* a power of two, at most half full */
#define CLASSES 6u       /* 1xx .. 5xx, and what is none */
#define BUCKETS 15u

static const uint64_t bucket_us[BUCKETS] = {1000,   2000,    5000,    10000,   20000,    50000,    100000,  200000,
                                            500000, 1000000, 2000000, 5000000, 10000000, 20000000, 60000000};
static const char *const bucket_names[BUCKETS + 1] = {"0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2",
                                                      "0.5",   "1",     "2",     "5",    "10",   "20",   "60",  "+Inf"};
static const char *const class_names[CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx", "other"};

/* Names without prefix; counters end in _total by convention. */
static const struct {
    const char *name;
    const char *help;
} counter_texts[METRIC_COUNTER_COUNT] = {
    [METRIC_CONNECTIONS_ACCEPTED] = {"connections_accepted_total", "Connections accepted."},
    [METRIC_CONNECTIONS_REFUSED] = {"connections_refused_total", "Connections refused, as there were too many."},
    [METRIC_PROXY_HEADERS_REFUSED] = {"proxy_headers_refused_total", "Connections closed for want of a PROXY header."},
    [METRIC_TLS_HANDSHAKES_FAILED] = {"tls_handshakes_failed_total", "TLS handshakes that failed."},
    [METRIC_HTTP2_FLOODS] = {"http2_floods_total", "HTTP/2 connections ended, as they flooded us with frames."},
    [METRIC_REQUEST_BYTES] = {"request_body_bytes_total", "Bytes of request bodies."},
    [METRIC_RESPONSE_BYTES] = {"response_body_bytes_total", "Bytes of response bodies."},
    [METRIC_AUTH_FAILURES] = {"auth_failures_total", "Requests with wrong credentials."},
    [METRIC_AUTH_REFUSED_BUSY] = {"auth_refused_busy_total",
                                  "Logins refused, as too many passwords were being checked."},
    [METRIC_AUTH_RELOADS_FAILED] = {"auth_reloads_failed_total", "Changed password files that could not be used."},
    [METRIC_UPLOADS_STARTED] = {"uploads_started_total", "Upload sessions opened."},
    [METRIC_UPLOADS_COMPLETED] = {"uploads_completed_total", "Blobs whose upload was completed."},
    [METRIC_UPLOADS_FAILED] = {"uploads_failed_total", "Uploads that failed."},
    [METRIC_MANIFESTS_PUT] = {"manifests_put_total", "Manifests stored."},
    [METRIC_STORAGE_ERRORS] = {"storage_errors_total", "Failures of the storage."},
    [METRIC_INDEX_HITS] = {"index_hits_total", "Look-ups the index answered."},
    [METRIC_INDEX_MISSES] = {"index_misses_total", "Look-ups that had to read the storage."},
    [METRIC_INDEX_UNREACHABLE] = {"index_unreachable_total",
                                  "Look-ups that could not ask the index and read the storage."},
    [METRIC_LOG_LINES_DROPPED] = {"log_lines_dropped_total", "Lines of the log that nobody took in time."},
};
static const struct {
    const char *name;
    const char *help;
} gauge_texts[METRIC_GAUGE_COUNT] = {
    [METRIC_CONNECTIONS_OPEN] = {"connections_open", "Connections open now."},
    [METRIC_REQUESTS_RUNNING] = {"requests_running", "Requests being answered now."},
    [METRIC_PAGES_IN_USE_BYTES] = {"upload_buffer_used_bytes", "Bytes of uploads.buffer in use now."},
};

struct route {
    _Atomic(const char *) name; /* NULL: free */
    atomic_uint_fast64_t classes[CLASSES];
    atomic_uint_fast64_t buckets[BUCKETS + 1]; /* each request in one; summed up when rendered */
    atomic_uint_fast64_t sum_us;
};

struct loop_metrics {
    _Alignas(CACHE_LINE) atomic_uint_fast64_t counters[METRIC_COUNTER_COUNT];
    atomic_int_fast64_t gauges[METRIC_GAUGE_COUNT];
    atomic_uint route_count;
    struct route routes[ROUTE_SLOTS];
    struct route other;
};

struct metrics {
    unsigned loop_count;
    struct loop_metrics *loops;
};

struct metrics *metrics_new(unsigned loops)
{
    struct metrics *m = xcalloc(1, sizeof(*m));
    m->loop_count = loops > 0 ? loops : 1;
    size_t bytes = m->loop_count * sizeof(struct loop_metrics);
    m->loops = aligned_alloc(CACHE_LINE, bytes);
    if (m->loops == NULL)
        abort();
    memset(m->loops, 0, bytes);
    return m;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    free(metrics->loops);
    free(metrics);
}

static struct loop_metrics *of_loop(struct metrics *m, unsigned loop_index)
{
    return &m->loops[loop_index < m->loop_count ? loop_index : 0];
}

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static uint64_t get(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void metrics_add(struct metrics *metrics, unsigned loop_index, enum metric_counter counter, uint64_t n)
{
    add(&of_loop(metrics, loop_index)->counters[counter], n);
}

void metrics_gauge_add(struct metrics *metrics, unsigned loop_index, enum metric_gauge gauge, int64_t delta)
{
    atomic_fetch_add_explicit(&of_loop(metrics, loop_index)->gauges[gauge], delta, memory_order_relaxed);
}

/* By the constant's address: the same name may come from two addresses, which the rendering puts together. */
static struct route *find_route(struct loop_metrics *lm, const char *name)
{
    size_t slot = (size_t)(((uintptr_t)name * 0x9e3779b97f4a7c15ull) >> 57); /* the upper 7 bits */
    _Static_assert(ROUTE_SLOTS == 1u << 7, "find_route's shift");
    for (;;) {
        struct route *route = &lm->routes[slot];
        const char *found = atomic_load_explicit(&route->name, memory_order_acquire);
        if (found == name)
            return route;
        if (found == NULL) {
            if (atomic_fetch_add_explicit(&lm->route_count, 1, memory_order_relaxed) >= ROUTES_MAX) {
                atomic_fetch_sub_explicit(&lm->route_count, 1, memory_order_relaxed);
                return &lm->other;
            }
            if (atomic_compare_exchange_strong(&route->name, &found, name))
                return route;
            atomic_fetch_sub_explicit(&lm->route_count, 1, memory_order_relaxed);
            if (found == name)
                return route;
        }
        slot = (slot + 1) % ROUTE_SLOTS;
    }
}

static size_t bucket_of(uint64_t us)
{
    size_t i = 0;
    while (i < BUCKETS && us > bucket_us[i])
        i++;
    return i;
}

void metrics_request(struct metrics *metrics, unsigned loop_index, const char *route, int status, uint64_t duration_us)
{
    struct route *r = find_route(of_loop(metrics, loop_index), route);
    add(&r->classes[status >= 100 && status < 600 ? (size_t)status / 100 - 1 : CLASSES - 1], 1);
    add(&r->buckets[bucket_of(duration_us)], 1);
    add(&r->sum_us, duration_us);
}

/* ---- rendering -----------------------------------------------------------------------------------------------------
 */

struct route_sum {
    const char *name;
    uint64_t classes[CLASSES];
    uint64_t buckets[BUCKETS + 1];
    uint64_t sum_us;
};

struct summary {
    struct route_sum routes[ROUTE_SLOTS + 1];
    size_t count;
};

static void add_to_summary(struct summary *s, const char *name, const struct route *route)
{
    size_t i = 0;
    while (i < s->count && strcmp(s->routes[i].name, name) != 0)
        i++;
    if (i > ROUTE_SLOTS)
        return;
    if (i == s->count)
        s->routes[s->count++].name = name;
    struct route_sum *sum = &s->routes[i];
    for (size_t c = 0; c < CLASSES; c++)
        sum->classes[c] += get(&route->classes[c]);
    for (size_t b = 0; b <= BUCKETS; b++)
        sum->buckets[b] += get(&route->buckets[b]);
    sum->sum_us += get(&route->sum_us);
}

static struct summary *summarise(const struct metrics *m)
{
    struct summary *s = xcalloc(1, sizeof(*s));
    for (unsigned l = 0; l < m->loop_count; l++) {
        const struct loop_metrics *lm = &m->loops[l];
        for (size_t i = 0; i < ROUTE_SLOTS; i++) {
            const char *name = atomic_load_explicit(&lm->routes[i].name, memory_order_acquire);
            if (name != NULL)
                add_to_summary(s, name, &lm->routes[i]);
        }
        if (atomic_load_explicit(&lm->route_count, memory_order_relaxed) >= ROUTES_MAX)
            add_to_summary(s, "other", &lm->other);
    }
    return s;
}

static void append_head(struct strbuf *out, const char *name, const char *help, const char *type)
{
    strbuf_append_format(out, "# HELP minato_%s %s\n# TYPE minato_%s %s\n", name, help, name, type);
}

static void append_seconds(struct strbuf *out, uint64_t us)
{
    strbuf_append_format(out, "%llu.%06llu\n", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
}

static void render_requests(const struct summary *s, struct strbuf *out)
{
    append_head(out, "requests_total", "Requests answered, by route and status class.", "counter");
    for (size_t i = 0; i < s->count; i++)
        for (size_t c = 0; c < CLASSES; c++)
            if (s->routes[i].classes[c] > 0)
                strbuf_append_format(out, "minato_requests_total{route=\"%s\",class=\"%s\"} %llu\n", s->routes[i].name,
                                     class_names[c], (unsigned long long)s->routes[i].classes[c]);
    append_head(out, "request_duration_seconds", "From a request's head to the end of its answer, by route.",
                "histogram");
    for (size_t i = 0; i < s->count; i++) {
        const struct route_sum *r = &s->routes[i];
        uint64_t total = 0;
        for (size_t b = 0; b <= BUCKETS; b++) {
            total += r->buckets[b];
            strbuf_append_format(out, "minato_request_duration_seconds_bucket{route=\"%s\",le=\"%s\"} %llu\n", r->name,
                                 bucket_names[b], (unsigned long long)total);
        }
        strbuf_append_format(out, "minato_request_duration_seconds_sum{route=\"%s\"} ", r->name);
        append_seconds(out, r->sum_us);
        strbuf_append_format(out, "minato_request_duration_seconds_count{route=\"%s\"} %llu\n", r->name,
                             (unsigned long long)total);
    }
}

static void render_counters(const struct metrics *m, struct strbuf *out)
{
    for (size_t c = 0; c < METRIC_COUNTER_COUNT; c++) {
        uint64_t sum = 0;
        for (unsigned l = 0; l < m->loop_count; l++)
            sum += get(&m->loops[l].counters[c]);
        append_head(out, counter_texts[c].name, counter_texts[c].help, "counter");
        strbuf_append_format(out, "minato_%s %llu\n", counter_texts[c].name, (unsigned long long)sum);
    }
    for (size_t g = 0; g < METRIC_GAUGE_COUNT; g++) {
        int64_t sum = 0;
        for (unsigned l = 0; l < m->loop_count; l++)
            sum += atomic_load_explicit(&m->loops[l].gauges[g], memory_order_relaxed);
        append_head(out, gauge_texts[g].name, gauge_texts[g].help, "gauge");
        strbuf_append_format(out, "minato_%s %lld\n", gauge_texts[g].name, (long long)sum);
    }
}

void metrics_render(const struct metrics *metrics, struct strbuf *out)
{
    append_head(out, "build_info", "The version that runs; the value is 1.", "gauge");
    strbuf_append(out, SLICE("minato_build_info{version=\"" MINATO_VERSION "\"} 1\n"));
    metrics_int_render_process(out);
    render_counters(metrics, out);
    struct summary *s = summarise(metrics);
    render_requests(s, out);
    free(s);
}
