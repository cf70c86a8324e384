/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: what is accepted, what is said to be missing, and that the bytes come back as they were.
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

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

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

struct text {
    char chars[300000];
    size_t len;
};

static struct slice of(const struct text *t)
{
    return slice_of(t->chars, t->len);
}

static void hex_of(const struct digest *digest, char out[DIGEST_TEXT_MAX + 1])
{
    out[digest_format(digest, out)] = '\0';
}

/* `padding` bytes of annotation make it large. */
static void image(struct text *t, const struct digest *config, const struct digest *layer, const char *layer_type,
                  size_t padding)
{
    char c[DIGEST_TEXT_MAX + 1];
    char l[DIGEST_TEXT_MAX + 1];
    hex_of(config, c);
    hex_of(layer, l);
    t->len = (size_t)snprintf(t->chars, sizeof(t->chars),
                              "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":"
                              "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":6},\"layers\":"
                              "[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":5}],\"annotations\":{\"x\":\"%0*d\"}}",
                              c, layer_type, l, (int)padding, 7);
}

static enum result put(struct env *env, const char *reference, const char *type, struct slice bytes,
                       struct env_call *ret_call)
{
    struct env_call call = {.kind = ENV_MANIFEST_PUT, .reference = reference, .content_type = type, .bytes = bytes};
    enum result r = env_run(env, &call);
    env_call_done(&call);
    if (ret_call != NULL)
        *ret_call = call;
    return r;
}

static bool serves(struct env *env, const char *reference, const char *type, struct slice bytes)
{
    struct env_call call = {.kind = ENV_MANIFEST_FIND, .reference = reference};
    bool is_same = env_run(env, &call) == OK && slice_equal(strbuf_slice(&call.content), bytes) &&
                   slice_equal(strbuf_slice(&call.media_type), slice_from_cstr(type));
    env_call_done(&call);
    return is_same;
}

static enum result find(struct env *env, const char *reference)
{
    struct env_call call = {.kind = ENV_MANIFEST_FIND, .reference = reference};
    enum result r = env_run(env, &call);
    env_call_done(&call);
    return r;
}

static enum result store(struct env *env, struct slice path, struct slice bytes)
{
    return AWAIT(env->loop, storage_put(env->storage, path, bytes, 0, done));
}

static void remove_object(struct env *env, struct slice path)
{
    assert_int_equal(AWAIT(env->loop, storage_delete(env->storage, path, done)), OK);
}

#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"

static void push_image(struct env *env, const char *tag, struct text *t, size_t padding)
{
    struct digest config, layer;
    assert_int_equal(env_push_blob(env, SLICE("config"), &config), OK);
    assert_int_equal(env_push_blob(env, SLICE("layer"), &layer), OK);
    image(t, &config, &layer, LAYER_TYPE, padding);
    assert_int_equal(put(env, tag, IMAGE_TYPE, of(t), NULL), OK);
}

static struct text shared;

static void a_manifest_comes_back_byte_for_byte(void **state)
{
    struct env *env = *state;
    push_image(env, "v1", &shared, 1);
    struct digest digest = env_digest(of(&shared));
    char name[DIGEST_TEXT_MAX + 1];
    hex_of(&digest, name);
    for (int i = 0; i < 3; i++) { /* cold, filled, warm */
        assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
        assert_true(serves(env, name, IMAGE_TYPE, of(&shared)));
        if (i == 1)
            env_restart(env);
    }
    assert_int_equal(find(env, "v2"), NOT_FOUND);
    env->repo = SLICE("library/other");
    assert_int_equal(find(env, "v1"), NOT_FOUND);
    assert_int_equal(find(env, name), NOT_FOUND); /* though its bytes are in the cache */
}

static void a_large_manifest_is_parsed_on_the_pool(void **state)
{
    struct env *env = *state;
    push_image(env, "big", &shared, 200000);
    assert_true(serves(env, "big", IMAGE_TYPE, of(&shared)));
    env_restart(env);
    assert_true(serves(env, "big", IMAGE_TYPE, of(&shared)));
}

static void a_warm_manifest_takes_no_storage_call(void **state)
{
    struct env *env = *state;
    push_image(env, "v1", &shared, 1);
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
    assert_int_equal(fault_driver_calls(env->fault), 0);
}

static void what_is_missing_is_named_once_each(void **state)
{
    struct env *env = *state;
    struct env_call call;
    struct digest config = env_digest(SLICE("config"));
    image(&shared, &config, &config, LAYER_TYPE, 1);
    assert_int_equal(put(env, "v1", IMAGE_TYPE, of(&shared), &call), NOT_FOUND);
    assert_int_equal(call.count, 1);
    struct digest layer = env_digest(SLICE("layer"));
    image(&shared, &config, &layer, LAYER_TYPE, 1);
    assert_int_equal(put(env, "v1", IMAGE_TYPE, of(&shared), &call), NOT_FOUND);
    assert_int_equal(call.count, 2);
    assert_int_equal(find(env, "v1"), NOT_FOUND);
    env->config.validation.layers = false;
    assert_int_equal(put(env, "v1", IMAGE_TYPE, of(&shared), &call), OK);
}

