/* SPDX-License-Identifier: Apache-2.0
 *
 * The storage door checks paths, refuses what the driver lacks, and counts the store's failures, once each, whether
 * they come at once or later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "await.h"
#include "fault_driver.h"
#include "memory_driver.h"
#include "minato/own.h"
#include "minato/storage.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))

struct fixture {
    struct loop *loop;
    struct metrics *metrics;
    struct fault_driver *fault;
    struct storage *storage;
    struct arena arena;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    *state = f;
    arena_init(&f->arena);
    f->metrics = metrics_new(1);
    f->fault = fault_driver_new(&memory_driver, memory_driver_new(memory_driver_like_s3(PAGE_BYTES)));
    f->storage = storage_wrap(&fault_driver, f->fault, f->metrics);
    return loop_new(0, PAGE_BYTES, &f->loop) == OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    storage_close(f->storage);
    metrics_free(f->metrics);
    loop_free(f->loop);
    arena_done(&f->arena);
    free(f);
    return 0;
}

/* minato_storage_errors_total as an operator reads it. */
static unsigned long errors_counted(struct fixture *f)
{
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 1 << 20);
    metrics_render(f->metrics, &text);
    const char *line = strstr(text.ptr, "\nminato_storage_errors_total ");
    assert_non_null(line);
    return strtoul(line + sizeof("\nminato_storage_errors_total ") - 1, NULL, 10);
}

