/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for what blocks, with two lanes: files use every thread, slow computations at most a quarter of them, so that
 * a flood of passwords never stands in front of a write. `mutex` guards everything in struct pool but the threads.
 */
#include "minato/async.h"

#include <pthread.h>
#include <stdlib.h>

#define THREAD_STACK_BYTES (256u * 1024u)
#define LANES 2

struct queue {
    struct pool_job *first;
    struct pool_job **last;
    unsigned waiting;
    unsigned running;
    unsigned running_max;
    unsigned waiting_max; /* 0: no limit */
};

struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct queue lanes[LANES];
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

static bool queue_is_ready(const struct queue *q)
{
    return q->first != NULL && q->running < q->running_max;
}

static struct queue *next_ready(struct pool *pool)
{
    for (size_t i = 0; i < LANES; i++)
        if (queue_is_ready(&pool->lanes[i]))
            return &pool->lanes[i];
    return NULL;
}

static void run_one(struct pool *pool, struct queue *q)
{
    struct pool_job *job = q->first;
    q->first = job->next;
    if (q->first == NULL)
        q->last = &q->first;
    q->waiting--;
    q->running++;
    pthread_mutex_unlock(&pool->mutex);
    job->work(job);
    loop_post(job->loop, &job->task); /* from here on the job is its submitter's again */
    pthread_mutex_lock(&pool->mutex);
    q->running--;
}

static void *thread_main(void *data)
{
    struct pool *pool = data;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct queue *q = next_ready(pool);
        if (q != NULL)
            run_one(pool, q);
        else if (pool->stopping)
            break;
        else
            pthread_cond_wait(&pool->work, &pool->mutex);
    }
    pthread_cond_broadcast(&pool->work); /* another thread may wait for a slow lane that is now through */
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static void queue_init(struct queue *q, unsigned running_max, unsigned waiting_max)
{
    *q = (struct queue){.running_max = running_max, .waiting_max = waiting_max};
    q->last = &q->first;
}

enum result pool_new(unsigned threads, unsigned slow_queue_max, struct pool **ret_pool)
{
    struct pool *pool = xcalloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    queue_init(&pool->lanes[POOL_FILES], threads, 0);
    queue_init(&pool->lanes[POOL_SLOW], threads < 8 ? 1 : threads / 4, slow_queue_max);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    enum result r = OK;
    while (r == OK && pool->thread_count < threads) {
        int err = pthread_create(&pool->threads[pool->thread_count], &attributes, thread_main, pool);
        if (err == 0)
            pool->thread_count++;
        else
            r = UNAVAILABLE;
    }
    pthread_attr_destroy(&attributes);
    if (r != OK) {
        pool_free(pool);
        return r;
    }
    *ret_pool = pool;
    return OK;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

static void on_posted(struct loop_task *task)
{
    struct pool_job *job = (struct pool_job *)(void *)((char *)task - offsetof(struct pool_job, task));
    job->done(job);
}

enum result pool_submit(struct pool *pool, enum pool_lane lane, struct pool_job *job)
{
    struct queue *q = &pool->lanes[lane];
    enum result r = OK;
    job->next = NULL;
    job->task.run = on_posted;
    pthread_mutex_lock(&pool->mutex);
    if (q->waiting_max > 0 && q->waiting >= q->waiting_max) {
        r = BUSY;
    } else {
        *q->last = job;
        q->last = &job->next;
        q->waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return r;
}

unsigned pool_depth(struct pool *pool, enum pool_lane lane)
{
    pthread_mutex_lock(&pool->mutex);
    unsigned depth = pool->lanes[lane].waiting + pool->lanes[lane].running;
    pthread_mutex_unlock(&pool->mutex);
    return depth;
}
