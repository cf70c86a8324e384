/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading: each page is a request of its own, and of the very object that was opened.
 */
#include "s3v2_int.h"

#include <stdlib.h>

struct storage_reader {
    struct s3v2 *s3;
    char key[V2_KEY_MAX + 1];
    char etag[STORAGE_ETAG_MAX + 1];
    uint64_t at;
    uint64_t end;
};

/* ---- open ---- */

struct open_call {
    struct v2_call base;
    uint64_t offset;
    uint64_t length;
    struct storage_object *ret_object;
    struct storage_reader **ret_reader;
    struct storage_object object;
};

static enum result work_open(struct v2_call *base)
{
    struct open_call *call = (struct open_call *)base;
    enum result r = v2_head(base->s3, v2_key(base->s3, base->path, &base->arena), &call->object);
    if (r == OK && call->offset > 0 && call->offset >= call->object.size)
        r = RANGE;
    return r;
}

static void deliver_reader(struct v2_call *base)
{
    struct open_call *call = (struct open_call *)base;
    struct storage_reader *reader = xcalloc(1, sizeof(*reader));
    struct slice key = slice_from_cstr(v2_key(base->s3, base->path, &base->arena));
    uint64_t left = call->object.size - call->offset;
    reader->s3 = base->s3;
    memcpy(reader->key, key.ptr, key.len);
    memcpy(reader->etag, call->object.etag, sizeof(reader->etag));
    reader->at = call->offset;
    reader->end = call->offset + (call->length < left ? call->length : left);
    if (call->ret_object != NULL)
        *call->ret_object = call->object;
    *call->ret_reader = reader;
}

enum result v2_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                         struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done)
{
    struct s3v2 *s3 = self;
    if (s3->key_prefix.len + path.len > V2_KEY_MAX)
        return INVALID;
    struct open_call *call = v2_call_new(sizeof(*call), s3, path, work_open, done);
    call->base.deliver = deliver_reader;
    call->offset = offset;
    call->length = length;
    call->ret_object = ret_object;
    call->ret_reader = ret_reader;
    return v2_call_start(&call->base);
}

/* ---- read ---- */

struct read_call {
    struct v2_call base;
    struct storage_reader *reader;
    struct page *page;
    size_t bytes;
};

static enum result work_read(struct v2_call *base)
{
    struct read_call *call = (struct read_call *)base;
    struct storage_reader *reader = call->reader;
    struct strbuf text;
    strbuf_init(&text, call->bytes);
    enum result r = v2_get(base->s3, reader->key, reader->at, call->bytes, reader->etag, &text, NULL);
    if (r == OK && text.len == call->bytes)
        memcpy(call->page->ptr, text.ptr, text.len);
    else
        r = UNAVAILABLE; /* also if it was replaced or removed meanwhile */
    strbuf_done(&text);
    return r;
}

static void deliver_page(struct v2_call *base)
{
    struct read_call *call = (struct read_call *)base;
    call->page->len = call->bytes;
    call->reader->at += call->bytes;
}

enum result v2_read(struct storage_reader *reader, struct page *page, struct done done)
{
    page->start = 0;
    page->len = 0;
    if (reader->at == reader->end)
        return OK;
    struct read_call *call = v2_call_new(sizeof(*call), reader->s3, SLICE_EMPTY, work_read, done);
    uint64_t left = reader->end - reader->at;
    call->base.deliver = deliver_page;
    call->reader = reader;
    call->page = page;
    call->bytes = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
    return v2_call_start(&call->base);
}

void v2_close_read(struct storage_reader *reader)
{
    free(reader);
}
