/* SPDX-License-Identifier: Apache-2.0
 *
 * Uploads where the store cannot rename and other replicas work on it too: which road the bytes take, who may write,
 * and that nothing but matching bytes is ever published. A part is a page here.
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
#include "src/registry/upload_int.h"

#define BYTES (5u * PAGE_BYTES + 4321u)
#define LEASE_AND_GRACE_MS (91u * 1000u)

static char all_bytes[2][BYTES];

/* Two bodies of the same length. */
static struct slice body(unsigned which)
{
    uint32_t x = 12345 + which;
    for (size_t i = 0; i < BYTES; i++) {
        x = x * 1664525u + 1013904223u;
        all_bytes[which][i] = (char)(x >> 24);
    }
    return slice_of(all_bytes[which], BYTES);
}

static struct slice part_of(struct slice s, size_t from, size_t n)
{
    return slice_of(s.ptr + from, n);
}

static int setup(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, ENV_DEFERRED | ENV_SHARED);
    *state = env;
    return 0;
}

static int teardown(void **state)
{
    env_done(*state);
    free(*state);
    return 0;
}

static unsigned objects_below(struct env *env, const char *prefix)
{
    unsigned count = 0;
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        count += slice_has_prefix(memory_driver_object_path(env->memory, i), slice_from_cstr(prefix));
    return count;
}

static bool has_object(struct env *env, struct slice path)
{
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        if (slice_equal(memory_driver_object_path(env->memory, i), path))
            return true;
    return false;
}

static bool has_data(struct env *env, const struct digest *digest)
{
    struct arena arena;
    arena_init(&arena);
    bool is_so = has_object(env, layout_blob(&arena, digest));
    arena_done(&arena);
    return is_so;
}

static bool has_location(struct env *env, const struct digest *digest)
{
    struct arena arena;
    arena_init(&arena);
    bool is_so = has_object(env, layout_blob_location(&arena, digest));
    arena_done(&arena);
    return is_so;
}

static void start_held(struct env *env, struct env_call *call, const char *uuid, struct slice bytes)
{
    *call = (struct env_call){.kind = ENV_APPEND, .body = {.bytes = bytes, .is_held = true}};
    (void)snprintf(call->uuid, sizeof(call->uuid), "%s", uuid);
    env_start(env, call);
    env_settle(env);
}

static enum result end_held(struct env_call *call, enum result end)
{
    env_body_release(call, end);
    enum result r = env_wait(call);
    env_call_done(call);
    return r;
}

static void no_more_than_a_part_is_put_at_its_own_path(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct slice bytes = part_of(body(0), 0, PAGE_BYTES);
    struct digest digest = env_digest(bytes);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, bytes, NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(has_data(env, &digest));
    assert_int_equal(objects_below(env, "minato/bytes/"), 0);
    assert_true(env_serves(env, &digest, bytes));
}

static void a_digest_known_at_the_start_takes_the_bytes_to_their_own_path(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(body(0));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, body(0), &digest), OK);
    assert_true(has_data(env, &digest));
    assert_false(has_location(env, &digest));
    assert_int_equal(objects_below(env, "minato/bytes/"), 0);
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
    assert_true(env_serves(env, &digest, body(0)));
}

static void a_wrong_digest_known_at_the_start_publishes_nothing(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(body(1));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, body(0), &digest), INVALID);
    assert_false(has_data(env, &digest));
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
    assert_int_equal(objects_below(env, "minato/uploads/"), 0);
}

