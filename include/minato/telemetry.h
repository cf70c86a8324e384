/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operator sees: structured log lines and metrics. Any thread. Nothing here blocks an event loop: lines go
 * to a bounded buffer that the pool writes out; when it is full, access lines are dropped and counted, never waited
 * for.
 */
#ifndef MINATO_TELEMETRY_H
#define MINATO_TELEMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "minato/async.h"
#include "minato/config.h"
#include "minato/slice.h"

/* ---- log ---- */

struct log;

enum log_field_kind { FIELD_KIND_TEXT, FIELD_KIND_NUMBER };

struct log_field {
    struct slice name; /* `,"name":`, as a line of JSON has it: log_line.c is hot */
    enum log_field_kind kind;
    struct slice text;
    uint64_t number;
};

#define FIELD_NAME(name) SLICE(",\"" name "\":")
#define FIELD_STR(field_name, slice_value)                                                                             \
    ((struct log_field){.name = FIELD_NAME(field_name), .kind = FIELD_KIND_TEXT, .text = (slice_value)})
#define FIELD_CSTR(field_name, cstr)                                                                                   \
    ((struct log_field){.name = FIELD_NAME(field_name), .kind = FIELD_KIND_TEXT, .text = slice_from_cstr(cstr)})
#define FIELD_NUM(field_name, value)                                                                                   \
    ((struct log_field){.name = FIELD_NAME(field_name), .kind = FIELD_KIND_NUMBER, .number = (uint64_t)(value)})
#define FIELD_RESULT(r) FIELD_CSTR("result", result_name(r))

/* Writes to file descriptor `fd` (1: standard output), from a thread-safe buffer of at most `buffer_bytes` (64 KiB at
 * least). Until log_attach and after log_detach each line is written at once by the caller (start-up, tests). The
 * process must ignore SIGPIPE. */
struct log *log_new(int fd, enum config_log_level level, enum config_log_format format, size_t buffer_bytes);
/* From now on lines are written out by `pool`; `loop` runs the flush timer. */
void log_attach(struct log *log, struct loop *loop, struct pool *pool);
/* Writes out what is buffered. After `loop` has ended, before it and the pool are freed; runs what the loop still has
 * to deliver. Harmless when not attached. */
void log_detach(struct log *log);
/* Writes out what is buffered (for at most a second: a reader may have stopped), then frees. Accepts NULL. */
void log_free(struct log *log);
bool log_is_enabled(const struct log *log, enum config_log_level level);

/* One line: time, level, event, fields. `event` is a constant: "storage.read_failed". Empty texts are left out.
 * Control characters and invalid UTF-8 in texts are escaped. A NULL log swallows it. */
void log_fields(struct log *log, enum config_log_level level, const char *event, const struct log_field *fields,
                size_t count);
#define log_event(log, level, event, ...)                                                                              \
    log_fields((log), (level), (event), (const struct log_field[]){__VA_ARGS__},                                       \
               sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
/* Lines dropped because the buffer was full. */
uint64_t log_dropped(const struct log *log);

/* ---- metrics ---- */

struct metrics;

enum metric_counter {
    METRIC_CONNECTIONS_ACCEPTED,
    METRIC_CONNECTIONS_REFUSED,   /* over the limit */
    METRIC_PROXY_HEADERS_REFUSED, /* missing, malformed, or from an address that is not trusted */
    METRIC_TLS_HANDSHAKES_FAILED,
    METRIC_HTTP2_FLOODS,  /* connections ended with ENHANCE_YOUR_CALM */
    METRIC_REQUEST_BYTES, /* of bodies */
    METRIC_RESPONSE_BYTES,
    METRIC_AUTH_FAILURES,
    METRIC_AUTH_REFUSED_BUSY,
    METRIC_AUTH_RELOADS_FAILED, /* a changed password file was broken, the old one stays */
    METRIC_UPLOADS_STARTED,
    METRIC_UPLOADS_COMPLETED,
    METRIC_UPLOADS_FAILED,
    METRIC_MANIFESTS_PUT,
    METRIC_STORAGE_ERRORS,
    METRIC_INDEX_HITS,
    METRIC_INDEX_MISSES,
    METRIC_INDEX_UNREACHABLE, /* look-ups that the store answered because the index could not be asked */
    METRIC_LOG_LINES_DROPPED,
    METRIC_COUNTER_COUNT
};

enum metric_gauge { METRIC_CONNECTIONS_OPEN, METRIC_REQUESTS_RUNNING, METRIC_PAGES_IN_USE_BYTES, METRIC_GAUGE_COUNT };

/* Atomics, any thread; each loop writes its own cache lines (`loop_index`), readers sum. */
struct metrics *metrics_new(unsigned loops);
void metrics_free(struct metrics *metrics);
void metrics_add(struct metrics *metrics, unsigned loop_index, enum metric_counter counter, uint64_t n);
void metrics_gauge_add(struct metrics *metrics, unsigned loop_index, enum metric_gauge gauge, int64_t delta);
/* One answered request: counted by route and status class, its duration into a histogram by route. `route` is one of
 * the constants of the route table (any over 64 different ones are counted as "other"). */
void metrics_request(struct metrics *metrics, unsigned loop_index, const char *route, int status, uint64_t duration_us);
/* The Prometheus text format, version 0.0.4, all names with prefix "minato_". Reads /proc: about 0.1 ms. */
void metrics_render(const struct metrics *metrics, struct strbuf *out);

#endif
