/* SPDX-License-Identifier: Apache-2.0
 *
 * GET, HEAD and PUT of a manifest. What is stored is what is served, under its own media type, whatever the client
 * says it accepts. GET by tag is the hottest path of the registry. On the request's loop.
 */
#include "api_int.h"

/* ---- GET, HEAD ---- */

struct manifest_read {
    struct reference reference;
    struct manifest_view view;
};

static enum flow_next parse_read(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct manifest_read *op = ARENA_NEW(flow_arena(f), struct manifest_read);
    call->state = op;
    call->subject = API_SUBJECT_MANIFEST;
    enum result r = reference_parse(call->reference_text, &op->reference);
    if (r == OK)
        return FLOW_NEXT;
    if (memchr(call->reference_text.ptr, ':', call->reference_text.len) != NULL)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    return flow_fail(f, NOT_FOUND); /* no manifest can have a tag like this */
}

static enum flow_next find_manifest(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct manifest_read *op = call->state;
    return manifest_find(f, call->services->registry, call->repo, &op->reference, &op->view);
}

static enum flow_next reply_manifest(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct manifest_read *op = call->state;
    api_int_note_digest(call, &op->view.digest);
    char etag[DIGEST_TEXT_MAX + 2];
    size_t n = digest_format(&op->view.digest, etag + 1);
    etag[0] = '"';
    etag[n + 1] = '"';
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), op->view.media_type);
    api_int_headers_add(&headers, SLICE("docker-content-digest"), slice_of(etag + 1, n));
    api_int_headers_add(&headers, SLICE("etag"), slice_of(etag, n + 2));
    struct slice if_none_match = api_int_header(call, SLICE("if-none-match"));
    if (if_none_match.ptr != NULL && api_int_etag_matches(if_none_match, slice_of(etag, n + 2)))
        return flow_await(f, http_reply_bytes(call->req, 304, headers.items, headers.count, SLICE_EMPTY, flow_done(f)));
    return flow_await(f, api_int_reply(call, 200, &headers, op->view.bytes, flow_done(f)));
}

static void release_manifest(void *owner)
{
    struct api_call *call = owner;
    struct manifest_read *op = call->state;
    if (op != NULL)
        manifest_view_release(&op->view);
}

static const struct flow_step manifest_read_steps[] = {
    {"parse", parse_read}, {"find", find_manifest}, {"reply", reply_manifest}};
const struct flow_program api_int_manifest_read = {"manifest_read", FLOW_STEPS(manifest_read_steps),
                                                   .dispose = release_manifest};

/* ---- PUT ---- */

struct manifest_write {
    struct manifest_put put;
    struct strbuf body;
    struct page *page;
    bool is_reading;
    bool has_put; /* manifest_put was reached: its failure is about the manifest */
};

static enum flow_next parse_put(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct manifest_write *op = ARENA_NEW(flow_arena(f), struct manifest_write);
    uint64_t max_bytes = call->services->config->http.max_manifest_bytes;
    strbuf_init(&op->body, (size_t)max_bytes);
    call->state = op;
    call->subject = API_SUBJECT_MANIFEST;
    op->put.repo = call->repo;
    op->put.content_type = api_int_header(call, SLICE("content-type"));
    enum result r = reference_parse(call->reference_text, &op->put.reference);
    if (r != OK) {
        bool is_digest = memchr(call->reference_text.ptr, ':', call->reference_text.len) != NULL;
        return api_int_fail(f, is_digest ? API_SUBJECT_DIGEST : API_SUBJECT_TAG, r, SLICE_EMPTY);
    }
    if (!http_request_has_body(call->req))
        return api_int_fail(f, API_SUBJECT_MANIFEST, INVALID, SLICE("the request has no body: send the manifest"));
    uint64_t length = http_request_content_length(call->req);
    if (length != UINT64_MAX && length > max_bytes)
        return flow_fail(f, TOO_LARGE);
    return FLOW_NEXT;
}

static enum flow_next read_body(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct manifest_write *op = call->state;
    if (op->is_reading) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        if (op->page == NULL)
            return FLOW_NEXT;
        strbuf_append(&op->body, slice_of(op->page->ptr + op->page->start, op->page->len));
        page_release(op->page);
        op->page = NULL;
        if (strbuf_result(&op->body) != OK)
            return flow_fail(f, TOO_LARGE);
    }
    op->is_reading = true;
    return flow_await_again(f, byte_source_read(http_request_body(call->req), &op->page, flow_done(f)));
}

static enum flow_next put_manifest(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct manifest_write *op = call->state;
    op->has_put = true;
    op->put.bytes = strbuf_slice(&op->body);
    return manifest_put(f, call->services->registry, &op->put);
}

static enum flow_next reply_put(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct manifest_write *op = call->state;
    struct arena *arena = flow_arena(f);
    api_int_note_digest(call, &op->put.digest);
    struct slice text = digest_text(&op->put.digest, arena);
    struct slice path = arena_format(arena, "/v2/%.*s/manifests/%.*s", SLICE_ARG(call->repo.text), SLICE_ARG(text));
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("location"), api_int_location(call, path, arena));
    api_int_headers_add(&headers, SLICE("docker-content-digest"), text);
    /* No OCI-Subject before there is a referrers API: it would keep clients from maintaining the fallback tag. */
    return flow_await(f, api_int_reply(call, 201, &headers, SLICE_EMPTY, flow_done(f)));
}

/* What is wrong with it: the digest it was put under, what it names, or itself. */
static enum flow_next explain_put(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct manifest_write *op = call->state;
    enum result outcome = flow_outcome(f);
    if (outcome == OK || op == NULL || !op->has_put)
        return FLOW_NEXT;
    if (outcome == NOT_FOUND && op->put.missing_count > 0) {
        call->subject = API_SUBJECT_MANIFEST_BLOB;
        call->missing = op->put.missing;
        call->missing_count = op->put.missing_count;
        return FLOW_NEXT;
    }
    call->why = op->put.why;
    bool is_other_digest = op->put.reference.is_digest && !digest_equal(&op->put.digest, &op->put.reference.digest);
    if (outcome == INVALID && is_other_digest)
        call->subject = API_SUBJECT_DIGEST;
    return FLOW_NEXT;
}

static void release_put(void *owner)
{
    struct api_call *call = owner;
    struct manifest_write *op = call->state;
    if (op == NULL) /* cancelled before its first step */
        return;
    page_release(op->page);
    strbuf_done(&op->body);
}

static const struct flow_step manifest_put_steps[] = {
    {"parse", parse_put}, {"read body", read_body}, {"put", put_manifest}, {"reply", reply_put}};
static const struct flow_step manifest_put_finally[] = {{"explain", explain_put}};
const struct flow_program api_int_manifest_put = {"manifest_put", FLOW_STEPS(manifest_put_steps),
                                                  FLOW_FINALLY(manifest_put_finally), .dispose = release_put};
