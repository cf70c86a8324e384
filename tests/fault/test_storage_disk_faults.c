/* SPDX-License-Identifier: Apache-2.0
 *
 * What the filesystem driver does on a full disk, without inodes, without descriptors and at a file size limit: a clear
 * result, nothing half visible, nothing left over, and it works again when there is room. Full disks are small tmpfs
 * mounts in a mount namespace of the program's own; where that is not permitted the tests fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "await.h"
#include "filesystem_place.h"
#include "minato/own.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))

struct fixture {
    struct filesystem_place place;
    struct loop *loop;
    struct pool *pool;
    struct storage *storage;
    struct arena arena;
};

static void open_storage(struct fixture *f)
{
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    EXPECT(OK, filesystem_place_open(&f->place, f->pool, &why, &f->storage));
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    *state = f;
    arena_init(&f->arena);
    return filesystem_place_make(&f->place) && loop_new(0, 8 * PAGE_BYTES, &f->loop) == OK &&
                   pool_new(4, 1, &f->pool) == OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    storage_close(f->storage);
    pool_free(f->pool);
    loop_free(f->loop);
    (void)umount2(f->place.root, MNT_DETACH); /* the tests that mount nothing: no harm */
    filesystem_place_remove(&f->place);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static void mount_small(struct fixture *f, const char *options)
{
    if (mount("tmpfs", f->place.root, "tmpfs", 0, options) != 0)
        fail_msg("mount -t tmpfs -o %s: %s: these tests need to be root, with mount namespaces", options,
                 strerror(errno));
    open_storage(f);
}

static struct slice bytes_of(struct fixture *f, size_t size)
{
    char *bytes = arena_alloc(&f->arena, size);
    memset(bytes, 'x', size);
    return slice_of(bytes, size);
}

static enum result put(struct fixture *f, const char *path, size_t size)
{
    return AWAIT(f->loop, storage_put(f->storage, slice_from_cstr(path), bytes_of(f, size), 0, done));
}

static enum result stat_size(struct fixture *f, const char *path, uint64_t *ret_size)
{
    struct storage_object object = {.size = 0};
    enum result r = AWAIT(f->loop, storage_stat(f->storage, slice_from_cstr(path), &object, done));
    *ret_size = object.size;
    return r;
}

static size_t entries_of(struct fixture *f, const char *folder)
{
    struct storage_listing listing;
    EXPECT(OK, AWAIT(f->loop,
                     storage_list(f->storage, slice_from_cstr(folder), SLICE_EMPTY, 100, &f->arena, &listing, done)));
    return listing.count;
}

static void expect_nothing_temporary(struct fixture *f)
{
    assert_int_equal(filesystem_place_count(&f->place, "minato/tmp"), 0);
}

/* ---- no room ---- */

static void a_put_on_a_full_disk_is_quota_and_leaves_the_old_object(void **state)
{
    struct fixture *f = *state;
    uint64_t size;
    mount_small(f, "size=1m");
    EXPECT(OK, put(f, "x/old", 300000));
    EXPECT(OK, put(f, "x/ballast", 400000));
    EXPECT(QUOTA, put(f, "x/old", 600000));
    EXPECT(QUOTA, put(f, "x/new/folder/object", 600000));
    expect_nothing_temporary(f);
    EXPECT(OK, stat_size(f, "x/old", &size));
    assert_int_equal(size, 300000);
    EXPECT(NOT_FOUND, stat_size(f, "x/new/folder/object", &size));
    assert_int_equal(entries_of(f, "x/new"), 0);
    assert_int_equal(entries_of(f, "x"), 2);
    EXPECT(OK, AWAIT(f->loop, storage_delete(f->storage, SLICE("x/ballast"), done)));
    EXPECT(OK, put(f, "x/new/folder/object", 600000));
}

static void a_put_without_inodes_leaves_no_empty_folders(void **state)
{
    struct fixture *f = *state;
    uint64_t size;
    /* Inodes: the root, minato, tmp, parts, lock, x, a, and too few for the four below. */
    mount_small(f, "size=1m,nr_inodes=10");
    EXPECT(OK, put(f, "x/a/b", 10));
    EXPECT(QUOTA, put(f, "x/b/c/d/object", 10));
    expect_nothing_temporary(f);
    EXPECT(NOT_FOUND, stat_size(f, "x/b/c/d/object", &size));
    assert_int_equal(entries_of(f, "x/b"), 0);
    EXPECT(OK, put(f, "x/a/b", 20));
}

