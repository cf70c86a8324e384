/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests by libs3, which blocks: on pool threads only. What may be repeated is, at once and twice at most: libs3 has
 * waited long enough by itself (15 s without a byte end a request).
 */
#include "s3v2_int.h"

#include <stdio.h>
#include <stdlib.h>

#define ATTEMPTS 3u
#define LIST_MAX 1000u

/* One request as libs3 sees it; the rest depends on what is asked. */
struct request {
    S3Status status;
    struct storage_object object;
    struct strbuf *out; /* of a GET */
    struct v2_source *source;
    uint64_t left; /* of a PUT */
    bool is_cut;   /* the source had less than it should */
    /* of a listing */
    struct slice prefix;
    struct arena *arena;
    struct storage_listing listing;
    size_t capacity;
    bool is_truncated;
    bool is_broken;
};

/* ---- what libs3 tells ---- */

static void copy_etag(const char *etag, char out[STORAGE_ETAG_MAX + 1])
{
    struct slice text = slice_from_cstr(etag);
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = slice_of(text.ptr + 1, text.len - 2);
    size_t n = text.len < STORAGE_ETAG_MAX ? text.len : STORAGE_ETAG_MAX;
    if (n > 0)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

static S3Status on_properties(const S3ResponseProperties *properties, void *data)
{
    struct request *request = data;
    request->object.size = properties->contentLength;
    request->object.modified_ms = properties->lastModified > 0 ? (uint64_t)properties->lastModified * 1000 : 0;
    copy_etag(properties->eTag, request->object.etag);
    return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *data)
{
    struct request *request = data;
    (void)details;
    request->status = status;
}

static S3Status on_bytes(int size, const char *bytes, void *data)
{
    struct request *request = data;
    strbuf_append(request->out, slice_of(bytes, (size_t)size));
    return request->out->overflowed ? S3StatusAbortedByCallback : S3StatusOK;
}

static int on_body_wanted(int size, char *out, void *data)
{
    struct request *request = data;
    size_t room = (size_t)size < request->left ? (size_t)size : (size_t)request->left;
    if (room == 0)
        return 0;
    size_t n = request->source->fill(request->source, out, room);
    request->is_cut = n == 0;
    request->left -= n;
    return n == 0 ? -1 : (int)n;
}

static const S3ResponseHandler answer_handler = {on_properties, on_complete};

/* ---- results ---- */

static enum result result_of(S3Status status)
{
    if (status == S3StatusOK)
        return OK;
    if (status == S3StatusErrorNoSuchKey || status == S3StatusHttpErrorNotFound)
        return NOT_FOUND;
    if (status == S3StatusErrorPreconditionFailed)
        return CONFLICT;
    if (status == S3StatusErrorInvalidRange)
        return RANGE;
    if (status == S3StatusErrorEntityTooLarge)
        return TOO_LARGE;
    return UNAVAILABLE;
}

static bool may_repeat(const struct request *request, unsigned attempt)
{
    return attempt + 1 < ATTEMPTS && !request->is_cut && S3_status_is_retryable(request->status);
}

const char *v2_key(const struct s3v2 *s3, struct slice path, struct arena *arena)
{
    return arena_cstr(arena, arena_format(arena, "%.*s%.*s", SLICE_ARG(s3->key_prefix), SLICE_ARG(path)));
}

/* ---- requests ---- */

enum result v2_head(struct s3v2 *s3, const char *key, struct storage_object *ret_object)
{
    struct request request = {0};
    unsigned attempt = 0;
    do
        S3_head_object(&s3->inside, key, NULL, &answer_handler, &request);
    while (may_repeat(&request, attempt++));
    if (request.status == S3StatusOK)
        *ret_object = request.object;
    return result_of(request.status);
}

enum result v2_get(struct s3v2 *s3, const char *key, uint64_t offset, uint64_t count, const char *etag,
                   struct strbuf *out, struct storage_object *ret_object)
{
    static const S3GetObjectHandler handler = {{on_properties, on_complete}, on_bytes};
    char quoted[STORAGE_ETAG_MAX + 3];
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag == NULL ? "" : etag);
    S3GetConditions conditions = {
        .ifModifiedSince = -1, .ifNotModifiedSince = -1, .ifMatchETag = etag == NULL ? NULL : quoted};
    struct request request = {.out = out};
    unsigned attempt = 0;
    do {
        strbuf_clear(out);
        S3_get_object(&s3->inside, key, &conditions, offset, count, NULL, &handler, &request);
    } while (may_repeat(&request, attempt++));
    if (out->overflowed)
        return TOO_LARGE;
    if (request.status == S3StatusOK && ret_object != NULL)
        *ret_object = request.object;
    return result_of(request.status);
}

