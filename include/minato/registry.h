/* SPDX-License-Identifier: Apache-2.0
 *
 * The content domain: blobs, uploads, manifests, tags of repositories. Knows nothing of HTTP. Order of effects:
 * bytes, blob link, manifest revision, tag index, tag current; index entries are fenced round each (index.h).
 *
 * Functions that return enum flow_next run in the calling flow: `return blob_find(f, ...)`; the outcome is that call's
 * result. Outputs and borrowed inputs live in the flow's arena or its owner.
 */
#ifndef MINATO_REGISTRY_H
#define MINATO_REGISTRY_H

#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/index.h"
#include "minato/oci.h"
#include "minato/storage.h"

struct registry;

#define REGISTRY_STORE_NAME_SIZE 17 /* 16 hexadecimal characters and a NUL */
/* What the store is called among others, wherever it is reached: random, left in it by the first who asks. Start-up
 * only; runs `loop`, which no thread runs yet. */
enum result registry_name_store(struct storage *storage, struct loop *loop,
                                char ret_name[REGISTRY_STORE_NAME_SIZE]) NODISCARD;

/* Start-up only, may block (without http.secret it loads the stored one). UNSUPPORTED: parts of this store are
 * smaller than a page. `config` is borrowed; `metrics` and `log` may
 * be NULL. */
enum result registry_new(const struct config *config, struct storage *storage, struct index *index, struct pool *pool,
                         struct clock clock, struct metrics *metrics, struct log *log,
                         struct registry **ret_registry) NODISCARD;
void registry_free(struct registry *registry); /* no flow is running in it; accepts NULL */

/* Flows that go on when the one that began them has ended. Both are called on the loop with this index; the loop must
 * run until each has ended. */
struct registry_background {
    void (*begun)(void *data, unsigned loop);
    void (*ended)(void *data, unsigned loop);
    void *data;
};
/* Before any flow. Without it nobody is told. */
void registry_watch_background(struct registry *registry, struct registry_background background);
/* Removes upload sessions (and their bytes) whose last activity is older than uploads.expire_after. For a job that runs
 * now and then; the program's outcome is OK unless the store could not be listed. */
enum flow_next registry_purge_uploads(struct flow *f, struct registry *registry);

/* A walk through the whole store that leaves all of it in the index (as far as the index keeps it). */
struct registry_reindex {
    /* in */
    struct slice after; /* repositories up to this name, in byte order, are passed over; empty: none */
    /* out, of the flow's loop, also while it runs */
    size_t repositories; /* to do in all; 0 until they are listed */
    size_t repositories_done;
    uint64_t names_done; /* tags, manifests and layers */
    struct slice last;   /* up to here all are done: the next run's `after`. Valid until the flow ends */
    /* private */
    struct registry *registry;
    struct repo_name *names;
    bool *is_done;
    size_t first_left;
};
/* Fails with what the store failed with; what was done until then stays. `run` is zeroed but for `after`. */
enum flow_next registry_reindex(struct flow *f, struct registry *registry, struct registry_reindex *run);

/* ---- blobs ---- */

struct blob_info {
    struct digest digest; /* of the bytes served: what was asked for, unless a link names another algorithm's */
    uint64_t size;
    char place[UUID_TEXT_SIZE]; /* where they are: index_value */
};

/* NOT_FOUND unless this repository may serve it and its bytes are there. */
enum flow_next blob_find(struct flow *f, struct registry *registry, struct repo_name repo, const struct digest *digest,
                         struct blob_info *ret_info);
/* Opens `length` bytes from `offset` of a blob that blob_find found. Close with storage_close_read. CORRUPT: the bytes
 * have another length than blob_find said. */
enum flow_next blob_open(struct flow *f, struct registry *registry, const struct blob_info *info, uint64_t offset,
                         uint64_t length, struct storage_reader **ret_reader);
/* Where clients read a blob that blob_find found without us, for as long as the URL serves. UNSUPPORTED unless
 * storage_has_urls; UNAVAILABLE without keys to sign it. No I/O. */
enum result blob_find_url(struct registry *registry, const struct blob_info *info, struct arena *arena,
                          struct storage_url *ret_url) NODISCARD;
/* Lets `repo` serve a blob that `from` has. NOT_FOUND: it has not. Whether the caller may read `from` is the caller's.
 */
enum flow_next blob_mount(struct flow *f, struct registry *registry, struct repo_name repo, struct repo_name from,
                          const struct digest *digest);
/* The repository lets go of it; the bytes are garbage collection's. NOT_FOUND. CONFLICT: *ret_by, a manifest of the
 * repository, names it. */
enum flow_next blob_delete(struct flow *f, struct registry *registry, struct repo_name repo,
                           const struct digest *digest, struct digest *ret_by);
struct storage *registry_storage(struct registry *registry);

/* ---- uploads ---- */

struct upload_ref {
    struct repo_name repo;
    struct slice uuid;
};

/* What a writer says about the bytes it brings. */
struct upload_body {
    struct byte_source *source; /* NULL: none */
    bool has_range;             /* Content-Range was given: `range` must begin at the session's offset */
    struct byte_range range;
    uint64_t length; /* UINT64_MAX: not known */
};

/* Opens a session. `algorithm`: the digest it will most likely end with. */
enum flow_next upload_create(struct flow *f, struct registry *registry, struct repo_name repo,
                             enum digest_algorithm algorithm, struct slice *ret_uuid);
