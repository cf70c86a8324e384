/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory_driver.c and memory_driver_parts.c share. `mutex` guards everything in struct memory; a reader holds a
 * copy of its range and needs no lock.
 */
#ifndef MINATO_TEST_MEMORY_DRIVER_INT_H
#define MINATO_TEST_MEMORY_DRIVER_INT_H

#include <pthread.h>

#include "memory_driver.h"
#include "minato/own.h"

struct object {
    char *path;
    char *bytes;
    size_t size;
    uint64_t version; /* its etag */
    uint64_t modified_ms;
    bool is_volatile;
};

struct part {
    struct storage_part info;
    char *bytes;
    bool is_synced;
    struct part *next;
};

struct multipart {
    struct storage_multipart id;
    char *path;
    struct part *parts; /* by offset */
    uint64_t done_size; /* when done */
    uint64_t done_list; /* the same: which parts */
    bool is_done;       /* completed: only remembered, so that complete may be repeated */
    bool is_synced;
    struct multipart *next;
};

struct memory {
    pthread_mutex_t mutex;
    struct storage_capabilities capabilities;
    struct object *objects;
    size_t count;
    uint64_t versions; /* etags and multipart ids given out */
    struct multipart *multiparts;
    size_t readers;
    const uint64_t *now_ms; /* NULL: the machine's clock is the store's */
};

struct storage_reader {
    struct memory *memory;
    char *bytes;
    size_t size;
    size_t at;
};

/* All of these: the mutex is held. */
char *memory_int_copy(const char *bytes, size_t n);
/* Takes over `bytes`. */
void memory_int_store(struct memory *m, struct slice path, char *bytes, size_t size, bool is_volatile);
void memory_int_format_etag(uint64_t version, char etag[STORAGE_ETAG_MAX + 1]);
struct storage_reader *memory_int_reader_new(struct memory *m, const char *bytes, size_t size);
/* Parts that were not synced are gone. */
void memory_int_crash_multiparts(struct memory *m);
void memory_int_free_multiparts(struct memory *m);

enum result memory_int_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size,
                                 const uint8_t *sha256, unsigned flags, struct done done);
enum result memory_int_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                       struct done done);
enum result memory_int_multipart_put(void *self, struct slice path, const struct storage_multipart *id,
                                     const struct page *pages, struct storage_part *info, struct done done);
enum result memory_int_multipart_sync(void *self, struct slice path, const struct storage_multipart *id,
                                      struct done done);
enum result memory_int_multipart_complete(void *self, struct slice path, const struct storage_multipart *id,
                                          const struct storage_part *parts, size_t part_count, uint64_t size,
                                          unsigned flags, struct done done);
enum result memory_int_multipart_abort(void *self, struct slice path, const struct storage_multipart *id,
                                       struct done done);
enum result memory_int_multipart_open_read(void *self, struct slice path, const struct storage_multipart *id,
                                           uint64_t size, struct storage_reader **ret_reader, struct done done);

#endif
