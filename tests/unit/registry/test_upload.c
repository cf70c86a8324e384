/* SPDX-License-Identifier: Apache-2.0
 *
 * Upload sessions: pushing, resuming, one writer at a time, and what a commit makes of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "registry_env.h"

#define BIG_BYTES (3u * 1024u * 1024u + 12345u)

static char big_bytes[BIG_BYTES];

static struct slice big(void)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof(big_bytes); i++) {
        x = x * 1664525u + 1013904223u;
        big_bytes[i] = (char)(x >> 24);
    }
    return slice_of(big_bytes, sizeof(big_bytes));
}

static int setup(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, ENV_DEFERRED);
    *state = env;
    return 0;
}

static int setup_shared(void **state)
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

static struct slice head(struct slice s, size_t n)
{
    return slice_of(s.ptr, n);
}

static void a_blob_pushed_with_patch_and_put_is_served(void **state)
{
    struct env *env = *state;
    struct digest digest;
    assert_int_equal(env_push_blob(env, big(), &digest), OK);
    assert_true(env_serves(env, &digest, big()));
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
}

static void a_blob_pushed_with_one_put_is_served(void **state)
{
    struct env *env = *state;
    struct digest digest = env_digest(big());
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, big(), &digest), OK);
    assert_true(env_serves(env, &digest, big()));
}

static void the_empty_blob_is_served(void **state)
{
    struct env *env = *state;
    struct digest digest = env_digest(SLICE_EMPTY);
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, SLICE_EMPTY));
    /* The same with an empty body, and again though it is there. */
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE(""), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE(""), &digest), OK);
}

static void chunks_add_up(void **state)
{
    struct env *env = *state;
    struct slice all = big();
    struct digest digest = env_digest(all);
    char uuid[37];
    uint64_t offset = 0;
    assert_int_equal(env_create(env, uuid), OK);
    for (size_t at = 0, n; at < all.len; at += n) {
        n = all.len - at < 40000 ? all.len - at : 40000;
        struct env_call call = {.kind = ENV_APPEND,
                                .body = {.bytes = slice_of(all.ptr + at, n),
                                         .has_range = true,
                                         .range = {at, n},
                                         .has_length = true,
                                         .length = n,
                                         .page_bytes = 9999}};
        memcpy(call.uuid, uuid, sizeof(uuid));
        assert_int_equal(env_run(env, &call), OK);
        offset = call.offset;
        env_call_done(&call);
        assert_int_equal(offset, at + n);
    }
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, all));
    /* 78 chunks: the old states were removed on the way. */
    size_t states = 0;
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        states += slice_has_prefix(memory_driver_object_path(env->memory, i), SLICE("minato/uploads/"));
    assert_true(states < 70);
}

static void a_chunk_at_another_offset_is_a_range_error_with_the_true_offset(void **state)
{
    struct env *env = *state;
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("12345"), NULL), OK);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = SLICE("789"), .has_range = true, .range = {6, 3}}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &call), RANGE);
    assert_int_equal(call.offset, 5);
    env_call_done(&call);
}

static enum result append_range(struct env *env, const char *uuid, struct slice bytes, uint64_t first, uint64_t length,
                                uint64_t content_length)
{
    struct env_call call = {.kind = ENV_APPEND,
                            .body = {.bytes = bytes,
                                     .has_range = true,
                                     .range = {first, length},
                                     .has_length = content_length != UINT64_MAX,
                                     .length = content_length}};
    (void)snprintf(call.uuid, sizeof(call.uuid), "%s", uuid);
    enum result r = env_run(env, &call);
    env_call_done(&call);
    return r;
}

static uint64_t offset_of(struct env *env, const char *uuid)
{
    struct env_call call = {.kind = ENV_STATUS};
    (void)snprintf(call.uuid, sizeof(call.uuid), "%s", uuid);
    assert_int_equal(env_run(env, &call), OK);
    env_call_done(&call);
    return call.offset;
}

static void a_chunk_of_another_length_than_its_range_changes_nothing(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(SLICE("12345678"));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("12345"), NULL), OK);
    assert_int_equal(append_range(env, uuid, SLICE("67"), 5, 3, UINT64_MAX), INVALID);
    assert_int_equal(append_range(env, uuid, SLICE("6789"), 5, 3, UINT64_MAX), INVALID);
    assert_int_equal(append_range(env, uuid, SLICE("678"), 5, 3, 4), INVALID);
    assert_int_equal(offset_of(env, uuid), 5);
    assert_int_equal(append_range(env, uuid, SLICE("678"), 5, 3, 3), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, SLICE("12345678")));
}

static void a_blob_over_the_limit_is_refused(void **state)
{
    struct env *env = *state;
    char uuid[37];
    env->config.uploads.max_blob_bytes = 1000;
    struct slice all = head(big(), 1001);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, all, NULL), TOO_LARGE);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = all, .has_length = true, .length = all.len}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &call), TOO_LARGE);
    env_call_done(&call);
    assert_int_equal(env_append(env, uuid, head(all, 1000), NULL), OK);
    assert_int_equal(env_append(env, uuid, SLICE("x"), NULL), TOO_LARGE);
    struct digest digest = env_digest(head(all, 1000));
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
}

