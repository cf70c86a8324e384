/* SPDX-License-Identifier: Apache-2.0
 *
 * The misbehaving driver: see fault_driver.h. Each call becomes a struct call, which decides what to do with the inner
 * driver's outcome. The loop's own thread.
 */
#include "fault_driver.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

struct fault_driver {
    const struct storage_driver *inner;
    void *self;
    bool is_deferred;
    struct fault_plan plan;
    atomic_uint calls;   /* all since the plan */
    atomic_uint matches; /* those that the plan counts */
    atomic_uint hits;
    atomic_uint outstanding;
    _Atomic(const char *) last_call;
    struct call *stalled;
    struct write *writes; /* held back */
    void (*hook)(void *data, const char *call);
    void *hook_data;
};

enum write_kind { WRITE_PUT, WRITE_PUT_IF_MATCH, WRITE_DELETE };

/* A write that has its effect later; texts are its own. */
struct write {
    enum write_kind kind;
    char *path;
    char *bytes;
    size_t length;
    char *etag;
    unsigned flags;
    struct call *call; /* to report to; NULL: it was told already */
    struct write *next;
};

/* One call under way. */
struct call {
    struct fault_driver *fault;
    struct done done;
    bool is_faulty;
    enum fault_kind kind;
    enum result planned;
    enum result result;
    struct loop_task task;
    struct call *next; /* stalled */
    /* open_read: what the inner driver opened, and where the caller wants it */
    struct storage_reader *inner_reader;
    struct storage_reader **ret_reader;
    /* multipart_put cut short: what is handed on instead */
    struct page half_page;
    struct storage_part half_part;
};

struct storage_reader {
    struct fault_driver *fault;
    struct storage_reader *inner;
    /* read cut short: the rest of a page, brought by the next reads */
    char *rest;
    size_t rest_at;
    size_t rest_len;
};

static bool is_hit(struct fault_driver *fault, const char *name)
{
    const struct fault_plan *plan = &fault->plan;
    fault->calls++;
    fault->last_call = name;
    if (plan->nth == 0 || (plan->call != NULL && strcmp(plan->call, name) != 0))
        return false;
    unsigned match = atomic_fetch_add(&fault->matches, 1) + 1;
    return match >= plan->nth && match - plan->nth <= plan->repeat;
}

static struct call *begin(struct fault_driver *fault, const char *name, struct done done)
{
    struct call *call = xcalloc(1, sizeof(*call));
    call->fault = fault;
    call->done = done;
    call->is_faulty = is_hit(fault, name);
    call->kind = fault->plan.kind;
    call->planned = fault->plan.result;
    fault->hits += call->is_faulty;
    fault->outstanding++;
    if (fault->hook != NULL)
        fault->hook(fault->hook_data, name);
    return call;
}

/* The call must not reach the inner driver. */
static bool is_refused(const struct call *call)
{
    return call->is_faulty && (call->kind == FAULT_BEFORE || call->kind == FAULT_SHORT || call->kind == FAULT_LATE);
}

static enum result outcome(struct call *call, enum result r)
{
    if (r == OK && call->ret_reader != NULL) {
        bool is_lost = call->is_faulty && call->planned != OK;
        if (is_lost) {
            call->fault->inner->close_read(call->inner_reader);
        } else {
            struct storage_reader *reader = xcalloc(1, sizeof(*reader));
            reader->fault = call->fault;
            reader->inner = call->inner_reader;
            *call->ret_reader = reader;
        }
    }
    return call->is_faulty ? call->planned : r;
}

static void report(struct call *call)
{
    struct done done = call->done;
    enum result r = call->result;
    call->fault->outstanding--;
    free(call);
    done_call(done, r);
}

static void on_task(struct loop_task *task)
{
    report((struct call *)(void *)((char *)task - offsetof(struct call, task)));
}

static void report_later(struct call *call)
{
    call->task.run = on_task;
    loop_post(call->done.loop, &call->task);
}

static bool is_stalled(struct call *call)
{
    if (!call->is_faulty || (call->kind != FAULT_STALL && call->kind != FAULT_HOLD))
        return false;
    call->next = call->fault->stalled;
    call->fault->stalled = call;
    return true;
}

static void on_inner(void *data, enum result r)
{
    struct call *call = data;
    call->result = outcome(call, r);
    if (!is_stalled(call))
        report(call);
}

static struct done inner_done(struct call *call)
{
    return (struct done){on_inner, call, call->done.loop};
}

