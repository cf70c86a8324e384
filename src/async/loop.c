/* SPDX-License-Identifier: Apache-2.0
 *
 * One event loop and its thread's timers and messages, wrapped round libh2o's evloop and message queue: with src/http
 * the only code that names h2o. Everything but loop_post and loop_stop is for the loop's own thread.
 */
#include "async_int.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <h2o.h>

#define TIMEOUTS_MAX 64
#define WAIT_FOREVER_MS INT32_MAX

struct loop {
    h2o_evloop_t *evloop;
    h2o_multithread_queue_t *queue;
    h2o_multithread_receiver_t receiver;
    struct page_budget pages;
    unsigned index;
    bool stopped;
    atomic_flag stop_posted;
    struct loop_task stop;
    /* libh2o keeps one list per delay; the delays in use are few and never go away. */
    h2o_timeout_t *timeouts[TIMEOUTS_MAX];
    size_t timeout_count;
};

_Static_assert(sizeof(((struct loop_task *)NULL)->link) == sizeof(h2o_multithread_message_t),
               "a task's link is libh2o's message");
_Static_assert(sizeof(((struct timer *)NULL)->entry) == sizeof(h2o_timeout_entry_t),
               "a timer's entry is libh2o's timeout entry");

/* Messages are libh2o's, embedded in our tasks at `link`. */
static h2o_multithread_message_t *task_message(struct loop_task *task)
{
    return (h2o_multithread_message_t *)(void *)task->link;
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_t *first = messages->next;
        struct loop_task *task = H2O_STRUCT_FROM_MEMBER(struct loop_task, link, first);
        h2o_linklist_unlink(first);
        task->run(task);
    }
}

static void on_stop(struct loop_task *task)
{
    struct loop *loop = H2O_STRUCT_FROM_MEMBER(struct loop, stop, task);
    loop->stopped = true;
}

enum result loop_new(unsigned index, size_t page_bytes_max, struct loop **ret_loop)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    loop->index = index;
    loop->stop.run = on_stop;
    atomic_flag_clear(&loop->stop_posted);
    loop->evloop = h2o_evloop_create();
    loop->queue = h2o_multithread_create_queue(loop->evloop);
    h2o_multithread_register_receiver(loop->queue, &loop->receiver, on_messages);
    async_int_pages_init(&loop->pages, page_bytes_max);
    *ret_loop = loop;
    return OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    async_int_pages_done(&loop->pages);
    h2o_multithread_unregister_receiver(loop->queue, &loop->receiver);
    h2o_multithread_destroy_queue(loop->queue);
    free(loop->queue); /* libh2o 2.2 forgets its own allocation */
    /* libh2o frees a closed socket on the loop's next turn. */
    h2o_evloop_run(loop->evloop, 0);
    for (size_t i = 0; i < loop->timeout_count; i++) {
        h2o_timeout_dispose(loop->evloop, loop->timeouts[i]);
        free(loop->timeouts[i]);
    }
    h2o_evloop_destroy(loop->evloop);
    free(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopped)
        h2o_evloop_run(loop->evloop, WAIT_FOREVER_MS);
}

void loop_run_once(struct loop *loop, int32_t wait_ms)
{
    h2o_evloop_run(loop->evloop, wait_ms);
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    *task_message(task) = (h2o_multithread_message_t){{NULL, NULL}};
    h2o_multithread_send_message(&loop->receiver, task_message(task));
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

uint64_t loop_now_ms(struct loop *loop)
{
    return h2o_now(loop->evloop);
}

void *loop_native(struct loop *loop)
{
    return loop->evloop;
}

struct page_budget *async_int_loop_pages(struct loop *loop)
{
    return &loop->pages;
}

/* ---- timers ---- */

static h2o_timeout_entry_t *timer_entry(struct timer *timer)
{
    return (h2o_timeout_entry_t *)(void *)timer->entry;
}

static void on_timeout(h2o_timeout_entry_t *entry)
{
    struct timer *timer = H2O_STRUCT_FROM_MEMBER(struct timer, entry, entry);
    timer->fire(timer);
}

static h2o_timeout_t *find_timeout(struct loop *loop, uint64_t delay_ms)
{
    for (size_t i = 0; i < loop->timeout_count; i++)
        if (loop->timeouts[i]->timeout == delay_ms)
            return loop->timeouts[i];
    assert(loop->timeout_count < TIMEOUTS_MAX);
    h2o_timeout_t *timeout = xcalloc(1, sizeof(*timeout));
    h2o_timeout_init(loop->evloop, timeout, delay_ms);
    loop->timeouts[loop->timeout_count++] = timeout;
    return timeout;
}

void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms, void (*fire)(struct timer *timer))
{
    timer_stop(timer);
    timer->fire = fire;
    timer_entry(timer)->cb = on_timeout;
    h2o_timeout_link(loop->evloop, find_timeout(loop, delay_ms), timer_entry(timer));
}

void timer_stop(struct timer *timer)
{
    if (timer_is_running(timer))
        h2o_timeout_unlink(timer_entry(timer));
}

bool timer_is_running(const struct timer *timer)
{
    const h2o_timeout_entry_t *entry = (const h2o_timeout_entry_t *)(const void *)timer->entry;
    return entry->_link.next != NULL;
}
