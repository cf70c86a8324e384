/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the filesystem driver share. Every call is a job: its `work` runs on a pool thread, its `deliver`
 * on the caller's loop, so outputs and arenas are touched on the loop only.
 *
 * Locks, in the order they are taken when two are held: parts_file.writing, parts_file.sync_mutex, publish_locks[i],
 * durable.mutex, parts.mutex. The first two are held across syncs, the others never.
 */
#ifndef MINATO_FILESYSTEM_INT_H
#define MINATO_FILESYSTEM_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "filesystem.h"
#include "minato/arena.h"

#define TMP_FOLDER "minato/tmp"
#define PARTS_FOLDER "minato/parts"
#define LOCK_FILE "minato/lock"

#define OURS_PREFIX "minato/"

/* What Docker Registry may read too; and what is put below minato/, secrets among it. */
#define FILE_MODE 0644
#define OURS_MODE 0600
#define FOLDER_MODE 0755

/* A path as libc takes it. */
struct fs_path {
    char text[STORAGE_PATH_MAX + 1];
};

/* Folders known to exist and to be durable, in this process: a bounded table, one folder per slot. `mutex` guards all;
 * a folder is removed from the disk with it held, so that no stale entry can be seen. */
#define DURABLE_SLOTS 4096
struct durable_folders {
    pthread_mutex_t mutex;
    uint64_t removals; /* counts removed folders: what was found out before one may not be entered after it */
    char *slots[DURABLE_SLOTS];
};

/* The file of one object being written in parts, kept open so that no write-back error is lost between two calls. */
struct parts_file {
    LIST_ENTRY(parts_file) bucket;
    TAILQ_ENTRY(parts_file) recent; /* in parts.idle while refs == 0 */
    char id[STORAGE_MULTIPART_ID_MAX + 1];
    int fd;
    unsigned refs;              /* guarded by parts.mutex */
    bool is_forgotten;          /* guarded by parts.mutex: not in a bucket any more */
    pthread_mutex_t sync_mutex; /* one sync at a time: an error is reported once per descriptor */
    bool is_failed;             /* guarded by sync_mutex: its bytes are not to be trusted */
    pthread_rwlock_t writing;   /* shared by writers; exclusive to complete, after which nobody writes */
    bool is_complete;           /* guarded by writing */
    _Atomic bool is_named;      /* its name below minato/parts is durable */
};

#define PARTS_BUCKETS 256
/* `mutex` guards all. */
struct parts_table {
    pthread_mutex_t mutex;
    unsigned count;
    unsigned count_max;
    LIST_HEAD(parts_bucket, parts_file) buckets[PARTS_BUCKETS];
    TAILQ_HEAD(parts_recent, parts_file) idle; /* least recently used first */
};

#define PUBLISH_LOCKS 64
#define UNSETTLED_SLOTS 1024
struct fs {
    struct pool *pool;
    char *root;
    int root_fd;
    int tmp_fd;
    int parts_fd;
    int lock_fd;
    struct durable_folders durable;
    struct parts_table parts;
    /* By path: held while an object changes, so that put_if_match compares and swaps in one. */
    pthread_mutex_t publish_locks[PUBLISH_LOCKS];
    /* By path: objects that are visible and not yet durable. Who finds one makes it durable before building on it. */
    _Atomic unsigned unsettled[UNSETTLED_SLOTS];
    _Atomic uint64_t temp_names;
    _Atomic uint64_t last_stamp_ns;
};

/* ---- calls (driver.c) ---- */

/* The first member of each call's struct. */
struct fs_call {
    struct pool_job job;
    struct fs *fs;
    struct done done;
    enum result (*work)(struct fs_call *call);
    void (*deliver)(struct fs_call *call); /* on OK; may be NULL */
    enum result result;
};

/* A zeroed call of `bytes`; fs_int_call_start runs it and frees it at its end. */
void *fs_int_call_new(size_t bytes, struct fs *fs, enum result (*work)(struct fs_call *call),
                      void (*deliver)(struct fs_call *call), struct done done);
enum result fs_int_call_start(struct fs_call *call) NODISCARD;

/* ---- names ---- */

