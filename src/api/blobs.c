/* SPDX-License-Identifier: Apache-2.0
 *
 * GET, HEAD and DELETE of a blob: read whole or one range, conditional on its entity tag. Readers are sent to the store
 * where it can serve them; else bytes go from its file to the socket where it has files, else page by page. On the
 * request's loop.
 */
#include "api_int.h"

struct blob_read {
    struct digest digest;
    struct blob_info info;
    struct slice etag;
    enum range_kind range_kind;
    struct byte_range range;
    struct storage_reader *reader;
};

/* ---- sending: from here on there is a reader to close ---- */

static void add_blob_headers(const struct api_call *call, struct api_int_headers *headers)
{
    const struct blob_read *op = call->state;
    api_int_headers_init(headers, call);
    api_int_headers_add(headers, SLICE("content-type"), SLICE("application/octet-stream"));
    api_int_headers_add(headers, SLICE("docker-content-digest"), call->digest_text);
    api_int_headers_add(headers, SLICE("etag"), op->etag);
    api_int_headers_add(headers, SLICE("accept-ranges"), SLICE("bytes"));
    api_int_headers_add(headers, SLICE("cache-control"), SLICE("max-age=31536000, immutable"));
}

static enum flow_next open_blob(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct blob_read *op = call->state;
    return blob_open(f, call->services->registry, &op->info, op->range.first, op->range.length, &op->reader);
}

static enum flow_next send_blob(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct blob_read *op = call->state;
    struct storage *storage = registry_storage(call->services->registry);
    struct api_int_headers headers;
    add_blob_headers(call, &headers);
    int status = 200;
    if (op->range_kind == RANGE_PART) {
        status = 206;
        uint64_t last = op->range.first + op->range.length - 1;
        api_int_headers_add(&headers, SLICE("content-range"),
                            arena_format(flow_arena(f), "bytes %llu-%llu/%llu", (unsigned long long)op->range.first,
                                         (unsigned long long)last, (unsigned long long)op->info.size));
    }
    int fd = storage_reader_fd(storage, op->reader);
    if (fd >= 0)
        return flow_await(f, http_reply_file(call->req, status, headers.items, headers.count, fd, op->range.first,
                                             op->range.length, flow_done(f)));
    struct byte_source *source = storage_reader_source(storage, op->reader, flow_loop(f), flow_arena(f));
    return flow_await(
        f, http_reply_stream(call->req, status, headers.items, headers.count, op->range.length, source, flow_done(f)));
}

static void close_blob(void *owner)
{
    const struct api_call *call = owner;
    struct blob_read *op = call->state;
    if (op->reader != NULL)
        storage_close_read(registry_storage(call->services->registry), op->reader);
    op->reader = NULL;
}

static const struct flow_step send_steps[] = {{"open", open_blob}, {"send", send_blob}};
static const struct flow_program send_program = {"blob_send", FLOW_STEPS(send_steps), .dispose = close_blob};

/* ---- sending elsewhere ---- */

/* No entity tag, type or ranges: those are what the client finds there, and it repeats its Range. Kept by nobody but
 * the client, for it is an answer to who asked. */
static enum flow_next redirect(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    const struct blob_read *op = call->state;
    struct storage_url url;
    enum result r = blob_find_url(call->services->registry, &op->info, flow_arena(f), &url);
    if (r != OK)
        return flow_fail(f, r);
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("location"), url.text);
    api_int_headers_add(&headers, SLICE("docker-content-digest"), call->digest_text);
    api_int_headers_add(&headers, SLICE("cache-control"),
                        arena_format(flow_arena(f), "private, max-age=%u", (unsigned)url.same_for_s));
    return flow_await(f, http_reply_bytes(call->req, 307, headers.items, headers.count, SLICE_EMPTY, flow_done(f)));
}

/* ---- deciding what to answer ---- */

