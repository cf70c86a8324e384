/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of tags: order, pages, and which repositories have one.
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

static void link_tag(struct env *env, const char *tag)
{
    struct arena arena;
    arena_init(&arena);
    struct slice path = layout_tag_current(&arena, (struct repo_name){env->repo}, (struct tag){slice_from_cstr(tag)});
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, path, SLICE("sha256:x"), 0, done)), OK);
    arena_done(&arena);
}

static void expect(struct env *env, const char *last, size_t limit, const char *tags, bool has_more)
{
    struct env_call call = {.kind = ENV_TAGS, .last = last, .limit = limit};
    assert_int_equal(env_run(env, &call), OK);
    strbuf_append(&call.content, SLICE(""));
    assert_string_equal(call.content.ptr == NULL ? "" : call.content.ptr, tags);
    assert_int_equal(call.flag, has_more);
    env_call_done(&call);
}

static void tags_are_in_byte_order_and_in_pages(void **state)
{
    struct env *env = *state;
    static const char *const tags[] = {"v1", "v1-a", "v1.a", "V2", "latest", "10", "9", "_x"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        link_tag(env, tags[i]);
    expect(env, "", 100, "10 9 V2 _x latest v1 v1-a v1.a ", false);
    expect(env, "", 8, "10 9 V2 _x latest v1 v1-a v1.a ", false);
    expect(env, "", 3, "10 9 V2 ", true);
    expect(env, "V2", 3, "_x latest v1 ", true);
    expect(env, "v1", 3, "v1-a v1.a ", false);
    expect(env, "u", 1, "v1 ", true); /* `last` need not exist */
    expect(env, "zz", 3, "", false);
    expect(env, "", 0, "", true);
}

static void more_tags_than_a_page_of_the_store(void **state)
{
    struct env *env = *state;
    char tag[16];
    for (int i = 0; i < 2500; i++) {
        (void)snprintf(tag, sizeof(tag), "t%04d", (i * 7919) % 2500);
        link_tag(env, tag);
    }
    expect(env, "t2497", 10, "t2498 t2499 ", false);
    expect(env, "t1233", 2, "t1234 t1235 ", true);
}

static void a_repository_without_tags_has_an_empty_list(void **state)
{
    struct env *env = *state;
    struct env_call call = {.kind = ENV_TAGS, .last = "", .limit = 10};
    assert_int_equal(env_run(env, &call), NOT_FOUND);
    env_call_done(&call);
    assert_int_equal(env_push_blob(env, SLICE("layer"), NULL), OK);
    expect(env, "", 10, "", false);
    env->repo = SLICE("library"); /* a folder of repositories is none */
    call = (struct env_call){.kind = ENV_TAGS, .last = "", .limit = 10};
    assert_int_equal(env_run(env, &call), NOT_FOUND);
    env_call_done(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tags_are_in_byte_order_and_in_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(more_tags_than_a_page_of_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repository_without_tags_has_an_empty_list, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
