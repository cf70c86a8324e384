/* SPDX-License-Identifier: Apache-2.0
 *
 * The filesystem driver's table, and what each of its calls goes through: a job on the pool, then delivery on the
 * caller's loop. The calls are in object.c, list.c, read.c and multipart.c; what makes them safe against power
 * failures in durable.c and parts_file.c.
 */
#include "fs_int.h"

#include <stdio.h>
#include <stdlib.h>

/* A pool job for each MiB: enough to make the hop between threads small, little enough to leave pages for others. */
#define PART_BYTES (4 * (uint64_t)PAGE_BYTES)

static void on_work(struct pool_job *job)
{
    struct fs_call *call = (struct fs_call *)(void *)job; /* its first member */
    call->result = call->work(call);
}

static void on_done(struct pool_job *job)
{
    struct fs_call *call = (struct fs_call *)(void *)job;
    struct done done = call->done;
    enum result r = call->result;
    if (r == OK && call->deliver != NULL)
        call->deliver(call);
    free(call);
    done_call(done, r);
}

void *fs_int_call_new(size_t bytes, struct fs *fs, enum result (*work)(struct fs_call *call),
                      void (*deliver)(struct fs_call *call), struct done done)
{
    struct fs_call *call = xcalloc(1, bytes);
    call->job.work = on_work;
    call->job.done = on_done;
    call->job.loop = done.loop;
    call->fs = fs;
    call->done = done;
    call->work = work;
    call->deliver = deliver;
    return call;
}

enum result fs_int_call_start(struct fs_call *call)
{
    enum result r = pool_submit(call->fs->pool, POOL_FILES, &call->job);
    if (r == OK)
        return PENDING;
    free(call);
    return r;
}

static struct storage_capabilities capabilities(const void *self)
{
    (void)self;
    return (struct storage_capabilities){
        .can_rename = true,
        .can_put_if_match = true,
        .parts_of_any_size = true,
        .part_bytes = PART_BYTES,
        .object_bytes_max = INT64_MAX,
    };
}

/* ---- names ---- */

bool fs_int_is_own(struct slice path)
{
    static const char *const own[] = {TMP_FOLDER, PARTS_FOLDER, LOCK_FILE};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        struct slice name = slice_from_cstr(own[i]);
        if (slice_has_prefix(path, name) && (path.len == name.len || path.ptr[name.len] == '/'))
            return true;
    }
    return false;
}

enum result fs_int_path(struct slice path, struct fs_path *ret_path)
{
    if (!storage_path_is_valid(path) || fs_int_is_own(path))
        return INVALID;
    memcpy(ret_path->text, path.ptr, path.len);
    ret_path->text[path.len] = '\0';
    return OK;
}

void fs_int_parent(struct fs_path *path)
{
    char *slash = strrchr(path->text, '/');
    *(slash == NULL ? path->text : slash) = '\0';
}

/* FNV-1a */
uint64_t fs_int_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = text; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash ^ (hash >> 32);
}

void fs_int_describe(const struct stat *st, struct storage_object *ret_object)
{
    uint64_t modified_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
    *ret_object = (struct storage_object){.size = (uint64_t)st->st_size, .modified_ms = modified_ns / 1000000u};
    (void)snprintf(ret_object->etag, sizeof(ret_object->etag), "%llx-%llx-%llx", (unsigned long long)st->st_ino,
                   (unsigned long long)modified_ns, (unsigned long long)st->st_size);
}

const struct storage_driver filesystem_driver = {
    .name = "filesystem",
    .open = fs_int_open,
    .close = fs_int_close,
    .capabilities = capabilities,
    .check = fs_int_check,
    .stat = fs_int_stat,
    .get = fs_int_get,
    .put = fs_int_put,
    .put_if_match = fs_int_put_if_match,
    .delete = fs_int_delete,
    .list = fs_int_list,
    .open_read = fs_int_open_read,
    .read = fs_int_read,
    .close_read = fs_int_close_read,
    .reader_fd = fs_int_reader_fd,
    .multipart_begin = fs_int_multipart_begin,
    .multipart_put = fs_int_multipart_put,
    .multipart_sync = fs_int_multipart_sync,
    .multipart_complete = fs_int_multipart_complete,
    .multipart_abort = fs_int_multipart_abort,
    .multipart_open_read = fs_int_multipart_open_read,
    .rename_create = fs_int_rename_create,
};
