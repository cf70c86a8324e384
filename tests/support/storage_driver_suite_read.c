/* SPDX-License-Identifier: Apache-2.0
 *
 * The suite's tests of reading ranges, and of the source of pages that storage.h makes of a reader.
 */
#include "storage_driver_suite_int.h"

#include <unistd.h>

/* Reads all of a reader, page by page, into the arena; closes it. */
static struct slice drain(struct suite *s, struct storage_reader *reader, size_t max)
{
    char *bytes = arena_alloc(&s->arena, max + PAGE_BYTES);
    size_t length = 0;
    struct page *page;
    suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &page, done)));
    do {
        suite_expect(OK, AWAIT(s->loop, storage_read(s->storage, reader, page, done)));
        assert_true(page->len <= PAGE_BYTES && length + page->len <= max);
        memcpy(bytes + length, page->ptr + page->start, page->len);
        length += page->len;
    } while (page->len > 0);
    page_release(page);
    storage_close_read(s->storage, reader);
    return slice_of(bytes, length);
}

static struct storage_reader *open_range(struct suite *s, const char *path, uint64_t offset, uint64_t length)
{
    struct storage_reader *reader;
    suite_expect(
        OK, AWAIT(s->loop, storage_open_read(s->storage, slice_from_cstr(path), offset, length, NULL, &reader, done)));
    return reader;
}

static void ranges_bring_their_bytes(void **state)
{
    struct suite *s = *state;
    const size_t size = 2 * PAGE_BYTES + 12345;
    struct slice bytes = suite_bytes(s, size, 3);
    suite_put(s, "suite/object", bytes);
    static const struct {
        uint64_t offset;
        uint64_t length;
    } ranges[] = {
        {0, UINT64_MAX},
        {0, 1},
        {0, PAGE_BYTES},
        {1, PAGE_BYTES},
        {PAGE_BYTES - 1, 2},
        {5, 0},
        {2 * PAGE_BYTES, UINT64_MAX},
        {100, 2 * PAGE_BYTES},
        {2 * PAGE_BYTES + 12344, UINT64_MAX},
        {2 * PAGE_BYTES, 999999999},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        uint64_t left = size - ranges[i].offset;
        uint64_t length = ranges[i].length < left ? ranges[i].length : left;
        struct slice got = drain(s, open_range(s, "suite/object", ranges[i].offset, ranges[i].length), size);
        assert_int_equal(got.len, length);
        assert_true(slice_equal(got, slice_of(bytes.ptr + ranges[i].offset, length)));
    }
    suite_delete(s, "suite/object");
}

static void a_range_past_the_end_is_refused(void **state)
{
    struct suite *s = *state;
    struct storage_reader *reader = NULL;
    suite_put(s, "suite/object", suite_bytes(s, 100, 3));
    suite_put(s, "suite/empty", SLICE_EMPTY);
    struct slice path = SLICE("suite/object");
    suite_expect(RANGE, AWAIT(s->loop, storage_open_read(s->storage, path, 100, 1, NULL, &reader, done)));
    suite_expect(RANGE, AWAIT(s->loop, storage_open_read(s->storage, path, UINT64_MAX, 1, NULL, &reader, done)));
    suite_expect(RANGE, AWAIT(s->loop, storage_open_read(s->storage, SLICE("suite/empty"), 1, 1, NULL, &reader, done)));
    assert_null(reader);
    assert_int_equal(drain(s, open_range(s, "suite/empty", 0, UINT64_MAX), 10).len, 0);
    suite_delete(s, "suite/object");
    suite_delete(s, "suite/empty");
}

static void expect_cut(struct suite *s, struct storage_reader *reader)
{
    struct page *page;
    suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &page, done)));
    suite_expect(UNAVAILABLE, AWAIT(s->loop, storage_read(s->storage, reader, page, done)));
    page_release(page);
    storage_close_read(s->storage, reader);
}

