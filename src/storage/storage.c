/* SPDX-License-Identifier: Apache-2.0
 *
 * The door to the store: one driver, with the checks that no driver has to repeat (paths, members a driver lacks) and
 * the count of failures. No policy and no paths are made here (layout.c). Any loop; no locks, nothing changes after
 * opening but the URLs that redirect.h keeps.
 */
#include "minato/storage.h"

#include <stdlib.h>

#include "minato/arena.h"
#include "redirect.h"

struct storage {
    const struct storage_driver *driver;
    void *self;
    struct metrics *metrics;
    struct redirect redirect;
};

/* ---- opening ---- */

enum result storage_open(const struct config *config, struct pool *pool, struct metrics *metrics,
                         struct strbuf *ret_why, struct storage **ret_storage)
{
    const char *name = config->storage.driver == NULL ? "filesystem" : config->storage.driver;
    const struct storage_driver *driver = storage_driver_find(slice_from_cstr(name));
    if (driver == NULL) {
        strbuf_append_format(ret_why, "storage: there is no driver \"%s\"", name);
        return INVALID;
    }
    void *self;
    enum result r = driver->open(config, pool, ret_why, &self);
    if (r != OK)
        return r;
    struct storage *storage = storage_wrap(driver, self, metrics);
    r = storage_redirect_readers(storage, config, ret_why);
    if (r != OK) {
        storage_close(storage);
        return r;
    }
    *ret_storage = storage;
    return OK;
}

struct storage *storage_wrap(const struct storage_driver *driver, void *self, struct metrics *metrics)
{
    struct storage *storage = xmalloc(sizeof(*storage));
    *storage = (struct storage){.driver = driver, .self = self, .metrics = metrics};
    return storage;
}

void storage_start(struct storage *storage, struct loop *loop, struct log *log)
{
    if (storage->driver->start != NULL)
        storage->driver->start(storage->self, loop, log);
}

void storage_close(struct storage *storage)
{
    if (storage == NULL)
        return;
    storage->driver->close(storage->self);
    redirect_done(&storage->redirect);
    free(storage);
}

struct storage_capabilities storage_capabilities(const struct storage *storage)
{
    return storage->driver->capabilities(storage->self);
}

/* ---- time ---- */

static uint64_t store_time_ms(const struct storage *storage, uint64_t machine_ms)
{
    return storage->driver->time_ms == NULL ? machine_ms : storage->driver->time_ms(storage->self, machine_ms);
}

uint64_t storage_now_ms(const struct storage *storage, struct clock machine)
{
    return store_time_ms(storage, clock_wall_ms(machine));
}

/* ---- counting failures ---- */

/* One outstanding call: stands between the driver's completion and the caller's. */
struct watched {
    struct storage *storage;
    struct done done;
};

static bool is_failure_of_store(enum result r)
{
    return r == IO || r == UNAVAILABLE || r == QUOTA || r == CORRUPT;
}

static enum result count(const struct storage *storage, struct done done, enum result r)
{
    if (is_failure_of_store(r) && storage->metrics != NULL)
        metrics_add(storage->metrics, loop_index(done.loop), METRIC_STORAGE_ERRORS, 1);
    return r;
}

static void on_watched(void *data, enum result r)
{
    struct watched *watched = data;
    struct done done = watched->done;
    (void)count(watched->storage, done, r);
    free(watched);
    done_call(done, r);
}

static struct done watch(struct storage *storage, struct done done)
{
    if (storage->metrics == NULL)
        return done;
    struct watched *watched = xmalloc(sizeof(*watched));
    *watched = (struct watched){storage, done};
    return (struct done){on_watched, watched, done.loop};
}

/* `done` is what watch returned, `r` what the driver did. */
static enum result watched_result(struct storage *storage, struct done done, enum result r)
{
    if (r == PENDING || storage->metrics == NULL)
        return r;
    free(done.data);
    return count(storage, done, r);
}

/* ---- objects ---- */

enum result storage_check(struct storage *storage, struct done done)
{
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->check(storage->self, d));
}

enum result storage_stat(struct storage *storage, struct slice path, struct storage_object *ret_object,
                         struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->stat(storage->self, path, ret_object, d));
}

enum result storage_get(struct storage *storage, struct slice path, size_t max_bytes, struct arena *arena,
                        struct slice *ret_bytes, struct storage_object *ret_object, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d,
                          storage->driver->get(storage->self, path, max_bytes, arena, ret_bytes, ret_object, d));
}

enum result storage_put(struct storage *storage, struct slice path, struct slice bytes, unsigned flags,
                        struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->put(storage->self, path, bytes, flags, d));
}

