/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory driver's objects in parts: parts are copies in a list until complete joins them. Any thread.
 */
#include "memory_driver_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "minato/oci.h"

static struct multipart **find_multipart(struct memory *m, const struct storage_multipart *id)
{
    struct multipart **at = &m->multiparts;
    while (*at != NULL && strcmp((*at)->id.id, id->id) != 0)
        at = &(*at)->next;
    return at;
}

static void free_parts(struct multipart *multipart)
{
    while (multipart->parts != NULL) {
        struct part *part = multipart->parts;
        multipart->parts = part->next;
        free(part->bytes);
        free(part);
    }
}

static void remove_multipart(struct multipart **at)
{
    struct multipart *multipart = *at;
    *at = multipart->next;
    free_parts(multipart);
    free(multipart->path);
    free(multipart);
}

enum result memory_int_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                       struct done done)
{
    (void)done;
    struct memory *m = self;
    struct multipart *multipart = xcalloc(1, sizeof(*multipart));
    multipart->path = memory_int_copy(path.ptr, path.len);
    pthread_mutex_lock(&m->mutex);
    (void)snprintf(multipart->id.id, sizeof(multipart->id.id), "multipart-%llu", (unsigned long long)++m->versions);
    multipart->next = m->multiparts;
    m->multiparts = multipart;
    *ret_multipart = multipart->id;
    pthread_mutex_unlock(&m->mutex);
    return OK;
}

/* A part of the same number replaces the one before. */
static void add_part(struct multipart *multipart, struct part *part)
{
    struct part **at = &multipart->parts;
    while (*at != NULL) {
        struct part *old = *at;
        if (old->info.number == part->info.number) {
            *at = old->next;
            free(old->bytes);
            free(old);
        } else {
            at = &old->next;
        }
    }
    for (at = &multipart->parts; *at != NULL && (*at)->info.offset <= part->info.offset; at = &(*at)->next)
        ;
    part->next = *at;
    *at = part;
}

static char *join_pages(const struct page *pages, uint64_t size)
{
    char *bytes = xmalloc(size + 1);
    uint64_t at = 0;
    for (const struct page *page = pages; page != NULL; page = page->next) {
        memcpy(bytes + at, page->ptr + page->start, page->len);
        at += page->len;
    }
    return bytes;
}

enum result memory_int_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size,
                                 const uint8_t *sha256, unsigned flags, struct done done)
{
    struct digest actual;
    OWNED_MEMORY char *bytes = join_pages(pages, size);
    digest_of(DIGEST_SHA256, slice_of(bytes, size), &actual);
    if (sha256 != NULL && memcmp(sha256, actual.bytes, digest_size(DIGEST_SHA256)) != 0)
        return INVALID;
    return memory_driver.put(self, path, slice_of(bytes, size), flags, done);
}

