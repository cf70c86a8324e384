/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole push (two blobs in parts, a manifest by tag) with one thing going wrong at each of its storage calls in turn:
 * the call fails, its answer is lost, the process dies there, the client goes away there. After each: what was
 * acknowledged is there, nothing that is there dangles or is half, the push can be repeated, and the purge leaves
 * nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "await.h"
#include "registry_env.h"
#include "src/registry/registry_int.h"

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define LAYER_BYTES 700000u

static char layer_bytes[LAYER_BYTES];
static char manifest_bytes[2048];

static struct slice layer(void)
{
    for (size_t i = 0; i < sizeof(layer_bytes); i++)
        layer_bytes[i] = (char)(i * 7 + i / 251);
    return slice_of(layer_bytes, sizeof(layer_bytes));
}

static struct slice manifest(void)
{
    struct digest config = env_digest(SLICE("config"));
    struct digest layer_digest = env_digest(layer());
    char c[DIGEST_TEXT_MAX + 1], l[DIGEST_TEXT_MAX + 1];
    c[digest_format(&config, c)] = '\0';
    l[digest_format(&layer_digest, l)] = '\0';
    int n = snprintf(manifest_bytes, sizeof(manifest_bytes),
                     "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE "\",\"config\":{\"mediaType\":"
                     "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":6},\"layers\":"
                     "[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%u}]}",
                     c, l, LAYER_BYTES);
    return slice_of(manifest_bytes, (size_t)n);
}

/* The two kinds of stores. */
static int on_filesystem(void **state)
{
    static const unsigned flags = ENV_DEFERRED;
    *state = (void *)(uintptr_t)&flags;
    return 0;
}

static int on_shared_store(void **state)
{
    static const unsigned flags = ENV_DEFERRED | ENV_SHARED;
    *state = (void *)(uintptr_t)&flags;
    return 0;
}

static unsigned flags_of(void **state)
{
    return *(const unsigned *)*state;
}

static enum result put_manifest(struct env *env)
{
    struct env_call call = {
        .kind = ENV_MANIFEST_PUT, .reference = "v1", .content_type = IMAGE_TYPE, .bytes = manifest()};
    enum result r = env_run(env, &call);
    env_call_done(&call);
    return r;
}

/* How far a push came. */
struct progress {
    enum result result;
    bool has_layer;
    bool has_config;
    bool has_manifest;
};

static enum result push_layer(struct env *env)
{
    struct digest digest = env_digest(layer());
    char uuid[37];
    enum result r = env_create(env, uuid);
    if (r == OK)
        r = env_append(env, uuid, slice_of(layer().ptr, 300000), NULL);
    if (r == OK)
        r = env_append(env, uuid, slice_from(layer(), 300000), NULL);
    return r == OK ? env_commit(env, uuid, SLICE_EMPTY, &digest) : r;
}

static struct progress push(struct env *env)
{
    struct progress p = {.result = push_layer(env)};
    p.has_layer = p.result == OK;
    if (p.result == OK) {
        struct digest digest = env_digest(SLICE("config"));
        char uuid[37];
        p.result = env_create(env, uuid);
        if (p.result == OK)
            p.result = env_commit(env, uuid, SLICE("config"), &digest);
        p.has_config = p.result == OK;
    }
    if (p.result == OK)
        p.result = put_manifest(env);
    p.has_manifest = p.result == OK;
    return p;
}

/* ---- what must be true of the store
 * ------------------------------------------------------------------------------------- */

static enum result get(struct env *env, struct slice path, struct arena *arena, struct slice *ret_bytes)
{
    return AWAIT(env->loop, storage_get(env->storage, path, 1u << 20, arena, ret_bytes, NULL, done));
}

static bool exists(struct env *env, struct slice path)
{
    struct storage_object object;
    return AWAIT(env->loop, storage_stat(env->storage, path, &object, done)) == OK;
}

static void check_manifest_stands(struct env *env, struct slice bytes, struct arena *arena)
{
    struct manifest m;
    struct slice why;
    assert_int_equal(manifest_parse(bytes, SLICE(""), arena, &m, &why), OK);
    struct repo_name repo = {env->repo};
    assert_true(exists(env, layout_layer_link(arena, repo, &m.config.digest)));
    for (size_t i = 0; i < m.child_count; i++)
        assert_true(exists(env, layout_layer_link(arena, repo, &m.children[i].digest)));
}

/* The digest whose blob folder `path` is in. */
static struct digest digest_in(struct slice path)
{
    struct slice algorithm, hex, rest;
    struct digest digest;
    char text[DIGEST_TEXT_MAX + 1];
    assert_true(slice_split(slice_from(path, strlen("docker/registry/v2/blobs/")), '/', &algorithm, &rest));
    assert_true(slice_split(slice_from(rest, 3), '/', &hex, &rest));
    (void)snprintf(text, sizeof(text), "%.*s:%.*s", SLICE_ARG(algorithm), SLICE_ARG(hex));
    assert_int_equal(digest_parse(slice_from_cstr(text), &digest), OK);
    return digest;
}

