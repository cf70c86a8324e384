/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on names: who may hold them together, who waits for whom, and that everybody gets them in the end.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "await.h"
#include "dice.h"
#include "src/registry/content_int.h"

#define NAMES_MAX 4u

/* One request. */
struct asker {
    struct name_lock lock;
    struct slice names[NAMES_MAX];
    bool is_granted;
};

struct fixture {
    struct loop *loop;
    struct name_locks *locks;
};

static void set_up(struct fixture *f)
{
    assert_int_equal(loop_new(0, PAGE_BYTES, &f->loop), OK);
    f->locks = registry_int_locks_new();
}

static void tear_down(struct fixture *f)
{
    registry_int_locks_free(f->locks);
    loop_free(f->loop);
}

static void on_granted(void *data, enum result r)
{
    struct asker *a = data;
    if (r != OK || a->is_granted)
        abort();
    a->is_granted = true;
}

static struct asker asker_of(const char *repo, const char *names)
{
    struct asker a = {.lock = {.repo = {slice_from_cstr(repo)}}};
    struct slice rest = slice_from_cstr(names);
    struct slice head;
    while (slice_split(rest, ' ', &head, &rest))
        a.names[a.lock.count++] = head;
    a.names[a.lock.count++] = rest;
    return a;
}

static struct asker shared(const char *names)
{
    return asker_of("r", names);
}

static struct asker alone(const char *names)
{
    struct asker a = asker_of("r", names);
    a.lock.is_exclusive = true;
    return a;
}

static struct asker nested(const char *names)
{
    struct asker a = alone(names);
    a.lock.is_nested = true;
    return a;
}

/* Whether it got them at once. */
static bool ask(struct name_locks *locks, struct loop *loop, struct asker *a)
{
    a->lock.names = a->names;
    enum result r = registry_int_lock(locks, &a->lock, (struct done){on_granted, a, loop});
    if (r != OK && r != PENDING)
        abort();
    a->is_granted = r == OK;
    return a->is_granted;
}

static bool asks(struct fixture *f, struct asker *a)
{
    return ask(f->locks, f->loop, a);
}

static void gives_back(struct fixture *f, struct asker *a)
{
    registry_int_unlock(f->locks, &a->lock);
    loop_run_once(f->loop, 0);
}

/* ---- who may hold together ---- */

static void pushes_hold_a_name_together(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker a = shared("x y"), b = shared("y z");
    assert_true(asks(&f, &a));
    assert_true(asks(&f, &b));
    gives_back(&f, &a);
    gives_back(&f, &b);
    tear_down(&f);
}

static void a_delete_holds_a_name_alone(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker push = shared("x y"), deletes[] = {alone("y"), alone("y")}, other = alone("z");
    struct asker elsewhere = asker_of("s", "y");
    assert_true(asks(&f, &push));
    assert_false(asks(&f, &deletes[0]));
    assert_false(asks(&f, &deletes[1]));
    assert_true(asks(&f, &other));
    assert_true(asks(&f, &elsewhere));
    gives_back(&f, &push);
    assert_true(deletes[0].is_granted);
    assert_false(deletes[1].is_granted);
    gives_back(&f, &deletes[0]);
    assert_true(deletes[1].is_granted);
    gives_back(&f, &deletes[1]);
    gives_back(&f, &other);
    gives_back(&f, &elsewhere);
    tear_down(&f);
}

static void who_waits_for_one_name_holds_none_of_the_others(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker holder = alone("x"), waiter = shared("x y"), nests = nested("y");
    assert_true(asks(&f, &holder));
    assert_false(asks(&f, &waiter));
    assert_true(asks(&f, &nests));
    gives_back(&f, &holder);
    assert_false(waiter.is_granted);
    gives_back(&f, &nests);
    assert_true(waiter.is_granted);
    gives_back(&f, &waiter);
    tear_down(&f);
}

/* ---- who waits for whom ---- */

