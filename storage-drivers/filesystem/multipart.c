/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects in parts: one sparse file below minato/parts, written at the parts' offsets, renamed to its path when it is
 * complete. It is not below minato/tmp, because sessions outlive the process. Its id is a random name with the file's
 * inode number, by which a repeated complete knows its own object. The work_ functions run on pool threads.
 */
#include "fs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "minato/clock.h"
#include "minato/own.h"

/* Write-back is begun each time so many bytes are written: the sync at the end finds little left to do. */
#define KICK_BYTES (UINT64_C(8) << 20)
#define VECTORS_MAX 64
#define RANDOM_BYTES 16

struct parts_call {
    struct fs_call base;
    struct slice path;
    const struct storage_multipart *multipart;
    struct storage_multipart *ret_multipart;
    struct storage_multipart id;
    const struct page *pages;
    struct storage_part *part;
    const struct storage_part *parts;
    size_t part_count;
    uint64_t size;
    unsigned flags;
};

static struct parts_call *call_new(struct fs *fs, enum result (*work)(struct fs_call *), struct slice path,
                                   const struct storage_multipart *multipart, struct done done)
{
    struct parts_call *call = fs_int_call_new(sizeof(*call), fs, work, NULL, done);
    call->path = path;
    call->multipart = multipart;
    return call;
}

/* ---- begin ---- */

static enum result work_begin(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct fs *fs = base->fs;
    struct fs_path path;
    uint8_t random[RANDOM_BYTES];
    char name[2 * RANDOM_BYTES + 1] = "";
    struct stat st;
    enum result r = fs_int_path(call->path, &path);
    if (r != OK)
        return r;
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), name);
    OWNED_FD int fd = openat(fs->parts_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0 || fstat(fd, &st) != 0)
        return errno == ENOENT ? IO : result_from_errno(errno);
    (void)snprintf(call->id.id, sizeof(call->id.id), "%s-%llx", name, (unsigned long long)st.st_ino);
    if (renameat(fs->parts_fd, name, fs->parts_fd, call->id.id) == 0)
        return OK;
    r = result_from_errno(errno);
    (void)unlinkat(fs->parts_fd, name, 0);
    return r;
}

static void deliver_begin(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    *call->ret_multipart = call->id;
}

enum result fs_int_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                   struct done done)
{
    struct parts_call *call = call_new(self, work_begin, path, NULL, done);
    call->base.deliver = deliver_begin;
    call->ret_multipart = ret_multipart;
    return fs_int_call_start(&call->base);
}

/* ---- put ---- */

/* Writes `vectors` whole; they are changed. */
static enum result write_vectors(int fd, struct iovec *vectors, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, vectors, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return result_from_errno(errno);
        offset += (uint64_t)n;
        size_t left = (size_t)n;
        while (count > 0 && left >= vectors->iov_len) {
            left -= vectors->iov_len;
            vectors++;
            count--;
        }
        if (count > 0) {
            vectors->iov_base = (char *)vectors->iov_base + left;
            vectors->iov_len -= left;
        }
    }
    return OK;
}

static enum result write_pages(int fd, const struct page *page, uint64_t offset)
{
    enum result r = OK;
    while (page != NULL && r == OK) {
        struct iovec vectors[VECTORS_MAX];
        int count = 0;
        uint64_t bytes = 0;
        for (; page != NULL && count < VECTORS_MAX; page = page->next) {
            vectors[count++] = (struct iovec){page->ptr + page->start, page->len};
            bytes += page->len;
        }
        r = write_vectors(fd, vectors, count, offset);
        offset += bytes;
    }
    return r;
}

/* Begins the write-back of what lies before the last multiple of KICK_BYTES that this part has reached. */
static void kick(int fd, uint64_t offset, uint64_t size)
{
    uint64_t first = offset / KICK_BYTES;
    uint64_t last = (offset + size) / KICK_BYTES;
    if (last > first)
        (void)sync_file_range(fd, (off_t)(first * KICK_BYTES), (off_t)((last - first) * KICK_BYTES),
                              SYNC_FILE_RANGE_WRITE);
}

static enum result work_put(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct parts_file *file;
    enum result r = fs_int_parts_acquire(base->fs, call->multipart->id, &file);
    if (r != OK)
        return r;
    pthread_rwlock_rdlock(&file->writing);
    /* A late writer must not change a published object. */
    r = file->is_complete ? NOT_FOUND : write_pages(file->fd, call->pages, call->part->offset);
    pthread_rwlock_unlock(&file->writing);
    if (r == OK)
        kick(file->fd, call->part->offset, call->part->size);
    fs_int_parts_release(base->fs, file);
    return r;
}

static void deliver_put(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    call->part->etag[0] = '\0'; /* parts of a file need none */
}

enum result fs_int_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                                 const struct page *pages, struct storage_part *part, struct done done)
{
    if (part->offset > INT64_MAX || part->size > INT64_MAX - part->offset)
        return TOO_LARGE;
    struct parts_call *call = call_new(self, work_put, path, multipart, done);
    call->base.deliver = deliver_put;
    call->pages = pages;
    call->part = part;
    return fs_int_call_start(&call->base);
}

