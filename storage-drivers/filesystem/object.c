/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole objects: check, stat, get, put, put_if_match, delete, rename. Writes go to a temp file first; durable.c gives
 * it its name. The work_ functions run on pool threads, the others on the caller's loop.
 */
#include "fs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "minato/own.h"

/* ---- temp files ---- */

static enum result write_all(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return result_from_errno(errno);
        bytes = slice_from(bytes, (size_t)n);
    }
    return OK;
}

/* A modification time that no other file of ours has: with it the etag of an object is never given twice. */
static enum result stamp(struct fs *fs, int fd)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t last = atomic_load(&fs->last_stamp_ns);
    uint64_t next;
    do
        next = ns > last ? ns : last + 1;
    while (!atomic_compare_exchange_weak(&fs->last_stamp_ns, &last, next));
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = (time_t)(next / 1000000000u), .tv_nsec = (long)(next % 1000000000u)}};
    return futimens(fd, times) == 0 ? OK : result_from_errno(errno);
}

enum result fs_int_write_temp(struct fs *fs, struct slice bytes, mode_t mode, bool is_volatile,
                              char ret_name[TEMP_NAME_SIZE])
{
    (void)snprintf(ret_name, TEMP_NAME_SIZE, "%016" PRIx64, atomic_fetch_add(&fs->temp_names, 1));
    OWNED_FD int fd = openat(fs->tmp_fd, ret_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return errno == ENOENT ? IO : result_from_errno(errno); /* the temp folder itself is gone */
    enum result r = write_all(fd, bytes);
    if (r == OK)
        r = stamp(fs, fd);
    if (r == OK && !is_volatile && fdatasync(fd) != 0)
        r = result_from_errno(errno);
    int err = errno; /* for open.c's message */
    if (r != OK)
        (void)unlinkat(fs->tmp_fd, ret_name, 0);
    errno = err;
    return r;
}

/* ---- check ---- */

static enum result work_check(struct fs_call *call)
{
    char name[TEMP_NAME_SIZE];
    enum result r = fs_int_write_temp(call->fs, SLICE("ready"), OURS_MODE, true, name);
    if (r == OK && unlinkat(call->fs->tmp_fd, name, 0) != 0)
        r = result_from_errno(errno);
    return r;
}

enum result fs_int_check(void *self, struct done done)
{
    return fs_int_call_start(fs_int_call_new(sizeof(struct fs_call), self, work_check, NULL, done));
}

/* ---- stat and get ---- */

struct get_call {
    struct fs_call base;
    struct slice path;
    size_t max_bytes;
    struct arena *arena;
    struct slice *ret_bytes;
    struct storage_object *ret_object;
    struct storage_object object;
    char *bytes;
    size_t length;
};

static enum result work_stat(struct fs_call *base)
{
    struct get_call *call = (struct get_call *)base;
    struct fs_path path;
    struct stat st;
    enum result r = fs_int_path(call->path, &path);
    if (r != OK)
        return r;
    if (fstatat(base->fs->root_fd, path.text, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return result_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return NOT_FOUND;
    fs_int_describe(&st, &call->object);
    return fs_int_settle(base->fs, path.text);
}

static void deliver_stat(struct fs_call *base)
{
    struct get_call *call = (struct get_call *)base;
    *call->ret_object = call->object;
}

enum result fs_int_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done)
{
    struct get_call *call = fs_int_call_new(sizeof(*call), self, work_stat, deliver_stat, done);
    call->path = path;
    call->ret_object = ret_object;
    return fs_int_call_start(&call->base);
}

static enum result read_whole(int fd, struct get_call *call)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return result_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return NOT_FOUND;
    fs_int_describe(&st, &call->object);
    if (call->object.size > call->max_bytes)
        return TOO_LARGE;
    size_t size = (size_t)call->object.size;
    OWNED_MEMORY char *bytes = xmalloc(size);
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, bytes + at, size - at, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? CORRUPT : result_from_errno(errno);
        at += (size_t)n;
    }
    call->bytes = TAKE(bytes);
    call->length = size;
    return OK;
}

