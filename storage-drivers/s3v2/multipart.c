/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects in parts, which libs3 does not know: each part is an object, and complete writes them anew as one.
 *
 *     minato/parts/<id>/target   the path that will be; there while parts may be put
 *     minato/parts/<id>/00001    part 1
 */
#include "s3v2_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "minato/clock.h"

#define CHUNK_BYTES (4u * 1024u * 1024u)
#define SWEEP_MAX 1000u

struct parts_call {
    struct v2_call base;
    const struct storage_multipart *multipart;
    struct storage_multipart *ret_multipart;
    char id[UUID_TEXT_SIZE];
    struct v2_bytes bytes;
    struct storage_part *part;
    char etag[STORAGE_ETAG_MAX + 1];
    const struct storage_part *parts;
    size_t part_count;
    uint64_t size;
};

static struct parts_call *call_new(struct s3v2 *s3, enum result (*work)(struct v2_call *), struct slice path,
                                   const struct storage_multipart *multipart, struct done done)
{
    struct parts_call *call = v2_call_new(sizeof(*call), s3, path, work, done);
    call->multipart = multipart;
    return call;
}

static struct slice folder_of(struct parts_call *call)
{
    return arena_format(&call->base.arena, "minato/parts/%s/", call->multipart->id);
}

static const char *marker_key(struct parts_call *call)
{
    struct arena *arena = &call->base.arena;
    return v2_key(call->base.s3, arena_format(arena, "%.*starget", SLICE_ARG(folder_of(call))), arena);
}

static const char *part_key(struct parts_call *call, uint32_t number)
{
    struct arena *arena = &call->base.arena;
    return v2_key(call->base.s3, arena_format(arena, "%.*s%05" PRIu32, SLICE_ARG(folder_of(call)), number), arena);
}

/* An id of ours: else it could name other objects. */
static bool is_ours(const struct storage_multipart *multipart)
{
    return uuid_is_valid(slice_from_cstr(multipart->id));
}

/* ---- begin ---- */

static enum result work_begin(struct v2_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct arena *arena = &base->arena;
    v2_bytes_init(&call->bytes, base->path, NULL);
    const char *key = v2_key(base->s3, arena_format(arena, "minato/parts/%s/target", call->id), arena);
    return v2_put(base->s3, key, &call->bytes.source, base->path.len);
}

static void deliver_begin(struct v2_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    memcpy(call->ret_multipart->id, call->id, sizeof(call->id));
}

enum result v2_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart, struct done done)
{
    struct parts_call *call = call_new(self, work_begin, path, NULL, done);
    call->base.deliver = deliver_begin;
    call->ret_multipart = ret_multipart;
    uuid_generate(call->id);
    return v2_call_start(&call->base);
}

/* ---- put ---- */

static enum result work_part(struct v2_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    const char *key = part_key(call, call->part->number);
    struct storage_object object;
    enum result r = v2_head(base->s3, marker_key(call), &object);
    if (r == OK)
        r = v2_put(base->s3, key, &call->bytes.source, call->part->size);
    if (r == OK)
        r = v2_head(base->s3, key, &object);
    if (r == OK)
        memcpy(call->etag, object.etag, sizeof(call->etag));
    return r;
}

static void deliver_part(struct v2_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    memcpy(call->part->etag, call->etag, sizeof(call->etag));
}

enum result v2_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                             const struct page *pages, struct storage_part *part, struct done done)
{
    if (!is_ours(multipart))
        return NOT_FOUND;
    struct parts_call *call = call_new(self, work_part, path, multipart, done);
    call->base.deliver = deliver_part;
    call->part = part;
    v2_bytes_init(&call->bytes, SLICE_EMPTY, pages);
    return v2_call_start(&call->base);
}

enum result v2_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                              struct done done)
{
    (void)self;
    (void)path;
    (void)multipart;
    (void)done;
    return OK;
}

/* ---- removing ---- */

/* All that is left of an upload, the marker first: whoever finds none begins anew. */
static enum result sweep(struct parts_call *call)
{
    struct s3v2 *s3 = call->base.s3;
    struct arena *arena = &call->base.arena;
    struct slice prefix = arena_format(arena, "%.*s%.*s", SLICE_ARG(s3->key_prefix), SLICE_ARG(folder_of(call)));
    struct storage_listing listing = {0};
    enum result r = v2_delete(s3, marker_key(call));
    if (r == NOT_FOUND)
        r = OK;
    do {
        if (r == OK)
            r = v2_list(s3, prefix, listing.next, false, SWEEP_MAX, arena, &listing);
        for (size_t i = 0; r == OK && i < listing.count; i++) {
            struct slice name = listing.entries[i].name;
            r = v2_delete(s3, arena_cstr(arena, arena_format(arena, "%.*s%.*s", SLICE_ARG(prefix), SLICE_ARG(name))));
            r = r == NOT_FOUND ? OK : r;
        }
    } while (r == OK && listing.next.len > 0);
    return r;
}

