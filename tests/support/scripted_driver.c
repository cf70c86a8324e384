/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver whose calls happen when the test says so: see scripted_driver.h. What a call was given is not copied: the
 * caller keeps it until the completion, or an address sanitizer tells. The loop's own thread.
 */
#include "scripted_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"

/* Of a hundred calls so many are left lying until there is nothing else to do, as a rule. */
#define LAZY_PERCENT 20u
#define WAKE_LAZY_PERCENT 1u
#define REPORT_AT_ONCE_PERCENT 50u

/* One call under way. */
struct call {
    struct scripted_driver *script;
    const char *name;
    enum result (*apply)(struct call *call);
    struct done done;
    unsigned number;
    bool is_lazy;
    bool has_effect;
    bool is_late; /* it has reported; texts are its own */
    enum result result;

    /* what it was given, each where it applies */
    struct slice path;
    struct slice other; /* the second path; what a listing is to come after; an etag */
    struct slice bytes;
    unsigned flags;
    size_t limit;
    uint64_t offset;
    uint64_t length;
    struct arena *arena;
    struct storage_object *ret_object;
    struct slice *ret_bytes;
    struct storage_listing *ret_listing;
    struct storage_reader **ret_reader;
    struct storage_reader *reader;
    struct page *page;
    const struct page *pages;
    const uint8_t *sha256;
    const struct storage_multipart *multipart;
    struct storage_multipart *ret_multipart;
    struct storage_part *part;
    const struct storage_part *parts;
};

struct scripted_driver {
    const struct storage_driver *inner;
    void *self;
    struct dice *dice;
    bool is_at_once;
    unsigned fail_percent;
    bool may_be_late;
    struct slice lost; /* path */
    struct call **waiting;
    size_t count;
    size_t capacity;
    unsigned calls;
    uint64_t steps;
    void (*on_effect)(void *data, const char *call, struct slice path);
    void *data;
    struct strbuf *trace;
};

struct storage_reader {
    struct scripted_driver *script;
    struct storage_reader *inner;
};

static void trace(const struct call *call, const char *what)
{
    if (call->script->trace != NULL)
        strbuf_append_format(call->script->trace, "    %s %u %s %.*s %.*s%s%s\n", what, call->number, call->name,
                             SLICE_ARG(call->path), SLICE_ARG(call->other), call->has_effect ? " -> " : "",
                             call->has_effect ? result_name(call->result) : "");
}

static struct done never_done(const struct call *call)
{
    return (struct done){NULL, NULL, call->done.loop};
}

static enum result apply(struct call *call)
{
    enum result r = call->apply(call);
    if (r == PENDING) {
        (void)fprintf(stderr, "scripted driver: the inner driver did not complete %s at once\n", call->name);
        abort();
    }
    return r;
}

static void add_waiting(struct scripted_driver *script, const struct call *call)
{
    if (script->count == script->capacity) {
        script->capacity = script->capacity == 0 ? 16 : 2 * script->capacity;
        script->waiting = xrealloc(script->waiting, script->capacity * sizeof(script->waiting[0]));
    }
    struct call *waiting = xmalloc(sizeof(*waiting));
    *waiting = *call;
    script->waiting[script->count++] = waiting;
}

