/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening the filesystem driver: its folder, its lock, the sentences for the operator, what a crash or somebody else
 * has left in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "await.h"
#include "filesystem_place.h"
#include "minato/own.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))
#define NOBODY 65534

struct fixture {
    struct filesystem_place place;
    struct loop *loop;
    struct pool *pool;
    struct arena arena;
    struct strbuf why;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    *state = f;
    arena_init(&f->arena);
    strbuf_init(&f->why, 4000);
    return filesystem_place_make(&f->place) && loop_new(0, 8 * PAGE_BYTES, &f->loop) == OK &&
                   pool_new(2, 1, &f->pool) == OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    pool_free(f->pool);
    loop_free(f->loop);
    filesystem_place_remove(&f->place);
    arena_done(&f->arena);
    strbuf_done(&f->why);
    free(f);
    return 0;
}

static const char *path_in(struct fixture *f, const char *name)
{
    return arena_format(&f->arena, "%s/%s", f->place.root, name).ptr;
}

static struct storage *open_storage(struct fixture *f)
{
    struct storage *storage = NULL;
    EXPECT(OK, filesystem_place_open(&f->place, f->pool, &f->why, &storage));
    return storage;
}

/* Opening fails with this result and a sentence that says this. */
static void expect_refusal(struct fixture *f, enum result expected, const char *said)
{
    struct storage *storage = NULL;
    EXPECT(expected, filesystem_place_open(&f->place, f->pool, &f->why, &storage));
    assert_null(storage);
    if (strstr(f->why.ptr, said) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", f->why.ptr, said);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void the_folder_is_made_with_all_above_it(void **state)
{
    struct fixture *f = *state;
    struct filesystem_place deep = f->place;
    strcat(deep.root, "/a/b/c//");
    struct storage *storage = NULL;
    EXPECT(OK, filesystem_place_open(&deep, f->pool, &f->why, &storage));
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("x/y"), SLICE("1"), 0, done)));
    storage_close(storage);
    assert_true(is_there(path_in(f, "a/b/c/x/y")));
}

static void what_is_ours_is_readable_by_nobody_else(void **state)
{
    static const struct {
        const char *path;
        mode_t mode;
    } cases[] = {{"minato/secret", 0600}, {"minato/uploads/a/1", 0600}, {"docker/registry/v2/x", 0644}};
    struct fixture *f = *state;
    struct stat st;
    struct storage *storage = open_storage(f);
    mode_t mask = umask(0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice path = slice_from_cstr(cases[i].path);
        EXPECT(OK, AWAIT(f->loop, storage_put(storage, path, SLICE("1"), 0, done)));
        EXPECT(OK, AWAIT(f->loop, storage_put(storage, path, SLICE("2"), 0, done)));
        assert_int_equal(stat(path_in(f, cases[i].path), &st), 0);
        assert_int_equal(st.st_mode & 07777, cases[i].mode);
    }
    (void)umask(mask);
    storage_close(storage);
}

static void a_second_opener_is_told_who_holds_it(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    const char *said = arena_format(&f->arena, "another minato with process id %ld serves", (long)getpid()).ptr;
    expect_refusal(f, CONFLICT, said);
    storage_close(storage);
    strbuf_clear(&f->why);
    storage_close(open_storage(f));
}

static void a_refused_opener_disturbs_nothing(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    struct storage_multipart m;
    EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(storage, SLICE("b/x"), &m, done)));
    write_file(path_in(f, "minato/tmp/being-written"), "x");
    expect_refusal(f, CONFLICT, "Stop it, or configure another folder");
    assert_true(is_there(path_in(f, "minato/tmp/being-written")));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_sync(storage, SLICE("b/x"), &m, done)));
    storage_close(storage);
}

static void a_file_in_the_way_is_named(void **state)
{
    struct fixture *f = *state;
    write_file(path_in(f, "minato"), "a file");
    expect_refusal(f, NOT_FOUND, "minato/tmp: Not a directory");
}

