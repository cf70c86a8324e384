/* SPDX-License-Identifier: Apache-2.0
 *
 * One event loop and its thread's timers and messages, wrapped round libh2o's evloop: with src/http the only code that
 * names h2o. Everything but loop_post and loop_stop is for the loop's own thread.
 *
 * libh2o's timeouts are not used: they count by the machine's wall clock, and whoever puts that back an hour would make
 * every deadline an hour late. Ours are lists by delay, run between libh2o's turns.
 *
 * libh2o's own message queue is not used: its socket reads into buffers of the thread that created it (a thread-local
 * allocator without a lock), which would be the main thread's for all loops. Ours is a list and an eventfd that libh2o
 * polls but never reads.
 */
#include "async_int.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <h2o.h>

#include "minato/clock.h"

#define DELAYS_MAX 64
#define WAIT_FOREVER_MS INT32_MAX

/* The running timers of one delay, in the order they end: a ring through `head`, which is none. */
struct timer_list {
    struct timer head;
    uint64_t delay_ms;
};

struct loop {
    h2o_evloop_t *evloop;
    h2o_socket_t *wake; /* an eventfd; owns it */
    int wake_fd;
    pthread_mutex_t mutex; /* guards the two below */
    struct loop_task *first_task;
    struct loop_task *last_task;
    struct page_budget pages;
    struct watch_set watches;
    unsigned index;
    bool stopped;
    atomic_flag stop_posted;
    struct loop_task stop;
    /* The delays in use are few and never go away. */
    struct timer_list *timers[DELAYS_MAX];
    size_t delay_count;
    bool has_fired; /* libh2o may have work that it will not wake up for */
};

/* ---- messages ---- */

static struct loop_task *next_task(struct loop_task *task)
{
    return task->link[0];
}

static void on_wake(h2o_socket_t *sock, const char *err)
{
    struct loop *loop = sock->data;
    uint64_t wakes;
    (void)err;
    while (read(loop->wake_fd, &wakes, sizeof(wakes)) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&loop->mutex);
    struct loop_task *task = loop->first_task;
    loop->first_task = NULL;
    pthread_mutex_unlock(&loop->mutex);
    while (task != NULL) {
        struct loop_task *next = next_task(task); /* the task is its owner's again once it runs */
        task->run(task);
        task = next;
    }
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    static const uint64_t one = 1;
    task->link[0] = NULL;
    pthread_mutex_lock(&loop->mutex);
    bool is_first = loop->first_task == NULL;
    if (is_first)
        loop->first_task = task;
    else
        loop->last_task->link[0] = task;
    loop->last_task = task;
    /* Under the lock: once the list is taken, the loop may end and be freed. */
    if (is_first)
        while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
    pthread_mutex_unlock(&loop->mutex);
}

static void on_stop(struct loop_task *task)
{
    struct loop *loop = H2O_STRUCT_FROM_MEMBER(struct loop, stop, task);
    loop->stopped = true;
}

