/* SPDX-License-Identifier: Apache-2.0
 *
 * The sources that a server has to be asked for, each a program of steps. Every answer and every file has a limit,
 * every exchange a time.
 */
#include "credentials_int.h"

#include <stdio.h>

#define EXCHANGE_MS 5000u
#define MACHINE_MS 2000u
#define FILE_BYTES_MAX (16u * 1024u)
#define ROLE_NAME_MAX 128u

/* ---- files: read by the pool ---- */

static void read_on_pool(struct pool_job *job)
{
    struct s3_fetch *fetch = (struct s3_fetch *)(void *)((char *)job - offsetof(struct s3_fetch, job));
    fetch->file_result = NOT_FOUND;
    FILE *file = fopen(fetch->path, "re");
    if (file == NULL)
        return;
    fetch->file_bytes = fread(fetch->file, 1, FILE_BYTES_MAX, file);
    fetch->file_result = ferror(file) ? IO : fetch->file_bytes == FILE_BYTES_MAX ? TOO_LARGE : OK;
    (void)fclose(file);
}

static void on_file_read(struct pool_job *job)
{
    struct s3_fetch *fetch = (struct s3_fetch *)(void *)((char *)job - offsetof(struct s3_fetch, job));
    done_call(fetch->file_done, OK);
}

static enum flow_next read_file(struct flow *f, struct slice path)
{
    struct s3_fetch *fetch = flow_owner(f);
    fetch->path = arena_cstr(flow_arena(f), path);
    fetch->file = arena_alloc(flow_arena(f), FILE_BYTES_MAX);
    fetch->file_done = flow_done(f);
    fetch->job = (struct pool_job){.work = read_on_pool, .done = on_file_read, .loop = flow_loop(f)};
    enum result r = pool_submit(fetch->pool, POOL_FILES, &fetch->job);
    return flow_await(f, r == OK ? PENDING : r);
}

/* The token that was read, without the line's end. */
static enum flow_next take_token(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    if (fetch->path == NULL)
        return FLOW_NEXT;
    struct slice token = {fetch->file, fetch->file_bytes};
    while (token.len > 0 && (token.ptr[token.len - 1] == '\n' || token.ptr[token.len - 1] == '\r'))
        token.len--;
    fetch->bearer = token;
    if (fetch->file_result == OK && token.len > 0)
        return FLOW_NEXT;
    strbuf_append_format(fetch->why, "%s cannot be read, or holds no token", fetch->path);
    return flow_fail(f, fetch->file_result == OK ? INVALID : fetch->file_result);
}

/* ---- exchanges ---- */

static enum flow_next ask(struct flow *f, const char *method, struct slice url, uint32_t timeout_ms)
{
    struct s3_fetch *fetch = flow_owner(f);
    struct slice body = fetch->exchange.body;
    fetch->exchange = (struct http_exchange){.method = method,
                                             .url = arena_cstr(flow_arena(f), url),
                                             .fields = fetch->fields,
                                             .body = body,
                                             .timeout_ms = timeout_ms,
                                             .answer_max = S3_KEYS_ANSWER_MAX,
                                             .arena = flow_arena(f)};
    return flow_await_any(f, http_client_perform(fetch->http, &fetch->exchange, flow_done(f)));
}

/* Whether the server answered 200; else says what is wrong. The query is not repeated: it may hold what is secret. */
static bool is_answered(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    struct slice url = slice_from_cstr(fetch->exchange.url);
    struct slice query;
    (void)slice_split(url, '?', &url, &query);
    if (flow_result(f) == TOO_LARGE)
        strbuf_append_format(fetch->why, "%.*s answered more than %u bytes", SLICE_ARG(url), S3_KEYS_ANSWER_MAX);
    else if (flow_result(f) != OK)
        strbuf_append_format(fetch->why, "no answer from %.*s", SLICE_ARG(url));
    else if (fetch->exchange.status != 200)
        strbuf_append_format(fetch->why, "%.*s answered %u", SLICE_ARG(url), fetch->exchange.status);
    return flow_result(f) == OK && fetch->exchange.status == 200;
}

