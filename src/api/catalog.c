/* SPDX-License-Identifier: Apache-2.0
 *
 * GET of the names of all repositories, in byte order, by pages as tags are listed. On the request's loop.
 */
#include "api_int.h"

#define NAMES_PER_PAGE_MAX 1000u
#define BODY_BYTES_MAX (NAMES_PER_PAGE_MAX * (REPO_NAME_MAX + 3) + 1024u)

struct catalog_read {
    struct api_int_page asked;
    struct repository_page page;
    struct strbuf body;
};

static enum flow_next parse_page(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct catalog_read *op = ARENA_NEW(flow_arena(f), struct catalog_read);
    strbuf_init(&op->body, BODY_BYTES_MAX);
    call->state = op;
    return api_int_parse_page(f, NAMES_PER_PAGE_MAX, &op->asked);
}

static enum flow_next list_repositories(struct flow *f)
{
    const struct api_call *call = flow_owner(f);
    struct catalog_read *op = call->state;
    if (op->asked.limit == 0)
        return FLOW_NEXT;
    return repository_list(f, call->services->registry, op->asked.last, (size_t)op->asked.limit, &op->page);
}

static struct slice next_link(const struct api_call *call, const struct catalog_read *op, struct arena *arena)
{
    /* A repository's name has only unreserved characters and '/', which a query may hold. */
    struct slice last = op->page.names[op->page.count - 1].text;
    return api_int_next_page(
        call,
        arena_format(arena, "/v2/_catalog?n=%llu&last=%.*s", (unsigned long long)op->asked.limit, SLICE_ARG(last)),
        arena);
}

static enum flow_next reply_repositories(struct flow *f)
{
    struct api_call *call = flow_owner(f);
    struct catalog_read *op = call->state;
    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), SLICE("application/json"));
    struct slice *names = ARENA_ARRAY(flow_arena(f), struct slice, op->page.count + 1);
    for (size_t i = 0; i < op->page.count; i++)
        names[i] = op->page.names[i].text;
    strbuf_append_cstr(&op->body, "{\"repositories\":[");
    api_int_append_strings(&op->body, names, op->page.count);
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
    struct catalog_read *op = call->state;
    if (op != NULL) /* NULL: cancelled before its first step */
        strbuf_done(&op->body);
}

static const struct flow_step catalog_steps[] = {
    {"parse", parse_page}, {"list", list_repositories}, {"reply", reply_repositories}};
const struct flow_program api_int_catalog = {"catalog", FLOW_STEPS(catalog_steps), .dispose = release_body};
