/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract for authors of storage drivers; callers use storage.h. A driver stores bytes under paths and knows
 * nothing of digests, repositories or tags. tests/conformance/storage_driver_suite.c holds every driver to it.
 *
 * Paths are relative ("docker/registry/v2/blobs/..."): components of [A-Za-z0-9._-] joined by '/', never empty, never
 * "." or "..", at most 1,023 bytes; the caller guarantees it. Asynchronous calls follow async.h and may be made from
 * any loop; several may be outstanding. Unless it says otherwise, OK on a write means durable: it survives a power
 * failure at once after. Reads see every write that was acknowledged before they began. A failed or crashed write
 * leaves the old object, the new one or none, never half of one. What stat and get find, and what EXISTS speaks of, is
 * durable too, unless it was written STORAGE_PUT_VOLATILE: a caller may build on it.
 */
#ifndef MINATO_STORAGE_DRIVER_H
#define MINATO_STORAGE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "minato/async.h"
#include "minato/config.h"
#include "minato/result.h"
#include "minato/slice.h"

#define STORAGE_PATH_MAX 1023
#define STORAGE_ETAG_MAX 63
#define STORAGE_DELETE_MAX 1000

enum storage_put_flags {
    STORAGE_PUT_CREATE_ONLY = 1, /* EXISTS if there is an object already; of several creators exactly one gets OK */
    STORAGE_PUT_VOLATILE = 2, /* need not survive a crash (a claim, an empty session): it may then be gone or empty */
};

struct storage_object {
    uint64_t size;
    uint64_t modified_ms; /* by the store's clock */
    char etag[STORAGE_ETAG_MAX + 1];
};

/* One entry of a listing: an object, or a prefix that has objects below it ("v1" for "v1/current/link"). */
struct storage_entry {
    struct slice name; /* relative to the listed folder, one component */
    bool is_folder;
};

/* One page of a listing, in the store's own order. Allocated in the arena given. */
struct storage_listing {
    struct storage_entry *entries;
    size_t count;
    struct slice next; /* hand it in as `after` for the next page; empty at the end */
};

/* A part that the store acknowledged to us. Complete lists these and no others. */
struct storage_part {
    uint32_t number; /* from 1 */
    uint64_t offset;
    uint64_t size;
    char etag[STORAGE_ETAG_MAX + 1]; /* the driver's own way to name it */
};

#define STORAGE_MULTIPART_ID_MAX 255
/* An object being written in parts; plain data, so that it can be saved and continued on another replica. */
struct storage_multipart {
    char id[STORAGE_MULTIPART_ID_MAX + 1];
};

struct storage_capabilities {
    bool can_rename;        /* rename_create is there: bytes can move to their digest's path */
    bool can_presign;       /* presign is there: readers are sent to the store */
    bool can_put_if_match;  /* put_if_match is there: compare-and-swap of one object */
    bool can_delete_many;   /* delete_many is there */
    bool parts_of_any_size; /* parts may have any size and offset; else all but the last are `part_bytes` long */
    uint64_t part_bytes;    /* the size of parts it likes best */
    uint32_t parts_max;     /* most parts of one object; 0 means no limit */
    uint64_t object_bytes_max;
};

/* When a presigned URL serves. Given, not taken from a clock: equal times make equal URLs, which caches need. */
struct storage_validity {
    uint64_t from_s; /* since 1970; not after now */
    uint32_t seconds;
};

struct log;
struct storage_reader; /* one object opened for reading, at a fixed range */

/* `self` is what open returned. Members marked (optional) may be NULL and then their capability is false. */
struct storage_driver {
    const char *name; /* its key below `storage:` in the configuration */

    /* Synchronous, at start-up: checks that the place is usable and ours alone where it must be. On failure writes a
     * sentence for the operator into `ret_why`: what is wrong and what to do. */
    enum result (*open)(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self);
    /* (optional) Begins what the driver does by itself, on `loop`, and what it has to tell, in `log`; both outlive it.
     * Once, after open, on the loop's thread or before the loop runs. */
    void (*start)(void *self, struct loop *loop, struct log *log);
    /* No call is outstanding and no loop runs. */
    void (*close)(void *self);
    struct storage_capabilities (*capabilities)(const void *self);
    /* Is the store there and writable? For /readyz. */
    enum result (*check)(void *self, struct done done);
    /* (optional) The store's time when this machine's wall clock says `machine_ms`, as far as its answers have told.
     * Without it the machine's clock is the store's. Any thread. */
    uint64_t (*time_ms)(const void *self, uint64_t machine_ms);

