/* SPDX-License-Identifier: Apache-2.0
 *
 * What every answer has in common: the headers that all carry, HEAD as GET without its body, entity tags, Locations.
 * On the request's loop.
 */
#include "api_int.h"

#include <assert.h>

void api_int_headers_init(struct api_int_headers *headers, const struct api_call *call)
{
    headers->count = 0;
    if (slice_has_prefix(http_request_path(call->req), SLICE("/v2")))
        api_int_headers_add(headers, SLICE("docker-distribution-api-version"), SLICE("registry/2.0"));
    api_int_headers_add(headers, SLICE("x-request-id"), slice_from_cstr(call->request_id));
}

void api_int_headers_add(struct api_int_headers *headers, struct slice name, struct slice value)
{
    assert(headers->count < API_INT_HEADERS_MAX);
    headers->items[headers->count++] = (struct http_header){name, value};
}

bool api_int_is_head(const struct api_call *call)
{
    return slice_equal(http_request_method(call->req), SLICE("HEAD"));
}

enum result api_int_reply(struct api_call *call, int status, const struct api_int_headers *headers, struct slice body,
                          struct done done)
{
    if (api_int_is_head(call))
        return http_reply_head(call->req, status, headers->items, headers->count, body.len, done);
    return http_reply_bytes(call->req, status, headers->items, headers->count, body, done);
}

struct slice api_int_header(const struct api_call *call, struct slice name)
{
    return http_request_header(call->req, name);
}

static bool tag_equal(struct slice one, struct slice etag)
{
    if (slice_has_prefix(one, SLICE("W/")))
        one = slice_from(one, 2);
    return slice_equal(one, etag);
}

bool api_int_etag_matches(struct slice list, struct slice etag)
{
    if (slice_equal(list, SLICE("*")))
        return true;
    struct slice one;
    struct slice rest = list;
    while (slice_split(rest, ',', &one, &rest))
        if (tag_equal(slice_trim(one), etag))
            return true;
    return tag_equal(slice_trim(rest), etag);
}

struct slice api_int_location(const struct api_call *call, struct slice path, struct arena *arena)
{
    struct slice base = slice_from_cstr(call->services->config->http.external_url);
    if (base.len == 0)
        return path;
    if (base.ptr[base.len - 1] == '/')
        base.len--;
    return arena_format(arena, "%.*s%.*s", SLICE_ARG(base), SLICE_ARG(path));
}

void api_int_note_digest(struct api_call *call, const struct digest *digest)
{
    call->digest = *digest;
    call->has_digest = true;
}

enum flow_next api_int_fail(struct flow *f, enum api_subject subject, enum result r, struct slice why)
{
    struct api_call *call = flow_owner(f);
    call->subject = subject;
    call->why = why;
    return flow_fail(f, r);
}