/* ---- sync ---- */

static enum result work_sync(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct fs *fs = base->fs;
    struct parts_file *file;
    enum result r = fs_int_parts_acquire(fs, call->multipart->id, &file);
    if (r != OK)
        return r;
    r = fs_int_parts_sync(fs, file);
    if (r == OK && !atomic_load(&file->is_named)) {
        r = fsync(fs->parts_fd) == 0 ? OK : result_from_errno(errno);
        if (r == OK)
            atomic_store(&file->is_named, true);
    }
    fs_int_parts_release(fs, file);
    return r;
}

enum result fs_int_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                                  struct done done)
{
    return fs_int_call_start(&call_new(self, work_sync, path, multipart, done)->base);
}

/* ---- complete ---- */

/* The object of a complete whose answer was lost: the same file, at its path. */
static enum result find_completed(struct fs *fs, const char *path, const struct parts_call *call)
{
    const char *dash = strchr(call->multipart->id, '-');
    struct stat st;
    char inode[2 * sizeof(st.st_ino) + 1];
    if (dash == NULL || fstatat(fs->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return NOT_FOUND;
    (void)snprintf(inode, sizeof(inode), "%llx", (unsigned long long)st.st_ino);
    if (strcmp(dash + 1, inode) != 0 || (uint64_t)st.st_size != call->size)
        return NOT_FOUND;
    return (call->flags & STORAGE_PUT_VOLATILE) != 0 ? OK : fs_int_sync_name(fs, path);
}

/* The file as long as the object, and on disk. */
static enum result finish_file(struct fs *fs, struct parts_file *file, uint64_t size)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return result_from_errno(errno);
    if ((uint64_t)st.st_size < size)
        return CORRUPT;
    if ((uint64_t)st.st_size > size && ftruncate(file->fd, (off_t)size) != 0)
        return result_from_errno(errno);
    return fs_int_parts_sync(fs, file);
}

static bool are_parts_whole(const struct parts_call *call)
{
    uint64_t end = 0;
    for (size_t i = 0; i < call->part_count; i++) {
        if (call->parts[i].offset != end)
            return false;
        end += call->parts[i].size;
    }
    return end == call->size;
}

/* No writer is at it. */
static enum result publish_file(struct parts_call *call, const char *path, struct parts_file *file)
{
    struct fs *fs = call->base.fs;
    if (file->is_complete)
        return find_completed(fs, path, call);
    enum result r = finish_file(fs, file, call->size);
    if (r == OK)
        r = fs_int_publish(fs, &(struct publication){.from_folder = fs->parts_fd,
                                                     .from = call->multipart->id,
                                                     .path = path,
                                                     .is_create_only = (call->flags & STORAGE_PUT_CREATE_ONLY) != 0,
                                                     .is_volatile = (call->flags & STORAGE_PUT_VOLATILE) != 0});
    /* Also if it has its name, but that could not be synced: the caller may ask again, writers may not. */
    struct stat st;
    if (r == OK || fstatat(fs->parts_fd, call->multipart->id, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        file->is_complete = true;
        fs_int_parts_forget(fs, call->multipart->id);
    }
    return r;
}

static enum result work_complete(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct fs *fs = base->fs;
    struct fs_path path;
    struct parts_file *file;
    enum result r = fs_int_path(call->path, &path);
    if (r == OK && !are_parts_whole(call))
        r = INVALID;
    if (r != OK)
        return r;
    r = fs_int_parts_acquire(fs, call->multipart->id, &file);
    if (r != OK)
        return r == NOT_FOUND ? find_completed(fs, path.text, call) : r;
    pthread_rwlock_wrlock(&file->writing);
    r = publish_file(call, path.text, file);
    pthread_rwlock_unlock(&file->writing);
    fs_int_parts_release(fs, file);
    return r;
}

enum result fs_int_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                      const struct storage_part *parts, size_t part_count, uint64_t size,
                                      unsigned flags, struct done done)
{
    struct parts_call *call = call_new(self, work_complete, path, multipart, done);
    call->parts = parts;
    call->part_count = part_count;
    call->size = size;
    call->flags = flags;
    return fs_int_call_start(&call->base);
}

/* ---- abort ---- */

static enum result work_abort(struct fs_call *base)
{
    struct parts_call *call = (struct parts_call *)base;
    struct fs *fs = base->fs;
    const char *id = call->multipart->id;
    if (!storage_path_is_valid(slice_from_cstr(id)) || strchr(id, '/') != NULL)
        return OK; /* unknown */
    enum result r = OK;
    if (unlinkat(fs->parts_fd, id, 0) != 0 && errno != ENOENT)
        r = result_from_errno(errno);
    fs_int_parts_forget(fs, id);
    return r;
}

enum result fs_int_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                                   struct done done)
{
    return fs_int_call_start(&call_new(self, work_abort, path, multipart, done)->base);
}
