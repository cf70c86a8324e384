/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects read page by page, at a range; and URLs that let somebody else read them.
 */
#include "minato/own.h"
#include "s3_int.h"

#include <inttypes.h>
#include <stdlib.h>

struct storage_reader {
    struct http_download *download; /* NULL: an empty object */
};

struct open_op {
    struct s3_call call;
    uint64_t offset;
    bool is_nothing; /* no byte is wanted, only whether the offset is inside */
    struct storage_object *ret_object;
    struct storage_reader **ret_reader;
};

static void give_reader(struct open_op *op, const struct storage_object *object)
{
    struct storage_reader *reader = xcalloc(1, sizeof(*reader));
    if (!op->is_nothing)
        reader->download = TAKE(op->call.download);
    *op->ret_reader = reader;
    if (op->ret_object != NULL)
        *op->ret_object = *object;
}

static void on_empty_described(void *data, enum result r);

struct empty_check {
    struct open_op *op;
    struct storage_object object;
};

/* Of an empty object no range can be had, and nothing is what was asked for. */
static enum result ask_whether_it_is_empty(struct open_op *op)
{
    struct empty_check *check = ARENA_NEW(&op->call.arena, struct empty_check);
    check->op = op;
    http_download_close(op->call.download);
    op->call.download = NULL;
    return s3_stat_for(&op->call, &check->object, (struct done){on_empty_described, check, op->call.done.loop});
}

static void on_empty_described(void *data, enum result r)
{
    struct empty_check *check = data;
    struct open_op *op = check->op;
    if (r == OK && check->object.size > 0)
        r = RANGE;
    if (r == OK)
        give_reader(op, &check->object);
    s3_operation_end(&op->call, r);
}

static void finish_open(struct s3_call *call, enum result r)
{
    struct open_op *op = (struct open_op *)call;
    struct storage_object object;
    if (r == OK && call->exchange.status != 200 && call->exchange.status != 206)
        r = s3_result_of(call);
    if (r == RANGE && op->offset == 0) {
        r = ask_whether_it_is_empty(op);
        if (r == PENDING)
            return;
    }
    if (r == OK)
        r = s3_object_of(&call->exchange, &object);
    if (r == OK && op->offset > 0 && call->exchange.status != 206)
        r = CORRUPT; /* not the range that was asked for */
    if (r == OK)
        give_reader(op, &object);
    http_download_close(call->download);
    s3_operation_end(call, r);
}

enum result s3_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                         struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done)
{
    struct open_op *op = s3_operation_new(sizeof(*op), self, "GET", path, done);
    struct arena *arena = &op->call.arena;
    op->call.finish = finish_open;
    op->call.is_stream = true;
    op->offset = offset;
    op->is_nothing = length == 0;
    op->ret_object = ret_object;
    op->ret_reader = ret_reader;
    if (length <= UINT64_MAX - offset)
        op->call.fields[0] = arena_cstr(arena, arena_format(arena, "Range: bytes=%" PRIu64 "-%" PRIu64, offset,
                                                            offset + (length == 0 ? 1 : length) - 1));
    else if (offset > 0)
        op->call.fields[0] = arena_cstr(arena, arena_format(arena, "Range: bytes=%" PRIu64 "-", offset));
    return s3_operation_start(&op->call);
}

enum result s3_read(struct storage_reader *reader, struct page *page, struct done done)
{
    if (reader->download != NULL)
        return http_download_read(reader->download, page, done);
    page->start = 0;
    page->len = 0;
    return OK;
}

void s3_close_read(struct storage_reader *reader)
{
    if (reader == NULL)
        return;
    http_download_close(reader->download);
    free(reader);
}
