/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: which repositories there are, from the store and as they come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "content.h"

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

static struct digest push_to(struct env *env, const char *repo, const char *bytes)
{
    struct digest digest;
    struct slice before = env->repo;
    env->repo = slice_from_cstr(repo);
    assert_int_equal(env_push_blob(env, slice_from_cstr(bytes), &digest), OK);
    env->repo = before;
    return digest;
}

/* Warm and cold. */
static void expect(struct env *env, const char *repositories)
{
    assert_true(content_repositories_are(env, repositories));
    struct env fresh;
    env_fresh(env, &fresh);
    assert_true(content_repositories_are(&fresh, repositories));
    env_fresh_done(&fresh);
}

static void an_empty_registry_has_none(void **state)
{
    expect(*state, "");
}

static void repositories_are_in_byte_order_and_nest(void **state)
{
    struct env *env = *state;
    static const char *const names[] = {"b", "a/b/c", "a", "a-b", "a/b-c/d", "a.b", "a/b", "x/y/z/0"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)push_to(env, names[i], "blob");
        if (i == 2)
            expect(env, "a a/b/c b "); /* from here on the list is warm */
    }
    expect(env, "a a-b a.b a/b a/b-c/d a/b/c b x/y/z/0 ");
}

static void expect_page(struct env *env, const char *last, size_t limit, const char *repositories, bool has_more)
{
    struct env_call call = {.kind = ENV_REPOSITORIES, .last = last, .limit = limit};
    assert_int_equal(env_run(env, &call), OK);
    strbuf_append(&call.content, SLICE(""));
    assert_string_equal(call.content.ptr == NULL ? "" : call.content.ptr, repositories);
    assert_int_equal(call.flag, has_more);
    env_call_done(&call);
}

static void pages_begin_after_a_name_that_need_not_exist(void **state)
{
    struct env *env = *state;
    static const char *const names[] = {"a", "a-b", "a/b", "b", "c"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)push_to(env, names[i], "blob");
    for (int warm = 0; warm < 2; warm++) {
        expect_page(env, "", 2, "a a-b ", true);
        expect_page(env, "a-b", 2, "a/b b ", true);
        expect_page(env, "b", 2, "c ", false);
        expect_page(env, "a/a", 1, "a/b ", true);
        expect_page(env, "zz", 2, "", false);
        expect_page(env, "", 5, "a a-b a/b b c ", false);
        env_restart(env);
        if (warm == 0)
            expect_page(env, "a-b", 2, "a/b b ", true); /* a cold one in the middle */
    }
}

static void a_repository_vanishes_with_its_last_link_and_comes_back(void **state)
{
    struct env *env = *state;
    struct digest manifest;
    struct content c = {.is_index = true};
    (void)push_to(env, "other", "blob");
    struct digest blob = push_to(env, "library/test", "blob");
    assert_int_equal(content_put(env, "v1", &c, &manifest), OK);
    expect(env, "library/test other ");
    assert_int_equal(content_delete_blob(env, &blob, NULL), OK);
    expect(env, "library/test other ");
    assert_int_equal(content_delete_tag(env, "v1"), OK);
    expect(env, "library/test other "); /* a manifest without a tag is left */
    assert_int_equal(content_delete_manifest(env, &manifest, NULL), OK);
    expect(env, "other ");
    struct env_call call = {.kind = ENV_TAGS, .limit = 10};
    assert_int_equal(env_run(env, &call), NOT_FOUND);
    env_call_done(&call);
    assert_int_equal(content_put(env, "v1", &c, NULL), OK);
    expect(env, "library/test other ");
    assert_int_equal(content_delete_manifest(env, &manifest, NULL), OK); /* with its tag */
    expect(env, "other ");
    assert_int_equal(content_mount(env, "other", &blob), OK);
    expect(env, "library/test other ");
    assert_int_equal(content_delete_blob(env, &blob, NULL), OK);
    expect(env, "other ");
}

static void a_nested_repository_outlives_the_one_above_it(void **state)
{
    struct env *env = *state;
    struct digest blob = push_to(env, "library/test", "blob");
    (void)push_to(env, "library/test/nested", "blob");
    (void)push_to(env, "library", "blob");
    expect(env, "library library/test library/test/nested ");
    assert_int_equal(content_delete_blob(env, &blob, NULL), OK);
    expect(env, "library library/test/nested ");
    env->repo = SLICE("library");
    assert_int_equal(content_delete_blob(env, &blob, NULL), OK);
    expect(env, "library/test/nested ");
    env->repo = SLICE("library/test/nested");
    assert_int_equal(content_delete_blob(env, &blob, NULL), OK);
    expect(env, "");
}

