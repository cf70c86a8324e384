/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes names durable: folders, the rename that publishes a file, and the removal of empty folders. The rules:
 *
 *   a file's bytes   synced before it gets its name (object.c, multipart.c)
 *   a file's name    its folder synced after the rename, before the call reports
 *   a folder         its parent synced after the mkdir, and after an EEXIST unless this process knows it durable
 *   a removal        the folder synced after the unlink
 *   a failed sync    is final: the kernel has dropped the error and perhaps the bytes, so a second sync proves nothing
 *
 * Between rename and sync an object can be seen that a power failure would take back; `unsettled` marks its path, and
 * who finds it syncs too (fs_int_settle). Pool threads only.
 */
#include "fs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "minato/own.h"

/* A folder can be pruned by a delete again and again while we make it. */
#define ATTEMPTS_MAX 64
/* "minato/uploads" and the like stay: to make them durable anew for each upload would cost a sync. */
#define KEPT_LEVELS 2

/* ---- folders known durable ---- */

void fs_int_durable_init(struct durable_folders *d)
{
    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->mutex, NULL);
}

void fs_int_durable_done(struct durable_folders *d)
{
    for (size_t i = 0; i < DURABLE_SLOTS; i++)
        free(d->slots[i]);
    pthread_mutex_destroy(&d->mutex);
}

static char **slot_of(struct durable_folders *d, const char *folder)
{
    return &d->slots[fs_int_hash(folder) % DURABLE_SLOTS];
}

static bool is_known_durable(struct durable_folders *d, const char *folder)
{
    if (*folder == '\0')
        return true;
    pthread_mutex_lock(&d->mutex);
    const char *known = *slot_of(d, folder);
    bool is_known = known != NULL && strcmp(known, folder) == 0;
    pthread_mutex_unlock(&d->mutex);
    return is_known;
}

static uint64_t removals_so_far(struct durable_folders *d)
{
    pthread_mutex_lock(&d->mutex);
    uint64_t removals = d->removals;
    pthread_mutex_unlock(&d->mutex);
    return removals;
}

/* `removals` was read before the folder was seen: if one was removed since, it may have been this one. */
static void enter_durable(struct durable_folders *d, const char *folder, uint64_t removals)
{
    char *copy = strdup(folder);
    pthread_mutex_lock(&d->mutex);
    if (copy != NULL && d->removals == removals) {
        char **slot = slot_of(d, folder);
        char *old = *slot;
        *slot = copy;
        copy = old;
    }
    pthread_mutex_unlock(&d->mutex);
    free(copy);
}

static void forget_slot(struct durable_folders *d, const char *folder)
{
    char **slot = slot_of(d, folder);
    if (*slot != NULL && strcmp(*slot, folder) == 0) {
        free(*slot);
        *slot = NULL;
    }
}

static struct fs_path path_of(const char *text)
{
    struct fs_path path;
    (void)snprintf(path.text, sizeof(path.text), "%s", text);
    return path;
}

/* The folders above `path` are not what we thought: somebody else removed one, or a sync failed. */
static void forget_folders(struct durable_folders *d, const char *path)
{
    struct fs_path folder = path_of(path);
    pthread_mutex_lock(&d->mutex);
    for (fs_int_parent(&folder); folder.text[0] != '\0'; fs_int_parent(&folder))
        forget_slot(d, folder.text);
    pthread_mutex_unlock(&d->mutex);
}

/* Removes a folder if it is empty, and what is known of it, in one. 0 or errno. */
static int remove_folder(struct fs *fs, const char *folder)
{
    struct durable_folders *d = &fs->durable;
    pthread_mutex_lock(&d->mutex);
    int err = unlinkat(fs->root_fd, folder, AT_REMOVEDIR) == 0 ? 0 : errno;
    if (err == 0) {
        d->removals++;
        forget_slot(d, folder);
    }
    pthread_mutex_unlock(&d->mutex);
    return err;
}

/* For writes: a file where a folder should be is no absence. */
static enum result write_result(int err)
{
    return err == ENOTDIR ? IO : result_from_errno(err);
}

/* ---- syncing and making folders ---- */

enum result fs_int_sync_folder(struct fs *fs, const char *folder)
{
    if (*folder == '\0')
        return fsync(fs->root_fd) == 0 ? OK : result_from_errno(errno);
    OWNED_FD int fd = openat(fs->root_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return result_from_errno(errno);
    return OK;
}

static enum result ensure_folder(struct fs *fs, struct fs_path *folder, bool is_durable)
{
    if (is_known_durable(&fs->durable, folder->text))
        return OK;
    uint64_t removals = removals_so_far(&fs->durable);
    if (mkdirat(fs->root_fd, folder->text, FOLDER_MODE) != 0 && errno != EEXIST)
        return write_result(errno);
    if (!is_durable)
        return OK;
    struct fs_path parent = *folder;
    fs_int_parent(&parent);
    enum result r = fs_int_sync_folder(fs, parent.text);
    if (r == OK)
        enter_durable(&fs->durable, folder->text, removals);
    return r;
}

enum result fs_int_ensure_folders(struct fs *fs, const char *path, bool is_durable)
{
    struct fs_path folder = path_of(path);
    fs_int_parent(&folder);
    if (is_known_durable(&fs->durable, folder.text))
        return OK;
    enum result r = OK;
    for (const char *slash = strchr(path, '/'); slash != NULL && r == OK; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path);
        memcpy(folder.text, path, length);
        folder.text[length] = '\0';
        r = ensure_folder(fs, &folder, is_durable);
    }
    return r;
}

