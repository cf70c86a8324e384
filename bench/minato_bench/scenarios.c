/* SPDX-License-Identifier: Apache-2.0
 *
 * Which jobs a scenario is made of, and which images must be there before. What a job is depends on the seed and its
 * number alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "must.h"

typedef const struct phase *const plan[];

static plan plan_setup = {&phase_probe, &phase_upload, &phase_put_manifest, NULL};
static plan plan_ping = {&phase_ping, NULL};
static plan plan_pull = {&phase_get_manifest, &phase_get_blobs, NULL};
static plan plan_push = {&phase_upload, &phase_put_manifest, NULL};
static plan plan_push_and_pull = {&phase_upload, &phase_put_manifest, &phase_get_manifest, &phase_get_blobs, NULL};
static plan plan_check = {&phase_head_manifest, NULL};
static plan plan_resolve = {&phase_head_manifest, &phase_get_by_digest, NULL};
static plan plan_mount = {&phase_mount, &phase_put_manifest, NULL};
static plan plan_delete = {&phase_delete_manifest, &phase_head_by_digest, NULL};
static plan plan_list = {&phase_list_tags, NULL};
static plan plan_move_tag = {&phase_put_manifest, &phase_head_manifest, &phase_list_tags, NULL};
static plan plan_move_and_delete_tag = {&phase_put_manifest,
                                        &phase_head_manifest,
                                        &phase_list_tags,
                                        &phase_delete_tag,
                                        &phase_head_manifest,
                                        &phase_list_tags,
                                        NULL};

#define MOVES_A_DELETE 4U /* of tag-churn's jobs, one in so many ends with the tag deleted */

/* ---- what all jobs are made with ---- */

static void begin_job(struct client *client, const struct phase *const *phases, struct image *image)
{
    struct job *job = &client->job;
    job->phases = phases;
    job->image = image;
    job->owns_image = false;
    job->is_known = false;
    job->is_gone = false;
    if (image != NULL) {
        memcpy(job->repository, image->repository, sizeof(job->repository));
        memcpy(job->tag, image->tag, sizeof(job->tag));
    }
}

static void begin_with_version(struct client *client, const struct phase *const *phases, unsigned image,
                               uint64_t version)
{
    begin_job(client, phases, image_make_version(client->bench->source, image, version));
    client->job.owns_image = true;
}

