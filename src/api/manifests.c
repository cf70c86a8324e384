/* SPDX-License-Identifier: Apache-2.0
 *
 * GET, HEAD, PUT and DELETE of a manifest, DELETE of a tag. What is stored is what is served, under its own media type,
 * whatever the client says it accepts. GET by tag is the hottest path of the registry. On the request's loop.
 */
#include "api_int.h"

#define MANIFEST_TAGS_MAX 64u
#define CONDITION_ETAGS_MAX 32u

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
    call->digest_text = digest_text(&op->view.digest, flow_arena(f));
    struct slice etag = ARENA_CONCAT(flow_arena(f), SLICE("\""), call->digest_text, SLICE("\""));
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), op->view.media_type);
    api_int_headers_add(&headers, SLICE("docker-content-digest"), call->digest_text);
    api_int_headers_add(&headers, SLICE("etag"), etag);
    struct slice if_none_match = api_int_header(call, SLICE("if-none-match"));
    if (if_none_match.ptr != NULL && api_int_etag_matches(if_none_match, etag))
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

/* The digests that an If-Match or If-None-Match lists; strong comparison: a weak tag is none of ours. */
static void parse_condition(const struct api_call *call, struct slice name, struct arena *arena,
                            struct manifest_condition *ret)
{
    struct slice rest = api_int_header(call, name);
    if (rest.ptr == NULL)
        return;
    ret->is_given = true;
    ret->is_any = slice_equal(rest, SLICE("*"));
    struct digest *digests = ARENA_ARRAY(arena, struct digest, CONDITION_ETAGS_MAX);
    ret->digests = digests;
    bool has_more = true;
    while (has_more && ret->count < CONDITION_ETAGS_MAX) {
        struct slice one = rest;
        has_more = slice_split(rest, ',', &one, &rest);
        one = slice_trim(one);
        if (one.len > 2 && one.ptr[0] == '"' && one.ptr[one.len - 1] == '"' &&
            digest_parse(slice_of(one.ptr + 1, one.len - 2), &digests[ret->count]) == OK)
            ret->count++;
    }
}

/* `?tag=`, any number of times, beside a digest. */
static enum flow_next parse_tags(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct manifest_write *op = call->state;
    struct slice text;
    struct tag *tags = NULL;
    for (unsigned i = 0; http_request_query_value(call->req, SLICE("tag"), i, &text); i++) {
        if (!op->put.reference.is_digest)
            return api_int_fail(f, API_SUBJECT_TAG, INVALID, SLICE("?tag= goes with a manifest put by its digest"));
        if (i == MANIFEST_TAGS_MAX)
            return api_int_fail(f, API_SUBJECT_TAG, TOO_LARGE, SLICE_EMPTY);
        if (tags == NULL)
            tags = ARENA_ARRAY(flow_arena(f), struct tag, MANIFEST_TAGS_MAX);
        enum result r = tag_parse(text, &tags[i]);
        if (r != OK)
            return api_int_fail(f, API_SUBJECT_TAG, r, SLICE_EMPTY);
        op->put.tag_count++;
    }
    op->put.tags = tags;
    return FLOW_NEXT;
}

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
    parse_condition(call, SLICE("if-match"), flow_arena(f), &op->put.if_match);
    parse_condition(call, SLICE("if-none-match"), flow_arena(f), &op->put.if_none_match);
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
    call->digest_text = digest_text(&op->put.digest, arena);
    struct slice path = ARENA_CONCAT(arena, SLICE("/v2/"), call->repo.text, SLICE("/manifests/"), call->digest_text);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("location"), api_int_location(call, path, arena));
    api_int_headers_add(&headers, SLICE("docker-content-digest"), call->digest_text);
    if (op->put.has_subject)
        api_int_headers_add(&headers, SLICE("oci-subject"), digest_text(&op->put.subject, arena));
    struct slice tags = SLICE_EMPTY;
    for (size_t i = 0; i < op->put.tag_count; i++)
        tags = arena_format(arena, "%.*s%s%.*s", SLICE_ARG(tags), i == 0 ? "" : ", ", SLICE_ARG(op->put.tags[i].text));
    if (tags.len > 0)
        api_int_headers_add(&headers, SLICE("oci-tag"), tags);
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
    if (outcome == CONFLICT)
        call->subject = API_SUBJECT_CONDITION;
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
    {"parse", parse_put},  {"parse tags", parse_tags}, {"read body", read_body},
    {"put", put_manifest}, {"reply", reply_put},
};
static const struct flow_step manifest_put_finally[] = {{"explain", explain_put}};
const struct flow_program api_int_manifest_put = {"manifest_put", FLOW_STEPS(manifest_put_steps),
                                                  FLOW_FINALLY(manifest_put_finally), .dispose = release_put};

/* ---- DELETE ---- */

struct manifest_remove {
    struct reference reference;
    struct digest by;
};

static enum flow_next parse_delete(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct manifest_remove *op = ARENA_NEW(flow_arena(f), struct manifest_remove);
    call->state = op;
    enum flow_next next = api_int_check_delete(f);
    if (next != FLOW_NEXT)
        return next;
    call->subject = API_SUBJECT_MANIFEST;
    enum result r = reference_parse(call->reference_text, &op->reference);
    if (r != OK) {
        bool is_digest = memchr(call->reference_text.ptr, ':', call->reference_text.len) != NULL;
        return is_digest ? api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY) : flow_fail(f, NOT_FOUND);
    }
    if (op->reference.is_digest)
        call->digest_text = call->reference_text;
    return FLOW_NEXT;
}

static enum flow_next delete_manifest(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct manifest_remove *op = call->state;
    struct registry *registry = call->services->registry;
    if (!op->reference.is_digest)
        return tag_delete(f, registry, call->repo, op->reference.tag);
    return manifest_delete(f, registry, call->repo, &op->reference.digest, &op->by);
}

static enum flow_next explain_delete(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct manifest_remove *op = call->state;
    if (flow_outcome(f) == CONFLICT)
        api_int_explain_referenced(call, &op->by, http_request_arena(call->req));
    return FLOW_NEXT;
}

static const struct flow_step manifest_delete_steps[] = {
    {"parse", parse_delete}, {"delete", delete_manifest}, {"reply", api_int_reply_deleted}};
static const struct flow_step manifest_delete_finally[] = {{"explain", explain_delete}};
const struct flow_program api_int_manifest_delete = {"manifest_delete", FLOW_STEPS(manifest_delete_steps),
                                                     FLOW_FINALLY(manifest_delete_finally)};
