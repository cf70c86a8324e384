/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the driver share. Every call is a job: its `work` runs on a pool thread and blocks there in libs3,
 * its `deliver` runs on the caller's loop.
 */
#ifndef MINATO_S3V2_INT_H
#define MINATO_S3V2_INT_H

#include <pthread.h>

#include <libs3.h>

#include "minato/arena.h"
#include "s3v2.h"

#define V2_LOCKS 64
#define V2_PARTS_MAX 10000u
#define V2_OBJECT_BYTES_MAX (5ull << 30) /* of one PUT */
#define V2_KEY_MAX 1023u                 /* of S3 */

/* Read only once open, but for the locks. */
struct s3v2 {
    struct pool *pool;
    struct arena arena;
    S3BucketContext inside;
    S3BucketContext outside; /* as clients reach it */
    struct slice key_prefix; /* "prefix/" or empty */
    uint64_t part_bytes;
    bool is_unverified; /* TLS of which nobody checks the certificate */
    /* By path, held by pool threads across requests while they change an object: the store itself can neither create
     * nor swap. None is taken while another is held. */
    pthread_mutex_t locks[V2_LOCKS];
};

/* ---- calls (driver.c) ---- */

/* The first member of each call's struct. */
struct v2_call {
    struct pool_job job;
    struct s3v2 *s3;
    struct slice path;
    struct done done;
    enum result (*work)(struct v2_call *call);
    void (*deliver)(struct v2_call *call); /* on OK; may be NULL */
    enum result result;
    struct arena arena; /* of the call: work's, then deliver's */
};
/* A zeroed call of `bytes`; v2_call_start runs it and frees it at its end. */
void *v2_call_new(size_t bytes, struct s3v2 *s3, struct slice path, enum result (*work)(struct v2_call *call),
                  struct done done);
enum result v2_call_start(struct v2_call *call) NODISCARD;
pthread_mutex_t *v2_lock_of(struct s3v2 *s3, struct slice path);

/* ---- requests (client.c): they block, any thread of the pool ---- */

/* The whole key of a path, in `arena`. */
const char *v2_key(const struct s3v2 *s3, struct slice path, struct arena *arena);
enum result v2_head(struct s3v2 *s3, const char *key, struct storage_object *ret_object) NODISCARD;
/* `count` bytes from `offset` (0: all from there), appended to `out`, which is cleared before; TOO_LARGE if they do not
 * fit. CONFLICT: the object has another etag than `etag` (NULL: any). `ret_object` may be NULL. */
enum result v2_get(struct s3v2 *s3, const char *key, uint64_t offset, uint64_t count, const char *etag,
                   struct strbuf *out, struct storage_object *ret_object) NODISCARD;
enum result v2_delete(struct s3v2 *s3, const char *key) NODISCARD;
/* One level below `prefix`, or all below it without a delimiter, after `marker` (empty: from the first). */
enum result v2_list(struct s3v2 *s3, struct slice prefix, struct slice marker, bool is_one_level, size_t limit,
                    struct arena *arena, struct storage_listing *ret_listing) NODISCARD;

/* Where the bytes of a PUT come from. */
struct v2_source {
    /* Fills at most `room` bytes; 0: it has no more, or could not get them. */
    size_t (*fill)(struct v2_source *source, char *out, size_t room);
    void (*rewind)(struct v2_source *source);
};
/* Debian's libs3 tells no ETag of a PUT: ask with v2_head. */
enum result v2_put(struct s3v2 *s3, const char *key, struct v2_source *source, uint64_t size) NODISCARD;

/* Bytes, or a chain of pages. */
struct v2_bytes {
    struct v2_source source;
    struct slice bytes;
    const struct page *pages;
    struct slice left;
    const struct page *next;
};
void v2_bytes_init(struct v2_bytes *b, struct slice bytes, const struct page *pages);
/* At start: writes an object and removes it; a sentence for the operator when it cannot. */
enum result v2_probe(struct s3v2 *s3, struct strbuf *ret_why) NODISCARD;

/* ---- the members ---- */

enum result v2_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done);
enum result v2_get_whole(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                         struct storage_object *ret_object, struct done done);
enum result v2_put_bytes(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done);
enum result v2_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size, const uint8_t *sha256,
                         unsigned flags, struct done done);
enum result v2_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done);
enum result v2_remove(void *self, struct slice path, struct done done);
enum result v2_check(void *self, struct done done);
enum result v2_list_folder(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                           struct storage_listing *ret_listing, struct done done);
enum result v2_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                         struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done);
enum result v2_read(struct storage_reader *reader, struct page *page, struct done done);
void v2_close_read(struct storage_reader *reader);
enum result v2_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                               struct done done);
enum result v2_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                             const struct page *pages, struct storage_part *part, struct done done);
enum result v2_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                              struct done done);
enum result v2_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                  const struct storage_part *parts, size_t part_count, uint64_t size, unsigned flags,
                                  struct done done);
enum result v2_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                               struct done done);

#endif
