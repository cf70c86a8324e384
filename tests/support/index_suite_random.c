/* SPDX-License-Identifier: Apache-2.0
 *
 * Random interleavings over an index and a store in memory: readers look, read the store later and fill later still;
 * writers begin, write later and end later still. Whatever the index knows must be true at the moment it is asked.
 */
#include "index_suite_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "dice.h"

#define ROUNDS 4000u
#define SEED 20261130u
#define READERS 3u
#define WRITERS 3u
#define MEMBERS 4u

enum phase { IDLE, BEGUN, DONE };

/* ---- values: the store has a version; versions divisible by five are deletes ---- */

struct value_reader {
    enum phase phase;
    index_lease lease;
    uint64_t version;
};

struct value_writer {
    enum phase phase;
    index_write write;
    uint64_t version;
};

struct value_world {
    struct suite *suite;
    struct dice dice;
    struct index_key key;
    uint64_t version; /* of the store */
    uint64_t acked;
    struct value_reader readers[READERS];
    struct value_writer writers[WRITERS];
    unsigned hits;
};

static bool is_deleted(uint64_t version)
{
    return version % 5 == 0;
}

static struct index *any_replica(struct suite *s, struct dice *dice)
{
    return s->replicas[dice_below(dice, 2)];
}

static void step_value_reader(struct value_world *w, struct value_reader *r)
{
    struct suite *s = w->suite;
    struct index *index = any_replica(s, &w->dice);
    struct index_value value = {.size = r->version};
    switch (r->phase) {
    case IDLE: {
        enum result result = AWAIT(s->loop, index_read(index, w->key, &value, &r->lease, done));
        if (result == OK) {
            assert_true(value.size >= w->acked);
            w->hits++;
        }
        r->phase = result == OK ? IDLE : BEGUN;
        break;
    }
    case BEGUN:
        r->version = w->version;
        r->phase = is_deleted(r->version) ? IDLE : DONE;
        break;
    case DONE:
        assert_int_equal(AWAIT(s->loop, index_fill(index, w->key, &value, r->lease, done)), OK);
        r->phase = IDLE;
        break;
    }
}

static void step_value_writer(struct value_world *w, struct value_writer *writer)
{
    struct suite *s = w->suite;
    struct index *index = any_replica(s, &w->dice);
    switch (writer->phase) {
    case IDLE:
        assert_int_equal(AWAIT(s->loop, index_begin(index, w->key, &writer->write, done)), OK);
        writer->phase = BEGUN;
        break;
    case BEGUN:
        writer->version = ++w->version;
        writer->phase = DONE;
        break;
    case DONE:
        assert_int_equal(AWAIT(s->loop, index_end(index, w->key, writer->write, done)), OK);
        w->acked = writer->version > w->acked ? writer->version : w->acked;
        writer->phase = IDLE;
        break;
    }
}

/* Else somebody nearly always is, and nothing is ever filled. */
static bool is_anybody_writing(const struct value_world *w)
{
    for (unsigned i = 0; i < WRITERS; i++)
        if (w->writers[i].phase != IDLE)
            return true;
    return false;
}

static void lose_sometimes(struct suite *s, struct dice *dice)
{
    if (dice_chance(dice, 2))
        s->subject->lose_a_key(s->subject->data, dice_roll(dice));
}

static void values_in_random_order(struct suite *s, bool has_losses)
{
    struct value_world w = {.suite = s, .dice = {SEED}, .version = 1, .acked = 1};
    w.key = index_suite_key(INDEX_TAG, "library/debian", "latest");
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (dice_chance(&w.dice, is_anybody_writing(&w) ? 70 : 96))
            step_value_reader(&w, &w.readers[dice_below(&w.dice, READERS)]);
        else
            step_value_writer(&w, &w.writers[dice_below(&w.dice, WRITERS)]);
        if (has_losses)
            lose_sometimes(s, &w.dice);
    }
    assert_true(w.hits > ROUNDS / 100); /* else nothing was tried */
}

void index_suite_values_in_random_order(void **state)
{
    values_in_random_order(*state, false);
}

void index_suite_values_that_are_lost(void **state)
{
    values_in_random_order(*state, true);
}

/* ---- lists: a member is absent (0) or has a version as its data ---- */

struct list_reader {
    enum phase phase;
    struct index *index;
    index_lease lease;
    uint64_t listed[MEMBERS];
};

struct list_writer {
    enum phase phase;
    unsigned member;
    index_write write;
    uint64_t version; /* 0: it was removed */
};

struct list_world {
    struct suite *suite;
    struct dice dice;
    struct index_list_key key;
    uint64_t version;
    uint64_t store[MEMBERS];
    struct list_reader readers[READERS];
    struct list_writer writers[WRITERS];
    unsigned hits;
};

static const struct slice member_names[MEMBERS] = {{"a", 1}, {"a-b", 3}, {"a.b", 3}, {"b", 1}};

