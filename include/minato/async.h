/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops, timers, the thread pool, flows, and the pages that hold body bytes.
 *
 * The asynchronous call, everywhere in this tree:
 *
 *     enum result r = storage_stat(storage, path, &info, done);
 *
 * - r == PENDING: `done` is called exactly once, on the loop that made the call, after the call has returned.
 * - any other r: the call is complete, `done` will not be called.
 * What it points to (outputs, borrowed inputs) must stay alive and untouched until completion; outputs are written
 * only on OK. A flow's arena does that: it is not released while a completion is outstanding.
 */
#ifndef MINATO_ASYNC_H
#define MINATO_ASYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/arena.h"
#include "minato/result.h"
#include "minato/slice.h"

/* ---- completion ---- */

struct loop;

struct done {
    void (*fn)(void *data, enum result r);
    void *data;
    struct loop *loop; /* where it will be called: the loop of the caller */
};

static inline void done_call(struct done d, enum result r)
{
    d.fn(d.data, r);
}

/* ---- loop: one event loop, one thread; what is given to it runs on that thread ---- */

/* `index` names the loop (0, 1, ..): metrics and logs. `page_bytes_max` is this loop's share of `uploads.buffer`. */
enum result loop_new(unsigned index, size_t page_bytes_max, struct loop **ret_loop) NODISCARD;
/* After loop_run has returned and everything on the loop is disposed. Accepts NULL. */
void loop_free(struct loop *loop);
/* Runs on the calling thread until loop_stop. */
void loop_run(struct loop *loop);
/* Runs what is ready, waits at most `wait_ms` for more. For tests and start-up. */
void loop_run_once(struct loop *loop, int32_t wait_ms);
/* Any thread. */
void loop_stop(struct loop *loop);
unsigned loop_index(const struct loop *loop);
/* Milliseconds of a clock that never goes back, which timers count by. */
uint64_t loop_now_ms(const struct loop *loop);
/* The h2o_loop_t inside, for src/http only. */
void *loop_native(struct loop *loop);

/* Work posted to a loop from any thread; intrusive, owned by the poster until `run` is called on the loop. */
struct loop_task {
    void (*run)(struct loop_task *task);
    void *link[2];
};
void loop_post(struct loop *loop, struct loop_task *task);

/* ---- descriptors that a library owns (libcurl, hiredis) ---- */

enum fd_events { FD_READABLE = 1, FD_WRITABLE = 2 };

/* Embedded in its owner; zero-initialised is unwatched. */
struct fd_watch {
    int fd;
    bool is_watched;
    /* On the loop, for as long as the descriptor is ready (level-triggered): enum fd_events. An error or a hang-up
     * counts as both. May change or end any watch of this loop, its own too. */
    void (*ready)(struct fd_watch *watch, unsigned events);
};
/* Begins to watch `fd`, or changes what is watched for. IO if the system refuses. */
enum result loop_watch(struct loop *loop, struct fd_watch *watch, int fd, unsigned events,
                       void (*ready)(struct fd_watch *watch, unsigned events)) NODISCARD;
/* Before the descriptor is closed. `ready` will not be called any more. Harmless when unwatched. */
void loop_unwatch(struct loop *loop, struct fd_watch *watch);

/* ---- timer ---- */

/* A one-shot timer on one loop, embedded in its owner. Zero-initialised is stopped. */
struct timer {
    void (*fire)(struct timer *timer);
    uint64_t due_ms;
    struct timer *previous; /* of the same delay */
    struct timer *next;
};
/* Arms it (again). Delays come from configuration or constants: a loop knows at most 64 different ones. */
void timer_start(struct loop *loop, struct timer *timer, uint64_t delay_ms, void (*fire)(struct timer *timer));
/* Harmless when stopped. */
void timer_stop(struct timer *timer);
bool timer_is_running(const struct timer *timer);

/* ---- pool: threads for what blocks --------------------------------------------------------------------------------
 */

struct pool;

enum pool_lane {
    POOL_FILES, /* file work and hashing: the whole pool, unbounded (callers are bounded by connections) */
    POOL_SLOW,  /* long computations (bcrypt): at most a quarter of the threads, at least one; a bounded queue */
};