enum result loop_new(unsigned index, size_t page_bytes_max, struct loop **ret_loop)
{
    int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0)
        return result_from_errno(errno);
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->index = index;
    loop->stop.run = on_stop;
    atomic_flag_clear(&loop->stop_posted);
    loop->evloop = h2o_evloop_create();
    pthread_mutex_init(&loop->mutex, NULL);
    loop->wake_fd = wake_fd;
    loop->wake = h2o_evloop_socket_create(loop->evloop, wake_fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->wake->data = loop;
    h2o_socket_read_start(loop->wake, on_wake);
    async_int_pages_init(&loop->pages, page_bytes_max);
    async_int_watches_init(&loop->watches);
    *ret_loop = loop;
    return OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    async_int_pages_done(&loop->pages);
    h2o_socket_read_stop(loop->wake);
    h2o_socket_close(loop->wake);
    if (loop->watches.socket != NULL)
        h2o_socket_close(loop->watches.socket);
    /* libh2o frees a closed socket on the loop's next turn. */
    h2o_evloop_run(loop->evloop, 0);
    for (size_t i = 0; i < loop->delay_count; i++)
        free(loop->timers[i]);
    h2o_evloop_destroy(loop->evloop);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

void loop_stop(struct loop *loop)
{
    if (!atomic_flag_test_and_set(&loop->stop_posted))
        loop_post(loop, &loop->stop);
}

unsigned loop_index(const struct loop *loop)
{
    return loop->index;
}

void *loop_native(struct loop *loop)
{
    return loop->evloop;
}

struct page_budget *async_int_loop_pages(struct loop *loop)
{
    return &loop->pages;
}

/* ---- descriptors of libraries ---- */

static void on_watches(h2o_socket_t *sock, const char *err)
{
    struct loop *loop = sock->data;
    (void)err;
    async_int_watches_run(&loop->watches);
}

struct watch_set *async_int_loop_watches(struct loop *loop)
{
    struct watch_set *set = &loop->watches;
    if (set->epoll_fd >= 0)
        return set;
    set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (set->epoll_fd < 0)
        return NULL;
    h2o_socket_t *sock = h2o_evloop_socket_create(loop->evloop, set->epoll_fd, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = loop;
    h2o_socket_read_start(sock, on_watches);
    set->socket = sock;
    return set;
}

/* ---- timers ---- */

uint64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return clock_monotonic_ms(clock_system());
}

static struct timer_list *find_list(struct loop *loop, uint64_t delay_ms)
{
    for (size_t i = 0; i < loop->delay_count; i++)
        if (loop->timers[i]->delay_ms == delay_ms)
            return loop->timers[i];
    assert(loop->delay_count < DELAYS_MAX);
    struct timer_list *list = xcalloc(1, sizeof(*list));
    list->delay_ms = delay_ms;
    list->head.previous = &list->head;
    list->head.next = &list->head;
    loop->timers[loop->delay_count++] = list;
    return list;
}

void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms, void (*fire)(struct timer *timer))
{
    timer_stop(timer);
    struct timer *head = &find_list(loop, delay_ms)->head;
    timer->fire = fire;
    timer->due_ms = loop_now_ms(loop) + delay_ms;
    timer->previous = head->previous;
    timer->next = head;
    head->previous->next = timer;
    head->previous = timer;
}

void timer_stop(struct timer *timer)
{
    if (!timer_is_running(timer))
        return;
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->previous = NULL;
    timer->next = NULL;
}

bool timer_is_running(const struct timer *timer)
{
    return timer->next != NULL;
}

/* At most `wait_ms`: until the first of the timers is due. */
static int32_t wait_for_timers(const struct loop *loop, int32_t wait_ms)
{
    uint64_t now_ms = loop_now_ms(loop);
    for (size_t i = 0; i < loop->delay_count && wait_ms > 0; i++) {
        const struct timer *first = loop->timers[i]->head.next;
        if (first == &loop->timers[i]->head)
            continue;
        uint64_t left_ms = first->due_ms > now_ms ? first->due_ms - now_ms : 0;
        if (left_ms < (uint64_t)wait_ms)
            wait_ms = (int32_t)left_ms;
    }
    return wait_ms;
}

/* Those that were due at `now_ms`; what they start is of a later turn, unless it is due as well. */
static void run_timers(struct loop *loop)
{
    uint64_t now_ms = loop_now_ms(loop);
    for (size_t i = 0; i < loop->delay_count; i++) {
        const struct timer *head = &loop->timers[i]->head;
        while (head->next != head && head->next->due_ms <= now_ms) {
            struct timer *timer = head->next;
            timer_stop(timer);
            loop->has_fired = true;
            timer->fire(timer); /* may free it */
        }
    }
}

/* ---- turns ---- */

void loop_run_once(struct loop *loop, int32_t wait_ms)
{
    int32_t most_ms = loop->has_fired ? 0 : wait_for_timers(loop, wait_ms);
    loop->has_fired = false;
    h2o_evloop_run(loop->evloop, most_ms);
    run_timers(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopped)
        loop_run_once(loop, WAIT_FOREVER_MS);
}
