/* SPDX-License-Identifier: Apache-2.0
 *
 * The suite's tests of objects written in parts. Where parts have one size, they are part_bytes long but the last.
 */
#include "storage_driver_suite_int.h"

#define PARTS 5
#define TARGET "suite/parts/target"

/* An object of PARTS parts. */
struct upload {
    struct suite *s;
    struct storage_multipart multipart;
    struct storage_part parts[PARTS];
    struct slice bytes;
};

static struct slice target(void)
{
    return SLICE(TARGET);
}

/* Plans the parts and begins. */
static struct upload begin(struct suite *s)
{
    struct upload u = {.s = s};
    struct storage_capabilities can = storage_capabilities(s->storage);
    uint64_t at = 0;
    for (uint32_t i = 0; i < PARTS; i++) {
        uint64_t any = i == 2 ? PAGE_BYTES + 17 : 1000 * (i + 1);
        uint64_t size = can.parts_of_any_size ? any : i == PARTS - 1 ? 1 : can.part_bytes;
        u.parts[i] = (struct storage_part){.number = i + 1, .offset = at, .size = size};
        at += size;
    }
    u.bytes = suite_bytes(s, at, 11);
    suite_expect(OK, AWAIT(s->loop, storage_multipart_begin(s->storage, target(), &u.multipart, done)));
    return u;
}

/* The bytes of a part as a chain of pages, the first one not from its beginning. */
static struct page *make_pages(struct suite *s, struct slice bytes)
{
    struct page *first = NULL;
    struct page **last = &first;
    for (size_t start = 3; bytes.len > 0; start = 0) {
        struct page *page;
        suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &page, done)));
        page->start = start;
        page->len = bytes.len < PAGE_BYTES / 2 ? bytes.len : PAGE_BYTES / 2;
        memcpy(page->ptr + page->start, bytes.ptr, page->len);
        bytes = slice_from(bytes, page->len);
        *last = page;
        last = &page->next;
    }
    return first;
}

static void release_pages(struct page *page)
{
    while (page != NULL) {
        struct page *next = page->next;
        page_release(page);
        page = next;
    }
}

static enum result try_part(struct upload *u, struct storage_part *part)
{
    struct suite *s = u->s;
    struct page *pages = make_pages(s, slice_of(u->bytes.ptr + part->offset, part->size));
    enum result r = AWAIT(s->loop, storage_multipart_put(s->storage, target(), &u->multipart, pages, part, done));
    release_pages(pages);
    return r;
}

static void put_part(struct upload *u, size_t i)
{
    suite_expect(OK, try_part(u, &u->parts[i]));
}

static struct upload begin_and_put(struct suite *s)
{
    struct upload u = begin(s);
    for (size_t i = 0; i < PARTS; i++)
        put_part(&u, i);
    return u;
}

static enum result try_complete(struct upload *u, size_t count, unsigned flags)
{
    struct suite *s = u->s;
    uint64_t size = count == 0 ? 0 : u->parts[count - 1].offset + u->parts[count - 1].size;
    return AWAIT(s->loop,
                 storage_multipart_complete(s->storage, target(), &u->multipart, u->parts, count, size, flags, done));
}

static enum result try_sync(struct upload *u)
{
    struct suite *s = u->s;
    return AWAIT(s->loop, storage_multipart_sync(s->storage, target(), &u->multipart, done));
}

static void abort_upload(struct upload *u)
{
    struct suite *s = u->s;
    suite_expect(OK, AWAIT(s->loop, storage_multipart_abort(s->storage, target(), &u->multipart, done)));
}

/* What a completed upload leaves: its object, and what the driver remembers for a repeated complete. */
static void clean_up(struct upload *u)
{
    suite_delete(u->s, TARGET);
    abort_upload(u);
}

