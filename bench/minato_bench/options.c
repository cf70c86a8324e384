/* SPDX-License-Identifier: Apache-2.0
 *
 * From argv to struct options. Nothing here ends the program: main says what is wrong.
 */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DURATION_MAX_S 864000.0
#define RATE_MAX 1000000.0
#define SIZE_MAX_BYTES (1ULL << 44)
#define SECOND_ALONE 1.0

static const char *const scenario_names[SCENARIO_COUNT] = {
    [PULL_STORM] = "pull-storm",     [PUSH_STORM] = "push-storm", [CI_FLEET] = "ci-fleet",
    [SINGLE_LARGE] = "single-large", [TAG_CHURN] = "tag-churn",   [COLD_START] = "cold-start"};

const char *scenario_name(enum scenario scenario)
{
    return scenario_names[scenario];
}

void options_usage(FILE *out)
{
    fputs(
        "Usage: minato-bench SCENARIO [OPTION]... URL\n"
        "\n"
        "Loads the OCI registry at URL (http[s]://host[:port]) and checks every answer.\n"
        "\n"
        "  pull-storm       all clients pull one image          single-large     one large layer, pushed, then pulled\n"
        "  push-storm       images that share a base            tag-churn        tags moved, listed, deleted\n"
        "  ci-fleet         a mix of everything                 cold-start       every job pulls another image\n"
        "\n"
        "  --clients N          at once (16; single-large 1)\n"
        "  --duration TIME      30s, 5m, 1h (30s); what runs at its end may finish\n"
        "  --warmup TIME        load that is not counted, before (0s)\n"
        "  --rate R             open loop: R jobs a second, timed from when they were due (closed loop)\n"
        "  --jobs N             stop after so many (no limit; single-large 1)\n"
        "  --seed N             the same seed makes the same digests (1)\n"
        "  --images N           different images (4)\n"
        "  --layers N           layers an image (as 11 official images)\n"
        "  --layer-size SIZE    of each layer: 4096, 64K, 10M, 2G (as 11 official images)\n"
        "  --scale N            divides the sizes of official layers (1)\n"
        "  --size SIZE          single-large: of its layer (1G)\n"
        "  --repository PREFIX  repositories are below it (bench)\n"
        "  --http1.1, --http2   one protocol, without https by prior knowledge (what the server offers)\n"
        "  --no-follow          a redirect is an answer: the blob is not fetched from where it points\n"
        "  --user NAME          with the password of --password-file or MINATO_BENCH_PASSWORD\n"
        "  --password-file FILE its first line\n"
        "  --ca FILE            whom to trust\n"
        "  --insecure           trust anybody\n"
        "  --pid PID            the server: its CPU and memory are sampled\n"
        "  --json FILE          results, - is standard output\n"
        "  --report FILE.html   results with plots\n"
        "  --quiet              no progress, no table\n"
        "\n"
        "Exit code: 0 no errors, 1 errors (wrong answers are errors), 2 this command line.\n",
        out);
}

/* ---- single values ---- */

struct parser {
    struct options *options;
    char *error;
    size_t error_size;
    const char *password_file;
};

__attribute__((format(printf, 2, 3))) static bool complain(struct parser *parser, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(parser->error, parser->error_size, format, args);
    va_end(args);
    return false;
}

static bool parse_whole(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (max - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return *text == '\0';
}

static bool parse_count(const char *text, unsigned min, unsigned max, unsigned *ret_value)
{
    uint64_t value;
    if (!parse_whole(text, max, &value) || value < min) {
        return false;
    }
    *ret_value = (unsigned)value;
    return true;
}

/* A decimal number with one of the suffixes, each with its factor; the first one's may be left out. */
static bool parse_scaled(const char *text, const char *suffixes, const double *factors, double *ret_value)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    double value = strtod(text, &end);
    bool is_plain = text + strspn(text, "0123456789.") == end; /* strtod knows more */
    const char *suffix = *end == '\0' ? suffixes : strchr(suffixes, *end);
    if (!is_plain || suffix == NULL || (*end != '\0' && end[1] != '\0')) {
        return false;
    }
    *ret_value = value * factors[suffix - suffixes];
    return isfinite(*ret_value);
}

static bool parse_time(const char *text, double *ret_seconds)
{
    static const double factors[] = {1, 60, 3600};
    return parse_scaled(text, "smh", factors, ret_seconds) && *ret_seconds <= DURATION_MAX_S;
}

static bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const double factors[] = {1, 1024, 1048576, 1073741824};
    char plain[32];
    size_t length = strlen(text);
    if (length >= sizeof(plain)) {
        return false;
    }
    memcpy(plain, text, length + 1);
    if (length > 3 && memcmp(plain + length - 2, "iB", 2) == 0) { /* 1GiB is 1G */
        plain[length - 2] = '\0';
    }
    double bytes;
    if (!parse_scaled(plain, "BKMG", factors, &bytes) || bytes < 1 || bytes > (double)SIZE_MAX_BYTES) {
        return false;
    }
    *ret_bytes = (uint64_t)bytes;
    return true;
}