/* INVALID for what is no path or is the driver's own (minato/tmp, ..). */
enum result fs_int_path(struct slice path, struct fs_path *ret_path) NODISCARD;
bool fs_int_is_own(struct slice path);
/* Cuts the last component off; "" when there was one only. */
void fs_int_parent(struct fs_path *path);
uint64_t fs_int_hash(const char *text);
void fs_int_describe(const struct stat *st, struct storage_object *ret_object);

/* ---- durability (durable.c) ---- */

void fs_int_durable_init(struct durable_folders *d);
void fs_int_durable_done(struct durable_folders *d);
/* Waits until `folder` ("": the root) has its entries on disk. */
enum result fs_int_sync_folder(struct fs *fs, const char *folder) NODISCARD;
/* Makes the folders above `path`; durable ones, if asked. NOT_FOUND: one was removed meanwhile, try again. */
enum result fs_int_ensure_folders(struct fs *fs, const char *path, bool is_durable) NODISCARD;
/* Removes the folders above `path` that are empty. *ret_parent: the lowest one that stands; false if none was removed.
 */
bool fs_int_prune(struct fs *fs, const char *path, struct fs_path *ret_parent);

struct publication {
    int from_folder; /* descriptor */
    const char *from;
    const char *path;
    struct slice etag; /* replace only this; ptr NULL: anything */
    bool is_create_only;
    bool is_volatile;
};
/* Moves a file whose bytes are durable to its path and makes the name durable. On failure the file is where it was, or
 * gone; what it replaced is not touched, unless the failure was that of the folder's sync. */
enum result fs_int_publish(struct fs *fs, const struct publication *p) NODISCARD;
/* Waits until the name of an object that is there, and all folders above it, are on disk. */
enum result fs_int_sync_name(struct fs *fs, const char *path) NODISCARD;
/* To be called after `path` was found: waits until what was found is durable. */
enum result fs_int_settle(struct fs *fs, const char *path) NODISCARD;
pthread_mutex_t *fs_int_publish_lock(struct fs *fs, const char *path);

/* ---- temp files (object.c) ---- */

/* Writes `bytes` to a new file in the temp folder, durable unless `is_volatile`. On failure nothing is left. */
#define TEMP_NAME_SIZE 17
enum result fs_int_write_temp(struct fs *fs, struct slice bytes, mode_t mode, bool is_volatile,
                              char ret_name[TEMP_NAME_SIZE]) NODISCARD;

/* ---- parts (parts_file.c) ---- */

void fs_int_parts_init(struct parts_table *t, unsigned count_max);
void fs_int_parts_done(struct parts_table *t);
/* The file of a multipart, opened or found open. NOT_FOUND. Give it back with fs_int_parts_release. */
enum result fs_int_parts_acquire(struct fs *fs, const char *id, struct parts_file **ret_file) NODISCARD;
void fs_int_parts_release(struct fs *fs, struct parts_file *file);
/* Makes its bytes durable. A failure is final: the file is removed. */
enum result fs_int_parts_sync(struct fs *fs, struct parts_file *file) NODISCARD;
/* It has no name any more: closed when the last user gives it back. */
void fs_int_parts_forget(struct fs *fs, const char *id);

/* ---- opening (open.c) and the calls ---- */

enum result fs_int_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self);
void fs_int_close(void *self);

enum result fs_int_check(void *self, struct done done);
enum result fs_int_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done);
enum result fs_int_get(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                       struct storage_object *ret_object, struct done done);
enum result fs_int_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done);
enum result fs_int_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done);
enum result fs_int_delete(void *self, struct slice path, struct done done);
enum result fs_int_rename_create(void *self, struct slice from, struct slice to, struct done done);
enum result fs_int_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                        struct storage_listing *ret_listing, struct done done);

enum result fs_int_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                             struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done);
enum result fs_int_read(struct storage_reader *reader, struct page *page, struct done done);
void fs_int_close_read(struct storage_reader *reader);
int fs_int_reader_fd(const struct storage_reader *reader);

enum result fs_int_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                   struct done done);
enum result fs_int_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                                 const struct page *pages, struct storage_part *part, struct done done);
enum result fs_int_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                                  struct done done);
enum result fs_int_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                      const struct storage_part *parts, size_t part_count, uint64_t size,
                                      unsigned flags, struct done done);
enum result fs_int_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                                   struct done done);
enum result fs_int_multipart_open_read(void *self, struct slice path, const struct storage_multipart *multipart,
                                       uint64_t size, struct storage_reader **ret_reader, struct done done);

#endif
