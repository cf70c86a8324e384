/* SPDX-License-Identifier: Apache-2.0
 *
 * Deletes and mounts: what goes, what stays, and who is in the way.
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

/* A repository with two images over the same blobs, and an index of the first. */
struct images {
    struct digest config;
    struct digest layer;
    struct digest first;
    struct digest second;
    struct digest index;
};

static void push_images(struct env *env, struct images *i)
{
    assert_int_equal(env_push_blob(env, SLICE("config"), &i->config), OK);
    assert_int_equal(env_push_blob(env, SLICE("layer"), &i->layer), OK);
    struct content c = {.config = &i->config, .children = &i->layer, .child_count = 1, .note = "first"};
    assert_int_equal(content_put(env, "v1", &c, &i->first), OK);
    c.note = "second";
    assert_int_equal(content_put(env, "v2", &c, &i->second), OK);
}

static void push_index(struct env *env, struct images *i)
{
    struct content c = {.is_index = true, .children = &i->first, .child_count = 1};
    assert_int_equal(content_put(env, "multi", &c, &i->index), OK);
}

static struct digest digest_of_text(const char *text)
{
    struct digest digest;
    assert_int_equal(digest_parse(slice_from_cstr(text), &digest), OK);
    return digest;
}

/* ---- manifests ---- */

static void a_manifest_goes_with_the_tags_that_point_to_it_and_no_other(void **state)
{
    struct env *env = *state;
    struct images i;
    struct arena arena;
    arena_init(&arena);
    push_images(env, &i);
    struct content c = {.config = &i.config, .children = &i.layer, .child_count = 1, .note = "first"};
    assert_int_equal(content_put(env, "latest", &c, NULL), OK);
    assert_int_equal(content_put(env, "moved", &c, NULL), OK); /* has named it, but does no more */
    c.note = "second";
    assert_int_equal(content_put(env, "moved", &c, NULL), OK);
    assert_true(content_tags_are(env, "latest moved v1 v2 "));
    for (int warm = 0; warm < 2; warm++) {
        struct images cold = i;
        assert_int_equal(content_delete_manifest(env, &cold.first, NULL), warm == 0 ? OK : NOT_FOUND);
        assert_int_equal(content_find(env, "v1", NULL), NOT_FOUND);
        assert_int_equal(content_find(env, "latest", NULL), NOT_FOUND);
        assert_int_equal(content_find(env, content_name(&arena, &i.first), NULL), NOT_FOUND);
        struct digest named;
        assert_int_equal(content_find(env, "moved", &named), OK);
        assert_true(digest_equal(&named, &i.second));
        assert_int_equal(content_find(env, "v2", NULL), OK);
        assert_true(content_tags_are(env, "moved v2 "));
        assert_int_equal(content_find_blob(env, &i.layer), OK); /* blobs are deleted one by one */
        env_restart(env);
    }
    arena_done(&arena);
}

static void a_deleted_manifest_can_be_pushed_again(void **state)
{
    struct env *env = *state;
    struct images i, again;
    push_images(env, &i);
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    push_images(env, &again);
    assert_true(digest_equal(&i.first, &again.first));
    assert_int_equal(content_find(env, "v1", NULL), OK);
    assert_true(content_tags_are(env, "v1 v2 "));
}