static void a_digest_known_at_the_end_leaves_a_location(void **state)
{
    struct env *env = *state;
    struct digest digest;
    assert_int_equal(env_push_blob(env, body(0), &digest), OK);
    assert_false(has_data(env, &digest));
    assert_true(has_location(env, &digest));
    assert_int_equal(objects_below(env, "minato/bytes/"), 1);
    assert_true(env_serves(env, &digest, body(0)));
    /* The same again: the bytes that came second are not kept. */
    assert_int_equal(env_push_blob(env, body(0), &digest), OK);
    assert_int_equal(objects_below(env, "minato/bytes/"), 1);
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
    /* Nor does the purge of the sessions take what a location names. */
    env->now_ms += 2 * env->config.uploads.expire_after_ms;
    struct env_call purge = {.kind = ENV_PURGE};
    assert_int_equal(env_run(env, &purge), OK);
    env_call_done(&purge);
    assert_int_equal(objects_below(env, "minato/uploads/"), 0);
    env_restart(env);
    assert_true(env_serves(env, &digest, body(0)));
}

static bool url_names(struct env *env, const struct digest *digest, const char *path)
{
    struct env_call call = {.kind = ENV_BLOB_FIND, .digest = *digest};
    struct storage_url url;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(blob_find_url(env->registry, &call.info, &arena, &url), OK);
    bool does = strstr(arena_cstr(&arena, url.text), path) != NULL;
    env_call_done(&call);
    arena_done(&arena);
    return does;
}

static void readers_are_sent_to_where_the_bytes_are(void **state)
{
    struct env *env = *state;
    struct digest small = env_digest(SLICE("small")), large;
    struct strbuf why;
    strbuf_init(&why, 100);
    env->config.redirect.enabled = true;
    env->config.redirect.expires_ms = 1200u * 1000u;
    assert_int_equal(storage_redirect_readers(env->storage, &env->config, &why), OK);
    assert_int_equal(env_push_blob(env, body(0), &large), OK);
    assert_int_equal(env_push_blob(env, SLICE("small"), NULL), OK);
    for (unsigned i = 0; i < 3; i++) {
        unsigned calls = fault_driver_calls(env->fault);
        assert_true(url_names(env, &large, "/minato/bytes/"));
        assert_true(url_names(env, &small, "/blobs/sha256/"));
        if (i == 1)
            assert_int_equal(fault_driver_calls(env->fault), calls); /* the index keeps it */
        if (i == 1)
            env_restart(env);
    }
    strbuf_done(&why);
}

static void data_wins_over_a_location(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, body(0), &digest), OK);
    assert_int_equal(
        AWAIT(env->loop, storage_put(env->storage, layout_blob_location(&arena, &digest), SLICE("broken"), 0, done)),
        OK);
    env_restart(env);
    assert_false(env_serves(env, &digest, body(0)));
    assert_int_equal(AWAIT(env->loop, storage_put(env->storage, layout_blob(&arena, &digest), body(0), 0, done)), OK);
    env_restart(env);
    assert_true(env_serves(env, &digest, body(0)));
    arena_done(&arena);
}

static void chunks_of_any_size_add_up(void **state)
{
    struct env *env = *state;
    static const size_t sizes[] = {1, 9999, 65536, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 3 * PAGE_BYTES + 5};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char uuid[37];
        struct slice bytes = part_of(body(0), 0, sizes[i] == 1 ? 40 : BYTES);
        struct digest digest = env_digest(bytes);
        assert_int_equal(env_create(env, uuid), OK);
        for (size_t at = 0, n; at < bytes.len; at += n) {
            uint64_t offset;
            n = bytes.len - at < sizes[i] ? bytes.len - at : sizes[i];
            assert_int_equal(env_append(env, uuid, part_of(bytes, at, n), &offset), OK);
            assert_int_equal(offset, at + n);
        }
        assert_true(objects_below(env, "minato/uploads/") < 100); /* old tails and states go */
        assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
        assert_true(env_serves(env, &digest, bytes));
        env_restart(env);
    }
}

