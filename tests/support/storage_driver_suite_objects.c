/* SPDX-License-Identifier: Apache-2.0
 *
 * The suite's tests of whole objects: put, get, stat, delete, list, conditions, rename. Each is named for what it
 * holds the driver to.
 */
#include "storage_driver_suite_int.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "minato/oci.h"

#define MANY 16

static void put_then_get_returns_the_bytes(void **state)
{
    struct suite *s = *state;
    static const size_t sizes[] = {0, 1, 4096, 3000001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct slice bytes = suite_bytes(s, sizes[i], 7);
        suite_put(s, "suite/a/object", bytes);
        suite_expect_bytes(s, "suite/a/object", bytes);
        suite_delete(s, "suite/a/object");
    }
}

/* What `size` says is checked before the driver is asked, so that skipping it leaves nothing untold. */
static void a_chain_of_pages_is_put_as_one_object(void **state)
{
    struct suite *s = *state;
    struct page *first, *second;
    struct slice path = SLICE("suite/a/chain");
    struct slice bytes = SLICE("first, then second");
    struct digest digest;
    digest_of(DIGEST_SHA256, bytes, &digest);
    suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &first, done)));
    suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &second, done)));
    first->start = 3;
    first->len = 7;
    memcpy(first->ptr + first->start, bytes.ptr, 7);
    first->next = second;
    second->len = bytes.len - 7;
    memcpy(second->ptr, bytes.ptr + 7, second->len);
    enum result r = AWAIT(
        s->loop, storage_put_pages(s->storage, path, first, bytes.len, digest.bytes, STORAGE_PUT_CREATE_ONLY, done));
    if (r != UNSUPPORTED || !storage_capabilities(s->storage).can_rename) {
        suite_expect(OK, r);
        suite_expect_bytes(s, "suite/a/chain", bytes);
        suite_expect(EXISTS, AWAIT(s->loop, storage_put_pages(s->storage, path, first, bytes.len, NULL,
                                                              STORAGE_PUT_CREATE_ONLY, done)));
        suite_expect(OK, AWAIT(s->loop, storage_put_pages(s->storage, path, second, second->len, NULL, 0, done)));
        suite_expect_bytes(s, "suite/a/chain", slice_from(bytes, 7));
        suite_delete(s, "suite/a/chain");
    }
    suite_expect(INVALID, AWAIT(s->loop, storage_put_pages(s->storage, path, first, 7, NULL, 0, done)));
    page_release(first);
    page_release(second);
}

static void put_replaces_the_object(void **state)
{
    struct suite *s = *state;
    suite_put(s, "suite/object", suite_bytes(s, 1000, 1));
    suite_put(s, "suite/object", suite_bytes(s, 10, 2));
    suite_expect_bytes(s, "suite/object", suite_bytes(s, 10, 2));
    suite_delete(s, "suite/object");
}

static void volatile_put_is_seen_at_once(void **state)
{
    struct suite *s = *state;
    suite_expect(OK, suite_try_put(s, "suite/new/folder/claim", SLICE("mine"), STORAGE_PUT_VOLATILE));
    suite_expect_bytes(s, "suite/new/folder/claim", SLICE("mine"));
    suite_expect(EXISTS, suite_try_put(s, "suite/new/folder/claim", SLICE("theirs"),
                                       STORAGE_PUT_VOLATILE | STORAGE_PUT_CREATE_ONLY));
    suite_put(s, "suite/new/folder/claim", SLICE("closed"));
    suite_expect_bytes(s, "suite/new/folder/claim", SLICE("closed"));
    suite_delete(s, "suite/new/folder/claim");
}

static void absent_objects_are_not_found_and_outputs_untouched(void **state)
{
    struct suite *s = *state;
    struct storage_object object = {.size = 42};
    struct slice bytes = SLICE("untouched");
    struct storage_reader *reader = NULL;
    struct slice path = SLICE("suite/no/such/object");
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_stat(s->storage, path, &object, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_get(s->storage, path, 10, &s->arena, &bytes, &object, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_open_read(s->storage, path, 0, UINT64_MAX, &object, &reader, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_delete(s->storage, path, done)));
    assert_int_equal(object.size, 42);
    assert_true(slice_equal(bytes, SLICE("untouched")));
    assert_null(reader);
}

static void a_folder_is_no_object(void **state)
{
    struct suite *s = *state;
    struct storage_object object;
    struct slice bytes;
    struct storage_reader *reader;
    struct slice folder = SLICE("suite/folder");
    suite_put(s, "suite/folder/object", SLICE("x"));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_stat(s->storage, folder, &object, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_get(s->storage, folder, 10, &s->arena, &bytes, NULL, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_open_read(s->storage, folder, 0, 1, &object, &reader, done)));
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_delete(s->storage, folder, done)));
    suite_expect_absent(s, "suite/folder/object/below");
    suite_delete(s, "suite/folder/object");
}