/* A number that job `number` of this seed always draws. */
static uint64_t draw(const struct bench *bench, uint64_t number, uint64_t what)
{
    uint64_t z = (bench->options->seed * 3 + what + 1) * 0x9E3779B97F4A7C15U + number * 0xD1342543DE82EF95U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* Some images are wanted more than others: the first quarter gets half. */
static unsigned draw_image(const struct bench *bench, uint64_t number)
{
    double u = (double)(draw(bench, number, 1) >> 11) / 9007199254740992.0;
    return (unsigned)(u * u * bench->image_count);
}

/* ---- preparation ---- */

static unsigned images_needed(const struct options *options)
{
    switch (options->scenario) {
    case PULL_STORM:
        return 1;
    case CI_FLEET:
    case COLD_START:
    case TAG_CHURN:
        return options->images;
    case PUSH_STORM:
    case SINGLE_LARGE:
    case SCENARIO_COUNT:
        break;
    }
    return 0;
}

void scenario_prepare(struct bench *bench)
{
    bench->image_count = images_needed(bench->options);
    bench->images = must(calloc(bench->image_count + 1, sizeof(struct image *)));
    for (unsigned i = 0; i < bench->image_count; i++) {
        /* Tags move within one repository. */
        bench->images[i] = bench->options->scenario == TAG_CHURN ? image_make_version(bench->source, 0, i)
                                                                 : image_make(bench->source, i);
    }
}

bool scenario_setup_job(struct bench *bench, struct client *client, uint64_t number)
{
    if (number == 0) {
        begin_job(client, plan_ping, NULL);
        return true;
    }
    if (number > bench->image_count) {
        return false;
    }
    begin_job(client, plan_setup, bench->images[number - 1]);
    return true;
}

/* ---- ci-fleet ---- */

enum errand {
    ERRAND_CHECK,
    ERRAND_RESOLVE,
    ERRAND_PULL,
    ERRAND_PUSH,
    ERRAND_MOUNT,
    ERRAND_DELETE,
    ERRAND_LIST,
    ERRANDS
};

/* Of a hundred jobs. bench/README.md says why. */
static const unsigned shares[ERRANDS] = {
    [ERRAND_CHECK] = 30, [ERRAND_RESOLVE] = 20, [ERRAND_PULL] = 25, [ERRAND_PUSH] = 12,
    [ERRAND_MOUNT] = 3,  [ERRAND_DELETE] = 5,   [ERRAND_LIST] = 5,
};

static enum errand draw_errand(const struct bench *bench, uint64_t number)
{
    unsigned at = (unsigned)(draw(bench, number, 0) % 100);
    unsigned errand = 0;
    while (at >= shares[errand]) {
        at -= shares[errand++];
    }
    return (enum errand)errand;
}

static struct image *take_pushed(struct bench *bench)
{
    struct image *image = bench->pushed[bench->pushed_begin];
    bench->pushed_begin = (bench->pushed_begin + 1) % PUSHED_MAX;
    bench->pushed_count--;
    return image;
}

static void begin_errand(struct bench *bench, struct client *client, uint64_t number)
{
    enum errand errand = draw_errand(bench, number);
    unsigned index = draw_image(bench, number);
    struct image *image = bench->images[index];
    if (errand == ERRAND_DELETE && bench->pushed_count == 0) {
        errand = ERRAND_PUSH; /* nothing to delete yet */
    }
    switch (errand) {
    case ERRAND_CHECK:
        begin_job(client, plan_check, image);
        break;
    case ERRAND_RESOLVE:
        begin_job(client, plan_resolve, image);
        break;
    case ERRAND_PULL:
        begin_job(client, plan_pull, image);
        break;
    case ERRAND_PUSH:
        begin_with_version(client, plan_push, index, number + 1);
        break;
    case ERRAND_MOUNT:
        begin_job(client, plan_mount, image);
        snprintf(client->job.repository, sizeof(client->job.repository), "%s/job%" PRIu64, bench->options->repository,
                 number);
        break;
    case ERRAND_DELETE:
        begin_job(client, plan_delete, take_pushed(bench));
        client->job.owns_image = true;
        break;
    case ERRAND_LIST:
    case ERRANDS:
        begin_job(client, plan_list, image);
        break;
    }
}

/* ---- the others ---- */

static void begin_tag_move(struct bench *bench, struct client *client, uint64_t number)
{
    bool deletes = number % MOVES_A_DELETE == MOVES_A_DELETE - 1;
    begin_job(client, deletes ? plan_move_and_delete_tag : plan_move_tag, bench->images[number % bench->image_count]);
    snprintf(client->job.tag, sizeof(client->job.tag), "client%u", client->index); /* which nobody else moves */
}

bool scenario_job(struct bench *bench, struct client *client, uint64_t number)
{
    switch (bench->options->scenario) {
    case PULL_STORM:
        begin_job(client, plan_pull, bench->images[0]);
        break;
    case PUSH_STORM:
        begin_with_version(client, plan_push, (unsigned)(number % bench->options->images), number + 1);
        break;
    case CI_FLEET:
        begin_errand(bench, client, number);
        break;
    case SINGLE_LARGE:
        begin_with_version(client, plan_push_and_pull, 0, number + 1);
        break;
    case TAG_CHURN:
        begin_tag_move(bench, client, number);
        break;
    case COLD_START:
        if (number >= bench->image_count) {
            return false;
        }
        begin_job(client, plan_pull, bench->images[number]);
        break;
    case SCENARIO_COUNT:
        return false;
    }
    return true;
}

void scenario_job_ended(struct bench *bench, struct client *client)
{
    struct job *job = &client->job;
    bool may_be_deleted = bench->options->scenario == CI_FLEET && job->phases == plan_push;
    if (!may_be_deleted) {
        return;
    }
    if (bench->pushed_count == PUSHED_MAX) {
        image_free(take_pushed(bench));
    }
    bench->pushed[(bench->pushed_begin + bench->pushed_count++) % PUSHED_MAX] = job->image;
    job->owns_image = false;
}
