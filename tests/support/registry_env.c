/* SPDX-License-Identifier: Apache-2.0
 *
 * Drives a registry from tests: see registry_env.h. The loop's own thread.
 */
#include "registry_env.h"

#include <stdio.h>
#include <stdlib.h>

#include "await.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* ---- environment --------------------------------------------------------------------------------------------------
 */

static uint64_t now_ms(void *data)
{
    const struct env *env = data;
    return env->now_ms;
}

static struct clock clock_of(struct env *env)
{
    return (struct clock){.wall_ms = now_ms, .monotonic_ms = now_ms, .data = env};
}

static void on_begun(void *data, unsigned loop)
{
    struct env *env = data;
    (void)loop;
    env->background++;
    env->is_quiet = false;
}

static void on_ended(void *data, unsigned loop)
{
    struct env *env = data;
    (void)loop;
    env->is_quiet = --env->background == 0;
}

static void start_registry(struct env *env)
{
    env->background = 0;
    env->is_quiet = true;
    env->index = env->has_index ? index_new_local(10000, clock_of(env), NULL) : index_new_none();
    REQUIRE(registry_new(&env->config, env->storage, env->index, env->pool, clock_of(env), NULL, NULL,
                         &env->registry) == OK);
    registry_watch_background(env->registry, (struct registry_background){on_begun, on_ended, env});
}

static void init(struct env *env, struct loop *loop, bool is_borrowed, unsigned flags)
{
    memset(env, 0, sizeof(*env));
    env->loop = loop;
    env->is_loop_borrowed = is_borrowed;
    env->now_ms = 1700000000000u;
    env->repo = SLICE("library/test");
    env->config.uploads.expire_after_ms = 24u * 3600u * 1000u;
    env->config.uploads.parts_in_flight = 4;
    env->config.http.max_manifest_bytes = 4u * 1024u * 1024u;
    env->config.validation.layers = true;
    env->config.validation.children = true;
    env->config.storage.delete_enabled = true;
    env->has_index = (flags & ENV_NO_INDEX) == 0;
    REQUIRE(pool_new(2, 4, &env->pool) == OK);
    struct storage_capabilities capabilities =
        (flags & ENV_SHARED) != 0 ? memory_driver_like_s3(PAGE_BYTES) : memory_driver_like_filesystem();
    capabilities.can_put_if_match = (flags & ENV_NO_SWAP) == 0;
    env->memory = memory_driver_new(capabilities);
    memory_driver_set_clock(env->memory, &env->now_ms);
    if ((flags & ENV_NO_FAULTS) != 0) {
        env->storage = storage_wrap(&memory_driver, env->memory, NULL);
    } else {
        env->fault = fault_driver_new(&memory_driver, env->memory);
        fault_driver_defer(env->fault, (flags & ENV_DEFERRED) != 0);
        env->storage = storage_wrap(&fault_driver, env->fault, NULL);
    }
    if (env->is_loop_borrowed) {
        memset(env->secret, 's', sizeof(env->secret) - 1);
        env->config.http.secret.value = env->secret;
    }
    start_registry(env);
}

void env_init_on(struct env *env, struct loop *loop, unsigned flags)
{
    init(env, loop, true, flags);
}

void env_init(struct env *env, unsigned flags)
{
    struct loop *loop;
    REQUIRE(loop_new(0, 64u * PAGE_BYTES, &loop) == OK);
    init(env, loop, false, flags);
}

void env_restart(struct env *env)
{
    env_wait_for_background(env);
    registry_free(env->registry);
    index_free(env->index);
    start_registry(env);
}

void env_fresh(struct env *env, struct env *ret_fresh)
{
    *ret_fresh = *env;
    start_registry(ret_fresh);
}

void env_fresh_done(struct env *fresh)
{
    env_settle(fresh);
    env_wait_for_background(fresh);
    registry_free(fresh->registry);
    index_free(fresh->index);
}

void env_done(struct env *env)
{
    env_settle(env);
    env_wait_for_background(env);
    REQUIRE(pages_in_use_bytes(env->loop) == 0);
    REQUIRE(memory_driver_reader_count(env->memory) == 0);
    REQUIRE(env->fault == NULL || fault_driver_outstanding(env->fault) == 0);
    registry_free(env->registry);
    index_free(env->index);
    storage_close(env->storage);
    pool_free(env->pool);
    if (!env->is_loop_borrowed)
        loop_free(env->loop);
}

