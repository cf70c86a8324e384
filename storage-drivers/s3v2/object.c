/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole objects and listings. Creating and swapping are a HEAD and a PUT under a lock of this process.
 */
#include "s3v2_int.h"

#include <stdlib.h>

#define LOOK_BYTES_MAX (64u * 1024u * 1024u)

/* ---- stat, get ---- */

struct get_call {
    struct v2_call base;
    size_t max_bytes;
    struct arena *arena;
    struct slice *ret_bytes;
    struct storage_object *ret_object;
    struct slice bytes;
    struct storage_object object;
};

static void deliver_object(struct v2_call *base)
{
    struct get_call *call = (struct get_call *)base;
    if (call->ret_object != NULL)
        *call->ret_object = call->object;
    if (call->ret_bytes != NULL)
        *call->ret_bytes = arena_copy(call->arena, call->bytes);
}

static enum result work_stat(struct v2_call *base)
{
    struct get_call *call = (struct get_call *)base;
    return v2_head(base->s3, v2_key(base->s3, base->path, &base->arena), &call->object);
}

enum result v2_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    struct get_call *call = v2_call_new(sizeof(*call), self, path, work_stat, done);
    call->base.deliver = deliver_object;
    call->ret_object = ret_object;
    return v2_call_start(&call->base);
}

static enum result work_get(struct v2_call *base)
{
    struct get_call *call = (struct get_call *)base;
    struct strbuf text;
    strbuf_init(&text, call->max_bytes < LOOK_BYTES_MAX ? call->max_bytes : LOOK_BYTES_MAX);
    enum result r = v2_get(base->s3, v2_key(base->s3, base->path, &base->arena), 0, 0, NULL, &text, &call->object);
    if (r == OK)
        call->bytes = arena_copy(&base->arena, strbuf_slice(&text));
    strbuf_done(&text);
    return r;
}

enum result v2_get_whole(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                         struct storage_object *ret_object, struct done done)
{
    struct get_call *call = v2_call_new(sizeof(*call), self, path, work_get, done);
    call->base.deliver = deliver_object;
    call->max_bytes = max_bytes;
    call->arena = arena;
    call->ret_bytes = ret_bytes;
    call->ret_object = ret_object;
    return v2_call_start(&call->base);
}

/* ---- put ---- */

struct put_call {
    struct v2_call base;
    struct v2_bytes bytes;
    uint64_t size;
    unsigned flags;
    bool is_swap;
    struct slice etag;
};

/* Whether the object may be written; with the lock of its path held. */
static enum result check_condition(struct put_call *call, const char *key)
{
    struct storage_object object;
    if (!call->is_swap && !(call->flags & STORAGE_PUT_CREATE_ONLY))
        return OK;
    enum result r = v2_head(call->base.s3, key, &object);
    if (!call->is_swap)
        return r == OK ? EXISTS : r == NOT_FOUND ? OK : r;
    if (r != OK)
        return r;
    return slice_equal(slice_from_cstr(object.etag), call->etag) ? OK : CONFLICT;
}

static enum result work_put(struct v2_call *base)
{
    struct put_call *call = (struct put_call *)base;
    const char *key = v2_key(base->s3, base->path, &base->arena);
    pthread_mutex_t *lock = v2_lock_of(base->s3, base->path);
    pthread_mutex_lock(lock);
    enum result r = check_condition(call, key);
    if (r == OK)
        r = v2_put(base->s3, key, &call->bytes.source, call->size);
    pthread_mutex_unlock(lock);
    return r;
}

enum result v2_put_bytes(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    struct put_call *call = v2_call_new(sizeof(*call), self, path, work_put, done);
    v2_bytes_init(&call->bytes, bytes, NULL);
    call->size = bytes.len;
    call->flags = flags;
    return v2_call_start(&call->base);
}

enum result v2_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size, const uint8_t *sha256,
                         unsigned flags, struct done done)
{
    (void)sha256;
    struct put_call *call = v2_call_new(sizeof(*call), self, path, work_put, done);
    v2_bytes_init(&call->bytes, SLICE_EMPTY, pages);
    call->size = size;
    call->flags = flags;
    return v2_call_start(&call->base);
}

enum result v2_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done)
{
    struct put_call *call = v2_call_new(sizeof(*call), self, path, work_put, done);
    v2_bytes_init(&call->bytes, bytes, NULL);
    call->size = bytes.len;
    call->is_swap = true;
    call->etag = etag;
    return v2_call_start(&call->base);
}

/* ---- delete, check ---- */

static enum result work_remove(struct v2_call *base)
{
    struct storage_object object;
    const char *key = v2_key(base->s3, base->path, &base->arena);
    pthread_mutex_t *lock = v2_lock_of(base->s3, base->path);
    pthread_mutex_lock(lock);
    enum result r = v2_head(base->s3, key, &object);
    if (r == OK)
        r = v2_delete(base->s3, key);
    pthread_mutex_unlock(lock);
    return r;
}

enum result v2_remove(void *self, struct slice path, struct done done)
{
    struct v2_call *call = v2_call_new(sizeof(*call), self, path, work_remove, done);
    return v2_call_start(call);
}

static enum result work_check(struct v2_call *base)
{
    struct storage_listing listing;
    return v2_list(base->s3, base->s3->key_prefix, SLICE_EMPTY, true, 1, &base->arena, &listing);
}

enum result v2_check(void *self, struct done done)
{
    struct v2_call *call = v2_call_new(sizeof(*call), self, SLICE_EMPTY, work_check, done);
    return v2_call_start(call);
}

/* ---- list ---- */

struct list_call {
    struct v2_call base;
    struct slice after;
    size_t limit;
    struct arena *arena;
    struct storage_listing *ret_listing;
    struct storage_listing listing;
};

static enum result work_list(struct v2_call *base)
{
    struct list_call *call = (struct list_call *)base;
    struct slice prefix =
        arena_format(&base->arena, "%.*s%.*s/", SLICE_ARG(base->s3->key_prefix), SLICE_ARG(base->path));
    return v2_list(base->s3, prefix, call->after, true, call->limit, &base->arena, &call->listing);
}

static void deliver_list(struct v2_call *base)
{
    struct list_call *call = (struct list_call *)base;
    struct storage_listing listing = {.count = call->listing.count};
    listing.entries = ARENA_ARRAY(call->arena, struct storage_entry, listing.count + 1);
    for (size_t i = 0; i < listing.count; i++)
        listing.entries[i] = (struct storage_entry){arena_copy(call->arena, call->listing.entries[i].name),
                                                    call->listing.entries[i].is_folder};
    listing.next = arena_copy(call->arena, call->listing.next);
    *call->ret_listing = listing;
}

enum result v2_list_folder(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                           struct storage_listing *ret_listing, struct done done)
{
    struct list_call *call = v2_call_new(sizeof(*call), self, folder, work_list, done);
    call->base.deliver = deliver_list;
    call->after = after;
    call->limit = limit;
    call->arena = arena;
    call->ret_listing = ret_listing;
    return v2_call_start(&call->base);
}