static void a_folder_we_may_not_write_says_who_needs_what(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(chmod(f->place.root, 0755), 0);
    if (seteuid(NOBODY) != 0)
        fail_msg("seteuid: %s: this test needs to be root", strerror(errno));
    struct storage *storage = NULL;
    enum result r = filesystem_place_open(&f->place, f->pool, &f->why, &storage);
    assert_int_equal(seteuid(0), 0);
    EXPECT(IO, r);
    assert_non_null(strstr(f->why.ptr, "Permission denied"));
    assert_non_null(strstr(f->why.ptr, "Give user id 65534 write access"));
}

static void no_folder_configured_is_said(void **state)
{
    struct fixture *f = *state;
    struct filesystem_place nowhere = {""};
    struct storage *storage = NULL;
    EXPECT(INVALID, filesystem_place_open(&nowhere, f->pool, &f->why, &storage));
    assert_string_equal(f->why.ptr, "storage.filesystem.root: no folder is configured.");
}

static void temp_files_of_a_crash_are_removed(void **state)
{
    struct fixture *f = *state;
    storage_close(open_storage(f));
    write_file(path_in(f, "minato/tmp/0000000000000000"), "half of someth");
    struct storage *storage = open_storage(f);
    assert_int_equal(filesystem_place_count(&f->place, "minato/tmp"), 0);
    storage_close(storage);
}

static void parts_nobody_has_touched_for_long_are_removed(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    struct storage_multipart young;
    EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(storage, SLICE("b/x"), &young, done)));
    storage_close(storage);
    const char *old = path_in(f, "minato/parts/old-1");
    write_file(old, "x");
    struct timespec times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    assert_int_equal(utimensat(AT_FDCWD, old, times, 0), 0);
    storage = open_storage(f);
    assert_false(is_there(old));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_sync(storage, SLICE("b/x"), &young, done)));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_abort(storage, SLICE("b/x"), &young, done)));
    storage_close(storage);
}

static void links_and_pipes_are_no_objects(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    struct storage_object object;
    struct storage_reader *reader;
    struct slice bytes;
    struct storage_listing listing;
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("x/real"), SLICE("1"), 0, done)));
    write_file(path_in(f, "secret"), "not ours");
    assert_int_equal(symlink("../secret", path_in(f, "x/link")), 0);
    assert_int_equal(mkfifo(path_in(f, "x/pipe"), 0600), 0);
    EXPECT(NOT_FOUND, AWAIT(f->loop, storage_stat(storage, SLICE("x/link"), &object, done)));
    EXPECT(NOT_FOUND, AWAIT(f->loop, storage_stat(storage, SLICE("x/pipe"), &object, done)));
    EXPECT(NOT_FOUND, AWAIT(f->loop, storage_get(storage, SLICE("x/pipe"), 10, &f->arena, &bytes, NULL, done)));
    enum result r = AWAIT(f->loop, storage_get(storage, SLICE("x/link"), 10, &f->arena, &bytes, NULL, done));
    assert_int_not_equal(r, OK);
    r = AWAIT(f->loop, storage_open_read(storage, SLICE("x/link"), 0, 1, NULL, &reader, done));
    assert_int_not_equal(r, OK);
    EXPECT(OK, AWAIT(f->loop, storage_list(storage, SLICE("x"), SLICE_EMPTY, 9, &f->arena, &listing, done)));
    assert_int_equal(listing.count, 1);
    assert_true(slice_equal(listing.entries[0].name, SLICE("real")));
    storage_close(storage);
}