static enum flow_next parse_blob(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct blob_read *op = ARENA_NEW(flow_arena(f), struct blob_read);
    call->state = op;
    enum result r = digest_parse(call->reference_text, &op->digest);
    if (r != OK)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    call->digest_text = call->reference_text;
    op->etag = ARENA_CONCAT(flow_arena(f), SLICE("\""), call->digest_text, SLICE("\""));
    call->subject = API_SUBJECT_BLOB;
    return FLOW_NEXT;
}

static enum flow_next find_blob(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct blob_read *op = call->state;
    return blob_find(f, call->services->registry, call->repo, &op->digest, &op->info);
}

/* A Range counts for GET alone, and only for the representation that If-Range names. */
static void choose_range(const struct api_call *call, struct blob_read *op)
{
    op->range_kind = RANGE_WHOLE;
    struct slice range = api_int_header(call, SLICE("range"));
    struct slice if_range = api_int_header(call, SLICE("if-range"));
    bool is_wanted = range.ptr != NULL && !api_int_is_head(call);
    if (is_wanted && (if_range.ptr == NULL || slice_equal(if_range, op->etag)))
        op->range_kind = range_parse(range, op->info.size, &op->range);
    if (op->range_kind == RANGE_WHOLE)
        op->range = (struct byte_range){0, op->info.size};
}

static enum flow_next answer_blob(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct blob_read *op = call->state;
    struct api_int_headers headers;
    add_blob_headers(call, &headers);
    struct slice if_none_match = api_int_header(call, SLICE("if-none-match"));
    if (if_none_match.ptr != NULL && api_int_etag_matches(if_none_match, op->etag))
        return flow_await(f, http_reply_bytes(call->req, 304, headers.items, headers.count, SLICE_EMPTY, flow_done(f)));
    if (api_int_is_head(call))
        return flow_await(f,
                          http_reply_head(call->req, 200, headers.items, headers.count, op->info.size, flow_done(f)));
    if (op->info.size > 0 && storage_has_urls(registry_storage(call->services->registry)))
        return redirect(f);
    choose_range(call, op);
    if (op->range_kind == RANGE_UNSATISFIABLE) {
        api_add_error_header(
            call, SLICE("content-range"),
            arena_format(http_request_arena(call->req), "bytes */%llu", (unsigned long long)op->info.size));
        return flow_fail(f, RANGE);
    }
    if (op->info.size == 0)
        return flow_await(f, http_reply_bytes(call->req, 200, headers.items, headers.count, SLICE_EMPTY, flow_done(f)));
    return flow_call(f, &send_program, call);
}

static const struct flow_step blob_read_steps[] = {{"parse", parse_blob}, {"find", find_blob}, {"answer", answer_blob}};
const struct flow_program api_int_blob_read = {"blob_read", FLOW_STEPS(blob_read_steps)};

/* ---- DELETE ---- */

struct blob_remove {
    struct digest digest;
    struct digest by;
};

static enum flow_next parse_delete(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct blob_remove *op = ARENA_NEW(flow_arena(f), struct blob_remove);
    call->state = op;
    enum flow_next next = api_int_check_delete(f);
    if (next != FLOW_NEXT)
        return next;
    enum result r = digest_parse(call->reference_text, &op->digest);
    if (r != OK)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    call->digest_text = call->reference_text;
    call->subject = API_SUBJECT_BLOB;
    return FLOW_NEXT;
}

static enum flow_next delete_blob(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct blob_remove *op = call->state;
    return blob_delete(f, call->services->registry, call->repo, &op->digest, &op->by);
}

static enum flow_next explain_delete(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    const struct blob_remove *op = call->state;
    if (flow_outcome(f) == CONFLICT)
        api_int_explain_referenced(call, &op->by, http_request_arena(call->req));
    return FLOW_NEXT;
}

static const struct flow_step blob_delete_steps[] = {
    {"parse", parse_delete}, {"delete", delete_blob}, {"reply", api_int_reply_deleted}};
static const struct flow_step blob_delete_finally[] = {{"explain", explain_delete}};
const struct flow_program api_int_blob_delete = {"blob_delete", FLOW_STEPS(blob_delete_steps),
                                                 FLOW_FINALLY(blob_delete_finally)};
