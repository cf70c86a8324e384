/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that lives as long as one flow: allocate, never free, dispose at once. Not thread-safe: one arena, one owner.
 */
#ifndef MINATO_ARENA_H
#define MINATO_ARENA_H

#include <stddef.h>

#include "minato/slice.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    char *next;
    size_t left;
};

void arena_init(struct arena *a);
/* Frees everything. The arena may be used again. */
void arena_done(struct arena *a);
/* Zeroed memory, aligned for any type. Never NULL: running out of memory aborts (as h2o does); limits come before. */
void *arena_alloc(struct arena *a, size_t bytes) __attribute__((malloc, alloc_size(2), returns_nonnull));
struct slice arena_copy(struct arena *a, struct slice s);
/* A NUL-terminated copy, for the libc edge. */
char *arena_cstr(struct arena *a, struct slice s);
struct slice arena_format(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The parts, one behind the other: what hot paths use in place of arena_format. NUL-terminated, as its result is. */
struct slice arena_concat(struct arena *a, const struct slice *parts, size_t count);
#define ARENA_CONCAT(arena, ...)                                                                                       \
    arena_concat((arena), (const struct slice[]){__VA_ARGS__},                                                         \
                 sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice))

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (count)))

/* malloc and friends that abort when memory runs out. */
void *xmalloc(size_t bytes) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t count, size_t bytes) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *ptr, size_t bytes) __attribute__((alloc_size(2), returns_nonnull));

#endif
