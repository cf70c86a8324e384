/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing one folder, a page at a time, in byte order: each page reads the folder and keeps the smallest names after
 * the last page's. The order of the disk would be cheaper, but has no place to go on from when that name was deleted.
 */
#include "fs_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "minato/own.h"

struct found {
    char *name;
    bool is_folder;
};

struct list_call {
    struct fs_call base;
    struct slice folder;
    struct slice after;
    size_t limit;
    struct arena *arena;
    struct storage_listing *ret_listing;
    struct found *found;
    size_t count;
    size_t capacity;
    bool has_more;
    bool is_trimmed; /* found[limit - 1] is the largest name that is still wanted */
};

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static void free_found(struct list_call *call)
{
    for (size_t i = 0; i < call->count; i++)
        free(call->found[i].name);
    free(call->found);
    call->found = NULL;
    call->count = 0;
}

/* Keeps the `limit` smallest. */
static void trim(struct list_call *call)
{
    if (call->count == 0)
        return;
    qsort(call->found, call->count, sizeof(call->found[0]), compare_found);
    while (call->count > call->limit) {
        free(call->found[--call->count].name);
        call->has_more = true;
    }
    call->is_trimmed = call->count == call->limit;
}

static void add(struct list_call *call, const char *name, bool is_folder)
{
    if (call->is_trimmed && strcmp(name, call->found[call->limit - 1].name) > 0) {
        call->has_more = true;
        return;
    }
    if (call->count == call->capacity) {
        /* Twice a page at most: then what is too much goes. */
        if (call->capacity > call->limit && call->capacity - call->limit >= call->limit)
            trim(call);
        if (call->count == call->capacity) {
            call->capacity = call->capacity == 0 ? 64 : 2 * call->capacity;
            call->found = xrealloc(call->found, call->capacity * sizeof(call->found[0]));
        }
    }
    char *copy = strdup(name);
    if (copy == NULL)
        abort();
    call->found[call->count++] = (struct found){copy, is_folder};
}

/* What an entry is: an object, a folder, or nothing of ours. */
static bool classify(int fd, const struct dirent *entry, bool *ret_is_folder)
{
    struct stat st;
    if (entry->d_type == DT_REG || entry->d_type == DT_DIR) {
        *ret_is_folder = entry->d_type == DT_DIR;
        return true;
    }
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return false;
    *ret_is_folder = S_ISDIR(st.st_mode);
    return true;
}

static bool is_wanted(const struct list_call *call, const char *name)
{
    struct slice s = slice_from_cstr(name);
    if (slice_compare(s, call->after) <= 0 || memchr(name, '/', s.len) != NULL || !storage_path_is_valid(s))
        return false;
    if (!slice_equal(call->folder, SLICE("minato")))
        return true;
    char path[sizeof("minato/") + NAME_MAX + 1];
    memcpy(path, "minato/", 7);
    memcpy(path + 7, name, s.len);
    return !fs_int_is_own(slice_of(path, 7 + s.len));
}

static enum result read_entries(struct list_call *call, DIR *dir)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        bool is_folder;
        if (entry == NULL)
            return errno == 0 ? OK : result_from_errno(errno);
        if (is_wanted(call, entry->d_name) && classify(dirfd(dir), entry, &is_folder))
            add(call, entry->d_name, is_folder);
    }
}

static enum result work_list(struct fs_call *base)
{
    struct list_call *call = (struct list_call *)base;
    struct fs_path folder;
    enum result r = fs_int_path(call->folder, &folder);
    if (r != OK)
        return r;
    OWNED_FD int fd = openat(base->fs->root_fd, folder.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        r = result_from_errno(errno);
        return r == NOT_FOUND ? OK : r;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL)
        return result_from_errno(errno);
    (void)take_fd(&fd); /* the DIR's now */
    r = read_entries(call, dir);
    closedir(dir);
    if (r == OK)
        trim(call);
    else
        free_found(call);
    return r;
}

static void deliver_list(struct fs_call *base)
{
    struct list_call *call = (struct list_call *)base;
    struct storage_listing listing = {.count = call->count};
    listing.entries = ARENA_ARRAY(call->arena, struct storage_entry, call->count + 1);
    for (size_t i = 0; i < call->count; i++) {
        listing.entries[i].name = arena_copy(call->arena, slice_from_cstr(call->found[i].name));
        listing.entries[i].is_folder = call->found[i].is_folder;
    }
    if (call->has_more)
        listing.next = listing.entries[call->count - 1].name;
    *call->ret_listing = listing;
    free_found(call);
}

enum result fs_int_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                        struct storage_listing *ret_listing, struct done done)
{
    struct list_call *call = fs_int_call_new(sizeof(*call), self, work_list, deliver_list, done);
    call->folder = folder;
    call->after = after;
    call->limit = limit;
    call->arena = arena;
    call->ret_listing = ret_listing;
    return fs_int_call_start(&call->base);
}
