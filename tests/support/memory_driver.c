/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory driver: whole objects in one array sorted by path, listing and reading them, and what tests ask it.
 * Objects in parts are in memory_driver_parts.c. Any thread.
 */
#include "memory_driver_int.h"

#include <stdio.h>
#include <stdlib.h>

#define PARTS_MAX 10000u

static struct slice path_of(const struct object *o)
{
    return slice_from_cstr(o->path);
}

char *memory_int_copy(const char *bytes, size_t n)
{
    char *copy = xmalloc(n + 1);
    if (n > 0)
        memcpy(copy, bytes, n);
    copy[n] = '\0';
    return copy;
}

/* ---- objects; the mutex is held ---- */

/* The index of `path`, or where it would be. */
static size_t position(const struct memory *m, struct slice path, bool *ret_is_there)
{
    size_t low = 0;
    size_t high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(path_of(&m->objects[middle]), path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_is_there = low < m->count && slice_equal(path_of(&m->objects[low]), path);
    return low;
}

static struct object *find(const struct memory *m, struct slice path)
{
    bool is_there;
    size_t i = position(m, path, &is_there);
    return is_there ? &m->objects[i] : NULL;
}

static void remove_object(struct memory *m, size_t i)
{
    free(m->objects[i].path);
    free(m->objects[i].bytes);
    m->count--;
    memmove(&m->objects[i], &m->objects[i + 1], (m->count - i) * sizeof(m->objects[0]));
}

/* Takes over `bytes`. */
void memory_int_store(struct memory *m, struct slice path, char *bytes, size_t size, bool is_volatile)
{
    bool is_there;
    size_t i = position(m, path, &is_there);
    if (is_there) {
        free(m->objects[i].bytes);
    } else {
        m->objects = xrealloc(m->objects, (m->count + 1) * sizeof(m->objects[0]));
        memmove(&m->objects[i + 1], &m->objects[i], (m->count - i) * sizeof(m->objects[0]));
        m->objects[i].path = memory_int_copy(path.ptr, path.len);
        m->count++;
    }
    struct object *o = &m->objects[i];
    o->bytes = bytes;
    o->size = size;
    o->version = ++m->versions;
    o->modified_ms = m->now_ms != NULL ? *m->now_ms : 1700000000000 + o->version;
    o->is_volatile = is_volatile;
}

void memory_int_format_etag(uint64_t version, char etag[STORAGE_ETAG_MAX + 1])
{
    (void)snprintf(etag, STORAGE_ETAG_MAX + 1, "m%llu", (unsigned long long)version);
}

static void describe(const struct object *o, struct storage_object *ret_object)
{
    if (ret_object == NULL)
        return;
    *ret_object = (struct storage_object){.size = o->size, .modified_ms = o->modified_ms};
    memory_int_format_etag(o->version, ret_object->etag);
}

/* ---- the calls on whole objects ---- */

static enum result memory_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self)
{
    (void)config;
    (void)pool;
    (void)ret_why;
    *ret_self = memory_driver_new(memory_driver_like_filesystem());
    return OK;
}

static struct storage_capabilities memory_capabilities(const void *self)
{
    const struct memory *m = self;
    return m->capabilities;
}

static uint64_t memory_time_ms(const void *self, uint64_t machine_ms)
{
    const struct memory *m = self;
    return m->now_ms == NULL ? machine_ms : *m->now_ms;
}

static enum result memory_check(void *self, struct done done)
{
    (void)self;
    (void)done;
    return OK;
}

static enum result memory_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    (void)done;
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    const struct object *o = find(m, path);
    if (o != NULL)
        describe(o, ret_object);
    pthread_mutex_unlock(&m->mutex);
    return o != NULL ? OK : NOT_FOUND;
}

