/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens of upload sessions: whose they are, for how long, and that they outlive a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "registry_env.h"

static int setup(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, 0);
    *state = env;
    return 0;
}

static int teardown(void **state)
{
    env_done(*state);
    free(*state);
    return 0;
}

static const struct upload_ref ref = {{{"library/test", 12}}, {"8c2f8a32-6a5b-4c6f-9a3e-0f8f5f0b3c11", 36}};

static void a_token_is_good_for_its_session_repository_and_principal(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice token = upload_token_make(env->registry, ref, SLICE("alice"), &arena);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), OK);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("bob"), token), DENIED);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE(""), token), DENIED);
    struct upload_ref other = ref;
    other.repo.text = SLICE("library/tesT");
    assert_int_equal(upload_token_check(env->registry, other, SLICE("alice"), token), DENIED);
    other = ref;
    other.uuid = SLICE("9c2f8a32-6a5b-4c6f-9a3e-0f8f5f0b3c11");
    assert_int_equal(upload_token_check(env->registry, other, SLICE("alice"), token), DENIED);
    arena_done(&arena);
}

static void whoever_logs_in_half_way_goes_on_with_the_session(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice token = upload_token_make(env->registry, ref, SLICE_EMPTY, &arena);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), OK);
    arena_done(&arena);
}

static void a_changed_token_is_denied(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice token = upload_token_make(env->registry, ref, SLICE(""), &arena);
    for (size_t i = 0; i < token.len; i++) {
        char *copy = arena_cstr(&arena, token);
        copy[i] = copy[i] == '1' ? '2' : '1';
        assert_int_equal(upload_token_check(env->registry, ref, SLICE(""), slice_from_cstr(copy)), DENIED);
        assert_int_equal(upload_token_check(env->registry, ref, SLICE(""), slice_of(token.ptr, i)), DENIED);
    }
    arena_done(&arena);
}

static void a_token_expires(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice token = upload_token_make(env->registry, ref, SLICE("alice"), &arena);
    env->now_ms += env->config.uploads.expire_after_ms;
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), OK);
    env->now_ms += 2000;
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), DENIED);
    arena_done(&arena);
}

static void tokens_outlive_a_restart(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice token = upload_token_make(env->registry, ref, SLICE("alice"), &arena);
    env_restart(env);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), OK);
    /* A configured secret is another key. */
    char secret[] = "configured";
    env->config.http.secret.value = secret;
    env_restart(env);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), DENIED);
    token = upload_token_make(env->registry, ref, SLICE("alice"), &arena);
    env_restart(env);
    assert_int_equal(upload_token_check(env->registry, ref, SLICE("alice"), token), OK);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_is_good_for_its_session_repository_and_principal, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_logs_in_half_way_goes_on_with_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_token_is_denied, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_outlive_a_restart, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
