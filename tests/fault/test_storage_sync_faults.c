/* SPDX-License-Identifier: Apache-2.0
 *
 * What the filesystem driver does when a sync fails or is slow. The program's own fsync, fdatasync and syncfs stand in
 * front of libc's: they count, fail the Nth with an errno, or wait until they are let go. One loop; the pool's threads
 * call the stand-ins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "await.h"
#include "filesystem_place.h"
#include "minato/own.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))

/* ---- the stand-ins ---- */

/* `mutex` guards all. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned count; /* syncs since the plan */
    unsigned fail_nth;
    int fail_errno;
    unsigned hold_nth; /* this one waits */
    bool is_holding;
    unsigned filesystem_syncs;
} syncs = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int sync_by(long call, int fd)
{
    pthread_mutex_lock(&syncs.mutex);
    unsigned nth = ++syncs.count;
    bool is_failing = nth == syncs.fail_nth;
    int err = syncs.fail_errno;
    if (nth == syncs.hold_nth) {
        syncs.is_holding = true;
        pthread_cond_broadcast(&syncs.changed);
        while (syncs.is_holding)
            pthread_cond_wait(&syncs.changed, &syncs.mutex);
    }
    pthread_mutex_unlock(&syncs.mutex);
    if (!is_failing)
        return (int)syscall(call, fd);
    errno = err;
    return -1;
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
    pthread_mutex_lock(&syncs.mutex);
    syncs.filesystem_syncs++;
    pthread_mutex_unlock(&syncs.mutex);
    return (int)syscall(SYS_syncfs, fd);
}

static void plan(unsigned fail_nth, int err)
{
    pthread_mutex_lock(&syncs.mutex);
    syncs.count = 0;
    syncs.fail_nth = fail_nth;
    syncs.fail_errno = err;
    syncs.hold_nth = 0;
    pthread_mutex_unlock(&syncs.mutex);
}

static void plan_to_hold(unsigned nth)
{
    plan(0, 0);
    syncs.hold_nth = nth;
}

static void wait_until_held(void)
{
    pthread_mutex_lock(&syncs.mutex);
    while (!syncs.is_holding)
        pthread_cond_wait(&syncs.changed, &syncs.mutex);
    pthread_mutex_unlock(&syncs.mutex);
}

static void let_go(void)
{
    pthread_mutex_lock(&syncs.mutex);
    syncs.is_holding = false;
    pthread_cond_broadcast(&syncs.changed);
    pthread_mutex_unlock(&syncs.mutex);
}

static unsigned syncs_so_far(void)
{
    pthread_mutex_lock(&syncs.mutex);
    unsigned count = syncs.count;
    pthread_mutex_unlock(&syncs.mutex);
    return count;
}

/* ---- the fixture ---- */

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
    plan(0, 0);
    if (!filesystem_place_make(&f->place) || loop_new(0, 4 * PAGE_BYTES, &f->loop) != OK ||
        pool_new(4, 1, &f->pool) != OK)
        return -1;
    open_storage(f);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    plan(0, 0);
    storage_close(f->storage);
    filesystem_place_remove(&f->place);
    pool_free(f->pool);
    loop_free(f->loop);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static enum result put(struct fixture *f, const char *path, const char *text, unsigned flags)
{
    return AWAIT(f->loop, storage_put(f->storage, slice_from_cstr(path), slice_from_cstr(text), flags, done));
}

static enum result get(struct fixture *f, const char *path, struct slice *ret_text)
{
    return AWAIT(f->loop, storage_get(f->storage, slice_from_cstr(path), 1000, &f->arena, ret_text, NULL, done));
}

static void expect_text(struct fixture *f, const char *path, const char *text)
{
    struct slice got;
    EXPECT(OK, get(f, path, &got));
    assert_true(slice_equal(got, slice_from_cstr(text)));
}

/* ---- puts ---- */

/* Each sync of a put fails in turn: the object is then the old one, the new one or none, and the next put succeeds. */
static void try_put_failures(struct fixture *f, unsigned flags, bool has_old)
{
    for (unsigned nth = 1;; nth++) {
        char path[64];
        struct slice got;
        (void)snprintf(path, sizeof(path), "a/b/folder-%u-%u-%d/object", nth, flags, has_old);
        if (has_old)
            EXPECT(OK, put(f, path, "old", 0));
        plan(nth, EIO);
        enum result r = put(f, path, "new", flags);
        bool is_through = syncs_so_far() < nth;
        plan(0, 0);
        if (is_through) {
            EXPECT(OK, r);
            assert_true(nth >= 2);
            return;
        }
        EXPECT(IO, r);
        r = get(f, path, &got);
        if (r == OK && !has_old)
            assert_false((flags & STORAGE_PUT_CREATE_ONLY) != 0); /* taken back, so that it can be tried again */
        if (r == OK)
            assert_true(slice_equal(got, SLICE("new")) || (has_old && slice_equal(got, SLICE("old"))));
        else
            EXPECT(NOT_FOUND, has_old ? OK : r);
        assert_int_equal(filesystem_place_count(&f->place, "minato/tmp"), 0);
        EXPECT(OK, put(f, path, "again", flags));
        expect_text(f, path, "again");
    }
}

