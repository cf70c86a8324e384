/* SPDX-License-Identifier: Apache-2.0
 *
 * Progress line and table.
 */
#include "output.h"

#include <inttypes.h>

#define MIB 1048576.0
#define CLEAR_LINE "\r\033[K"

void output_progress(FILE *out, const struct stats *stats, const char *phase, unsigned busy)
{
    if (stats->second_count == 0) {
        return;
    }
    const struct second *last = &stats->seconds[stats->second_count - 1];
    fprintf(out,
            CLEAR_LINE "%s %4zu s  %" PRIu64 " jobs/s  %" PRIu64
                       " req/s  in %.1f out %.1f MiB/s  p99 %.1f ms  %u busy  %" PRIu64 " errors",
            phase, stats->second_count, last->jobs, last->requests, (double)last->bytes_in / MIB,
            (double)last->bytes_out / MIB, (double)last->p99_us / 1000, busy, stats->errors);
    if (last->rss_bytes > 0) {
        fprintf(out, "  server %.0f %% %.0f MiB", last->cpu_percent, (double)last->rss_bytes / MIB);
    }
    fflush(out);
}

void output_progress_end(FILE *out)
{
    fputs(CLEAR_LINE, out);
    fflush(out);
}

static double percentile_ms(const struct tally *tally, double fraction)
{
    return (double)histogram_percentile(&tally->latency, fraction) / 1000;
}

static void print_row(FILE *out, const char *name, const struct tally *tally, double seconds)
{
    fprintf(out, "%-14s %9" PRIu64 " %9.1f %10.1f %10.1f %9.2f %9.2f %9.2f %9.2f %9.2f %7" PRIu64 "\n", name,
            tally->count, (double)tally->count / seconds, (double)tally->bytes_in / MIB, (double)tally->bytes_out / MIB,
            percentile_ms(tally, 0.5), percentile_ms(tally, 0.9), percentile_ms(tally, 0.99),
            percentile_ms(tally, 0.999), (double)tally->latency.max_us / 1000, tally_errors(tally));
}

static void print_errors(FILE *out, const struct stats *stats)
{
    char name[FAILURE_NAME_SIZE];
    for (int i = FAILURE_NONE + 1; i < FAILURE_LIMIT; i++) {
        for (int operation = 0; operation < OP_COUNT; operation++) {
            uint64_t count = stats->operations[operation].errors[i];
            if (count > 0) {
                fprintf(out, "error: %s %s: %" PRIu64 "\n", operation_name((enum operation)operation),
                        failure_name((enum failure)i, name), count);
            }
        }
        uint64_t jobs = stats->jobs.errors[i];
        if (jobs > 0) {
            fprintf(out, "error: jobs that ended with %s: %" PRIu64 "\n", failure_name((enum failure)i, name), jobs);
        }
    }
}

static void print_process(FILE *out, const struct stats *stats)
{
    double cpu = 0;
    uint64_t rss = 0;
    for (size_t i = 0; i < stats->second_count; i++) {
        cpu += stats->seconds[i].cpu_percent / (double)stats->second_count;
        rss = stats->seconds[i].rss_bytes > rss ? stats->seconds[i].rss_bytes : rss;
    }
    if (stats->pid != 0) {
        fprintf(out, "server: %.1f %% CPU in the mean of the seconds, %.1f MiB RSS at most\n", cpu, (double)rss / MIB);
    }
}

void output_table(FILE *out, const struct options *options, const struct stats *stats)
{
    double seconds = stats_seconds(stats);
    fprintf(out, "%s at %s: %u clients, ", scenario_name(options->scenario), options->url, options->clients);
    if (options->rate > 0) {
        fprintf(out, "open loop at %g jobs/s, ", options->rate);
    } else {
        fputs("closed loop, ", out);
    }
    fprintf(out, "seed %" PRIu64 ", %.1f s\n\n", options->seed, seconds);
    fprintf(out, "%-14s %9s %9s %10s %10s %9s %9s %9s %9s %9s %7s\n", "", "count", "1/s", "MiB in", "MiB out", "p50 ms",
            "p90 ms", "p99 ms", "p99.9 ms", "max ms", "errors");
    for (int i = 0; i < OP_COUNT; i++) {
        const struct tally *tally = &stats->operations[i];
        if (tally->count + tally_errors(tally) > 0) {
            print_row(out, operation_name((enum operation)i), tally, seconds);
        }
    }
    print_row(out, "jobs", &stats->jobs, seconds);
    fputc('\n', out);
    print_process(out, stats);
    print_errors(out, stats);
}