static void a_child_named_by_an_index_is_refused_with_the_index(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest by;
    push_images(env, &i);
    push_index(env, &i);
    for (int warm = 0; warm < 2; warm++) {
        assert_int_equal(content_delete_manifest(env, &i.first, &by), CONFLICT);
        assert_true(digest_equal(&by, &i.index));
        assert_int_equal(content_find(env, "v1", NULL), OK); /* with its tags */
        env_restart(env);
    }
    assert_int_equal(content_delete_manifest(env, &i.second, NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.index, NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_true(content_tags_are(env, ""));
}

static void without_validation_nothing_keeps_a_child_or_a_blob(void **state)
{
    struct env *env = *state;
    struct images i;
    push_images(env, &i);
    push_index(env, &i);
    env->config.validation.children = false;
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), CONFLICT); /* layers are validated still */
    env->config.validation.layers = false;
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), OK);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest other = env_digest(SLICE("other"));
    for (int n = 0; n < 2; n++) {
        assert_int_equal(content_delete_manifest(env, &other, NULL), NOT_FOUND);
        assert_int_equal(content_delete_blob(env, &other, NULL), NOT_FOUND);
        assert_int_equal(content_delete_tag(env, "other"), NOT_FOUND);
        push_images(env, &i);
    }
    assert_int_equal(content_delete_blob(env, &i.first, NULL), NOT_FOUND);
    env->repo = SLICE("library/other"); /* it is another's */
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), NOT_FOUND);
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), NOT_FOUND);
    assert_int_equal(content_delete_tag(env, "v1"), NOT_FOUND);
}

static void a_blob_is_not_deleted_as_a_manifest(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest spare;
    push_images(env, &i);
    assert_int_equal(env_push_blob(env, SLICE("spare"), &spare), OK);
    assert_int_equal(content_delete_manifest(env, &i.layer, NULL), NOT_FOUND);
    assert_int_equal(content_delete_manifest(env, &spare, NULL), NOT_FOUND);
    assert_true(env_serves(env, &spare, SLICE("spare")));
}

static void a_manifest_linked_as_a_layer_goes_with_that_link(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest by;
    struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {env->repo};
    push_images(env, &i);
    push_index(env, &i);
    assert_int_equal(content_remove(env, layout_revision_link(&arena, repo, &i.first)), OK);
    struct slice link = layout_layer_link(&arena, repo, &i.first);
    assert_int_equal(content_store(env, link, digest_text(&i.first, &arena)), OK);
    env_restart(env);
    assert_int_equal(content_find(env, "v1", NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.first, &by), CONFLICT);
    assert_true(digest_equal(&by, &i.index));
    assert_int_equal(content_delete_manifest(env, &i.index, NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_false(content_exists(env, link));
    assert_int_equal(content_find(env, content_name(&arena, &i.first), NULL), NOT_FOUND);
    assert_true(content_tags_are(env, "v2 "));
    arena_done(&arena);
}

static void a_manifest_whose_bytes_are_rotten_or_gone_can_be_deleted(void **state)
{
    struct env *env = *state;
    struct images i;
    struct arena arena;
    arena_init(&arena);
    push_images(env, &i);
    env_restart(env);
    assert_true(memory_driver_corrupt(env->memory, layout_blob(&arena, &i.first), 20));
    assert_int_equal(content_remove(env, layout_blob(&arena, &i.second)), OK);
    assert_int_equal(content_delete_blob(env, &i.config, NULL), OK); /* neither keeps anything */
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.second, NULL), OK);
    assert_true(content_tags_are(env, ""));
    arena_done(&arena);
}

static void a_manifest_by_sha512_is_deleted(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest config, digest, by;
    assert_int_equal(env_push_blob(env, SLICE("config"), &config), OK);
    struct content c = {.config = &config};
    digest_of(DIGEST_SHA512, content_json(&arena, &c), &digest);
    assert_int_equal(content_put(env, content_name(&arena, &digest), &c, NULL), OK);
    assert_int_equal(content_delete_blob(env, &config, &by), CONFLICT);
    assert_true(digest_equal(&by, &digest));
    assert_int_equal(content_delete_manifest(env, &digest, NULL), OK);
    assert_int_equal(content_delete_blob(env, &config, NULL), OK);
    arena_done(&arena);
}

static void a_schema_1_manifest_is_deleted_though_it_cannot_be_read(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {env->repo};
    struct slice bytes = SLICE("{\"schemaVersion\":1,\"name\":\"a\",\"tag\":\"b\",\"fsLayers\":[],\"history\":[]}");
    struct digest digest = env_digest(bytes);
    assert_int_equal(content_store(env, layout_blob(&arena, &digest), bytes), OK);
    struct slice link = layout_revision_link(&arena, repo, &digest);
    assert_int_equal(content_store(env, link, digest_text(&digest, &arena)), OK);
    assert_int_equal(content_find(env, content_name(&arena, &digest), NULL), UNSUPPORTED);
    assert_int_equal(content_delete_manifest(env, &digest, NULL), OK);
    assert_false(content_exists(env, link));
    arena_done(&arena);
}