static void a_put_whose_sync_fails_is_old_or_new_or_none(void **state)
{
    try_put_failures(*state, 0, false);
    try_put_failures(*state, 0, true);
}

static void a_create_whose_sync_fails_can_be_tried_again(void **state)
{
    try_put_failures(*state, STORAGE_PUT_CREATE_ONLY, false);
}

static void a_volatile_put_syncs_nothing(void **state)
{
    struct fixture *f = *state;
    plan(0, 0);
    EXPECT(OK, put(f, "a/b/c/claim", "mine", STORAGE_PUT_VOLATILE | STORAGE_PUT_CREATE_ONLY));
    assert_int_equal(syncs_so_far(), 0);
}

static void a_put_into_a_known_folder_syncs_twice(void **state)
{
    struct fixture *f = *state;
    EXPECT(OK, put(f, "a/b/c/one", "1", 0));
    plan(0, 0);
    EXPECT(OK, put(f, "a/b/c/two", "2", 0));
    assert_int_equal(syncs_so_far(), 2); /* the file and its folder */
}

static void folders_of_another_process_are_synced_again(void **state)
{
    struct fixture *f = *state;
    EXPECT(OK, put(f, "a/b/c/one", "1", 0));
    storage_close(f->storage);
    open_storage(f);
    plan(0, 0);
    EXPECT(OK, put(f, "a/b/c/two", "2", 0));
    assert_int_equal(syncs_so_far(), 2 + 3); /* and the folders above a, b and c */
}

/* ---- delete, rename ---- */

static void a_delete_whose_sync_fails_is_an_error(void **state)
{
    struct fixture *f = *state;
    EXPECT(OK, put(f, "a/b/c/object", "1", 0));
    plan(1, EIO);
    EXPECT(IO, AWAIT(f->loop, storage_delete(f->storage, SLICE("a/b/c/object"), done)));
}

static void a_rename_whose_sync_fails_is_an_error(void **state)
{
    struct fixture *f = *state;
    for (unsigned nth = 1; nth <= 3; nth++) {
        EXPECT(OK, put(f, "from/x/object", "1", 0));
        EXPECT(OK, put(f, "to/y/other", "1", 0));
        plan(nth, EIO);
        enum result r =
            AWAIT(f->loop, storage_rename_create(f->storage, SLICE("from/x/object"), SLICE("to/y/object"), done));
        EXPECT(nth <= 2 ? IO : OK, r);
        plan(0, 0);
        r = AWAIT(f->loop, storage_delete(f->storage, SLICE("to/y/object"), done));
        assert_true(r == OK || r == NOT_FOUND);
    }
}

/* ---- what is seen is durable ---- */

/* A put held in the sync of its folder: visible, not yet durable. */
static void hold_a_put(struct fixture *f, struct await *a, enum result *ret_begun)
{
    EXPECT(OK, put(f, "a/b/c/other", "x", 0));
    plan_to_hold(2);
    struct done done = await_begin(a, f->loop);
    *ret_begun = storage_put(f->storage, SLICE("a/b/c/object"), SLICE("new"), STORAGE_PUT_CREATE_ONLY, done);
    wait_until_held();
}

static void who_finds_an_object_syncs_its_name_first(void **state)
{
    struct fixture *f = *state;
    struct await a;
    enum result begun;
    struct storage_object object;
    hold_a_put(f, &a, &begun);
    unsigned before = syncs_so_far();
    EXPECT(OK, AWAIT(f->loop, storage_stat(f->storage, SLICE("a/b/c/object"), &object, done)));
    assert_int_equal(syncs_so_far(), before + 1);
    expect_text(f, "a/b/c/object", "new");
    assert_int_equal(syncs_so_far(), before + 2);
    EXPECT(EXISTS, put(f, "a/b/c/object", "mine", STORAGE_PUT_CREATE_ONLY));
    assert_int_equal(syncs_so_far(), before + 3);
    let_go();
    EXPECT(OK, await_end(&a, begun));
    before = syncs_so_far();
    EXPECT(OK, AWAIT(f->loop, storage_stat(f->storage, SLICE("a/b/c/object"), &object, done)));
    assert_int_equal(syncs_so_far(), before);
}

static void who_cannot_sync_what_it_finds_reports_that(void **state)
{
    struct fixture *f = *state;
    struct await a;
    enum result begun;
    struct storage_object object;
    hold_a_put(f, &a, &begun);
    syncs.fail_nth = syncs_so_far() + 1;
    syncs.fail_errno = EIO;
    EXPECT(IO, AWAIT(f->loop, storage_stat(f->storage, SLICE("a/b/c/object"), &object, done)));
    let_go();
    EXPECT(OK, await_end(&a, begun));
}

/* ---- parts ---- */

