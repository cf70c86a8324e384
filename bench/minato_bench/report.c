/* SPDX-License-Identifier: Apache-2.0
 *
 * HTML with its plots inline: no script, no library, nothing to load.
 */
#include "report.h"

#include <inttypes.h>

#include "chart.h"

#define MIB 1048576.0
#define LABELS_A_CHART 10

/* Up to 99.99 %, each step as wide as the nines it adds. */
static const double fractions[] = {0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1};
#define FRACTIONS (sizeof(fractions) / sizeof(fractions[0]))

static void write_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static bool is_used(const struct tally *tally)
{
    return tally->count + tally_errors(tally) > 0;
}

/* ---- tables ---- */

static void write_row(FILE *out, const char *name, const struct tally *tally, double seconds)
{
    static const double columns[] = {0.5, 0.9, 0.99, 0.999, 1};
    fprintf(out, "<tr><th>%s</th><td>%" PRIu64 "</td><td>%.1f</td><td>%.1f</td><td>%.1f</td>", name, tally->count,
            (double)tally->count / seconds, (double)tally->bytes_in / MIB, (double)tally->bytes_out / MIB);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        fprintf(out, "<td>%.2f</td>", (double)histogram_percentile(&tally->latency, columns[i]) / 1000);
    }
    fprintf(out, "<td>%" PRIu64 "</td></tr>\n", tally_errors(tally));
}

static void write_operations(FILE *out, const struct stats *stats)
{
    fputs("<table><tr><th></th><td>count</td><td>1/s</td><td>MiB in</td><td>MiB out</td><td>p50 ms</td><td>p90 ms</td>"
          "<td>p99 ms</td><td>p99.9 ms</td><td>max ms</td><td>errors</td></tr>\n",
          out);
    for (int i = 0; i < OP_COUNT; i++) {
        if (is_used(&stats->operations[i])) {
            write_row(out, operation_name((enum operation)i), &stats->operations[i], stats_seconds(stats));
        }
    }
    write_row(out, "jobs", &stats->jobs, stats_seconds(stats));
    fputs("</table>\n", out);
}

static void write_errors(FILE *out, const struct stats *stats)
{
    char name[FAILURE_NAME_SIZE];
    fputs("<h2>Errors</h2>\n<table>", out);
    for (int i = FAILURE_NONE + 1; i < FAILURE_LIMIT; i++) {
        for (int operation = 0; operation < OP_COUNT; operation++) {
            uint64_t count = stats->operations[operation].errors[i];
            if (count > 0) {
                fprintf(out, "<tr><th>%s</th><td>%s</td><td>%" PRIu64 "</td></tr>\n",
                        operation_name((enum operation)operation), failure_name((enum failure)i, name), count);
            }
        }
        if (stats->jobs.errors[i] > 0) {
            fprintf(out, "<tr><th>jobs</th><td>%s</td><td>%" PRIu64 "</td></tr>\n", failure_name((enum failure)i, name),
                    stats->jobs.errors[i]);
        }
    }
    fputs(stats->errors == 0 ? "<tr><td>none</td></tr></table>\n" : "</table>\n", out);
}

/* ---- plots ---- */

struct latencies {
    const struct stats *stats;
    enum operation operations[OP_COUNT];
};

static double latency_value(const void *data, unsigned line, size_t point)
{
    const struct latencies *latencies = data;
    const struct tally *tally = &latencies->stats->operations[latencies->operations[line]];
    return (double)histogram_percentile(&tally->latency, fractions[point]);
}

static bool latency_label(const void *data, size_t point, char *ret_label, size_t size)
{
    (void)data;
    snprintf(ret_label, size, "%.10g %%", 100 * fractions[point]);
    return true;
}

static void draw_latencies(FILE *out, const struct stats *stats)
{
    struct latencies latencies = {.stats = stats};
    struct chart chart = {.title = "Latency by percentile, us",
                          .is_log = true,
                          .points = FRACTIONS,
                          .value = latency_value,
                          .label = latency_label,
                          .data = &latencies};
    for (int i = 0; i < OP_COUNT; i++) {
        if (stats->operations[i].count > 0) {
            latencies.operations[chart.line_count] = (enum operation)i;
            chart.names[chart.line_count++] = operation_name((enum operation)i);
        }
    }
    if (chart.line_count > 0) {
        chart_draw(out, &chart);
    }
}