static enum result put_part(struct fixture *f, const struct storage_multipart *multipart, uint32_t number)
{
    struct page *page;
    struct storage_part part = {.number = number, .offset = (uint64_t)(number - 1) * PAGE_BYTES, .size = PAGE_BYTES};
    EXPECT(OK, AWAIT(f->loop, page_acquire(f->loop, &page, done)));
    memset(page->ptr, 'p', PAGE_BYTES);
    page->len = PAGE_BYTES;
    enum result r = AWAIT(f->loop, storage_multipart_put(f->storage, SLICE("b/x"), multipart, page, &part, done));
    page_release(page);
    return r;
}

static void parts_on_a_full_disk_are_quota_and_abort_gives_the_room_back(void **state)
{
    struct fixture *f = *state;
    struct storage_multipart m;
    struct storage_part parts[2];
    mount_small(f, "size=1m");
    EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)));
    uint32_t number = 1;
    while (put_part(f, &m, number) == OK)
        number++;
    assert_in_range(number, 3, 4);
    EXPECT(QUOTA, put_part(f, &m, number));
    EXPECT(QUOTA, put(f, "x/object", PAGE_BYTES));
    /* What was acknowledged is still good. */
    for (uint32_t i = 0; i < 2; i++)
        parts[i] = (struct storage_part){.number = i + 1, .offset = (uint64_t)i * PAGE_BYTES, .size = PAGE_BYTES};
    EXPECT(OK,
           AWAIT(f->loop, storage_multipart_complete(f->storage, SLICE("b/x"), &m, parts, 2, 2 * PAGE_BYTES, 0, done)));
    EXPECT(OK, AWAIT(f->loop, storage_delete(f->storage, SLICE("b/x"), done)));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)));
    EXPECT(OK, put_part(f, &m, 1));
    EXPECT(OK, put_part(f, &m, 2));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_abort(f->storage, SLICE("b/x"), &m, done)));
    EXPECT(OK, put(f, "x/object", 3 * PAGE_BYTES));
}

static void check_notices_a_full_disk(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=64k");
    EXPECT(OK, AWAIT(f->loop, storage_check(f->storage, done)));
    enum result r = OK;
    for (unsigned i = 0; i < 64 && r == OK; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "x/%u", i);
        r = put(f, path, 4096);
    }
    EXPECT(QUOTA, r);
    EXPECT(QUOTA, AWAIT(f->loop, storage_check(f->storage, done)));
}

/* ---- limits of the process ---- */

static void without_descriptors_calls_are_unavailable(void **state)
{
    struct fixture *f = *state;
    struct slice bytes;
    struct storage_reader *reader = NULL;
    struct storage_listing listing;
    struct storage_multipart m;
    uint64_t size;
    open_storage(f);
    EXPECT(OK, put(f, "x/y/object", 100));
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {0, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum result results[] = {
        put(f, "x/y/object", 200),
        put(f, "x/z/other", 200),
        AWAIT(f->loop, storage_get(f->storage, SLICE("x/y/object"), 100, &f->arena, &bytes, NULL, done)),
        AWAIT(f->loop, storage_open_read(f->storage, SLICE("x/y/object"), 0, 1, NULL, &reader, done)),
        AWAIT(f->loop, storage_list(f->storage, SLICE("x"), SLICE_EMPTY, 9, &f->arena, &listing, done)),
        AWAIT(f->loop, storage_delete(f->storage, SLICE("x/y/object"), done)),
        AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)),
        AWAIT(f->loop, storage_check(f->storage, done)),
    };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        EXPECT(UNAVAILABLE, results[i]);
    EXPECT(OK, stat_size(f, "x/y/object", &size));
    assert_int_equal(size, 100);
    EXPECT(OK, put(f, "x/z/other", 200));
    expect_nothing_temporary(f);
    assert_int_equal(filesystem_place_count(&f->place, "minato/parts"), 0);
}

static void a_file_over_the_size_limit_is_an_error_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t size;
    open_storage(f);
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit small = {1000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum result r = put(f, "x/object", 2000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    EXPECT(IO, r);
    EXPECT(NOT_FOUND, stat_size(f, "x/object", &size));
    expect_nothing_temporary(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    /* Mounts of ours are seen by us alone and go with us. */
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        (void)fprintf(stderr, "a mount namespace: %s: these tests need to be root\n", strerror(errno));
        return 1;
    }
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(a_put_on_a_full_disk_is_quota_and_leaves_the_old_object),
        TEST(a_put_without_inodes_leaves_no_empty_folders),
        TEST(parts_on_a_full_disk_are_quota_and_abort_gives_the_room_back),
        TEST(check_notices_a_full_disk),
        TEST(without_descriptors_calls_are_unavailable),
        TEST(a_file_over_the_size_limit_is_an_error_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