/* Intrusive: owned by the submitter, untouched by it between submit and `done`. */
struct pool_job {
    void (*work)(struct pool_job *job); /* on a pool thread; may block */
    void (*done)(struct pool_job *job); /* on `loop`, after work */
    struct loop *loop;
    struct pool_job *next;
    struct loop_task task;
};

enum result pool_new(unsigned threads, unsigned slow_queue_max, struct pool **ret_pool) NODISCARD;
/* Finishes what is queued, joins. Accepts NULL. The loops that wait for `done` must still exist. */
void pool_free(struct pool *pool);
/* OK: accepted, `done` will run. BUSY: POOL_SLOW's queue is full, nothing happens. From the job's loop only. */
enum result pool_submit(struct pool *pool, enum pool_lane lane, struct pool_job *job) NODISCARD;
/* Jobs accepted and not finished, for metrics. Any thread. */
unsigned pool_depth(struct pool *pool, enum pool_lane lane);

/* ---- pages: where body bytes live ---- */

#define PAGE_BYTES (256u * 1024u)

/* One page of the loop's share of `uploads.buffer`. The bytes are ptr[start .. start+len). */
struct page {
    char *ptr;
    size_t start;
    size_t len;
    struct page *next;
    struct loop *loop;
};

/* OK with a page, or PENDING until one is free: first come, first served. Loop thread only. */
enum result page_acquire(struct loop *loop, struct page **ret_page, struct done done) NODISCARD;
/* What one body has at most beyond the page that was handed over. */
#define PAGES_AHEAD_MAX 4u
/* A page, if nobody waits for one and half of the share is free: for what may be done ahead. */
bool page_try(struct loop *loop, struct page **ret_page) NODISCARD;
/* Takes back a PENDING page_acquire (its `done` will not be called). */
void page_acquire_cancel(struct loop *loop, struct page **ret_page);
/* Why pages are held while others wait for some. Each has its share, so that those who hold what they have read, and
 * wait to gather more, never take what those who gather need to come to an end. */
enum page_purpose {
    PAGES_GATHERED, /* a part of an object: three quarters */
    PAGES_BETWEEN,  /* read already, of a body that may be more than one part: taken before the first; a quarter */
    PAGE_PURPOSES
};
/* The right to hold `pages` pages for long: OK, or PENDING until others let go, first come, first served for each
 * purpose. UNAVAILABLE: more than its whole share. It brings no pages: page_acquire does. Loop thread only. */
enum result page_reserve(struct loop *loop, enum page_purpose purpose, size_t pages, struct done done) NODISCARD;
/* Takes back a PENDING page_reserve, known by its done.data (its `done` will not be called). */
void page_reserve_cancel(struct loop *loop, const void *data);
void page_unreserve(struct loop *loop, enum page_purpose purpose, size_t pages);
/* On the loop it came from. Accepts NULL. */
void page_release(struct page *page);
/* Bytes of pages in use on this loop, for metrics and tests. Any thread. */
size_t pages_in_use_bytes(const struct loop *loop);

/* A stream of pages, pulled. The one shape of a request body below src/http. */
struct byte_source {
    /* OK with a page of 1..PAGE_BYTES bytes (now the caller's, to release), or with NULL at the end.
     * CANCELLED: the sender went away. INVALID: the sender broke the framing. TOO_LARGE, UNAVAILABLE (too slow). */
    enum result (*read)(struct byte_source *source, struct page **ret_page, struct done done);
};

static inline enum result byte_source_read(struct byte_source *s, struct page **ret_page, struct done d)
{
    return s->read(s, ret_page, d);
}

/* ---- flow: asynchronous work as a list of named steps -------------------------------------------------------------
 *
 * A flow runs programs. A program is a const table of steps in reading order with one owner (its variables). A step
 * may call another program, which runs in the same flow and then returns to the step that follows:
 *
 *     static const struct flow_step put_manifest_steps[] = {
 *         {"read body", read_body}, {"check", check_references}, {"publish", publish}, {"reply", reply_created}};
 *
 *     static enum flow_next publish(struct flow *f)
 *     {
 *         struct put_manifest *op = flow_owner(f);
 *         return flow_await(f, storage_put(op->storage, op->path, op->body, 0, flow_done(f)));
 *     }
 *
 * A failing step ends its program: the `finally` steps run (asynchronous cleanup, e.g. closing a claim), then
 * `dispose`, then the caller's program fails in turn, unless it called with flow_call_any. All on one loop.
 */