static void a_wrong_digest_ends_the_session_and_leaves_nothing(void **state)
{
    struct env *env = *state;
    char uuid[37];
    size_t before = memory_driver_object_count(env->memory);
    struct digest other = env_digest(SLICE("something else"));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("hello"), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &other), INVALID);
    assert_int_equal(memory_driver_object_count(env->memory), before);
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
    struct digest digest = env_digest(SLICE("hello"));
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), NOT_FOUND);
}

static void a_repeated_commit_is_answered_again(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(SLICE("hello"));
    struct digest other = env_digest(SLICE("other"));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, SLICE("hello"), &digest), OK);
    assert_int_equal(env_commit(env, uuid, SLICE("hello"), &digest), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &other), NOT_FOUND);
    assert_int_equal(env_append(env, uuid, SLICE("more"), NULL), NOT_FOUND);
    env_restart(env);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
}

static void two_pushes_of_the_same_bytes_keep_one_copy(void **state)
{
    struct env *env = *state;
    struct digest digest;
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    assert_int_equal(env_push_blob(env, SLICE("hello"), &digest), OK);
    for (size_t i = 0; i < memory_driver_object_count(env->memory); i++)
        assert_false(slice_has_prefix(memory_driver_object_path(env->memory, i), SLICE("minato/bytes/")));
    assert_true(env_serves(env, &digest, SLICE("hello")));
}

static void a_sha512_digest_may_be_asked_for_at_the_end(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest;
    digest_of(DIGEST_SHA512, big(), &digest);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, big(), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, big()));
    /* and refused if it does not hold */
    digest.bytes[5] ^= 1;
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, big(), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), INVALID);
    /* with the whole body in the commit it is hashed on the way */
    digest_of(DIGEST_SHA512, SLICE("abc"), &digest);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_commit(env, uuid, SLICE("abc"), &digest), OK);
    assert_true(env_serves(env, &digest, SLICE("abc")));
}

static void a_sender_that_goes_away_may_resume_where_it_was(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct slice all = big();
    struct digest digest = env_digest(all);
    size_t first = 1500000;
    assert_int_equal(env_create(env, uuid), OK);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = head(all, first), .end = CANCELLED}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &call), CANCELLED);
    env_call_done(&call);
    memory_driver_crash(env->memory); /* what was saved is durable */
    env_restart(env);
    assert_int_equal(offset_of(env, uuid), first);
    assert_int_equal(env_append(env, uuid, slice_from(all, first), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, all));
}

static void a_cancelled_flow_keeps_what_arrived(void **state)
{
    struct env *env = *state;
    char uuid[37];
    assert_int_equal(env_create(env, uuid), OK);
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = SLICE("12345"), .is_held = true}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    env_start(env, &call);
    env_settle(env);
    flow_cancel(call.flow);
    env_settle(env);
    assert_false(call.is_over); /* the read is still out */
    env_body_release(&call, CANCELLED);
    assert_int_equal(env_wait(&call), CANCELLED);
    env_call_done(&call);
    assert_int_equal(offset_of(env, uuid), 5);
}

static void a_second_writer_is_a_conflict_with_the_saved_offset(void **state)
{
    struct env *env = *state;
    char uuid[37];
    uint64_t offset = 99;
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("123"), NULL), OK);
    struct env_call first = {.kind = ENV_APPEND, .body = {.bytes = SLICE("45"), .is_held = true}};
    memcpy(first.uuid, uuid, sizeof(uuid));
    env_start(env, &first);
    env_settle(env);
    assert_int_equal(env_append(env, uuid, SLICE("xx"), &offset), CONFLICT);
    assert_int_equal(offset, 3);
    struct digest digest = env_digest(SLICE("123"));
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), CONFLICT);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &cancel), CONFLICT);
    env_call_done(&cancel);
    assert_int_equal(offset_of(env, uuid), 3);
    env_body_release(&first, OK);
    assert_int_equal(env_wait(&first), OK);
    env_call_done(&first);
    digest = env_digest(SLICE("12345"));
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
}

static void the_claim_of_a_dead_process_is_taken_over_at_once(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(SLICE("12345"));
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("123"), NULL), OK);
    /* The writer's claim stands, and its closing fails: as after a kill. */
    struct env_call call = {.kind = ENV_APPEND, .body = {.bytes = SLICE("xyz"), .is_held = true}};
    memcpy(call.uuid, uuid, sizeof(uuid));
    env_start(env, &call);
    env_settle(env);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 1, .repeat = 99, .kind = FAULT_BEFORE, .result = IO});
    env_body_release(&call, CANCELLED);
    assert_int_equal(env_wait(&call), CANCELLED);
    env_call_done(&call);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    env_restart(env);
    assert_int_equal(offset_of(env, uuid), 3);
    assert_int_equal(env_append(env, uuid, SLICE("45"), NULL), OK);
    assert_int_equal(env_commit(env, uuid, SLICE_EMPTY, &digest), OK);
    assert_true(env_serves(env, &digest, SLICE("12345")));
}

