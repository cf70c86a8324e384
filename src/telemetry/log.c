/* SPDX-License-Identifier: Apache-2.0
 *
 * The log's buffer and who writes it out. Lines come from any thread; while attached one pool job at a time writes,
 * started from one loop: at 32 KiB, at a warning, or 100 ms after the first line. Not here: what a line looks like
 * (log_line.c).
 *
 *   state      means                                        goes on when
 *   IDLE       nothing is buffered                          a line comes                      -> WAITING or HURRY
 *   WAITING    the timer runs, or is being started          the timer fires, a line hurries   -> HURRY
 *   HURRY      the job is being started or runs             the job is done                   -> IDLE, WAITING, HURRY
 */
#include "telemetry_int.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "minato/clock.h"

#define FLUSH_BYTES (32u * 1024u)
#define FLUSH_DELAY_MS 100u
#define BUFFER_BYTES_MIN (64u * 1024u)
#define STREAM_BYTES 4096u /* PIPE_BUF: what a pipe that polls as writable takes without blocking */
#define BLOCKED_MS 200     /* a writer gives up for now when the reader took nothing for this long */
#define FAREWELL_MS 1000

enum flush_state { STATE_IDLE, STATE_WAITING, STATE_HURRY };

struct chunk {
    char *bytes;
    size_t len;
    size_t written;
};

struct log {
    int fd;
    enum config_log_level level;
    enum config_log_format format;
    bool is_stream; /* a pipe, socket or terminal, whose reader may stop */
    size_t chunk_max;
    struct clock clock;
    atomic_uint_fast64_t dropped;
    /* `mutex` guards all below but `out` while the job has it. */
    pthread_mutex_t mutex;
    struct chunk in;  /* lines are added here */
    struct chunk out; /* this is being written */
    uint64_t dropped_reported;
    struct loop *loop; /* NULL: not attached */
    struct pool *pool;
    enum flush_state state;
    bool is_posted; /* `task` is on its way */
    bool hurries;   /* `in` holds a warning */
    /* Of the loop's thread. */
    struct timer timer;
    struct loop_task task;
    struct pool_job job;
};

static void on_task(struct loop_task *task);
static void on_timer(struct timer *timer);
static void on_written(struct pool_job *job);
static void write_on_pool(struct pool_job *job);

#define LOG_OF(member_ptr, member) ((struct log *)(void *)((char *)(member_ptr)-offsetof(struct log, member)))

/* ---- writing: by one thread at a time ---- */

static uint64_t count_lines(const char *bytes, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += bytes[i] == '\n' ? 1 : 0;
    return lines;
}

/* Waits until a write will not block. False: the reader has stopped. */
static bool is_writable(const struct log *log, int wait_ms)
{
    struct pollfd p = {.fd = log->fd, .events = POLLOUT};
    int n;
    do
        n = poll(&p, 1, wait_ms);
    while (n < 0 && errno == EINTR);
    return n != 0; /* errors and hang-ups: let write tell */
}

/* Writes what is left of `out`. What nobody will ever read (EPIPE, ENOSPC) is dropped and counted; what the reader has
 * no room for now stays. */
static void write_out(struct log *log, int wait_ms)
{
    struct chunk *c = &log->out;
    while (c->written < c->len) {
        size_t n = c->len - c->written;
        if (log->is_stream && !is_writable(log, wait_ms))
            return;
        if (log->is_stream && n > STREAM_BYTES)
            n = STREAM_BYTES;
        ssize_t written = write(log->fd, c->bytes + c->written, n);
        if (written > 0) {
            c->written += (size_t)written;
        } else if (written == 0 || errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            atomic_fetch_add(&log->dropped, count_lines(c->bytes + c->written, c->len - c->written));
            break;
        }
    }
    c->len = 0;
    c->written = 0;
}

/* ---- buffering: under the mutex ---- */

/* Access lines leave an eighth of the buffer to warnings. */
static bool add_line(struct log *log, enum config_log_level level, const char *line, size_t len)
{
    size_t max = level >= LOG_LEVEL_WARN ? log->chunk_max : log->chunk_max - log->chunk_max / 8;
    if (log->in.len + len > max)
        return false;
    memcpy(log->in.bytes + log->in.len, line, len);
    log->in.len += len;
    return true;
}

static void report_dropped(struct log *log)
{
    uint64_t dropped = atomic_load(&log->dropped);
    if (dropped == log->dropped_reported)
        return;
    char line[LOG_LINE_BYTES_MAX];
    const struct log_field fields[] = {FIELD_NUM("lines", dropped - log->dropped_reported),
                                       FIELD_CSTR("why", "buffer full or output closed")};
    size_t len = log_int_format(line, log->format, clock_wall_ms(log->clock), LOG_LEVEL_WARN, "log.dropped", fields, 2);
    if (add_line(log, LOG_LEVEL_WARN, line, len))
        log->dropped_reported = dropped;
}

/* Makes `out` what is to be written: the rest of the last time, or what came in since. */
static void swap_chunks(struct log *log)
{
    if (log->out.len > 0)
        return;
    report_dropped(log);
    struct chunk empty = log->out;
    log->out = log->in;
    log->in = empty;
    log->hurries = false;
}

/* While not attached: the calling thread writes, under the mutex. */
static void write_all_now(struct log *log, int wait_ms)
{
    do {
        swap_chunks(log);
        write_out(log, wait_ms);
    } while (log->out.len == 0 && log->in.len > 0);
}