struct flow;

enum flow_next {
    FLOW_NEXT,   /* go on with the next step */
    FLOW_AGAIN,  /* run this step again (after its await, when it awaits): a loop lives inside one step */
    FLOW_WAIT,   /* made by flow_await and friends */
    FLOW_CALLED, /* made by flow_call */
    FLOW_RETURN, /* this program is complete: skip its remaining steps */
    FLOW_FAIL,   /* made by flow_fail */
};

struct flow_step {
    const char *name;
    enum flow_next (*run)(struct flow *f);
};

struct flow_program {
    const char *name;
    const struct flow_step *steps;
    size_t step_count;
    /* Run after the steps, whatever the outcome, and never cancelled; read the outcome with flow_outcome. A failure
     * here turns an OK outcome into that failure. */
    const struct flow_step *finally_steps;
    size_t finally_count;
    /* Last, exactly once, synchronous: releases what `owner` holds outside the arena. May be NULL. */
    void (*dispose)(void *owner);
};

#define FLOW_STEPS(array) .steps = (array), .step_count = sizeof(array) / sizeof((array)[0])
#define FLOW_FINALLY(array) .finally_steps = (array), .finally_count = sizeof(array) / sizeof((array)[0])

/* Starts `program` on the calling loop; runs until its first wait before it returns. `on_end`, if given, is called
 * last with the outcome, when `owner` has been disposed but the arena still stands; then the flow frees itself.
 * `owner` may live in the flow's arena: use flow_new, then allocate, then flow_start. */
struct flow *flow_new(struct loop *loop);
void flow_start(struct flow *f, const struct flow_program *program, void *owner,
                void (*on_end)(void *data, enum result outcome), void *data);
/* Somebody no longer wants the outcome: no further step runs once the outstanding await reports; `finally` and
 * dispose still do. The outcome is CANCELLED. Harmless after the last step. Never frees the flow synchronously. */
void flow_cancel(struct flow *f);

struct loop *flow_loop(const struct flow *f);
struct arena *flow_arena(struct flow *f);
/* The owner of the running program. */
void *flow_owner(const struct flow *f);
/* What the last await or called program of this program reported. */
enum result flow_result(const struct flow *f);
/* In `finally` steps: how the steps ended. */
enum result flow_outcome(const struct flow *f);
/* "program/step", for the log of a failure. Static storage. */
void flow_where(const struct flow *f, const char **ret_program, const char **ret_step);

/* The completion of the one call that a step awaits. */
struct done flow_done(struct flow *f);
/* `return flow_await(f, call(..., flow_done(f)))`: OK goes on, a failure fails the program. */
enum flow_next flow_await(struct flow *f, enum result r) NODISCARD;
/* Ends the program with `r`, which is not OK. */
enum flow_next flow_fail(struct flow *f, enum result r) NODISCARD;
/* Runs `program` with `owner` (in the flow's arena, as a rule), then the next step; a failure fails the caller. */
enum flow_next flow_call(struct flow *f, const struct flow_program *program, void *owner) NODISCARD;

/* Round what a step is about to return, when a failure is not the end:
 * `return flow_any(f, blob_find(f, ...))`: whatever the outcome, the next step runs and reads flow_result;
 * `return flow_again(f, ...)`: whatever the outcome, this step runs again and reads flow_result. */
enum flow_next flow_any(struct flow *f, enum flow_next next) NODISCARD;
enum flow_next flow_again(struct flow *f, enum flow_next next) NODISCARD;

static inline NODISCARD enum flow_next flow_await_any(struct flow *f, enum result r)
{
    return flow_any(f, flow_await(f, r));
}

static inline NODISCARD enum flow_next flow_await_again(struct flow *f, enum result r)
{
    return flow_again(f, flow_await(f, r));
}

#endif