void env_settle(struct env *env)
{
    for (int i = 0; i < 20; i++) {
        await_pool(env->loop, env->pool);
        loop_run_once(env->loop, 0);
    }
}

/* ---- bodies ---------------------------------------------------------------------------------------------------------
 */

struct env_source {
    struct byte_source base;
    struct loop *loop;
    struct env_body body;
    size_t at;
    struct page *page;
    struct page **ret_page;
    struct done reader;
    bool is_waiting;
};

static enum result bring_page(struct env_source *source, struct page **ret_page)
{
    size_t most = source->body.page_bytes > 0 ? source->body.page_bytes : PAGE_BYTES;
    size_t left = source->body.bytes.len - source->at;
    struct page *page = source->page;
    source->page = NULL;
    page->start = 7; /* pages need not begin at their beginning */
    most = most > PAGE_BYTES - page->start ? PAGE_BYTES - page->start : most;
    page->len = left < most ? left : most;
    memcpy(page->ptr + page->start, source->body.bytes.ptr + source->at, page->len);
    source->at += page->len;
    *ret_page = page;
    return OK;
}

static void on_page(void *data, enum result r)
{
    struct env_source *source = data;
    done_call(source->reader, r == OK ? bring_page(source, source->ret_page) : r);
}

static enum result source_read(struct byte_source *base, struct page **ret_page, struct done done)
{
    struct env_source *source = (struct env_source *)(void *)base;
    source->ret_page = ret_page;
    source->reader = done;
    if (source->at == source->body.bytes.len) {
        if (source->body.is_held) {
            source->is_waiting = true;
            return PENDING;
        }
        *ret_page = NULL;
        return source->body.end;
    }
    enum result r = page_acquire(source->loop, &source->page, (struct done){on_page, source, source->loop});
    return r == OK ? bring_page(source, ret_page) : r;
}

void env_body_release(struct env_call *call, enum result end)
{
    struct env_source *source = call->source;
    source->body.is_held = false;
    source->body.end = end;
    if (!source->is_waiting)
        return;
    source->is_waiting = false;
    *source->ret_page = NULL;
    done_call(source->reader, end);
}

/* ---- calls ---- */

static enum flow_next run_upload(struct flow *f, struct env_call *c, struct upload_ref ref)
{
    struct registry *registry = c->env->registry;
    const struct upload_body *body = c->body.is_none ? NULL : &c->upload_body;
    if (c->kind == ENV_APPEND)
        return upload_append(f, registry, ref, body, &c->offset);
    if (c->kind == ENV_COMMIT)
        return upload_commit(f, registry, ref, body, &c->digest, &c->offset);
    return c->kind == ENV_STATUS ? upload_status(f, registry, ref, &c->offset) : upload_cancel(f, registry, ref);
}

static enum flow_next run_manifest(struct flow *f, struct env_call *c, struct repo_name repo)
{
    REQUIRE(reference_parse(slice_from_cstr(c->reference), &c->parsed) == OK);
    if (c->kind == ENV_MANIFEST_FIND)
        return manifest_find(f, c->env->registry, repo, &c->parsed, &c->view);
    c->put.repo = repo;
    c->put.reference = c->parsed;
    c->put.content_type = slice_from_cstr(c->content_type);
    c->put.bytes = c->bytes;
    c->put.tags = c->tags;
    c->put.tag_count = c->tag_count;
    c->put.if_match = c->if_match;
    c->put.if_none_match = c->if_none_match;
    return manifest_put(f, c->env->registry, &c->put);
}

static enum flow_next run_delete(struct flow *f, struct env_call *c, struct repo_name repo)
{
    struct registry *registry = c->env->registry;
    if (c->kind == ENV_TAG_DELETE)
        return tag_delete(f, registry, repo, (struct tag){slice_from_cstr(c->reference)});
    if (c->kind == ENV_BLOB_DELETE)
        return blob_delete(f, registry, repo, &c->digest, &c->by);
    return manifest_delete(f, registry, repo, &c->digest, &c->by);
}

