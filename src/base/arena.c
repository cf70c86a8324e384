/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks of 4 KiB in a list, bump allocation inside them; what is larger than a quarter of a chunk gets its own.
 * The newest chunk of bump memory is always first in the list. Not thread-safe.
 */
#include "minato/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 4000u
#define LARGE_BYTES (CHUNK_BYTES / 4)
#define ALIGNMENT _Alignof(max_align_t)

struct arena_chunk {
    struct arena_chunk *next;
    max_align_t bytes[];
};

void *xmalloc(size_t bytes)
{
    void *p = malloc(bytes == 0 ? 1 : bytes);
    if (p == NULL)
        abort();
    return p;
}

void *xcalloc(size_t count, size_t bytes)
{
    void *p = calloc(count == 0 ? 1 : count, bytes == 0 ? 1 : bytes);
    if (p == NULL)
        abort();
    return p;
}

void *xrealloc(void *ptr, size_t bytes)
{
    void *p = realloc(ptr, bytes == 0 ? 1 : bytes);
    if (p == NULL)
        abort();
    return p;
}

void arena_init(struct arena *a)
{
    *a = (struct arena){NULL, NULL, 0};
}

void arena_done(struct arena *a)
{
    struct arena_chunk *chunk = a->chunks;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena_init(a);
}

static struct arena_chunk *chunk_new(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct arena_chunk))
        abort();
    return xmalloc(sizeof(struct arena_chunk) + bytes);
}

/* Own chunk, put behind the first so that bump allocation goes on in that one. */
static void *alloc_large(struct arena *a, size_t bytes)
{
    struct arena_chunk *chunk = chunk_new(bytes);
    if (a->chunks == NULL) {
        chunk->next = NULL;
        a->chunks = chunk;
        a->left = 0;
    } else {
        chunk->next = a->chunks->next;
        a->chunks->next = chunk;
    }
    return chunk->bytes;
}

/* Not zeroed. */
static void *take(struct arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT)
        abort();
    size_t rounded = ((bytes == 0 ? 1 : bytes) + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (rounded > a->left) {
        if (rounded > LARGE_BYTES)
            return alloc_large(a, rounded);
        struct arena_chunk *chunk = chunk_new(CHUNK_BYTES);
        chunk->next = a->chunks;
        a->chunks = chunk;
        a->next = (char *)chunk->bytes;
        a->left = CHUNK_BYTES & ~(ALIGNMENT - 1);
    }
    void *p = a->next;
    a->next += rounded;
    a->left -= rounded;
    return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    return memset(take(a, bytes), 0, bytes);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    if (s.len == 0)
        return s;
    char *p = take(a, s.len);
    memcpy(p, s.ptr, s.len);
    return slice_of(p, s.len);
}

char *arena_cstr(struct arena *a, struct slice s)
{
    char *p = take(a, s.len + 1);
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

struct slice arena_concat(struct arena *a, const struct slice *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    char *p = take(a, len + 1);
    char *at = p;
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0)
            at = mempcpy(at, parts[i].ptr, parts[i].len);
    *at = '\0';
    return slice_of(p, len);
}

struct slice arena_format(struct arena *a, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    /* Mostly it fits where the next allocation begins. */
    int n = vsnprintf(a->next, a->left, format, args);
    va_end(args);
    if (n < 0)
        abort();
    bool has_fitted = (size_t)n < a->left;
    char *p = take(a, (size_t)n + 1);
    if (!has_fitted)
        (void)vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return slice_of(p, (size_t)n);
}
