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

enum flow_next api_int_fail(struct flow *f, enum api_subject subject, enum result r, struct slice why)
{
    struct api_call *call = flow_owner(f);
    call->subject = subject;
    call->why = why;
    return flow_fail(f, r);
}

/* ---- deletes ---- */

enum flow_next api_int_check_delete(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    if (!call->services->config->storage.delete_enabled)
        return api_int_fail(f, API_SUBJECT_NONE, UNSUPPORTED,
                            SLICE("deleting is switched off here (storage.delete); ask the operator"));
    if (api_int_header(call, SLICE("if-match")).ptr != NULL)
        return api_int_fail(f, API_SUBJECT_NONE, UNSUPPORTED, SLICE("DELETE knows no If-Match: send it without"));
    return FLOW_NEXT;
}

void api_int_explain_referenced(struct api_call *call, const struct digest *by, struct arena *arena)
{
    struct slice text = digest_text(by, arena);
    call->subject = API_SUBJECT_REFERENCED;
    call->why = arena_format(arena, "the manifest %.*s of this repository refers to it: delete that one first",
                             SLICE_ARG(text));
}

enum flow_next api_int_reply_deleted(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    return flow_await(f, api_int_reply(call, 202, &headers, SLICE_EMPTY, flow_done(f)));
}

/* ---- pages ---- */

enum flow_next api_int_parse_page(struct flow *f, uint64_t limit_max, struct api_int_page *page)
{
    struct api_call *call = flow_owner(f);
    struct slice n;
    page->limit = limit_max;
    if (http_request_query_value(call->req, SLICE("n"), 0, &n)) {
        if (slice_parse_u64(n, &page->limit) != OK)
            return api_int_fail(f, API_SUBJECT_PAGE, INVALID, SLICE_EMPTY);
        if (page->limit > limit_max)
            page->limit = limit_max;
    }
    if (!http_request_query_value(call->req, SLICE("last"), 0, &page->last))
        page->last = SLICE_EMPTY;
    return FLOW_NEXT;
}

struct slice api_int_next_page(const struct api_call *call, struct slice path_and_query, struct arena *arena)
{
    struct slice url = api_int_location(call, path_and_query, arena);
    return arena_format(arena, "<%.*s>; rel=\"next\"", SLICE_ARG(url));
}

void api_int_append_strings(struct strbuf *out, const struct slice *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            strbuf_append_char(out, ',');
        strbuf_append_json(out, texts[i]);
    }
}
