/* SPDX-License-Identifier: Apache-2.0
 *
 * The local index with threads against each other: what an acknowledged write replaced is never read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "minato/index.h"

static const struct done nobody = {NULL, NULL, NULL};

/* A store of a few keys, one writer thread per half of them, readers of all. `stored` is the store, `acknowledged` is
 * what a client has been told: a read that begins after that must not answer less. */
#define STRESS_KEYS 8
#define STRESS_THREADS 4
#define STRESS_ROUNDS 20000

struct stress {
    struct index *index;
    atomic_uint_fast64_t stored[STRESS_KEYS];
    atomic_uint_fast64_t acknowledged[STRESS_KEYS];
    atomic_uint_fast64_t stale;
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

static struct index_key stress_key(unsigned i)
{
    static const char *const names[STRESS_KEYS] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    return (struct index_key){INDEX_TAG, {SLICE("stress")}, slice_from_cstr(names[i])};
}

static void *stress_read(void *data)
{
    const struct stress_thread *t = data;
    struct stress *s = t->stress;
    uint64_t random = 88172645463325252u + t->number;
    while (!atomic_load(&s->is_over)) {
        unsigned k = (unsigned)(next_random(&random) % STRESS_KEYS);
        uint64_t floor = atomic_load(&s->acknowledged[k]);
        struct index_value v;
        index_lease lease = 0;
        enum result r = index_read(s->index, stress_key(k), &v, &lease, nobody);
        if (r == NOT_FOUND) {
            v = (struct index_value){.size = atomic_load(&s->stored[k])};
            if (next_random(&random) % 4 == 0)
                sched_yield(); /* the slow reader */
            r = index_fill(s->index, stress_key(k), &v, lease, nobody);
        } else {
            atomic_fetch_add(&s->hits, 1);
        }
        if (r != OK || v.size < floor)
            atomic_fetch_add(&s->stale, 1);
    }
    return NULL;
}

static void *stress_write(void *data)
{
    const struct stress_thread *t = data;
    struct stress *s = t->stress;
    uint64_t random = 362436069u + t->number;
    for (unsigned round = 0; round < STRESS_ROUNDS; ++round) {
        unsigned k = (unsigned)(next_random(&random) % (STRESS_KEYS / 2)) * 2 + t->number % 2;
        index_write write;
        if (index_begin(s->index, stress_key(k), &write, nobody) != OK)
            atomic_fetch_add(&s->stale, 1);
        uint64_t version = atomic_fetch_add(&s->stored[k], 1) + 1;
        if (next_random(&random) % 8 == 0)
            sched_yield();
        if (index_end(s->index, stress_key(k), write, nobody) != OK)
            atomic_fetch_add(&s->stale, 1);
        uint64_t told = atomic_load(&s->acknowledged[k]);
        while (told < version && !atomic_compare_exchange_weak(&s->acknowledged[k], &told, version))
            ;
        for (unsigned wait = (unsigned)(next_random(&random) % 4); wait > 0; --wait)
            sched_yield(); /* so that there is something to hit */
    }
    return NULL;
}

static void reader_never_sees_a_value_older_than_the_last_ended_write(void **state)
{
    (void)state;
    static struct stress s;
    memset(&s, 0, sizeof(s));
    s.index = index_new_local(6, clock_system(), NULL); /* fewer than keys: eviction takes part */
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
    assert_true(atomic_load(&s.stale) == 0);
    assert_true(atomic_load(&s.hits) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_never_sees_a_value_older_than_the_last_ended_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