static void paths_that_are_none_never_reach_the_driver(void **state)
{
    struct fixture *f = *state;
    struct slice bad = SLICE("a/../b");
    struct storage_object object;
    struct slice bytes;
    struct storage_listing listing;
    struct storage_reader *reader;
    struct storage_multipart m = {"x"};
    EXPECT(INVALID, AWAIT(f->loop, storage_stat(f->storage, bad, &object, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_get(f->storage, bad, 1, &f->arena, &bytes, NULL, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_put(f->storage, bad, SLICE("x"), 0, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_put_if_match(f->storage, bad, SLICE("x"), SLICE("e"), done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_delete(f->storage, bad, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_list(f->storage, bad, SLICE_EMPTY, 1, &f->arena, &listing, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_list(f->storage, SLICE("a"), SLICE_EMPTY, 0, &f->arena, &listing, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_open_read(f->storage, bad, 0, 1, NULL, &reader, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_multipart_begin(f->storage, bad, &m, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_multipart_complete(f->storage, bad, &m, NULL, 0, 0, 0, done)));
    EXPECT(INVALID, AWAIT(f->loop, storage_rename_create(f->storage, SLICE("a"), bad, done)));
    assert_int_equal(fault_driver_calls(f->fault), 0);
}

static void what_the_driver_lacks_is_unsupported(void **state)
{
    struct fixture *f = *state;
    EXPECT(UNSUPPORTED, AWAIT(f->loop, storage_rename_create(f->storage, SLICE("a"), SLICE("b"), done)));
    assert_int_equal(fault_driver_calls(f->fault), 0);
    struct slice url;
    EXPECT(OK,
           storage_presign(f->storage, SLICE("a"), SLICE("GET"), (struct storage_validity){0, 60}, &f->arena, &url));
}

static void failures_of_the_store_are_counted_once(void **state)
{
    struct fixture *f = *state;
    static const enum result failures[] = {IO, UNAVAILABLE, QUOTA, CORRUPT};
    static const enum result answers[] = {NOT_FOUND, EXISTS, CONFLICT, RANGE, TOO_LARGE};
    unsigned long expected = 0;
    for (int is_late = 0; is_late <= 1; is_late++) {
        fault_driver_defer(f->fault, is_late);
        for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
            fault_driver_plan(f->fault, (struct fault_plan){.nth = 1, .result = failures[i]});
            EXPECT(failures[i], AWAIT(f->loop, storage_put(f->storage, SLICE("a"), SLICE("x"), 0, done)));
            assert_int_equal(errors_counted(f), ++expected);
        }
        for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
            fault_driver_plan(f->fault, (struct fault_plan){.nth = 1, .result = answers[i]});
            EXPECT(answers[i], AWAIT(f->loop, storage_put(f->storage, SLICE("a"), SLICE("x"), 0, done)));
            assert_int_equal(errors_counted(f), expected);
        }
    }
}

static void parts_that_do_not_add_up_are_invalid(void **state)
{
    struct fixture *f = *state;
    char bytes[10] = "123456789";
    struct page page = {.ptr = bytes, .len = 9};
    struct storage_multipart m = {"x"};
    struct storage_part wrong[] = {{.number = 0, .size = 9}, {.number = 1, .size = 8}, {.number = 1, .size = 0}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        EXPECT(INVALID, AWAIT(f->loop, storage_multipart_put(f->storage, SLICE("a"), &m, &page, &wrong[i], done)));
    struct storage_part twice[] = {{.number = 1, .offset = 0, .size = 4}, {.number = 1, .offset = 4, .size = 4}};
    EXPECT(INVALID, AWAIT(f->loop, storage_multipart_complete(f->storage, SLICE("a"), &m, twice, 2, 8, 0, done)));
    assert_int_equal(fault_driver_calls(f->fault), 0);
}

static void an_unknown_driver_is_named(void **state)
{
    (void)state;
    struct config config;
    char name[] = "punched-cards";
    memset(&config, 0, sizeof(config));
    config.storage.driver = name;
    struct storage *storage = NULL;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    EXPECT(INVALID, storage_open(&config, NULL, NULL, &why, &storage));
    assert_string_equal(why.ptr, "storage: there is no driver \"punched-cards\"");
    assert_null(storage_driver_find(SLICE("punched-cards")));
    assert_string_equal(storage_driver_find(SLICE("filesystem"))->name, "filesystem");
}

static void a_source_whose_read_fails_gives_its_page_back(void **state)
{
    struct fixture *f = *state;
    for (int is_late = 0; is_late <= 1; is_late++) {
        struct storage_reader *reader;
        struct page *page = NULL;
        fault_driver_defer(f->fault, is_late);
        fault_driver_plan(f->fault, (struct fault_plan){.nth = 3, .result = IO});
        EXPECT(OK, AWAIT(f->loop, storage_put(f->storage, SLICE("a"), SLICE("bytes"), 0, done)));
        EXPECT(OK, AWAIT(f->loop, storage_open_read(f->storage, SLICE("a"), 0, 5, NULL, &reader, done)));
        struct byte_source *source = storage_reader_source(f->storage, reader, f->loop, &f->arena);
        EXPECT(IO, AWAIT(f->loop, byte_source_read(source, &page, done)));
        assert_null(page);
        assert_int_equal(pages_in_use_bytes(f->loop), 0);
        EXPECT(OK, AWAIT(f->loop, byte_source_read(source, &page, done)));
        assert_int_equal(page->len, 5);
        page_release(page);
        storage_close_read(f->storage, reader);
    }
}

static void a_source_waits_for_a_page(void **state)
{
    struct fixture *f = *state;
    struct storage_reader *reader;
    struct page *only;
    struct page *page = NULL;
    EXPECT(OK, AWAIT(f->loop, storage_put(f->storage, SLICE("a"), SLICE("bytes"), 0, done)));
    EXPECT(OK, AWAIT(f->loop, storage_open_read(f->storage, SLICE("a"), 0, 5, NULL, &reader, done)));
    struct byte_source *source = storage_reader_source(f->storage, reader, f->loop, &f->arena);
    EXPECT(OK, AWAIT(f->loop, page_acquire(f->loop, &only, done)));
    struct await a;
    struct done done = await_begin(&a, f->loop);
    EXPECT(PENDING, byte_source_read(source, &page, done));
    loop_run_once(f->loop, 0);
    assert_null(page);
    page_release(only);
    EXPECT(OK, await_end(&a, PENDING));
    assert_int_equal(page->len, 5);
    page_release(page);
    storage_close_read(f->storage, reader);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths_that_are_none_never_reach_the_driver),
        TEST(what_the_driver_lacks_is_unsupported),
        TEST(failures_of_the_store_are_counted_once),
        TEST(parts_that_do_not_add_up_are_invalid),
        TEST(an_unknown_driver_is_named),
        TEST(a_source_whose_read_fails_gives_its_page_back),
        TEST(a_source_waits_for_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