enum result memory_int_multipart_put(void *self, struct slice path, const struct storage_multipart *id,
                                     const struct page *pages, struct storage_part *info, struct done done)
{
    (void)path;
    (void)done;
    struct memory *m = self;
    uint32_t parts_max = m->capabilities.parts_max;
    if (parts_max > 0 && info->number > parts_max)
        return INVALID;
    if (!m->capabilities.parts_of_any_size && info->size > m->capabilities.part_bytes)
        return INVALID;
    enum result r = NOT_FOUND;
    pthread_mutex_lock(&m->mutex);
    struct multipart *multipart = *find_multipart(m, id);
    if (multipart != NULL && !multipart->is_done) {
        struct part *part = xcalloc(1, sizeof(*part));
        memory_int_format_etag(++m->versions, info->etag);
        part->info = *info;
        part->bytes = join_pages(pages, info->size);
        part->is_synced = !m->capabilities.parts_of_any_size;
        add_part(multipart, part);
        r = OK;
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

enum result memory_int_multipart_sync(void *self, struct slice path, const struct storage_multipart *id,
                                      struct done done)
{
    (void)path;
    (void)done;
    struct memory *m = self;
    enum result r = NOT_FOUND;
    pthread_mutex_lock(&m->mutex);
    struct multipart *multipart = *find_multipart(m, id);
    if (multipart != NULL && !multipart->is_done) {
        multipart->is_synced = true;
        for (struct part *part = multipart->parts; part != NULL; part = part->next)
            part->is_synced = true;
        r = OK;
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

static const struct part *find_part(const struct multipart *multipart, const struct storage_part *info)
{
    for (const struct part *part = multipart->parts; part != NULL; part = part->next)
        if (part->info.number == info->number && part->info.offset == info->offset && part->info.size == info->size &&
            strcmp(part->info.etag, info->etag) == 0)
            return part;
    return NULL;
}

/* Where parts have any size, one listed may stand for several that were put. False: not all of it was put. */
static bool copy_range(const struct multipart *multipart, uint64_t offset, uint64_t size, char *bytes)
{
    uint64_t end = offset;
    for (const struct part *part = multipart->parts; part != NULL; part = part->next) {
        uint64_t from = part->info.offset > offset ? part->info.offset : offset;
        uint64_t part_end = part->info.offset + part->info.size;
        uint64_t to = part_end < offset + size ? part_end : offset + size;
        if (from > end || to <= from)
            continue;
        memcpy(bytes + from, part->bytes + (from - part->info.offset), to - from);
        end = to > end ? to : end;
    }
    return end == offset + size;
}

/* Copies the parts listed into `bytes`. */
static enum result join_parts(const struct memory *m, const struct multipart *multipart,
                              const struct storage_part *parts, size_t part_count, char *bytes)
{
    for (size_t i = 0; i < part_count; i++) {
        bool is_last = i + 1 == part_count;
        if (!m->capabilities.parts_of_any_size && !is_last && parts[i].size != m->capabilities.part_bytes)
            return INVALID;
        if (m->capabilities.parts_of_any_size) {
            if (!copy_range(multipart, parts[i].offset, parts[i].size, bytes))
                return CORRUPT;
            continue;
        }
        const struct part *part = find_part(multipart, &parts[i]);
        if (part == NULL)
            return CORRUPT;
        memcpy(bytes + parts[i].offset, part->bytes, part->info.size);
    }
    return OK;
}

/* Which parts these are. Where they have any size what is listed stands for all. */
static uint64_t sum_of(const struct memory *m, const struct storage_part *parts, size_t part_count)
{
    uint64_t sum = 5381;
    for (size_t i = 0; i < part_count && !m->capabilities.parts_of_any_size; i++) {
        sum = sum * 33 + parts[i].number;
        for (const char *at = parts[i].etag; *at != '\0'; at++)
            sum = sum * 33 + (unsigned char)*at;
    }
    return sum;
}

enum result memory_int_multipart_complete(void *self, struct slice path, const struct storage_multipart *id,
                                          const struct storage_part *parts, size_t part_count, uint64_t size,
                                          unsigned flags, struct done done)
{
    (void)done;
    struct memory *m = self;
    enum result r = NOT_FOUND;
    pthread_mutex_lock(&m->mutex);
    struct multipart *multipart = *find_multipart(m, id);
    if (multipart != NULL && multipart->is_done) {
        r = multipart->done_size == size && multipart->done_list == sum_of(m, parts, part_count) ? OK : NOT_FOUND;
    } else if (multipart != NULL) {
        OWNED_MEMORY char *bytes = xmalloc(size);
        r = join_parts(m, multipart, parts, part_count, bytes);
        if (r == OK) {
            memory_int_store(m, path, TAKE(bytes), size, (flags & STORAGE_PUT_VOLATILE) != 0);
            free_parts(multipart);
            multipart->is_done = true;
            multipart->done_size = size;
            multipart->done_list = sum_of(m, parts, part_count);
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

enum result memory_int_multipart_abort(void *self, struct slice path, const struct storage_multipart *id,
                                       struct done done)
{
    (void)path;
    (void)done;
    struct memory *m = self;
    pthread_mutex_lock(&m->mutex);
    struct multipart **at = find_multipart(m, id);
    if (*at != NULL)
        remove_multipart(at);
    pthread_mutex_unlock(&m->mutex);
    return OK;
}

enum result memory_int_multipart_open_read(void *self, struct slice path, const struct storage_multipart *id,
                                           uint64_t size, struct storage_reader **ret_reader, struct done done)
{
    (void)path;
    (void)done;
    struct memory *m = self;
    if (!m->capabilities.parts_of_any_size)
        return UNSUPPORTED;
    enum result r = NOT_FOUND;
    pthread_mutex_lock(&m->mutex);
    const struct multipart *multipart = *find_multipart(m, id);
    if (multipart != NULL && !multipart->is_done) {
        OWNED_MEMORY char *bytes = xcalloc(1, size);
        uint64_t end = 0;
        for (const struct part *part = multipart->parts; part != NULL; part = part->next) {
            uint64_t part_end = part->info.offset + part->info.size;
            if (part->info.offset >= size)
                break;
            memcpy(bytes + part->info.offset, part->bytes,
                   (size_t)(part_end < size ? part->info.size : size - part->info.offset));
            end = part_end > end ? part_end : end;
        }
        r = end >= size ? OK : RANGE;
        if (r == OK)
            *ret_reader = memory_int_reader_new(m, bytes, size);
    }
    pthread_mutex_unlock(&m->mutex);
    return r;
}

void memory_int_crash_multiparts(struct memory *m)
{
    struct multipart **at = &m->multiparts;
    while (*at != NULL) {
        struct multipart *multipart = *at;
        if (m->capabilities.parts_of_any_size && !multipart->is_synced) {
            remove_multipart(at);
            continue;
        }
        struct part **part = &multipart->parts;
        while (*part != NULL) {
            struct part *p = *part;
            if (p->is_synced) {
                part = &p->next;
            } else {
                *part = p->next;
                free(p->bytes);
                free(p);
            }
        }
        at = &multipart->next;
    }
}

void memory_int_free_multiparts(struct memory *m)
{
    while (m->multiparts != NULL)
        remove_multipart(&m->multiparts);
}
