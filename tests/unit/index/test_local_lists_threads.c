/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of the local index with threads against each other: a page is never older than an acknowledged write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lists_fixture.h"

/* The store: a version per member; those divisible by 3 mean that it is absent, the others are its data. A writer
 * raises it, then says so; `acknowledged` is what a client has been told. Two writers share each half of the members,
 * so that their writes overlap. */
#define STRESS_MEMBERS 8u
#define STRESS_THREADS 4u
#define STRESS_ROUNDS 10000u

struct stress {
    struct index *index;
    atomic_uint_fast64_t stored[STRESS_MEMBERS];
    atomic_uint_fast64_t acknowledged[STRESS_MEMBERS];
    atomic_uint_fast64_t wrong;
    atomic_uint_fast64_t hits;
    atomic_bool is_over;
};

struct stress_thread {
    struct stress *stress;
    unsigned number;
    pthread_t thread;
};

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static struct slice name_of(unsigned member)
{
    return slice_of(&"abcdefgh"[member], 1);
}

static void check_page(struct stress *s, const struct index_list_page *page, const uint64_t floor[STRESS_MEMBERS])
{
    size_t next = 0;
    for (unsigned m = 0; m < STRESS_MEMBERS; ++m) {
        bool is_right = false;
        if (next < page->count && slice_equal(page->members[next].name, name_of(m))) {
            uint64_t version = 0;
            enum result r = slice_parse_u64(page->members[next++].data, &version);
            is_right = r == OK && version >= floor[m] && version % 3 != 0;
        } else {
            uint64_t newest = atomic_load(&s->stored[m]);
            is_right = newest >= (floor[m] + 2) / 3 * 3; /* some version since said that it is absent */
        }
        if (!is_right)
            atomic_fetch_add(&s->wrong, 1);
    }
    if (next != page->count)
        atomic_fetch_add(&s->wrong, 1);
}

static void stress_fill(struct stress *s, index_lease lease, uint64_t *random)
{
    struct index_member members[STRESS_MEMBERS];
    char text[STRESS_MEMBERS][24];
    size_t count = 0;
    for (unsigned m = 0; m < STRESS_MEMBERS; ++m) {
        uint64_t version = atomic_load(&s->stored[m]);
        if (next_random(random) % 8 == 0)
            sched_yield(); /* the slow reader */
        if (version % 3 == 0)
            continue;
        (void)snprintf(text[count], sizeof(text[count]), "%llu", (unsigned long long)version);
        members[count] = (struct index_member){name_of(m), slice_from_cstr(text[count])};
        ++count;
    }
    if (index_list_fill(s->index, a_list(), members, count, lease, nobody) != OK)
        atomic_fetch_add(&s->wrong, 1);
}

static void *stress_read(void *data)
{
    const struct stress_thread *t = data;
    struct stress *s = t->stress;
    uint64_t random = 88172645463325252u + t->number;
    struct arena arena;
    arena_init(&arena);
    while (!atomic_load(&s->is_over)) {
        uint64_t floor[STRESS_MEMBERS];
        for (unsigned m = 0; m < STRESS_MEMBERS; ++m)
            floor[m] = atomic_load(&s->acknowledged[m]);
        struct index_list_page page;
        index_lease lease = 0;
        enum result r = index_list_read(s->index, a_list(), SLICE_EMPTY, STRESS_MEMBERS, &arena, &page, &lease, nobody);
        if (r == OK) {
            check_page(s, &page, floor);
            atomic_fetch_add(&s->hits, 1);
        } else {
            stress_fill(s, lease, &random);
        }
        arena_done(&arena);
    }
    return NULL;
}