static void get_over_the_maximum_is_too_large(void **state)
{
    struct suite *s = *state;
    struct slice bytes = SLICE_EMPTY;
    suite_put(s, "suite/object", suite_bytes(s, 100, 1));
    suite_expect(TOO_LARGE,
                 AWAIT(s->loop, storage_get(s->storage, SLICE("suite/object"), 99, &s->arena, &bytes, NULL, done)));
    suite_expect(OK,
                 AWAIT(s->loop, storage_get(s->storage, SLICE("suite/object"), 100, &s->arena, &bytes, NULL, done)));
    suite_delete(s, "suite/object");
}

static void stat_get_and_open_read_describe_the_same_object(void **state)
{
    struct suite *s = *state;
    struct storage_object by_get;
    struct storage_object by_read;
    struct storage_reader *reader;
    struct slice bytes;
    suite_put(s, "suite/object", suite_bytes(s, 321, 1));
    struct storage_object by_stat = suite_stat(s, "suite/object");
    suite_expect(
        OK, AWAIT(s->loop, storage_get(s->storage, SLICE("suite/object"), 1000, &s->arena, &bytes, &by_get, done)));
    suite_expect(OK,
                 AWAIT(s->loop, storage_open_read(s->storage, SLICE("suite/object"), 5, 7, &by_read, &reader, done)));
    storage_close_read(s->storage, reader);
    assert_int_equal(by_stat.size, 321);
    assert_int_equal(by_get.size, 321);
    assert_int_equal(by_read.size, 321);
    assert_true(by_stat.modified_ms > 1600000000000);
    assert_int_not_equal(by_stat.etag[0], '\0');
    assert_string_equal(by_stat.etag, by_get.etag);
    assert_string_equal(by_stat.etag, by_read.etag);
    suite_delete(s, "suite/object");
}

static void each_put_gives_an_etag_never_seen_before(void **state)
{
    struct suite *s = *state;
    enum { PUTS = 50 };
    char etags[PUTS][STORAGE_ETAG_MAX + 1];
    for (size_t i = 0; i < PUTS; i++) {
        suite_expect(OK, suite_try_put(s, "suite/object", SLICE("same size"), STORAGE_PUT_VOLATILE));
        struct storage_object object = suite_stat(s, "suite/object");
        strcpy(etags[i], object.etag);
        for (size_t j = 0; j < i && !s->subject->has_etags_of_content; j++)
            assert_string_not_equal(etags[i], etags[j]);
        if (i % 2 == 0)
            suite_delete(s, "suite/object");
    }
    suite_delete(s, "suite/object");
}

/* ---- create-only ---- */

static void create_only_refuses_a_second_creator(void **state)
{
    struct suite *s = *state;
    suite_expect(OK, suite_try_put(s, "suite/a/b/claim", SLICE("first"), STORAGE_PUT_CREATE_ONLY));
    suite_expect(EXISTS, suite_try_put(s, "suite/a/b/claim", SLICE("second"), STORAGE_PUT_CREATE_ONLY));
    suite_expect_bytes(s, "suite/a/b/claim", SLICE("first"));
    suite_delete(s, "suite/a/b/claim");
    suite_expect(OK, suite_try_put(s, "suite/a/b/claim", SLICE("third"), STORAGE_PUT_CREATE_ONLY));
    suite_delete(s, "suite/a/b/claim");
}

/* Begins `MANY` calls at once, ends them all; counts the outcomes. */
struct race {
    struct await awaits[MANY];
    enum result begun[MANY];
    size_t ok;
    size_t winner;
};

static void race_end(struct race *race, enum result losers)
{
    race->ok = 0;
    for (size_t i = 0; i < MANY; i++) {
        enum result r = await_end(&race->awaits[i], race->begun[i]);
        if (r == OK) {
            race->ok++;
            race->winner = i;
        } else {
            suite_expect(losers, r);
        }
    }
}

