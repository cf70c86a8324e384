/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing the root: making it, keeping other processes off it, proving that it can be written, and clearing
 * what a crash left. Start-up and shut-down only, on the caller's thread. Every failure is a sentence for the operator.
 *
 * Of the driver itself, below the root:
 *   minato/lock    held by the process that serves the root; its id while it runs, empty after a clean end
 *   minato/tmp     files being written; emptied at start
 *   minato/parts   objects being written in parts; they outlive the process
 */
#include "fs_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "minato/own.h"

#define OPEN_PARTS_MIN 16
#define OPEN_PARTS_MAX 4096

/* "<what> <root>/<name>: <errno>. <hint>" */
static enum result explain(struct strbuf *why, const char *what, const char *root, const char *name)
{
    int err = errno;
    char text[128];
    strbuf_append_format(why, "storage.filesystem.root: %s %s%s%s: %s.", what, root, *name == '\0' ? "" : "/", name,
                         strerror_r(err, text, sizeof(text)));
    if (err == EACCES || err == EPERM)
        strbuf_append_format(why, " Give user id %u write access to it, or configure another folder.",
                             (unsigned)geteuid());
    else if (err == EROFS)
        strbuf_append_cstr(why, " Mount it writable, or configure another folder.");
    else if (err == ENOSPC || err == EDQUOT)
        strbuf_append_cstr(why, " Make room there.");
    return result_from_errno(err);
}

/* ---- the root and its folders ---- */

/* Makes `path` and what is missing above it, each durable. */
static enum result make_root(struct strbuf *why, const char *root)
{
    OWNED_MEMORY char *path = strdup(root);
    if (path == NULL)
        abort();
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(path, FOLDER_MODE) != 0 && errno != EEXIST)
            return explain(why, "cannot make the folder", path, "");
        if (slash == NULL)
            return OK;
        *slash = '/';
    }
}

/* The names of folders made above the root: synced where we may. */
static void sync_above(const char *root)
{
    OWNED_MEMORY char *path = strdup(root);
    if (path == NULL)
        abort();
    for (char *slash = strrchr(path, '/'); slash != NULL && slash != path; slash = strrchr(path, '/')) {
        *slash = '\0';
        OWNED_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            (void)fsync(fd);
    }
    OWNED_FD int fd = open(*root == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)fsync(fd);
}

static enum result make_folder(struct fs *fs, struct strbuf *why, const char *name, int *ret_fd)
{
    if (mkdirat(fs->root_fd, name, FOLDER_MODE) != 0 && errno != EEXIST)
        return explain(why, "cannot make the folder", fs->root, name);
    if (ret_fd == NULL)
        return OK;
    *ret_fd = openat(fs->root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 ? OK : explain(why, "cannot open the folder", fs->root, name);
}

static enum result make_folders(struct fs *fs, struct strbuf *why)
{
    enum result r = make_folder(fs, why, "minato", NULL);
    if (r == OK)
        r = make_folder(fs, why, TMP_FOLDER, &fs->tmp_fd);
    if (r == OK)
        r = make_folder(fs, why, PARTS_FOLDER, &fs->parts_fd);
    if (r != OK)
        return r;
    if (fs_int_sync_folder(fs, "") != OK || fs_int_sync_folder(fs, "minato") != OK)
        return explain(why, "cannot sync the folder (does this filesystem support fsync of folders?)", fs->root, "");
    return OK;
}

/* ---- the lock ---- */

static enum result refuse_second(struct fs *fs, struct strbuf *why)
{
    char pid[32];
    ssize_t n = pread(fs->lock_fd, pid, sizeof(pid) - 1, 0);
    pid[n < 0 ? 0 : n] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    strbuf_append_format(why,
                         "storage.filesystem.root: another minato%s%s serves %s. Stop it, or configure another folder: "
                         "two processes on one folder would damage it.",
                         *pid == '\0' ? "" : " with process id ", pid, fs->root);
    return CONFLICT;
}

/* *ret_is_unclean: the process before us did not end as it should. */
static enum result take_lock(struct fs *fs, struct strbuf *why, bool *ret_is_unclean)
{
    struct stat st;
    char pid[32];
    fs->lock_fd = openat(fs->root_fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fs->lock_fd < 0)
        return explain(why, "cannot open", fs->root, LOCK_FILE);
    if (flock(fs->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? refuse_second(fs, why) : explain(why, "cannot lock", fs->root, LOCK_FILE);
    if (fstat(fs->lock_fd, &st) != 0)
        return explain(why, "cannot read", fs->root, LOCK_FILE);
    *ret_is_unclean = st.st_size > 0;
    int length = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fs->lock_fd, 0) != 0 || pwrite(fs->lock_fd, pid, (size_t)length, 0) != length)
        return explain(why, "cannot write", fs->root, LOCK_FILE);
    return OK;
}

/* ---- what a crash left ---- */

/* Removes the files of a folder that were last written before `before`. */
static void remove_old_files(int folder, time_t before)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        own_close_fd(&fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;
        if (fstatat(folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) &&
            st.st_mtim.tv_sec < before)
            (void)unlinkat(folder, entry->d_name, 0);
    }
    closedir(dir);
}

