/* SPDX-License-Identifier: Apache-2.0
 *
 * Behaviour of loops, timers, the pool and pages, with real threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "minato/async.h"

static int setup(void **state)
{
    struct loop *loop;
    assert_int_equal(loop_new(0, (size_t)2 * PAGE_BYTES, &loop), OK);
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

/* ---- timers ---- */

struct tick {
    struct timer timer;
    struct loop *loop;
    unsigned fired;
};

static void on_tick(struct timer *timer)
{
    struct tick *tick = (struct tick *)(void *)timer;
    tick->fired++;
    loop_stop(tick->loop);
}

static void a_timer_fires_once(void **state)
{
    struct tick tick = {.loop = *state};
    timer_start(tick.loop, &tick.timer, 5, on_tick);
    assert_true(timer_is_running(&tick.timer));
    loop_run(tick.loop);
    assert_int_equal(tick.fired, 1);
    assert_false(timer_is_running(&tick.timer));
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct tick stopped = {.loop = *state};
    struct tick tick = {.loop = *state};
    timer_start(*state, &stopped.timer, 1, on_tick);
    timer_start(*state, &tick.timer, 10, on_tick);
    timer_stop(&stopped.timer);
    loop_run(*state);
    assert_int_equal(stopped.fired, 0);
    assert_int_equal(tick.fired, 1);
}

/* ---- messages ---- */

struct counter_task {
    struct loop_task task;
    struct loop *loop;
    unsigned *count;
    unsigned stop_at;
};

static void count_task(struct loop_task *task)
{
    struct counter_task *c = (struct counter_task *)(void *)task;
    if (++*c->count == c->stop_at)
        loop_stop(c->loop);
    free(c);
}

struct poster {
    struct loop *loop;
    unsigned *count;
};

static void *post_many(void *data)
{
    struct poster *p = data;
    for (int i = 0; i < 1000; i++) {
        struct counter_task *c = xcalloc(1, sizeof(*c));
        *c = (struct counter_task){{.run = count_task}, p->loop, p->count, 4000};
        loop_post(p->loop, &c->task);
    }
    return NULL;
}

static void tasks_posted_by_many_threads_all_run_on_the_loop(void **state)
{
    unsigned count = 0;
    struct poster poster = {*state, &count};
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &poster), 0);
    loop_run(*state);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count, 4000);
}

/* ---- pool ---- */

struct work {
    struct pool_job job;
    atomic_uint *running;
    atomic_uint *running_max;
    unsigned *done;
    unsigned stop_at;
};

static void work_on_thread(struct pool_job *job)
{
    struct work *w = (struct work *)(void *)job;
    unsigned now = atomic_fetch_add(w->running, 1) + 1;
    unsigned seen = atomic_load(w->running_max);
    while (now > seen && !atomic_compare_exchange_weak(w->running_max, &seen, now)) {
    }
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    atomic_fetch_sub(w->running, 1);
}

static void work_done(struct pool_job *job)
{
    struct work *w = (struct work *)(void *)job;
    if (++*w->done == w->stop_at)
        loop_stop(job->loop);
}

static void run_jobs(struct loop *loop, enum pool_lane lane, unsigned threads, unsigned *ret_running_max)
{
    struct pool *pool;
    assert_int_equal(pool_new(threads, 64, &pool), OK);
    struct work jobs[32] = {0};
    atomic_uint running = 0;
    atomic_uint running_max = 0;
    unsigned done = 0;
    for (size_t i = 0; i < 32; i++) {
        jobs[i] =
            (struct work){{.work = work_on_thread, .done = work_done, .loop = loop}, &running, &running_max, &done, 32};
        assert_int_equal(pool_submit(pool, lane, &jobs[i].job), OK);
    }
    loop_run(loop);
    pool_free(pool);
    assert_int_equal(done, 32);
    *ret_running_max = atomic_load(&running_max);
}

static void every_job_runs_once_and_reports_on_its_loop(void **state)
{
    unsigned running_max;
    run_jobs(*state, POOL_FILES, 4, &running_max);
    assert_in_range(running_max, 2, 4);
}

static void slow_jobs_use_a_quarter_of_the_threads(void **state)
{
    unsigned running_max;
    run_jobs(*state, POOL_SLOW, 8, &running_max);
    assert_in_range(running_max, 1, 2);
}