static enum flow_next take_json(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    if (!is_answered(f))
        return flow_fail(f, UNAVAILABLE);
    enum result r = s3_keys_parse_json(fetch->exchange.answer, fetch->why, fetch->ret_keys);
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

/* ---- web identity: a token of the cluster for keys of a role ---- */

static enum flow_next read_identity(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    return read_file(f, fetch->settings->identity_file);
}

static enum flow_next ask_sts(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    const struct s3_credential_settings *settings = fetch->settings;
    struct strbuf form;
    strbuf_init(&form, 4u * FILE_BYTES_MAX);
    strbuf_append_cstr(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
    strbuf_append_percent_encoded(&form, settings->role);
    strbuf_append_cstr(&form, "&RoleSessionName=");
    strbuf_append_percent_encoded(&form, settings->role_session);
    strbuf_append_cstr(&form, "&WebIdentityToken=");
    strbuf_append_percent_encoded(&form, fetch->bearer);
    fetch->exchange.body = arena_copy(flow_arena(f), strbuf_slice(&form));
    enum result r = strbuf_result(&form);
    strbuf_done(&form);
    if (r != OK)
        return flow_fail(f, r);
    fetch->fields[0] = "Content-Type: application/x-www-form-urlencoded";
    return ask(f, "POST", arena_format(flow_arena(f), "%.*s/", SLICE_ARG(settings->sts_url)), EXCHANGE_MS);
}

static enum flow_next take_xml(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    if (!is_answered(f)) {
        if (flow_result(f) == OK && fetch->exchange.status >= 400 && fetch->exchange.status < 500)
            strbuf_append_cstr(fetch->why, ": check AWS_ROLE_ARN, the role's trust in the cluster, and the token");
        return flow_fail(f, UNAVAILABLE);
    }
    enum result r = s3_keys_parse_xml(fetch->exchange.answer, fetch->why, fetch->ret_keys);
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

static const struct flow_step web_identity_steps[] = {
    {"read token", read_identity}, {"take token", take_token}, {"ask STS", ask_sts}, {"take keys", take_xml}};
static const struct flow_program web_identity_program = {.name = "web identity", FLOW_STEPS(web_identity_steps)};
const struct s3_credential_source s3_web_identity = {.name = "web identity", .program = &web_identity_program};

/* ---- container ---- */

static enum flow_next read_container_token(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    fetch->bearer = fetch->settings->container_token;
    if (fetch->settings->container_token_file.len == 0)
        return FLOW_NEXT;
    return read_file(f, fetch->settings->container_token_file);
}

static enum flow_next ask_container(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    if (fetch->bearer.len > 0 && !s3_keys_is_token(fetch->bearer)) {
        strbuf_append_cstr(fetch->why, "the authorization token is too long or has characters that none has");
        return flow_fail(f, INVALID);
    }
    if (fetch->bearer.len > 0)
        fetch->fields[0] =
            arena_cstr(flow_arena(f), arena_format(flow_arena(f), "Authorization: %.*s", SLICE_ARG(fetch->bearer)));
    return ask(f, "GET", fetch->settings->container_url, EXCHANGE_MS);
}

static const struct flow_step container_steps[] = {
    {"read token", read_container_token}, {"take token", take_token}, {"ask", ask_container}, {"take keys", take_json}};
static const struct flow_program container_program = {.name = "container", FLOW_STEPS(container_steps)};
const struct s3_credential_source s3_container = {.name = "container", .is_near = true, .program = &container_program};

/* ---- machine: EC2's metadata, version 2 ---- */

#define METADATA_FOLDER "/latest/meta-data/iam/security-credentials/"

static enum flow_next ask_session(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    fetch->fields[0] = "X-aws-ec2-metadata-token-ttl-seconds: 60";
    return ask(f, "PUT", arena_format(flow_arena(f), "%.*s/latest/api/token", SLICE_ARG(fetch->settings->metadata_url)),
               MACHINE_MS);
}

static enum flow_next ask_role(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    if (!is_answered(f)) {
        if (flow_result(f) == OK)
            strbuf_append_cstr(fetch->why, " to a request for an IMDSv2 token: allow it (a container needs a hop limit "
                                           "of 2)");
        return flow_fail(f, UNAVAILABLE);
    }
    if (!s3_keys_is_token(fetch->exchange.answer)) {
        strbuf_append_cstr(fetch->why, "the metadata service answered something that is no IMDSv2 token");
        return flow_fail(f, INVALID);
    }
    fetch->fields[0] = arena_cstr(flow_arena(f), arena_format(flow_arena(f), "X-aws-ec2-metadata-token: %.*s",
                                                              SLICE_ARG(fetch->exchange.answer)));
    return ask(f, "GET", arena_format(flow_arena(f), "%.*s" METADATA_FOLDER, SLICE_ARG(fetch->settings->metadata_url)),
               MACHINE_MS);
}

static enum flow_next ask_keys(struct flow *f)
{
    struct s3_fetch *fetch = flow_owner(f);
    struct slice role = fetch->exchange.answer;
    struct slice rest;
    if (!is_answered(f)) {
        if (flow_result(f) == OK && fetch->exchange.status == 404)
            strbuf_append_cstr(fetch->why, ": the machine has no role (instance profile)");
        return flow_fail(f, UNAVAILABLE);
    }
    (void)slice_split(role, '\n', &role, &rest);
    struct strbuf url;
    strbuf_init(&url, 2048);
    strbuf_append(&url, fetch->settings->metadata_url);
    strbuf_append_cstr(&url, METADATA_FOLDER);
    strbuf_append_percent_encoded(&url, slice_of(role.ptr, role.len < ROLE_NAME_MAX ? role.len : ROLE_NAME_MAX));
    struct slice text = arena_copy(flow_arena(f), strbuf_slice(&url));
    strbuf_done(&url);
    return ask(f, "GET", text, MACHINE_MS);
}

static const struct flow_step machine_steps[] = {{"ask for a session", ask_session},
                                                 {"ask for the role", ask_role},
                                                 {"ask for keys", ask_keys},
                                                 {"take keys", take_json}};
static const struct flow_program machine_program = {.name = "machine", FLOW_STEPS(machine_steps)};
const struct s3_credential_source s3_machine = {
    .name = "machine metadata", .is_near = true, .program = &machine_program};