static void of_many_creators_exactly_one_wins(void **state)
{
    struct suite *s = *state;
    static const unsigned flags[] = {STORAGE_PUT_CREATE_ONLY, STORAGE_PUT_CREATE_ONLY | STORAGE_PUT_VOLATILE};
    for (unsigned round = 0; round < 6; round++) {
        struct race race;
        struct slice bytes[MANY];
        for (unsigned i = 0; i < MANY; i++) {
            struct done done = await_begin(&race.awaits[i], s->loop);
            bytes[i] = suite_bytes(s, 100 + i, i);
            race.begun[i] = storage_put(s->storage, SLICE("suite/x/y/claim"), bytes[i], flags[round % 2], done);
        }
        race_end(&race, EXISTS);
        assert_int_equal(race.ok, 1);
        suite_expect_bytes(s, "suite/x/y/claim", bytes[race.winner]);
        suite_delete(s, "suite/x/y/claim");
    }
}

/* ---- put_if_match ---- */

static enum result try_match(struct suite *s, const char *path, struct slice bytes, struct slice etag)
{
    return AWAIT(s->loop, storage_put_if_match(s->storage, slice_from_cstr(path), bytes, etag, done));
}

static void put_if_match_replaces_only_what_it_names(void **state)
{
    struct suite *s = *state;
    if (!storage_capabilities(s->storage).can_put_if_match) {
        suite_expect(UNSUPPORTED, try_match(s, "suite/object", SLICE("x"), SLICE("e")));
        return;
    }
    suite_expect(NOT_FOUND, try_match(s, "suite/object", SLICE("x"), SLICE("e")));
    suite_put(s, "suite/object", SLICE("one"));
    struct storage_object first = suite_stat(s, "suite/object");
    suite_expect(CONFLICT, try_match(s, "suite/object", SLICE("two"), SLICE("something else")));
    suite_expect(CONFLICT, try_match(s, "suite/object", SLICE("two"), SLICE_EMPTY));
    suite_expect(OK, try_match(s, "suite/object", SLICE("two"), slice_from_cstr(first.etag)));
    suite_expect(CONFLICT, try_match(s, "suite/object", SLICE("three"), slice_from_cstr(first.etag)));
    suite_expect_bytes(s, "suite/object", SLICE("two"));
    suite_delete(s, "suite/object");
    suite_expect(NOT_FOUND, try_match(s, "suite/object", SLICE("x"), slice_from_cstr(first.etag)));
}

static void of_many_swappers_exactly_one_wins(void **state)
{
    struct suite *s = *state;
    if (!storage_capabilities(s->storage).can_put_if_match)
        return;
    suite_put(s, "suite/object", SLICE("start"));
    for (unsigned round = 0; round < 5; round++) {
        struct storage_object object = suite_stat(s, "suite/object");
        struct race race;
        struct slice bytes[MANY];
        for (unsigned i = 0; i < MANY; i++) {
            struct done done = await_begin(&race.awaits[i], s->loop);
            bytes[i] = suite_bytes(s, 50, round * MANY + i);
            race.begun[i] =
                storage_put_if_match(s->storage, SLICE("suite/object"), bytes[i], slice_from_cstr(object.etag), done);
        }
        race_end(&race, CONFLICT);
        assert_int_equal(race.ok, 1);
        suite_expect_bytes(s, "suite/object", bytes[race.winner]);
    }
    suite_delete(s, "suite/object");
}

/* ---- delete and list ---- */

static void delete_removes_the_object_and_emptied_folders(void **state)
{
    struct suite *s = *state;
    suite_put(s, "suite/keep", SLICE("k"));
    suite_put(s, "suite/f/g/h/one", SLICE("1"));
    suite_put(s, "suite/f/g/two", SLICE("2"));
    suite_delete(s, "suite/f/g/h/one");
    suite_expect(NOT_FOUND, AWAIT(s->loop, storage_delete(s->storage, SLICE("suite/f/g/h/one"), done)));
    suite_expect_absent(s, "suite/f/g/h/one");
    struct slice names = suite_names(s, "suite/f/g", 10);
    assert_true(slice_equal(names, SLICE("two")));
    suite_delete(s, "suite/f/g/two");
    names = suite_names(s, "suite/f", 10);
    assert_int_equal(names.len, 0);
    suite_put(s, "suite/f/g/h/one", SLICE("again"));
    suite_expect_bytes(s, "suite/f/g/h/one", SLICE("again"));
    suite_delete(s, "suite/f/g/h/one");
    suite_delete(s, "suite/keep");
}