static struct slice copy_text(struct slice text)
{
    char *copy = xmalloc(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return slice_of(copy, text.len);
}

static void free_text(struct slice text)
{
    union {
        const char *borrowed;
        char *owned;
    } ptr = {text.ptr};
    free(ptr.owned);
}

/* Its effect comes when nobody waits for it any more. */
static void put_off(const struct call *call)
{
    struct call late = *call;
    late.is_late = true;
    late.is_lazy = true;
    late.path = copy_text(call->path);
    late.other = copy_text(call->other);
    late.bytes = copy_text(call->bytes);
    add_waiting(call->script, &late);
}

static void have_late_effect(struct call *call)
{
    struct scripted_driver *script = call->script;
    call->result = apply(call);
    call->has_effect = true;
    trace(call, "late  ");
    if (script->on_effect != NULL)
        script->on_effect(script->data, call->name, call->path);
    free_text(call->path);
    free_text(call->other);
    free_text(call->bytes);
    free(call);
}

static bool can_be_late(const struct call *call);

/* Also a call that fails may have had its effect: an answer that was lost. */
static void take_effect(struct call *call)
{
    struct scripted_driver *script = call->script;
    bool is_failing = script->fail_percent > 0 && dice_chance(script->dice, script->fail_percent);
    bool is_late = is_failing && script->may_be_late && can_be_late(call) && dice_chance(script->dice, 50);
    bool is_lost = is_failing && !is_late && call->ret_reader == NULL && dice_chance(script->dice, 50);
    if (is_late)
        put_off(call);
    call->result = is_failing && !is_lost ? IO : apply(call);
    if (is_failing)
        call->result = IO;
    call->has_effect = true;
    trace(call, is_lost ? "lost  " : "effect");
    if (script->on_effect != NULL)
        script->on_effect(script->data, call->name, call->path);
}

static enum result enter(struct scripted_driver *script, struct call call)
{
    call.script = script;
    if (script->is_at_once)
        return apply(&call);
    call.number = ++script->calls;
    call.is_lazy = dice_chance(script->dice, LAZY_PERCENT);
    add_waiting(script, &call);
    trace(&call, "asked ");
    return PENDING;
}

/* ---- what happens next ---- */

static size_t pick(struct scripted_driver *script)
{
    size_t eager = 0;
    for (size_t i = 0; i < script->count; i++)
        eager += !script->waiting[i]->is_lazy;
    if (eager == 0 || dice_chance(script->dice, WAKE_LAZY_PERCENT))
        return dice_below(script->dice, (unsigned)script->count);
    size_t left = dice_below(script->dice, (unsigned)eager);
    for (size_t i = 0;; i++)
        if (!script->waiting[i]->is_lazy && left-- == 0)
            return i;
}

static void remove_waiting(struct scripted_driver *script, size_t i)
{
    script->count--;
    memmove(&script->waiting[i], &script->waiting[i + 1], (script->count - i) * sizeof(script->waiting[0]));
}

bool scripted_driver_step(struct scripted_driver *script)
{
    if (script->count == 0)
        return false;
    script->steps++;
    size_t i = pick(script);
    struct call *call = script->waiting[i];
    if (call->is_late) {
        remove_waiting(script, i);
        have_late_effect(call);
        return true;
    }
    bool is_reporting = call->has_effect;
    if (!call->has_effect) {
        take_effect(call);
        call->is_lazy = dice_chance(script->dice, LAZY_PERCENT);
        is_reporting = dice_chance(script->dice, REPORT_AT_ONCE_PERCENT);
    }
    if (is_reporting) {
        remove_waiting(script, i);
        trace(call, "report");
        struct done done = call->done;
        enum result r = call->result;
        free(call);
        done_call(done, r);
    }
    return true;
}

/* ---- the calls ---- */

static enum result apply_check(struct call *c)
{
    return c->script->inner->check(c->script->self, never_done(c));
}

static enum result scripted_check(void *self, struct done done)
{
    return enter(self, (struct call){.name = "check", .apply = apply_check, .done = done});
}

static enum result apply_stat(struct call *c)
{
    return c->script->inner->stat(c->script->self, c->path, c->ret_object, never_done(c));
}

static enum result scripted_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    return enter(
        self, (struct call){.name = "stat", .apply = apply_stat, .done = done, .path = path, .ret_object = ret_object});
}

static enum result apply_get(struct call *c)
{
    return c->script->inner->get(c->script->self, c->path, c->limit, c->arena, c->ret_bytes, c->ret_object,
                                 never_done(c));
}