    enum result (*stat)(void *self, struct slice path, struct storage_object *ret_object, struct done done);
    /* The whole of a small object into `arena`. TOO_LARGE over `max_bytes`. `ret_object` may be NULL. */
    enum result (*get)(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                       struct storage_object *ret_object, struct done done);
    /* Replaces or creates. `flags`: enum storage_put_flags. */
    enum result (*put)(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done);
    /* (optional, but not where can_rename is false) As put, of the `size` bytes in a chain of pages (page->next), which
     * stay the caller's. `sha256`: 32 bytes, the digest that the caller verified, for a store that checks it once more
     * (INVALID: it found another); or NULL. EXISTS may speak of these very bytes, put by an attempt whose answer was
     * lost: what is created so has its digest in its path. */
    enum result (*put_pages)(void *self, struct slice path, const struct page *pages, uint64_t size,
                             const uint8_t *sha256, unsigned flags, struct done done);
    /* (optional) Replaces only if the object's etag is `etag`; CONFLICT if it is not, NOT_FOUND if there is none: both
     * are certain, so a driver that repeats a write by itself says UNAVAILABLE when it can no longer tell. */
    enum result (*put_if_match)(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done);
    /* NOT_FOUND if there was none. Also removes the folders above that are empty, whether or not there was one. */
    enum result (*delete)(void *self, struct slice path, struct done done);
    /* (optional) Removes up to STORAGE_DELETE_MAX objects. OK: none of them is there any more, or was; else some may be
     * gone. */
    enum result (*delete_many)(void *self, const struct slice *paths, size_t count, struct done done);
    /* One level below `folder`, at most `limit` entries. A folder that does not exist is an empty one. After a crash a
     * folder may be listed that has no object left below it. */
    enum result (*list)(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                        struct storage_listing *ret_listing, struct done done);

    /* Opens `length` bytes from `offset` (length UINT64_MAX: to the end). RANGE if `offset` is at or past the end (0 of
     * an empty object is fine). `ret_object` describes the whole object; it may be NULL. */
    enum result (*open_read)(void *self, struct slice path, uint64_t offset, uint64_t length,
                             struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done);
    /* Fills page->ptr from 0 and sets start and len; len 0 is the end of the range. One at a time. */
    enum result (*read)(struct storage_reader *reader, struct page *page, struct done done);
    /* No read is outstanding. Never blocks the loop. Accepts NULL. */
    void (*close_read)(struct storage_reader *reader);
    /* (optional) A file descriptor that holds the whole object, for sendfile by the pool; valid until close_read.
     * -1 if there is none. */
    int (*reader_fd)(const struct storage_reader *reader);
    /* (optional) A URL that serves `path` to `method` (GET or HEAD); the same for the same arguments while the driver's
     * credentials stay. `validity` becomes shorter where they end before. UNAVAILABLE: they have ended. Synchronous, no
     * I/O. */
    enum result (*presign)(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                           struct arena *arena, struct slice *ret_url);

    /* Begins an object in parts at `path`; nothing is visible there before multipart_complete. Need not be durable. */
    enum result (*multipart_begin)(void *self, struct slice path, struct storage_multipart *ret_multipart,
                                   struct done done);
    /* Writes the bytes of a chain of pages (page->next) as part `part->number` at part->offset, part->size bytes in
     * all; fills part->etag. Durable only after multipart_sync or multipart_complete. The pages stay the caller's. */
    enum result (*multipart_put)(void *self, struct slice path, const struct storage_multipart *multipart,
                                 const struct page *pages, struct storage_part *part, struct done done);
    /* Makes the parts acknowledged so far durable (a no-op where part_put already is). */
    enum result (*multipart_sync)(void *self, struct slice path, const struct storage_multipart *multipart,
                                  struct done done);
    /* Publishes at `path` exactly the parts listed, in order, size bytes in all; drops any byte beyond them. Where
     * parts may have any size, one listed may stand for several that were put side by side.
     * NOT_FOUND if the multipart is unknown. Repeating a complete whose answer was lost is OK. With
     * STORAGE_PUT_VOLATILE the bytes are durable but the name need not be (a rename follows). INVALID if the parts do
     * not follow one another from 0 to `size`; CORRUPT if the store has not got what they say. */
    enum result (*multipart_complete)(void *self, struct slice path, const struct storage_multipart *multipart,
                                      const struct storage_part *parts, size_t part_count, uint64_t size,
                                      unsigned flags, struct done done);
    /* Forgets it and its bytes; OK also if it is unknown. */
    enum result (*multipart_abort)(void *self, struct slice path, const struct storage_multipart *multipart,
                                   struct done done);
    /* A reader of the parts written so far, for a second hash (sha512 asked for at the end). `size` bytes. (optional)
     */
    enum result (*multipart_open_read)(void *self, struct slice path, const struct storage_multipart *multipart,
                                       uint64_t size, struct storage_reader **ret_reader, struct done done);
    /* (optional) Moves an object to a path that must be free: EXISTS (the source stays) if it is not. Its bytes are
     * durable already: no volatile put wrote them. */
    enum result (*rename_create)(void *self, struct slice from, struct slice to, struct done done);
};

/* Whether `path` is what the contract above calls a path. Any thread. */
bool storage_path_is_valid(struct slice path);

/* The drivers compiled in; NULL-terminated. */
extern const struct storage_driver *const storage_drivers[];
/* By name, or NULL. */
const struct storage_driver *storage_driver_find(struct slice name);

#endif