static unsigned level_of(const char *folder)
{
    unsigned level = 1;
    for (const char *c = folder; *c != '\0'; c++)
        level += *c == '/';
    return level;
}

bool fs_int_prune(struct fs *fs, const char *path, struct fs_path *ret_parent)
{
    struct fs_path folder = path_of(path);
    bool is_any = false;
    for (fs_int_parent(&folder); level_of(folder.text) > KEPT_LEVELS; fs_int_parent(&folder)) {
        int err = remove_folder(fs, folder.text);
        if (err != 0 && err != ENOENT) /* ENOENT: the one above may be empty all the same */
            break;
        is_any = is_any || err == 0;
    }
    if (is_any)
        *ret_parent = folder;
    return is_any;
}

/* ---- publishing ---- */

pthread_mutex_t *fs_int_publish_lock(struct fs *fs, const char *path)
{
    return &fs->publish_locks[fs_int_hash(path) % PUBLISH_LOCKS];
}

static _Atomic unsigned *unsettled_of(struct fs *fs, const char *path)
{
    return &fs->unsettled[fs_int_hash(path) % UNSETTLED_SLOTS];
}

enum result fs_int_sync_name(struct fs *fs, const char *path)
{
    struct fs_path folder = path_of(path);
    fs_int_parent(&folder);
    enum result r = fs_int_sync_folder(fs, folder.text);
    if (r == OK)
        r = fs_int_ensure_folders(fs, path, true);
    /* Somebody deleted the object meanwhile, and its folder with it: that delete answers for what is on disk. */
    return r == NOT_FOUND ? OK : r;
}

enum result fs_int_settle(struct fs *fs, const char *path)
{
    return atomic_load(unsettled_of(fs, path)) == 0 ? OK : fs_int_sync_name(fs, path);
}

static enum result rename_create(struct fs *fs, const struct publication *p)
{
    if (renameat2(p->from_folder, p->from, fs->root_fd, p->path, RENAME_NOREPLACE) == 0)
        return OK;
    if (errno != EINVAL && errno != ENOSYS)
        return write_result(errno);
    /* A filesystem without RENAME_NOREPLACE (NFS). */
    if (linkat(p->from_folder, p->from, fs->root_fd, p->path, 0) != 0)
        return write_result(errno);
    return unlinkat(p->from_folder, p->from, 0) == 0 ? OK : result_from_errno(errno);
}

static enum result rename_replace(struct fs *fs, const struct publication *p)
{
    if (p->etag.ptr != NULL) {
        struct stat st;
        struct storage_object object;
        if (fstatat(fs->root_fd, p->path, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return result_from_errno(errno);
        fs_int_describe(&st, &object);
        if (!slice_equal(p->etag, slice_from_cstr(object.etag)))
            return CONFLICT;
    }
    return renameat(p->from_folder, p->from, fs->root_fd, p->path) == 0 ? OK : write_result(errno);
}

static enum result place(struct fs *fs, const struct publication *p)
{
    pthread_mutex_t *lock = fs_int_publish_lock(fs, p->path);
    pthread_mutex_lock(lock);
    enum result r = p->is_create_only ? rename_create(fs, p) : rename_replace(fs, p);
    pthread_mutex_unlock(lock);
    return r;
}

/* The folders, then the rename; again if a delete has pruned a folder in between. */
static enum result place_in_folders(struct fs *fs, const struct publication *p)
{
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        enum result r = OK;
        if (!p->is_volatile || attempt > 0)
            r = fs_int_ensure_folders(fs, p->path, !p->is_volatile);
        if (r == OK)
            r = place(fs, p);
        if (r != NOT_FOUND || p->etag.ptr != NULL)
            return r;
        struct stat st;
        if (fstatat(p->from_folder, p->from, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return NOT_FOUND;
        forget_folders(&fs->durable, p->path);
    }
    return CONFLICT;
}

enum result fs_int_publish(struct fs *fs, const struct publication *p)
{
    _Atomic unsigned *unsettled = unsettled_of(fs, p->path);
    if (!p->is_volatile)
        atomic_fetch_add(unsettled, 1);
    enum result r = place_in_folders(fs, p);
    bool is_placed = r == OK;
    if (!p->is_volatile && is_placed)
        r = fs_int_sync_name(fs, p->path);
    /* Who is told EXISTS builds on what is there: sync for its creator, if that one is still at it (1 is us). */
    if (!p->is_volatile && r == EXISTS && atomic_load(unsettled) > 1 && fs_int_sync_name(fs, p->path) != OK)
        r = IO;
    if (is_placed && r != OK) {
        forget_folders(&fs->durable, p->path);
        if (p->is_create_only)
            (void)unlinkat(fs->root_fd, p->path, 0);
    }
    if (!p->is_volatile)
        atomic_fetch_sub(unsettled, 1);
    struct fs_path ignored;
    if (r != OK && r != EXISTS)
        (void)fs_int_prune(fs, p->path, &ignored);
    return r;
}