/* More than one request takes, where the driver has one for many. */
static void delete_many_leaves_none_of_them(void **state)
{
    struct suite *s = *state;
    enum { EVERY = 50 };
    size_t count = storage_capabilities(s->storage).can_delete_many ? STORAGE_DELETE_MAX + 3 : 60;
    struct slice *paths = ARENA_ARRAY(&s->arena, struct slice, count);
    for (size_t i = 0; i < count; i++) {
        paths[i] = arena_format(&s->arena, "suite/d/%zu/_a.b-%zu/link", i, i);
        if (i % EVERY == 0 || i + 1 == count)
            suite_put(s, arena_cstr(&s->arena, paths[i]), SLICE("x"));
    }
    suite_put(s, "suite/d/kept/link", SLICE("x"));
    suite_expect(OK, AWAIT(s->loop, storage_delete_many(s->storage, paths, count, done)));
    struct slice names = suite_names(s, "suite/d", 100);
    assert_true(slice_equal(names, SLICE("kept/")));
    suite_expect(OK, AWAIT(s->loop, storage_delete_many(s->storage, paths, 2, done)));
    suite_expect(OK, AWAIT(s->loop, storage_delete_many(s->storage, paths, 0, done)));
    paths[1] = SLICE("../x");
    suite_expect(INVALID, AWAIT(s->loop, storage_delete_many(s->storage, paths, 2, done)));
    suite_delete(s, "suite/d/kept/link");
}

static void list_shows_one_level(void **state)
{
    struct suite *s = *state;
    suite_put(s, "suite/l/object", SLICE("x"));
    suite_put(s, "suite/l/v1/current/link", SLICE("x"));
    suite_put(s, "suite/l/v1/index/link", SLICE("x"));
    suite_put(s, "suite/l/v1-a/link", SLICE("x"));
    suite_put(s, "suite/lx", SLICE("x"));
    struct slice names = suite_names(s, "suite/l", 100);
    /* The order is the store's own. */
    assert_int_equal(names.len, sizeof("object v1/ v1-a/") - 1);
    assert_non_null(strstr(names.ptr, "object"));
    assert_non_null(strstr(names.ptr, "v1/"));
    assert_non_null(strstr(names.ptr, "v1-a/"));
    names = suite_names(s, "suite/no/such/folder", 100);
    assert_int_equal(names.len, 0);
    suite_delete(s, "suite/l/object");
    suite_delete(s, "suite/l/v1/current/link");
    suite_delete(s, "suite/l/v1/index/link");
    suite_delete(s, "suite/l/v1-a/link");
    suite_delete(s, "suite/lx");
}

static const char *nth_path(unsigned i, char path[64])
{
    (void)snprintf(path, 64, "suite/many/%u%s", i * 7919 % 1000, i % 3 == 0 ? "/in" : "");
    return path;
}

static void list_pages_bring_every_entry_once(void **state)
{
    struct suite *s = *state;
    enum { ENTRIES = 100 };
    char path[64];
    for (unsigned i = 0; i < ENTRIES; i++)
        suite_expect(OK, suite_try_put(s, nth_path(i, path), SLICE("x"), STORAGE_PUT_VOLATILE));
    struct slice whole = suite_names(s, "suite/many", 5000);
    static const size_t limits[] = {1, 7, 99, 100, 101};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        assert_true(slice_equal(whole, suite_names(s, "suite/many", limits[i])));
    unsigned count = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct slice name = arena_format(&s->arena, " %u%s ", i * 7919 % 1000, i % 3 == 0 ? "/" : "");
        struct slice padded = arena_format(&s->arena, " %.*s ", SLICE_ARG(whole));
        count += memmem(padded.ptr, padded.len, name.ptr, name.len) != NULL;
        suite_delete(s, nth_path(i, path));
    }
    assert_int_equal(count, ENTRIES);
}

static void listing_goes_on_after_a_name_that_was_deleted(void **state)
{
    struct suite *s = *state;
    static const char *const paths[] = {"suite/d/a", "suite/d/b", "suite/d/c", "suite/d/d"};
    struct storage_listing first;
    struct storage_listing second;
    for (size_t i = 0; i < 4; i++)
        suite_put(s, paths[i], SLICE("x"));
    suite_expect(OK,
                 AWAIT(s->loop, storage_list(s->storage, SLICE("suite/d"), SLICE_EMPTY, 2, &s->arena, &first, done)));
    assert_int_equal(first.count, 2);
    struct slice last = first.entries[1].name;
    suite_delete(s, arena_cstr(&s->arena, arena_format(&s->arena, "suite/d/%.*s", SLICE_ARG(last))));
    suite_expect(OK,
                 AWAIT(s->loop, storage_list(s->storage, SLICE("suite/d"), first.next, 5, &s->arena, &second, done)));
    assert_int_equal(second.count, 2);
    assert_int_equal(second.next.len, 0);
    for (size_t i = 0; i < 4; i++)
        if (!slice_equal(slice_from(slice_from_cstr(paths[i]), 8), last))
            suite_delete(s, paths[i]);
}

