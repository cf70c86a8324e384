/* SPDX-License-Identifier: Apache-2.0
 *
 * Every route, in one table, and the way from a path to one of its rows. Paths are read from the right, because a
 * repository may itself be named "a/blobs/uploads" or "b/manifests". Pure but for the arena; any thread.
 */
#include "api_int.h"

#define GET                                                                                                            \
    {                                                                                                                  \
        "GET", 3                                                                                                       \
    }
#define HEAD                                                                                                           \
    {                                                                                                                  \
        "HEAD", 4                                                                                                      \
    }
#define POST                                                                                                           \
    {                                                                                                                  \
        "POST", 4                                                                                                      \
    }
#define PUT                                                                                                            \
    {                                                                                                                  \
        "PUT", 3                                                                                                       \
    }
#define PATCH                                                                                                          \
    {                                                                                                                  \
        "PATCH", 5                                                                                                     \
    }
#define DELETE                                                                                                         \
    {                                                                                                                  \
        "DELETE", 6                                                                                                    \
    }

static const struct api_route routes[] = {
    {"base_get", GET, API_RESOURCE_BASE, PERMISSION_LOGIN, &api_int_base},
    {"base_head", HEAD, API_RESOURCE_BASE, PERMISSION_LOGIN, &api_int_base},
    {"manifest_get", GET, API_RESOURCE_MANIFEST, PERMISSION_PULL, &api_int_manifest_read},
    {"manifest_head", HEAD, API_RESOURCE_MANIFEST, PERMISSION_PULL, &api_int_manifest_read},
    {"manifest_put", PUT, API_RESOURCE_MANIFEST, PERMISSION_PUSH, &api_int_manifest_put},
    {"manifest_delete", DELETE, API_RESOURCE_MANIFEST, PERMISSION_DELETE, &api_int_manifest_delete},
    {"blob_get", GET, API_RESOURCE_BLOB, PERMISSION_PULL, &api_int_blob_read},
    {"blob_head", HEAD, API_RESOURCE_BLOB, PERMISSION_PULL, &api_int_blob_read},
    {"blob_delete", DELETE, API_RESOURCE_BLOB, PERMISSION_DELETE, &api_int_blob_delete},
    {"upload_start", POST, API_RESOURCE_UPLOADS, PERMISSION_PUSH, &api_int_upload_start},
    {"upload_append", PATCH, API_RESOURCE_UPLOAD, PERMISSION_PUSH, &api_int_upload_append},
    {"upload_commit", PUT, API_RESOURCE_UPLOAD, PERMISSION_PUSH, &api_int_upload_commit},
    {"upload_status", GET, API_RESOURCE_UPLOAD, PERMISSION_PUSH, &api_int_upload_status},
    {"upload_status_head", HEAD, API_RESOURCE_UPLOAD, PERMISSION_PUSH, &api_int_upload_status},
    {"upload_cancel", DELETE, API_RESOURCE_UPLOAD, PERMISSION_PUSH, &api_int_upload_cancel},
    {"tag_list", GET, API_RESOURCE_TAGS, PERMISSION_PULL, &api_int_tag_list},
    {"tag_list_head", HEAD, API_RESOURCE_TAGS, PERMISSION_PULL, &api_int_tag_list},
    {"referrers", GET, API_RESOURCE_REFERRERS, PERMISSION_PULL, &api_int_referrers},
    {"referrers_head", HEAD, API_RESOURCE_REFERRERS, PERMISSION_PULL, &api_int_referrers},
    {"catalog", GET, API_RESOURCE_CATALOG, PERMISSION_CATALOG, &api_int_catalog},
    {"catalog_head", HEAD, API_RESOURCE_CATALOG, PERMISSION_CATALOG, &api_int_catalog},
    {"healthz", GET, API_RESOURCE_HEALTH, PERMISSION_NONE, &api_int_healthz},
    {"healthz_head", HEAD, API_RESOURCE_HEALTH, PERMISSION_NONE, &api_int_healthz},
    {"readyz", GET, API_RESOURCE_READY, PERMISSION_NONE, &api_int_readyz},
    {"readyz_head", HEAD, API_RESOURCE_READY, PERMISSION_NONE, &api_int_readyz},
};

#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

/* The parts of a path. */
struct target {
    enum api_resource resource;
    bool has_repo;
    struct slice repo;
    struct slice reference;
    struct slice uuid;
};

const struct api_route *api_routes(size_t *ret_count)
{
    *ret_count = ROUTE_COUNT;
    return routes;
}

/* Splits at the last '/'. False (outputs untouched) without one. */
static bool split_last(struct slice s, struct slice *ret_head, struct slice *ret_last)
{
    const char *slash = s.len == 0 ? NULL : memrchr(s.ptr, '/', s.len);
    if (slash == NULL)
        return false;
    size_t at = (size_t)(slash - s.ptr);
    *ret_last = slice_from(s, at + 1);
    *ret_head = slice_of(s.ptr, at);
    return true;
}

