/* SPDX-License-Identifier: Apache-2.0
 *
 * The one suite for every storage driver: each behaviour of storage_driver.h is a named test, run through the storage
 * door. A test fails if it leaves an object, a multipart, a reader or a page behind.
 */
#ifndef MINATO_TEST_STORAGE_DRIVER_SUITE_H
#define MINATO_TEST_STORAGE_DRIVER_SUITE_H

#include "minato/storage.h"

/* A driver under test. */
struct storage_subject {
    const char *name;
    void *data;
    /* A store for one test. After close, the same place may be opened again with what it held (a restart), if
     * `can_restart`. */
    struct storage *(*open)(void *data, struct pool *pool);
    void (*close)(void *data, struct storage *storage);
    bool can_restart;
    bool has_etags_of_content; /* equal bytes have equal etags */
    bool cuts_readers;         /* of an object that was replaced or removed: never other bytes, but none of the old */
    bool needs_all_parts;      /* completes with all parts that were put, or not at all (Ceph RGW 16) */
    /* (optional) After the last close of a test: counts what is left of the driver's own, removes the place. */
    size_t (*dispose)(void *data);
};

/* The number of tests that failed. */
int storage_driver_suite_run(const struct storage_subject *subject);

#endif
