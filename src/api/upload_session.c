/* SPDX-License-Identifier: Apache-2.0
 *
 * PATCH, PUT, GET and DELETE of an upload session, and the answers that name one. Every Location handed out carries the
 * signed `_state`; a request without a valid one is about no session at all. On the request's loop.
 */
#include "api_int.h"

/* What chunks should have at least: as much as object stores take as a part. Smaller ones are taken too. */
#define CHUNK_MIN_BYTES "5242880"

struct slice api_int_upload_location(const struct api_call *call, struct upload_ref ref, struct arena *arena)
{
    struct slice token = upload_token_make(call->services->registry, ref, call->identity.name, arena);
    struct slice path = arena_format(arena, "/v2/%.*s/blobs/uploads/%.*s?_state=%.*s", SLICE_ARG(ref.repo.text),
                                     SLICE_ARG(ref.uuid), SLICE_ARG(token));
    return api_int_location(call, path, arena);
}

struct slice api_int_upload_range(uint64_t offset_bytes, struct arena *arena)
{
    return arena_format(arena, "0-%llu", offset_bytes == 0 ? 0ULL : (unsigned long long)offset_bytes - 1);
}

enum flow_next api_int_reply_blob_created(struct flow *f, const struct digest *digest)
{
    struct api_call *call = flow_owner(f);
    struct arena *arena = flow_arena(f);
    struct slice text = digest_text(digest, arena);
    struct slice path = arena_format(arena, "/v2/%.*s/blobs/%.*s", SLICE_ARG(call->repo.text), SLICE_ARG(text));
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("location"), api_int_location(call, path, arena));
    api_int_headers_add(&headers, SLICE("docker-content-digest"), text);
    return flow_await(f, api_int_reply(call, 201, &headers, SLICE_EMPTY, flow_done(f)));
}

static enum flow_next reply_session(struct flow *f, int status, struct upload_ref ref, uint64_t offset_bytes)
{
    struct api_call *call = flow_owner(f);
    struct arena *arena = flow_arena(f);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("location"), api_int_upload_location(call, ref, arena));
    api_int_headers_add(&headers, SLICE("range"), api_int_upload_range(offset_bytes, arena));
    api_int_headers_add(&headers, SLICE("docker-upload-uuid"), ref.uuid);
    if (status == 202)
        api_int_headers_add(&headers, SLICE("oci-chunk-min-length"), SLICE(CHUNK_MIN_BYTES));
    return flow_await(f, api_int_reply(call, status, &headers, SLICE_EMPTY, flow_done(f)));
}

enum flow_next api_int_reply_upload_open(struct flow *f, struct upload_ref ref, uint64_t offset_bytes)
{
    return reply_session(f, 202, ref, offset_bytes);
}

/* ---- steps that all four share ---- */

static enum flow_next check_session(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct api_int_upload *op = ARENA_NEW(flow_arena(f), struct api_int_upload);
    call->state = op;
    call->subject = API_SUBJECT_UPLOAD;
    op->ref = (struct upload_ref){call->repo, call->uuid};
    op->offset_bytes = UINT64_MAX;
    struct slice token;
    if (!uuid_is_valid(call->uuid) || !http_request_query_value(call->req, SLICE("_state"), 0, &token))
        return flow_fail(f, NOT_FOUND);
    if (upload_token_check(call->services->registry, op->ref, call->identity.name, token) != OK)
        return flow_fail(f, NOT_FOUND);
    return FLOW_NEXT;
}

static enum flow_next parse_body(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct api_int_upload *op = call->state;
    if (!http_request_has_body(call->req))
        return FLOW_NEXT;
    op->body.source = http_request_body(call->req);
    op->body.length = http_request_content_length(call->req);
    struct slice range = api_int_header(call, SLICE("content-range"));
    if (range.ptr == NULL)
        return FLOW_NEXT;
    if (content_range_parse(range, &op->body.range) != OK)
        return api_int_fail(f, API_SUBJECT_UPLOAD, INVALID,
                            SLICE("Content-Range must be <first byte>-<last byte>, both inclusive"));
    op->body.has_range = true;
    if (op->body.length != UINT64_MAX && op->body.length != op->body.range.length)
        return api_int_fail(f, API_SUBJECT_SIZE, INVALID,
                            SLICE("Content-Range and Content-Length do not speak of the same number of bytes"));
    return FLOW_NEXT;
}

/* Who is at the wrong offset, or late, learns from the answer where the session stands. */
static void tell_offset(struct api_call *call, const struct api_int_upload *op)
{
    if (op->offset_bytes == UINT64_MAX)
        return;
    struct arena *arena = http_request_arena(call->req);
    api_add_error_header(call, SLICE("location"), api_int_upload_location(call, op->ref, arena));
    api_add_error_header(call, SLICE("range"), api_int_upload_range(op->offset_bytes, arena));
    api_add_error_header(call, SLICE("docker-upload-uuid"), op->ref.uuid);
}