static void pushes_that_come_later_wait_behind_a_delete(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker early = shared("x"), deletes = alone("x"), late[] = {shared("x y"), shared("x")}, other = shared("y");
    assert_true(asks(&f, &early));
    assert_false(asks(&f, &deletes));
    assert_false(asks(&f, &late[0]));
    assert_false(asks(&f, &late[1]));
    assert_true(asks(&f, &other)); /* of a name that only who waits wants too, and shared */
    gives_back(&f, &early);
    assert_true(deletes.is_granted);
    assert_false(late[0].is_granted || late[1].is_granted);
    gives_back(&f, &deletes);
    assert_true(late[0].is_granted && late[1].is_granted);
    gives_back(&f, &late[0]);
    gives_back(&f, &late[1]);
    gives_back(&f, &other);
    tear_down(&f);
}

/* The one who waits wants what the nested one's owner holds: if they waited for each other, it would be for ever. */
static void a_nested_request_waits_for_holders_only(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker deletes = alone("manifest"), push = shared("manifest tag"), other = shared("tag"),
                 nests = nested("tag");
    assert_true(asks(&f, &deletes));
    assert_true(asks(&f, &other));
    assert_false(asks(&f, &push));
    assert_false(asks(&f, &nests)); /* for `other` */
    gives_back(&f, &other);
    assert_true(nests.is_granted);
    assert_false(push.is_granted);
    gives_back(&f, &nests);
    assert_false(push.is_granted);
    gives_back(&f, &deletes);
    assert_true(push.is_granted);
    gives_back(&f, &push);
    tear_down(&f);
}

static void a_nested_holder_is_in_the_way_of_those_who_came_before(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker holder = alone("x"), early = alone("x tag"), nests = nested("tag");
    assert_true(asks(&f, &holder));
    assert_false(asks(&f, &early));
    assert_true(asks(&f, &nests));
    gives_back(&f, &holder);
    assert_false(early.is_granted);
    gives_back(&f, &nests);
    assert_true(early.is_granted);
    gives_back(&f, &early);
    tear_down(&f);
}

static void giving_back_what_was_never_asked_for_is_harmless(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f);
    struct asker never = shared("x"), twice = alone("x");
    gives_back(&f, &never);
    assert_true(asks(&f, &twice));
    gives_back(&f, &twice);
    gives_back(&f, &twice);
    tear_down(&f);
}

/* ---- at random ---- */

#define ASKERS 12u

static bool share_a_name(const struct asker *a, const struct asker *b)
{
    for (size_t i = 0; i < a->lock.count; i++)
        for (size_t k = 0; k < b->lock.count; k++)
            if (slice_equal(a->names[i], b->names[k]))
                return true;
    return false;
}

/* A push, a delete of a manifest, or of a tag. */
static struct asker random_asker(struct dice *dice)
{
    static const char *const pushes[] = {"m1 t1", "m1 m2 t2", "m2 t1 t2", "m3 m1 t3", "b1 m3"};
    static const char *const singles[] = {"m1", "m2", "m3", "b1", "t1", "t2", "t3"};
    return dice_chance(dice, 50) ? shared(pushes[dice_below(dice, 5)]) : alone(singles[dice_below(dice, 7)]);
}

static void check_exclusion(const struct asker *all, const bool *is_asked)
{
    for (unsigned i = 0; i < ASKERS; i++)
        for (unsigned k = i + 1; k < ASKERS; k++)
            if (is_asked[i] && is_asked[k] && all[i].lock.is_held && all[k].lock.is_held)
                assert_false((all[i].lock.is_exclusive || all[k].lock.is_exclusive) && share_a_name(&all[i], &all[k]));
}

