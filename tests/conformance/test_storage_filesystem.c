/* SPDX-License-Identifier: Apache-2.0
 *
 * The filesystem driver keeps the contract of storage_driver.h: the suite on a folder of the disk, which has to be as
 * empty afterwards as a new one. Also with few descriptors, so that open part files are closed and opened again.
 */
#include "storage_driver_suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "minato/arena.h"
#include "minato/own.h"

#define FEW_DESCRIPTORS 128

struct place {
    char root[64];
    bool is_there;
};

static struct storage *open_place(void *data, struct pool *pool)
{
    struct place *place = data;
    if (!place->is_there) {
        strcpy(place->root, "minato-suite-XXXXXX");
        place->is_there = mkdtemp(place->root) != NULL;
    }
    struct config config;
    memset(&config, 0, sizeof(config));
    config.storage.filesystem.root = place->root;
    struct storage *storage = NULL;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    if (storage_open(&config, pool, NULL, &why, &storage) != OK)
        (void)fprintf(stderr, "%.*s\n", SLICE_ARG(strbuf_slice(&why)));
    return storage;
}

static void close_place(void *data, struct storage *storage)
{
    (void)data;
    storage_close(storage);
}

/* Removes everything; counts the files, but for the lock. */
static size_t remove_all(const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_type == DT_DIR) {
            count += remove_all(path);
            continue;
        }
        if (strcmp(entry->d_name, "lock") != 0) {
            (void)fprintf(stderr, "left behind: %s\n", path);
            count++;
        }
        (void)unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    (void)rmdir(folder);
    return count;
}

static size_t dispose_place(void *data)
{
    struct place *place = data;
    place->is_there = false;
    return remove_all(place->root);
}

int main(void)
{
    struct place place = {.is_there = false};
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