enum result v2_put(struct s3v2 *s3, const char *key, struct v2_source *source, uint64_t size)
{
    static const S3PutObjectHandler handler = {{on_properties, on_complete}, on_body_wanted};
    S3PutProperties properties = {.expires = -1, .cannedAcl = S3CannedAclPrivate};
    struct request request = {.source = source};
    unsigned attempt = 0;
    do {
        source->rewind(source);
        request.left = size;
        S3_put_object(&s3->inside, key, size, &properties, NULL, &handler, &request);
    } while (may_repeat(&request, attempt++));
    return request.is_cut ? UNAVAILABLE : result_of(request.status);
}

enum result v2_delete(struct s3v2 *s3, const char *key)
{
    struct request request = {0};
    unsigned attempt = 0;
    do
        S3_delete_object(&s3->inside, key, NULL, &answer_handler, &request);
    while (may_repeat(&request, attempt++));
    return result_of(request.status);
}

/* ---- listings ---- */

static void add_entry(struct request *request, const char *key, bool is_folder)
{
    struct slice name = slice_from_cstr(key);
    if (!slice_has_prefix(name, request->prefix) || request->listing.count == request->capacity) {
        request->is_broken = true;
        return;
    }
    name = slice_from(name, request->prefix.len);
    if (is_folder && slice_has_suffix(name, SLICE("/")))
        name.len--;
    if (name.len > 0)
        request->listing.entries[request->listing.count++] =
            (struct storage_entry){arena_copy(request->arena, name), is_folder};
}

static S3Status on_listed(int is_truncated, const char *next, int key_count, const S3ListBucketContent *keys,
                          int folder_count, const char **folders, void *data)
{
    struct request *request = data;
    for (int i = 0; i < key_count; i++)
        add_entry(request, keys[i].key, false);
    for (int i = 0; i < folder_count; i++)
        add_entry(request, folders[i], true);
    request->is_truncated = is_truncated != 0;
    request->listing.next = SLICE_EMPTY;
    if (is_truncated && next != NULL && next[0] != '\0')
        request->listing.next = arena_copy(request->arena, slice_from_cstr(next));
    else if (is_truncated && key_count > 0) /* without a delimiter there is no marker but the last key */
        request->listing.next = arena_copy(request->arena, slice_from_cstr(keys[key_count - 1].key));
    return request->is_broken ? S3StatusAbortedByCallback : S3StatusOK;
}

/* By key, a folder's ending in '/'. */
static int compare_entries(const void *left, const void *right)
{
    const struct storage_entry *a = left;
    const struct storage_entry *b = right;
    size_t shared = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.ptr, b->name.ptr, shared);
    if (order != 0)
        return order;
    int next_a = a->name.len > shared ? (unsigned char)a->name.ptr[shared] : a->is_folder ? '/' : -1;
    int next_b = b->name.len > shared ? (unsigned char)b->name.ptr[shared] : b->is_folder ? '/' : -1;
    return next_a - next_b;
}

