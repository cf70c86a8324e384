/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects in parts. A part is durable when the store has answered; a repeated complete is answered as the first.
 *
 * Where the store verifies checksums, they are announced when an upload begins, sent with each part, and listed at the
 * end. All of an upload or nothing, whoever goes on with it: so its id says so, and the etag of a part has it behind.
 *
 *     id    "<the store's>", or "crc32c:<the store's>"
 *     etag  "<the store's>", or "<the store's> <checksum>"
 */
#include "s3_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPLETE_BYTES_MAX (4u * 1024u * 1024u)

#define MARK "crc32c:"

static bool has_checksums(const struct storage_multipart *multipart)
{
    return slice_has_prefix(slice_from_cstr(multipart->id), SLICE(MARK));
}

static struct slice add_id(struct arena *arena, struct slice query, const struct storage_multipart *multipart)
{
    struct slice id = slice_from_cstr(multipart->id);
    return s3_query(arena, query, "uploadId", has_checksums(multipart) ? slice_from(id, strlen(MARK)) : id);
}

/* With an empty one a request would be about the whole object. */
static bool is_identified(const struct storage_multipart *multipart)
{
    return multipart->id[0] != '\0';
}

/* ---- begin ---- */

struct begin_op {
    struct s3_call call;
    struct slice mark;
    struct storage_multipart *ret_multipart;
};

static void finish_begin(struct s3_call *call, enum result r)
{
    struct begin_op *op = (struct begin_op *)call;
    struct slice id = s3_element(call->exchange.answer, "UploadId");
    if (r == OK && call->exchange.status != 200)
        r = s3_result_of(call);
    if (r == OK && (id.len == 0 || op->mark.len + id.len > STORAGE_MULTIPART_ID_MAX))
        r = CORRUPT;
    if (r == OK)
        (void)snprintf(op->ret_multipart->id, sizeof(op->ret_multipart->id), "%.*s%.*s", SLICE_ARG(op->mark),
                       SLICE_ARG(id));
    s3_operation_end(call, r);
}

enum result s3_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart, struct done done)
{
    struct begin_op *op = s3_operation_new(sizeof(*op), self, "POST", path, done);
    op->call.finish = finish_begin;
    op->call.query = SLICE("uploads=");
    op->call.is_encrypted_here = true;
    op->call.is_unrepeatable = true; /* each makes another upload */
    if (op->call.s3->has_checksums) {
        op->mark = SLICE(MARK);
        op->call.fields[0] = "x-amz-checksum-algorithm: CRC32C";
    }
    op->ret_multipart = ret_multipart;
    return s3_operation_start(&op->call);
}

/* ---- put ---- */

struct part_op {
    struct s3_call call;
    struct storage_part *part;
};

static void finish_part(struct s3_call *call, enum result r)
{
    struct part_op *op = (struct part_op *)call;
    struct slice etag = SLICE_EMPTY;
    if (r == OK && call->exchange.status != 200)
        r = s3_result_of(call);
    if (r == OK && (!http_exchange_field(&call->exchange, SLICE("etag"), &etag) ||
                    etag.len + 1 + S3_CHECKSUM_TEXT > STORAGE_ETAG_MAX))
        r = CORRUPT;
    if (r == OK)
        (void)snprintf(op->part->etag, sizeof(op->part->etag), "%.*s%s%s", SLICE_ARG(etag),
                       call->checksum[0] != '\0' ? " " : "", call->checksum);
    s3_operation_end(call, r);
}

enum result s3_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                             const struct page *pages, struct storage_part *part, struct done done)
{
    if (!is_identified(multipart))
        return NOT_FOUND;
    struct part_op *op = s3_operation_new(sizeof(*op), self, "PUT", path, done);
    struct arena *arena = &op->call.arena;
    op->call.finish = finish_part;
    op->call.pages = pages;
    op->call.is_long = true;
    if (has_checksums(multipart))
        s3_checksum(pages, op->call.checksum);
    op->part = part;
    struct slice query = s3_query(arena, SLICE_EMPTY, "partNumber", arena_format(arena, "%" PRIu32, part->number));
    op->call.query = add_id(arena, query, multipart);
    return s3_operation_start(&op->call);
}

enum result s3_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                              struct done done)
{
    (void)self;
    (void)path;
    (void)multipart;
    (void)done;
    return OK;
}

/* ---- is it there? ---- */

static void finish_ask(struct s3_call *call, enum result r)
{
    if (r == OK && call->exchange.status != 200)
        r = s3_result_of(call);
    s3_operation_end(call, r);
}

/* NOT_FOUND: it was completed, aborted, or never begun. */
static enum result ask_for_upload(struct s3_call *outer, struct done done)
{
    struct s3_call *call = s3_operation_new(sizeof(*call), outer->s3, "GET", outer->path, done);
    call->finish = finish_ask;
    call->query = arena_format(&call->arena, "max-parts=1&%.*s", SLICE_ARG(outer->query));
    call->deadline_ms = outer->deadline_ms;
    return s3_operation_start(call);
}