/* A blob's bytes, wherever they are. */
static enum result get_blob(struct env *env, const struct digest *digest, struct arena *arena, struct slice *ret_bytes)
{
    struct slice text;
    struct blob_place place;
    enum result r = get(env, layout_blob(arena, digest), arena, ret_bytes);
    if (r != NOT_FOUND)
        return r;
    r = get(env, layout_blob_location(arena, digest), arena, &text);
    if (r == OK)
        r = registry_int_location_parse(text, digest, &place);
    return r == OK ? get(env, place.path, arena, ret_bytes) : r;
}

static void check_object(struct env *env, struct slice path, struct arena *arena)
{
    struct slice bytes, target_bytes;
    struct digest digest, target;
    struct repo_name repo = {env->repo};
    if (slice_has_prefix(path, SLICE("docker/registry/v2/blobs/"))) {
        target = digest_in(path);
        assert_int_equal(get_blob(env, &target, arena, &bytes), OK);
        digest = env_digest(bytes);
        assert_true(digest_equal(&digest, &target)); /* whole, and what it says */
    } else if (slice_has_suffix(path, SLICE("/link"))) {
        assert_int_equal(get(env, path, arena, &bytes), OK);
        assert_int_equal(digest_parse(bytes, &target), OK);
        assert_int_equal(get_blob(env, &target, arena, &target_bytes), OK);
        bool is_tag = memmem(path.ptr, path.len, "/tags/", 6) != NULL;
        bool is_revision = memmem(path.ptr, path.len, "/revisions/", 11) != NULL;
        if (is_tag)
            assert_true(exists(env, layout_revision_link(arena, repo, &target)));
        if (is_tag || is_revision)
            check_manifest_stands(env, target_bytes, arena);
    }
}

static void check_nothing_dangles(struct env *env)
{
    size_t count = memory_driver_object_count(env->memory);
    for (size_t i = 0; i < count; i++) {
        struct arena arena;
        arena_init(&arena);
        check_object(env, arena_copy(&arena, memory_driver_object_path(env->memory, i)), &arena);
        arena_done(&arena);
    }
}

static bool serves_manifest(struct env *env)
{
    struct env_call call = {.kind = ENV_MANIFEST_FIND, .reference = "v1"};
    bool is_same = env_run(env, &call) == OK && slice_equal(strbuf_slice(&call.content), manifest());
    env_call_done(&call);
    return is_same;
}

static void check_acknowledged(struct env *env, const struct progress *p)
{
    struct digest config = env_digest(SLICE("config"));
    struct digest layer_digest = env_digest(layer());
    if (p->has_layer)
        assert_true(env_serves(env, &layer_digest, layer()));
    if (p->has_config)
        assert_true(env_serves(env, &config, SLICE("config")));
    if (p->has_manifest)
        assert_true(serves_manifest(env));
}

/* Whether these are the bytes of a blob: the layer's, the only one of more than a part. */
static bool is_located(struct env *env, struct slice path)
{
    struct arena arena;
    struct slice text;
    struct blob_place place;
    struct digest digest = env_digest(layer());
    arena_init(&arena);
    path = arena_copy(&arena, path);
    bool is_so = get(env, layout_blob_location(&arena, &digest), &arena, &text) == OK &&
                 registry_int_location_parse(text, &digest, &place) == OK && slice_equal(place.path, path);
    arena_done(&arena);
    return is_so;
}

/* A delete does, whatever it deletes. */
static void remove_stale_intents(struct env *env)
{
    struct env_call call = {.kind = ENV_TAG_DELETE, .reference = "v1"};
    enum result r = env_run(env, &call);
    assert_true(r == OK || r == NOT_FOUND);
    env_call_done(&call);
}

static void check_nothing_is_left(struct env *env, unsigned orphans)
{
    struct env_call call = {.kind = ENV_PURGE};
    env->now_ms += 2 * env->config.uploads.expire_after_ms;
    assert_int_equal(env_run(env, &call), OK);
    env_call_done(&call);
    remove_stale_intents(env);
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++) {
        struct slice path = memory_driver_object_path(env->memory, i);
        if (slice_has_prefix(path, SLICE("minato/bytes/")))
            assert_true(is_located(env, path));
        else if (slice_has_prefix(path, SLICE("minato/")))
            assert_true(slice_equal(path, SLICE("minato/secret")));
    }
    assert_true(memory_driver_multipart_count(env->memory) <= orphans);
}

static void check_all(struct env *env, const struct progress *p, unsigned orphans)
{
    check_nothing_dangles(env);
    check_acknowledged(env, p);
    env->now_ms += 5u * 60u * 1000u; /* every lease is over */
    env_restart(env);
    check_acknowledged(env, p);
    struct progress again = push(env);
    assert_int_equal(again.result, OK);
    check_acknowledged(env, &again);
    check_nothing_dangles(env);
    check_nothing_is_left(env, orphans);
}

/* ---- what goes wrong
 * ---------------------------------------------------------------------------------------------------- */