static void many_tags_of_one_manifest_go_with_it(void **state)
{
    struct env *env = *state;
    struct images i;
    char tag[16];
    push_images(env, &i);
    for (int n = 0; n < 300; n++) {
        struct content c = {.config = &i.config, .children = &i.layer, .child_count = 1};
        c.note = n % 3 == 0 ? "second" : "first";
        (void)snprintf(tag, sizeof(tag), "t%d", n);
        assert_int_equal(content_put(env, tag, &c, NULL), OK);
    }
    env_restart(env);
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    struct env_call call = {.kind = ENV_TAGS, .limit = 1000};
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(call.count, 101);
    env_call_done(&call);
}

/* ---- blobs ---- */

static void a_blob_that_a_manifest_names_is_refused_with_the_manifest(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest by;
    push_images(env, &i);
    assert_int_equal(content_delete_manifest(env, &i.second, NULL), OK);
    for (int warm = 0; warm < 2; warm++) {
        assert_int_equal(content_delete_blob(env, &i.layer, &by), CONFLICT);
        assert_true(digest_equal(&by, &i.first));
        assert_int_equal(content_delete_blob(env, &i.config, &by), CONFLICT);
        assert_true(digest_equal(&by, &i.first));
        env_restart(env);
    }
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), OK);
    assert_int_equal(content_find_blob(env, &i.layer), NOT_FOUND);
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), NOT_FOUND);
    assert_int_equal(content_find_blob(env, &i.config), OK);
}

static void a_blob_is_the_repositorys_own(void **state)
{
    struct env *env = *state;
    struct images i;
    push_images(env, &i);
    env->repo = SLICE("library/other");
    assert_int_equal(content_mount(env, "library/test", &i.layer), OK);
    assert_true(env_serves(env, &i.layer, SLICE("layer")));
    assert_int_equal(content_delete_blob(env, &i.layer, NULL), OK); /* nothing names it here */
    assert_int_equal(content_find_blob(env, &i.layer), NOT_FOUND);
    env->repo = SLICE("library/test");
    assert_true(env_serves(env, &i.layer, SLICE("layer")));
    env->repo = SLICE("library/other");
    assert_int_equal(env_push_blob(env, SLICE("layer"), NULL), OK);
    assert_true(env_serves(env, &i.layer, SLICE("layer")));
}

static void a_blob_that_an_escape_names_is_refused(void **state)
{
    struct env *env = *state;
    struct images i;
    struct arena arena;
    arena_init(&arena);
    push_images(env, &i);
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_int_equal(content_delete_manifest(env, &i.second, NULL), OK);
    struct slice config = digest_text(&i.config, &arena);
    struct slice bytes =
        arena_format(&arena,
                     "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":\"" CONFIG_TYPE
                     "\",\"digest\":\"sha256\\u003a%.*s\\u00%02x\",\"size\":6},\"layers\":[]}",
                     (int)config.len - 8, config.ptr + 7, (unsigned)config.ptr[config.len - 1]);
    struct env_call call = {
        .kind = ENV_MANIFEST_PUT, .reference = "escaped", .content_type = IMAGE_TYPE, .bytes = bytes};
    assert_int_equal(env_run(env, &call), OK);
    env_call_done(&call);
    assert_int_equal(content_delete_blob(env, &i.config, NULL), CONFLICT);
    arena_done(&arena);
}

static void a_layer_named_by_an_index_is_refused(void **state)
{
    struct env *env = *state;
    struct digest layer, by, index;
    assert_int_equal(env_push_blob(env, SLICE("layer"), &layer), OK);
    struct content c = {.is_index = true, .children = &layer, .child_count = 1}; /* a cache of BuildKit's */
    assert_int_equal(content_put(env, "cache", &c, &index), OK);
    assert_int_equal(content_delete_blob(env, &layer, &by), CONFLICT);
    assert_true(digest_equal(&by, &index));
}