/* Bytes received so far. NOT_FOUND: no such session of this repository, or it has expired. */
enum flow_next upload_status(struct flow *f, struct registry *registry, struct upload_ref upload,
                             uint64_t *ret_offset_bytes);
/* Appends a body. *ret_offset_bytes is set on OK, RANGE and CONFLICT. RANGE: it does not begin at the offset.
 * CONFLICT: another writer is at it. INVALID: fewer or more bytes than `range` says. TOO_LARGE: over the blob limit.
 * When the sender goes away, what has arrived is kept for a resume. */
enum flow_next upload_append(struct flow *f, struct registry *registry, struct upload_ref upload,
                             const struct upload_body *body, uint64_t *ret_offset_bytes);
/* Appends `body` (if any), verifies, publishes, and ends the session. INVALID: the digest does not hold (the session
 * and its bytes are removed). Repeating a commit whose answer was lost is OK. Otherwise as upload_append. */
enum flow_next upload_commit(struct flow *f, struct registry *registry, struct upload_ref upload,
                             const struct upload_body *body, const struct digest *digest, uint64_t *ret_offset_bytes);
/* The largest blob that a new session can take: of the configuration's, the store's, and of its parts. */
uint64_t upload_blob_bytes_max(const struct registry *registry);
/* Removes the session and its bytes. CONFLICT: a writer is at it. */
enum flow_next upload_cancel(struct flow *f, struct registry *registry, struct upload_ref upload);

/* The signed proof that a session is the caller's, carried in its Location as `_state` (DESIGN.md, "Uploads"). */
struct slice upload_token_make(struct registry *registry, struct upload_ref upload, struct slice principal,
                               struct arena *arena);
/* DENIED unless made for this session and repository, for this principal or for anonymous, and not expired. */
enum result upload_token_check(struct registry *registry, struct upload_ref upload, struct slice principal,
                               struct slice token) NODISCARD;

/* ---- manifests and tags ---- */

struct manifest_buffer; /* bytes of a manifest, shared, immutable */

struct manifest_view {
    struct digest digest;
    struct slice media_type;
    struct slice bytes;
    struct manifest_buffer *buffer; /* holds the two above: manifest_view_release when through */
};

void manifest_view_release(struct manifest_view *view); /* harmless on a zeroed one */

/* By tag or digest. NOT_FOUND. UNSUPPORTED: a stored schema 1 manifest. CORRUPT: its bytes are not its digest's. */
enum flow_next manifest_find(struct flow *f, struct registry *registry, struct repo_name repo,
                             const struct reference *reference, struct manifest_view *ret_view);

/* An If-Match or If-None-Match (RFC 9110, 13.1) on what the tag named before. */
struct manifest_condition {
    bool is_given;
    bool is_any; /* "*" */
    const struct digest *digests;
    size_t count;
};

struct manifest_put {
    /* in */
    struct repo_name repo;
    struct reference reference;
    const struct tag *tags; /* more to set, when the reference is a digest */
    size_t tag_count;
    struct manifest_condition if_match;
    struct manifest_condition if_none_match;
    struct slice content_type;
    struct slice bytes;
    /* out */
    struct digest digest;
    bool has_subject;
    struct digest subject;
    struct slice why;       /* a sentence, on INVALID and UNSUPPORTED */
    struct digest *missing; /* NOT_FOUND: what it names and this repository has not */
    size_t missing_count;
};

/* Checks, stores, publishes. INVALID: malformed, or not the digest it was put under. NOT_FOUND: see `missing`.
 * CONFLICT: a condition does not hold, at the moment of the write itself. UNSUPPORTED: a condition where the store
 * cannot compare and swap. */
enum flow_next manifest_put(struct flow *f, struct registry *registry, struct manifest_put *put);
/* The repository lets go of it and of the tags that point to it. NOT_FOUND. CONFLICT: *ret_by, an index of the
 * repository, names it. */
enum flow_next manifest_delete(struct flow *f, struct registry *registry, struct repo_name repo,
                               const struct digest *digest, struct digest *ret_by);
/* The tag alone. NOT_FOUND. */
enum flow_next tag_delete(struct flow *f, struct registry *registry, struct repo_name repo, struct tag tag);

struct tag_page {
    struct slice *tags; /* in byte order */
    size_t count;
    bool has_more;
};

/* Tags after `last` (empty: from the beginning), at most `limit`. NOT_FOUND: no such repository. */
enum flow_next tag_list(struct flow *f, struct registry *registry, struct repo_name repo, struct slice last,
                        size_t limit, struct tag_page *ret_page);

struct repository_page {
    struct repo_name *names; /* in byte order */
    size_t count;
    bool has_more;
};

/* Repositories after `last`, at most `limit`: those that have layers or manifests. */
enum flow_next repository_list(struct flow *f, struct registry *registry, struct slice last, size_t limit,
                               struct repository_page *ret_page);

struct referrer_page {
    struct slice *descriptors; /* JSON, in the order of their digests */
    size_t count;
    struct slice last; /* the digest of the last one */
    bool has_more;
};

/* Manifests whose subject is `subject` (distribution-spec, "Listing Referrers"), after `last` (a digest's text, or
 * empty), at most `limit` and 1,000 and 4 MiB. `artifact_type`: only those; with a NULL ptr all. A subject that nothing
 * refers to, or that is not there, has none. */
enum flow_next referrer_list(struct flow *f, struct registry *registry, struct repo_name repo,
                             const struct digest *subject, struct slice artifact_type, struct slice last, size_t limit,
                             struct referrer_page *ret_page);

#endif