static bool parse_rate(const char *text, double *ret_rate)
{
    static const double factors[] = {SECOND_ALONE};
    return parse_scaled(text, "/", factors, ret_rate) && *ret_rate > 0 && *ret_rate <= RATE_MAX;
}

/* Components of lower case letters, digits and single separators, as every registry takes them. */
static bool is_repository(const char *text)
{
    size_t length = strlen(text);
    bool was_separator = true;
    for (size_t i = 0; i < length; i++) {
        bool is_separator = strchr("/._-", text[i]) != NULL;
        if ((is_separator && was_separator) ||
            (!is_separator && !(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9'))) {
            return false;
        }
        was_separator = is_separator;
    }
    return length > 0 && length <= 128 && !was_separator;
}

/* ---- the command line ---- */

enum option_id {
    CLIENTS = 256,
    DURATION,
    WARMUP,
    RATE,
    JOBS,
    SEED,
    IMAGES,
    LAYERS,
    LAYER_SIZE,
    SCALE,
    SIZE,
    REPOSITORY,
    HTTP1,
    HTTP2,
    NO_FOLLOW,
    USER,
    PASSWORD_FILE,
    CA,
    INSECURE,
    PID,
    JSON,
    REPORT,
    QUIET,
    HELP
};

static const struct option known_options[] = {{"clients", required_argument, NULL, CLIENTS},
                                              {"duration", required_argument, NULL, DURATION},
                                              {"warmup", required_argument, NULL, WARMUP},
                                              {"rate", required_argument, NULL, RATE},
                                              {"jobs", required_argument, NULL, JOBS},
                                              {"seed", required_argument, NULL, SEED},
                                              {"images", required_argument, NULL, IMAGES},
                                              {"layers", required_argument, NULL, LAYERS},
                                              {"layer-size", required_argument, NULL, LAYER_SIZE},
                                              {"scale", required_argument, NULL, SCALE},
                                              {"size", required_argument, NULL, SIZE},
                                              {"repository", required_argument, NULL, REPOSITORY},
                                              {"http1.1", no_argument, NULL, HTTP1},
                                              {"http2", no_argument, NULL, HTTP2},
                                              {"no-follow", no_argument, NULL, NO_FOLLOW},
                                              {"user", required_argument, NULL, USER},
                                              {"password-file", required_argument, NULL, PASSWORD_FILE},
                                              {"ca", required_argument, NULL, CA},
                                              {"insecure", no_argument, NULL, INSECURE},
                                              {"pid", required_argument, NULL, PID},
                                              {"json", required_argument, NULL, JSON},
                                              {"report", required_argument, NULL, REPORT},
                                              {"quiet", no_argument, NULL, QUIET},
                                              {"help", no_argument, NULL, HELP},
                                              {NULL, 0, NULL, 0}};

static const char *option_name(int id)
{
    return known_options[id - CLIENTS].name;
}

/* Options whose value is a number, a time or a size. */
static bool take_quantity(struct options *options, int id, const char *value)
{
    uint64_t jobs;
    switch (id) {
    case CLIENTS:
        return parse_count(value, 1, CLIENTS_MAX, &options->clients);
    case DURATION:
        return parse_time(value, &options->duration_s) && options->duration_s > 0;
    case WARMUP:
        return parse_time(value, &options->warmup_s);
    case RATE:
        return parse_rate(value, &options->rate);
    case JOBS:
        if (!parse_whole(value, UINT64_MAX / 2, &jobs) || jobs == 0) {
            return false;
        }
        options->jobs = jobs;
        return true;
    case SEED:
        return parse_whole(value, UINT64_MAX, &options->seed);
    case IMAGES:
        return parse_count(value, 1, IMAGES_MAX, &options->images);
    case LAYERS:
        return parse_count(value, 1, LAYERS_MAX, &options->layers);
    case LAYER_SIZE:
        return parse_size(value, &options->layer_size_bytes);
    case SCALE:
        return parse_count(value, 1, 1000000, &options->scale);
    case SIZE:
        return parse_size(value, &options->size_bytes);
    case PID:
        return parse_count(value, 1, INT32_MAX, (unsigned *)&options->pid);
    default:
        return false;
    }
}

static bool take_protocol(struct parser *parser, enum protocol protocol)
{
    if (parser->options->protocol != PROTOCOL_ANY && parser->options->protocol != protocol) {
        return complain(parser, "--http1.1 and --http2 exclude each other");
    }
    parser->options->protocol = protocol;
    return true;
}

static bool take_option(struct parser *parser, int id, const char *value)
{
    struct options *options = parser->options;
    switch (id) {
    case REPOSITORY:
        options->repository = value;
        return is_repository(value) || complain(parser, "--repository: not the name of a repository: '%s'", value);
    case HTTP1:
        return take_protocol(parser, PROTOCOL_HTTP1);
    case HTTP2:
        return take_protocol(parser, PROTOCOL_HTTP2);
    case NO_FOLLOW:
        options->follows = false;
        return true;
    case USER:
        options->user = value;
        return strchr(value, ':') == NULL || complain(parser, "--user: a name has no colon: '%s'", value);
    case PASSWORD_FILE:
        parser->password_file = value;
        return true;
    case CA:
        options->ca = value;
        return true;
    case INSECURE:
        options->is_insecure = true;
        return true;
    case JSON:
        options->json = value;
        return true;
    case REPORT:
        options->report = value;
        return true;
    case QUIET:
        options->is_quiet = true;
        return true;
    case HELP:
        options->wants_help = true;
        return true;
    default:
        return take_quantity(options, id, value) ||
               complain(parser, "--%s: not a value for it: '%s'", option_name(id), value);
    }
}

static bool take_scenario(struct parser *parser, const char *name)
{
    for (int i = 0; i < SCENARIO_COUNT; i++) {
        if (strcmp(name, scenario_names[i]) == 0) {
            parser->options->scenario = (enum scenario)i;
            return true;
        }
    }
    return complain(parser,
                    "no scenario '%s'; there are pull-storm, push-storm, ci-fleet, single-large, tag-churn, cold-start",
                    name);
}

static bool take_url(struct parser *parser, const char *url)
{
    const char *host = strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
    if (host == NULL || *host == '\0' || *host == '/' || strpbrk(host, "?#@ ") != NULL) {
        return complain(parser, "not the URL of a registry: '%s'; http[s]://host[:port] is", url);
    }
    size_t length = strlen(url);
    while (url[length - 1] == '/') {
        length--;
    }
    parser->options->owned_url = strndup(url, length);
    parser->options->url = parser->options->owned_url;
    return true;
}

static bool read_password(struct parser *parser)
{
    struct options *options = parser->options;
    const char *given = getenv("MINATO_BENCH_PASSWORD");
    if (parser->password_file != NULL) {
        FILE *file = fopen(parser->password_file, "r");
        if (file == NULL) {
            return complain(parser, "--password-file: cannot read '%s'", parser->password_file);
        }
        bool is_read = fgets(options->password, sizeof(options->password), file) != NULL;
        fclose(file);
        options->password[strcspn(options->password, "\r\n")] = '\0';
        return is_read || complain(parser, "--password-file: '%s' is empty", parser->password_file);
    }
    if (given == NULL || strlen(given) >= sizeof(options->password)) {
        return complain(parser, "--user needs --password-file or MINATO_BENCH_PASSWORD");
    }
    memcpy(options->password, given, strlen(given) + 1);
    return true;
}

static void set_defaults(struct options *options)
{
    bool is_single = options->scenario == SINGLE_LARGE;
    if (options->clients == 0) {
        options->clients = is_single ? 1 : 16;
    }
    if (options->jobs == 0 && is_single) {
        options->jobs = 1;
    }
}

static bool take_arguments(struct parser *parser, int count, char **arguments)
{
    if (count != 2) {
        return complain(parser, count < 2 ? "a scenario and a URL are needed; try --help"
                                          : "too many arguments: a scenario and a URL are all; try --help");
    }
    if (!take_scenario(parser, arguments[0]) || !take_url(parser, arguments[1])) {
        return false;
    }
    set_defaults(parser->options);
    if (parser->options->user == NULL && parser->password_file != NULL) {
        return complain(parser, "--password-file needs --user");
    }
    return parser->options->user == NULL || read_password(parser);
}

bool options_parse(int argc, char **argv, struct options *ret_options, char *ret_error, size_t error_size)
{
    struct parser parser = {.options = ret_options, .error = ret_error, .error_size = error_size};
    *ret_options = (struct options){.duration_s = 30,
                                    .seed = 1,
                                    .images = 4,
                                    .scale = 1,
                                    .size_bytes = 1ULL << 30,
                                    .repository = "bench",
                                    .follows = true};
    optind = 1;
    int id;
    while ((id = getopt_long(argc, argv, ":", known_options, NULL)) != -1) {
        if (id == ':') {
            return complain(&parser, "%s needs a value", argv[optind - 1]);
        }
        if (id == '?') {
            return complain(&parser, "unknown option %s; try --help", argv[optind - 1]);
        }
        if (!take_option(&parser, id, optarg)) {
            return false;
        }
    }
    return ret_options->wants_help || take_arguments(&parser, argc - optind, argv + optind);
}

void options_done(struct options *options)
{
    free(options->owned_url);
}
