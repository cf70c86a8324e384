/* SPDX-License-Identifier: Apache-2.0
 *
 * Which upload sessions are removed, and that nothing of them is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "await.h"
#include "registry_env.h"

static int setup(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, ENV_DEFERRED);
    *state = env;
    return 0;
}

static int teardown(void **state)
{
    env_done(*state);
    free(*state);
    return 0;
}

static void purge(struct env *env)
{
    struct env_call call = {.kind = ENV_PURGE};
    assert_int_equal(env_run(env, &call), OK);
    env_call_done(&call);
}

static size_t session_objects(struct env *env)
{
    size_t count = 0;
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        count += slice_has_prefix(memory_driver_object_path(env->memory, i), SLICE("minato/uploads/"));
    return count;
}

static enum result status(struct env *env, const char *uuid)
{
    struct env_call call = {.kind = ENV_STATUS};
    (void)snprintf(call.uuid, sizeof(call.uuid), "%s", uuid);
    enum result r = env_run(env, &call);
    env_call_done(&call);
    return r;
}

static void only_sessions_without_activity_go(void **state)
{
    struct env *env = *state;
    char idle[37], busy[37];
    assert_int_equal(env_create(env, idle), OK);
    assert_int_equal(env_create(env, busy), OK);
    assert_int_equal(env_append(env, idle, SLICE("hello"), NULL), OK);
    env->now_ms += env->config.uploads.expire_after_ms - 1000;
    assert_int_equal(env_append(env, busy, SLICE("hello"), NULL), OK);
    purge(env);
    assert_int_equal(status(env, idle), OK);
    env->now_ms += 2000;
    assert_int_equal(status(env, idle), NOT_FOUND); /* expired, removed or not */
    assert_int_equal(memory_driver_multipart_count(env->memory), 2);
    purge(env);
    assert_int_equal(memory_driver_multipart_count(env->memory), 1);
    assert_int_equal(status(env, busy), OK);
    assert_int_equal(session_objects(env), 2);
}

static void a_session_with_a_writer_stays(void **state)
{
    struct env *env = *state;
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = SLICE("45"), .is_held = true}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    env_start(env, &call);
    env_settle(env);
    env->now_ms += 2 * env->config.uploads.expire_after_ms;
    purge(env);
    env_body_release(&call, OK);
    assert_int_equal(env_wait(&call), OK);
    env_call_done(&call);
    assert_int_equal(status(env, uuid), OK);
}

static void done_records_go_early(void **state)
{
    struct env *env = *state;
    struct digest digest;
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    purge(env);
    assert_true(session_objects(env) > 0);
    env->now_ms += 11u * 60u * 1000u;
    purge(env);
    assert_int_equal(session_objects(env), 0);
    assert_true(env_serves(env, &digest, SLICE("hello")));
}

static void very_many_sessions_go_in_one_run(void **state)
{
    struct env *env = *state;
    char uuid[37];
    for (int i = 0; i < 700; i++)
        assert_int_equal(env_create(env, uuid), OK);
    env->now_ms += 2 * env->config.uploads.expire_after_ms;
    purge(env);
    assert_int_equal(session_objects(env), 0);
}

static void a_state_that_cannot_be_read_goes_too(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice path = layout_upload_state(&arena, SLICE("8c2f8a32-6a5b-4c6f-9a3e-0f8f5f0b3c11"), 1);
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, path, SLICE("rubbish"), 0, done)), OK);
    assert_int_equal(status(env, "8c2f8a32-6a5b-4c6f-9a3e-0f8f5f0b3c11"), NOT_FOUND);
    env->now_ms = UINT64_C(1) << 43;
    purge(env);
    assert_int_equal(session_objects(env), 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_sessions_without_activity_go, setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_with_a_writer_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(done_records_go_early, setup, teardown),
        cmocka_unit_test_setup_teardown(very_many_sessions_go_in_one_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_that_cannot_be_read_goes_too, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
