/* SPDX-License-Identifier: Apache-2.0
 *
 * A program for tests/support/s3_calls.py: makes the calls of the S3 driver that it is told, against the store that
 * s3_place.h names. A line of standard input is one command, a line of standard output the answer of one call:
 *
 *   COUNT NAME PATH TEXT SIZE      so many calls at once; bodies are TEXT, again and again, SIZE bytes of it
 *   RESULT MILLISECONDS            in the order they were begun, when all have ended
 *
 * NAME is one of `operations`. Those of a multipart are about the one that was begun last, the number of a part is
 * TEXT. Usage: s3_calls [ATTEMPT_MS CALL_MS LONG_CALL_MS]: shorter times than the driver's own.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "await.h"
#include "minato/oci.h"
#include "minato/own.h"
#include "minato/storage.h"
#include "s3_place.h"
#include "storage-drivers/s3/s3_int.h"

#define CALLS_MAX 64u
#define PARTS_MAX 8u
#define BODY_MAX ((size_t)16 << 20)
#define PAGES_BYTES ((size_t)256 << 20)

struct program {
    struct loop *loop;
    struct pool *pool;
    struct storage *storage;
    struct storage_multipart multipart;
    struct storage_part parts[PARTS_MAX];
    size_t part_count;
    unsigned outstanding;
};

/* One call, from its beginning to its end. */
struct call {
    struct program *program;
    struct slice path;
    struct slice body;
    struct digest digest; /* of the body */
    struct done done;
    struct page *pages;
    struct arena arena;
    struct storage_object object;
    struct storage_listing listing;
    struct slice bytes;
    struct storage_reader *reader;
    bool is_over;
    enum result result;
    uint64_t begun_ms;
    uint64_t ended_ms;
};

static uint64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

static void end(void *data, enum result r)
{
    struct call *call = data;
    call->result = r;
    call->ended_ms = now_ms();
    call->is_over = true;
    call->program->outstanding--;
}

/* ---- operations ---- */

static struct page *pages_of(struct loop *loop, struct slice bytes)
{
    struct page *first = NULL;
    struct page **last = &first;
    while (bytes.len > 0) {
        struct page *page;
        if (AWAIT(loop, page_acquire(loop, &page, done)) != OK)
            abort();
        page->len = bytes.len < PAGE_BYTES ? bytes.len : PAGE_BYTES;
        memcpy(page->ptr, bytes.ptr, page->len);
        bytes = slice_from(bytes, page->len);
        *last = page;
        last = &page->next;
    }
    return first;
}

static void release_pages(struct page *page)
{
    while (page != NULL) {
        struct page *next = page->next;
        page_release(page);
        page = next;
    }
}

static enum result do_check(struct call *call)
{
    return storage_check(call->program->storage, call->done);
}

static enum result do_stat(struct call *call)
{
    return storage_stat(call->program->storage, call->path, &call->object, call->done);
}

static enum result do_get(struct call *call)
{
    return storage_get(call->program->storage, call->path, BODY_MAX, &call->arena, &call->bytes, NULL, call->done);
}

static enum result do_put(struct call *call)
{
    return storage_put(call->program->storage, call->path, call->body, 0, call->done);
}

static enum result do_create(struct call *call)
{
    return storage_put(call->program->storage, call->path, call->body, STORAGE_PUT_CREATE_ONLY, call->done);
}

static enum result put_pages(struct call *call, const uint8_t *sha256, unsigned flags)
{
    call->pages = pages_of(call->program->loop, call->body);
    return storage_put_pages(call->program->storage, call->path, call->pages, call->body.len, sha256, flags,
                             call->done);
}

static enum result do_create_blob(struct call *call)
{
    digest_of(DIGEST_SHA256, call->body, &call->digest);
    return put_pages(call, call->digest.bytes, STORAGE_PUT_CREATE_ONLY);
}

static enum result do_put_wrong_digest(struct call *call)
{
    static const uint8_t digest[32] = {1, 2, 3};
    return put_pages(call, digest, 0);
}

static enum result do_put_tail(struct call *call)
{
    return put_pages(call, NULL, 0);
}

/* The etag is that of an object of TEXT alone: stores name content by its MD5. */
static enum result do_swap(struct call *call)
{
    struct slice etag = slice_from_cstr(call->object.etag);
    return storage_put_if_match(call->program->storage, call->path, call->body, etag, call->done);
}

static enum result do_delete(struct call *call)
{
    return storage_delete(call->program->storage, call->path, call->done);
}

/* SIZE of them, in the folder PATH. */
static enum result do_delete_many(struct call *call)
{
    size_t count = call->body.len;
    struct slice *paths = ARENA_ARRAY(&call->arena, struct slice, count);
    for (size_t i = 0; i < count; i++)
        paths[i] = arena_format(&call->arena, "%.*s/%zu", SLICE_ARG(call->path), i);
    return storage_delete_many(call->program->storage, paths, count, call->done);
}

static enum result do_list(struct call *call)
{
    return storage_list(call->program->storage, call->path, SLICE_EMPTY, 1000, &call->arena, &call->listing,
                        call->done);
}

static enum result do_open_read(struct call *call)
{
    return storage_open_read(call->program->storage, call->path, 0, UINT64_MAX, NULL, &call->reader, call->done);
}

static enum result do_begin(struct call *call)
{
    call->program->part_count = 0;
    return storage_multipart_begin(call->program->storage, call->path, &call->program->multipart, call->done);
}

