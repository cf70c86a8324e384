/* SPDX-License-Identifier: Apache-2.0
 *
 * POST of an upload: the three ways to begin one. `?digest=` brings the whole blob in this request, `?mount=` asks for
 * one that exists already, and neither opens a session that PATCH and PUT fill (upload_session.c). On the request's
 * loop.
 */
#include "api_int.h"

struct upload_start {
    struct slice uuid; /* empty until there is a session */
    enum digest_algorithm algorithm;
    struct digest digest; /* of `digest` or `mount` */
    bool is_mounted;
    struct upload_body body;
    uint64_t offset_bytes;
};

static struct upload_ref ref_of(const struct api_call *call)
{
    const struct upload_start *op = call->state;
    return (struct upload_ref){call->repo, op->uuid};
}

static enum flow_next create_session(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct upload_start *op = call->state;
    return upload_create(f, call->services->registry, call->repo, op->algorithm, &op->uuid);
}

/* ---- neither: a session ---- */

static enum flow_next reply_open(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    return api_int_reply_upload_open(f, ref_of(call), 0);
}

static const struct flow_step open_steps[] = {{"create", create_session}, {"reply", reply_open}};
static const struct flow_program open_program = {"upload_open", FLOW_STEPS(open_steps)};

/* ---- ?digest=: all of it in one request ---- */

static enum flow_next take_whole_body(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct upload_start *op = call->state;
    op->body = (struct upload_body){.length = 0};
    if (http_request_has_body(call->req)) {
        op->body.source = http_request_body(call->req);
        op->body.length = http_request_content_length(call->req);
    }
    return upload_commit(f, call->services->registry, ref_of(call), &op->body, &op->digest, &op->offset_bytes);
}

static enum flow_next reply_created(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct upload_start *op = call->state;
    return api_int_reply_blob_created(f, &op->digest);
}

/* The client was never told of this session: nobody will resume it. */
static enum flow_next drop_session(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct upload_start *op = call->state;
    enum result outcome = flow_outcome(f);
    if (outcome == INVALID)
        call->subject = API_SUBJECT_DIGEST;
    api_int_explain_too_large(f, call);
    if (outcome == OK || op->uuid.len == 0)
        return FLOW_NEXT;
    return flow_any(f, upload_cancel(f, call->services->registry, ref_of(call)));
}

static const struct flow_step whole_steps[] = {
    {"create", create_session}, {"take body", take_whole_body}, {"reply", reply_created}};
static const struct flow_step whole_finally[] = {{"drop session", drop_session}};
static const struct flow_program whole_program = {"upload_whole", FLOW_STEPS(whole_steps), FLOW_FINALLY(whole_finally)};

/* ---- ?mount=: nothing to send if the repository can have it from another; else a session like any other ---- */

static enum flow_next mount_blob(struct flow *f)
{
    struct upload_start *op = ((const struct api_call *)flow_owner(f))->state;
    return api_int_mount(f, &op->digest, &op->is_mounted);
}

static enum flow_next answer_mount(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct upload_start *op = call->state;
    if (op->is_mounted)
        return api_int_reply_blob_created(f, &op->digest);
    return flow_call(f, &open_program, call);
}

static const struct flow_step mount_steps[] = {{"mount", mount_blob}, {"answer", answer_mount}};
static const struct flow_program mount_program = {"upload_mount", FLOW_STEPS(mount_steps)};

/* ---- which one is it ---- */

static enum flow_next start_with_digest(struct flow *f, struct slice text, const struct flow_program *program)
{
    struct api_call *call = flow_owner(f);
    struct upload_start *op = call->state;
    enum result r = digest_parse(text, &op->digest);
    if (r != OK)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    op->algorithm = op->digest.algorithm;
    call->digest_text = text;
    return flow_call(f, program, call);
}

static enum flow_next choose_start(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct upload_start *op = ARENA_NEW(flow_arena(f), struct upload_start);
    call->state = op;
    call->subject = API_SUBJECT_UPLOAD;
    struct slice text;
    if (http_request_query_value(call->req, SLICE("digest"), 0, &text))
        return start_with_digest(f, text, &whole_program);
    if (http_request_query_value(call->req, SLICE("mount"), 0, &text))
        return start_with_digest(f, text, &mount_program);
    op->algorithm = DIGEST_SHA256;
    if (http_request_query_value(call->req, SLICE("digest-algorithm"), 0, &text)) {
        if (slice_equal(text, digest_algorithm_name(DIGEST_SHA512)))
            op->algorithm = DIGEST_SHA512;
        else if (!slice_equal(text, digest_algorithm_name(DIGEST_SHA256)))
            return api_int_fail(f, API_SUBJECT_DIGEST, UNSUPPORTED, SLICE_EMPTY);
    }
    return flow_call(f, &open_program, call);
}

static const struct flow_step upload_start_steps[] = {{"choose", choose_start}};
const struct flow_program api_int_upload_start = {"upload_start", FLOW_STEPS(upload_start_steps)};
