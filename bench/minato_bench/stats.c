/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting; nothing here knows HTTP. The seconds are kept for as long as the run is: 72 bytes each.
 */
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "must.h"
#include "process.h"

#define SECOND_NS 1000000000U

static const char *const operation_names[OP_COUNT] = {
    [OP_PING] = "ping",
    [OP_TOKEN] = "token",
    [OP_HEAD_MANIFEST] = "head_manifest",
    [OP_GET_MANIFEST] = "get_manifest",
    [OP_HEAD_BLOB] = "head_blob",
    [OP_GET_BLOB] = "get_blob",
    [OP_POST_UPLOAD] = "post_upload",
    [OP_PATCH_UPLOAD] = "patch_upload",
    [OP_PUT_UPLOAD] = "put_upload",
    [OP_PUT_MANIFEST] = "put_manifest",
    [OP_MOUNT] = "mount",
    [OP_DELETE] = "delete",
    [OP_LIST_TAGS] = "list_tags",
};

static const char *const failure_names[] = {
    [FAILURE_NONE] = "none",
    [FAILURE_CONNECT] = "connect",
    [FAILURE_TIMEOUT] = "timeout",
    [FAILURE_RESET] = "reset",
    [FAILURE_WRONG_DIGEST] = "wrong_digest",
    [FAILURE_TRUNCATED] = "truncated",
    [FAILURE_WRONG_SIZE] = "wrong_size",
    [FAILURE_WRONG_ANSWER] = "wrong_answer",
};

const char *operation_name(enum operation operation)
{
    return operation_names[operation];
}

const char *failure_name(enum failure failure, char buffer[FAILURE_NAME_SIZE])
{
    if (failure >= FAILURE_STATUS) {
        snprintf(buffer, FAILURE_NAME_SIZE, "status_%d", (int)failure);
    } else {
        snprintf(buffer, FAILURE_NAME_SIZE, "%s", failure_names[failure]);
    }
    return buffer;
}

struct stats *stats_new(int pid)
{
    struct stats *stats = must(calloc(1, sizeof(*stats)));
    stats->pid = pid;
    return stats;
}

void stats_free(struct stats *stats)
{
    if (stats != NULL) {
        free(stats->seconds);
        free(stats);
    }
}

void stats_begin(struct stats *stats, uint64_t at_ns)
{
    struct process_use use = {0};
    int pid = stats->pid;
    free(stats->seconds);
    memset(stats, 0, sizeof(*stats));
    stats->pid = pid;
    stats->begun_ns = at_ns;
    stats->sampled_ns = at_ns;
    if (pid != 0 && process_read(pid, &use)) {
        stats->cpu_ticks = use.cpu_ticks;
    }
}

static void add(struct tally *tally, uint64_t latency_ns, uint64_t in, uint64_t out, enum failure failure)
{
    tally->bytes_in += in;
    tally->bytes_out += out;
    if (failure != FAILURE_NONE) {
        tally->errors[failure]++;
        return;
    }
    tally->count++;
    histogram_record(&tally->latency, latency_ns / 1000);
}

void stats_add_request(struct stats *stats, enum operation operation, uint64_t latency_ns, uint64_t in, uint64_t out,
                       enum failure failure)
{
    add(&stats->operations[operation], latency_ns, in, out, failure);
    if (failure != FAILURE_NONE) {
        stats->current.errors++;
        stats->errors++;
        return;
    }
    stats->current.requests++;
    histogram_record(&stats->current_latency, latency_ns / 1000);
}

void stats_add_job(struct stats *stats, uint64_t latency_ns, uint64_t in, uint64_t out, enum failure failure)
{
    add(&stats->jobs, latency_ns, in, out, failure);
    stats->current.jobs += failure == FAILURE_NONE;
}

void stats_add_unfinished_job(struct stats *stats)
{
    stats->jobs.errors[FAILURE_TIMEOUT]++;
    stats->unfinished++;
    stats->errors++;
}

void stats_add_traffic(struct stats *stats, uint64_t in, uint64_t out)
{
    stats->current.bytes_in += in;
    stats->current.bytes_out += out;
}

static void sample_process(struct stats *stats, uint64_t at_ns)
{
    struct process_use use;
    if (stats->pid == 0 || !process_read(stats->pid, &use)) {
        return;
    }
    double seconds = (double)(at_ns - stats->sampled_ns) / SECOND_NS;
    double used = (double)(use.cpu_ticks - stats->cpu_ticks) / (double)sysconf(_SC_CLK_TCK);
    stats->current.cpu_percent = seconds > 0 ? 100 * used / seconds : 0;
    stats->current.rss_bytes = use.rss_bytes;
    stats->cpu_ticks = use.cpu_ticks;
    stats->sampled_ns = at_ns;
}

static void close_second(struct stats *stats, uint64_t at_ns)
{
    if (stats->second_count == stats->second_capacity) {
        stats->second_capacity = stats->second_capacity == 0 ? 64 : 2 * stats->second_capacity;
        stats->seconds = must(realloc(stats->seconds, stats->second_capacity * sizeof(*stats->seconds)));
    }
    stats->current.p50_us = histogram_percentile(&stats->current_latency, 0.5);
    stats->current.p99_us = histogram_percentile(&stats->current_latency, 0.99);
    sample_process(stats, at_ns);
    stats->seconds[stats->second_count++] = stats->current;
    memset(&stats->current, 0, sizeof(stats->current));
    memset(&stats->current_latency, 0, sizeof(stats->current_latency));
}

uint64_t stats_second_ends_ns(const struct stats *stats)
{
    return stats->begun_ns + (stats->second_count + 1) * SECOND_NS;
}

bool stats_tick(struct stats *stats, uint64_t at_ns)
{
    bool has_ended = false;
    while (at_ns >= stats_second_ends_ns(stats)) {
        close_second(stats, at_ns);
        has_ended = true;
    }
    return has_ended;
}

/* What is left of a second is a second too if anything happened in it. */
void stats_end(struct stats *stats, uint64_t at_ns)
{
    stats_tick(stats, at_ns);
    const struct second *rest = &stats->current;
    if (rest->jobs + rest->requests + rest->errors + rest->bytes_in + rest->bytes_out > 0 || stats->second_count == 0) {
        close_second(stats, at_ns);
    }
    stats->ended_ns = at_ns;
}

double stats_seconds(const struct stats *stats)
{
    return (double)(stats->ended_ns - stats->begun_ns) / SECOND_NS;
}

uint64_t stats_requests(const struct stats *stats)
{
    uint64_t count = 0;
    for (int i = 0; i < OP_COUNT; i++) {
        count += stats->operations[i].count;
    }
    return count;
}

uint64_t stats_errors_of(const struct stats *stats, enum failure failure)
{
    uint64_t count = failure == FAILURE_TIMEOUT ? stats->unfinished : 0;
    for (int i = 0; i < OP_COUNT; i++) {
        count += stats->operations[i].errors[failure];
    }
    return count;
}

uint64_t tally_errors(const struct tally *tally)
{
    uint64_t count = 0;
    for (int i = FAILURE_NONE + 1; i < FAILURE_LIMIT; i++) {
        count += tally->errors[i];
    }
    return count;
}
