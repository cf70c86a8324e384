/* SPDX-License-Identifier: Apache-2.0
 *
 * THE request path: route, authenticate, authorize, handle, reply the error if one of them failed, log. Nothing of a
 * body is read before "authorize" is through. One flow and one arena for a request, on its loop, from the first step to
 * the last byte of the answer; a client that goes away cancels the flow, and what has to be put in order is put in
 * order.
 */
#include <time.h>

#include "server_int.h"

#define CLIENT_ID_MAX 64
#define ROUTE_NONE "none"      /* in metrics */
#define STATUS_CLIENT_GONE 499 /* in logs and metrics only: there was nobody to answer */

struct exchange {
    struct api_call call;
    struct server_loop *sl;
    uint64_t begun_us;
    enum result result; /* how the answer steps ended */
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* ---- the steps that answer ---- */

static enum flow_next route(struct flow *f)
{
    struct exchange *x = flow_owner(f);
    return flow_await(f, api_match(&x->call, flow_arena(f)));
}

static enum flow_next authenticate(struct flow *f)
{
    struct exchange *x = flow_owner(f);
    struct api_call *call = &x->call;
    if (call->route->permission == PERMISSION_NONE)
        return FLOW_NEXT;
    call->subject = API_SUBJECT_ACCESS;
    return flow_await(
        f, access_authenticate(call->services->access, http_request_header(call->req, SLICE("authorization")),
                               http_request_client_name(call->req), flow_arena(f), &call->identity, flow_done(f)));
}

static enum flow_next authorize(struct flow *f)
{
    struct exchange *x = flow_owner(f);
    struct api_call *call = &x->call;
    if (call->route->permission == PERMISSION_NONE)
        return FLOW_NEXT;
    call->subject = call->identity.is_anonymous ? API_SUBJECT_ACCESS : API_SUBJECT_REPOSITORY;
    const struct repo_name *repo = call->repo.text.len > 0 ? &call->repo : NULL;
    return flow_await(
        f, access_authorize(call->services->access, &call->identity, call->route->permission, repo, flow_done(f)));
}

static enum flow_next handle(struct flow *f)
{
    struct exchange *x = flow_owner(f);
    x->call.subject = API_SUBJECT_NONE;
    return flow_call(f, x->call.route->program, &x->call);
}

static const struct flow_step answer_steps[] = {
    {"route", route}, {"authenticate", authenticate}, {"authorize", authorize}, {"handle", handle}};
static const struct flow_program answer_program = {"answer", FLOW_STEPS(answer_steps)};

/* ---- round them ---- */

static enum flow_next answer(struct flow *f)
{
    return flow_any(f, flow_call(f, &answer_program, flow_owner(f)));
}

/* Where nobody can log in there is no challenge to send, and without one a 401 would be wrong: it is a 403 then. */
static void add_challenge(struct flow *f, struct api_call *call)
{
    struct slice challenge = access_challenge(call->services->access, flow_arena(f));
    if (challenge.len > 0)
        api_add_error_header(call, SLICE("www-authenticate"), challenge);
    else
        call->subject = API_SUBJECT_REPOSITORY;
}

/* A body that stalls or breaks its framing, whatever was being done with it. */
static bool is_senders_failure(const struct exchange *x)
{
    return x->result != OK && x->result == http_request_body_failure(x->call.req);
}

static enum flow_next reply_error(struct flow *f)
{
    struct exchange *x = flow_owner(f);
    x->result = flow_result(f);
    if (x->result == OK || x->result == CANCELLED || http_request_reply_status(x->call.req) != 0)
        return FLOW_NEXT;
    if (x->result == DENIED && x->call.subject == API_SUBJECT_ACCESS)
        add_challenge(f, &x->call);
    if (is_senders_failure(x))
        x->call.subject = API_SUBJECT_BODY;
    return flow_await_any(f, api_reply_error(&x->call, x->result, flow_done(f)));
}

/* A header that came with the request may name it too, if it is harmless. */
static struct slice client_id(const struct http_request *req)
{
    struct slice id = http_request_header(req, SLICE("x-request-id"));
    if (id.len > CLIENT_ID_MAX)
        return SLICE_EMPTY;
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] <= 0x20 || id.ptr[i] >= 0x7f)
            return SLICE_EMPTY;
    return id;
}

