/* SPDX-License-Identifier: Apache-2.0
 *
 * What a store answers to a listing, read into entries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage-drivers/s3/s3_int.h"

#define OBJECT(key) "<Contents><Key>" key "</Key><Owner><ID>key</ID></Owner></Contents>"
#define FOLDER(prefix) "<CommonPrefixes><Prefix>" prefix "</Prefix></CommonPrefixes>"
#define LISTING(rest) "<?xml version=\"1.0\"?><ListBucketResult><Prefix>p/</Prefix>" rest "</ListBucketResult>"

/* The names, each with a blank behind it, folders' with a '/', then the token; empty if it is refused. */
static struct slice read_listing(struct arena *arena, const char *xml, size_t limit)
{
    struct storage_listing listing;
    struct slice text = SLICE_EMPTY;
    if (s3_parse_listing(slice_from_cstr(xml), SLICE("p/"), limit, arena, &listing) != OK)
        return SLICE("refused");
    for (size_t i = 0; i < listing.count; i++)
        text = arena_format(arena, "%.*s%.*s%s ", SLICE_ARG(text), SLICE_ARG(listing.entries[i].name),
                            listing.entries[i].is_folder ? "/" : "");
    return arena_format(arena, "%.*s%.*s", SLICE_ARG(text), SLICE_ARG(listing.next));
}

static void expect(const char *xml, size_t limit, const char *expected)
{
    struct arena arena;
    arena_init(&arena);
    assert_string_equal(arena_cstr(&arena, read_listing(&arena, xml, limit)), expected);
    arena_done(&arena);
}

static void entries_come_in_the_order_of_keys(void **state)
{
    (void)state;
    expect(LISTING(FOLDER("p/v1-a/") FOLDER("p/v1/") OBJECT("p/link") OBJECT("p/v10")), 10, "link v1-a/ v1/ v10 ");
}

static void the_way_to_go_on_is_taken(void **state)
{
    (void)state;
    expect(
        LISTING("<NextContinuationToken>to ken</NextContinuationToken><IsTruncated>true</IsTruncated>" OBJECT("p/a")),
        10, "a to ken");
    expect(LISTING("<IsTruncated>false</IsTruncated>" OBJECT("p/a")), 10, "a ");
}

static void a_list_that_is_cut_without_a_way_to_go_on_is_refused(void **state)
{
    (void)state;
    expect(LISTING("<IsTruncated>true</IsTruncated>" OBJECT("p/a")), 10, "refused");
}

static void the_folders_own_marker_is_no_entry(void **state)
{
    (void)state;
    expect(LISTING(OBJECT("p/") OBJECT("p/a")), 10, "a ");
}

static void what_was_not_asked_for_is_refused(void **state)
{
    (void)state;
    expect(LISTING(OBJECT("q/a")), 10, "refused");
    expect(LISTING(OBJECT("p/a/b")), 10, "refused");
    expect(LISTING(OBJECT("p/a") OBJECT("p/b")), 1, "refused");
    expect("<ListBucketResult>" OBJECT("p/a"), 10, "refused");
    expect("", 10, "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_in_the_order_of_keys),
        cmocka_unit_test(the_way_to_go_on_is_taken),
        cmocka_unit_test(a_list_that_is_cut_without_a_way_to_go_on_is_refused),
        cmocka_unit_test(the_folders_own_marker_is_no_entry),
        cmocka_unit_test(what_was_not_asked_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
