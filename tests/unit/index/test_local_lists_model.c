/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of the local index against a model: a store of a few members whose every state is remembered, writers that
 * begin, take effect and end in any order (or too late, or never), fillers that look at one member after the other.
 * What a page says of a member must be a state no older than the last write that ended before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lists_fixture.h"

#define MEMBERS 4u
#define STATES 4096u
#define WRITES 5u
#define FILLERS 3u
#define ROUNDS 1000u
#define STEPS 2000u

/* A state of a member: 0 is absent, 1 and 2 are present with that data. */
static const char *const data_of_state[] = {"", "", "{2}"};

struct model_write {
    bool is_open;
    bool has_taken_effect;
    unsigned member;
    unsigned state;
    size_t at; /* of its effect, among the member's states */
    uint64_t deadline_ms;
    index_write id;
};

struct model_filler {
    bool is_open;
    index_lease lease;
    unsigned seen; /* members looked at */
    unsigned states[MEMBERS];
};

struct model {
    struct fixture f;
    uint64_t random;
    uint8_t states[MEMBERS][STATES];
    size_t count[MEMBERS]; /* of states; the last is the store's */
    size_t floor[MEMBERS]; /* no page may say anything older */
    struct model_write writes[WRITES];
    struct model_filler fillers[FILLERS];
};

static unsigned pick(struct model *m, unsigned n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (unsigned)(m->random % n);
}

static struct slice name_of(unsigned member)
{
    return slice_of(&"abcd"[member], 1);
}

static void raise_floor(struct model *m, const struct model_write *w)
{
    if (w->has_taken_effect && w->at > m->floor[w->member])
        m->floor[w->member] = w->at;
}

/* ---- writers ---- */

static void take_effect(struct model *m, struct model_write *w)
{
    if (w->has_taken_effect || m->count[w->member] == STATES)
        return;
    w->has_taken_effect = true;
    w->at = m->count[w->member]++;
    m->states[w->member][w->at] = (uint8_t)w->state;
}

static void write_begins(struct model *m, struct model_write *w)
{
    *w = (struct model_write){.is_open = true, .member = pick(m, MEMBERS), .state = pick(m, 3)};
    w->deadline_ms = m->f.now_ms + INDEX_WRITE_MAX_MS;
    enum result r = index_list_begin(m->f.index, a_list(), name_of(w->member), &w->id, nobody);
    assert_int_equal(r, OK);
}

static void write_ends(struct model *m, struct model_write *w)
{
    enum index_list_outcome outcome = w->state == 0 ? INDEX_MEMBER_ABSENT : INDEX_MEMBER_PRESENT;
    if (pick(m, 8) == 0)
        outcome = INDEX_MEMBER_UNKNOWN; /* with or without an effect */
    else
        take_effect(m, w);
    if (w->has_taken_effect || outcome == INDEX_MEMBER_UNKNOWN) {
        struct slice data = outcome == INDEX_MEMBER_PRESENT ? slice_from_cstr(data_of_state[w->state]) : SLICE_EMPTY;
        assert_int_equal(index_list_end(m->f.index, a_list(), name_of(w->member), w->id, outcome, data, nobody), OK);
        raise_floor(m, w);
        w->is_open = false;
    }
}

/* A write that never ends has taken effect by its deadline, or never will. Some end after it. */
static void time_passes(struct model *m)
{
    m->f.now_ms += pick(m, INDEX_WRITE_MAX_MS);
    for (unsigned i = 0; i < WRITES; ++i) {
        struct model_write *w = &m->writes[i];
        if (!w->is_open || w->deadline_ms > m->f.now_ms)
            continue;
        if (!w->has_taken_effect && pick(m, 2) == 0) {
            w->deadline_ms = UINT64_MAX; /* it will do both, too late */
            continue;
        }
        raise_floor(m, w);
        w->is_open = false;
    }
}

static void step_write(struct model *m)
{
    struct model_write *w = &m->writes[pick(m, WRITES)];
    if (!w->is_open)
        write_begins(m, w);
    else if (pick(m, 2) == 0)
        take_effect(m, w);
    else
        write_ends(m, w);
}

/* ---- readers ---- */

static void check_page(const struct model *m, const struct index_list_page *page)
{
    size_t next = 0;
    for (unsigned member = 0; member < MEMBERS; ++member) {
        bool is_listed = next < page->count && slice_equal(page->members[next].name, name_of(member));
        bool is_allowed = false;
        for (size_t at = m->floor[member]; at < m->count[member] && !is_allowed; ++at) {
            unsigned state = m->states[member][at];
            is_allowed =
                is_listed ? state != 0 && slice_equal(page->members[next].data, slice_from_cstr(data_of_state[state]))
                          : state == 0;
        }
        assert_true(is_allowed);
        next += is_listed ? 1 : 0;
    }
    assert_int_equal(next, page->count);
}

/* Whether it was a hit. */
static bool step_read(struct model *m)
{
    struct index_list_page page;
    index_lease lease = 0;
    enum result r = index_list_read(m->f.index, a_list(), SLICE_EMPTY, MEMBERS, &m->f.arena, &page, &lease, nobody);
    if (r == OK) {
        check_page(m, &page);
        return true;
    }
    assert_int_equal(r, NOT_FOUND);
    struct model_filler *filler = &m->fillers[pick(m, FILLERS)];
    if (!filler->is_open)
        *filler = (struct model_filler){.is_open = true, .lease = lease};
    return false;
}

static void step_fill(struct model *m)
{
    struct model_filler *filler = &m->fillers[pick(m, FILLERS)];
    if (!filler->is_open)
        return;
    if (filler->seen < MEMBERS) {
        filler->states[filler->seen] = m->states[filler->seen][m->count[filler->seen] - 1];
        ++filler->seen;
        return;
    }
    struct index_member members[MEMBERS];
    size_t count = 0;
    for (unsigned i = MEMBERS; i-- > 0;)
        if (filler->states[i] != 0)
            members[count++] = (struct index_member){name_of(i), slice_from_cstr(data_of_state[filler->states[i]])};
    assert_int_equal(index_list_fill(m->f.index, a_list(), members, count, filler->lease, nobody), OK);
    filler->is_open = false;
}

static void page_is_never_older_than_an_ended_write(void **state)
{
    (void)state;
    uint64_t seed;
    random_bytes(&seed, sizeof(seed));
    seed |= 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    static struct model m;
    size_t hits = 0;
    for (unsigned round = 0; round < ROUNDS; ++round) {
        m = (struct model){.random = seed + 2 * round};
        setup(&m.f);
        for (unsigned i = 0; i < MEMBERS; ++i)
            m.count[i] = 1; /* absent */
        unsigned writing = 1 + pick(&m, 6);
        for (unsigned step = 0; step < STEPS; ++step) {
            unsigned what = pick(&m, 20);
            if (what < writing)
                step_write(&m);
            else if (what < 12)
                step_fill(&m);
            else if (what < 19)
                hits += step_read(&m) ? 1 : 0;
            else if (pick(&m, 10) == 0)
                time_passes(&m);
        }
        teardown(&m.f);
    }
    assert_true(hits > (size_t)ROUNDS * STEPS / 50); /* or it checked nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_never_older_than_an_ended_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