static void log_access(const struct exchange *x, int status, uint64_t duration_us)
{
    const struct api_call *call = &x->call;
    log_event(
        x->sl->server->log, LOG_LEVEL_INFO, "http.request", FIELD_CSTR("request_id", call->request_id),
        FIELD_STR("method", http_request_method(call->req)), FIELD_STR("path", http_request_path(call->req)),
        FIELD_NUM("status", status), FIELD_STR("user", call->identity.name), FIELD_STR("repository", call->repo.text),
        FIELD_STR("digest", call->digest_text), FIELD_NUM("bytes_in", http_request_body_bytes(call->req)),
        FIELD_NUM("bytes_out", http_request_reply_bytes(call->req)), FIELD_NUM("duration_us", duration_us),
        FIELD_STR("peer", http_request_peer(call->req)),
        FIELD_STR("user_agent", http_request_header(call->req, SLICE("user-agent"))),
        FIELD_STR("protocol", http_request_protocol(call->req)), FIELD_STR("client_request_id", client_id(call->req)));
}

/* What the operator has to look into: our failures, not the client's. */
static void log_failure(const struct flow *f, const struct exchange *x)
{
    const char *program = NULL;
    const char *step = NULL;
    flow_where(f, &program, &step);
    log_event(x->sl->server->log, LOG_LEVEL_ERROR, "http.request_failed", FIELD_CSTR("request_id", x->call.request_id),
              FIELD_RESULT(x->result), FIELD_CSTR("program", program), FIELD_CSTR("step", step),
              FIELD_STR("repository", x->call.repo.text));
}

static bool is_our_failure(enum result r)
{
    return r == IO || r == CORRUPT || r == QUOTA || r == UNAVAILABLE;
}

static enum flow_next log_request(struct flow *f)
{
    const struct exchange *x = flow_owner(f);
    struct server *server = x->sl->server;
    int status = http_request_reply_status(x->call.req);
    if (status == 0)
        status = STATUS_CLIENT_GONE;
    uint64_t duration_us = now_us() - x->begun_us;
    metrics_request(server->metrics, loop_index(x->sl->loop), x->call.route == NULL ? ROUTE_NONE : x->call.route->name,
                    status, duration_us);
    if (log_is_enabled(server->log, LOG_LEVEL_INFO))
        log_access(x, status, duration_us);
    if (is_our_failure(x->result) && !is_senders_failure(x))
        log_failure(f, x);
    return FLOW_NEXT;
}

static const struct flow_step pipeline_steps[] = {{"answer", answer}, {"reply error", reply_error}};
static const struct flow_step pipeline_finally[] = {{"log", log_request}};
static const struct flow_program pipeline_program = {"pipeline", FLOW_STEPS(pipeline_steps),
                                                     FLOW_FINALLY(pipeline_finally)};

/* ---- one request: from the head to the end of the answer ---- */

static void on_gone(void *data)
{
    flow_cancel(data);
}

static void on_end(void *data, enum result outcome)
{
    struct exchange *x = data;
    (void)outcome; /* logged, and answered where somebody was there to read it */
    struct server_loop *sl = x->sl;
    http_request_done(x->call.req);
    server_int_flow_ended(sl);
}

/* Unique, not secret: the loop's random prefix and a count. */
static void make_request_id(struct server_loop *sl, char out[UUID_TEXT_SIZE])
{
    size_t n = strlen(sl->id_prefix);
    memcpy(out, sl->id_prefix, n);
    uint32_t count = sl->id_counter++;
    uint8_t bytes[4] = {(uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count};
    hex_encode(bytes, sizeof(bytes), out + n);
    out[n + 2 * sizeof(bytes)] = '\0';
}

void server_int_handle_request(void *data, struct http_request *req)
{
    struct server_loop *sl = data;
    struct flow *f = flow_new(sl->loop);
    struct exchange *x = ARENA_NEW(flow_arena(f), struct exchange);
    x->sl = sl;
    x->begun_us = now_us();
    x->call.req = req;
    x->call.services = &sl->server->services;
    x->call.identity.is_anonymous = true;
    make_request_id(sl, x->call.request_id);
    server_int_flow_begun(sl);
    http_request_on_gone(req, on_gone, f);
    flow_start(f, &pipeline_program, x, on_end, x);
}

void server_int_note_refusal(void *data, const struct http_refusal *refusal)
{
    struct server_loop *sl = data;
    struct server *server = sl->server;
    char request_id[UUID_TEXT_SIZE];
    metrics_request(server->metrics, loop_index(sl->loop), ROUTE_NONE, refusal->status, refusal->duration_ms * 1000u);
    if (!log_is_enabled(server->log, LOG_LEVEL_INFO))
        return;
    make_request_id(sl, request_id);
    log_event(server->log, LOG_LEVEL_INFO, "http.request", FIELD_CSTR("request_id", request_id),
              FIELD_STR("method", refusal->method), FIELD_STR("path", refusal->path),
              FIELD_NUM("status", refusal->status), FIELD_CSTR("refused", refusal->reason),
              FIELD_NUM("duration_us", refusal->duration_ms * 1000u), FIELD_STR("peer", refusal->peer));
}