static bool second_label(const void *data, size_t point, char *ret_label, size_t size)
{
    const struct stats *stats = data;
    size_t distance = stats->second_count / LABELS_A_CHART + 1;
    snprintf(ret_label, size, "%zu s", point + 1);
    return point % distance == 0;
}

static double work_value(const void *data, unsigned line, size_t point)
{
    const struct second *second = &((const struct stats *)data)->seconds[point];
    return (double)(line == 0 ? second->requests : second->jobs);
}

static double traffic_value(const void *data, unsigned line, size_t point)
{
    const struct second *second = &((const struct stats *)data)->seconds[point];
    return (double)(line == 0 ? second->bytes_in : second->bytes_out) / MIB;
}

static double second_latency_value(const void *data, unsigned line, size_t point)
{
    const struct second *second = &((const struct stats *)data)->seconds[point];
    return (double)(line == 0 ? second->p50_us : second->p99_us);
}

static double error_value(const void *data, unsigned line, size_t point)
{
    (void)line;
    return (double)((const struct stats *)data)->seconds[point].errors;
}

static double cpu_value(const void *data, unsigned line, size_t point)
{
    (void)line;
    return ((const struct stats *)data)->seconds[point].cpu_percent;
}

static double rss_value(const void *data, unsigned line, size_t point)
{
    (void)line;
    return (double)((const struct stats *)data)->seconds[point].rss_bytes / MIB;
}

static void draw_seconds(FILE *out, const struct stats *stats)
{
    const struct chart charts[] = {
        {.title = "Throughput, a second", .line_count = 2, .names = {"requests", "jobs"}, .value = work_value},
        {.title = "Bytes, MiB a second", .line_count = 2, .names = {"in", "out"}, .value = traffic_value},
        {.title = "Latency of requests by second, us",
         .is_log = true,
         .line_count = 2,
         .names = {"p50", "p99"},
         .value = second_latency_value},
        {.title = "Errors of requests, a second", .line_count = 1, .names = {"errors"}, .value = error_value},
        {.title = "Server: CPU, % of a core", .line_count = 1, .names = {"user and system"}, .value = cpu_value},
        {.title = "Server: memory, MiB", .line_count = 1, .names = {"RSS"}, .value = rss_value},
    };
    size_t of_requests = 4;
    size_t count = stats->pid != 0 ? sizeof(charts) / sizeof(charts[0]) : of_requests;
    for (size_t i = 0; i < count; i++) {
        struct chart chart = charts[i];
        chart.points = stats->second_count;
        chart.label = second_label;
        chart.data = stats;
        chart_draw(out, &chart);
    }
}

/* ---- the page ---- */

static void write_head(FILE *out, const struct stats *stats, const struct options *options)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>minato-bench</title>\n"
          "<style>body{font:14px sans-serif;max-width:900px;margin:2em auto;color:#222}h2{font-size:15px;margin:1.5em "
          "0 0}"
          "table{border-collapse:collapse}td,th{padding:2px 10px;text-align:right;border-bottom:1px solid #eee}"
          "th{text-align:left}text{font-size:11px;fill:#555}</style></head><body>\n",
          out);
    fprintf(out, "<h1>minato-bench %s</h1>\n<p>", scenario_name(options->scenario));
    write_text(out, options->url);
    fprintf(out, ", %u clients, ", options->clients);
    if (options->rate > 0) {
        fprintf(out, "open loop at %g jobs a second", options->rate);
    } else {
        fputs("closed loop", out);
    }
    fprintf(out, ", seed %" PRIu64 ", %.1f s, minato-bench " MINATO_VERSION "</p>\n", options->seed,
            stats_seconds(stats));
}

bool report_write(const struct stats *stats, const struct options *options, FILE *out)
{
    write_head(out, stats, options);
    write_operations(out, stats);
    write_errors(out, stats);
    draw_latencies(out, stats);
    draw_seconds(out, stats);
    fputs("</body></html>\n", out);
    return fflush(out) == 0 && ferror(out) == 0;
}