/* Every replica serves any request: each chunk goes to another registry on the same store. */
static void each_chunk_may_go_to_another_replica(void **state)
{
    struct env *env = *state;
    struct env other;
    char uuid[37];
    struct digest digest = env_digest(body(0));
    env_fresh(env, &other);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(&other, uuid, part_of(body(0), 0, 100), NULL), OK);
    assert_int_equal(env_append(env, uuid, part_of(body(0), 100, 2 * PAGE_BYTES), NULL), OK);
    assert_int_equal(env_append(&other, uuid, slice_from(body(0), 100 + 2 * PAGE_BYTES), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_int_equal(env_commit(&other, uuid, SLICE_EMPTY, &digest), OK); /* its answer again */
    assert_true(env_serves(&other, &digest, body(0)));
    env_fresh_done(&other);
}

static void a_second_replica_must_wait_for_the_lease(void **state)
{
    struct env *env = *state;
    struct env other;
    struct env_call first;
    char uuid[37];
    uint64_t offset = 99;
    env_fresh(env, &other);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("123"), NULL), OK);
    start_held(env, &first, uuid, SLICE("45"));
    assert_int_equal(env_append(&other, uuid, SLICE("xx"), &offset), CONFLICT);
    assert_int_equal(offset, 3);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(&other, &cancel), CONFLICT);
    env_call_done(&cancel);
    assert_int_equal(end_held(&first, OK), OK);
    assert_int_equal(env_append(&other, uuid, SLICE("67"), &offset), OK);
    assert_int_equal(offset, 7);
    env_fresh_done(&other);
}

/* Clocks of replicas that are wrong by more than a lease, either way: the store's counts. */
static void a_lease_is_judged_by_the_stores_clock(void **state)
{
    struct env *env = *state;
    static const int64_t skews_ms[] = {600000, -600000};
    for (size_t i = 0; i < 2; i++) {
        struct env other;
        struct env_call first;
        char uuid[37];
        uint64_t store_ms = env->now_ms;
        env_fresh(env, &other);
        memory_driver_set_clock(env->memory, &store_ms);
        other.now_ms = (uint64_t)((int64_t)other.now_ms + skews_ms[i]);
        assert_int_equal(env_create(env, uuid), OK);
        start_held(env, &first, uuid, SLICE("45"));
        store_ms += LEASE_AND_GRACE_MS - 1000;
        assert_int_equal(env_append(&other, uuid, SLICE("xx"), NULL), CONFLICT);
        store_ms += 2000;
        assert_int_equal(env_append(&other, uuid, SLICE("67"), NULL), OK);
        (void)end_held(&first, OK);
        env_fresh_done(&other);
        memory_driver_set_clock(env->memory, &env->now_ms);
    }
}

static void a_session_expires_by_the_stores_clock(void **state)
{
    struct env *env = *state;
    struct env other;
    char uuid[37];
    uint64_t store_ms = env->now_ms;
    env_fresh(env, &other);
    memory_driver_set_clock(env->memory, &store_ms);
    assert_int_equal(env_create(env, uuid), OK);
    other.now_ms += 2 * env->config.uploads.expire_after_ms;
    assert_int_equal(env_append(&other, uuid, SLICE("xx"), NULL), OK);
    store_ms += env->config.uploads.expire_after_ms + 1;
    assert_int_equal(env_append(env, uuid, SLICE("yy"), NULL), NOT_FOUND);
    env_fresh_done(&other);
    memory_driver_set_clock(env->memory, &env->now_ms);
}

/* The first writer stalls, another takes over, the first wakes up: it saves nothing and is told so. */
static void a_writer_whose_lease_is_over_changes_nothing(void **state)
{
    struct env *env = *state;
    struct env other;
    struct env_call first;
    char uuid[37];
    uint64_t offset = 0;
    struct slice bytes = body(0);
    struct digest digest = env_digest(bytes);
    env_fresh(env, &other);
    memory_driver_set_clock(env->memory, NULL); /* each goes by its own */
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, part_of(bytes, 0, PAGE_BYTES + 77), NULL), OK);
    start_held(env, &first, uuid, part_of(body(1), 0, 2 * PAGE_BYTES));
    other.now_ms += LEASE_AND_GRACE_MS;
    assert_int_equal(env_append(&other, uuid, slice_from(bytes, PAGE_BYTES + 77), &offset), OK);
    assert_int_equal(offset, bytes.len);
    env->now_ms += LEASE_AND_GRACE_MS;
    assert_int_equal(end_held(&first, OK), UNAVAILABLE);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, bytes));
    env_fresh_done(&other);
}

