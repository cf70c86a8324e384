/* SPDX-License-Identifier: Apache-2.0
 *
 * Mounting a blob from another repository (distribution-spec, "Mounting a blob from another repository"). Absent and
 * forbidden end alike: no repository tells of another's content. On the request's loop.
 */
#include "api_int.h"

#define SOURCES_MAX 256u /* looked into when the client does not say where from */

struct mount {
    struct api_call *call;
    struct digest digest;
    bool *ret_is_mounted;
    struct blob_info found;
    struct repository_page page;
    struct repo_name *sources;
    size_t source_count;
    size_t at;
    bool is_asking_access;
};

static enum flow_next look_here(struct flow *f)
{
    struct mount *op = flow_owner(f);
    return flow_any(f, blob_find(f, op->call->services->registry, op->call->repo, &op->digest, &op->found));
}

/* A name that no repository can have is no source. */
static enum flow_next choose_sources(struct flow *f)
{
    struct mount *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r == OK) {
        *op->ret_is_mounted = true;
        return FLOW_RETURN;
    }
    if (r != NOT_FOUND)
        return flow_fail(f, r);
    struct slice text;
    if (!http_request_query_value(op->call->req, SLICE("from"), 0, &text))
        return repository_list(f, op->call->services->registry, SLICE_EMPTY, SOURCES_MAX, &op->page);
    op->sources = ARENA_NEW(flow_arena(f), struct repo_name);
    op->source_count = repo_name_parse(text, op->sources) == OK ? 1 : 0;
    return FLOW_NEXT;
}

static enum flow_next take_page(struct flow *f)
{
    struct mount *op = flow_owner(f);
    if (op->sources == NULL) {
        op->sources = op->page.names;
        op->source_count = op->page.count;
    }
    return FLOW_NEXT;
}

/* Twice for each source: may the caller pull from it, and has it the blob? */
static enum flow_next try_sources(struct flow *f)
{
    struct mount *op = flow_owner(f);
    const struct api_services *services = op->call->services;
    if (op->is_asking_access) {
        op->is_asking_access = false;
        if (flow_result(f) == OK)
            return flow_again(f, blob_mount(f, services->registry, op->call->repo, op->sources[op->at++], &op->digest));
        op->at++;
    } else if (op->at > 0) {
        enum result r = flow_result(f);
        if (r == OK) {
            *op->ret_is_mounted = true;
            return FLOW_RETURN;
        }
        if (r != NOT_FOUND)
            return flow_fail(f, r);
    }
    if (op->at == op->source_count)
        return FLOW_NEXT;
    op->is_asking_access = true;
    return flow_await_again(f, access_authorize(services->access, &op->call->identity, PERMISSION_PULL,
                                                &op->sources[op->at], flow_done(f)));
}

static const struct flow_step mount_steps[] = {
    {"look here", look_here},
    {"choose sources", choose_sources},
    {"take page", take_page},
    {"try sources", try_sources},
};
static const struct flow_program mount_program = {"mount", FLOW_STEPS(mount_steps)};

enum flow_next api_int_mount(struct flow *f, const struct digest *digest, bool *ret_is_mounted)
{
    struct mount *op = ARENA_NEW(flow_arena(f), struct mount);
    op->call = flow_owner(f);
    op->digest = *digest;
    op->ret_is_mounted = ret_is_mounted;
    *ret_is_mounted = false;
    return flow_call(f, &mount_program, op);
}
