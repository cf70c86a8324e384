/* SPDX-License-Identifier: Apache-2.0
 *
 * The open files of objects being written in parts. A file stays open between calls: Linux reports a failed write-back
 * once to each descriptor that was open, and may forget it when none is, so a file that is closed unsynced could lose
 * bytes that its next sync calls safe. At most count_max stay open; the one idle longest is synced and closed.
 * Pool threads only.
 */
#include "fs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fs_int_parts_init(struct parts_table *t, unsigned count_max)
{
    pthread_mutex_init(&t->mutex, NULL);
    t->count = 0;
    t->count_max = count_max;
    for (size_t i = 0; i < PARTS_BUCKETS; i++)
        LIST_INIT(&t->buckets[i]);
    TAILQ_INIT(&t->idle);
}

static void free_file(struct parts_file *file)
{
    close(file->fd);
    pthread_rwlock_destroy(&file->writing);
    pthread_mutex_destroy(&file->sync_mutex);
    free(file);
}

void fs_int_parts_done(struct parts_table *t)
{
    struct parts_file *file;
    while ((file = TAILQ_FIRST(&t->idle)) != NULL) {
        TAILQ_REMOVE(&t->idle, file, recent);
        free_file(file);
    }
    pthread_mutex_destroy(&t->mutex);
}

static struct parts_bucket *bucket_of(struct parts_table *t, const char *id)
{
    return &t->buckets[fs_int_hash(id) % PARTS_BUCKETS];
}

/* Under the mutex: the file with one more reference, or NULL. */
static struct parts_file *take_open(struct parts_table *t, const char *id)
{
    struct parts_file *file;
    LIST_FOREACH(file, bucket_of(t, id), bucket)
    {
        if (strcmp(file->id, id) != 0)
            continue;
        if (file->refs++ == 0)
            TAILQ_REMOVE(&t->idle, file, recent);
        return file;
    }
    return NULL;
}

/* Under the mutex. True: the caller frees it. */
static bool give_back(struct parts_table *t, struct parts_file *file)
{
    if (--file->refs > 0)
        return false;
    if (file->is_forgotten)
        return true;
    TAILQ_INSERT_TAIL(&t->idle, file, recent);
    return false;
}

/* Under the mutex: nobody finds it any more. */
static void forget(struct parts_table *t, struct parts_file *file)
{
    if (file->is_forgotten)
        return;
    file->is_forgotten = true;
    t->count--;
    LIST_REMOVE(file, bucket);
}

void fs_int_parts_release(struct fs *fs, struct parts_file *file)
{
    struct parts_table *t = &fs->parts;
    pthread_mutex_lock(&t->mutex);
    bool is_last = give_back(t, file);
    pthread_mutex_unlock(&t->mutex);
    if (is_last)
        free_file(file);
}

/* Closes the file idle longest if there are too many; its bytes first go to the disk. */
static void make_room(struct fs *fs)
{
    struct parts_table *t = &fs->parts;
    struct parts_file *file = NULL;
    pthread_mutex_lock(&t->mutex);
    if (t->count > t->count_max) {
        file = TAILQ_FIRST(&t->idle);
        if (file != NULL) {
            TAILQ_REMOVE(&t->idle, file, recent);
            file->refs++;
        }
    }
    pthread_mutex_unlock(&t->mutex);
    if (file == NULL)
        return;
    (void)!fs_int_parts_sync(fs, file); /* a failure has removed the file: its writers will see */
    pthread_mutex_lock(&t->mutex);
    if (file->refs == 1) /* nobody has come for it meanwhile */
        forget(t, file);
    bool is_last = give_back(t, file);
    pthread_mutex_unlock(&t->mutex);
    if (is_last)
        free_file(file);
}

static struct parts_file *file_new(const char *id, int fd)
{
    struct parts_file *file = xcalloc(1, sizeof(*file));
    memcpy(file->id, id, strlen(id) + 1);
    file->fd = fd;
    file->refs = 1;
    pthread_mutex_init(&file->sync_mutex, NULL);
    pthread_rwlock_init(&file->writing, NULL);
    return file;
}

enum result fs_int_parts_acquire(struct fs *fs, const char *id, struct parts_file **ret_file)
{
    struct parts_table *t = &fs->parts;
    if (strlen(id) > NAME_MAX || !storage_path_is_valid(slice_from_cstr(id)) || strchr(id, '/') != NULL)
        return NOT_FOUND;
    pthread_mutex_lock(&t->mutex);
    *ret_file = take_open(t, id);
    pthread_mutex_unlock(&t->mutex);
    if (*ret_file != NULL)
        return OK;
    int fd = openat(fs->parts_fd, id, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return result_from_errno(errno);
    struct parts_file *opened = file_new(id, fd);
    pthread_mutex_lock(&t->mutex);
    *ret_file = take_open(t, id);
    if (*ret_file == NULL) {
        LIST_INSERT_HEAD(bucket_of(t, id), opened, bucket);
        t->count++;
        *ret_file = opened;
        opened = NULL;
    }
    pthread_mutex_unlock(&t->mutex);
    if (opened != NULL)
        free_file(opened); /* another thread was faster */
    make_room(fs);
    return OK;
}

enum result fs_int_parts_sync(struct fs *fs, struct parts_file *file)
{
    enum result r = OK;
    pthread_mutex_lock(&file->sync_mutex);
    if (file->is_failed) {
        r = IO;
    } else if (fdatasync(file->fd) != 0) {
        r = result_from_errno(errno);
        file->is_failed = true;
        (void)unlinkat(fs->parts_fd, file->id, 0);
    }
    pthread_mutex_unlock(&file->sync_mutex);
    if (r != OK)
        fs_int_parts_forget(fs, file->id);
    return r;
}

void fs_int_parts_forget(struct fs *fs, const char *id)
{
    struct parts_table *t = &fs->parts;
    pthread_mutex_lock(&t->mutex);
    struct parts_file *file = take_open(t, id);
    bool is_last = false;
    if (file != NULL) {
        forget(t, file);
        is_last = give_back(t, file);
    }
    pthread_mutex_unlock(&t->mutex);
    if (is_last)
        free_file(file);
}