static void an_upload_holds_four_pages_at_most(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(big());
    assert_int_equal(env_create(env, uuid), OK);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 1, .call = "multipart_put", .kind = FAULT_STALL});
    struct env_call call = {.kind = ENV_COMMIT, .body = {.bytes = big()}, .digest = digest};
    memcpy(call.uuid, uuid, sizeof(uuid));
    env_start(env, &call);
    env_settle(env);
    assert_int_equal(pages_in_use_bytes(env->loop), 4 * PAGE_BYTES);
    fault_driver_release(env->fault);
    assert_int_equal(env_wait(&call), OK);
    env_call_done(&call);
    assert_true(env_serves(env, &digest, big()));
}

static void a_store_whose_parts_are_smaller_than_a_page_is_unsupported(void **unused)
{
    (void)unused;
    struct config config;
    struct registry *registry;
    memset(&config, 0, sizeof(config));
    struct storage *storage = storage_wrap(&memory_driver, memory_driver_new(memory_driver_like_s3(1000)), NULL);
    assert_int_equal(registry_new(&config, storage, NULL, NULL, clock_system(), NULL, NULL, &registry), UNSUPPORTED);
    storage_close(storage);
}

static void a_session_is_of_one_repository(void **state)
{
    struct env *env = *state;
    char uuid[37];
    struct digest digest = env_digest(SLICE("hello"));
    assert_int_equal(env_create(env, uuid), OK);
    env->repo = SLICE("library/other");
    assert_int_equal(env_append(env, uuid, SLICE("hello"), NULL), NOT_FOUND);
    assert_int_equal(env_commit(env, uuid, SLICE("hello"), &digest), NOT_FOUND);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &cancel), NOT_FOUND);
    env_call_done(&cancel);
}

static void a_uuid_that_is_none_is_not_found(void **state)
{
    struct env *env = *state;
    assert_int_equal(env_append(env, "../../../etc/passwd", SLICE("x"), NULL), NOT_FOUND);
    assert_int_equal(env_append(env, "", SLICE("x"), NULL), NOT_FOUND);
    assert_int_equal(env_append(env, "00000000-0000-4000-8000-000000000000", SLICE("x"), NULL), NOT_FOUND);
}

static void a_cancelled_session_leaves_nothing(void **state)
{
    struct env *env = *state;
    char uuid[37];
    size_t before = memory_driver_object_count(env->memory);
    assert_int_equal(env_create(env, uuid), OK);
    assert_int_equal(env_append(env, uuid, SLICE("hello"), NULL), OK);
    struct env_call cancel = {.kind = ENV_CANCEL};
    memcpy(cancel.uuid, uuid, sizeof(uuid));
    assert_int_equal(env_run(env, &cancel), OK);
    env_call_done(&cancel);
    assert_int_equal(memory_driver_object_count(env->memory), before);
    assert_int_equal(memory_driver_multipart_count(env->memory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(a_blob_pushed_with_patch_and_put_is_served),
        T(a_blob_pushed_with_one_put_is_served),
        T(the_empty_blob_is_served),
        T(chunks_add_up),
        T(a_chunk_at_another_offset_is_a_range_error_with_the_true_offset),
        T(a_chunk_of_another_length_than_its_range_changes_nothing),
        T(a_blob_over_the_limit_is_refused),
        T(a_wrong_digest_ends_the_session_and_leaves_nothing),
        T(a_repeated_commit_is_answered_again),
        T(two_pushes_of_the_same_bytes_keep_one_copy),
        T(a_sha512_digest_may_be_asked_for_at_the_end),
        T(a_sender_that_goes_away_may_resume_where_it_was),
        T(a_cancelled_flow_keeps_what_arrived),
        T(a_second_writer_is_a_conflict_with_the_saved_offset),
        T(the_claim_of_a_dead_process_is_taken_over_at_once),
        T(an_upload_holds_four_pages_at_most),
        cmocka_unit_test(a_store_whose_parts_are_smaller_than_a_page_is_unsupported),
        T(a_session_is_of_one_repository),
        T(a_uuid_that_is_none_is_not_found),
        T(a_cancelled_session_leaves_nothing),
#undef T
#define T(name) {#name ", no rename", name, setup_shared, teardown, NULL}
        T(a_blob_pushed_with_patch_and_put_is_served),
        T(a_blob_pushed_with_one_put_is_served),
        T(the_empty_blob_is_served),
        T(chunks_add_up),
        T(a_chunk_at_another_offset_is_a_range_error_with_the_true_offset),
        T(a_chunk_of_another_length_than_its_range_changes_nothing),
        T(a_blob_over_the_limit_is_refused),
        T(a_wrong_digest_ends_the_session_and_leaves_nothing),
        T(a_repeated_commit_is_answered_again),
        T(a_sha512_digest_may_be_asked_for_at_the_end),
        T(a_sender_that_goes_away_may_resume_where_it_was),
        T(a_cancelled_flow_keeps_what_arrived),
        T(a_second_writer_is_a_conflict_with_the_saved_offset),
        T(a_session_is_of_one_repository),
        T(a_uuid_that_is_none_is_not_found),
        T(a_cancelled_session_leaves_nothing),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
