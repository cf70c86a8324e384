/* SPDX-License-Identifier: Apache-2.0
 *
 * The store, for callers: one driver behind checks and metrics, and the layout: the only place that builds paths.
 * What the calls do is written in storage_driver.h; asynchronous calls follow async.h, on any loop.
 */
#ifndef MINATO_STORAGE_H
#define MINATO_STORAGE_H

#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/oci.h"
#include "minato/storage_driver.h"
#include "minato/telemetry.h"

struct storage;

/* Opens the configured driver. On failure a sentence for the operator is in `ret_why`. Start-up only, may block. */
enum result storage_open(const struct config *config, struct pool *pool, struct metrics *metrics,
                         struct strbuf *ret_why, struct storage **ret_storage) NODISCARD;
/* The same around a driver that is already open (tests). Takes over `self`. */
struct storage *storage_wrap(const struct storage_driver *driver, void *self, struct metrics *metrics);
/* Begins what the driver does by itself: on `loop`, which does not run yet. Logs. `loop` and `log` outlive it. */
void storage_start(struct storage *storage, struct loop *loop, struct log *log);
void storage_close(struct storage *storage); /* no call outstanding; accepts NULL */
struct storage_capabilities storage_capabilities(const struct storage *storage);

/* Milliseconds since 1970 by the store's clock, which all replicas go by, as far as it is known; else by `machine`. Any
 * thread. */
uint64_t storage_now_ms(const struct storage *storage, struct clock machine);

enum result storage_check(struct storage *storage, struct done done) NODISCARD;
enum result storage_stat(struct storage *storage, struct slice path, struct storage_object *ret_object,
                         struct done done) NODISCARD;
enum result storage_get(struct storage *storage, struct slice path, size_t max_bytes, struct arena *arena,
                        struct slice *ret_bytes, struct storage_object *ret_object, struct done done) NODISCARD;
enum result storage_put(struct storage *storage, struct slice path, struct slice bytes, unsigned flags,
                        struct done done) NODISCARD;
enum result storage_put_pages(struct storage *storage, struct slice path, const struct page *pages, uint64_t size,
                              const uint8_t *sha256, unsigned flags, struct done done) NODISCARD;
enum result storage_put_if_match(struct storage *storage, struct slice path, struct slice bytes, struct slice etag,
                                 struct done done) NODISCARD;
enum result storage_delete(struct storage *storage, struct slice path, struct done done) NODISCARD;
/* Any number of them, in no order; OK: none is there any more, whether or not it was. Where the driver cannot, one by
 * one. */
enum result storage_delete_many(struct storage *storage, const struct slice *paths, size_t count,
                                struct done done) NODISCARD;
enum result storage_list(struct storage *storage, struct slice folder, struct slice after, size_t limit,
                         struct arena *arena, struct storage_listing *ret_listing, struct done done) NODISCARD;
enum result storage_open_read(struct storage *storage, struct slice path, uint64_t offset, uint64_t length,
                              struct storage_object *ret_object, struct storage_reader **ret_reader,
                              struct done done) NODISCARD;
enum result storage_read(struct storage *storage, struct storage_reader *reader, struct page *page,
                         struct done done) NODISCARD;
void storage_close_read(struct storage *storage, struct storage_reader *reader);
/* -1 where the driver has none. */
int storage_reader_fd(const struct storage *storage, const struct storage_reader *reader);
enum result storage_presign(struct storage *storage, struct slice path, struct slice method,
                            struct storage_validity validity, struct arena *arena, struct slice *ret_url) NODISCARD;
enum result storage_multipart_begin(struct storage *storage, struct slice path, struct storage_multipart *ret_multipart,
                                    struct done done) NODISCARD;
enum result storage_multipart_put(struct storage *storage, struct slice path, const struct storage_multipart *multipart,
                                  const struct page *pages, struct storage_part *part, struct done done) NODISCARD;
enum result storage_multipart_sync(struct storage *storage, struct slice path,
                                   const struct storage_multipart *multipart, struct done done) NODISCARD;
enum result storage_multipart_complete(struct storage *storage, struct slice path,
                                       const struct storage_multipart *multipart, const struct storage_part *parts,
                                       size_t part_count, uint64_t size, unsigned flags, struct done done) NODISCARD;
enum result storage_multipart_abort(struct storage *storage, struct slice path,
                                    const struct storage_multipart *multipart, struct done done) NODISCARD;
enum result storage_multipart_open_read(struct storage *storage, struct slice path,
                                        const struct storage_multipart *multipart, uint64_t size,
                                        struct storage_reader **ret_reader, struct done done) NODISCARD;