static struct slice data_of(struct arena *arena, uint64_t version)
{
    return arena_format(arena, "%llu", (unsigned long long)version);
}

static bool is_being_written(const struct list_world *w, unsigned member)
{
    for (unsigned i = 0; i < WRITERS; i++)
        if (w->writers[i].phase != IDLE && w->writers[i].member == member)
            return true;
    return false;
}

static void check_page(struct list_world *w, const struct index_list_page *page, struct arena *arena)
{
    size_t at = 0;
    for (unsigned m = 0; m < MEMBERS; m++) {
        bool is_listed = at < page->count && slice_equal(page->members[at].name, member_names[m]);
        if (!is_being_written(w, m)) {
            assert_int_equal(is_listed, w->store[m] != 0);
            if (is_listed)
                assert_true(slice_equal(page->members[at].data, data_of(arena, w->store[m])));
        }
        at += is_listed ? 1 : 0;
    }
    assert_int_equal(at, page->count);
}

static void look_at_list(struct list_world *w, struct list_reader *r, struct arena *arena)
{
    struct index_list_page page;
    enum result result =
        AWAIT(w->suite->loop, index_list_read(r->index, w->key, SLICE_EMPTY, 100, arena, &page, &r->lease, done));
    if (result == OK) {
        check_page(w, &page, arena);
        w->hits++;
    }
    r->phase = result == NOT_FOUND && r->lease != 0 ? BEGUN : IDLE;
}

static void fill_list(struct list_world *w, struct list_reader *r, struct arena *arena)
{
    struct index_member members[MEMBERS];
    size_t count = 0;
    for (unsigned m = 0; m < MEMBERS; m++)
        if (r->listed[m] != 0)
            members[count++] = (struct index_member){member_names[m], data_of(arena, r->listed[m])};
    bool gives_back = dice_chance(&w->dice, 10);
    assert_int_equal(AWAIT(w->suite->loop, gives_back
                                               ? index_list_give_back(r->index, w->key, r->lease, done)
                                               : index_list_fill(r->index, w->key, members, count, r->lease, done)),
                     OK);
    r->phase = IDLE;
}

static void step_list_reader(struct list_world *w, struct list_reader *r)
{
    struct arena arena;
    arena_init(&arena);
    switch (r->phase) {
    case IDLE:
        r->index = any_replica(w->suite, &w->dice);
        look_at_list(w, r, &arena);
        break;
    case BEGUN:
        memcpy(r->listed, w->store, sizeof(r->listed));
        r->phase = DONE;
        break;
    case DONE:
        fill_list(w, r, &arena);
        break;
    }
    arena_done(&arena);
}

static void end_list_write(struct list_world *w, struct list_writer *writer, struct index *index)
{
    struct arena arena;
    arena_init(&arena);
    bool is_there = writer->version != 0;
    enum index_list_outcome outcome = dice_chance(&w->dice, 3) ? INDEX_MEMBER_UNKNOWN
                                      : is_there               ? INDEX_MEMBER_PRESENT
                                                               : INDEX_MEMBER_ABSENT;
    struct slice data = outcome == INDEX_MEMBER_PRESENT ? data_of(&arena, writer->version) : SLICE_EMPTY;
    assert_int_equal(AWAIT(w->suite->loop, index_list_end(index, w->key, member_names[writer->member], writer->write,
                                                          outcome, data, done)),
                     OK);
    writer->phase = IDLE;
    arena_done(&arena);
}

static void step_list_writer(struct list_world *w, struct list_writer *writer)
{
    struct index *index = any_replica(w->suite, &w->dice);
    switch (writer->phase) {
    case IDLE:
        writer->member = dice_below(&w->dice, MEMBERS);
        assert_int_equal(
            AWAIT(w->suite->loop, index_list_begin(index, w->key, member_names[writer->member], &writer->write, done)),
            OK);
        writer->phase = BEGUN;
        break;
    case BEGUN:
        writer->version = dice_chance(&w->dice, 30) ? 0 : ++w->version;
        w->store[writer->member] = writer->version;
        writer->phase = DONE;
        break;
    case DONE:
        end_list_write(w, writer, index);
        break;
    }
}

static void lists_in_random_order(struct suite *s, bool has_losses)
{
    struct list_world w = {.suite = s, .dice = {SEED}};
    w.key = (struct index_list_key){INDEX_LIST_REFERRERS, {SLICE("library/debian")}, SLICE("subject")};
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (dice_chance(&w.dice, 70))
            step_list_reader(&w, &w.readers[dice_below(&w.dice, READERS)]);
        else
            step_list_writer(&w, &w.writers[dice_below(&w.dice, WRITERS)]);
        if (has_losses)
            lose_sometimes(s, &w.dice);
    }
    assert_true(w.hits > ROUNDS / 20); /* else nothing was tried */
}

void index_suite_lists_in_random_order(void **state)
{
    lists_in_random_order(*state, false);
}

void index_suite_lists_that_are_lost(void **state)
{
    lists_in_random_order(*state, true);
}
