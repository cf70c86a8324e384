/* SPDX-License-Identifier: Apache-2.0
 *
 * The paths of layout.c are Docker Registry's to the letter, and all of them are paths a driver takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/own.h"
#include "minato/storage.h"

#define HEX256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define REPOSITORIES "docker/registry/v2/repositories/"

static void expect_path(struct slice path, const char *expected)
{
    assert_int_equal(path.len, strlen(expected));
    assert_memory_equal(path.ptr, expected, path.len);
    assert_true(storage_path_is_valid(path));
}

static struct digest digest_from(const char *text)
{
    struct digest digest;
    assert_int_equal(digest_parse(slice_from_cstr(text), &digest), OK);
    return digest;
}

static void paths_are_those_of_docker_registry(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    struct digest digest = digest_from("sha256:" HEX256);
    struct repo_name repo = {SLICE("library/a/blobs/uploads")};
    struct tag tag = {SLICE("v1.0-a")};
    expect_path(layout_blob(&arena, &digest), "docker/registry/v2/blobs/sha256/e3/" HEX256 "/data");
    expect_path(layout_repository_folder(&arena, repo), REPOSITORIES "library/a/blobs/uploads");
    expect_path(layout_layer_link(&arena, repo, &digest),
                REPOSITORIES "library/a/blobs/uploads/_layers/sha256/" HEX256 "/link");
    expect_path(layout_revision_link(&arena, repo, &digest),
                REPOSITORIES "library/a/blobs/uploads/_manifests/revisions/sha256/" HEX256 "/link");
    expect_path(layout_tags_folder(&arena, repo), REPOSITORIES "library/a/blobs/uploads/_manifests/tags");
    expect_path(layout_tag_current(&arena, repo, tag),
                REPOSITORIES "library/a/blobs/uploads/_manifests/tags/v1.0-a/current/link");
    expect_path(layout_tag_index(&arena, repo, tag, &digest),
                REPOSITORIES "library/a/blobs/uploads/_manifests/tags/v1.0-a/index/sha256/" HEX256 "/link");
}

static void sha512_has_its_own_folder(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    char hex[129];
    memset(hex, 'a', 128);
    hex[128] = '\0';
    struct digest digest = digest_from(arena_format(&arena, "sha512:%s", hex).ptr);
    expect_path(layout_blob(&arena, &digest),
                arena_format(&arena, "docker/registry/v2/blobs/sha512/aa/%s/data", hex).ptr);
    expect_path(layout_blob_location(&arena, &digest),
                arena_format(&arena, "docker/registry/v2/blobs/sha512/aa/%s/location", hex).ptr);
}

static void our_own_tree_lies_beside(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    struct slice uuid = SLICE("0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_uploads_folder(&arena), "minato/uploads");
    expect_path(layout_upload_folder(&arena, uuid), "minato/uploads/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_upload_state(&arena, uuid, 7), "minato/uploads/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a/0000000007");
    expect_path(layout_upload_state(&arena, uuid, UINT32_MAX),
                "minato/uploads/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a/4294967295");
    expect_path(layout_upload_tail(&arena, uuid, 7),
                "minato/uploads/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a/0000000007.tail");
    expect_path(layout_bytes(&arena, uuid), "minato/bytes/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
}

static void what_is_pushed_and_deleted_lies_there_too(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {SLICE("library/a")};
    struct slice uuid = SLICE("0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_pushes_folder(&arena, repo), "minato/locks/library/a/_pushes");
    expect_path(layout_push(&arena, repo, uuid), "minato/locks/library/a/_pushes/0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_deletes_folder(&arena, repo), "minato/locks/library/a/_deletes");
    expect_path(layout_delete(&arena, repo, SLICE("sha256:" HEX256), uuid),
                "minato/locks/library/a/_deletes/d.sha256-" HEX256 ".0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_delete(&arena, repo, SLICE("v1.0-a"), uuid),
                "minato/locks/library/a/_deletes/t.v1.0-a.0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a");
    expect_path(layout_delete_name(&arena, SLICE("sha256-" HEX256)), "t.sha256-" HEX256);
}

static void the_longest_names_still_make_paths(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    char name[REPO_NAME_MAX];
    char label[TAG_MAX];
    memset(name, 'n', sizeof(name));
    memset(label, 't', sizeof(label));
    struct digest digest = {.algorithm = DIGEST_SHA512};
    struct slice path = layout_tag_index(&arena, (struct repo_name){slice_of(name, sizeof(name))},
                                         (struct tag){slice_of(label, sizeof(label))}, &digest);
    assert_true(storage_path_is_valid(path));
    path = layout_delete(&arena, (struct repo_name){slice_of(name, sizeof(name))}, slice_of(label, sizeof(label)),
                         SLICE("0f5d8c1e-3b7a-4c55-9a55-2f1d0e9c8b7a"));
    assert_true(storage_path_is_valid(path));
}

static void what_is_no_path_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "/",    "/a",    "a/",     "a//b",  ".",    "..",
                                      "a/.",      "a/..", "../a",  "a/../b", "a b",   "a\\b", "a:b",
                                      "\xc3\xa9", "a\n",  "a/./b", "a?",     "a%2fb", "~",    "*"};
    static const char *const good[] = {"a", "a/b", "A.Z_0-9/...", "..a", "a..", "-", "_layers"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(storage_path_is_valid(slice_from_cstr(bad[i])));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(storage_path_is_valid(slice_from_cstr(good[i])));
    char longest[STORAGE_PATH_MAX + 1];
    memset(longest, 'a', sizeof(longest));
    assert_true(storage_path_is_valid(slice_of(longest, STORAGE_PATH_MAX)));
    assert_false(storage_path_is_valid(slice_of(longest, STORAGE_PATH_MAX + 1)));
    assert_false(storage_path_is_valid(slice_of("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_those_of_docker_registry),
        cmocka_unit_test(sha512_has_its_own_folder),
        cmocka_unit_test(our_own_tree_lies_beside),
        cmocka_unit_test(what_is_pushed_and_deleted_lies_there_too),
        cmocka_unit_test(the_longest_names_still_make_paths),
        cmocka_unit_test(what_is_no_path_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