static unsigned count_calls(unsigned flags)
{
    struct env env;
    env_init(&env, flags);
    fault_driver_plan(env.fault, (struct fault_plan){.nth = 0});
    assert_int_equal(push(&env).result, OK);
    unsigned calls = fault_driver_calls(env.fault);
    env_done(&env);
    assert_true(calls > 30);
    return calls;
}

static void run_plan(unsigned flags, struct fault_plan plan, bool is_crash)
{
    struct env env;
    env_init(&env, flags);
    fault_driver_plan(env.fault, plan);
    struct progress p = push(&env);
    /* Bytes whose id was lost: with the answer of multipart_begin, or with a session that was not durable yet. */
    unsigned orphans = plan.kind == FAULT_AFTER || is_crash ? 1 : 0;
    fault_driver_plan(env.fault, (struct fault_plan){.nth = 0});
    if (is_crash) {
        memory_driver_crash(env.memory);
        env_restart(&env);
    }
    check_all(&env, &p, orphans);
    env_done(&env);
}

static void every_call_fails_in_turn(void **state)
{
    static const enum result results[] = {IO, UNAVAILABLE, QUOTA, NOT_FOUND};
    unsigned calls = count_calls(flags_of(state));
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        for (unsigned nth = 1; nth <= calls; nth++)
            run_plan(flags_of(state), (struct fault_plan){.nth = nth, .kind = FAULT_BEFORE, .result = results[i]},
                     false);
}

static void every_answer_is_lost_in_turn(void **state)
{
    unsigned calls = count_calls(flags_of(state));
    for (unsigned nth = 1; nth <= calls; nth++)
        run_plan(flags_of(state), (struct fault_plan){.nth = nth, .kind = FAULT_AFTER, .result = IO}, false);
}

static void every_part_is_cut_short_in_turn(void **state)
{
    for (unsigned nth = 1; nth <= 8; nth++)
        run_plan(flags_of(state),
                 (struct fault_plan){.nth = nth, .call = "multipart_put", .kind = FAULT_SHORT, .result = QUOTA}, false);
}

static void the_process_dies_at_every_call_in_turn(void **state)
{
    unsigned calls = count_calls(flags_of(state));
    for (unsigned nth = 1; nth <= calls; nth++) {
        struct fault_plan plan = {.nth = nth, .repeat = UINT32_MAX, .kind = FAULT_BEFORE, .result = IO};
        run_plan(flags_of(state), plan, true);
        plan.kind = FAULT_AFTER;
        plan.repeat = 0;
        run_plan(flags_of(state), plan, true);
    }
}

struct cancel_at {
    struct env *env;
    unsigned left;
};

static void cancel_hook(void *data, const char *call)
{
    (void)call;
    struct cancel_at *at = data;
    if (at->left > 0 && --at->left == 0 && !at->env->running->is_over)
        flow_cancel(at->env->running->flow);
}

static void the_client_goes_away_at_every_call_in_turn(void **state)
{
    unsigned calls = count_calls(flags_of(state));
    for (unsigned nth = 1; nth <= calls; nth++) {
        struct env env;
        env_init(&env, flags_of(state));
        struct cancel_at at = {&env, nth};
        fault_driver_hook(env.fault, cancel_hook, &at);
        struct progress p = push(&env);
        fault_driver_hook(env.fault, NULL, NULL);
        check_all(&env, &p, 0);
        env_done(&env);
    }
}

/* A commit that failed may be sent again to the same session: it comes through, or the session is over. */
static void a_commit_is_repeated_after_every_failure(void **state)
{
    struct digest digest = env_digest(layer());
    for (int kind = FAULT_BEFORE; kind <= FAULT_AFTER; kind++) {
        unsigned hits = 1;
        for (unsigned nth = 1; hits > 0; nth++) {
            struct env env;
            char uuid[37];
            env_init(&env, flags_of(state));
            assert_int_equal(env_create(&env, uuid), OK);
            assert_int_equal(env_append(&env, uuid, layer(), NULL), OK);
            fault_driver_plan(env.fault, (struct fault_plan){.nth = nth, .kind = (enum fault_kind)kind, .result = IO});
            (void)!env_commit(&env, uuid, SLICE_EMPTY, &digest);
            hits = fault_driver_hits(env.fault);
            fault_driver_plan(env.fault, (struct fault_plan){.nth = 0});
            assert_int_equal(env_commit(&env, uuid, SLICE_EMPTY, &digest), OK);
            assert_true(env_serves(&env, &digest, layer()));
            check_nothing_is_left(&env, 0);
            env_done(&env);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) {#name, name, on_filesystem, NULL, NULL}, {#name ", no rename", name, on_shared_store, NULL, NULL}
        T(every_call_fails_in_turn),
        T(every_answer_is_lost_in_turn),
        T(every_part_is_cut_short_in_turn),
        T(the_process_dies_at_every_call_in_turn),
        T(the_client_goes_away_at_every_call_in_turn),
        T(a_commit_is_repeated_after_every_failure),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