static enum flow_next run_list(struct flow *f, struct env_call *c, struct repo_name repo)
{
    struct registry *registry = c->env->registry;
    struct slice last = c->last == NULL ? SLICE_EMPTY : slice_from_cstr(c->last);
    struct slice type = c->artifact_type == NULL ? SLICE_EMPTY : slice_from_cstr(c->artifact_type);
    if (c->kind == ENV_TAGS)
        return tag_list(f, registry, repo, last, c->limit, &c->tag_page);
    if (c->kind == ENV_REPOSITORIES)
        return repository_list(f, registry, last, c->limit, &c->repository_page);
    return referrer_list(f, registry, repo, &c->digest, type, last, c->limit, &c->referrer_page);
}

static enum flow_next run_call(struct flow *f)
{
    struct env_call *c = flow_owner(f);
    struct registry *registry = c->env->registry;
    struct repo_name repo = {c->env->repo};
    switch (c->kind) {
    case ENV_CREATE:
        return upload_create(f, registry, repo, c->algorithm, &c->text);
    case ENV_STATUS:
    case ENV_APPEND:
    case ENV_COMMIT:
    case ENV_CANCEL:
        return run_upload(f, c, (struct upload_ref){repo, slice_from_cstr(c->uuid)});
    case ENV_BLOB_FIND:
    case ENV_BLOB_READ:
        return blob_find(f, registry, repo, &c->digest, &c->info);
    case ENV_MANIFEST_FIND:
    case ENV_MANIFEST_PUT:
        return run_manifest(f, c, repo);
    case ENV_MANIFEST_DELETE:
    case ENV_TAG_DELETE:
    case ENV_BLOB_DELETE:
        return run_delete(f, c, repo);
    case ENV_MOUNT:
        return blob_mount(f, registry, repo, (struct repo_name){slice_from_cstr(c->from)}, &c->digest);
    case ENV_TAGS:
    case ENV_REPOSITORIES:
    case ENV_REFERRERS:
        return run_list(f, c, repo);
    case ENV_PURGE:
        return registry_purge_uploads(f, registry);
    }
    return FLOW_NEXT;
}

static enum flow_next open_blob(struct flow *f)
{
    struct env_call *c = flow_owner(f);
    if (c->kind != ENV_BLOB_READ || c->info.size == 0)
        return FLOW_RETURN;
    return blob_open(f, c->env->registry, &c->info, 0, c->info.size, &c->reader);
}

static enum flow_next take_page(struct flow *f)
{
    struct env_call *c = flow_owner(f);
    return flow_await(f, page_acquire(c->env->loop, &c->page, flow_done(f)));
}

