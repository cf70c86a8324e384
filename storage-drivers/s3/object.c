/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole objects: stat, get, put, and whether the bucket is there.
 */
#include "s3_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what an answer says of an object ---- */

static void copy_etag(struct slice etag, char out[STORAGE_ETAG_MAX + 1])
{
    if (etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"')
        etag = slice_of(etag.ptr + 1, etag.len - 2);
    size_t n = etag.len < STORAGE_ETAG_MAX ? etag.len : STORAGE_ETAG_MAX;
    memcpy(out, etag.ptr, n);
    out[n] = '\0';
}

/* "bytes 0-9/1234": of the whole; else the length of the answer. */
static enum result size_of(const struct http_exchange *exchange, uint64_t *ret_size)
{
    struct slice value;
    struct slice range;
    if (http_exchange_field(exchange, SLICE("content-range"), &value) && slice_split(value, '/', &range, &value))
        return slice_parse_u64(value, ret_size);
    if (!http_exchange_field(exchange, SLICE("content-length"), &value))
        return INVALID;
    return slice_parse_u64(value, ret_size);
}

enum result s3_object_of(const struct http_exchange *exchange, struct storage_object *ret_object)
{
    struct storage_object object = {0};
    struct slice value;
    enum result r = size_of(exchange, &object.size);
    if (r != OK)
        return r;
    if (http_exchange_field(exchange, SLICE("last-modified"), &value))
        object.modified_ms = s3_parse_date(value);
    if (http_exchange_field(exchange, SLICE("etag"), &value))
        copy_etag(value, object.etag);
    *ret_object = object;
    return OK;
}

/* ---- stat ---- */

#define MARK_SIZE 33u

struct stat_op {
    struct s3_call call;
    struct storage_object *ret_object;
    char *ret_mark; /* MARK_SIZE bytes, or NULL */
};

static struct slice mark_field(struct s3_call *call)
{
    return arena_format(&call->arena, "%.*smeta-minato-write", SLICE_ARG(call->s3->signer.dialect->field));
}

static void copy_mark(struct s3_call *call, char ret_mark[MARK_SIZE])
{
    struct slice value;
    bool has_mark = http_exchange_field(&call->exchange, mark_field(call), &value) && value.len < MARK_SIZE;
    (void)snprintf(ret_mark, MARK_SIZE, "%.*s", has_mark ? (int)value.len : 0, has_mark ? value.ptr : "");
}

static void finish_stat(struct s3_call *call, enum result r)
{
    struct stat_op *op = (struct stat_op *)call;
    struct storage_object object;
    if (r == OK && !S3_IS_DONE(call->exchange.status))
        r = s3_result_of(call);
    if (r == OK)
        r = s3_object_of(&call->exchange, &object);
    if (r == OK)
        *op->ret_object = object;
    if (r == OK && op->ret_mark != NULL)
        copy_mark(call, op->ret_mark);
    s3_operation_end(call, r);
}

static struct stat_op *new_stat(struct s3 *s3, struct slice path, struct storage_object *ret_object, struct done done)
{
    struct stat_op *op = s3_operation_new(sizeof(*op), s3, "HEAD", path, done);
    op->call.finish = finish_stat;
    op->ret_object = ret_object;
    return op;
}

enum result s3_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    return s3_operation_start(&new_stat(self, path, ret_object, done)->call);
}

enum result s3_stat_for(struct s3_call *outer, struct storage_object *ret_object, struct done done)
{
    struct stat_op *op = new_stat(outer->s3, outer->path, ret_object, done);
    op->call.deadline_ms = outer->deadline_ms;
    return s3_operation_start(&op->call);
}

/* ---- get ---- */

struct get_op {
    struct s3_call call;
    size_t max_bytes;
    struct arena *arena;
    struct slice *ret_bytes;
    struct storage_object *ret_object;
};

static void finish_get(struct s3_call *call, enum result r)
{
    struct get_op *op = (struct get_op *)call;
    struct storage_object object;
    if (r == OK && !S3_IS_DONE(call->exchange.status))
        r = s3_result_of(call);
    if (r == OK)
        r = call->exchange.answer.len > op->max_bytes ? TOO_LARGE : s3_object_of(&call->exchange, &object);
    if (r == OK) {
        *op->ret_bytes = arena_copy(op->arena, call->exchange.answer);
        if (op->ret_object != NULL)
            *op->ret_object = object;
    }
    s3_operation_end(call, r);
}

static struct get_op *new_get(struct s3 *s3, struct slice path, size_t max_bytes, struct arena *arena,
                              struct slice *ret_bytes, struct storage_object *ret_object, struct done done)
{
    struct get_op *op = s3_operation_new(sizeof(*op), s3, "GET", path, done);
    op->call.finish = finish_get;
    op->max_bytes = max_bytes;
    if (max_bytes > op->call.answer_max) /* else an error's text would not fit */
        op->call.answer_max = max_bytes;
    op->arena = arena;
    op->ret_bytes = ret_bytes;
    op->ret_object = ret_object;
    return op;
}

enum result s3_get(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                   struct storage_object *ret_object, struct done done)
{
    return s3_operation_start(&new_get(self, path, max_bytes, arena, ret_bytes, ret_object, done)->call);
}

/* ---- put ---- */

struct put_op {
    struct s3_call call;
    enum result refused;   /* what 412 means */
    struct slice expected; /* the etag of a swap; else empty */
    enum result outcome;   /* of the write, before it was looked at */
    struct slice written;  /* what is there after a creation in doubt */
    char mark[MARK_SIZE];  /* of a swap */
    char found_mark[MARK_SIZE];
    struct storage_object object;
};