static enum result do_part(struct call *call)
{
    struct program *p = call->program;
    if (p->part_count == PARTS_MAX)
        abort();
    struct storage_part *part = &p->parts[p->part_count];
    uint64_t offset = p->part_count == 0 ? 0 : part[-1].offset + part[-1].size;
    p->part_count++;
    *part = (struct storage_part){.number = (uint32_t)p->part_count, .offset = offset, .size = call->body.len};
    call->pages = pages_of(p->loop, call->body);
    return storage_multipart_put(p->storage, call->path, &p->multipart, call->pages, part, call->done);
}

static enum result do_complete(struct call *call)
{
    const struct program *p = call->program;
    uint64_t size = p->part_count == 0 ? 0 : p->parts[p->part_count - 1].offset + p->parts[p->part_count - 1].size;
    return storage_multipart_complete(p->storage, call->path, &p->multipart, p->parts, p->part_count, size, 0,
                                      call->done);
}

static enum result do_abort(struct call *call)
{
    return storage_multipart_abort(call->program->storage, call->path, &call->program->multipart, call->done);
}

static const struct operation {
    const char *name;
    enum result (*begin)(struct call *call);
} operations[] = {
    {"check", do_check},
    {"stat", do_stat},
    {"get", do_get},
    {"put", do_put},
    {"create", do_create},
    {"create-blob", do_create_blob},
    {"put-wrong-digest", do_put_wrong_digest},
    {"put-tail", do_put_tail},
    {"swap", do_swap},
    {"delete", do_delete},
    {"delete-many", do_delete_many},
    {"list", do_list},
    {"open-read", do_open_read},
    {"begin", do_begin},
    {"part", do_part},
    {"complete", do_complete},
    {"abort", do_abort},
};

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    (void)fprintf(stderr, "there is no operation %s\n", name);
    exit(2);
}

/* ---- commands ---- */

static void begin_call(struct call *call, const struct operation *operation)
{
    call->done = (struct done){end, call, call->program->loop};
    call->begun_ms = now_ms();
    call->program->outstanding++;
    enum result r = operation->begin(call);
    if (r != PENDING)
        end(call, r);
}

/* What was opened is read to its end. */
static enum result read_all(struct call *call)
{
    struct loop *loop = call->program->loop;
    struct page *page;
    enum result r = AWAIT(loop, page_acquire(loop, &page, done));
    do
        r = r == OK ? AWAIT(loop, storage_read(call->program->storage, call->reader, page, done)) : r;
    while (r == OK && page->len > 0);
    page_release(page);
    storage_close_read(call->program->storage, call->reader);
    return r;
}

static void end_call(struct call *call)
{
    if (call->reader != NULL) {
        call->result = read_all(call);
        call->ended_ms = now_ms();
    }
    (void)printf("%s %" PRIu64 "\n", result_name(call->result), call->ended_ms - call->begun_ms);
    release_pages(call->pages);
    arena_done(&call->arena);
}

static struct slice body_of(struct slice text, size_t size, char *room)
{
    for (size_t i = 0; i < size; i++)
        room[i] = text.ptr[i % text.len];
    return slice_of(room, size);
}

static void run(struct program *program, size_t count, const struct operation *operation, struct slice path,
                struct slice body)
{
    struct call *calls = xcalloc(count, sizeof(*calls));
    struct storage_object current = {0};
    if (operation->begin == do_swap && AWAIT(program->loop, storage_stat(program->storage, path, &current, done)) != OK)
        abort();
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct call){.program = program, .path = path, .body = body, .object = current};
        arena_init(&calls[i].arena);
        begin_call(&calls[i], operation);
    }
    while (program->outstanding > 0)
        loop_run_once(program->loop, 100);
    for (size_t i = 0; i < count; i++)
        end_call(&calls[i]);
    (void)fflush(stdout);
    free(calls);
}

static void run_commands(struct program *program)
{
    OWNED_MEMORY char *room = xmalloc(BODY_MAX);
    unsigned count;
    size_t size;
    char name[32];
    char path[256];
    char text[64];
    while (scanf("%u %31s %255s %63s %zu", &count, name, path, text, &size) == 5) {
        if (count > CALLS_MAX || size > BODY_MAX)
            exit(2);
        run(program, count, find_operation(name), slice_from_cstr(path), body_of(slice_from_cstr(text), size, room));
    }
}

static void set_times(struct s3 *s3, char **argv)
{
    s3->times.attempt_ms = (uint32_t)strtoul(argv[1], NULL, 10);
    s3->times.call_ms = (uint32_t)strtoul(argv[2], NULL, 10);
    s3->times.long_call_ms = (uint32_t)strtoul(argv[3], NULL, 10);
}

int main(int argc, char **argv)
{
    struct program program = {0};
    struct config config;
    void *self;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    memset(&config, 0, sizeof(config));
    s3_place_configure(&config);
    if (loop_new(0, PAGES_BYTES, &program.loop) != OK || pool_new(1, 1, &program.pool) != OK ||
        s3_driver.open(&config, program.pool, &why, &self) != OK) {
        (void)fprintf(stderr, "%.*s\n", SLICE_ARG(strbuf_slice(&why)));
        return 1;
    }
    if (argc == 4)
        set_times(self, argv);
    program.storage = storage_wrap(&s3_driver, self, NULL);
    (void)puts("ready");
    (void)fflush(stdout);
    run_commands(&program);
    storage_close(program.storage);
    pool_free(program.pool);
    loop_free(program.loop);
    return 0;
}