enum result storage_rename_create(struct storage *storage, struct slice from, struct slice to,
                                  struct done done) NODISCARD;

/* A reader as a source of pages (for a reply where there is no file descriptor). In `arena`; reads one page a time. */
struct byte_source *storage_reader_source(struct storage *storage, struct storage_reader *reader, struct loop *loop,
                                          struct arena *arena);

/* ---- URLs that readers are sent to (src/storage/redirect.c) ---- */

struct storage_url {
    struct slice text;
    uint32_t same_for_s; /* from now, everybody gets this URL; it serves for at least thrice as long after that */
};

/* Reads `redirect` of the configuration; storage_open has done it, storage_wrap has not. INVALID: the network's keys
 * are none, and a sentence for the operator is in `ret_why`. Start-up only, reads a file. */
enum result storage_redirect_readers(struct storage *storage, const struct config *config,
                                     struct strbuf *ret_why) NODISCARD;
/* Whether storage_find_url finds any. Any thread. */
bool storage_has_urls(const struct storage *storage);
/* Where whoever knows the URL reads the object at `path` by GET; `machine_ms` is of the machine's wall clock.
 * UNSUPPORTED: from us alone. No I/O; any thread. */
enum result storage_find_url(struct storage *storage, struct slice path, uint64_t machine_ms, struct arena *arena,
                             struct storage_url *ret_url) NODISCARD;

/* ---- layout (the tree is drawn in src/storage/layout.c); results are in `arena` ---- */

struct slice layout_blob(struct arena *arena, const struct digest *digest);
/* Beside it, where bytes have another path: {"key","size","digest"} as JSON. The blob's own path wins. */
struct slice layout_blob_location(struct arena *arena, const struct digest *digest);
struct slice layout_layer_link(struct arena *arena, struct repo_name repo, const struct digest *digest);
struct slice layout_revision_link(struct arena *arena, struct repo_name repo, const struct digest *digest);
struct slice layout_tags_folder(struct arena *arena, struct repo_name repo);
struct slice layout_tag_current(struct arena *arena, struct repo_name repo, struct tag tag);
struct slice layout_tag_index(struct arena *arena, struct repo_name repo, struct tag tag, const struct digest *digest);
/* The folder of what a tag has ever named, by one algorithm: "<hex>/link" each. */
struct slice layout_tag_history_folder(struct arena *arena, struct repo_name repo, struct tag tag,
                                       enum digest_algorithm algorithm);
/* The folder of the blobs that a repository may serve, by one algorithm: "<hex>/link" each. */
struct slice layout_layers_folder(struct arena *arena, struct repo_name repo, enum digest_algorithm algorithm);
/* The folder of a repository's manifests, by one algorithm: "<hex>/link" each. */
struct slice layout_revisions_folder(struct arena *arena, struct repo_name repo, enum digest_algorithm algorithm);
struct slice layout_repository_folder(struct arena *arena, struct repo_name repo);
struct slice layout_repositories_folder(void);
/* The folder of the descriptors of what names `subject` as its subject: objects "<algorithm>-<hex>". */
struct slice layout_referrers_folder(struct arena *arena, struct repo_name repo, const struct digest *subject);
struct slice layout_referrer(struct arena *arena, struct repo_name repo, const struct digest *subject,
                             const struct digest *referrer);
/* minato/uploads/<uuid>: the folder of a session's states; state <seq> is one object in it. */
struct slice layout_upload_folder(struct arena *arena, struct slice uuid);
struct slice layout_upload_state(struct arena *arena, struct slice uuid, uint32_t seq);
/* Beside the states: what session `uuid` had of an unfinished part when state `seq` was written. */
struct slice layout_upload_tail(struct arena *arena, struct slice uuid, uint32_t seq);
struct slice layout_uploads_folder(struct arena *arena);
/* minato/bytes/<uuid>: bytes whose digest is not known yet. */
struct slice layout_bytes(struct arena *arena, struct slice uuid);
/* What is being pushed into a repository and deleted from it, for the other replicas: one object for each push, and for
 * each name that is being deleted. `name`: the text of a digest or a tag. */
struct slice layout_pushes_folder(struct arena *arena, struct repo_name repo);
struct slice layout_push(struct arena *arena, struct repo_name repo, struct slice uuid);
struct slice layout_deletes_folder(struct arena *arena, struct repo_name repo);
struct slice layout_delete(struct arena *arena, struct repo_name repo, struct slice name, struct slice uuid);
/* What the last component of layout_delete begins with: before ".<uuid>". */
struct slice layout_delete_name(struct arena *arena, struct slice name);

#endif