static void a_nondistributable_layer_need_not_be_here(void **state)
{
    struct env *env = *state;
    struct digest config;
    struct digest layer = env_digest(SLICE("elsewhere"));
    assert_int_equal(env_push_blob(env, SLICE("config"), &config), OK);
    image(&shared, &config, &layer, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 1);
    assert_int_equal(put(env, "v1", IMAGE_TYPE, of(&shared), NULL), OK);
}

static void a_layer_of_another_repository_is_missing(void **state)
{
    struct env *env = *state;
    struct env_call call;
    push_image(env, "v1", &shared, 1);
    env->repo = SLICE("library/other");
    assert_int_equal(put(env, "v1", IMAGE_TYPE, of(&shared), &call), NOT_FOUND);
    assert_int_equal(call.count, 2);
}

static void an_index_may_name_manifests_and_layers(void **state)
{
    struct env *env = *state;
    struct env_call call;
    static struct text index;
    push_image(env, "v1", &shared, 1);
    struct digest child = env_digest(of(&shared));
    struct digest layer = env_digest(SLICE("layer"));
    char m[DIGEST_TEXT_MAX + 1], l[DIGEST_TEXT_MAX + 1];
    hex_of(&child, m);
    hex_of(&layer, l);
    index.len = (size_t)snprintf(index.chars, sizeof(index.chars),
                                 "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":["
                                 "{\"mediaType\":\"" IMAGE_TYPE "\",\"digest\":\"%s\",\"size\":%zu},"
                                 "{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\",\"size\":5}]}",
                                 m, shared.len, l);
    assert_int_equal(put(env, "multi", INDEX_TYPE, of(&index), NULL), OK);
    assert_true(serves(env, "multi", INDEX_TYPE, of(&index)));
    env->repo = SLICE("library/other");
    assert_int_equal(put(env, "multi", INDEX_TYPE, of(&index), &call), NOT_FOUND);
    assert_int_equal(call.count, 2);
    env->config.validation.children = false;
    assert_int_equal(put(env, "multi", INDEX_TYPE, of(&index), NULL), OK);
}

static void a_subject_is_reported_and_may_be_missing(void **state)
{
    struct env *env = *state;
    struct env_call call;
    struct digest config;
    assert_int_equal(env_push_blob(env, SLICE("{}"), &config), OK);
    char c[DIGEST_TEXT_MAX + 1], s[DIGEST_TEXT_MAX + 1];
    struct digest subject = env_digest(SLICE("not here"));
    hex_of(&config, c);
    hex_of(&subject, s);
    shared.len = (size_t)snprintf(shared.chars, sizeof(shared.chars),
                                  "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":"
                                  "\"application/vnd.oci.empty.v1+json\",\"digest\":\"%s\",\"size\":2},\"layers\":[],"
                                  "\"subject\":{\"mediaType\":\"" IMAGE_TYPE "\",\"digest\":\"%s\",\"size\":8}}",
                                  c, s);
    assert_int_equal(put(env, "signed", IMAGE_TYPE, of(&shared), &call), OK);
    assert_true(call.flag);
}

static void a_manifest_under_another_digest_is_invalid(void **state)
{
    struct env *env = *state;
    struct digest other = env_digest(SLICE("other"));
    char name[DIGEST_TEXT_MAX + 1];
    hex_of(&other, name);
    push_image(env, "v1", &shared, 1);
    assert_int_equal(put(env, name, IMAGE_TYPE, of(&shared), NULL), INVALID);
    assert_int_equal(put(env, "v2", IMAGE_TYPE, SLICE("{"), NULL), INVALID);
    assert_int_equal(find(env, "v2"), NOT_FOUND);
}

static void a_manifest_may_be_put_by_sha512(void **state)
{
    struct env *env = *state;
    push_image(env, "v1", &shared, 1);
    struct digest digest;
    char name[DIGEST_TEXT_MAX + 1];
    digest_of(DIGEST_SHA512, of(&shared), &digest);
    hex_of(&digest, name);
    assert_int_equal(put(env, name, IMAGE_TYPE, of(&shared), NULL), OK);
    assert_true(serves(env, name, IMAGE_TYPE, of(&shared)));
}

static void a_tag_moves(void **state)
{
    struct env *env = *state;
    static struct text second;
    push_image(env, "v1", &shared, 1);
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
    push_image(env, "v1", &second, 2);
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&second)));
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&second)));
}

