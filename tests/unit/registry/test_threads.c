/* SPDX-License-Identifier: Apache-2.0
 *
 * One registry used by several loops at once, each on its thread. For the thread sanitizer.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "registry_env.h"

#define LOOPS 4
#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"

struct worker {
    struct env env;
    pthread_t thread;
    unsigned number;
    const char *uuid;
    void (*work)(struct worker *w);
    pthread_barrier_t *worked;
    pthread_barrier_t *pool_is_gone;
};

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition);                                           \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A loop lives and dies on its thread (libh2o keeps buffers by thread), and outlives the pool, which may still be in
 * its last message to it. */
static void *run_worker(void *data)
{
    struct worker *w = data;
    MUST(loop_new(w->number + 1, 32u * PAGE_BYTES, &w->env.loop) == OK);
    w->work(w);
    pthread_barrier_wait(w->worked);
    pthread_barrier_wait(w->pool_is_gone);
    loop_free(w->env.loop);
    return NULL;
}

static void run_workers(struct env *env, const char *uuid, void (*work)(struct worker *), void (*check)(struct env *))
{
    struct worker workers[LOOPS];
    pthread_barrier_t worked, pool_is_gone;
    MUST(pthread_barrier_init(&worked, NULL, LOOPS + 1) == 0);
    MUST(pthread_barrier_init(&pool_is_gone, NULL, LOOPS + 1) == 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        workers[i] = (struct worker){
            .env = *env, .number = i, .uuid = uuid, .work = work, .worked = &worked, .pool_is_gone = &pool_is_gone};
        MUST(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]) == 0);
    }
    pthread_barrier_wait(&worked);
    if (check != NULL)
        check(env);
    env_done(env);
    pthread_barrier_wait(&pool_is_gone);
    for (unsigned i = 0; i < LOOPS; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&worked);
    pthread_barrier_destroy(&pool_is_gone);
}

static void push_images(struct worker *w)
{
    char *layer = xcalloc(1, 400000);
    for (unsigned i = 0; i < 12; i++) {
        char manifest[600], c[DIGEST_TEXT_MAX + 1], l[DIGEST_TEXT_MAX + 1];
        struct digest config_digest, layer_digest;
        layer[0] = (char)i; /* every worker pushes the same layers */
        MUST(env_push_blob(&w->env, slice_of(layer, 400000), &layer_digest) == OK);
        char config[20];
        int n = snprintf(config, sizeof(config), "%u-%u", w->number, i);
        MUST(env_push_blob(&w->env, slice_of(config, (size_t)n), &config_digest) == OK);
        c[digest_format(&config_digest, c)] = '\0';
        l[digest_format(&layer_digest, l)] = '\0';
        int m = snprintf(manifest, sizeof(manifest),
                         "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":"
                         "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%d},\"layers\":"
                         "[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":400000"
                         "}]}",
                         c, n, l);
        struct env_call put = {.kind = ENV_MANIFEST_PUT,
                               .reference = "latest",
                               .content_type = IMAGE_TYPE,
                               .bytes = slice_of(manifest, (size_t)m)};
        MUST(env_run(&w->env, &put) == OK);
        env_call_done(&put);
        struct env_call find = {.kind = ENV_MANIFEST_FIND, .reference = "latest"};
        MUST(env_run(&w->env, &find) == OK);
        env_call_done(&find);
        MUST(env_serves(&w->env, &layer_digest, slice_of(layer, 400000)));
    }
    free(layer);
}

static void several_loops_push_at_once(void **unused)
{
    (void)unused;
    struct env env;
    env_init(&env, ENV_NO_FAULTS);
    run_workers(&env, NULL, push_images, NULL);
}

static void append_ones(struct worker *w)
{
    for (unsigned i = 0; i < 200; i++) {
        uint64_t offset;
        enum result r = env_append(&w->env, w->uuid, SLICE("1"), &offset);
        MUST(r == OK || r == CONFLICT);
    }
}

static char shared_uuid[37];

/* As many ones as were acknowledged, and their digest holds: no byte of one writer was lost to another. */
static void commit_ones(struct env *env)
{
    char ones[LOOPS * 200];
    memset(ones, '1', sizeof(ones));
    struct env_call status = {.kind = ENV_STATUS};
    memcpy(status.uuid, shared_uuid, sizeof(shared_uuid));
    MUST(env_run(env, &status) == OK);
    env_call_done(&status);
    struct digest digest = env_digest(slice_of(ones, status.offset));
    MUST(status.offset > 0);
    MUST(env_commit(env, shared_uuid, SLICE_EMPTY, &digest) == OK);
    MUST(env_serves(env, &digest, slice_of(ones, status.offset)));
}

static void writers_of_one_session_take_turns(void **unused)
{
    (void)unused;
    struct env env;
    env_init(&env, ENV_NO_FAULTS);
    MUST(env_create(&env, shared_uuid) == OK);
    run_workers(&env, shared_uuid, append_ones, commit_ones);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_loops_push_at_once),
        cmocka_unit_test(writers_of_one_session_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