static void *stress_write(void *data)
{
    const struct stress_thread *t = data;
    struct stress *s = t->stress;
    uint64_t random = 362436069u + t->number;
    for (unsigned round = 0; round < STRESS_ROUNDS; ++round) {
        unsigned m = (unsigned)(next_random(&random) % (STRESS_MEMBERS / 2)) * 2 + t->number % 2;
        index_write write;
        if (index_list_begin(s->index, a_list(), name_of(m), &write, nobody) != OK)
            atomic_fetch_add(&s->wrong, 1);
        uint64_t version = atomic_fetch_add(&s->stored[m], 1) + 1;
        if (next_random(&random) % 8 == 0)
            sched_yield();
        char text[24];
        (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)version);
        enum index_list_outcome outcome = version % 3 == 0 ? INDEX_MEMBER_ABSENT : INDEX_MEMBER_PRESENT;
        struct slice said = outcome == INDEX_MEMBER_PRESENT ? slice_from_cstr(text) : SLICE_EMPTY;
        if (index_list_end(s->index, a_list(), name_of(m), write, outcome, said, nobody) != OK)
            atomic_fetch_add(&s->wrong, 1);
        uint64_t told = atomic_load(&s->acknowledged[m]);
        while (told < version && !atomic_compare_exchange_weak(&s->acknowledged[m], &told, version))
            ;
        for (unsigned wait = (unsigned)(next_random(&random) % 4); wait > 0; --wait)
            sched_yield(); /* so that there is something to hit */
    }
    return NULL;
}

static void page_is_never_older_than_an_acknowledged_write(void **state)
{
    (void)state;
    static struct stress s;
    memset(&s, 0, sizeof(s));
    s.index = index_new_local(16, clock_system(), NULL);
    struct stress_thread readers[STRESS_THREADS];
    struct stress_thread writers[STRESS_THREADS];
    for (unsigned i = 0; i < STRESS_THREADS; ++i) {
        readers[i] = (struct stress_thread){.stress = &s, .number = i};
        writers[i] = (struct stress_thread){.stress = &s, .number = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, stress_read, &readers[i]), 0);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, stress_write, &writers[i]), 0);
    }
    for (unsigned i = 0; i < STRESS_THREADS; ++i)
        pthread_join(writers[i].thread, NULL);
    atomic_store(&s.is_over, true);
    for (unsigned i = 0; i < STRESS_THREADS; ++i)
        pthread_join(readers[i].thread, NULL);
    index_free(s.index);
    assert_true(atomic_load(&s.wrong) == 0);
    assert_true(atomic_load(&s.hits) > 0);
}

/* Four lists of which at most two fit: every fill drives another out, of whatever shard, while it is read. */
#define EVICTION_ROUNDS 20000u

static void *fill_and_read(void *data)
{
    const struct stress_thread *t = data;
    struct stress *s = t->stress;
    static const char *const names[] = {"one", "two", "three", "four"};
    uint64_t random = 521288629u + t->number;
    struct arena arena;
    arena_init(&arena);
    const struct index_member members[] = {{SLICE("a"), SLICE_EMPTY}, {SLICE("b"), SLICE_EMPTY}};
    for (unsigned round = 0; round < EVICTION_ROUNDS; ++round) {
        struct index_list_key key = tags_of(names[next_random(&random) % 4]);
        struct index_list_page page;
        index_lease lease = 0;
        enum result r = index_list_read(s->index, key, SLICE_EMPTY, 9, &arena, &page, &lease, nobody);
        if (r == OK)
            atomic_fetch_add(page.count == 2 ? &s->hits : &s->wrong, 1);
        else if (index_list_fill(s->index, key, members, 2, lease, nobody) != OK)
            atomic_fetch_add(&s->wrong, 1);
        arena_done(&arena);
    }
    return NULL;
}

static void lists_are_driven_out_while_others_read_them(void **state)
{
    (void)state;
    static struct stress s;
    memset(&s, 0, sizeof(s));
    s.index = index_new_local(16, clock_system(), NULL);
    struct local_lists *lists = ((struct local_index *)s.index)->lists;
    lists->members_max = 4;
    struct stress_thread threads[STRESS_THREADS];
    for (unsigned i = 0; i < STRESS_THREADS; ++i) {
        threads[i] = (struct stress_thread){.stress = &s, .number = i};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, fill_and_read, &threads[i]), 0);
    }
    for (unsigned i = 0; i < STRESS_THREADS; ++i)
        pthread_join(threads[i].thread, NULL);
    assert_true(atomic_load(&lists->members) <= 4);
    index_free(s.index);
    assert_true(atomic_load(&s.wrong) == 0);
    assert_true(atomic_load(&s.hits) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_never_older_than_an_acknowledged_write),
        cmocka_unit_test(lists_are_driven_out_while_others_read_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