static bool strip_suffix(struct slice s, struct slice suffix, struct slice *ret_head)
{
    if (!slice_has_suffix(s, suffix))
        return false;
    *ret_head = slice_of(s.ptr, s.len - suffix.len);
    return true;
}

/* `path` is what follows "/v2/". */
static bool parse_repository_path(struct slice path, struct target *t)
{
    t->has_repo = true;
    t->resource = API_RESOURCE_UPLOADS;
    if (strip_suffix(path, SLICE("/blobs/uploads/"), &t->repo) || strip_suffix(path, SLICE("/blobs/uploads"), &t->repo))
        return true;
    t->resource = API_RESOURCE_TAGS;
    if (strip_suffix(path, SLICE("/tags/list"), &t->repo))
        return true;

    struct slice head;
    struct slice last;
    struct slice kind;
    if (!split_last(path, &head, &last) || last.len == 0 || !split_last(head, &t->repo, &kind))
        return false;
    if (slice_equal(kind, SLICE("manifests"))) {
        t->resource = API_RESOURCE_MANIFEST;
        t->reference = last;
        return true;
    }
    if (slice_equal(kind, SLICE("referrers"))) {
        t->resource = API_RESOURCE_REFERRERS;
        t->reference = last;
        return true;
    }
    if (slice_equal(kind, SLICE("blobs"))) {
        t->resource = API_RESOURCE_BLOB;
        t->reference = last;
        return true;
    }
    t->resource = API_RESOURCE_UPLOAD;
    t->uuid = last;
    return strip_suffix(head, SLICE("/blobs/uploads"), &t->repo);
}

static bool parse_path(struct slice path, struct target *t)
{
    *t = (struct target){.resource = API_RESOURCE_BASE};
    if (slice_equal(path, SLICE("/v2/")) || slice_equal(path, SLICE("/v2")))
        return true;
    t->resource = API_RESOURCE_CATALOG;
    if (slice_equal(path, SLICE("/v2/_catalog")))
        return true;
    if (slice_has_prefix(path, SLICE("/v2/")))
        return parse_repository_path(slice_from(path, 4), t);
    t->resource = API_RESOURCE_HEALTH;
    if (slice_equal(path, SLICE("/healthz")))
        return true;
    t->resource = API_RESOURCE_READY;
    return slice_equal(path, SLICE("/readyz"));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Percent-decoding. An encoded slash would make two names of one, an encoded control character has no business in a
 * path: both are refused like a broken escape. */
static enum result decode_path(struct slice raw, struct arena *arena, struct slice *ret_path)
{
    if (memchr(raw.ptr, '%', raw.len) == NULL) {
        *ret_path = raw;
        return OK;
    }
    char *out = arena_alloc(arena, raw.len);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] != '%') {
            out[n++] = raw.ptr[i];
            continue;
        }
        if (raw.len - i < 3)
            return INVALID;
        int high = hex_value(raw.ptr[i + 1]);
        int low = hex_value(raw.ptr[i + 2]);
        if (high < 0 || low < 0)
            return INVALID;
        int byte = high * 16 + low;
        if (byte == '/' || byte < 0x20 || byte == 0x7f)
            return INVALID;
        out[n++] = (char)byte;
        i += 2;
    }
    *ret_path = slice_of(out, n);
    return OK;
}

static const struct api_route *find_route(enum api_resource resource, struct slice method)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++)
        if (routes[i].resource == resource && slice_equal(routes[i].method, method))
            return &routes[i];
    return NULL;
}

static void add_allow(struct api_call *call, enum api_resource resource, struct arena *arena)
{
    struct slice allow = SLICE_EMPTY;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (routes[i].resource != resource)
            continue;
        struct slice method = routes[i].method;
        allow = allow.len == 0 ? method : arena_format(arena, "%.*s, %.*s", SLICE_ARG(allow), SLICE_ARG(method));
    }
    api_add_error_header(call, SLICE("allow"), allow);
}

static enum result refuse(struct api_call *call, struct slice why)
{
    call->subject = API_SUBJECT_REPOSITORY;
    call->why = why;
    return INVALID;
}

enum result api_int_match(struct api_call *call, struct slice method, struct slice path, struct arena *arena)
{
    call->subject = API_SUBJECT_NONE;
    struct slice decoded;
    if (decode_path(path, arena, &decoded) != OK)
        return refuse(call, SLICE("the path holds a broken escape, or an escaped slash or control character"));
    struct target t;
    if (!parse_path(decoded, &t))
        return NOT_FOUND;
    const struct api_route *route = find_route(t.resource, method);
    if (route == NULL) {
        add_allow(call, t.resource, arena);
        return UNSUPPORTED;
    }
    if (t.has_repo && repo_name_parse(t.repo, &call->repo) != OK)
        return refuse(call, SLICE("a repository name has lower-case letters, digits and single separators (. _ - /), "
                                  "at most 255 characters"));
    call->reference_text = t.reference;
    call->uuid = t.uuid;
    call->route = route;
    return OK;
}

enum result api_match(struct api_call *call, struct arena *arena)
{
    return api_int_match(call, http_request_method(call->req), http_request_path(call->req), arena);
}