/* Two bodies in one session at the same time, the end asked for with the digest of either. */
static void of_two_bodies_in_one_session_only_a_matching_one_is_published(void **state)
{
    struct env *env = *state;
    for (unsigned ended_by = 0; ended_by < 4; ended_by++) {
        struct env other;
        struct env_call first;
        char uuid[37];
        struct digest digest = env_digest(body(ended_by & 1));
        env_fresh(env, &other);
        memory_driver_set_clock(env->memory, NULL); /* each goes by its own */
        assert_int_equal(env_create(env, uuid), OK);
        start_held(env, &first, uuid, body(0));
        if (ended_by >= 2)
            other.now_ms += LEASE_AND_GRACE_MS;
        assert_int_equal(env_append(&other, uuid, body(1), NULL), ended_by >= 2 ? OK : CONFLICT);
        (void)end_held(&first, OK);
        (void)!env_commit(&other, uuid, SLICE_EMPTY, &digest);
        env_restart(&other);
        struct env_call find = {.kind = ENV_BLOB_FIND, .digest = digest};
        if (env_run(&other, &find) == OK)
            assert_true(env_serves(&other, &digest, body(ended_by & 1)));
        env_call_done(&find);
        env_fresh_done(&other);
    }
}

static void part_numbers_of_a_dead_writer_are_skipped(void **state)
{
    struct env *env = *state;
    struct env_call first;
    char uuid[37];
    struct slice bytes = body(0);
    struct digest digest = env_digest(bytes);
    assert_int_equal(env_create(env, uuid), OK);
    start_held(env, &first, uuid, bytes);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 1, .repeat = 99, .kind = FAULT_BEFORE, .result = IO});
    assert_int_equal(end_held(&first, CANCELLED), CANCELLED);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    env->now_ms += LEASE_AND_GRACE_MS;
    env_restart(env);
    assert_int_equal(env_append(env, uuid, bytes, NULL), OK);
    struct arena arena;
    struct slice text;
    struct upload_state saved;
    arena_init(&arena);
    struct slice path = layout_upload_state(&arena, slice_from_cstr(uuid), 3);
    assert_int_equal(AWAIT(env->loop, storage_get(env->storage, path, 1u << 20, &arena, &text, NULL, done)), OK);
    assert_int_equal(registry_int_upload_state_parse(text, &arena, &saved), OK);
    assert_int_equal(saved.names[0].number, 65);
    arena_done(&arena);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, bytes));
}

static void a_cut_put_may_be_ended_by_another_digest(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest first = env_digest(body(0)), second = env_digest(body(1));
    assert_int_equal(env_create(env, uuid), OK);
    struct env_call cut = {
        .kind = ENV_COMMIT, .body = {.bytes = part_of(body(0), 0, 77), .end = CANCELLED}, .digest = first};
    memcpy(cut.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &cut), CANCELLED);
    env_call_done(&cut);
    memcpy(all_bytes[1], all_bytes[0], 77);
    second = env_digest(slice_of(all_bytes[1], BYTES));
    assert_int_equal(env_commit(env, uuid, slice_of(all_bytes[1] + 77, BYTES - 77), &second), OK);
    assert_true(env_serves(env, &second, slice_of(all_bytes[1], BYTES)));
}

static void more_parts_than_the_store_takes_are_too_large_and_nothing_is_lost(void **state)
{
    struct env *env = *state;
    char uuid[37];
    uint64_t offset = 0;
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("12345"), NULL), OK);
    uint64_t most = upload_blob_bytes_max(env->registry);
    assert_int_equal(most, 10000ull * PAGE_BYTES);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = SLICE("x"), .has_length = true, .length = most - 4}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &call), TOO_LARGE);
    env_call_done(&call);
    assert_int_equal(env_append(env, uuid, SLICE("67"), &offset), OK);
    assert_int_equal(offset, 7);
}

