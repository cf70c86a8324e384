/* SPDX-License-Identifier: Apache-2.0
 *
 * minato-bench: loads any OCI registry and checks its answers. Command line in, results out, exit code.
 */
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "output.h"
#include "report.h"

enum { EXIT_GOOD = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2 };

static bool run(const struct options *options, struct stats *stats)
{
    struct bench bench = {.options = options, .stats = stats};
    bench.source = image_source_new(options);
    bench.auth = auth_new(options->user, options->password);
    bench.transport = transport_new(options, bench.source, bench.auth, stats);
    load_run(&bench);
    transport_free(bench.transport);
    auth_free(bench.auth);
    image_source_free(bench.source);
    return stats->errors == 0;
}

/* Into the file of that name, "-" is standard output. Without a name there is nothing to do. */
static bool write_to(const char *name, const struct stats *stats, const struct options *options,
                     bool (*write)(const struct stats *stats, const struct options *options, FILE *out))
{
    if (name == NULL) {
        return true;
    }
    bool is_standard = strcmp(name, "-") == 0;
    FILE *out = is_standard ? stdout : fopen(name, "w");
    bool is_written = out != NULL && write(stats, options, out);
    if (out != NULL && !is_standard) {
        is_written = fclose(out) == 0 && is_written;
    }
    if (!is_written) {
        fprintf(stderr, "minato-bench: cannot write %s\n", name);
    }
    return is_written;
}

static bool show(const struct options *options, const struct stats *stats)
{
    bool is_json_alone = options->json != NULL && strcmp(options->json, "-") == 0;
    if (!options->is_quiet) {
        if (isatty(STDERR_FILENO)) {
            output_progress_end(stderr);
        }
        output_table(is_json_alone ? stderr : stdout, options, stats);
    }
    bool is_json_written = write_to(options->json, stats, options, output_json);
    return write_to(options->report, stats, options, report_write) && is_json_written;
}

int main(int argc, char **argv)
{
    struct options options;
    char error[512];
    if (!options_parse(argc, argv, &options, error, sizeof(error))) {
        fprintf(stderr, "minato-bench: %s\n", error);
        options_done(&options);
        return EXIT_USAGE;
    }
    if (options.wants_help) {
        options_usage(stdout);
        options_done(&options);
        return EXIT_GOOD;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct stats *stats = stats_new(options.pid);
    bool is_good = run(&options, stats);
    is_good = show(&options, stats) && is_good;
    stats_free(stats);
    options_done(&options);
    curl_global_cleanup();
    return is_good ? EXIT_GOOD : EXIT_ERRORS;
}
