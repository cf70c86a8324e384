/* SPDX-License-Identifier: Apache-2.0
 *
 * GET of the manifests that name another as their subject (distribution-spec, "Listing Referrers"): an image index, by
 * pages, perhaps of one artifact type. Never 404. On the request's loop.
 */
#include "api_int.h"

#define ENTRIES_PER_PAGE_MAX 1000u
#define BODY_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct referrers_read {
    struct digest subject;
    struct slice artifact_type; /* ptr NULL: not asked for */
    struct api_int_page asked;
    struct referrer_page page;
    struct strbuf body;
};

static enum flow_next parse_request(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct referrers_read *op = ARENA_NEW(flow_arena(f), struct referrers_read);
    strbuf_init(&op->body, BODY_BYTES_MAX);
    call->state = op;
    enum result r = digest_parse(call->reference_text, &op->subject);
    if (r != OK)
        return api_int_fail(f, API_SUBJECT_DIGEST, r, SLICE_EMPTY);
    call->digest_text = call->reference_text;
    if (!http_request_query_value(call->req, SLICE("artifactType"), 0, &op->artifact_type))
        op->artifact_type = SLICE_EMPTY;
    if (op->artifact_type.len == 0)
        op->artifact_type.ptr = NULL;
    call->subject = API_SUBJECT_MANIFEST;
    return api_int_parse_page(f, ENTRIES_PER_PAGE_MAX, &op->asked);
}

static enum flow_next list_referrers(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct referrers_read *op = call->state;
    if (op->asked.limit == 0)
        return FLOW_NEXT;
    return referrer_list(f, call->services->registry, call->repo, &op->subject, op->artifact_type, op->asked.last,
                         (size_t)op->asked.limit, &op->page);
}

static struct slice next_link(const struct api_call *call, const struct referrers_read *op, struct arena *arena)
{
    struct strbuf query;
    strbuf_init(&query, (size_t)64 * 1024);
    strbuf_append_format(&query, "/v2/%.*s/referrers/%.*s?n=%llu&last=%.*s", SLICE_ARG(call->repo.text),
                         SLICE_ARG(call->reference_text), (unsigned long long)op->asked.limit,
                         SLICE_ARG(op->page.last));
    if (op->artifact_type.ptr != NULL) {
        strbuf_append_cstr(&query, "&artifactType=");
        strbuf_append_percent_encoded(&query, op->artifact_type);
    }
    struct slice link = api_int_next_page(call, strbuf_slice(&query), arena);
    strbuf_done(&query);
    return link;
}

static enum flow_next reply_referrers(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct referrers_read *op = call->state;
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), SLICE("application/vnd.oci.image.index.v1+json"));
    if (op->artifact_type.ptr != NULL)
        api_int_headers_add(&headers, SLICE("oci-filters-applied"), SLICE("artifactType"));
    strbuf_append_cstr(&op->body, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\","
                                  "\"manifests\":[");
    for (size_t i = 0; i < op->page.count; i++) {
        if (i > 0)
            strbuf_append_char(&op->body, ',');
        strbuf_append(&op->body, op->page.descriptors[i]);
    }
    strbuf_append_cstr(&op->body, "]}\n");
    if (strbuf_result(&op->body) != OK)
        return flow_fail(f, CORRUPT);
    if (op->page.has_more)
        api_int_headers_add(&headers, SLICE("link"), next_link(call, op, flow_arena(f)));
    return flow_await(f, api_int_reply(call, 200, &headers, strbuf_slice(&op->body), flow_done(f)));
}

static void release_body(void *owner)
{
    struct api_call *call = owner;
    struct referrers_read *op = call->state;
    if (op != NULL) /* NULL: cancelled before its first step */
        strbuf_done(&op->body);
}

static const struct flow_step referrers_steps[] = {
    {"parse", parse_request}, {"list", list_referrers}, {"reply", reply_referrers}};
const struct flow_program api_int_referrers = {"referrers", FLOW_STEPS(referrers_steps), .dispose = release_body};
