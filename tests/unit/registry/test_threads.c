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
    unsigned accepted;
};

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%d: not so: %s\n", __LINE__, #condition);                                           \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void run_workers(struct env *env, const char *uuid, void *(*work)(void *), struct worker workers[LOOPS])
{
    for (unsigned i = 0; i < LOOPS; i++) {
        workers[i] = (struct worker){.env = *env, .number = i, .uuid = uuid};
        MUST(loop_new(i + 1, 32u * PAGE_BYTES, &workers[i].env.loop) == OK);
        MUST(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(workers[i].thread, NULL);
    }
}

/* The loops outlive the pool: a pool thread may still be in its last message to one. */
static void end_workers(struct env *env, struct worker workers[LOOPS])
{
    env_done(env);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_free(workers[i].env.loop);
}

static void *push_images(void *data)
{
    struct worker *w = data;
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
    return NULL;
}

static void several_loops_push_at_once(void **unused)
{
    (void)unused;
    struct env env;
    struct worker workers[LOOPS];
    env_init(&env, ENV_NO_FAULTS);
    run_workers(&env, NULL, push_images, workers);
    end_workers(&env, workers);
}

static void *append_ones(void *data)
{
    struct worker *w = data;
    for (unsigned i = 0; i < 200; i++) {
        uint64_t offset;
        enum result r = env_append(&w->env, w->uuid, SLICE("1"), &offset);
        MUST(r == OK || r == CONFLICT);
        w->accepted += r == OK;
    }
    return NULL;
}

static void writers_of_one_session_take_turns(void **unused)
{
    (void)unused;
    struct env env;
    struct worker workers[LOOPS];
    char uuid[37];
    env_init(&env, ENV_NO_FAULTS);
    MUST(env_create(&env, uuid) == OK);
    run_workers(&env, uuid, append_ones, workers);
    unsigned accepted = 0;
    for (unsigned i = 0; i < LOOPS; i++)
        accepted += workers[i].accepted;
    char ones[LOOPS * 200];
    memset(ones, '1', sizeof(ones));
    struct digest digest = env_digest(slice_of(ones, accepted));
    assert_true(accepted > 0);
    assert_int_equal(env_commit(&env, uuid, SLICE_EMPTY, &digest), OK);
    end_workers(&env, workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_loops_push_at_once),
        cmocka_unit_test(writers_of_one_session_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
