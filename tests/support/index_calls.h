/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of the index in short, for tests that go step by step. Include after cmocka.h.
 */
#ifndef MINATO_TEST_INDEX_CALLS_H
#define MINATO_TEST_INDEX_CALLS_H

#include "index_suite_int.h"

/* ---- values ---- */

static inline struct index_key layer(const char *name)
{
    return index_suite_key(INDEX_LAYER, "library/debian", name);
}

static inline struct index_value value_of(char letter)
{
    struct index_value value = {.size = 4711u + (unsigned char)letter};
    value.digest.algorithm = DIGEST_SHA256;
    memset(value.digest.bytes, letter, 32);
    return value;
}

/* '-': not known, and with a lease; '0': not known, and none; else the letter of its value. */
static inline char look(struct suite *s, unsigned replica, struct index_key key, index_lease *ret_lease)
{
    struct index_value value;
    index_lease lease = 0;
    enum result r = AWAIT(s->loop, index_read(s->replicas[replica], key, &value, &lease, done));
    if (r == OK) {
        struct index_value expected = value_of((char)value.digest.bytes[0]);
        assert_true(digest_equal(&value.digest, &expected.digest));
        assert_int_equal(value.size, expected.size);
        return (char)value.digest.bytes[0];
    }
    assert_int_equal(r, NOT_FOUND);
    if (ret_lease != NULL)
        *ret_lease = lease;
    return lease == 0 ? '0' : '-';
}

static inline void fill(struct suite *s, unsigned replica, struct index_key key, char letter, index_lease lease)
{
    struct index_value value = value_of(letter);
    assert_int_equal(AWAIT(s->loop, index_fill(s->replicas[replica], key, &value, lease, done)), OK);
}

static inline void know(struct suite *s, struct index_key key, char letter)
{
    index_lease lease;
    assert_int_equal(look(s, 0, key, &lease), '-');
    fill(s, 0, key, letter, lease);
    assert_int_equal(look(s, 0, key, NULL), letter);
}

static inline index_write begin(struct suite *s, unsigned replica, struct index_key key)
{
    index_write write;
    assert_int_equal(AWAIT(s->loop, index_begin(s->replicas[replica], key, &write, done)), OK);
    return write;
}

static inline void end(struct suite *s, unsigned replica, struct index_key key, index_write write)
{
    assert_int_equal(AWAIT(s->loop, index_end(s->replicas[replica], key, write, done)), OK);
}

/* ---- lists ---- */

static const struct index_list_key a_list = {INDEX_LIST_TAGS, {{"library/debian", 14}}, {NULL, 0}};
static const struct index_list_key with_data = {INDEX_LIST_REFERRERS, {{"library/debian", 14}}, {"subject", 7}};

static inline index_lease miss(struct suite *s, unsigned replica, struct index_list_key key)
{
    struct index_list_page page;
    index_lease lease = 0;
    assert_int_equal(
        AWAIT(s->loop, index_list_read(s->replicas[replica], key, SLICE_EMPTY, 10, &s->arena, &page, &lease, done)),
        NOT_FOUND);
    return lease;
}

/* Members are words; what follows an '=' is data. */
static inline void install(struct suite *s, unsigned replica, struct index_list_key key, const char *words,
                           index_lease lease)
{
    struct index_member members[64];
    size_t count = 0;
    struct slice rest = slice_from_cstr(words), word;
    while (slice_split(rest, ' ', &word, &rest)) {
        members[count] = (struct index_member){.name = word};
        (void)slice_split(word, '=', &members[count].name, &members[count].data);
        count++;
    }
    assert_int_equal(AWAIT(s->loop, index_list_fill(s->replicas[replica], key, members, count, lease, done)), OK);
}

/* The same words, then "..." if there are more. NULL: not known. */
static const char *page(struct suite *s, unsigned replica, struct index_list_key key, const char *after, size_t limit)
{
    struct index_list_page found;
    struct strbuf text;
    if (AWAIT(s->loop, index_list_read(s->replicas[replica], key, slice_from_cstr(after), limit, &s->arena, &found,
                                       NULL, done)) != OK)
        return NULL;
    strbuf_init(&text, 4096);
    for (size_t i = 0; i < found.count; i++)
        strbuf_append_format(&text, "%.*s%s%.*s ", SLICE_ARG(found.members[i].name),
                             found.members[i].data.len > 0 ? "=" : "", SLICE_ARG(found.members[i].data));
    strbuf_append_cstr(&text, found.has_more ? "..." : "");
    const char *result = arena_cstr(&s->arena, strbuf_slice(&text));
    strbuf_done(&text);
    return result;
}

static inline void assert_page(struct suite *s, struct index_list_key key, const char *words)
{
    for (unsigned replica = 0; replica < 2; replica++) {
        const char *found = page(s, replica, key, "", 100);
        assert_non_null(found);
        assert_string_equal(found, words);
    }
}

static inline void assert_cold(struct suite *s, struct index_list_key key)
{
    assert_null(page(s, 0, key, "", 100));
    assert_null(page(s, 1, key, "", 100));
}

static inline index_write list_begin(struct suite *s, unsigned replica, struct index_list_key key, const char *member)
{
    index_write write;
    assert_int_equal(AWAIT(s->loop, index_list_begin(s->replicas[replica], key, slice_from_cstr(member), &write, done)),
                     OK);
    return write;
}

static inline void list_end(struct suite *s, unsigned replica, struct index_list_key key, const char *member,
                            index_write write, enum index_list_outcome outcome, const char *data)
{
    assert_int_equal(AWAIT(s->loop, index_list_end(s->replicas[replica], key, slice_from_cstr(member), write, outcome,
                                                   slice_from_cstr(data), done)),
                     OK);
}

static inline void list_write(struct suite *s, unsigned replica, struct index_list_key key, const char *member,
                              enum index_list_outcome outcome, const char *data)
{
    list_end(s, replica, key, member, list_begin(s, replica, key, member), outcome, data);
}

#endif