static enum result clear(struct fs *fs, struct strbuf *why, uint64_t expire_after_ms, bool is_unclean)
{
    remove_old_files(fs->tmp_fd, INT64_MAX);
    /* Sessions expire by what the registry knows; this is for files whose session was never saved. */
    time_t now = time(NULL);
    time_t age = (time_t)(expire_after_ms / 1000) * 2;
    if (expire_after_ms > 0 && age < now)
        remove_old_files(fs->parts_fd, now - age);
    /* A killed process may have left names that anybody can see and no disk has. */
    if (is_unclean && syncfs(fs->root_fd) != 0)
        return explain(why, "cannot sync the filesystem of", fs->root, "");
    return OK;
}

static enum result prove_writable(struct fs *fs, struct strbuf *why)
{
    char name[TEMP_NAME_SIZE];
    if (fs_int_write_temp(fs, SLICE("minato"), OURS_MODE, false, name) != OK || unlinkat(fs->tmp_fd, name, 0) != 0)
        return explain(why, "cannot write a file into", fs->root, TMP_FOLDER);
    return OK;
}

/* ---- open and close ---- */

static void fs_free(struct fs *fs)
{
    fs_int_parts_done(&fs->parts);
    fs_int_durable_done(&fs->durable);
    for (size_t i = 0; i < PUBLISH_LOCKS; i++)
        pthread_mutex_destroy(&fs->publish_locks[i]);
    own_close_fd(&fs->parts_fd);
    own_close_fd(&fs->tmp_fd);
    own_close_fd(&fs->lock_fd);
    own_close_fd(&fs->root_fd);
    free(fs->root);
    free(fs);
}

static struct fs *fs_new(const char *root, struct pool *pool)
{
    struct fs *fs = xcalloc(1, sizeof(*fs));
    fs->pool = pool;
    fs->root_fd = fs->tmp_fd = fs->parts_fd = fs->lock_fd = -1;
    fs->root = strdup(root);
    if (fs->root == NULL)
        abort();
    for (size_t length = strlen(root); length > 1 && fs->root[length - 1] == '/'; length--)
        fs->root[length - 1] = '\0';
    for (size_t i = 0; i < PUBLISH_LOCKS; i++)
        pthread_mutex_init(&fs->publish_locks[i], NULL);
    fs_int_durable_init(&fs->durable);
    /* A quarter of the descriptors, the rest is for connections and readers. */
    struct rlimit limit;
    rlim_t open_parts = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur / 4 : OPEN_PARTS_MIN;
    open_parts = open_parts < OPEN_PARTS_MIN ? OPEN_PARTS_MIN : open_parts;
    fs_int_parts_init(&fs->parts, (unsigned)(open_parts > OPEN_PARTS_MAX ? OPEN_PARTS_MAX : open_parts));
    return fs;
}

static enum result prepare(struct fs *fs, const struct config *config, struct strbuf *why)
{
    bool is_unclean = false;
    enum result r = make_root(why, fs->root);
    if (r != OK)
        return r;
    sync_above(fs->root);
    fs->root_fd = open(fs->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs->root_fd < 0)
        return explain(why, "cannot open the folder", fs->root, "");
    r = make_folders(fs, why);
    if (r == OK)
        r = take_lock(fs, why, &is_unclean);
    if (r == OK)
        r = clear(fs, why, config->uploads.expire_after_ms, is_unclean);
    if (r == OK)
        r = prove_writable(fs, why);
    return r;
}

enum result fs_int_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self)
{
    const char *root = config->storage.filesystem.root;
    if (root == NULL || *root == '\0') {
        strbuf_append_cstr(ret_why, "storage.filesystem.root: no folder is configured.");
        return INVALID;
    }
    struct fs *fs = fs_new(root, pool);
    enum result r = prepare(fs, config, ret_why);
    if (r != OK) {
        fs_free(fs);
        return r;
    }
    *ret_self = fs;
    return OK;
}

void fs_int_close(void *self)
{
    struct fs *fs = self;
    /* Empty: a clean end. If this fails, the next start syncs what needs no sync. */
    if (ftruncate(fs->lock_fd, 0) == 0)
        (void)fdatasync(fs->lock_fd);
    fs_free(fs);
}