static void a_full_slow_lane_is_busy(void **state)
{
    struct pool *pool;
    assert_int_equal(pool_new(1, 2, &pool), OK);
    struct work jobs[8] = {0};
    atomic_uint running = 0;
    atomic_uint running_max = 0;
    unsigned done = 0;
    unsigned accepted = 0;
    for (size_t i = 0; i < 8; i++) {
        jobs[i] = (struct work){
            {.work = work_on_thread, .done = work_done, .loop = *state}, &running, &running_max, &done, 0};
        if (pool_submit(pool, POOL_SLOW, &jobs[i].job) == OK)
            accepted++;
    }
    assert_in_range(accepted, 2, 4);
    while (done < accepted)
        loop_run_once(*state, 100);
    pool_free(pool);
}

/* ---- pages ---- */

struct page_wait {
    struct page *page;
    unsigned *order;
    unsigned got_as;
    bool called;
};

static void on_page(void *data, enum result r)
{
    struct page_wait *w = data;
    assert_int_equal(r, OK);
    w->called = true;
    w->got_as = ++*w->order;
}

static enum result acquire(struct loop *loop, struct page_wait *w)
{
    return page_acquire(loop, &w->page, (struct done){on_page, w, loop});
}

static void pages_over_the_budget_wait_first_come_first_served(void **state)
{
    unsigned order = 0;
    struct page_wait waits[4] = {{.order = &order}, {.order = &order}, {.order = &order}, {.order = &order}};
    assert_int_equal(acquire(*state, &waits[0]), OK);
    assert_int_equal(acquire(*state, &waits[1]), OK);
    assert_int_equal(acquire(*state, &waits[2]), PENDING);
    assert_int_equal(acquire(*state, &waits[3]), PENDING);
    assert_int_equal(pages_in_use_bytes(*state), 2 * PAGE_BYTES);
    page_release(waits[0].page);
    assert_false(waits[2].called); /* never from inside the release */
    page_release(waits[1].page);
    while (order < 2)
        loop_run_once(*state, 10);
    assert_int_equal(waits[2].got_as, 1);
    assert_int_equal(waits[3].got_as, 2);
    page_release(waits[2].page);
    page_release(waits[3].page);
    assert_int_equal(pages_in_use_bytes(*state), 0);
}

static enum result reserve(struct loop *loop, enum page_purpose purpose, size_t pages, struct page_wait *w)
{
    return page_reserve(loop, purpose, pages, (struct done){on_page, w, loop});
}

static void reservations_wait_first_come_first_served_and_can_be_taken_back(void **state)
{
    (void)state;
    struct loop *loop;
    unsigned order = 0;
    struct page_wait waits[4] = {{.order = &order}, {.order = &order}, {.order = &order}, {.order = &order}};
    assert_int_equal(loop_new(0, 8u * PAGE_BYTES, &loop), OK);
    assert_int_equal(reserve(loop, PAGES_GATHERED, 7, &waits[0]), UNAVAILABLE); /* more than three quarters */
    assert_int_equal(reserve(loop, PAGES_GATHERED, 6, &waits[0]), OK);
    assert_int_equal(reserve(loop, PAGES_GATHERED, 6, &waits[1]), PENDING);
    assert_int_equal(reserve(loop, PAGES_GATHERED, 3, &waits[2]), PENDING);
    assert_int_equal(reserve(loop, PAGES_GATHERED, 4, &waits[3]), PENDING);
    page_reserve_cancel(loop, &waits[1]);
    page_unreserve(loop, PAGES_GATHERED, 6);
    while (order < 1)
        loop_run_once(loop, 10);
    assert_false(waits[1].called);
    assert_int_equal(waits[2].got_as, 1);
    loop_run_once(loop, 10);
    page_unreserve(loop, PAGES_GATHERED, 3);
    while (order < 2)
        loop_run_once(loop, 10);
    assert_int_equal(waits[3].got_as, 2);
    page_unreserve(loop, PAGES_GATHERED, 4);
    loop_free(loop);
}