/* `r` is what the inner driver's call returned. */
static enum result end(struct call *call, enum result r)
{
    if (r == PENDING)
        return PENDING;
    call->result = outcome(call, r);
    if (is_stalled(call))
        return PENDING;
    if (call->fault->is_deferred) {
        report_later(call);
        return PENDING;
    }
    r = call->result;
    call->fault->outstanding--;
    free(call);
    return r;
}

static enum result refuse(struct call *call)
{
    return end(call, call->planned);
}

/* ---- writes held back ---- */

static char *copy_text(struct slice text)
{
    char *copy = xcalloc(1, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

/* True: the write was taken over, and *ret_result is what the call returns. */
static bool is_held_back(struct call *call, struct write write, struct slice path, struct slice bytes,
                         struct slice etag, enum result *ret_result)
{
    struct fault_driver *f = call->fault;
    if (!call->is_faulty || (call->kind != FAULT_HOLD && call->kind != FAULT_LATE))
        return false;
    struct write *held = xcalloc(1, sizeof(*held));
    *held = write;
    held->path = copy_text(path);
    held->bytes = copy_text(bytes);
    held->length = bytes.len;
    held->etag = copy_text(etag);
    held->next = f->writes;
    f->writes = held;
    if (call->kind == FAULT_HOLD) {
        held->call = call;
        *ret_result = PENDING;
    } else {
        *ret_result = refuse(call);
    }
    return true;
}

static void free_write(struct write *write)
{
    free(write->path);
    free(write->bytes);
    free(write->etag);
    free(write);
}

/* On an inner driver that completes at once. */
static enum result make_write(const struct fault_driver *f, const struct write *write)
{
    const struct done nobody = {0};
    struct slice path = slice_from_cstr(write->path);
    struct slice bytes = slice_of(write->bytes, write->length);
    if (write->kind == WRITE_DELETE)
        return f->inner->delete (f->self, path, nobody);
    if (write->kind == WRITE_PUT_IF_MATCH)
        return f->inner->put_if_match(f->self, path, bytes, slice_from_cstr(write->etag), nobody);
    return f->inner->put(f->self, path, bytes, write->flags, nobody);
}

static void release_write(struct fault_driver *f, struct write *write)
{
    enum result r = make_write(f, write);
    if (write->call != NULL) {
        write->call->result = write->call->planned == OK ? r : write->call->planned;
        report_later(write->call);
    }
    free_write(write);
}

/* ---- the calls ---- */

static enum result fault_check(void *self, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "check", done);
    return is_refused(call) ? refuse(call) : end(call, f->inner->check(f->self, inner_done(call)));
}

static enum result fault_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "stat", done);
    return is_refused(call) ? refuse(call) : end(call, f->inner->stat(f->self, path, ret_object, inner_done(call)));
}

static enum result fault_get(void *self, struct slice path, size_t max_bytes, struct arena *arena,
                             struct slice *ret_bytes, struct storage_object *ret_object, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "get", done);
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->get(f->self, path, max_bytes, arena, ret_bytes, ret_object, inner_done(call)));
}

static enum result fault_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "put", done);
    enum result r;
    if (is_held_back(call, (struct write){.kind = WRITE_PUT, .flags = flags}, path, bytes, SLICE_EMPTY, &r))
        return r;
    return is_refused(call) ? refuse(call) : end(call, f->inner->put(f->self, path, bytes, flags, inner_done(call)));
}

static enum result fault_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size,
                                   const uint8_t *sha256, unsigned flags, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "put_pages", done);
    if (is_refused(call))
        return refuse(call);
    if (f->inner->put_pages == NULL)
        return end(call, UNSUPPORTED);
    return end(call, f->inner->put_pages(f->self, path, pages, size, sha256, flags, inner_done(call)));
}

static enum result fault_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag,
                                      struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "put_if_match", done);
    enum result r;
    if (f->inner->put_if_match != NULL &&
        is_held_back(call, (struct write){.kind = WRITE_PUT_IF_MATCH}, path, bytes, etag, &r))
        return r;
    if (is_refused(call))
        return refuse(call);
    if (f->inner->put_if_match == NULL)
        return end(call, UNSUPPORTED);
    return end(call, f->inner->put_if_match(f->self, path, bytes, etag, inner_done(call)));
}

