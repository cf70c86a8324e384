/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: flags become configuration, configuration becomes a server, its end an exit code. Nothing else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minato/arena.h"
#include "minato/own.h"
#include "minato/server.h"

#define EXIT_USAGE 2
#define WHY_BYTES_MAX 65536
#define LISTEN_MAX 64
#define LISTEN_VARIABLE "MINATO_HTTP_LISTEN="
#define DATA_VARIABLE "MINATO_STORAGE_FILESYSTEM_ROOT="

static const char usage_text[] =
    "usage: minato serve [--config FILE] [--listen ADDRESS]... [--data FOLDER]\n"
    "       minato reindex [--config FILE] [--after REPOSITORY]\n"
    "       minato config check FILE\n"
    "       minato --version | --help\n"
    "\n"
    "serve           runs the registry until SIGTERM or SIGINT\n"
    "  --config      the configuration; without one: ./minato-data on 127.0.0.1:5000\n"
    "  --listen      host:port to listen on, instead of http.listen; may be repeated\n"
    "  --data        the folder to keep everything in, instead of storage.filesystem.root\n"
    "reindex         fills the shared index (index.redis) from the store; serve may run meanwhile\n"
    "  --after       passes over the repositories up to this one, where an earlier run was stopped\n"
    "config check    says what is wrong with a configuration, or that nothing is\n";

struct serve_options {
    const char *config_path;
    const char *data;
    const char *listen[LISTEN_MAX];
    unsigned listen_count;
};

static int refuse(const char *what, const char *argument)
{
    (void)fprintf(stderr, "minato: %s: %s\n%s", what, argument, usage_text);
    return EXIT_USAGE;
}

static bool is_either(const char *argument, const char *one, const char *other)
{
    return strcmp(argument, one) == 0 || strcmp(argument, other) == 0;
}

/* "--name value" or "--name=value". False if `argv[*at]` is another flag; *ret_value is NULL if the value is missing.
 */
static bool take_flag(int argc, char **argv, int *at, const char *name, const char **ret_value)
{
    size_t n = strlen(name);
    const char *argument = argv[*at];
    if (strncmp(argument, name, n) != 0 || (argument[n] != '\0' && argument[n] != '='))
        return false;
    if (argument[n] == '=')
        *ret_value = argument + n + 1;
    else
        *ret_value = *at + 1 < argc ? argv[++*at] : NULL;
    return true;
}

/* 0, or the exit code after it has said what is wrong. */
static int parse_serve(int argc, char **argv, struct serve_options *options)
{
    for (int i = 2; i < argc; i++) {
        const char *flag = argv[i];
        const char *value = NULL;
        if (take_flag(argc, argv, &i, "--config", &value)) {
            options->config_path = value;
        } else if (take_flag(argc, argv, &i, "--data", &value)) {
            options->data = value;
        } else if (take_flag(argc, argv, &i, "--listen", &value)) {
            if (options->listen_count == LISTEN_MAX)
                return refuse("too many of them", flag);
            options->listen[options->listen_count++] = value;
        } else {
            return refuse("unknown argument", flag);
        }
        if (value == NULL || *value == '\0')
            return refuse("a value is missing after it", flag);
    }
    return 0;
}

/* The environment with the flags as the variables they stand for: a flag wins over a variable, which wins over the
 * file. In `arena`. */
static char **environment_of(const struct serve_options *options, char **environment, struct arena *arena)
{
    size_t count = 0;
    while (environment[count] != NULL)
        count++;
    char **result = ARENA_ARRAY(arena, char *, count + 3);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct slice entry = slice_from_cstr(environment[i]);
        bool is_replaced = (options->listen_count > 0 && slice_has_prefix(entry, SLICE(LISTEN_VARIABLE))) ||
                           (options->data != NULL && slice_has_prefix(entry, SLICE(DATA_VARIABLE)));
        if (!is_replaced)
            result[n++] = environment[i];
    }
    struct slice listen = SLICE(LISTEN_VARIABLE);
    for (unsigned i = 0; i < options->listen_count; i++)
        listen = arena_format(arena, "%.*s%s%s", SLICE_ARG(listen), i == 0 ? "" : ",", options->listen[i]);
    if (options->listen_count > 0)
        result[n++] = arena_cstr(arena, listen);
    if (options->data != NULL)
        result[n] = arena_cstr(arena, arena_format(arena, DATA_VARIABLE "%s", options->data));
    return result;
}

static void complain(const struct strbuf *why, enum result r, const char *about)
{
    if (why->len > 0)
        (void)fprintf(stderr, "%s%s", why->ptr, why->ptr[why->len - 1] == '\n' ? "" : "\n");
    else
        (void)fprintf(stderr, "minato: %s: %s\n", about, result_name(r));
}

static int serve(const struct serve_options *options, char **environment)
{
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, WHY_BYTES_MAX);
    struct config *config = NULL;
    enum result r = config_load(options->config_path, environment_of(options, environment, &arena), &why, &config);
    if (r != OK) {
        complain(&why, r, options->config_path == NULL ? "configuration" : options->config_path);
        return EXIT_FAILURE;
    }
    r = server_run(config, &why);
    config_free(config);
    if (r != OK) {
        (void)fputs("minato: ", stderr);
        complain(&why, r, "cannot start");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int reindex(int argc, char **argv)
{
    const char *config_path = NULL;
    const char *after = "";
    for (int i = 2; i < argc; i++) {
        const char *flag = argv[i];
        const char **value = NULL;
        if (take_flag(argc, argv, &i, "--config", &config_path))
            value = &config_path;
        else if (take_flag(argc, argv, &i, "--after", &after))
            value = &after;
        else
            return refuse("unknown argument", flag);
        if (*value == NULL || **value == '\0')
            return refuse("a value is missing after it", flag);
    }
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, WHY_BYTES_MAX);
    struct config *config = NULL;
    enum result r = config_load(config_path, environ, &why, &config);
    if (r == OK)
        r = server_reindex(config, slice_from_cstr(after), &why);
    if (r != OK)
        complain(&why, r, config == NULL && config_path != NULL ? config_path : "reindex");
    config_free(config);
    return r == OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int config_check(const char *path)
{
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, WHY_BYTES_MAX);
    struct config *config = NULL;
    enum result r = config_load(path, NULL, &why, &config);
    config_free(config);
    if (r != OK) {
        complain(&why, r, path);
        return EXIT_FAILURE;
    }
    (void)printf("%s: ok\n", path);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fputs(usage_text, stderr);
        return EXIT_USAGE;
    }
    if (is_either(argv[1], "--help", "-h") || (argc > 2 && is_either(argv[2], "--help", "-h"))) {
        (void)fputs(usage_text, stdout);
        return EXIT_SUCCESS;
    }
    if (is_either(argv[1], "--version", "-V")) {
        (void)puts("minato " MINATO_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "serve") == 0) {
        struct serve_options options = {0};
        int code = parse_serve(argc, argv, &options);
        return code != 0 ? code : serve(&options, environ);
    }
    if (strcmp(argv[1], "reindex") == 0)
        return reindex(argc, argv);
    if (strcmp(argv[1], "config") == 0) {
        if (argc < 3 || strcmp(argv[2], "check") != 0)
            return refuse("expected after `config`", "check FILE");
        if (argc != 4)
            return refuse("expected after `config check`", "one FILE");
        return config_check(argv[3]);
    }
    return refuse("unknown command", argv[1]);
}