/* ---- tags ---- */

static void a_tag_goes_alone(void **state)
{
    struct env *env = *state;
    struct images i;
    struct arena arena;
    arena_init(&arena);
    push_images(env, &i);
    assert_true(content_tags_are(env, "v1 v2 "));
    assert_int_equal(content_delete_tag(env, "v1"), OK);
    assert_int_equal(content_delete_tag(env, "v1"), NOT_FOUND);
    assert_int_equal(content_find(env, "v1", NULL), NOT_FOUND);
    assert_int_equal(content_find(env, content_name(&arena, &i.first), NULL), OK);
    assert_true(content_tags_are(env, "v2 "));
    env_restart(env);
    assert_int_equal(content_find(env, "v1", NULL), NOT_FOUND);
    assert_true(content_tags_are(env, "v2 "));
    arena_done(&arena);
}

/* Paths in the order in which they were removed. */
struct order {
    struct env *env;
    struct slice current;
    bool was_current_there; /* at the last delete */
    unsigned deletes;
};

static void note_delete(void *data, const char *call)
{
    struct order *order = data;
    if (strcmp(call, "delete") != 0)
        return;
    order->deletes++;
    order->was_current_there = false;
    for (size_t i = 0; i < memory_driver_object_count(order->env->memory); i++)
        if (slice_equal(memory_driver_object_path(order->env->memory, i), order->current))
            order->was_current_there = true;
}

static void the_history_of_a_tag_is_removed_before_what_it_names(void **state)
{
    struct env *env = *state;
    struct images i;
    struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {env->repo};
    struct tag tag = {SLICE("v1")};
    push_images(env, &i);
    struct content c = {.config = &i.config, .children = &i.layer, .child_count = 1, .note = "second"};
    assert_int_equal(content_put(env, "v1", &c, NULL), OK);
    struct slice old = layout_tag_index(&arena, repo, tag, &i.first);
    assert_true(content_exists(env, old));
    struct order order = {.env = env, .current = layout_tag_current(&arena, repo, tag)};
    fault_driver_hook(env->fault, note_delete, &order);
    assert_int_equal(content_delete_tag(env, "v1"), OK);
    fault_driver_hook(env->fault, NULL, NULL);
    assert_in_range(order.deletes, 3, 4); /* a folder of an algorithm it never had is looked for too */
    assert_true(order.was_current_there); /* until the last delete */
    for (size_t k = 0; k < memory_driver_object_count(env->memory); k++) {
        struct slice path = memory_driver_object_path(env->memory, k);
        assert_null(memmem(path.ptr, path.len, "/tags/v1/", 9));
    }
    arena_done(&arena);
}

static void a_tag_that_is_broken_or_only_history_can_be_deleted(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {env->repo};
    struct digest digest = env_digest(SLICE("x"));
    struct tag empty = {SLICE("empty")}, past = {SLICE("past")};
    assert_int_equal(content_store(env, layout_tag_current(&arena, repo, empty), SLICE("")), OK);
    struct slice link = layout_tag_index(&arena, repo, past, &digest);
    assert_int_equal(content_store(env, link, digest_text(&digest, &arena)), OK);
    assert_true(content_tags_are(env, "empty past "));
    assert_int_equal(content_find(env, "empty", NULL), NOT_FOUND);
    assert_int_equal(content_delete_tag(env, "empty"), OK);
    assert_int_equal(content_delete_tag(env, "past"), OK);
    assert_false(content_repositories_are(env, "library/test "));
    arena_done(&arena);
}

