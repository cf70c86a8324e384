/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of minato-bench, checked. Texts belong to argv and to the process' environment.
 */
#ifndef MINATO_BENCH_OPTIONS_H
#define MINATO_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum scenario { PULL_STORM, PUSH_STORM, CI_FLEET, SINGLE_LARGE, TAG_CHURN, COLD_START, SCENARIO_COUNT };

enum protocol { PROTOCOL_ANY, PROTOCOL_HTTP1, PROTOCOL_HTTP2 };

#define PASSWORD_MAX 1024
#define CLIENTS_MAX 10000U
#define IMAGES_MAX 100000U
#define LAYERS_MAX 127U

struct options {
    enum scenario scenario;
    const char *url; /* http[s]://host[:port], as given but for slashes at its end */
    char *owned_url;
    unsigned clients;
    double duration_s;
    double warmup_s;
    double rate;   /* jobs a second; 0: closed loop */
    uint64_t jobs; /* 0: as many as the duration allows */
    uint64_t seed;
    unsigned images;
    unsigned layers;           /* 0: as the official images have them */
    uint64_t layer_size_bytes; /* 0: likewise */
    unsigned scale;            /* sizes of official layers are divided by it */
    uint64_t size_bytes;       /* of the one layer of single-large */
    const char *repository;
    enum protocol protocol;
    bool follows;
    const char *user; /* NULL without */
    char password[PASSWORD_MAX];
    const char *ca;
    bool is_insecure;
    int pid; /* 0 without */
    const char *json;
    const char *report;
    bool is_quiet;
    bool wants_help;
};

/* False: what is wrong stands in `ret_error`. options_done is due all the same. */
bool options_parse(int argc, char **argv, struct options *ret_options, char *ret_error, size_t error_size);
void options_done(struct options *options);
void options_usage(FILE *out);
const char *scenario_name(enum scenario scenario);

#endif