/* With our bytes in it, a creation in doubt was ours, or as good as ours: the caller may tell by a nonce in them. */
static void on_creation_read(void *data, enum result r)
{
    struct put_op *op = data;
    if (r == OK && slice_equal(op->written, op->call.body))
        r = OK;
    else if (r == OK || r == TOO_LARGE || r == NOT_FOUND)
        r = EXISTS;
    else
        r = UNAVAILABLE;
    s3_operation_end(&op->call, r);
}

/* Not so a swap: two may bring the same bytes and only one may win. So it leaves a mark beside them. */
static void on_swap_described(void *data, enum result r)
{
    struct put_op *op = data;
    bool is_unchanged = r == OK && slice_equal(slice_from_cstr(op->object.etag), op->expected);
    bool is_ours = r == OK && strcmp(op->found_mark, op->mark) == 0;
    if (r == OK && op->outcome == CONFLICT)
        r = CONFLICT;
    else if (r == OK && !is_ours)
        r = is_unchanged ? UNAVAILABLE : CONFLICT;
    else if (r != OK && r != NOT_FOUND)
        r = UNAVAILABLE;
    s3_operation_end(&op->call, r);
}

static enum result stat_with_mark(struct put_op *op, struct done done)
{
    struct stat_op *stat = new_stat(op->call.s3, op->call.path, &op->object, done);
    stat->ret_mark = op->found_mark;
    stat->call.deadline_ms = op->call.deadline_ms;
    return s3_operation_start(&stat->call);
}

static enum result look_at(struct put_op *op, enum result outcome)
{
    struct s3_call *call = &op->call;
    op->outcome = outcome;
    if (op->refused == CONFLICT)
        return stat_with_mark(op, (struct done){on_swap_described, op, call->done.loop});
    if (call->pages != NULL) /* its path is its digest */
        return outcome;
    struct get_op *get = new_get(call->s3, call->path, call->body.len, &call->arena, &op->written, NULL,
                                 (struct done){on_creation_read, op, call->done.loop});
    get->call.deadline_ms = call->deadline_ms;
    return s3_operation_start(&get->call);
}

/* Of a swap "refused" must be told from "gone". Ceph answers 500 to one that another overtook, which was not made. */
static bool must_be_looked_at(const struct put_op *op, enum result r)
{
    if (op->refused == CONFLICT)
        return r == CONFLICT || (r == UNAVAILABLE && op->call.exchange.status == 500);
    return r == EXISTS && op->call.was_doubtful;
}

static void finish_put(struct s3_call *call, enum result r)
{
    struct put_op *op = (struct put_op *)call;
    call->was_doubtful = call->was_doubtful || (r == UNAVAILABLE && call->exchange.was_sent) ||
                         (r == OK && call->exchange.status >= 500);
    if (r == OK && !S3_IS_DONE(call->exchange.status))
        r = call->exchange.status == 412 ? op->refused : s3_result_of(call);
    if (must_be_looked_at(op, r))
        r = look_at(op, r);
    if (r != PENDING)
        s3_operation_end(call, r);
}

static struct put_op *new_put(struct s3 *s3, struct slice path, unsigned flags, struct done done)
{
    struct put_op *op = s3_operation_new(sizeof(*op), s3, "PUT", path, done);
    op->call.finish = finish_put;
    op->call.is_encrypted_here = true;
    op->refused = EXISTS;
    if (flags & STORAGE_PUT_CREATE_ONLY)
        op->call.fields[0] = s3_creation_field(s3);
    return op;
}

enum result s3_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    struct put_op *op = new_put(self, path, flags, done);
    op->call.body = bytes;
    return s3_operation_start(&op->call);
}

enum result s3_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size, const uint8_t *sha256,
                         unsigned flags, struct done done)
{
    struct put_op *op = new_put(self, path, flags, done);
    (void)size;
    op->call.pages = pages;
    op->call.sha256 = sha256;
    op->call.is_long = true;
    if (sha256 == NULL && op->call.s3->has_checksums)
        s3_checksum(pages, op->call.checksum);
    return s3_operation_start(&op->call);
}

enum result s3_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done)
{
    struct s3 *s3 = self;
    struct put_op *op = s3_operation_new(sizeof(*op), s3, "PUT", path, done);
    op->call.finish = finish_put;
    op->call.body = bytes;
    op->call.is_encrypted_here = true;
    op->call.is_unrepeatable = true;
    op->refused = CONFLICT;
    op->expected = etag;
    const char *quote = s3->has_bare_etags ? "" : "\"";
    struct slice named = etag.len == 0 ? SLICE("none") : etag;
    op->call.fields[0] = arena_cstr(
        &op->call.arena, arena_format(&op->call.arena, "If-Match: %s%.*s%s", quote, SLICE_ARG(named), quote));
    uint8_t dice[(MARK_SIZE - 1) / 2];
    random_bytes(dice, sizeof(dice));
    hex_encode(dice, sizeof(dice), op->mark);
    op->mark[MARK_SIZE - 1] = '\0';
    op->call.fields[1] = arena_cstr(
        &op->call.arena, arena_format(&op->call.arena, "%.*s: %s", SLICE_ARG(mark_field(&op->call)), op->mark));
    return s3_operation_start(&op->call);
}

/* ---- check ---- */

static void finish_check(struct s3_call *call, enum result r)
{
    if (r == OK && !S3_IS_DONE(call->exchange.status))
        r = s3_result_of(call);
    s3_operation_end(call, r);
}

enum result s3_check(void *self, struct done done)
{
    struct s3_call *call = s3_operation_new(sizeof(*call), self, "HEAD", SLICE_EMPTY, done);
    call->finish = finish_check;
    call->is_of_bucket = true;
    return s3_operation_start(call);
}