static enum result scripted_get(void *self, struct slice path, size_t max_bytes, struct arena *arena,
                                struct slice *ret_bytes, struct storage_object *ret_object, struct done done)
{
    return enter(self, (struct call){.name = "get",
                                     .apply = apply_get,
                                     .done = done,
                                     .path = path,
                                     .limit = max_bytes,
                                     .arena = arena,
                                     .ret_bytes = ret_bytes,
                                     .ret_object = ret_object});
}

static enum result apply_put(struct call *c)
{
    struct scripted_driver *script = c->script;
    enum result r = script->inner->put(script->self, c->path, c->bytes, c->flags, never_done(c));
    if (script->lost.len == 0 || !slice_equal(script->lost, c->path))
        return r;
    script->lost = SLICE_EMPTY;
    return IO;
}

static enum result scripted_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    return enter(
        self,
        (struct call){.name = "put", .apply = apply_put, .done = done, .path = path, .bytes = bytes, .flags = flags});
}

static enum result apply_put_pages(struct call *c)
{
    if (c->script->inner->put_pages == NULL)
        return UNSUPPORTED;
    return c->script->inner->put_pages(c->script->self, c->path, c->pages, c->length, c->sha256, c->flags,
                                       never_done(c));
}

static enum result scripted_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size,
                                      const uint8_t *sha256, unsigned flags, struct done done)
{
    return enter(self, (struct call){.name = "put_pages",
                                     .apply = apply_put_pages,
                                     .done = done,
                                     .path = path,
                                     .pages = pages,
                                     .length = size,
                                     .sha256 = sha256,
                                     .flags = flags});
}

static enum result apply_put_if_match(struct call *c)
{
    return c->script->inner->put_if_match(c->script->self, c->path, c->bytes, c->other, never_done(c));
}

static enum result scripted_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag,
                                         struct done done)
{
    return enter(self, (struct call){.name = "put_if_match",
                                     .apply = apply_put_if_match,
                                     .done = done,
                                     .path = path,
                                     .bytes = bytes,
                                     .other = etag});
}

static enum result apply_delete(struct call *c)
{
    return c->script->inner->delete (c->script->self, c->path, never_done(c));
}

static enum result scripted_delete(void *self, struct slice path, struct done done)
{
    return enter(self, (struct call){.name = "delete", .apply = apply_delete, .done = done, .path = path});
}

static enum result apply_list(struct call *c)
{
    return c->script->inner->list(c->script->self, c->path, c->other, c->limit, c->arena, c->ret_listing,
                                  never_done(c));
}

static enum result scripted_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                                 struct storage_listing *ret_listing, struct done done)
{
    return enter(self, (struct call){.name = "list",
                                     .apply = apply_list,
                                     .done = done,
                                     .path = folder,
                                     .other = after,
                                     .limit = limit,
                                     .arena = arena,
                                     .ret_listing = ret_listing});
}

/* ---- readers ---- */

static enum result give_reader(struct call *c, enum result r, struct storage_reader *inner)
{
    if (r == OK) {
        struct storage_reader *reader = xmalloc(sizeof(*reader));
        *reader = (struct storage_reader){c->script, inner};
        *c->ret_reader = reader;
    }
    return r;
}

static enum result apply_open_read(struct call *c)
{
    struct storage_reader *inner = NULL;
    enum result r = c->script->inner->open_read(c->script->self, c->path, c->offset, c->length, c->ret_object, &inner,
                                                never_done(c));
    return give_reader(c, r, inner);
}

static enum result scripted_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                                      struct storage_object *ret_object, struct storage_reader **ret_reader,
                                      struct done done)
{
    return enter(self, (struct call){.name = "open_read",
                                     .apply = apply_open_read,
                                     .done = done,
                                     .path = path,
                                     .offset = offset,
                                     .length = length,
                                     .ret_object = ret_object,
                                     .ret_reader = ret_reader});
}

static enum result apply_read(struct call *c)
{
    return c->script->inner->read(c->reader->inner, c->page, never_done(c));
}

static enum result scripted_read(struct storage_reader *reader, struct page *page, struct done done)
{
    return enter(reader->script,
                 (struct call){.name = "read", .apply = apply_read, .done = done, .reader = reader, .page = page});
}

