/* SPDX-License-Identifier: Apache-2.0
 *
 * The step runner. A flow is a stack of frames, one per running program; the topmost one is at work. All on one loop.
 *
 *   steps --(all run | RETURN)--> OK ------\
 *     |                                     +--> finally steps --> dispose --> the caller's frame goes on
 *     +--(FAIL | cancelled)--> a failure --/                                   (the last one: on_end, free)
 */
#include "minato/async.h"

#include <assert.h>
#include <stdlib.h>

#define FRAMES_MAX 12

/* What a frame does when its await or called program reports. */
enum resume { RESUME_OR_FAIL, RESUME_NEXT, RESUME_AGAIN };

struct frame {
    const struct flow_program *program;
    void *owner;
    size_t step;
    bool in_finally;
    enum resume resume;
    enum result result;  /* of the last await or call */
    enum result outcome; /* of the steps, known from `in_finally` on */
};

struct flow {
    struct loop *loop;
    struct arena arena;
    void (*on_end)(void *data, enum result outcome);
    void *data;
    unsigned depth;
    unsigned finally_depth; /* frames in their finally steps: while there are any, nothing is cancelled */
    bool is_waiting;
    bool is_running;
    bool is_cancelled;
    const char *failed_program;
    const char *failed_step;
    struct frame frames[FRAMES_MAX];
};

static struct frame *top(struct flow *f)
{
    assert(f->depth > 0);
    return &f->frames[f->depth - 1];
}

static void push(struct flow *f, const struct flow_program *program, void *owner)
{
    assert(f->depth < FRAMES_MAX);
    f->frames[f->depth++] = (struct frame){.program = program, .owner = owner};
}

struct flow *flow_new(struct loop *loop)
{
    struct flow *f = xmalloc(sizeof(*f));
    f->loop = loop;
    arena_init(&f->arena);
    f->on_end = NULL;
    f->data = NULL;
    f->depth = 0;
    f->finally_depth = 0;
    f->is_waiting = false;
    f->is_running = false;
    f->is_cancelled = false;
    f->failed_program = NULL;
    f->failed_step = NULL;
    return f;
}

static const struct flow_step *current_step(const struct frame *frame)
{
    return frame->in_finally ? &frame->program->finally_steps[frame->step] : &frame->program->steps[frame->step];
}

/* The steps are over with outcome `r`. */
static void begin_finally(struct flow *f, struct frame *frame, enum result r)
{
    if (r != OK && f->failed_program == NULL) {
        f->failed_program = frame->program->name;
        f->failed_step = frame->step < frame->program->step_count ? current_step(frame)->name : "end";
    }
    frame->in_finally = true;
    frame->outcome = r;
    frame->step = 0;
    f->finally_depth++;
}

static void fail(struct flow *f, struct frame *frame, enum result r)
{
    if (!frame->in_finally) {
        begin_finally(f, frame, r);
        return;
    }
    if (frame->outcome == OK)
        frame->outcome = r;
    frame->step++; /* the other cleanup steps still run */
}

/* What the frame awaited has reported `r`. */
static void report(struct flow *f, struct frame *frame, enum result r)
{
    frame->result = r;
    enum resume resume = frame->resume;
    frame->resume = RESUME_OR_FAIL;
    if (resume == RESUME_AGAIN)
        return;
    if (r == OK || resume == RESUME_NEXT)
        frame->step++;
    else
        fail(f, frame, r);
}

/* Ends the topmost program. False: that was the last one and the flow is gone. */
static bool pop(struct flow *f)
{
    struct frame *frame = top(f);
    enum result outcome = frame->outcome;
    f->finally_depth--;
    if (frame->program->dispose != NULL)
        frame->program->dispose(frame->owner);
    f->depth--;
    if (f->depth > 0) {
        report(f, top(f), outcome);
        return true;
    }
    if (f->on_end != NULL)
        f->on_end(f->data, outcome);
    arena_done(&f->arena);
    free(f);
    return false;
}

