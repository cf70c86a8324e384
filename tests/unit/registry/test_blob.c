/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs: whose they are, how they are found, and what a missing link or missing bytes come to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

static enum result find(struct env *env, const struct digest *digest, struct blob_info *ret_info)
{
    struct env_call call = {.kind = ENV_BLOB_FIND, .digest = *digest};
    enum result r = env_run(env, &call);
    env_call_done(&call);
    *ret_info = call.info;
    return r;
}

static void a_found_blob_needs_no_storage_call_the_second_time(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct blob_info info;
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    assert_int_equal(find(env, &digest, &info), OK);
    assert_int_equal(info.size, 5);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_int_equal(find(env, &digest, &info), OK);
    assert_int_equal(info.size, 5);
    assert_true(digest_equal(&info.digest, &digest));
    assert_int_equal(fault_driver_calls(env->fault), 0);
}

static void a_blob_of_another_repository_is_not_found(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct blob_info info;
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    env->repo = SLICE("library/other");
    assert_int_equal(find(env, &digest, &info), NOT_FOUND);
}

static void a_blob_whose_bytes_are_gone_is_not_found(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct blob_info info;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    struct slice path = layout_blob(&arena, &digest);
    assert_int_equal(AWAIT(env->loop, storage_delete(env->storage, path, done)), OK);
    assert_int_equal(find(env, &digest, &info), NOT_FOUND);
    arena_done(&arena);
}

static void a_link_to_another_algorithm_is_followed(void **state)
{
    struct env *env = *state;
    struct digest digest, alias;
    struct blob_info info;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    digest_of(DIGEST_SHA512, SLICE("hello"), &alias);
    assert_int_equal(find(env, &alias, &info), NOT_FOUND);
    struct slice path = layout_layer_link(&arena, (struct repo_name){env->repo}, &alias);
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, path, digest_text(&digest, &arena), 0, done)), OK);
    assert_int_equal(find(env, &alias, &info), OK);
    assert_true(digest_equal(&info.digest, &digest));
    assert_true(env_serves(env, &alias, SLICE("hello")));
    arena_done(&arena);
}

/* What is served under a digest has that digest (invariant 7). */
static void a_link_to_another_digest_of_its_algorithm_counts_as_absent(void **state)
{
    struct env *env = *state;
    struct digest digest, other;
    struct blob_info info;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    digest_of(DIGEST_SHA256, SLICE("other"), &other);
    struct slice path = layout_layer_link(&arena, (struct repo_name){env->repo}, &other);
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, path, digest_text(&digest, &arena), 0, done)), OK);
    assert_int_equal(find(env, &other, &info), NOT_FOUND);
    arena_done(&arena);
}

static void a_store_out_of_reach_is_no_absence(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct blob_info info;
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    for (unsigned nth = 1; nth <= 2; nth++) {
        fault_driver_plan(env->fault, (struct fault_plan){.nth = nth, .kind = FAULT_BEFORE, .result = UNAVAILABLE});
        assert_int_equal(find(env, &digest, &info), UNAVAILABLE);
    }
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_int_equal(find(env, &digest, &info), OK);
}

static void a_blob_of_another_size_than_its_index_entry_is_corrupt(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct blob_info info;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    assert_int_equal(find(env, &digest, &info), OK);
    struct slice path = layout_blob(&arena, &digest);
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, path, SLICE("hell"), 0, done)), OK);
    struct env_call call = {.kind = ENV_BLOB_READ, .digest = digest};
    assert_int_equal(env_run(env, &call), CORRUPT);
    env_call_done(&call);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_found_blob_needs_no_storage_call_the_second_time),
        T(a_blob_of_another_repository_is_not_found),
        T(a_blob_whose_bytes_are_gone_is_not_found),
        T(a_link_to_another_algorithm_is_followed),
        T(a_link_to_another_digest_of_its_algorithm_counts_as_absent),
        T(a_store_out_of_reach_is_no_absence),
        T(a_blob_of_another_size_than_its_index_entry_is_corrupt),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