static void complete_publishes_the_parts_in_order(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    suite_expect_absent(s, TARGET);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void parts_may_come_in_any_order(void **state)
{
    struct suite *s = *state;
    struct upload u = begin(s);
    static const size_t order[PARTS] = {3, 0, 4, 2, 1};
    for (size_t i = 0; i < PARTS; i++)
        put_part(&u, order[i]);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void parts_may_be_in_flight_together(void **state)
{
    struct suite *s = *state;
    struct upload u = begin(s);
    struct await awaits[PARTS];
    enum result begun[PARTS];
    struct page *pages[PARTS];
    for (size_t i = 0; i < PARTS; i++)
        pages[i] = make_pages(s, slice_of(u.bytes.ptr + u.parts[i].offset, u.parts[i].size));
    for (size_t i = 0; i < PARTS; i++) {
        struct done done = await_begin(&awaits[i], s->loop);
        begun[i] = storage_multipart_put(s->storage, target(), &u.multipart, pages[i], &u.parts[i], done);
    }
    for (size_t i = 0; i < PARTS; i++) {
        suite_expect(OK, await_end(&awaits[i], begun[i]));
        release_pages(pages[i]);
    }
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void a_part_put_again_replaces_the_first(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    struct slice right = u.bytes;
    u.bytes = suite_bytes(s, right.len, 99);
    put_part(&u, 1);
    u.bytes = right;
    put_part(&u, 1);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void complete_drops_what_is_not_listed(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    if (s->subject->needs_all_parts) {
        suite_expect(CORRUPT, try_complete(&u, 3, 0));
        abort_upload(&u);
        return;
    }
    suite_expect(OK, try_complete(&u, 3, 0));
    suite_expect_bytes(s, TARGET, slice_of(u.bytes.ptr, u.parts[3].offset));
    clean_up(&u);
}

static void complete_refuses_parts_with_holes(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    struct storage_part holes[2] = {u.parts[0], u.parts[2]};
    suite_expect(INVALID, AWAIT(s->loop, storage_multipart_complete(s->storage, target(), &u.multipart, holes, 2,
                                                                    holes[0].size + holes[1].size, 0, done)));
    suite_expect(INVALID, AWAIT(s->loop, storage_multipart_complete(s->storage, target(), &u.multipart, u.parts, PARTS,
                                                                    u.bytes.len + 1, 0, done)));
    suite_expect_absent(s, TARGET);
    abort_upload(&u);
}

static void complete_finds_a_part_that_is_not_there(void **state)
{
    struct suite *s = *state;
    struct upload u = begin(s);
    for (size_t i = 0; i < PARTS - 1; i++)
        put_part(&u, i);
    suite_expect(CORRUPT, try_complete(&u, PARTS, 0));
    suite_expect_absent(s, TARGET);
    abort_upload(&u);
}

static void complete_may_be_repeated(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void complete_replaces_an_object(void **state)
{
    struct suite *s = *state;
    suite_put(s, TARGET, SLICE("old"));
    struct upload u = begin_and_put(s);
    suite_expect_bytes(s, TARGET, SLICE("old"));
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void nobody_writes_to_a_completed_object(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    struct storage_part late = u.parts[0];
    suite_expect(NOT_FOUND, try_part(&u, &late));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void abort_forgets_the_parts(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    abort_upload(&u);
    suite_expect(NOT_FOUND, try_part(&u, &u.parts[0]));
    suite_expect(NOT_FOUND, try_complete(&u, PARTS, 0));
    suite_expect_absent(s, TARGET);
    abort_upload(&u);
}

static void an_unknown_multipart_is_not_found(void **state)
{
    struct suite *s = *state;
    struct upload u = begin(s);
    abort_upload(&u);
    static const char *const ids[] = {"no-such-id", "", "..", "../lock", "a/b", "0-0"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        u.multipart = (struct storage_multipart){""};
        strcpy(u.multipart.id, ids[i]);
        suite_expect(NOT_FOUND, try_part(&u, &u.parts[0]));
        suite_expect(NOT_FOUND, try_complete(&u, PARTS, 0));
        enum result synced = try_sync(&u);
        if (synced != OK || storage_capabilities(s->storage).parts_of_any_size) /* else a put part is durable */
            suite_expect(NOT_FOUND, synced);
        abort_upload(&u);
    }
}

static void synced_parts_survive_a_restart(void **state)
{
    struct suite *s = *state;
    if (!s->subject->can_restart)
        return;
    struct upload u = begin(s);
    put_part(&u, 0);
    put_part(&u, 1);
    suite_expect(OK, try_sync(&u));
    suite_restart(s);
    for (size_t i = 2; i < PARTS; i++)
        put_part(&u, i);
    suite_expect(OK, try_sync(&u));
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_restart(s);
    suite_expect(OK, try_complete(&u, PARTS, 0));
    suite_expect_bytes(s, TARGET, u.bytes);
    clean_up(&u);
}

static void a_volatile_complete_can_be_renamed(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    suite_expect(OK, try_complete(&u, PARTS, STORAGE_PUT_VOLATILE));
    suite_expect_bytes(s, TARGET, u.bytes);
    if (storage_capabilities(s->storage).can_rename) {
        suite_expect(OK, AWAIT(s->loop, storage_rename_create(s->storage, target(), SLICE("suite/blob/data"), done)));
        suite_expect_bytes(s, "suite/blob/data", u.bytes);
        suite_expect_absent(s, TARGET);
        suite_delete(s, "suite/blob/data");
        abort_upload(&u);
    } else {
        clean_up(&u);
    }
}

static void parts_can_be_read_before_complete(void **state)
{
    struct suite *s = *state;
    struct upload u = begin_and_put(s);
    struct storage_reader *reader;
    struct page *page;
    size_t at = 0;
    enum result r =
        AWAIT(s->loop, storage_multipart_open_read(s->storage, target(), &u.multipart, u.bytes.len, &reader, done));
    if (r != UNSUPPORTED) {
        suite_expect(OK, r);
        suite_expect(OK, AWAIT(s->loop, page_acquire(s->loop, &page, done)));
        do {
            suite_expect(OK, AWAIT(s->loop, storage_read(s->storage, reader, page, done)));
            assert_memory_equal(page->ptr + page->start, u.bytes.ptr + at, page->len);
            at += page->len;
        } while (page->len > 0);
        assert_int_equal(at, u.bytes.len);
        page_release(page);
        storage_close_read(s->storage, reader);
        suite_expect(RANGE, AWAIT(s->loop, storage_multipart_open_read(s->storage, target(), &u.multipart,
                                                                       u.bytes.len + 1, &reader, done)));
    }
    abort_upload(&u);
}

static void many_multiparts_are_open_at_once(void **state)
{
    struct suite *s = *state;
    enum { UPLOADS = 40 };
    struct upload uploads[UPLOADS];
    for (size_t i = 0; i < UPLOADS; i++)
        uploads[i] = begin(s);
    for (size_t part = 0; part < PARTS; part++)
        for (size_t i = 0; i < UPLOADS; i++)
            put_part(&uploads[i], part);
    for (size_t i = 0; i < UPLOADS; i++) {
        suite_expect(OK, try_complete(&uploads[i], PARTS, STORAGE_PUT_VOLATILE));
        suite_expect_bytes(s, TARGET, uploads[i].bytes);
        clean_up(&uploads[i]);
    }
}

const struct suite_test suite_parts_tests[] = {
    SUITE_TEST(complete_publishes_the_parts_in_order),
    SUITE_TEST(parts_may_come_in_any_order),
    SUITE_TEST(parts_may_be_in_flight_together),
    SUITE_TEST(a_part_put_again_replaces_the_first),
    SUITE_TEST(complete_drops_what_is_not_listed),
    SUITE_TEST(complete_refuses_parts_with_holes),
    SUITE_TEST(complete_finds_a_part_that_is_not_there),
    SUITE_TEST(complete_may_be_repeated),
    SUITE_TEST(complete_replaces_an_object),
    SUITE_TEST(nobody_writes_to_a_completed_object),
    SUITE_TEST(abort_forgets_the_parts),
    SUITE_TEST(an_unknown_multipart_is_not_found),
    SUITE_TEST(synced_parts_survive_a_restart),
    SUITE_TEST(a_volatile_complete_can_be_renamed),
    SUITE_TEST(parts_can_be_read_before_complete),
    SUITE_TEST(many_multiparts_are_open_at_once),
};
const size_t suite_parts_test_count = sizeof(suite_parts_tests) / sizeof(suite_parts_tests[0]);