static void apply(struct flow *f, struct frame *frame, enum flow_next next)
{
    switch (next) {
    case FLOW_NEXT:
        frame->step++;
        break;
    case FLOW_AGAIN:
    case FLOW_CALLED:
        break;
    case FLOW_WAIT:
        f->is_waiting = true;
        break;
    case FLOW_RETURN:
        if (frame->in_finally)
            frame->step = frame->program->finally_count;
        else
            begin_finally(f, frame, OK);
        break;
    case FLOW_FAIL:
        fail(f, frame, frame->result);
        break;
    }
}

static void run(struct flow *f)
{
    f->is_running = true;
    while (!f->is_waiting) {
        struct frame *frame = top(f);
        if (f->is_cancelled && f->finally_depth == 0)
            begin_finally(f, frame, CANCELLED);
        if (!frame->in_finally && frame->step == frame->program->step_count)
            begin_finally(f, frame, OK);
        if (frame->in_finally && frame->step >= frame->program->finally_count) {
            if (!pop(f))
                return;
            continue;
        }
        apply(f, frame, current_step(frame)->run(f));
    }
    f->is_running = false;
}

void flow_start(struct flow *f, const struct flow_program *program, void *owner,
                void (*on_end)(void *data, enum result outcome), void *data)
{
    f->on_end = on_end;
    f->data = data;
    push(f, program, owner);
    run(f);
}

void flow_cancel(struct flow *f)
{
    f->is_cancelled = true;
}

struct loop *flow_loop(const struct flow *f)
{
    return f->loop;
}

struct arena *flow_arena(struct flow *f)
{
    return &f->arena;
}

void *flow_owner(const struct flow *f)
{
    return f->frames[f->depth - 1].owner;
}

enum result flow_result(const struct flow *f)
{
    return f->frames[f->depth - 1].result;
}

enum result flow_outcome(const struct flow *f)
{
    return f->frames[f->depth - 1].outcome;
}

void flow_where(const struct flow *f, const char **ret_program, const char **ret_step)
{
    *ret_program = f->failed_program;
    *ret_step = f->failed_step;
}

static void on_done(void *data, enum result r)
{
    struct flow *f = data;
    assert(f->is_waiting && !f->is_running);
    f->is_waiting = false;
    report(f, top(f), r);
    run(f);
}

struct done flow_done(struct flow *f)
{
    return (struct done){on_done, f, f->loop};
}

enum flow_next flow_fail(struct flow *f, enum result r)
{
    assert(r != OK && r != PENDING);
    top(f)->result = r;
    return FLOW_FAIL;
}

enum flow_next flow_await(struct flow *f, enum result r)
{
    if (r == PENDING)
        return FLOW_WAIT;
    top(f)->result = r;
    return r == OK ? FLOW_NEXT : FLOW_FAIL;
}

enum flow_next flow_call(struct flow *f, const struct flow_program *program, void *owner)
{
    push(f, program, owner);
    return FLOW_CALLED;
}

/* FLOW_CALLED pushed the callee: the frame that goes on later is the one below it. */
static enum flow_next resume_as(struct flow *f, enum flow_next next, enum resume resume)
{
    switch (next) {
    case FLOW_CALLED:
        assert(f->depth > 1);
        f->frames[f->depth - 2].resume = resume;
        return next;
    case FLOW_WAIT:
        top(f)->resume = resume;
        return next;
    case FLOW_NEXT:
        top(f)->result = OK;
        break;
    case FLOW_AGAIN:
    case FLOW_RETURN:
    case FLOW_FAIL:
        break;
    }
    return resume == RESUME_AGAIN ? FLOW_AGAIN : FLOW_NEXT;
}

enum flow_next flow_any(struct flow *f, enum flow_next next)
{
    return resume_as(f, next, RESUME_NEXT);
}

enum flow_next flow_again(struct flow *f, enum flow_next next)
{
    return resume_as(f, next, RESUME_AGAIN);
}
