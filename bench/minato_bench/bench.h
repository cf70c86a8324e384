/* SPDX-License-Identifier: Apache-2.0
 *
 * What load.c, phases.c and scenarios.c share: clients that work on jobs, each of which is a list of phases.
 */
#ifndef MINATO_BENCH_BENCH_H
#define MINATO_BENCH_BENCH_H

#include "http.h"

struct client;

/* A part of a job: one request, or one for each blob. */
struct phase {
    /* Fills in the next request; false: none is left. */
    bool (*ask)(struct client *client);
    /* Whether the answer is right, in which case the job goes on. */
    enum failure (*check)(struct client *client);
};

enum upload_step { UPLOAD_FIND, UPLOAD_MOUNT, UPLOAD_OPEN, UPLOAD_SEND, UPLOAD_CLOSE };

struct job {
    const struct phase *const *phases; /* up to a NULL */
    unsigned phase;                    /* at which it is */
    uint64_t number;
    uint64_t intended_ns;
    struct image *image;
    bool owns_image;
    char repository[REPOSITORY_SIZE];
    char tag[TAG_SIZE]; /* where it is published, or looked for */
    unsigned cursor;    /* within the phase: blobs or requests done */
    enum upload_step upload_step;
    char upload_url[URL_SIZE];
    bool is_known; /* the image is there already */
    bool is_gone;  /* its tag and its manifest have been deleted */
    bool is_measured;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct client {
    struct exchange exchange; /* first: what `done` gets is the client */
    struct bench *bench;
    unsigned index;
    bool is_busy;
    struct job job;
};

#define PUSHED_MAX 1024U

struct bench {
    const struct options *options;
    struct image_source *source;
    struct auth *auth;
    struct transport *transport;
    struct stats *stats;
    struct client *clients;
    unsigned busy_count;
    struct image **images; /* that are there before the load begins */
    unsigned image_count;
    uint64_t job_count;               /* begun */
    struct image *pushed[PUSHED_MAX]; /* by jobs, for others to delete; oldest first from pushed_begin */
    unsigned pushed_begin;
    unsigned pushed_count;
};

/* ---- phases.c ---- */

extern const struct phase phase_ping, phase_probe, phase_upload, phase_mount, phase_put_manifest, phase_head_manifest,
    phase_get_manifest, phase_head_by_digest, phase_get_by_digest, phase_get_blobs, phase_list_tags, phase_delete_tag,
    phase_delete_manifest;

/* ---- scenarios.c ---- */

/* Makes the images that must be there. */
void scenario_prepare(struct bench *bench);
/* Job `number` of those that push them; false: they are all through. */
bool scenario_setup_job(struct bench *bench, struct client *client, uint64_t number);
/* Job `number` of the load; false: there are no more. */
bool scenario_job(struct bench *bench, struct client *client, uint64_t number);
/* A job has ended well: what it made may serve others. */
void scenario_job_ended(struct bench *bench, struct client *client);

/* ---- load.c ---- */

/* The whole run. What went wrong is in the statistics. */
void load_run(struct bench *bench);

#endif
