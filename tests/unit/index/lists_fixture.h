/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of lists share: an index with a fake clock, and the calls in short. Include after cmocka.h.
 */
#ifndef MINATO_TESTS_LISTS_FIXTURE_H
#define MINATO_TESTS_LISTS_FIXTURE_H

#include "src/index/local_int.h"

struct fixture {
    uint64_t now_ms;
    struct index *index;
    struct arena arena;
};

static const struct done nobody = {NULL, NULL, NULL};

static inline uint64_t read_fake_ms(void *data)
{
    return *(uint64_t *)data;
}

static inline void setup(struct fixture *f)
{
    f->now_ms = 1000;
    struct clock clock = {read_fake_ms, read_fake_ms, &f->now_ms};
    f->index = index_new_local(16, clock, NULL);
    arena_init(&f->arena);
}

static inline void teardown(struct fixture *f)
{
    arena_done(&f->arena);
    index_free(f->index);
}

static inline struct local_lists *lists_of(struct fixture *f)
{
    return ((struct local_index *)f->index)->lists;
}

static inline struct index_list_key tags_of(const char *repo)
{
    return (struct index_list_key){INDEX_LIST_TAGS, {slice_from_cstr(repo)}, SLICE_EMPTY};
}

static inline struct index_list_key a_list(void)
{
    return tags_of("library/debian");
}

/* The lease of a read that misses. */
static inline index_lease miss(struct fixture *f, struct index_list_key key)
{
    struct index_list_page page;
    index_lease lease = UINT64_MAX;
    assert_int_equal(index_list_read(f->index, key, SLICE_EMPTY, 10, &f->arena, &page, &lease, nobody), NOT_FOUND);
    assert_true(lease != UINT64_MAX);
    return lease;
}

/* What the store lists, as letters: each is the name of a member. */
static inline void fill(struct fixture *f, struct index_list_key key, const char *letters, index_lease lease)
{
    size_t count = strlen(letters);
    struct index_member *members = ARENA_ARRAY(&f->arena, struct index_member, count);
    for (size_t i = 0; i < count; ++i)
        members[i].name = slice_of(&letters[i], 1);
    assert_int_equal(index_list_fill(f->index, key, members, count, lease, nobody), OK);
}

/* At most `limit` members after `after`, as letters. NULL: not known. */
static inline const char *page_of(struct fixture *f, struct index_list_key key, const char *after, size_t limit,
                                  bool *ret_has_more)
{
    struct index_list_page page;
    index_lease lease = 0;
    if (index_list_read(f->index, key, slice_from_cstr(after), limit, &f->arena, &page, &lease, nobody) != OK)
        return NULL;
    char *letters = arena_alloc(&f->arena, page.count + 1);
    for (size_t i = 0; i < page.count; ++i) {
        assert_int_equal(page.members[i].name.len, 1);
        letters[i] = page.members[i].name.ptr[0];
    }
    *ret_has_more = page.has_more;
    return letters;
}

/* The whole list as letters; "?": not known. */
static inline const char *all_of(struct fixture *f, struct index_list_key key)
{
    bool has_more = false;
    const char *letters = page_of(f, key, "", SIZE_MAX, &has_more);
    assert_false(has_more);
    return letters == NULL ? "?" : letters;
}

static inline index_write begin(struct fixture *f, const char *member)
{
    index_write write = 0;
    assert_int_equal(index_list_begin(f->index, a_list(), slice_from_cstr(member), &write, nobody), OK);
    return write;
}

static inline void end_with(struct fixture *f, const char *member, index_write write, enum index_list_outcome outcome,
                            const char *data)
{
    assert_int_equal(
        index_list_end(f->index, a_list(), slice_from_cstr(member), write, outcome, slice_from_cstr(data), nobody), OK);
}

static inline void end(struct fixture *f, const char *member, index_write write, enum index_list_outcome outcome)
{
    end_with(f, member, write, outcome, NULL);
}

#endif
