/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading ranges: open_read, read into a page, and the descriptor for those who send without copying. A reader is used
 * by one caller on one loop; what blocks runs on pool threads.
 */
#include "fs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "minato/own.h"

struct storage_reader {
    struct fs *fs;
    int fd;
    uint64_t at;
    uint64_t end;
    struct loop *loop;
    struct pool_job close;
};

/* ---- open ---- */

struct open_call {
    struct fs_call base;
    struct slice path;
    const struct storage_multipart *multipart; /* NULL: a whole object */
    uint64_t offset;
    uint64_t length;
    struct storage_object *ret_object;
    struct storage_reader **ret_reader;
    struct storage_object object;
    int fd;
};

static enum result check_range(struct open_call *call)
{
    uint64_t size = call->object.size;
    if (call->multipart != NULL)
        return call->length <= size ? OK : RANGE;
    if (call->offset > 0 && call->offset >= size)
        return RANGE;
    uint64_t left = size - call->offset;
    call->length = call->length < left ? call->length : left;
    return OK;
}

static enum result work_open(struct fs_call *base)
{
    struct open_call *call = (struct open_call *)base;
    struct fs_path path;
    struct stat st;
    int folder = base->fs->root_fd;
    enum result r = fs_int_path(call->path, &path);
    if (r != OK)
        return r;
    const char *name = path.text;
    if (call->multipart != NULL) {
        folder = base->fs->parts_fd;
        name = call->multipart->id;
        if (strchr(name, '/') != NULL)
            return NOT_FOUND;
    }
    OWNED_FD int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return result_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return NOT_FOUND;
    fs_int_describe(&st, &call->object);
    r = check_range(call);
    if (r != OK)
        return r;
    if (call->length > PAGE_BYTES)
        (void)posix_fadvise(fd, (off_t)call->offset, (off_t)call->length, POSIX_FADV_SEQUENTIAL);
    call->fd = take_fd(&fd);
    return OK;
}

static void deliver_open(struct fs_call *base)
{
    struct open_call *call = (struct open_call *)base;
    struct storage_reader *reader = xcalloc(1, sizeof(*reader));
    reader->fs = base->fs;
    reader->fd = call->fd;
    reader->at = call->offset;
    reader->end = call->offset + call->length;
    reader->loop = base->done.loop;
    if (call->ret_object != NULL)
        *call->ret_object = call->object;
    *call->ret_reader = reader;
}

enum result fs_int_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                             struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done)
{
    struct open_call *call = fs_int_call_new(sizeof(*call), self, work_open, deliver_open, done);
    call->path = path;
    call->offset = offset;
    call->length = length;
    call->ret_object = ret_object;
    call->ret_reader = ret_reader;
    return fs_int_call_start(&call->base);
}

enum result fs_int_multipart_open_read(void *self, struct slice path, const struct storage_multipart *multipart,
                                       uint64_t size, struct storage_reader **ret_reader, struct done done)
{
    struct open_call *call = fs_int_call_new(sizeof(*call), self, work_open, deliver_open, done);
    call->path = path;
    call->multipart = multipart;
    call->length = size;
    call->ret_reader = ret_reader;
    return fs_int_call_start(&call->base);
}

/* ---- read ---- */

struct read_call {
    struct fs_call base;
    struct storage_reader *reader;
    struct page *page;
    size_t got;
};

static enum result work_read(struct fs_call *base)
{
    struct read_call *call = (struct read_call *)base;
    const struct storage_reader *reader = call->reader;
    uint64_t left = reader->end - reader->at;
    size_t want = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
    while (call->got < want) {
        ssize_t n = pread(reader->fd, call->page->ptr + call->got, want - call->got, (off_t)(reader->at + call->got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? CORRUPT : result_from_errno(errno);
        call->got += (size_t)n;
    }
    return OK;
}

static void deliver_read(struct fs_call *base)
{
    struct read_call *call = (struct read_call *)base;
    call->page->start = 0;
    call->page->len = call->got;
    call->reader->at += call->got;
}

enum result fs_int_read(struct storage_reader *reader, struct page *page, struct done done)
{
    if (reader->at == reader->end) {
        page->start = 0;
        page->len = 0;
        return OK;
    }
    struct read_call *call = fs_int_call_new(sizeof(*call), reader->fs, work_read, deliver_read, done);
    call->reader = reader;
    call->page = page;
    return fs_int_call_start(&call->base);
}

/* ---- close ---- */

static void work_close(struct pool_job *job)
{
    struct storage_reader *reader =
        (struct storage_reader *)(void *)((char *)job - offsetof(struct storage_reader, close));
    close(reader->fd);
}

static void close_done(struct pool_job *job)
{
    free((char *)job - offsetof(struct storage_reader, close));
}

void fs_int_close_read(struct storage_reader *reader)
{
    if (reader == NULL)
        return;
    struct stat st;
    bool is_last_link = fstat(reader->fd, &st) != 0 || st.st_nlink == 0;
    if (is_last_link) {
        /* Deleted while we read: this close frees its blocks, which may take long. */
        reader->close.work = work_close;
        reader->close.done = close_done;
        reader->close.loop = reader->loop;
        if (pool_submit(reader->fs->pool, POOL_FILES, &reader->close) == OK)
            return;
    }
    close(reader->fd);
    free(reader);
}

int fs_int_reader_fd(const struct storage_reader *reader)
{
    return reader->fd;
}
