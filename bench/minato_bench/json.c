/* SPDX-License-Identifier: Apache-2.0
 *
 * The results as JSON.
 */
#include <jansson.h>

#include "output.h"

static const char *const protocol_names[] = {
    [PROTOCOL_ANY] = "any", [PROTOCOL_HTTP1] = "http1.1", [PROTOCOL_HTTP2] = "http2"};

static json_t *errors_of(const uint64_t errors[FAILURE_LIMIT])
{
    json_t *object = json_object();
    char name[FAILURE_NAME_SIZE];
    for (int i = FAILURE_NONE + 1; i < FAILURE_LIMIT; i++) {
        if (errors[i] > 0) {
            json_object_set_new(object, failure_name((enum failure)i, name), json_integer((json_int_t)errors[i]));
        }
    }
    return object;
}

static json_int_t percentile_us(const struct tally *tally, double fraction)
{
    return (json_int_t)histogram_percentile(&tally->latency, fraction);
}

static json_t *tally_of(const struct tally *tally, double seconds)
{
    json_t *latency =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "p50", percentile_us(tally, 0.5), "p90", percentile_us(tally, 0.9),
                  "p99", percentile_us(tally, 0.99), "p99_9", percentile_us(tally, 0.999), "max",
                  (json_int_t)tally->latency.max_us, "mean", histogram_mean(&tally->latency));
    return json_pack("{s:I, s:I, s:I, s:f, s:o, s:o}", "count", (json_int_t)tally->count, "bytes_in",
                     (json_int_t)tally->bytes_in, "bytes_out", (json_int_t)tally->bytes_out, "rate",
                     (double)tally->count / seconds, "latency_us", latency, "errors", errors_of(tally->errors));
}

static json_t *operations_of(const struct stats *stats)
{
    json_t *operations = json_object();
    for (int i = 0; i < OP_COUNT; i++) {
        const struct tally *tally = &stats->operations[i];
        if (tally->count + tally_errors(tally) > 0) {
            json_object_set_new(operations, operation_name((enum operation)i), tally_of(tally, stats_seconds(stats)));
        }
    }
    return operations;
}

static json_t *timeline_of(const struct stats *stats)
{
    json_t *timeline = json_array();
    for (size_t i = 0; i < stats->second_count; i++) {
        const struct second *second = &stats->seconds[i];
        json_t *entry = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "second", (json_int_t)i, "jobs",
                                  (json_int_t)second->jobs, "requests", (json_int_t)second->requests, "bytes_in",
                                  (json_int_t)second->bytes_in, "bytes_out", (json_int_t)second->bytes_out, "errors",
                                  (json_int_t)second->errors, "p50_us", (json_int_t)second->p50_us, "p99_us",
                                  (json_int_t)second->p99_us);
        if (stats->pid != 0) {
            json_object_set_new(entry, "cpu_percent", json_real(second->cpu_percent));
            json_object_set_new(entry, "rss_bytes", json_integer((json_int_t)second->rss_bytes));
        }
        json_array_append_new(timeline, entry);
    }
    return timeline;
}

static json_t *options_of(const struct options *options)
{
    return json_pack("{s:i, s:f, s:f, s:f, s:I, s:I, s:i, s:i, s:I, s:i, s:I, s:s, s:s, s:b}", "clients",
                     (int)options->clients, "duration_s", options->duration_s, "warmup_s", options->warmup_s, "rate",
                     options->rate, "jobs", (json_int_t)options->jobs, "seed", (json_int_t)options->seed, "images",
                     (int)options->images, "layers", (int)options->layers, "layer_size",
                     (json_int_t)options->layer_size_bytes, "scale", (int)options->scale, "size",
                     (json_int_t)options->size_bytes, "repository", options->repository, "protocol",
                     protocol_names[options->protocol], "follow", (int)options->follows);
}

static json_t *all_errors(const struct stats *stats)
{
    uint64_t errors[FAILURE_LIMIT] = {0};
    for (int i = FAILURE_NONE + 1; i < FAILURE_LIMIT; i++) {
        errors[i] = stats_errors_of(stats, (enum failure)i);
    }
    return errors_of(errors);
}

bool output_json(const struct stats *stats, const struct options *options, FILE *out)
{
    json_t *results = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:f, s:o, s:o, s:o, s:o}", "program", "minato-bench", "version", MINATO_VERSION,
        "scenario", scenario_name(options->scenario), "url", options->url, "options", options_of(options), "seconds",
        stats_seconds(stats), "operations", operations_of(stats), "jobs", tally_of(&stats->jobs, stats_seconds(stats)),
        "errors", all_errors(stats), "timeline", timeline_of(stats));
    bool is_written = results != NULL && json_dumpf(results, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0 &&
                      fputc('\n', out) != EOF && fflush(out) == 0;
    json_decref(results);
    return is_written;
}
