/* SPDX-License-Identifier: Apache-2.0
 *
 * The filesystem driver keeps the contract of storage_driver.h: the suite on a folder of the disk, which has to be as
 * empty afterwards as a new one. Also with few descriptors, so that open part files are closed and opened again.
 */
#include "filesystem_place.h"
#include "storage_driver_suite.h"

#include <stdio.h>
#include <sys/resource.h>

#include "minato/own.h"

#define FEW_DESCRIPTORS 128

static struct storage *open_place(void *data, struct pool *pool)
{
    struct filesystem_place *place = data;
    struct storage *storage = NULL;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    if (place->root[0] == '\0' && !filesystem_place_make(place))
        return NULL;
    if (filesystem_place_open(place, pool, &why, &storage) != OK)
        (void)fprintf(stderr, "%.*s\n", SLICE_ARG(strbuf_slice(&why)));
    return storage;
}

static void close_place(void *data, struct storage *storage)
{
    (void)data;
    storage_close(storage);
}

static size_t dispose_place(void *data)
{
    struct filesystem_place *place = data;
    size_t left = filesystem_place_count(place, "");
    filesystem_place_remove(place);
    return left;
}

int main(void)
{
    struct filesystem_place place = {""};
    struct storage_subject subject = {.name = "filesystem with few descriptors",
                                      .data = &place,
                                      .open = open_place,
                                      .close = close_place,
                                      .can_restart = true,
                                      .dispose = dispose_place};
    /* A quarter of the descriptors is for part files: fewer than the suite's uploads at once. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    struct rlimit few = {FEW_DESCRIPTORS, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0)
        return 1;
    int failed = storage_driver_suite_run(&subject);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    subject.name = "filesystem";
    return failed + storage_driver_suite_run(&subject);
}