static enum flow_next read_blob(struct flow *f)
{
    struct env_call *c = flow_owner(f);
    if (flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (c->flag && c->page->len == 0)
        return FLOW_NEXT;
    if (c->flag)
        strbuf_append(&c->content, slice_of(c->page->ptr + c->page->start, c->page->len));
    c->flag = true;
    return flow_await_again(f, storage_read(c->env->storage, c->reader, c->page, flow_done(f)));
}

static void dispose_call(void *owner)
{
    struct env_call *c = owner;
    page_release(c->page);
    c->page = NULL;
    if (c->reader != NULL)
        storage_close_read(c->env->storage, c->reader);
}

static const struct flow_step call_steps[] = {
    {"call", run_call},
    {"open blob", open_blob},
    {"take page", take_page},
    {"read blob", read_blob},
};
static const struct flow_program call_program = {"test", FLOW_STEPS(call_steps), NULL, 0, dispose_call};

static void take_list(struct env_call *c)
{
    if (c->kind == ENV_TAGS) {
        c->count = c->tag_page.count;
        c->flag = c->tag_page.has_more;
        for (size_t i = 0; i < c->count; i++)
            strbuf_append_format(&c->content, "%.*s ", SLICE_ARG(c->tag_page.tags[i]));
    } else if (c->kind == ENV_REPOSITORIES) {
        c->count = c->repository_page.count;
        c->flag = c->repository_page.has_more;
        for (size_t i = 0; i < c->count; i++)
            strbuf_append_format(&c->content, "%.*s ", SLICE_ARG(c->repository_page.names[i].text));
    } else if (c->kind == ENV_REFERRERS) {
        c->count = c->referrer_page.count;
        c->flag = c->referrer_page.has_more;
        for (size_t i = 0; i < c->count; i++)
            strbuf_append_format(&c->content, "%.*s ", SLICE_ARG(c->referrer_page.descriptors[i]));
        strbuf_append(&c->media_type, c->referrer_page.last);
    }
}

/* The arena that outputs are in still stands: what a test looks at is copied. */
static void on_end(void *data, enum result outcome)
{
    struct env_call *c = data;
    c->is_over = true;
    c->outcome = outcome;
    if (c->kind == ENV_MANIFEST_PUT) {
        c->digest = c->put.digest;
        c->count = c->put.missing_count;
        c->flag = c->put.has_subject;
        strbuf_append(&c->media_type, c->put.why);
    }
    if (outcome != OK)
        return;
    if (c->kind == ENV_CREATE)
        memcpy(c->uuid, c->text.ptr, c->text.len);
    if (c->kind == ENV_MANIFEST_FIND) {
        c->digest = c->view.digest;
        strbuf_append(&c->media_type, c->view.media_type);
        strbuf_append(&c->content, c->view.bytes);
        manifest_view_release(&c->view);
    }
    take_list(c);
}

void env_start(struct env *env, struct env_call *call)
{
    call->env = env;
    call->is_over = false;
    call->flag = false;
    strbuf_init(&call->content, 64u << 20);
    strbuf_init(&call->media_type, 4096);
    call->source = xcalloc(1, sizeof(*call->source));
    *call->source = (struct env_source){.base = {source_read}, .loop = env->loop, .body = call->body};
    call->upload_body = (struct upload_body){
        .source = &call->source->base,
        .has_range = call->body.has_range,
        .range = call->body.range,
        .length = call->body.has_length ? call->body.length : UINT64_MAX,
    };
    call->flow = flow_new(env->loop);
    env->running = call;
    flow_start(call->flow, &call_program, call, on_end, call);
}

enum result env_wait(struct env_call *call)
{
    await_flag(call->env->loop, &call->is_over);
    free(call->source);
    call->source = NULL;
    return call->outcome;
}

void env_wait_for_background(struct env *env)
{
    await_flag(env->loop, &env->is_quiet);
}

enum result env_run(struct env *env, struct env_call *call)
{
    env_start(env, call);
    return env_wait(call);
}

void env_call_done(struct env_call *call)
{
    strbuf_done(&call->content);
    strbuf_done(&call->media_type);
}

/* ---- in short ---- */

static enum result run_short(struct env *env, struct env_call *call)
{
    enum result r = env_run(env, call);
    env_call_done(call);
    return r;
}

enum result env_create(struct env *env, char uuid[37])
{
    struct env_call call = {.kind = ENV_CREATE};
    enum result r = run_short(env, &call);
    if (r == OK)
        memcpy(uuid, call.uuid, sizeof(call.uuid));
    return r;
}

static void set_uuid(struct env_call *call, const char *uuid)
{
    (void)snprintf(call->uuid, sizeof(call->uuid), "%s", uuid);
}

enum result env_append(struct env *env, const char *uuid, struct slice bytes, uint64_t *ret_offset)
{
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = bytes}};
    set_uuid(&call, uuid);
    enum result r = run_short(env, &call);
    if (ret_offset != NULL)
        *ret_offset = call.offset;
    return r;
}

enum result env_commit(struct env *env, const char *uuid, struct slice bytes, const struct digest *digest)
{
    struct env_call call = {
        .kind = ENV_COMMIT, .body = {.bytes = bytes, .is_none = bytes.ptr == NULL}, .digest = *digest};
    set_uuid(&call, uuid);
    return run_short(env, &call);
}

struct digest env_digest(struct slice bytes)
{
    struct digest digest;
    digest_of(DIGEST_SHA256, bytes, &digest);
    return digest;
}

enum result env_push_blob(struct env *env, struct slice bytes, struct digest *ret_digest)
{
    char uuid[37];
    struct digest digest = env_digest(bytes);
    enum result r = env_create(env, uuid);
    if (r == OK)
        r = env_append(env, uuid, bytes, NULL);
    if (r == OK)
        r = env_commit(env, uuid, SLICE_EMPTY, &digest);
    if (ret_digest != NULL)
        *ret_digest = digest;
    return r;
}

bool env_serves(struct env *env, const struct digest *digest, struct slice bytes)
{
    struct env_call call = {.kind = ENV_BLOB_READ, .digest = *digest};
    bool is_same = env_run(env, &call) == OK && slice_equal(strbuf_slice(&call.content), bytes);
    env_call_done(&call);
    return is_same;
}