/* libs3 gives folders in batches, and no call that could bring the marker behind the last if that was full. */
static enum result find_marker(struct request *request)
{
    struct storage_listing *listing = &request->listing;
    if (!request->is_truncated || listing->next.len > 0)
        return OK;
    if (listing->count == 0)
        return CORRUPT;
    const struct storage_entry *last = &listing->entries[listing->count - 1];
    listing->next = arena_format(request->arena, "%.*s%.*s%s", SLICE_ARG(request->prefix), SLICE_ARG(last->name),
                                 last->is_folder ? "/" : "");
    return OK;
}

enum result v2_list(struct s3v2 *s3, struct slice prefix, struct slice marker, bool is_one_level, size_t limit,
                    struct arena *arena, struct storage_listing *ret_listing)
{
    static const S3ListBucketHandler handler = {{on_properties, on_complete}, on_listed};
    size_t capacity = limit < LIST_MAX ? limit : LIST_MAX;
    struct request request = {.prefix = prefix, .arena = arena, .capacity = capacity};
    request.listing.entries = ARENA_ARRAY(arena, struct storage_entry, capacity);
    const char *after = marker.len == 0 ? NULL : arena_cstr(arena, marker);
    unsigned attempt = 0;
    do {
        request.listing.count = 0;
        S3_list_bucket(&s3->inside, arena_cstr(arena, prefix), after, is_one_level ? "/" : NULL, (int)capacity, NULL,
                       &handler, &request);
    } while (may_repeat(&request, attempt++));
    if (request.status != S3StatusOK)
        return request.is_broken ? CORRUPT : UNAVAILABLE;
    qsort(request.listing.entries, request.listing.count, sizeof(request.listing.entries[0]), compare_entries);
    enum result r = find_marker(&request);
    *ret_listing = request.listing;
    return r;
}

/* ---- bytes that are here ---- */

static size_t fill_from_bytes(struct v2_source *source, char *out, size_t room)
{
    struct v2_bytes *b = (struct v2_bytes *)source;
    while (b->left.len == 0 && b->next != NULL) {
        b->left = slice_of(b->next->ptr + b->next->start, b->next->len);
        b->next = b->next->next;
    }
    size_t n = b->left.len < room ? b->left.len : room;
    if (n > 0)
        memcpy(out, b->left.ptr, n);
    b->left = slice_from(b->left, n);
    return n;
}

static void rewind_bytes(struct v2_source *source)
{
    struct v2_bytes *b = (struct v2_bytes *)source;
    b->left = b->bytes;
    b->next = b->pages;
}

void v2_bytes_init(struct v2_bytes *b, struct slice bytes, const struct page *pages)
{
    *b = (struct v2_bytes){.source = {fill_from_bytes, rewind_bytes}, .bytes = bytes, .pages = pages};
    rewind_bytes(&b->source);
}

/* ---- at start ---- */

enum result v2_probe(struct s3v2 *s3, struct strbuf *ret_why)
{
    static const S3PutObjectHandler handler = {{on_properties, on_complete}, on_body_wanted};
    S3PutProperties properties = {.expires = -1, .cannedAcl = S3CannedAclPrivate};
    struct v2_bytes bytes;
    v2_bytes_init(&bytes, SLICE("minato"), NULL);
    struct request request = {.source = &bytes.source, .left = bytes.bytes.len};
    const char *key = v2_key(s3, SLICE("minato/probe/object"), &s3->arena);
    S3_put_object(&s3->inside, key, bytes.bytes.len, &properties, NULL, &handler, &request);
    if (request.status != S3StatusOK) {
        strbuf_append_format(ret_why,
                             "storage.s3v2: a write to bucket %s at %s failed: %s. Check endpoint, bucket, access_key, "
                             "secret_key and path_style",
                             s3->inside.bucketName, s3->inside.hostName, S3_get_status_name(request.status));
        return UNAVAILABLE;
    }
    return v2_delete(s3, key);
}