static enum result put_part(struct fixture *f, const struct storage_multipart *multipart, uint32_t number)
{
    struct page *page;
    struct storage_part part = {.number = number, .offset = 5 * (number - 1), .size = 5};
    EXPECT(OK, AWAIT(f->loop, page_acquire(f->loop, &page, done)));
    memcpy(page->ptr, "12345", 5);
    page->len = 5;
    enum result r = AWAIT(f->loop, storage_multipart_put(f->storage, SLICE("b/x"), multipart, page, &part, done));
    page_release(page);
    return r;
}

static enum result complete(struct fixture *f, const struct storage_multipart *multipart, unsigned flags)
{
    struct storage_part part = {.number = 1, .offset = 0, .size = 5};
    return AWAIT(f->loop, storage_multipart_complete(f->storage, SLICE("b/x"), multipart, &part, 1, 5, flags, done));
}

static void a_failed_sync_of_parts_is_final(void **state)
{
    struct fixture *f = *state;
    static const int errors[] = {EIO, ENOSPC, EDQUOT};
    for (size_t i = 0; i < 3; i++) {
        struct storage_multipart m;
        EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)));
        EXPECT(OK, put_part(f, &m, 1));
        plan(1, errors[i]);
        EXPECT(errors[i] == EIO ? IO : QUOTA,
               AWAIT(f->loop, storage_multipart_sync(f->storage, SLICE("b/x"), &m, done)));
        /* The kernel would say OK from now on. */
        EXPECT(NOT_FOUND, AWAIT(f->loop, storage_multipart_sync(f->storage, SLICE("b/x"), &m, done)));
        EXPECT(NOT_FOUND, put_part(f, &m, 2));
        EXPECT(NOT_FOUND, complete(f, &m, 0));
        assert_int_equal(filesystem_place_count(&f->place, "minato/parts"), 0);
    }
}

static void a_complete_whose_sync_fails_publishes_nothing_it_could_lose(void **state)
{
    struct fixture *f = *state;
    EXPECT(OK, put(f, "b/y", "1", 0));
    struct storage_multipart m;
    for (unsigned nth = 1; nth <= 2; nth++) {
        EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)));
        EXPECT(OK, put_part(f, &m, 1));
        plan(nth, EIO);
        EXPECT(IO, complete(f, &m, 0));
        /* The bytes are lost, or only the name was not synced: then the repeated complete syncs it. */
        EXPECT(nth == 1 ? NOT_FOUND : OK, complete(f, &m, 0));
        assert_true(syncs_so_far() > nth || nth == 1);
    }
    expect_text(f, "b/x", "12345");
}

static void a_session_syncs_its_name_once(void **state)
{
    struct fixture *f = *state;
    struct storage_multipart m;
    EXPECT(OK, AWAIT(f->loop, storage_multipart_begin(f->storage, SLICE("b/x"), &m, done)));
    EXPECT(OK, put_part(f, &m, 1));
    plan(0, 0);
    EXPECT(OK, AWAIT(f->loop, storage_multipart_sync(f->storage, SLICE("b/x"), &m, done)));
    assert_int_equal(syncs_so_far(), 2);
    EXPECT(OK, put_part(f, &m, 2));
    EXPECT(OK, AWAIT(f->loop, storage_multipart_sync(f->storage, SLICE("b/x"), &m, done)));
    assert_int_equal(syncs_so_far(), 3);
    EXPECT(OK, complete(f, &m, STORAGE_PUT_VOLATILE));
    assert_int_equal(syncs_so_far(), 4);
    EXPECT(OK, AWAIT(f->loop, storage_multipart_abort(f->storage, SLICE("b/x"), &m, done)));
}

/* ---- starting after a crash ---- */

static void a_start_after_a_kill_syncs_the_filesystem(void **state)
{
    struct fixture *f = *state;
    storage_close(f->storage);
    syncs.filesystem_syncs = 0;
    open_storage(f);
    assert_int_equal(syncs.filesystem_syncs, 0);
    storage_close(f->storage);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/minato/lock", f->place.root);
    FILE *lock = fopen(path, "w"); /* as a killed process leaves it */
    assert_non_null(lock);
    assert_true(fprintf(lock, "12345\n") > 0);
    assert_int_equal(fclose(lock), 0);
    open_storage(f);
    assert_int_equal(syncs.filesystem_syncs, 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_put_whose_sync_fails_is_old_or_new_or_none),
        TEST(a_create_whose_sync_fails_can_be_tried_again),
        TEST(a_volatile_put_syncs_nothing),
        TEST(a_put_into_a_known_folder_syncs_twice),
        TEST(folders_of_another_process_are_synced_again),
        TEST(a_delete_whose_sync_fails_is_an_error),
        TEST(a_rename_whose_sync_fails_is_an_error),
        TEST(who_finds_an_object_syncs_its_name_first),
        TEST(who_cannot_sync_what_it_finds_reports_that),
        TEST(a_failed_sync_of_parts_is_final),
        TEST(a_complete_whose_sync_fails_publishes_nothing_it_could_lose),
        TEST(a_session_syncs_its_name_once),
        TEST(a_start_after_a_kill_syncs_the_filesystem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