/* ---- complete ----
 *
 * Whether an answer is lost or a failure (Ceph answers 500 also for an upload that is gone): the object is looked for,
 * then the upload, and while that stands it is completed again. */

#define COMPLETES_MAX 5u

struct complete_op {
    struct s3_call call;
    uint64_t size;
    unsigned times;
    struct storage_object object;
};

static void on_upload_asked(void *data, enum result r)
{
    struct complete_op *op = data;
    if (r == OK)
        r = ++op->times < COMPLETES_MAX ? s3_call_start(&op->call) : UNAVAILABLE;
    if (r != PENDING)
        s3_operation_end(&op->call, r);
}

static void on_described(void *data, enum result r)
{
    struct complete_op *op = data;
    bool is_there = r == OK && op->object.size == op->size;
    if (is_there)
        r = OK;
    else if (r == OK || r == NOT_FOUND)
        r = ask_for_upload(&op->call, (struct done){on_upload_asked, op, op->call.done.loop});
    if (r != PENDING)
        s3_operation_end(&op->call, r);
}

static enum result result_of_complete(const struct s3_call *call)
{
    struct slice code = s3_element(call->exchange.answer, "Code");
    /* It may turn out wrong after a 200; and what is not the store's answer says nothing. */
    bool is_done = call->exchange.status == 200 && code.len == 0 &&
                   s3_says(call->exchange.answer, "CompleteMultipartUploadResult");
    if (is_done)
        return OK;
    if (slice_equal(code, SLICE("InvalidPart")) || slice_equal(code, SLICE("InvalidPartOrder")))
        return CORRUPT;
    if (slice_equal(code, SLICE("EntityTooSmall")))
        return INVALID;
    return call->exchange.status == 200 ? UNAVAILABLE : s3_result_of(call);
}

static void finish_complete(struct s3_call *call, enum result r)
{
    struct complete_op *op = (struct complete_op *)call;
    if (r == OK)
        r = result_of_complete(call);
    if (r == NOT_FOUND || (r == UNAVAILABLE && call->exchange.was_sent))
        r = s3_stat_for(call, &op->object, (struct done){on_described, op, call->done.loop});
    if (r != PENDING)
        s3_operation_end(call, r);
}

static struct slice list_of_parts(struct arena *arena, const struct storage_part *parts, size_t count)
{
    struct strbuf text;
    strbuf_init(&text, COMPLETE_BYTES_MAX);
    strbuf_append_cstr(&text, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        struct slice etag = slice_from_cstr(parts[i].etag);
        struct slice checksum;
        bool has_checksum = slice_split(etag, ' ', &etag, &checksum);
        strbuf_append_format(&text, "<Part><PartNumber>%" PRIu32 "</PartNumber><ETag>%.*s</ETag>", parts[i].number,
                             SLICE_ARG(etag));
        if (has_checksum)
            strbuf_append_format(&text, "<ChecksumCRC32C>%.*s</ChecksumCRC32C>", SLICE_ARG(checksum));
        strbuf_append_cstr(&text, "</Part>");
    }
    strbuf_append_cstr(&text, "</CompleteMultipartUpload>");
    struct slice result = arena_copy(arena, strbuf_slice(&text));
    strbuf_done(&text);
    return result;
}

enum result s3_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                  const struct storage_part *parts, size_t part_count, uint64_t size, unsigned flags,
                                  struct done done)
{
    (void)flags;
    if (!is_identified(multipart))
        return NOT_FOUND;
    struct complete_op *op = s3_operation_new(sizeof(*op), self, "POST", path, done);
    op->call.finish = finish_complete;
    op->call.query = add_id(&op->call.arena, SLICE_EMPTY, multipart);
    op->call.body = list_of_parts(&op->call.arena, parts, part_count);
    op->call.is_long = true;
    /* Less than the lease of an upload and its grace: no late one takes the parts of whoever took over for its own. */
    op->call.deadline_ms = clock_monotonic_ms(op->call.s3->clock) + op->call.s3->times.long_call_ms / 2;
    op->call.is_unrepeatable = true;
    op->size = size;
    return s3_operation_start(&op->call);
}

/* ---- abort ---- */

static void finish_abort(struct s3_call *call, enum result r)
{
    if (r == OK && call->exchange.status != 204 && call->exchange.status != 200)
        r = s3_result_of(call);
    s3_operation_end(call, r == NOT_FOUND ? OK : r);
}

enum result s3_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                               struct done done)
{
    if (!is_identified(multipart))
        return OK;
    struct s3_call *call = s3_operation_new(sizeof(*call), self, "DELETE", path, done);
    call->finish = finish_abort;
    call->query = add_id(&call->arena, SLICE_EMPTY, multipart);
    return s3_operation_start(call);
}