static enum result fault_delete(void *self, struct slice path, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "delete", done);
    enum result r;
    if (is_held_back(call, (struct write){.kind = WRITE_DELETE}, path, SLICE_EMPTY, SLICE_EMPTY, &r))
        return r;
    return is_refused(call) ? refuse(call) : end(call, f->inner->delete (f->self, path, inner_done(call)));
}

static enum result fault_delete_many(void *self, const struct slice *paths, size_t count, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "delete_many", done);
    if (call->is_faulty && call->kind == FAULT_SHORT)
        return end(call, f->inner->delete_many(f->self, paths, count / 2, inner_done(call)));
    return is_refused(call) ? refuse(call) : end(call, f->inner->delete_many(f->self, paths, count, inner_done(call)));
}

static enum result fault_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                              struct storage_listing *ret_listing, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "list", done);
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->list(f->self, folder, after, limit, arena, ret_listing, inner_done(call)));
}

static enum result fault_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                                   struct storage_object *ret_object, struct storage_reader **ret_reader,
                                   struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "open_read", done);
    if (is_refused(call))
        return refuse(call);
    call->ret_reader = ret_reader;
    return end(call,
               f->inner->open_read(f->self, path, offset, length, ret_object, &call->inner_reader, inner_done(call)));
}

/* Hands out what a short read kept back. */
static void read_rest(struct storage_reader *reader, struct page *page)
{
    memcpy(page->ptr, reader->rest + reader->rest_at, reader->rest_len);
    page->start = 0;
    page->len = reader->rest_len;
    free(reader->rest);
    reader->rest = NULL;
}

/* Works on drivers that complete at once: reads a page and keeps all but its first byte back. */
static enum result read_short(struct storage_reader *reader, struct page *page, struct call *call)
{
    enum result r = reader->fault->inner->read(reader->inner, page, inner_done(call));
    if (r == OK && page->len > 1) {
        reader->rest = xmalloc(page->len);
        reader->rest_at = 1;
        reader->rest_len = page->len - 1;
        memcpy(reader->rest, page->ptr + page->start, page->len);
        page->len = 1;
    }
    if (r != PENDING)
        call->planned = r;
    return end(call, r);
}

static enum result fault_read(struct storage_reader *reader, struct page *page, struct done done)
{
    struct fault_driver *f = reader->fault;
    struct call *call = begin(f, "read", done);
    if (reader->rest != NULL) {
        read_rest(reader, page);
        return end(call, OK);
    }
    if (call->is_faulty && call->kind == FAULT_SHORT)
        return read_short(reader, page, call);
    return is_refused(call) ? refuse(call) : end(call, f->inner->read(reader->inner, page, inner_done(call)));
}

static void fault_close_read(struct storage_reader *reader)
{
    if (reader == NULL)
        return;
    reader->fault->inner->close_read(reader->inner);
    free(reader->rest);
    free(reader);
}

static int fault_reader_fd(const struct storage_reader *reader)
{
    const struct storage_driver *inner = reader->fault->inner;
    return inner->reader_fd == NULL ? -1 : inner->reader_fd(reader->inner);
}

static uint64_t fault_time_ms(const void *self, uint64_t machine_ms)
{
    const struct fault_driver *f = self;
    return f->inner->time_ms == NULL ? machine_ms : f->inner->time_ms(f->self, machine_ms);
}

static enum result fault_presign(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                                 struct arena *arena, struct slice *ret_url)
{
    struct fault_driver *f = self;
    if (f->inner->presign == NULL)
        return UNSUPPORTED;
    return f->inner->presign(f->self, path, method, validity, arena, ret_url);
}

static enum result fault_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                         struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_begin", done);
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->multipart_begin(f->self, path, ret_multipart, inner_done(call)));
}

static enum result fault_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                                       const struct page *pages, struct storage_part *part, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_put", done);
    if (call->is_faulty && call->kind == FAULT_SHORT && pages->len > 1) {
        call->half_page = *pages;
        call->half_page.len = pages->len / 2;
        call->half_page.next = NULL;
        call->half_part = *part;
        call->half_part.size = call->half_page.len;
        return end(call, f->inner->multipart_put(f->self, path, multipart, &call->half_page, &call->half_part,
                                                 inner_done(call)));
    }
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->multipart_put(f->self, path, multipart, pages, part, inner_done(call)));
}

static enum result fault_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                                        struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_sync", done);
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->multipart_sync(f->self, path, multipart, inner_done(call)));
}

