/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /metrics for Prometheus, on a listener of its own: it tells more than the public should know. On loop 0.
 */
#include "server_int.h"

#define PAGE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct metrics_page {
    struct server_loop *sl;
    struct http_request *req;
    struct strbuf text;
};

/* Pages come and go too often to count each: the gauge is set when somebody looks. */
static void report_pages(struct server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++) {
        struct server_loop *sl = &server->loops[i];
        size_t bytes = pages_in_use_bytes(sl->loop);
        metrics_gauge_add(server->metrics, i, METRIC_PAGES_IN_USE_BYTES, (int64_t)bytes - (int64_t)sl->pages_reported);
        sl->pages_reported = bytes;
    }
}

/* The log is there before the metrics are, and counts for itself. */
static void report_log(struct server_loop *sl)
{
    uint64_t dropped = log_dropped(sl->server->log);
    metrics_add(sl->server->metrics, loop_index(sl->loop), METRIC_LOG_LINES_DROPPED, dropped - sl->log_drops_reported);
    sl->log_drops_reported = dropped;
}

static enum flow_next reply_page(struct flow *f)
{
    struct metrics_page *page = flow_owner(f);
    struct slice method = http_request_method(page->req);
    bool is_head = slice_equal(method, SLICE("HEAD"));
    const struct http_header plain = {SLICE("content-type"), SLICE("text/plain; charset=utf-8")};
    if (!slice_equal(http_request_path(page->req), SLICE("/metrics")))
        return flow_await(
            f, http_reply_bytes(page->req, 404, &plain, 1, SLICE("the metrics are at /metrics\n"), flow_done(f)));
    if (!is_head && !slice_equal(method, SLICE("GET"))) {
        const struct http_header refused[] = {plain, {SLICE("allow"), SLICE("GET, HEAD")}};
        return flow_await(f,
                          http_reply_bytes(page->req, 405, refused, 2, SLICE("GET or HEAD, please\n"), flow_done(f)));
    }
    report_pages(page->sl->server);
    report_log(page->sl);
    metrics_render(page->sl->server->metrics, &page->text);
    struct slice text = strbuf_slice(&page->text);
    const struct http_header header = {SLICE("content-type"), SLICE("text/plain; version=0.0.4; charset=utf-8")};
    if (is_head)
        return flow_await(f, http_reply_head(page->req, 200, &header, 1, text.len, flow_done(f)));
    return flow_await(f, http_reply_bytes(page->req, 200, &header, 1, text, flow_done(f)));
}

static const struct flow_step page_steps[] = {{"reply", reply_page}};
static const struct flow_program page_program = {"metrics_page", FLOW_STEPS(page_steps)};

static void on_gone(void *data)
{
    flow_cancel(data);
}

static void on_end(void *data, enum result outcome)
{
    struct metrics_page *page = data;
    (void)outcome; /* nobody to tell */
    struct server_loop *sl = page->sl;
    strbuf_done(&page->text);
    http_request_done(page->req);
    server_int_flow_ended(sl);
}

void server_int_handle_metrics(void *data, struct http_request *req)
{
    struct server_loop *sl = data;
    struct flow *f = flow_new(sl->loop);
    struct metrics_page *page = ARENA_NEW(flow_arena(f), struct metrics_page);
    page->sl = sl;
    page->req = req;
    strbuf_init(&page->text, PAGE_BYTES_MAX);
    server_int_flow_begun(sl);
    http_request_on_gone(req, on_gone, f);
    flow_start(f, &page_program, page, on_end, page);
}