/* Nobody is left waiting when those in the way have gone, whatever the order. */
static void everybody_gets_it_in_the_end(void **unused)
{
    (void)unused;
    struct fixture f;
    struct dice dice;
    random_bytes(&dice.state, sizeof(dice.state));
    (void)fprintf(stderr, "seed %llu\n", (unsigned long long)dice.state);
    set_up(&f);
    struct asker all[ASKERS];
    bool is_asked[ASKERS] = {false};
    unsigned granted = 0;
    for (unsigned turn = 0; turn < 20000; turn++) {
        unsigned i = dice_below(&dice, ASKERS);
        if (!is_asked[i]) {
            all[i] = random_asker(&dice);
            is_asked[i] = true;
            (void)asks(&f, &all[i]);
        } else if (all[i].is_granted) {
            is_asked[i] = false;
            granted++;
            gives_back(&f, &all[i]);
        }
        check_exclusion(all, is_asked);
    }
    for (unsigned round = 0; round < ASKERS; round++)
        for (unsigned i = 0; i < ASKERS; i++)
            if (is_asked[i] && all[i].is_granted) {
                is_asked[i] = false;
                gives_back(&f, &all[i]);
            }
    for (unsigned i = 0; i < ASKERS; i++)
        assert_false(is_asked[i]);
    assert_true(granted > 1000);
    tear_down(&f);
}

/* ---- several loops ---- */

#define THREADS 4u
#define TIMES 400u

/* What the locks guard, without any other care: the thread sanitizer looks on. */
struct guarded {
    struct name_locks *locks;
    unsigned manifest;
    unsigned tag;
    pthread_barrier_t over;
};

struct worker {
    struct guarded *guarded;
    unsigned number;
    unsigned deletes;
    unsigned read; /* so that reading is not left out */
    pthread_t thread;
};

static void hold(struct guarded *g, struct loop *loop, struct asker *a)
{
    if (!ask(g->locks, loop, a))
        await_flag(loop, &a->is_granted);
}

/* A push reads both; a delete changes the one and, nested, the other. */
static void work_once(struct worker *w, struct loop *loop, struct dice *dice)
{
    struct guarded *g = w->guarded;
    if (dice_chance(dice, 60)) {
        struct asker push = shared("manifest tag");
        hold(g, loop, &push);
        w->read += g->manifest + g->tag;
        registry_int_unlock(g->locks, &push.lock);
        return;
    }
    struct asker deletes = alone("manifest"), tag = nested("tag");
    hold(g, loop, &deletes);
    g->manifest++;
    hold(g, loop, &tag);
    g->tag++;
    registry_int_unlock(g->locks, &tag.lock);
    registry_int_unlock(g->locks, &deletes.lock);
    w->deletes++;
}

/* The loop outlives the others' last messages to it. */
static void *run_worker(void *data)
{
    struct worker *w = data;
    struct dice dice = {w->number};
    struct loop *loop;
    if (loop_new(w->number, PAGE_BYTES, &loop) != OK)
        abort();
    for (unsigned i = 0; i < TIMES; i++)
        work_once(w, loop, &dice);
    pthread_barrier_wait(&w->guarded->over);
    loop_free(loop);
    return NULL;
}

static void loops_exclude_each_other(void **unused)
{
    (void)unused;
    struct guarded guarded = {.locks = registry_int_locks_new()};
    struct worker workers[THREADS];
    unsigned deletes = 0;
    assert_int_equal(pthread_barrier_init(&guarded.over, NULL, THREADS), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.guarded = &guarded, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        deletes += workers[i].deletes;
    }
    assert_int_equal(guarded.manifest, deletes);
    assert_int_equal(guarded.tag, deletes);
    pthread_barrier_destroy(&guarded.over);
    registry_int_locks_free(guarded.locks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_hold_a_name_together),
        cmocka_unit_test(a_delete_holds_a_name_alone),
        cmocka_unit_test(who_waits_for_one_name_holds_none_of_the_others),
        cmocka_unit_test(pushes_that_come_later_wait_behind_a_delete),
        cmocka_unit_test(a_nested_request_waits_for_holders_only),
        cmocka_unit_test(a_nested_holder_is_in_the_way_of_those_who_came_before),
        cmocka_unit_test(giving_back_what_was_never_asked_for_is_harmless),
        cmocka_unit_test(everybody_gets_it_in_the_end),
        cmocka_unit_test(loops_exclude_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
