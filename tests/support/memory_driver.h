/* SPDX-License-Identifier: Apache-2.0
 *
 * A storage driver for tests that keeps its objects in memory. It passes the driver suite with every combination of
 * capabilities, so that code which runs on it runs on stores that can do less than a filesystem. Its calls complete at
 * once; fault_driver.h makes them complete later. Any thread.
 */
#ifndef MINATO_TEST_MEMORY_DRIVER_H
#define MINATO_TEST_MEMORY_DRIVER_H

#include "minato/storage_driver.h"

extern const struct storage_driver memory_driver;

/* What the filesystem can do: rename, put_if_match, parts of any size. */
struct storage_capabilities memory_driver_like_filesystem(void);
/* What S3 can do: presign, put_if_match, delete_many, parts of `part_bytes`; no rename and no reading of parts before
 * complete. */
struct storage_capabilities memory_driver_like_s3(uint64_t part_bytes);

/* The `self` for storage_wrap(&memory_driver, self, ..); freed by its close. */
void *memory_driver_new(struct storage_capabilities capabilities);

/* The store's clock: *now_ms, whatever the machines of its users say; borrowed. What is written from now on was
 * modified then. NULL: the time is theirs, and that of objects only grows. */
void memory_driver_set_clock(void *self, const uint64_t *now_ms);

/* What it holds, for tests that nothing is left behind. */
size_t memory_driver_object_count(void *self);
size_t memory_driver_multipart_count(void *self);
size_t memory_driver_reader_count(void *self);
/* The path of the `i`th object in byte order; valid until something is written. */
struct slice memory_driver_object_path(void *self, size_t i);
/* What a power failure does: volatile objects are gone, and so are parts that were not synced (where parts have any
 * size; elsewhere a part acknowledged is durable). */
void memory_driver_crash(void *self);
/* Changes a stored byte, as a rotten disk does. False: no such object or offset. */
bool memory_driver_corrupt(void *self, struct slice path, uint64_t offset);

#endif