/* The tag is gone, though nobody was told; the next delete of its manifest is acknowledged. */
static void a_tag_whose_delete_lost_its_answer_is_not_listed(void **state)
{
    struct env *env = *state;
    struct images i;
    push_images(env, &i);
    assert_true(content_tags_are(env, "v1 v2 "));
    /* its history, the folder of a history it has not, itself */
    fault_driver_plan(env->fault,
                      (struct fault_plan){.nth = 3, .call = "delete", .kind = FAULT_AFTER, .result = UNAVAILABLE});
    assert_int_equal(content_delete_tag(env, "v1"), UNAVAILABLE);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_true(content_tags_are(env, "v2 "));
    assert_int_equal(content_delete_manifest(env, &i.first, NULL), OK);
    assert_true(content_tags_are(env, "v2 "));
}

/* ---- mounts ---- */

static void a_mount_needs_a_source_that_serves_it(void **state)
{
    struct env *env = *state;
    struct images i;
    struct digest other = env_digest(SLICE("other"));
    push_images(env, &i);
    env->repo = SLICE("library/new");
    assert_int_equal(content_mount(env, "library/none", &i.layer), NOT_FOUND);
    assert_int_equal(content_mount(env, "library/test", &other), NOT_FOUND);
    assert_int_equal(content_find_blob(env, &i.layer), NOT_FOUND);
    assert_true(content_repositories_are(env, "library/test "));
    assert_int_equal(content_mount(env, "library/test", &i.layer), OK);
    assert_int_equal(content_mount(env, "library/test", &i.layer), OK); /* again */
    assert_int_equal(content_mount(env, "library/new", &i.layer), OK);  /* from itself */
    assert_true(content_repositories_are(env, "library/new library/test "));
    env_restart(env);
    assert_true(env_serves(env, &i.layer, SLICE("layer")));
    struct content c = {.config = &i.layer};
    assert_int_equal(content_put(env, "v1", &c, NULL), OK);
}

static void a_mounted_alias_names_what_its_source_names(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest layer, alias;
    assert_int_equal(env_push_blob(env, SLICE("layer"), &layer), OK);
    digest_of(DIGEST_SHA512, SLICE("layer"), &alias);
    struct slice link = layout_layer_link(&arena, (struct repo_name){env->repo}, &alias);
    assert_int_equal(content_store(env, link, digest_text(&layer, &arena)), OK);
    env->repo = SLICE("library/new");
    assert_int_equal(content_mount(env, "library/test", &alias), OK);
    for (int n = 0; n < 2; n++) {
        assert_true(env_serves(env, &alias, SLICE("layer")));
        assert_int_equal(content_find_blob(env, &layer), NOT_FOUND); /* only what was asked for */
        env_restart(env);
    }
    assert_int_equal(content_delete_blob(env, &alias, NULL), OK);
    assert_int_equal(content_find_blob(env, &alias), NOT_FOUND);
    arena_done(&arena);
}

static void a_mount_of_bytes_that_are_gone_is_refused(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest layer = digest_of_text("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    struct slice link = layout_layer_link(&arena, (struct repo_name){env->repo}, &layer);
    assert_int_equal(content_store(env, link, digest_text(&layer, &arena)), OK);
    env->repo = SLICE("library/new");
    assert_int_equal(content_mount(env, "library/test", &layer), NOT_FOUND);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_manifest_goes_with_the_tags_that_point_to_it_and_no_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deleted_manifest_can_be_pushed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_named_by_an_index_is_refused_with_the_index, setup, teardown),
        cmocka_unit_test_setup_teardown(without_validation_nothing_keeps_a_child_or_a_blob, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_is_not_deleted_as_a_manifest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_linked_as_a_layer_goes_with_that_link, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_whose_bytes_are_rotten_or_gone_can_be_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_by_sha512_is_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_schema_1_manifest_is_deleted_though_it_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(many_tags_of_one_manifest_go_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_that_a_manifest_names_is_refused_with_the_manifest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_is_the_repositorys_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_that_an_escape_names_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_layer_named_by_an_index_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tag_goes_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_history_of_a_tag_is_removed_before_what_it_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tag_that_is_broken_or_only_history_can_be_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tag_whose_delete_lost_its_answer_is_not_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mount_needs_a_source_that_serves_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mounted_alias_names_what_its_source_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mount_of_bytes_that_are_gone_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