static void scripted_close_read(struct storage_reader *reader)
{
    if (reader == NULL)
        return;
    reader->script->inner->close_read(reader->inner);
    free(reader);
}

static int scripted_reader_fd(const struct storage_reader *reader)
{
    const struct storage_driver *inner = reader->script->inner;
    return inner->reader_fd == NULL ? -1 : inner->reader_fd(reader->inner);
}

static enum result scripted_presign(void *self, struct slice path, struct slice method,
                                    struct storage_validity *validity, struct arena *arena, struct slice *ret_url)
{
    const struct scripted_driver *script = self;
    if (script->inner->presign == NULL)
        return UNSUPPORTED;
    return script->inner->presign(script->self, path, method, validity, arena, ret_url);
}

/* ---- objects in parts ---- */

static enum result apply_begin(struct call *c)
{
    return c->script->inner->multipart_begin(c->script->self, c->path, c->ret_multipart, never_done(c));
}

static enum result scripted_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                            struct done done)
{
    return enter(self, (struct call){.name = "multipart_begin",
                                     .apply = apply_begin,
                                     .done = done,
                                     .path = path,
                                     .ret_multipart = ret_multipart});
}

static enum result apply_part(struct call *c)
{
    return c->script->inner->multipart_put(c->script->self, c->path, c->multipart, c->pages, c->part, never_done(c));
}

static enum result scripted_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                                          const struct page *pages, struct storage_part *part, struct done done)
{
    return enter(self, (struct call){.name = "multipart_put",
                                     .apply = apply_part,
                                     .done = done,
                                     .path = path,
                                     .multipart = multipart,
                                     .pages = pages,
                                     .part = part});
}

static enum result apply_sync(struct call *c)
{
    return c->script->inner->multipart_sync(c->script->self, c->path, c->multipart, never_done(c));
}

static enum result scripted_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                                           struct done done)
{
    return enter(
        self, (struct call){
                  .name = "multipart_sync", .apply = apply_sync, .done = done, .path = path, .multipart = multipart});
}

static enum result apply_complete(struct call *c)
{
    return c->script->inner->multipart_complete(c->script->self, c->path, c->multipart, c->parts, c->limit, c->length,
                                                c->flags, never_done(c));
}

static enum result scripted_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                               const struct storage_part *parts, size_t part_count, uint64_t size,
                                               unsigned flags, struct done done)
{
    return enter(self, (struct call){.name = "multipart_complete",
                                     .apply = apply_complete,
                                     .done = done,
                                     .path = path,
                                     .multipart = multipart,
                                     .parts = parts,
                                     .limit = part_count,
                                     .length = size,
                                     .flags = flags});
}

static enum result apply_abort(struct call *c)
{
    return c->script->inner->multipart_abort(c->script->self, c->path, c->multipart, never_done(c));
}

static enum result scripted_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                                            struct done done)
{
    return enter(
        self, (struct call){
                  .name = "multipart_abort", .apply = apply_abort, .done = done, .path = path, .multipart = multipart});
}

static enum result apply_open_parts(struct call *c)
{
    struct storage_reader *inner = NULL;
    if (c->script->inner->multipart_open_read == NULL)
        return UNSUPPORTED;
    enum result r =
        c->script->inner->multipart_open_read(c->script->self, c->path, c->multipart, c->length, &inner, never_done(c));
    return give_reader(c, r, inner);
}

static enum result scripted_multipart_open_read(void *self, struct slice path,
                                                const struct storage_multipart *multipart, uint64_t size,
                                                struct storage_reader **ret_reader, struct done done)
{
    return enter(self, (struct call){.name = "multipart_open_read",
                                     .apply = apply_open_parts,
                                     .done = done,
                                     .path = path,
                                     .multipart = multipart,
                                     .length = size,
                                     .ret_reader = ret_reader});
}

static enum result apply_rename(struct call *c)
{
    if (c->script->inner->rename_create == NULL)
        return UNSUPPORTED;
    return c->script->inner->rename_create(c->script->self, c->path, c->other, never_done(c));
}