static void reservations_for_one_purpose_do_not_wait_for_those_for_another(void **state)
{
    (void)state;
    struct loop *loop;
    unsigned order = 0;
    struct page_wait wait = {.order = &order};
    assert_int_equal(loop_new(0, 8u * PAGE_BYTES, &loop), OK);
    assert_int_equal(reserve(loop, PAGES_BETWEEN, 3, &wait), UNAVAILABLE); /* more than a quarter */
    assert_int_equal(reserve(loop, PAGES_GATHERED, 6, &wait), OK);
    assert_int_equal(reserve(loop, PAGES_BETWEEN, 2, &wait), OK);
    assert_int_equal(reserve(loop, PAGES_BETWEEN, 1, &wait), PENDING);
    page_unreserve(loop, PAGES_GATHERED, 6);
    loop_run_once(loop, 10);
    assert_false(wait.called);
    page_unreserve(loop, PAGES_BETWEEN, 2);
    while (order < 1)
        loop_run_once(loop, 10);
    page_unreserve(loop, PAGES_BETWEEN, 1);
    loop_free(loop);
}

static void a_cancelled_wait_gets_no_page(void **state)
{
    unsigned order = 0;
    struct page_wait waits[4] = {{.order = &order}, {.order = &order}, {.order = &order}, {.order = &order}};
    assert_int_equal(acquire(*state, &waits[0]), OK);
    assert_int_equal(acquire(*state, &waits[1]), OK);
    assert_int_equal(acquire(*state, &waits[2]), PENDING);
    assert_int_equal(acquire(*state, &waits[3]), PENDING);
    page_acquire_cancel(*state, &waits[2].page);
    page_release(waits[0].page);
    page_release(waits[1].page);
    while (order < 1)
        loop_run_once(*state, 10);
    loop_run_once(*state, 0);
    assert_false(waits[2].called);
    assert_true(waits[3].called);
    page_release(waits[3].page);
}

/* ---- descriptors ---- */

struct pipe_end {
    struct fd_watch watch;
    struct loop *loop;
    struct pipe_end *other;
    unsigned told;
    unsigned events;
};

static void on_ready_end_the_other(struct fd_watch *watch, unsigned events)
{
    struct pipe_end *end = (struct pipe_end *)(void *)watch;
    end->told++;
    end->events = events;
    if (end->other != NULL)
        loop_unwatch(end->loop, &end->other->watch);
}

static void a_watched_descriptor_is_told_until_it_is_unwatched(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pipe_end end = {.loop = *state};
    assert_int_equal(loop_watch(*state, &end.watch, fds[0], FD_READABLE, on_ready_end_the_other), OK);
    loop_run_once(*state, 0);
    assert_int_equal(end.told, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run_once(*state, 100);
    loop_run_once(*state, 100);
    assert_int_equal(end.told, 2);
    assert_int_equal(end.events, FD_READABLE);
    close(fds[1]); /* a hang-up is both */
    loop_run_once(*state, 100);
    assert_int_equal(end.events, FD_READABLE | FD_WRITABLE);
    loop_unwatch(*state, &end.watch);
    end.told = 0;
    loop_run_once(*state, 0);
    assert_int_equal(end.told, 0);
    close(fds[0]);
}

static void a_watch_may_end_another_that_is_ready_too(void **state)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pipe_end ends[2] = {{.loop = *state, .other = &ends[1]}, {.loop = *state, .other = &ends[0]}};
    int second = dup(fds[0]);
    assert_int_equal(loop_watch(*state, &ends[0].watch, fds[0], FD_READABLE, on_ready_end_the_other), OK);
    assert_int_equal(loop_watch(*state, &ends[1].watch, second, FD_READABLE, on_ready_end_the_other), OK);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run_once(*state, 100);
    assert_int_equal(ends[0].told + ends[1].told, 1);
    loop_unwatch(*state, &ends[0].watch);
    loop_unwatch(*state, &ends[1].watch);
    close(fds[0]);
    close(fds[1]);
    close(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_fires_once),
        TEST(a_stopped_timer_does_not_fire),
        TEST(tasks_posted_by_many_threads_all_run_on_the_loop),
        TEST(every_job_runs_once_and_reports_on_its_loop),
        TEST(slow_jobs_use_a_quarter_of_the_threads),
        TEST(a_full_slow_lane_is_busy),
        TEST(pages_over_the_budget_wait_first_come_first_served),
        TEST(reservations_wait_first_come_first_served_and_can_be_taken_back),
        TEST(reservations_for_one_purpose_do_not_wait_for_those_for_another),
        TEST(a_cancelled_wait_gets_no_page),
        TEST(a_watched_descriptor_is_told_until_it_is_unwatched),
        TEST(a_watch_may_end_another_that_is_ready_too),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