static enum result memory_get(void *self, struct slice path, size_t max_bytes, struct arena *arena,
                              struct slice *ret_bytes, struct storage_object *ret_object, struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = OK;
    pthread_mutex_lock(&m->mutex);
    const struct object *o = find(m, path);
    if (o == NULL) {
        r = NOT_FOUND;
    } else if (o->size > max_bytes) {
        r = TOO_LARGE;
    } else {
        *ret_bytes = arena_copy(arena, slice_of(o->bytes, o->size));
        describe(o, ret_object);
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static enum result memory_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = OK;
    pthread_mutex_lock(&m->mutex);
    if ((flags & STORAGE_PUT_CREATE_ONLY) != 0 && find(m, path) != NULL)
        r = EXISTS;
    else
        memory_int_store(m, path, memory_int_copy(bytes.ptr, bytes.len), bytes.len,
                         (flags & STORAGE_PUT_VOLATILE) != 0);
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static enum result memory_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag,
                                       struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = OK;
    pthread_mutex_lock(&m->mutex);
    const struct object *o = find(m, path);
    char current[STORAGE_ETAG_MAX + 1];
    if (o == NULL) {
        r = NOT_FOUND;
    } else {
        memory_int_format_etag(o->version, current);
        if (slice_equal(etag, slice_from_cstr(current)))
            memory_int_store(m, path, memory_int_copy(bytes.ptr, bytes.len), bytes.len, false);
        else
            r = CONFLICT;
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static enum result memory_delete(void *self, struct slice path, struct done done)
{
    (void)done;
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    bool is_there;
    size_t i = position(m, path, &is_there);
    if (is_there)
        remove_object(m, i);
    pthread_mutex_unlock(&m->mutex);
    return is_there ? OK : NOT_FOUND;
}

static enum result memory_delete_many(void *self, const struct slice *paths, size_t count, struct done done)
{
    if (count > STORAGE_DELETE_MAX)
        return INVALID;
    for (size_t i = 0; i < count; i++)
        (void)memory_delete(self, paths[i], done);
    return OK;
}

static enum result memory_rename_create(void *self, struct slice from, struct slice to, struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = OK;
    pthread_mutex_lock(&m->mutex);
    bool is_there;
    size_t i = position(m, from, &is_there);
    if (!is_there) {
        r = NOT_FOUND;
    } else if (find(m, to) != NULL) {
        r = EXISTS;
    } else {
        size_t size = m->objects[i].size;
        char *bytes = TAKE(m->objects[i].bytes);
        remove_object(m, i);
        memory_int_store(m, to, bytes, size, false);
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static enum result memory_presign(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                                  struct arena *arena, struct slice *ret_url)
{
    (void)self;
    *ret_url = arena_format(arena, "https://memory.example/%.*s?method=%.*s&from=%llu&seconds=%u", SLICE_ARG(path),
                            SLICE_ARG(method), (unsigned long long)validity->from_s, (unsigned)validity->seconds);
    return OK;
}

/* ---- listing ---- */

/* The entry of `path` below `folder`, or false. */
static bool entry_of(struct slice path, struct slice folder, struct storage_entry *ret_entry)
{
    if (!slice_has_prefix(path, folder) || path.len <= folder.len || path.ptr[folder.len] != '/')
        return false;
    struct slice rest = slice_from(path, folder.len + 1);
    struct slice tail;
    *ret_entry = (struct storage_entry){.name = rest};
    ret_entry->is_folder = slice_split(rest, '/', &ret_entry->name, &tail);
    return true;
}

static int compare_entries(const void *a, const void *b)
{
    return slice_compare(((const struct storage_entry *)a)->name, ((const struct storage_entry *)b)->name);
}

static enum result memory_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                               struct storage_listing *ret_listing, struct done done)
{
    (void)done;
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    struct storage_entry *all = ARENA_ARRAY(arena, struct storage_entry, m->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct storage_entry entry;
        if (!entry_of(path_of(&m->objects[i]), folder, &entry) || slice_compare(entry.name, after) <= 0)
            continue;
        if (count > 0 && slice_equal(all[count - 1].name, entry.name) && all[count - 1].is_folder)
            continue;
        entry.name = arena_copy(arena, entry.name);
        all[count++] = entry;
    }
    pthread_mutex_unlock(&m->mutex);
    /* By name: the order of paths is another one ("v1-a/" before "v1/"). */
    qsort(all, count, sizeof(all[0]), compare_entries);
    bool has_more = count > limit;
    count = has_more ? limit : count;
    *ret_listing = (struct storage_listing){all, count, has_more ? all[count - 1].name : SLICE_EMPTY};
    return OK;
}

/* ---- reading ---- */

struct storage_reader *memory_int_reader_new(struct memory *m, const char *bytes, size_t size)
{
    struct storage_reader *reader = xmalloc(sizeof(*reader));
    *reader = (struct storage_reader){.memory = m, .bytes = memory_int_copy(bytes, size), .size = size};
    m->readers++;
    return reader;
}

static enum result memory_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                                    struct storage_object *ret_object, struct storage_reader **ret_reader,
                                    struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = OK;
    pthread_mutex_lock(&m->mutex);
    const struct object *o = find(m, path);
    if (o == NULL) {
        r = NOT_FOUND;
    } else if (offset > 0 && offset >= o->size) {
        r = RANGE;
    } else {
        uint64_t left = o->size - offset;
        describe(o, ret_object);
        *ret_reader = memory_int_reader_new(m, o->bytes + offset, (size_t)(length < left ? length : left));
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static enum result memory_read(struct storage_reader *reader, struct page *page, struct done done)
{
    (void)done;
    size_t n = reader->size - reader->at;
    n = n < PAGE_BYTES ? n : PAGE_BYTES;
    memcpy(page->ptr, reader->bytes + reader->at, n);
    page->start = 0;
    page->len = n;
    reader->at += n;
    return OK;
}

static void memory_close_read(struct storage_reader *reader)
{
    if (reader == NULL)
        return;
    pthread_mutex_lock(&reader->memory->mutex);
    reader->memory->readers--;
    pthread_mutex_unlock(&reader->memory->mutex);
    free(reader->bytes);
    free(reader);
}

/* ---- opening, and what tests ask ---- */

struct storage_capabilities memory_driver_like_filesystem(void)
{
    return (struct storage_capabilities){.can_rename = true,
                                         .can_put_if_match = true,
                                         .parts_of_any_size = true,
                                         .part_bytes = PAGE_BYTES,
                                         .object_bytes_max = UINT64_MAX};
}

struct storage_capabilities memory_driver_like_s3(uint64_t part_bytes)
{
    return (struct storage_capabilities){.can_presign = true,
                                         .can_put_if_match = true,
                                         .can_delete_many = true,
                                         .part_bytes = part_bytes,
                                         .parts_max = PARTS_MAX,
                                         .object_bytes_max = PARTS_MAX * part_bytes};
}

void *memory_driver_new(struct storage_capabilities capabilities)
{
    struct memory *m = xcalloc(1, sizeof(*m));
    pthread_mutex_init(&m->mutex, NULL);
    m->capabilities = capabilities;
    return m;
}

static void memory_close(void *self)
{
    struct memory *m = self;
    while (m->count > 0)
        remove_object(m, m->count - 1);
    free(m->objects);
    memory_int_free_multiparts(m);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

size_t memory_driver_object_count(void *self)
{
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    size_t count = m->count;
    pthread_mutex_unlock(&m->mutex);
    return count;
}

size_t memory_driver_multipart_count(void *self)
{
    struct memory *m = self;
    size_t count = 0;
    pthread_mutex_lock(&m->mutex);
    for (const struct multipart *multipart = m->multiparts; multipart != NULL; multipart = multipart->next)
        count += !multipart->is_done;
    pthread_mutex_unlock(&m->mutex);
    return count;
}

size_t memory_driver_reader_count(void *self)
{
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    size_t count = m->readers;
    pthread_mutex_unlock(&m->mutex);
    return count;
}

struct slice memory_driver_object_path(void *self, size_t i)
{
    const struct memory *m = self;
    return i < m->count ? path_of(&m->objects[i]) : SLICE_EMPTY;
}

void memory_driver_crash(void *self)
{
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    for (size_t i = m->count; i > 0; i--)
        if (m->objects[i - 1].is_volatile)
            remove_object(m, i - 1);
    memory_int_crash_multiparts(m);
    pthread_mutex_unlock(&m->mutex);
}

void memory_driver_set_clock(void *self, const uint64_t *now_ms)
{
    struct memory *m = self;
    m->now_ms = now_ms;
}

bool memory_driver_corrupt(void *self, struct slice path, uint64_t offset)
{
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    struct object *o = find(m, path);
    bool can = o != NULL && offset < o->size;
    if (can)
        o->bytes[offset] = (char)(o->bytes[offset] ^ 1);
    pthread_mutex_unlock(&m->mutex);
    return can;
}

const struct storage_driver memory_driver = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .capabilities = memory_capabilities,
    .check = memory_check,
    .time_ms = memory_time_ms,
    .stat = memory_stat,
    .get = memory_get,
    .put = memory_put,
    .put_pages = memory_int_put_pages,
    .put_if_match = memory_put_if_match,
    .delete = memory_delete,
    .delete_many = memory_delete_many,
    .list = memory_list,
    .open_read = memory_open_read,
    .read = memory_read,
    .close_read = memory_close_read,
    .presign = memory_presign,
    .multipart_begin = memory_int_multipart_begin,
    .multipart_put = memory_int_multipart_put,
    .multipart_sync = memory_int_multipart_sync,
    .multipart_complete = memory_int_multipart_complete,
    .multipart_abort = memory_int_multipart_abort,
    .multipart_open_read = memory_int_multipart_open_read,
    .rename_create = memory_rename_create,
};
