/* SPDX-License-Identifier: Apache-2.0
 *
 * What was done, how long it took and what went wrong, in all and second by second.
 */
#ifndef MINATO_BENCH_STATS_H
#define MINATO_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "histogram.h"

enum operation {
    OP_PING,
    OP_TOKEN,
    OP_HEAD_MANIFEST,
    OP_GET_MANIFEST,
    OP_HEAD_BLOB,
    OP_GET_BLOB,
    OP_POST_UPLOAD,
    OP_PATCH_UPLOAD,
    OP_PUT_UPLOAD,
    OP_PUT_MANIFEST,
    OP_MOUNT,
    OP_DELETE,
    OP_LIST_TAGS,
    OP_COUNT
};

/* From FAILURE_STATUS on, a failure is the status of an answer that should have had another. */
enum failure {
    FAILURE_NONE,
    FAILURE_CONNECT,
    FAILURE_TIMEOUT,
    FAILURE_RESET,
    FAILURE_WRONG_DIGEST,
    FAILURE_TRUNCATED,
    FAILURE_WRONG_SIZE,
    FAILURE_WRONG_ANSWER,
    FAILURE_STATUS = 100,
    FAILURE_LIMIT = 1000
};

/* Counts and latencies are of what succeeded; bytes are those of bodies. */
struct tally {
    uint64_t count;
    uint64_t bytes_in;
    uint64_t bytes_out;
    struct histogram latency;
    uint64_t errors[FAILURE_LIMIT];
};

struct second {
    uint64_t jobs;
    uint64_t requests;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t errors; /* of requests */
    uint64_t p50_us;
    uint64_t p99_us;
    double cpu_percent;
    uint64_t rss_bytes;
};

struct stats {
    uint64_t begun_ns;
    uint64_t ended_ns;
    struct tally operations[OP_COUNT];
    struct tally jobs;
    uint64_t unfinished; /* of the jobs' errors those that are no request's */
    uint64_t errors;     /* of requests, and unfinished */
    struct second *seconds;
    size_t second_count;
    size_t second_capacity;
    struct second current;
    struct histogram current_latency;
    int pid; /* 0: no process is sampled */
    uint64_t cpu_ticks;
    uint64_t sampled_ns;
};

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Large: lives on the heap. */
struct stats *stats_new(int pid);
void stats_free(struct stats *stats);
/* Forgets what was counted: everything from `at_ns` on counts. */
void stats_begin(struct stats *stats, uint64_t at_ns);
void stats_end(struct stats *stats, uint64_t at_ns);
void stats_add_request(struct stats *stats, enum operation operation, uint64_t latency_ns, uint64_t in, uint64_t out,
                       enum failure failure);
void stats_add_job(struct stats *stats, uint64_t latency_ns, uint64_t in, uint64_t out, enum failure failure);
/* A job whose end was not waited for, or that could not even begin. */
void stats_add_unfinished_job(struct stats *stats);
/* Bytes as they come and go, for the seconds; requests tell theirs when they end. */
void stats_add_traffic(struct stats *stats, uint64_t in, uint64_t out);
/* True when a second ended. */
bool stats_tick(struct stats *stats, uint64_t at_ns);
uint64_t stats_second_ends_ns(const struct stats *stats);

double stats_seconds(const struct stats *stats);
uint64_t stats_requests(const struct stats *stats);
/* Of one failure. */
uint64_t stats_errors_of(const struct stats *stats, enum failure failure);
uint64_t tally_errors(const struct tally *tally);

const char *operation_name(enum operation operation);
#define FAILURE_NAME_SIZE 16
/* "status_503"; into the caller's buffer, which is returned. */
const char *failure_name(enum failure failure, char buffer[FAILURE_NAME_SIZE]);

#endif