static uint64_t bytes_of(const struct page *pages)
{
    uint64_t bytes = 0;
    for (const struct page *page = pages; page != NULL; page = page->next)
        bytes += page->len;
    return bytes;
}

enum result storage_put_pages(struct storage *storage, struct slice path, const struct page *pages, uint64_t size,
                              const uint8_t *sha256, unsigned flags, struct done done)
{
    if (!storage_path_is_valid(path) || bytes_of(pages) != size)
        return INVALID;
    if (storage->driver->put_pages == NULL)
        return UNSUPPORTED;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->put_pages(storage->self, path, pages, size, sha256, flags, d));
}

enum result storage_put_if_match(struct storage *storage, struct slice path, struct slice bytes, struct slice etag,
                                 struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    if (storage->driver->put_if_match == NULL || !storage_capabilities(storage).can_put_if_match)
        return UNSUPPORTED;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->put_if_match(storage->self, path, bytes, etag, d));
}

enum result storage_delete(struct storage *storage, struct slice path, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->delete (storage->self, path, d));
}

/* Many deletes, under way: as many at once as the driver takes. */
struct deletes {
    struct storage *storage;
    const struct slice *paths;
    size_t left;
    size_t batch;
    struct done done;
};

static enum result delete_batch(struct deletes *d, struct done done)
{
    struct storage *storage = d->storage;
    bool can_many = storage->driver->delete_many != NULL && storage_capabilities(storage).can_delete_many;
    size_t most = can_many ? STORAGE_DELETE_MAX : 1;
    d->batch = d->left < most ? d->left : most;
    if (!can_many)
        return storage_delete(storage, d->paths[0], done);
    struct done watched = watch(storage, done);
    return watched_result(storage, watched, storage->driver->delete_many(storage->self, d->paths, d->batch, watched));
}

static void on_batch_deleted(void *data, enum result r);

/* `r` is what the batch before came to. */
static enum result delete_rest(struct deletes *d, enum result r)
{
    for (;;) {
        if (r == PENDING || (r != OK && r != NOT_FOUND))
            return r;
        d->paths += d->batch;
        d->left -= d->batch;
        if (d->left == 0)
            return OK;
        r = delete_batch(d, (struct done){on_batch_deleted, d, d->done.loop});
    }
}

static void on_batch_deleted(void *data, enum result r)
{
    struct deletes *d = data;
    r = delete_rest(d, r);
    if (r == PENDING)
        return;
    struct done done = d->done;
    free(d);
    done_call(done, r);
}

enum result storage_delete_many(struct storage *storage, const struct slice *paths, size_t count, struct done done)
{
    for (size_t i = 0; i < count; i++)
        if (!storage_path_is_valid(paths[i]))
            return INVALID;
    struct deletes *d = xmalloc(sizeof(*d));
    *d = (struct deletes){.storage = storage, .paths = paths, .left = count, .done = done};
    enum result r = delete_rest(d, OK);
    if (r != PENDING)
        free(d);
    return r;
}

enum result storage_list(struct storage *storage, struct slice folder, struct slice after, size_t limit,
                         struct arena *arena, struct storage_listing *ret_listing, struct done done)
{
    if (!storage_path_is_valid(folder) || limit == 0)
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d,
                          storage->driver->list(storage->self, folder, after, limit, arena, ret_listing, d));
}

enum result storage_rename_create(struct storage *storage, struct slice from, struct slice to, struct done done)
{
    if (!storage_path_is_valid(from) || !storage_path_is_valid(to))
        return INVALID;
    if (storage->driver->rename_create == NULL || !storage_capabilities(storage).can_rename)
        return UNSUPPORTED;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->rename_create(storage->self, from, to, d));
}

static enum result presign(struct storage *storage, struct slice path, struct slice method,
                           struct storage_validity *validity, struct arena *arena, struct slice *ret_url)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    if (storage->driver->presign == NULL || !storage_capabilities(storage).can_presign)
        return UNSUPPORTED;
    return storage->driver->presign(storage->self, path, method, validity, arena, ret_url);
}

enum result storage_presign(struct storage *storage, struct slice path, struct slice method,
                            struct storage_validity validity, struct arena *arena, struct slice *ret_url)
{
    return presign(storage, path, method, &validity, arena, ret_url);
}

/* ---- URLs ---- */

enum result storage_redirect_readers(struct storage *storage, const struct config *config, struct strbuf *ret_why)
{
    return redirect_init(&storage->redirect, config, ret_why);
}

bool storage_has_urls(const struct storage *storage)
{
    const struct redirect *redirect = &storage->redirect;
    return redirect->is_enabled && (redirect->cdn != NULL || storage_capabilities(storage).can_presign);
}