/* Whether the caller has to post `task` once the mutex is released. */
static bool schedule(struct log *log)
{
    bool hurries = log->hurries || log->in.len >= FLUSH_BYTES;
    if (log->state == STATE_HURRY || (log->state == STATE_WAITING && !hurries))
        return false;
    log->state = hurries ? STATE_HURRY : STATE_WAITING;
    if (log->is_posted)
        return false;
    log->is_posted = true;
    return true;
}

void log_fields(struct log *log, enum config_log_level level, const char *event, const struct log_field *fields,
                size_t count)
{
    if (!log_is_enabled(log, level))
        return;
    char line[LOG_LINE_BYTES_MAX];
    size_t len = log_int_format(line, log->format, clock_wall_ms(log->clock), level, event, fields, count);
    bool must_post = false;
    pthread_mutex_lock(&log->mutex);
    if (!add_line(log, level, line, len))
        atomic_fetch_add(&log->dropped, 1);
    log->hurries |= level >= LOG_LEVEL_WARN;
    struct loop *loop = log->loop;
    if (loop != NULL)
        must_post = schedule(log);
    else
        write_all_now(log, BLOCKED_MS);
    pthread_mutex_unlock(&log->mutex);
    if (must_post)
        loop_post(loop, &log->task);
}

/* ---- on the loop ---- */

/* As the state says: start the timer, or the job. */
static void carry_on(struct log *log, enum flush_state state)
{
    timer_stop(&log->timer);
    if (state == STATE_IDLE)
        return;
    if (state == STATE_HURRY && pool_submit(log->pool, POOL_FILES, &log->job) == OK)
        return;
    pthread_mutex_lock(&log->mutex);
    log->state = STATE_WAITING;
    pthread_mutex_unlock(&log->mutex);
    timer_start(log->loop, &log->timer, FLUSH_DELAY_MS, on_timer);
}

static void on_task(struct loop_task *task)
{
    struct log *log = LOG_OF(task, task);
    pthread_mutex_lock(&log->mutex);
    log->is_posted = false;
    enum flush_state state = log->state;
    pthread_mutex_unlock(&log->mutex);
    carry_on(log, state);
}

static void on_timer(struct timer *timer)
{
    struct log *log = LOG_OF(timer, timer);
    pthread_mutex_lock(&log->mutex);
    bool is_taken = log->state == STATE_HURRY; /* the task is on its way and will start the job */
    log->state = STATE_HURRY;
    pthread_mutex_unlock(&log->mutex);
    if (!is_taken)
        carry_on(log, STATE_HURRY);
}

static void write_on_pool(struct pool_job *job)
{
    struct log *log = LOG_OF(job, job);
    pthread_mutex_lock(&log->mutex);
    swap_chunks(log);
    pthread_mutex_unlock(&log->mutex);
    write_out(log, BLOCKED_MS);
}

static void on_written(struct pool_job *job)
{
    struct log *log = LOG_OF(job, job);
    pthread_mutex_lock(&log->mutex);
    if (log->out.len > 0) /* the reader has stopped: try again later, whatever waits */
        log->state = STATE_WAITING;
    else if (log->hurries || log->in.len >= FLUSH_BYTES)
        log->state = STATE_HURRY;
    else
        log->state = log->in.len > 0 ? STATE_WAITING : STATE_IDLE;
    enum flush_state state = log->state;
    bool is_attached = log->loop != NULL;
    pthread_mutex_unlock(&log->mutex);
    if (is_attached)
        carry_on(log, state);
}

/* ---- life ---- */

struct log *log_new(int fd, enum config_log_level level, enum config_log_format format, size_t buffer_bytes)
{
    struct log *log = xcalloc(1, sizeof(*log));
    struct stat st;
    log->fd = fd;
    log->level = level;
    log->format = format;
    log->is_stream = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode);
    log->chunk_max = (buffer_bytes < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : buffer_bytes) / 2;
    log->clock = clock_system();
    log->in.bytes = xmalloc(log->chunk_max);
    log->out.bytes = xmalloc(log->chunk_max);
    log->task.run = on_task;
    log->job.work = write_on_pool;
    log->job.done = on_written;
    pthread_mutex_init(&log->mutex, NULL);
    return log;
}

void log_attach(struct log *log, struct loop *loop, struct pool *pool)
{
    pthread_mutex_lock(&log->mutex);
    log->loop = loop;
    log->pool = pool;
    log->job.loop = loop;
    pthread_mutex_unlock(&log->mutex);
}

void log_detach(struct log *log)
{
    pthread_mutex_lock(&log->mutex);
    struct loop *loop = log->loop;
    while (loop != NULL && (log->is_posted || log->state == STATE_HURRY)) {
        pthread_mutex_unlock(&log->mutex);
        loop_run_once(loop, (int32_t)FLUSH_DELAY_MS);
        pthread_mutex_lock(&log->mutex);
    }
    log->loop = NULL;
    log->pool = NULL;
    log->state = STATE_IDLE;
    write_all_now(log, BLOCKED_MS);
    pthread_mutex_unlock(&log->mutex);
    timer_stop(&log->timer);
}

void log_free(struct log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->mutex);
    write_all_now(log, FAREWELL_MS);
    pthread_mutex_unlock(&log->mutex);
    pthread_mutex_destroy(&log->mutex);
    free(log->in.bytes);
    free(log->out.bytes);
    free(log);
}

bool log_is_enabled(const struct log *log, enum config_log_level level)
{
    return log != NULL && level >= log->level;
}

uint64_t log_dropped(const struct log *log)
{
    return log == NULL ? 0 : atomic_load(&log->dropped);
}