static void a_page_of_folders_goes_on_in_the_next(void **state)
{
    struct suite *s = *state;
    char path[64];
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof(path), "suite/f/%02u/x", i);
        suite_put(s, path, SLICE("x"));
    }
    struct slice whole = suite_names(s, "suite/f", 100);
    assert_int_equal(whole.len, 20 * 4 - 1);
    for (size_t limit = 1; limit < 20; limit = limit * 2) {
        struct slice paged = suite_names(s, "suite/f", limit);
        assert_true(slice_equal(paged, whole));
    }
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(path, sizeof(path), "suite/f/%02u/x", i);
        suite_delete(s, path);
    }
}

static void creators_succeed_while_others_empty_the_folder(void **state)
{
    struct suite *s = *state;
    for (unsigned round = 0; round < 20; round++) {
        struct await awaits[MANY];
        enum result begun[MANY];
        char paths[MANY][64];
        for (unsigned i = 0; i < MANY; i++) {
            struct done done = await_begin(&awaits[i], s->loop);
            (void)snprintf(paths[i], sizeof(paths[i]), "suite/p/q/r/%u", i / 2);
            if (i % 2 == 0)
                begun[i] = storage_put(s->storage, slice_from_cstr(paths[i]), SLICE("x"),
                                       round % 2 == 0 ? STORAGE_PUT_VOLATILE : 0, done);
            else
                begun[i] = storage_delete(s->storage, slice_from_cstr(paths[i]), done);
        }
        for (unsigned i = 0; i < MANY; i++) {
            enum result r = await_end(&awaits[i], begun[i]);
            if (i % 2 == 0 || r != NOT_FOUND)
                suite_expect(OK, r);
        }
        for (unsigned i = 0; i < MANY; i += 2) {
            enum result r = AWAIT(s->loop, storage_delete(s->storage, slice_from_cstr(paths[i]), done));
            assert_true(r == OK || r == NOT_FOUND);
        }
    }
}

/* ---- rename ---- */

static enum result try_rename(struct suite *s, const char *from, const char *to)
{
    return AWAIT(s->loop, storage_rename_create(s->storage, slice_from_cstr(from), slice_from_cstr(to), done));
}

static void rename_create_moves_to_a_free_path_only(void **state)
{
    struct suite *s = *state;
    if (!storage_capabilities(s->storage).can_rename) {
        suite_expect(UNSUPPORTED, try_rename(s, "suite/from", "suite/to"));
        return;
    }
    suite_expect(NOT_FOUND, try_rename(s, "suite/from/x", "suite/to/x"));
    suite_put(s, "suite/from/x", SLICE("first"));
    suite_expect(OK, try_rename(s, "suite/from/x", "suite/to/deep/er/x"));
    suite_expect_absent(s, "suite/from/x");
    suite_expect_bytes(s, "suite/to/deep/er/x", SLICE("first"));
    suite_put(s, "suite/from/x", SLICE("second"));
    suite_expect(EXISTS, try_rename(s, "suite/from/x", "suite/to/deep/er/x"));
    suite_expect_bytes(s, "suite/from/x", SLICE("second"));
    suite_expect_bytes(s, "suite/to/deep/er/x", SLICE("first"));
    suite_delete(s, "suite/from/x");
    suite_delete(s, "suite/to/deep/er/x");
}

static void of_many_renames_to_one_path_exactly_one_wins(void **state)
{
    struct suite *s = *state;
    if (!storage_capabilities(s->storage).can_rename)
        return;
    struct race race;
    char from[MANY][64];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(from[i], sizeof(from[i]), "suite/bytes/%u", i);
        suite_put(s, from[i], suite_bytes(s, 10 + i, i));
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct done done = await_begin(&race.awaits[i], s->loop);
        race.begun[i] = storage_rename_create(s->storage, slice_from_cstr(from[i]), SLICE("suite/b/data"), done);
    }
    race_end(&race, EXISTS);
    assert_int_equal(race.ok, 1);
    suite_expect_bytes(s, "suite/b/data", suite_bytes(s, 10 + race.winner, (unsigned)race.winner));
    suite_delete(s, "suite/b/data");
    for (unsigned i = 0; i < MANY; i++)
        if (i != race.winner)
            suite_delete(s, from[i]);
}

