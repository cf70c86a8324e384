/* SPDX-License-Identifier: Apache-2.0
 *
 * GET of a repository's tags, in byte order, by pages: `n` and `last`, and a Link to the next one. On the request's
 * loop.
 */
#include "api_int.h"

#define TAGS_PER_PAGE_MAX 10000u
#define BODY_BYTES_MAX (TAGS_PER_PAGE_MAX * (TAG_MAX + 3) + 1024u)

struct tag_list_read {
    struct api_int_page asked;
    struct tag_page page;
    struct strbuf body;
};

static enum flow_next parse_page(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct tag_list_read *op = ARENA_NEW(flow_arena(f), struct tag_list_read);
    strbuf_init(&op->body, BODY_BYTES_MAX);
    call->state = op;
    enum flow_next next = api_int_parse_page(f, TAGS_PER_PAGE_MAX, &op->asked);
    if (next != FLOW_NEXT)
        return next;
    call->subject = API_SUBJECT_REPOSITORY;
    return FLOW_NEXT;
}

/* n=0 still says whether the repository exists. */
static enum flow_next list_tags(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct tag_list_read *op = call->state;
    size_t limit = op->asked.limit == 0 ? 1 : (size_t)op->asked.limit;
    return tag_list(f, call->services->registry, call->repo, op->asked.last, limit, &op->page);
}

static struct slice next_link(const struct api_call *call, const struct tag_list_read *op, struct arena *arena)
{
    /* Tags are unreserved characters throughout: nothing to encode. */
    struct slice last = op->page.tags[op->page.count - 1];
    struct slice path = arena_format(arena, "/v2/%.*s/tags/list?n=%llu&last=%.*s", SLICE_ARG(call->repo.text),
                                     (unsigned long long)op->asked.limit, SLICE_ARG(last));
    return api_int_next_page(call, path, arena);
}

static enum flow_next reply_tags(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct tag_list_read *op = call->state;
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), SLICE("application/json"));
    size_t count = op->asked.limit == 0 ? 0 : op->page.count;
    strbuf_append_cstr(&op->body, "{\"name\":");
    strbuf_append_json(&op->body, call->repo.text);
    strbuf_append_cstr(&op->body, ",\"tags\":[");
    api_int_append_strings(&op->body, op->page.tags, count);
    strbuf_append_cstr(&op->body, "]}\n");
    if (strbuf_result(&op->body) != OK)
        return flow_fail(f, CORRUPT);
    if (count > 0 && op->page.has_more)
        api_int_headers_add(&headers, SLICE("link"), next_link(call, op, flow_arena(f)));
    return flow_await(f, api_int_reply(call, 200, &headers, strbuf_slice(&op->body), flow_done(f)));
}

static void release_body(void *owner)
{
    struct api_call *call = owner;
    struct tag_list_read *op = call->state;
    if (op != NULL) /* NULL: cancelled before its first step */
        strbuf_done(&op->body);
}

static const struct flow_step tag_list_steps[] = {{"parse", parse_page}, {"list", list_tags}, {"reply", reply_tags}};
const struct flow_program api_int_tag_list = {"tag_list", FLOW_STEPS(tag_list_steps), .dispose = release_body};