static void the_drivers_own_files_cannot_be_reached(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    static const char *const paths[] = {"minato/lock", "minato/tmp/x", "minato/parts", "minato/parts/x"};
    struct storage_object object;
    struct storage_listing listing;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct slice path = slice_from_cstr(paths[i]);
        EXPECT(INVALID, AWAIT(f->loop, storage_stat(storage, path, &object, done)));
        EXPECT(INVALID, AWAIT(f->loop, storage_put(storage, path, SLICE("x"), 0, done)));
        EXPECT(INVALID, AWAIT(f->loop, storage_delete(storage, path, done)));
        EXPECT(INVALID, AWAIT(f->loop, storage_rename_create(storage, path, SLICE("x/y"), done)));
    }
    EXPECT(OK, AWAIT(f->loop, storage_list(storage, SLICE("minato"), SLICE_EMPTY, 9, &f->arena, &listing, done)));
    assert_int_equal(listing.count, 0);
    storage_close(storage);
}

static void a_file_where_a_folder_should_be_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    struct storage_object object;
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("x/y"), SLICE("1"), 0, done)));
    EXPECT(IO, AWAIT(f->loop, storage_put(storage, SLICE("x/y/z"), SLICE("1"), 0, done)));
    EXPECT(IO, AWAIT(f->loop, storage_put(storage, SLICE("x/y/z/z"), SLICE("1"), STORAGE_PUT_VOLATILE, done)));
    EXPECT(IO, AWAIT(f->loop, storage_put(storage, SLICE("x"), SLICE("1"), 0, done)));
    EXPECT(OK, AWAIT(f->loop, storage_stat(storage, SLICE("x/y"), &object, done)));
    assert_int_equal(filesystem_place_count(&f->place, "minato/tmp"), 0);
    storage_close(storage);
}

static void folders_removed_behind_our_back_are_made_again(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("x/y/z/one"), SLICE("1"), 0, done)));
    assert_int_equal(unlink(path_in(f, "x/y/z/one")), 0);
    assert_int_equal(rmdir(path_in(f, "x/y/z")), 0);
    assert_int_equal(rmdir(path_in(f, "x/y")), 0);
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("x/y/z/two"), SLICE("1"), 0, done)));
    assert_true(is_there(path_in(f, "x/y/z/two")));
    storage_close(storage);
}

/* A delete cut short by a crash: the object is gone, its folders are listed. */
static void folders_left_empty_are_removed_by_the_next_delete(void **state)
{
    struct fixture *f = *state;
    struct storage *storage = open_storage(f);
    static const char *const left[] = {"a/b/c/d/e", "a/b/c/d", "a/b/c"};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("a/b/c/d/e/object"), SLICE("1"), 0, done)));
        assert_int_equal(unlink(path_in(f, "a/b/c/d/e/object")), 0);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(rmdir(path_in(f, left[k])), 0);
        EXPECT(NOT_FOUND, AWAIT(f->loop, storage_delete(storage, SLICE("a/b/c/d/e/object"), done)));
        assert_false(is_there(path_in(f, "a/b/c")));
        assert_true(is_there(path_in(f, "a/b"))); /* two levels stay */
    }
    EXPECT(OK, AWAIT(f->loop, storage_put(storage, SLICE("a/b/c/other"), SLICE("1"), 0, done)));
    EXPECT(NOT_FOUND, AWAIT(f->loop, storage_delete(storage, SLICE("a/b/c/d/object"), done)));
    assert_true(is_there(path_in(f, "a/b/c/other")));
    storage_close(storage);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_folder_is_made_with_all_above_it),
        TEST(what_is_ours_is_readable_by_nobody_else),
        TEST(a_second_opener_is_told_who_holds_it),
        TEST(a_refused_opener_disturbs_nothing),
        TEST(a_file_in_the_way_is_named),
        TEST(a_folder_we_may_not_write_says_who_needs_what),
        TEST(no_folder_configured_is_said),
        TEST(temp_files_of_a_crash_are_removed),
        TEST(parts_nobody_has_touched_for_long_are_removed),
        TEST(links_and_pipes_are_no_objects),
        TEST(the_drivers_own_files_cannot_be_reached),
        TEST(a_file_where_a_folder_should_be_is_an_error),
        TEST(folders_removed_behind_our_back_are_made_again),
        TEST(folders_left_empty_are_removed_by_the_next_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