/* ---- folders that others wrote ---- */

static void a_manifest_of_a_very_old_folder_is_linked_as_a_layer(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    push_image(env, "v1", &shared, 1);
    struct digest digest = env_digest(of(&shared));
    char name[DIGEST_TEXT_MAX + 1];
    hex_of(&digest, name);
    struct repo_name repo = {env->repo};
    remove_object(env, layout_revision_link(&arena, repo, &digest));
    env_restart(env);
    assert_int_equal(find(env, name), NOT_FOUND);
    assert_int_equal(store(env, layout_layer_link(&arena, repo, &digest), slice_from_cstr(name)), OK);
    assert_true(serves(env, name, IMAGE_TYPE, of(&shared)));
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
    /* A layer is no manifest. */
    struct digest layer = env_digest(SLICE("layer"));
    hex_of(&layer, name);
    assert_int_equal(find(env, name), NOT_FOUND);
    arena_done(&arena);
}

static void a_link_is_followed_to_another_algorithm(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    push_image(env, "v1", &shared, 1);
    struct digest digest = env_digest(of(&shared));
    struct digest alias;
    char target[DIGEST_TEXT_MAX + 1], name[DIGEST_TEXT_MAX + 1];
    hex_of(&digest, target);
    digest_of(DIGEST_SHA512, of(&shared), &alias);
    hex_of(&alias, name);
    assert_int_equal(
        store(env, layout_revision_link(&arena, (struct repo_name){env->repo}, &alias), slice_from_cstr(target)), OK);
    struct env_call call = {.kind = ENV_MANIFEST_FIND, .reference = name};
    assert_int_equal(env_run(env, &call), OK);
    assert_true(digest_equal(&call.digest, &digest));
    env_call_done(&call);
    arena_done(&arena);
}

static void an_empty_or_broken_link_counts_as_absent(void **state)
{
    struct env *env = *state;
    static const char *const broken[] = {"", "sha256:", "x", "sha256:zz", "\n"};
    struct arena arena;
    arena_init(&arena);
    push_image(env, "v1", &shared, 1);
    struct slice current = layout_tag_current(&arena, (struct repo_name){env->repo}, (struct tag){SLICE("v1")});
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(store(env, current, slice_from_cstr(broken[i])), OK);
        env_restart(env);
        assert_int_equal(find(env, "v1"), NOT_FOUND);
    }
    char text[DIGEST_TEXT_MAX + 2];
    struct digest digest = env_digest(of(&shared));
    hex_of(&digest, text);
    strcat(text, "\n");
    assert_int_equal(store(env, current, slice_from_cstr(text)), OK);
    assert_true(serves(env, "v1", IMAGE_TYPE, of(&shared)));
    arena_done(&arena);
}

static void rotten_bytes_are_not_served(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    push_image(env, "v1", &shared, 1);
    struct digest digest = env_digest(of(&shared));
    env_restart(env);
    assert_true(memory_driver_corrupt(env->memory, layout_blob(&arena, &digest), 300));
    assert_int_equal(find(env, "v1"), CORRUPT);
    arena_done(&arena);
}

static void a_stored_schema_1_manifest_is_unsupported(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice bytes = SLICE("{\"schemaVersion\":1,\"name\":\"x\",\"tag\":\"y\",\"fsLayers\":[],\"history\":[]}");
    struct digest digest = env_digest(bytes);
    char name[DIGEST_TEXT_MAX + 1];
    hex_of(&digest, name);
    struct repo_name repo = {env->repo};
    assert_int_equal(store(env, layout_blob(&arena, &digest), bytes), OK);
    assert_int_equal(store(env, layout_revision_link(&arena, repo, &digest), slice_from_cstr(name)), OK);
    assert_int_equal(find(env, name), UNSUPPORTED);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_manifest_comes_back_byte_for_byte),
        T(a_large_manifest_is_parsed_on_the_pool),
        T(a_warm_manifest_takes_no_storage_call),
        T(what_is_missing_is_named_once_each),
        T(a_nondistributable_layer_need_not_be_here),
        T(a_layer_of_another_repository_is_missing),
        T(an_index_may_name_manifests_and_layers),
        T(a_subject_is_reported_and_may_be_missing),
        T(a_manifest_under_another_digest_is_invalid),
        T(a_manifest_may_be_put_by_sha512),
        T(a_tag_moves),
        T(a_manifest_of_a_very_old_folder_is_linked_as_a_layer),
        T(a_link_is_followed_to_another_algorithm),
        T(an_empty_or_broken_link_counts_as_absent),
        T(rotten_bytes_are_not_served),
        T(a_stored_schema_1_manifest_is_unsupported),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