static enum result sign_url(struct storage *storage, struct slice path, uint64_t now_ms, struct arena *arena,
                            struct storage_url *ret_url)
{
    struct storage_validity validity = redirect_validity(&storage->redirect, now_ms, &ret_url->same_for_s);
    uint64_t wanted_end_s = validity.from_s + validity.seconds;
    if (storage->redirect.cdn != NULL)
        return cdn_sign(storage->redirect.cdn, path, wanted_end_s, arena, &ret_url->text);
    enum result r = presign(storage, path, SLICE("GET"), &validity, arena, &ret_url->text);
    uint64_t end_s = validity.from_s + validity.seconds;
    if (r == OK && end_s < wanted_end_s)
        ret_url->same_for_s = redirect_same_for_s(end_s, now_ms, ret_url->same_for_s);
    return r;
}

enum result storage_find_url(struct storage *storage, struct slice path, uint64_t machine_ms, struct arena *arena,
                             struct storage_url *ret_url)
{
    if (!storage_has_urls(storage))
        return UNSUPPORTED;
    uint64_t now_ms = store_time_ms(storage, machine_ms);
    if (url_cache_find(storage->redirect.urls, path, now_ms, arena, ret_url))
        return OK;
    if (!storage_path_is_valid(path))
        return INVALID;
    enum result r = sign_url(storage, path, now_ms, arena, ret_url);
    if (r == OK)
        url_cache_add(storage->redirect.urls, path, now_ms, ret_url);
    return r;
}

/* ---- reading ---- */

enum result storage_open_read(struct storage *storage, struct slice path, uint64_t offset, uint64_t length,
                              struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d,
                          storage->driver->open_read(storage->self, path, offset, length, ret_object, ret_reader, d));
}

enum result storage_read(struct storage *storage, struct storage_reader *reader, struct page *page, struct done done)
{
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->read(reader, page, d));
}

void storage_close_read(struct storage *storage, struct storage_reader *reader)
{
    storage->driver->close_read(reader);
}

int storage_reader_fd(const struct storage *storage, const struct storage_reader *reader)
{
    return storage->driver->reader_fd == NULL ? -1 : storage->driver->reader_fd(reader);
}

/* ---- objects in parts ---- */

enum result storage_multipart_begin(struct storage *storage, struct slice path, struct storage_multipart *ret_multipart,
                                    struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->multipart_begin(storage->self, path, ret_multipart, d));
}

enum result storage_multipart_put(struct storage *storage, struct slice path, const struct storage_multipart *multipart,
                                  const struct page *pages, struct storage_part *part, struct done done)
{
    if (!storage_path_is_valid(path) || part->number == 0 || part->size == 0 || part->size != bytes_of(pages))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->multipart_put(storage->self, path, multipart, pages, part, d));
}

enum result storage_multipart_sync(struct storage *storage, struct slice path,
                                   const struct storage_multipart *multipart, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->multipart_sync(storage->self, path, multipart, d));
}

/* The parts listed cover [0, size) without holes, in order. */
static bool parts_are_whole(const struct storage_part *parts, size_t part_count, uint64_t size)
{
    uint64_t end = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].offset != end || parts[i].size == 0 || (i > 0 && parts[i].number <= parts[i - 1].number))
            return false;
        end += parts[i].size;
    }
    return end == size;
}

enum result storage_multipart_complete(struct storage *storage, struct slice path,
                                       const struct storage_multipart *multipart, const struct storage_part *parts,
                                       size_t part_count, uint64_t size, unsigned flags, struct done done)
{
    if (!storage_path_is_valid(path) || !parts_are_whole(parts, part_count, size))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(
        storage, d,
        storage->driver->multipart_complete(storage->self, path, multipart, parts, part_count, size, flags, d));
}

enum result storage_multipart_abort(struct storage *storage, struct slice path,
                                    const struct storage_multipart *multipart, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    struct done d = watch(storage, done);
    return watched_result(storage, d, storage->driver->multipart_abort(storage->self, path, multipart, d));
}

enum result storage_multipart_open_read(struct storage *storage, struct slice path,
                                        const struct storage_multipart *multipart, uint64_t size,
                                        struct storage_reader **ret_reader, struct done done)
{
    if (!storage_path_is_valid(path))
        return INVALID;
    if (storage->driver->multipart_open_read == NULL)
        return UNSUPPORTED;
    struct done d = watch(storage, done);
    return watched_result(storage, d,
                          storage->driver->multipart_open_read(storage->self, path, multipart, size, ret_reader, d));
}