static enum result scripted_rename_create(void *self, struct slice from, struct slice to, struct done done)
{
    return enter(
        self, (struct call){.name = "rename_create", .apply = apply_rename, .done = done, .path = from, .other = to});
}

/* ---- steering ---- */

static bool can_be_late(const struct call *call)
{
    return call->apply == apply_put || call->apply == apply_put_if_match || call->apply == apply_delete;
}

static bool is_write(const struct call *call)
{
    return call->apply != apply_check && call->apply != apply_stat && call->apply != apply_get &&
           call->apply != apply_list && call->apply != apply_open_read && call->apply != apply_read &&
           call->apply != apply_open_parts;
}

struct scripted_driver *scripted_driver_new(const struct storage_driver *inner, void *inner_self, struct dice *dice)
{
    struct scripted_driver *script = xcalloc(1, sizeof(*script));
    script->inner = inner;
    script->self = inner_self;
    script->dice = dice;
    return script;
}

void scripted_driver_run_at_once(struct scripted_driver *script, bool is_at_once)
{
    script->is_at_once = is_at_once;
}

void scripted_driver_fail(struct scripted_driver *script, unsigned percent)
{
    script->fail_percent = percent;
}

void scripted_driver_lose(struct scripted_driver *script, struct slice path)
{
    script->lost = path;
}

size_t scripted_driver_waiting(const struct scripted_driver *script)
{
    return script->count;
}

void scripted_driver_fail_late(struct scripted_driver *script, bool may_be_late)
{
    script->may_be_late = may_be_late;
}

bool scripted_driver_is_writing(const struct scripted_driver *script)
{
    for (size_t i = 0; i < script->count; i++)
        if (!script->waiting[i]->has_effect && is_write(script->waiting[i]))
            return true;
    return false;
}

uint64_t scripted_driver_calls(const struct scripted_driver *script)
{
    return script->calls;
}

uint64_t scripted_driver_steps(const struct scripted_driver *script)
{
    return script->steps;
}

void scripted_driver_watch(struct scripted_driver *script,
                           void (*on_effect)(void *data, const char *call, struct slice path), void *data)
{
    script->on_effect = on_effect;
    script->data = data;
}

void scripted_driver_trace(struct scripted_driver *script, struct strbuf *trace)
{
    script->trace = trace;
}

static enum result scripted_open(const struct config *config, struct pool *pool, struct strbuf *ret_why,
                                 void **ret_self)
{
    (void)config;
    (void)pool;
    (void)ret_self;
    strbuf_append_cstr(ret_why, "the scripted driver is made by scripted_driver_new");
    return UNSUPPORTED;
}

static void scripted_close(void *self)
{
    struct scripted_driver *script = self;
    script->inner->close(script->self);
    free(script->waiting);
    free(script);
}

static struct storage_capabilities scripted_capabilities(const void *self)
{
    const struct scripted_driver *script = self;
    return script->inner->capabilities(script->self);
}

const struct storage_driver scripted_driver = {
    .name = "scripted",
    .open = scripted_open,
    .close = scripted_close,
    .capabilities = scripted_capabilities,
    .check = scripted_check,
    .stat = scripted_stat,
    .get = scripted_get,
    .put = scripted_put,
    .put_pages = scripted_put_pages,
    .put_if_match = scripted_put_if_match,
    .delete = scripted_delete,
    .list = scripted_list,
    .open_read = scripted_open_read,
    .read = scripted_read,
    .close_read = scripted_close_read,
    .reader_fd = scripted_reader_fd,
    .presign = scripted_presign,
    .multipart_begin = scripted_multipart_begin,
    .multipart_put = scripted_multipart_put,
    .multipart_sync = scripted_multipart_sync,
    .multipart_complete = scripted_multipart_complete,
    .multipart_abort = scripted_multipart_abort,
    .multipart_open_read = scripted_multipart_open_read,
    .rename_create = scripted_rename_create,
};