/* Many uploads on one loop, each with more parts than the budget holds for all: none waits for ever. What they have
 * read beyond a piece when they wait for room for the next comes to more pages than there are. */
static void more_uploads_than_the_budget_holds_all_come_through(void **state)
{
    struct env *env = *state;
    enum { MANY = 100 };
    static struct env_call calls[MANY];
    struct digest digest = env_digest(body(0));
    for (unsigned i = 0; i < MANY; i++) {
        calls[i] = (struct env_call){.kind = ENV_COMMIT, .body = {.bytes = body(0)}, .digest = digest};
        assert_int_equal(env_create(env, calls[i].uuid), OK);
    }
    for (unsigned i = 0; i < MANY; i++)
        env_start(env, &calls[i]);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(env_wait(&calls[i]), OK);
        env_call_done(&calls[i]);
    }
    assert_true(env_serves(env, &digest, body(0)));
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
}

/* Its writer asks for room for a next part before it knows that there is none; all have their first when pages come. */
static void uploads_that_fill_their_last_part_do_not_wait_for_another(void **state)
{
    struct env *env = *state;
    enum { MANY = 40, PAGES = 64 };
    static struct env_call calls[MANY];
    struct page *pages[PAGES];
    struct slice bytes = part_of(body(0), 0, PAGE_BYTES);
    for (unsigned i = 0; i < MANY; i++) {
        calls[i] =
            (struct env_call){.kind = ENV_APPEND, .body = {.bytes = bytes, .has_length = true, .length = bytes.len}};
        assert_int_equal(env_create(env, calls[i].uuid), OK);
    }
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(page_acquire(env->loop, &pages[i], (struct done){0}), OK);
    for (unsigned i = 0; i < MANY; i++)
        env_start(env, &calls[i]);
    env_settle(env);
    for (unsigned i = 0; i < PAGES; i++)
        page_release(pages[i]);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(env_wait(&calls[i]), OK);
        assert_int_equal(calls[i].offset, bytes.len);
        env_call_done(&calls[i]);
    }
}

/* The end is cut short after the rest was hashed by another algorithm than the session's. */
static void what_another_algorithm_hashed_is_not_what_the_session_goes_on_from(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct slice bytes = part_of(body(0), 0, 5000), tail = part_of(bytes, 0, 3000), more = slice_from(bytes, 3000);
    struct digest whole, half;
    digest_of(DIGEST_SHA512, tail, &half);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, tail, NULL), OK);
    fault_driver_plan(env->fault,
                      (struct fault_plan){.nth = 1, .call = "put_pages", .kind = FAULT_BEFORE, .result = UNAVAILABLE});
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &half), UNAVAILABLE);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_int_equal(env_append(env, uuid, more, NULL), OK);
    digest_of(DIGEST_SHA512, bytes, &whole);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &whole), OK);
    assert_true(env_serves(env, &whole, bytes));
}

/* A location names the bytes, the done record is missing: an end by another digest must not take them along. */
static void bytes_that_a_location_names_outlive_an_end_by_another_digest(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(body(0)), other;
    digest_of(DIGEST_SHA512, SLICE("other"), &other);
    enum result r = OK;
    for (unsigned nth = 1; r == OK || !has_location(env, &digest);
         nth++) { /* until the call behind the location fails */
        assert_int_equal(env_create(env, uuid), OK);
        assert_int_equal(env_append(env, uuid, body(0), NULL), OK);
        fault_driver_plan(env->fault,
                          (struct fault_plan){.nth = nth, .call = "put", .kind = FAULT_BEFORE, .result = UNAVAILABLE});
        r = env_commit(env, uuid, SLICE_EMPTY, &digest);
        assert_true(r != OK);
    }
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    assert_int_equal(env_push_blob(env, body(0), NULL), OK); /* another's, which finds it standing */
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &other), INVALID);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &cancel), OK);
    env_call_done(&cancel);
    env_restart(env);
    assert_true(env_serves(env, &digest, body(0)));
}