/* ---- the rest ---- */

static void check_finds_the_store_writable(void **state)
{
    struct suite *s = *state;
    suite_expect(OK, AWAIT(s->loop, storage_check(s->storage, done)));
}

static void objects_survive_a_restart(void **state)
{
    struct suite *s = *state;
    if (!s->subject->can_restart)
        return;
    suite_put(s, "suite/deep/er/object", SLICE("still here"));
    suite_restart(s);
    suite_expect_bytes(s, "suite/deep/er/object", SLICE("still here"));
    suite_delete(s, "suite/deep/er/object");
}

static void presign_makes_a_url_or_is_unsupported(void **state)
{
    struct suite *s = *state;
    struct slice url;
    struct storage_validity validity = {(uint64_t)time(NULL), 60};
    enum result r = storage_presign(s->storage, SLICE("suite/object"), SLICE("GET"), validity, &s->arena, &url);
    if (storage_capabilities(s->storage).can_presign) {
        suite_expect(OK, r);
        struct slice again;
        suite_expect(OK, storage_presign(s->storage, SLICE("suite/object"), SLICE("GET"), validity, &s->arena, &again));
        assert_true(slice_equal(again, url));
        assert_true(slice_has_prefix(url, SLICE("http")));
    } else {
        suite_expect(UNSUPPORTED, r);
    }
}

static void *second_loop_main(void *data)
{
    struct suite *s = data;
    struct loop *loop;
    size_t failures = loop_new(1, PAGE_BYTES, &loop) != OK;
    for (unsigned i = 0; i < 50 && failures == 0; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "suite/loops/%u/second", i % 5);
        failures += AWAIT(loop, storage_put(s->storage, slice_from_cstr(path), SLICE("2"), 0, done)) != OK;
        failures += AWAIT(loop, storage_delete(s->storage, slice_from_cstr(path), done)) != OK;
    }
    loop_free(loop);
    return (void *)failures;
}

static void two_loops_use_one_store(void **state)
{
    struct suite *s = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, second_loop_main, s), 0);
    for (unsigned i = 0; i < 50; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "suite/loops/%u/first", i % 5);
        suite_put(s, path, SLICE("1"));
        suite_expect_bytes(s, path, SLICE("1"));
        suite_delete(s, path);
    }
    void *failures;
    pthread_join(thread, &failures);
    assert_null(failures);
}

const struct suite_test suite_object_tests[] = {
    SUITE_TEST(put_then_get_returns_the_bytes),
    SUITE_TEST(a_chain_of_pages_is_put_as_one_object),
    SUITE_TEST(put_replaces_the_object),
    SUITE_TEST(volatile_put_is_seen_at_once),
    SUITE_TEST(absent_objects_are_not_found_and_outputs_untouched),
    SUITE_TEST(a_folder_is_no_object),
    SUITE_TEST(get_over_the_maximum_is_too_large),
    SUITE_TEST(stat_get_and_open_read_describe_the_same_object),
    SUITE_TEST(each_put_gives_an_etag_never_seen_before),
    SUITE_TEST(create_only_refuses_a_second_creator),
    SUITE_TEST(of_many_creators_exactly_one_wins),
    SUITE_TEST(put_if_match_replaces_only_what_it_names),
    SUITE_TEST(of_many_swappers_exactly_one_wins),
    SUITE_TEST(delete_removes_the_object_and_emptied_folders),
    SUITE_TEST(delete_many_leaves_none_of_them),
    SUITE_TEST(list_shows_one_level),
    SUITE_TEST(list_pages_bring_every_entry_once),
    SUITE_TEST(listing_goes_on_after_a_name_that_was_deleted),
    SUITE_TEST(a_page_of_folders_goes_on_in_the_next),
    SUITE_TEST(creators_succeed_while_others_empty_the_folder),
    SUITE_TEST(rename_create_moves_to_a_free_path_only),
    SUITE_TEST(of_many_renames_to_one_path_exactly_one_wins),
    SUITE_TEST(check_finds_the_store_writable),
    SUITE_TEST(objects_survive_a_restart),
    SUITE_TEST(presign_makes_a_url_or_is_unsupported),
    SUITE_TEST(two_loops_use_one_store),
};
const size_t suite_object_test_count = sizeof(suite_object_tests) / sizeof(suite_object_tests[0]);