static enum result work_abort(struct v2_call *base)
{
    return sweep((struct parts_call *)base);
}

enum result v2_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                               struct done done)
{
    if (!is_ours(multipart))
        return OK;
    struct parts_call *call = call_new(self, work_abort, path, multipart, done);
    return v2_call_start(&call->base);
}

/* ---- complete ---- */

/* The parts one after the other, read while they are written. */
struct parts_source {
    struct v2_source source;
    struct parts_call *call;
    size_t part;
    uint64_t at; /* in the part */
    struct strbuf chunk;
    size_t given; /* of the chunk */
};

static bool load_chunk(struct parts_source *s)
{
    struct parts_call *call = s->call;
    while (s->part < call->part_count && s->at == call->parts[s->part].size) {
        s->part++;
        s->at = 0;
    }
    if (s->part == call->part_count)
        return false;
    const struct storage_part *part = &call->parts[s->part];
    uint64_t left = part->size - s->at;
    uint64_t wanted = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    s->given = 0;
    enum result r = v2_get(call->base.s3, part_key(call, part->number), s->at, wanted, part->etag, &s->chunk, NULL);
    s->at += wanted;
    return r == OK && s->chunk.len == wanted;
}

static size_t fill_from_parts(struct v2_source *source, char *out, size_t room)
{
    struct parts_source *s = (struct parts_source *)source;
    if (s->given == s->chunk.len && !load_chunk(s))
        return 0;
    size_t left = s->chunk.len - s->given;
    size_t n = left < room ? left : room;
    memcpy(out, s->chunk.ptr + s->given, n);
    s->given += n;
    return n;
}

static void rewind_parts(struct v2_source *source)
{
    struct parts_source *s = (struct parts_source *)source;
    strbuf_clear(&s->chunk);
    s->part = 0;
    s->at = 0;
    s->given = 0;
}

static bool are_in_order(const struct parts_call *call)
{
    uint64_t at = 0;
    for (size_t i = 0; i < call->part_count; i++) {
        if (call->parts[i].offset != at || call->parts[i].size > V2_OBJECT_BYTES_MAX)
            return false;
        at += call->parts[i].size;
    }
    return at == call->size && call->size <= V2_OBJECT_BYTES_MAX;
}

static enum result check_parts(struct parts_call *call)
{
    for (size_t i = 0; i < call->part_count; i++) {
        struct storage_object object;
        enum result r = v2_head(call->base.s3, part_key(call, call->parts[i].number), &object);
        if (r == NOT_FOUND ||
            (r == OK && (object.size != call->parts[i].size || strcmp(object.etag, call->parts[i].etag) != 0)))
            return CORRUPT;
        if (r != OK)
            return r;
    }
    return OK;
}

static enum result write_whole(struct parts_call *call, const char *key)
{
    struct parts_source source = {.source = {fill_from_parts, rewind_parts}, .call = call};
    pthread_mutex_t *lock = v2_lock_of(call->base.s3, call->base.path);
    strbuf_init(&source.chunk, CHUNK_BYTES);
    pthread_mutex_lock(lock);
    enum result r = v2_put(call->base.s3, key, &source.source, call->size);
    pthread_mutex_unlock(lock);
    strbuf_done(&source.chunk);
    return r;
}

static enum result work_complete(struct v2_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    const char *key = v2_key(base->s3, base->path, &base->arena);
    struct storage_object object;
    enum result r = v2_head(base->s3, marker_key(call), &object);
    if (r == NOT_FOUND) { /* never begun, aborted, or a complete whose answer was lost */
        r = v2_head(base->s3, key, &object);
        return r == OK && object.size != call->size ? NOT_FOUND : r;
    }
    if (r == OK && !are_in_order(call))
        r = INVALID;
    if (r == OK)
        r = check_parts(call);
    if (r == OK)
        r = write_whole(call, key);
    if (r == OK)
        (void)sweep(call); /* what is left of it is garbage, the object is there */
    return r;
}

enum result v2_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                  const struct storage_part *parts, size_t part_count, uint64_t size, unsigned flags,
                                  struct done done)
{
    (void)flags;
    if (!is_ours(multipart))
        return NOT_FOUND;
    struct parts_call *call = call_new(self, work_complete, path, multipart, done);
    call->parts = parts;
    call->part_count = part_count;
    call->size = size;
    return v2_call_start(&call->base);
}