/* Whatever else lies in the tree of repositories. */
static void what_is_no_repository_is_not_listed(void **state)
{
    struct env *env = *state;
    struct slice link = SLICE("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    static const char *const paths[] = {
        "docker/registry/v2/repositories/Upper/_layers/sha256/44/link", /* no name of ours */
        "docker/registry/v2/repositories/uploading/_uploads/1234/startedat",
        "docker/registry/v2/repositories/odd/_other/x",
        "docker/registry/v2/repositories/stray",
        "docker/registry/v2/repositories/_layers/sha256/44/link",
        "docker/registry/v2/repositories/a/b/_manifests/revisions/sha256/44/link",
        "docker/registry/v2/repositories/a/b/_layers/_manifests/c/_layers/x",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(content_store(env, slice_from_cstr(paths[i]), link), OK);
    expect(env, "a/b ");
}

static void many_repositories(void **state)
{
    struct env *env = *state;
    char path[128];
    for (int i = 0; i < 3000; i++) { /* more than a page of the store, and than are begun in one turn */
        int n = (int)((i * 7919L) % 3000);
        (void)snprintf(path, sizeof(path), "docker/registry/v2/repositories/p%02d/r%04d/_layers/sha256/x/link", n % 30,
                       n);
        assert_int_equal(content_store(env, slice_from_cstr(path), SLICE("x")), OK);
    }
    expect_page(env, "p29/r2969", 10, "p29/r2999 ", false);
    expect_page(env, "p00/r2970", 2, "p01/r0001 p01/r0031 ", true);
    struct env_call call = {.kind = ENV_REPOSITORIES, .limit = 5000};
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(call.count, 3000);
    env_call_done(&call);
}

/* Many ask while it is cold: one of them reads the store. */
static void a_cold_catalog_is_read_once(void **state)
{
    struct env *env = *state;
    struct env_call calls[20];
    (void)push_to(env, "a", "blob");
    (void)push_to(env, "b/c", "blob");
    env_restart(env);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    for (size_t i = 0; i < 20; i++) {
        calls[i] = (struct env_call){.kind = ENV_REPOSITORIES, .limit = 10};
        env_start(env, &calls[i]);
    }
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(env_wait(&calls[i]), OK);
        assert_true(slice_equal(strbuf_slice(&calls[i].content), SLICE("a b/c ")));
        env_call_done(&calls[i]);
    }
    assert_int_equal(fault_driver_calls(env->fault), 4); /* the root, a, b, b/c */
}

static void the_next_one_reads_when_the_first_fails_or_goes_away(void **state)
{
    struct env *env = *state;
    (void)push_to(env, "a", "blob");
    for (int way = 0; way < 2; way++) {
        struct env_call calls[3];
        env_restart(env);
        struct fault_plan plan = {
            .nth = 1, .kind = way == 0 ? FAULT_BEFORE : FAULT_STALL, .result = way == 0 ? IO : OK};
        fault_driver_plan(env->fault, plan);
        for (size_t i = 0; i < 3; i++) {
            calls[i] = (struct env_call){.kind = ENV_REPOSITORIES, .limit = 10};
            env_start(env, &calls[i]);
        }
        if (way == 1) {
            flow_cancel(calls[0].flow);
            flow_cancel(calls[1].flow); /* one that waits */
            env_settle(env);
            fault_driver_release(env->fault);
        }
        assert_int_equal(env_wait(&calls[0]), way == 0 ? IO : CANCELLED);
        assert_int_equal(env_wait(&calls[1]), way == 0 ? OK : CANCELLED);
        assert_int_equal(env_wait(&calls[2]), OK);
        for (size_t i = 0; i < 3; i++)
            env_call_done(&calls[i]);
        fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_registry_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(repositories_are_in_byte_order_and_nest, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_begin_after_a_name_that_need_not_exist, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repository_vanishes_with_its_last_link_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_nested_repository_outlives_the_one_above_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_repository_is_not_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(many_repositories, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cold_catalog_is_read_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_one_reads_when_the_first_fails_or_goes_away, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
