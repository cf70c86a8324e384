/* SPDX-License-Identifier: Apache-2.0
 *
 * A temporary folder with a filesystem store in it: see filesystem_place.h.
 */
#include "filesystem_place.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "minato/own.h"

#define DEPTH_MAX 32

bool filesystem_place_make(struct filesystem_place *place)
{
    strcpy(place->root, "/var/tmp/minato-test-XXXXXX");
    if (mkdtemp(place->root) != NULL)
        return true;
    place->root[0] = '\0';
    return false;
}

enum result filesystem_place_open(struct filesystem_place *place, struct pool *pool, struct strbuf *ret_why,
                                  struct storage **ret_storage)
{
    struct config config;
    memset(&config, 0, sizeof(config));
    config.storage.filesystem.root = place->root;
    config.uploads.expire_after_ms = UINT64_C(24) * 3600 * 1000;
    return storage_open(&config, pool, NULL, ret_why, ret_storage);
}

/* Below the folder `at`; its files are counted in one level after the other. */
static size_t count_below(int at, const char *name, unsigned depth)
{
    OWNED_FD int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    const struct dirent *entry;
    if (dir == NULL)
        return 0;
    (void)take_fd(&fd);
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            count += depth < DEPTH_MAX ? count_below(dirfd(dir), entry->d_name, depth + 1) : 0;
        } else if (strcmp(entry->d_name, "lock") != 0) {
            (void)fprintf(stderr, "there is: %s\n", entry->d_name);
            count++;
        }
    }
    closedir(dir);
    return count;
}

size_t filesystem_place_count(const struct filesystem_place *place, const char *folder)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", place->root, folder);
    return count_below(AT_FDCWD, path, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void filesystem_place_remove(struct filesystem_place *place)
{
    if (place->root[0] != '\0')
        (void)nftw(place->root, remove_one, DEPTH_MAX, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    place->root[0] = '\0';
}