void api_int_explain_too_large(struct flow *f, struct api_call *call)
{
    uint64_t most = upload_blob_bytes_max(call->services->registry);
    if (flow_outcome(f) == TOO_LARGE && call->why.len == 0 && most != UINT64_MAX)
        call->why =
            arena_format(http_request_arena(call->req),
                         "the blob is larger than this registry accepts: %llu bytes at most", (unsigned long long)most);
}

static enum flow_next explain_append(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    enum result outcome = flow_outcome(f);
    if (outcome == RANGE || outcome == CONFLICT)
        tell_offset(call, call->state);
    api_int_explain_too_large(f, call);
    if (outcome == INVALID && call->subject == API_SUBJECT_UPLOAD && call->why.len == 0)
        call->subject = API_SUBJECT_SIZE;
    return FLOW_NEXT;
}

/* ---- PATCH ---- */

static enum flow_next append_body(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct api_int_upload *op = call->state;
    return upload_append(f, call->services->registry, op->ref, &op->body, &op->offset_bytes);
}

static enum flow_next reply_appended(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct api_int_upload *op = call->state;
    return reply_session(f, 202, op->ref, op->offset_bytes);
}

static const struct flow_step append_steps[] = {
    {"check session", check_session}, {"parse", parse_body}, {"append", append_body}, {"reply", reply_appended}};
static const struct flow_step append_finally[] = {{"explain", explain_append}};
const struct flow_program api_int_upload_append = {"upload_append", FLOW_STEPS(append_steps),
                                                   FLOW_FINALLY(append_finally)};

/* ---- PUT ---- */

static enum flow_next parse_digest(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct api_int_upload *op = call->state;
    struct slice text;
    if (!http_request_query_value(call->req, SLICE("digest"), 0, &text))
        return api_int_fail(f, API_SUBJECT_DIGEST, INVALID, SLICE("the last request of an upload needs ?digest="));
    enum result r = digest_parse(text, &op->digest);
    if (r != OK)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    call->digest_text = text;
    return FLOW_NEXT;
}

static enum flow_next commit_upload(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct api_int_upload *op = call->state;
    return upload_commit(f, call->services->registry, op->ref, &op->body, &op->digest, &op->offset_bytes);
}

static enum flow_next reply_committed(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct api_int_upload *op = call->state;
    return api_int_reply_blob_created(f, &op->digest);
}

static enum flow_next explain_commit(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    enum result outcome = flow_outcome(f);
    if (outcome == RANGE || outcome == CONFLICT)
        tell_offset(call, call->state);
    api_int_explain_too_large(f, call);
    if (outcome == INVALID && call->subject == API_SUBJECT_UPLOAD && call->why.len == 0) {
        call->subject = API_SUBJECT_DIGEST;
        call->why = SLICE("the bytes received do not have this digest");
    }
    return FLOW_NEXT;
}

static const struct flow_step commit_steps[] = {{"check session", check_session},
                                                {"parse", parse_body},
                                                {"parse digest", parse_digest},
                                                {"commit", commit_upload},
                                                {"reply", reply_committed}};
static const struct flow_step commit_finally[] = {{"explain", explain_commit}};
const struct flow_program api_int_upload_commit = {"upload_commit", FLOW_STEPS(commit_steps),
                                                   FLOW_FINALLY(commit_finally)};

/* ---- GET ---- */

static enum flow_next ask_status(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct api_int_upload *op = call->state;
    return upload_status(f, call->services->registry, op->ref, &op->offset_bytes);
}

static enum flow_next reply_status(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct api_int_upload *op = call->state;
    return reply_session(f, 204, op->ref, op->offset_bytes);
}

static const struct flow_step status_steps[] = {
    {"check session", check_session}, {"ask", ask_status}, {"reply", reply_status}};
const struct flow_program api_int_upload_status = {"upload_status", FLOW_STEPS(status_steps)};

/* ---- DELETE ---- */

static enum flow_next cancel_upload(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct api_int_upload *op = call->state;
    return upload_cancel(f, call->services->registry, op->ref);
}

static enum flow_next reply_cancelled(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    return flow_await(f, api_int_reply(call, 204, &headers, SLICE_EMPTY, flow_done(f)));
}

static const struct flow_step cancel_steps[] = {
    {"check session", check_session}, {"cancel", cancel_upload}, {"reply", reply_cancelled}};
const struct flow_program api_int_upload_cancel = {"upload_cancel", FLOW_STEPS(cancel_steps)};