static enum result work_get(struct fs_call *base)
{
    struct get_call *call = (struct get_call *)base;
    struct fs_path path;
    enum result r = fs_int_path(call->path, &path);
    if (r != OK)
        return r;
    OWNED_FD int fd = openat(base->fs->root_fd, path.text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return result_from_errno(errno);
    r = read_whole(fd, call);
    if (r == OK)
        r = fs_int_settle(base->fs, path.text);
    if (r != OK) {
        free(call->bytes);
        call->bytes = NULL;
    }
    return r;
}

static void deliver_get(struct fs_call *base)
{
    struct get_call *call = (struct get_call *)base;
    *call->ret_bytes = arena_copy(call->arena, slice_of(call->bytes, call->length));
    if (call->ret_object != NULL)
        *call->ret_object = call->object;
    free(call->bytes);
}

enum result fs_int_get(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                       struct storage_object *ret_object, struct done done)
{
    struct get_call *call = fs_int_call_new(sizeof(*call), self, work_get, deliver_get, done);
    call->path = path;
    call->max_bytes = max_bytes;
    call->arena = arena;
    call->ret_bytes = ret_bytes;
    call->ret_object = ret_object;
    return fs_int_call_start(&call->base);
}

/* ---- put and put_if_match ---- */

struct put_call {
    struct fs_call base;
    struct slice path;
    struct slice bytes;
    struct slice etag; /* ptr NULL: put */
    unsigned flags;
};

/* A put that cannot succeed should not wait for a sync first; the decision is made again when it is published. */
static enum result foresee(struct fs *fs, const char *path, const struct put_call *call)
{
    bool is_create_only = (call->flags & STORAGE_PUT_CREATE_ONLY) != 0;
    struct stat st;
    if (call->etag.ptr == NULL && !is_create_only)
        return OK;
    if (fstatat(fs->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        enum result r = result_from_errno(errno);
        return r == NOT_FOUND && is_create_only ? OK : r;
    }
    if (is_create_only) {
        enum result r = (call->flags & STORAGE_PUT_VOLATILE) != 0 ? OK : fs_int_settle(fs, path);
        return r == OK ? EXISTS : r;
    }
    struct storage_object object;
    fs_int_describe(&st, &object);
    return slice_equal(call->etag, slice_from_cstr(object.etag)) ? OK : CONFLICT;
}

static enum result work_put(struct fs_call *base)
{
    struct put_call *call = (struct put_call *)base;
    struct fs *fs = base->fs;
    bool is_volatile = (call->flags & STORAGE_PUT_VOLATILE) != 0;
    mode_t mode = slice_has_prefix(call->path, SLICE(OURS_PREFIX)) ? OURS_MODE : FILE_MODE;
    struct fs_path path;
    char temp[TEMP_NAME_SIZE];
    enum result r = fs_int_path(call->path, &path);
    if (r == OK)
        r = foresee(fs, path.text, call);
    if (r == OK)
        r = fs_int_write_temp(fs, call->bytes, mode, is_volatile, temp);
    if (r != OK)
        return r;
    r = fs_int_publish(fs, &(struct publication){.from_folder = fs->tmp_fd,
                                                 .from = temp,
                                                 .path = path.text,
                                                 .etag = call->etag,
                                                 .is_create_only = (call->flags & STORAGE_PUT_CREATE_ONLY) != 0,
                                                 .is_volatile = is_volatile});
    if (r != OK)
        (void)unlinkat(fs->tmp_fd, temp, 0);
    return r;
}

enum result fs_int_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done)
{
    struct put_call *call = fs_int_call_new(sizeof(*call), self, work_put, NULL, done);
    call->path = path;
    call->bytes = bytes;
    call->flags = flags;
    return fs_int_call_start(&call->base);
}

enum result fs_int_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done)
{
    struct put_call *call = fs_int_call_new(sizeof(*call), self, work_put, NULL, done);
    call->path = path;
    call->bytes = bytes;
    call->etag = etag.ptr == NULL ? SLICE("") : etag;
    return fs_int_call_start(&call->base);
}

/* ---- delete ---- */

struct delete_call {
    struct fs_call base;
    struct slice path;
};

static enum result unlink_object(struct fs *fs, const char *path)
{
    struct stat st;
    pthread_mutex_t *lock = fs_int_publish_lock(fs, path);
    enum result r = OK;
    pthread_mutex_lock(lock);
    if (fstatat(fs->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        r = NOT_FOUND;
    else if (unlinkat(fs->root_fd, path, 0) != 0)
        r = result_from_errno(errno);
    pthread_mutex_unlock(lock);
    return r;
}

static enum result work_delete(struct fs_call *base)
{
    struct fs *fs = base->fs;
    struct fs_path path;
    enum result r = fs_int_path(((struct delete_call *)base)->path, &path);
    if (r != OK)
        return r;
    /* Held open: the folder that the object was in may be gone, or another one, when it is synced. */
    struct fs_path folder = path;
    fs_int_parent(&folder);
    OWNED_FD int fd =
        openat(fs->root_fd, folder.text[0] == '\0' ? "." : folder.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd < 0 ? result_from_errno(errno) : unlink_object(fs, path.text);
    if (r != OK && r != NOT_FOUND)
        return r;
    /* Also where there is no object: a crash may have cut a delete short after it, and only this finishes it. */
    struct fs_path parent;
    bool is_pruned = fs_int_prune(fs, path.text, &parent);
    if (r == OK && fsync(fd) != 0)
        return result_from_errno(errno);
    enum result synced = is_pruned ? fs_int_sync_folder(fs, parent.text) : OK;
    /* NOT_FOUND: pruned by another delete, which syncs the folder above. */
    return synced == OK || synced == NOT_FOUND ? r : synced;
}

enum result fs_int_delete(void *self, struct slice path, struct done done)
{
    struct delete_call *call = fs_int_call_new(sizeof(*call), self, work_delete, NULL, done);
    call->path = path;
    return fs_int_call_start(&call->base);
}

/* ---- rename ---- */

struct rename_call {
    struct fs_call base;
    struct slice from;
    struct slice to;
};

static enum result work_rename(struct fs_call *base)
{
    struct rename_call *call = (struct rename_call *)base;
    struct fs *fs = base->fs;
    struct fs_path from;
    struct fs_path to;
    struct stat st;
    enum result r = fs_int_path(call->from, &from);
    if (r == OK)
        r = fs_int_path(call->to, &to);
    if (r != OK)
        return r;
    if (fstatat(fs->root_fd, from.text, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return result_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return NOT_FOUND;
    r = fs_int_publish(fs, &(struct publication){
                               .from_folder = fs->root_fd, .from = from.text, .path = to.text, .is_create_only = true});
    if (r != OK)
        return r;
    fs_int_parent(&from);
    r = fs_int_sync_folder(fs, from.text);
    return r == NOT_FOUND ? OK : r;
}

enum result fs_int_rename_create(void *self, struct slice from, struct slice to, struct done done)
{
    struct rename_call *call = fs_int_call_new(sizeof(*call), self, work_rename, NULL, done);
    call->from = from;
    call->to = to;
    return fs_int_call_start(&call->base);
}