static void a_reader_keeps_what_it_opened(void **state)
{
    struct suite *s = *state;
    const size_t size = PAGE_BYTES + 10;
    struct slice bytes = suite_bytes(s, size, 3);
    suite_put(s, "suite/object", bytes);
    struct storage_reader *before_replace = open_range(s, "suite/object", 0, UINT64_MAX);
    suite_put(s, "suite/object", suite_bytes(s, size, 4));
    struct storage_reader *before_delete = open_range(s, "suite/object", 0, UINT64_MAX);
    suite_delete(s, "suite/object");
    if (s->subject->cuts_readers) {
        expect_cut(s, before_replace);
        expect_cut(s, before_delete);
        return;
    }
    assert_true(slice_equal(drain(s, before_replace, size), bytes));
    assert_true(slice_equal(drain(s, before_delete, size), suite_bytes(s, size, 4)));
}

static void a_reader_may_be_closed_early(void **state)
{
    struct suite *s = *state;
    suite_put(s, "suite/object", suite_bytes(s, 100, 1));
    storage_close_read(s->storage, open_range(s, "suite/object", 10, 20));
    storage_close_read(s->storage, NULL);
    suite_delete(s, "suite/object");
}

static void a_reader_descriptor_holds_the_whole_object(void **state)
{
    struct suite *s = *state;
    struct slice bytes = suite_bytes(s, 5000, 9);
    char got[5001];
    suite_put(s, "suite/object", bytes);
    struct storage_reader *reader = open_range(s, "suite/object", 100, 5);
    int fd = storage_reader_fd(s->storage, reader);
    if (fd >= 0) {
        assert_int_equal(pread(fd, got, sizeof(got), 0), 5000);
        assert_memory_equal(got, bytes.ptr, 5000);
    }
    storage_close_read(s->storage, reader);
    suite_delete(s, "suite/object");
}

static void a_reader_is_a_source_of_pages(void **state)
{
    struct suite *s = *state;
    const size_t size = 2 * PAGE_BYTES + 7;
    struct slice bytes = suite_bytes(s, size, 5);
    suite_put(s, "suite/object", bytes);
    struct storage_reader *reader = open_range(s, "suite/object", 3, UINT64_MAX);
    struct byte_source *source = storage_reader_source(s->storage, reader, s->loop, &s->arena);
    size_t at = 3;
    for (;;) {
        struct page *page;
        suite_expect(OK, AWAIT(s->loop, byte_source_read(source, &page, done)));
        if (page == NULL)
            break;
        assert_in_range(page->len, 1, PAGE_BYTES);
        assert_memory_equal(page->ptr + page->start, bytes.ptr + at, page->len);
        at += page->len;
        page_release(page);
    }
    assert_int_equal(at, size);
    storage_close_read(s->storage, reader);
    suite_delete(s, "suite/object");
}

static void readers_of_one_object_do_not_disturb_each_other(void **state)
{
    struct suite *s = *state;
    const size_t size = PAGE_BYTES + 100;
    struct slice bytes = suite_bytes(s, size, 6);
    suite_put(s, "suite/object", bytes);
    struct storage_reader *one = open_range(s, "suite/object", 0, UINT64_MAX);
    struct storage_reader *two = open_range(s, "suite/object", 1, UINT64_MAX);
    assert_true(slice_equal(drain(s, two, size), slice_from(bytes, 1)));
    assert_true(slice_equal(drain(s, one, size), bytes));
    suite_delete(s, "suite/object");
}

const struct suite_test suite_read_tests[] = {
    SUITE_TEST(ranges_bring_their_bytes),
    SUITE_TEST(a_range_past_the_end_is_refused),
    SUITE_TEST(a_reader_keeps_what_it_opened),
    SUITE_TEST(a_reader_may_be_closed_early),
    SUITE_TEST(a_reader_descriptor_holds_the_whole_object),
    SUITE_TEST(a_reader_is_a_source_of_pages),
    SUITE_TEST(readers_of_one_object_do_not_disturb_each_other),
};
const size_t suite_read_test_count = sizeof(suite_read_tests) / sizeof(suite_read_tests[0]);