static enum result fault_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                            const struct storage_part *parts, size_t part_count, uint64_t size,
                                            unsigned flags, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_complete", done);
    if (is_refused(call))
        return refuse(call);
    return end(
        call, f->inner->multipart_complete(f->self, path, multipart, parts, part_count, size, flags, inner_done(call)));
}

static enum result fault_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                                         struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_abort", done);
    if (is_refused(call))
        return refuse(call);
    return end(call, f->inner->multipart_abort(f->self, path, multipart, inner_done(call)));
}

static enum result fault_multipart_open_read(void *self, struct slice path, const struct storage_multipart *multipart,
                                             uint64_t size, struct storage_reader **ret_reader, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "multipart_open_read", done);
    if (is_refused(call))
        return refuse(call);
    if (f->inner->multipart_open_read == NULL)
        return end(call, UNSUPPORTED);
    call->ret_reader = ret_reader;
    return end(call,
               f->inner->multipart_open_read(f->self, path, multipart, size, &call->inner_reader, inner_done(call)));
}

static enum result fault_rename_create(void *self, struct slice from, struct slice to, struct done done)
{
    struct fault_driver *f = self;
    struct call *call = begin(f, "rename_create", done);
    if (is_refused(call))
        return refuse(call);
    if (f->inner->rename_create == NULL)
        return end(call, UNSUPPORTED);
    return end(call, f->inner->rename_create(f->self, from, to, inner_done(call)));
}

/* ---- steering ---- */

struct fault_driver *fault_driver_new(const struct storage_driver *inner, void *inner_self)
{
    struct fault_driver *f = xcalloc(1, sizeof(*f));
    f->inner = inner;
    f->self = inner_self;
    return f;
}

static enum result fault_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self)
{
    (void)config;
    (void)pool;
    (void)ret_self;
    strbuf_append_cstr(ret_why, "the fault driver is made by fault_driver_new");
    return UNSUPPORTED;
}

static void fault_close(void *self)
{
    struct fault_driver *f = self;
    f->inner->close(f->self);
    while (f->writes != NULL) {
        struct write *write = f->writes;
        f->writes = write->next;
        free_write(write);
    }
    free(f);
}

static struct storage_capabilities fault_capabilities(const void *self)
{
    const struct fault_driver *f = self;
    return f->inner->capabilities(f->self);
}

void fault_driver_defer(struct fault_driver *fault, bool is_deferred)
{
    fault->is_deferred = is_deferred;
}

void fault_driver_plan(struct fault_driver *fault, struct fault_plan plan)
{
    fault->plan = plan;
    fault->calls = 0;
    fault->matches = 0;
    fault->hits = 0;
}

unsigned fault_driver_calls(const struct fault_driver *fault)
{
    return fault->calls;
}

unsigned fault_driver_hits(const struct fault_driver *fault)
{
    return fault->hits;
}

const char *fault_driver_last_call(const struct fault_driver *fault)
{
    return fault->last_call;
}

unsigned fault_driver_outstanding(const struct fault_driver *fault)
{
    return fault->outstanding;
}

void fault_driver_release(struct fault_driver *fault)
{
    while (fault->writes != NULL) {
        struct write *write = fault->writes;
        fault->writes = write->next;
        release_write(fault, write);
    }
    while (fault->stalled != NULL) {
        struct call *call = fault->stalled;
        fault->stalled = call->next;
        report_later(call);
    }
}

void fault_driver_hook(struct fault_driver *fault, void (*hook)(void *data, const char *call), void *data)
{
    fault->hook = hook;
    fault->hook_data = data;
}

const struct storage_driver fault_driver = {
    .name = "fault",
    .open = fault_open,
    .close = fault_close,
    .capabilities = fault_capabilities,
    .check = fault_check,
    .time_ms = fault_time_ms,
    .stat = fault_stat,
    .get = fault_get,
    .put = fault_put,
    .put_pages = fault_put_pages,
    .put_if_match = fault_put_if_match,
    .delete = fault_delete,
    .delete_many = fault_delete_many,
    .list = fault_list,
    .open_read = fault_open_read,
    .read = fault_read,
    .close_read = fault_close_read,
    .reader_fd = fault_reader_fd,
    .presign = fault_presign,
    .multipart_begin = fault_multipart_begin,
    .multipart_put = fault_multipart_put,
    .multipart_sync = fault_multipart_sync,
    .multipart_complete = fault_multipart_complete,
    .multipart_abort = fault_multipart_abort,
    .multipart_open_read = fault_multipart_open_read,
    .rename_create = fault_rename_create,
};