/* Whose bytes are gone, perhaps by a hand from outside: the next push brings them back. */
static void a_location_that_names_nothing_is_replaced(void **state)
{
    struct env *env = *state;
    struct digest digest;
    struct arena arena;
    struct slice path = SLICE_EMPTY;
    arena_init(&arena);
    assert_int_equal(env_push_blob(env, body(0), &digest), OK);
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        if (slice_has_prefix(memory_driver_object_path(env->memory, i), SLICE("minato/bytes/")))
            path = arena_copy(&arena, memory_driver_object_path(env->memory, i));
    assert_int_equal(AWAIT(env->loop, storage_delete(env->storage, path, done)), OK);
    env_restart(env);
    assert_false(env_serves(env, &digest, body(0)));
    assert_int_equal(env_push_blob(env, body(0), &digest), OK);
    assert_true(env_serves(env, &digest, body(0)));
    arena_done(&arena);
}

/* A session that another replica ends meanwhile is not removed under its hands. */
static void a_cancel_takes_the_claim_first(void **state)
{
    struct env *env = *state;
    struct env other;
    char uuid[37];
    struct digest digest = env_digest(body(0));
    env_fresh(env, &other);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, body(0), NULL), OK);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 1, .call = "put", .kind = FAULT_HOLD, .result = OK});
    env_start(env, &cancel);
    env_settle(env);
    assert_int_equal(env_commit(&other, uuid, SLICE_EMPTY, &digest), OK);
    fault_driver_release(env->fault);
    assert_int_equal(env_wait(&cancel), CONFLICT);
    env_call_done(&cancel);
    assert_true(env_serves(&other, &digest, body(0)));
    env_fresh_done(&other);
}

static void what_expired_is_aborted_with_its_tail(void **state)
{
    struct env *env = *state;
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, body(0), NULL), OK);
    assert_int_equal(memory_driver_multipart_count(env->memory), 1);
    env->now_ms += 2 * env->config.uploads.expire_after_ms;
    struct env_call purge = {.kind = ENV_PURGE};
    assert_int_equal(env_run(env, &purge), OK);
    env_call_done(&purge);
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
    assert_int_equal(objects_below(env, "minato/uploads/"), 0);
    assert_int_equal(objects_below(env, "minato/bytes/"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(no_more_than_a_part_is_put_at_its_own_path),
        T(a_digest_known_at_the_start_takes_the_bytes_to_their_own_path),
        T(a_wrong_digest_known_at_the_start_publishes_nothing),
        T(a_digest_known_at_the_end_leaves_a_location),
        T(readers_are_sent_to_where_the_bytes_are),
        T(data_wins_over_a_location),
        T(chunks_of_any_size_add_up),
        T(each_chunk_may_go_to_another_replica),
        T(a_second_replica_must_wait_for_the_lease),
        T(a_lease_is_judged_by_the_stores_clock),
        T(a_session_expires_by_the_stores_clock),
        T(a_writer_whose_lease_is_over_changes_nothing),
        T(of_two_bodies_in_one_session_only_a_matching_one_is_published),
        T(part_numbers_of_a_dead_writer_are_skipped),
        T(a_cut_put_may_be_ended_by_another_digest),
        T(more_parts_than_the_store_takes_are_too_large_and_nothing_is_lost),
        T(more_uploads_than_the_budget_holds_all_come_through),
        T(uploads_that_fill_their_last_part_do_not_wait_for_another),
        T(what_another_algorithm_hashed_is_not_what_the_session_goes_on_from),
        T(bytes_that_a_location_names_outlive_an_end_by_another_digest),
        T(a_location_that_names_nothing_is_replaced),
        T(a_cancel_takes_the_claim_first),
        T(what_expired_is_aborted_with_its_tail),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
