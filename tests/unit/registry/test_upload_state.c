/* SPDX-License-Identifier: Apache-2.0
 *
 * The saved state of an upload session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "src/registry/upload_int.h"

static struct upload_state sample(enum upload_kind kind)
{
    struct upload_state state;
    memset(&state, 0, sizeof(state));
    state.kind = kind;
    state.repo = SLICE("library/test");
    if (kind == UPLOAD_OPEN)
        memcpy(state.process, "0123456789abcdef0123456789abcdef", REGISTRY_PROCESS_SIZE);
    state.activity_ms = 1700000000123u;
    state.offset = UINT64_C(5) << 32;
    state.parts = 7;
    digest_state_init(&state.hash, DIGEST_SHA512);
    digest_state_update(&state.hash, "some bytes", 10);
    strcpy(state.multipart.id, "parts-1");
    if (kind == UPLOAD_DONE)
        digest_of(DIGEST_SHA256, SLICE("x"), &state.digest);
    return state;
}

static void a_state_reads_back(void **unused)
{
    (void)unused;
    struct arena arena;
    arena_init(&arena);
    for (int kind = UPLOAD_OPEN; kind <= UPLOAD_DONE; kind++) {
        struct upload_state state = sample((enum upload_kind)kind);
        struct upload_state back;
        struct slice text = registry_int_upload_state_format(&state, &arena);
        assert_true(text.len < UPLOAD_STATE_BYTES_MAX);
        assert_int_equal(registry_int_upload_state_parse(text, &arena, &back), OK);
        assert_int_equal(back.kind, kind);
        assert_true(slice_equal(back.repo, state.repo));
        assert_string_equal(back.process, state.process);
        assert_int_equal(back.offset, state.offset);
        assert_int_equal(back.parts, 7);
        assert_int_equal(back.activity_ms, state.activity_ms);
        assert_string_equal(back.multipart.id, "parts-1");
        assert_true(digest_equal(&back.digest, &state.digest));
        /* The hash goes on from where it was. */
        struct digest digest, whole;
        digest_state_update(&back.hash, " and more", 9);
        digest_state_final(&back.hash, &digest);
        digest_of(DIGEST_SHA512, SLICE("some bytes and more"), &whole);
        assert_true(digest_equal(&digest, &whole));
    }
    arena_done(&arena);
}

static struct upload_state sample_with_parts(struct arena *arena)
{
    struct upload_state state = sample(UPLOAD_OPEN);
    state.part_bytes = PAGE_BYTES;
    state.lease_ms = 1700000060123u;
    state.tail_bytes = 77;
    state.tail_seq = 4;
    state.parts = 70;
    struct storage_part part = {.number = 2, .etag = "\"an etag\""};
    registry_int_upload_add_name(&state, &part, arena);
    part.number = 67;
    registry_int_upload_add_name(&state, &part, arena);
    state.offset = 2 * PAGE_BYTES + 77;
    return state;
}

static void a_state_with_parts_reads_back(void **unused)
{
    (void)unused;
    struct arena arena;
    arena_init(&arena);
    struct upload_state back, state = sample_with_parts(&arena);
    struct slice text = registry_int_upload_state_format(&state, &arena);
    assert_int_equal(registry_int_upload_state_parse(text, &arena, &back), OK);
    assert_int_equal(back.lease_ms, state.lease_ms);
    assert_int_equal(back.part_bytes, PAGE_BYTES);
    assert_int_equal(back.tail_bytes, 77);
    assert_int_equal(back.tail_seq, 4);
    assert_int_equal(back.name_count, 2);
    assert_int_equal(back.names[1].number, 67);
    assert_string_equal(back.names[1].etag, "\"an etag\"");
    assert_false(back.is_direct);
    for (size_t n = 0; n < text.len; n++)
        assert_int_equal(registry_int_upload_state_parse(slice_of(text.ptr, n), &arena, &back), CORRUPT);
    state.offset++; /* bytes that no part has */
    text = registry_int_upload_state_format(&state, &arena);
    assert_int_equal(registry_int_upload_state_parse(text, &arena, &back), CORRUPT);
    arena_done(&arena);
}

static void the_state_of_ten_thousand_parts_fits(void **unused)
{
    (void)unused;
    struct arena arena;
    arena_init(&arena);
    struct upload_state back, state = sample_with_parts(&arena);
    struct storage_part part = {0};
    memset(part.etag, 'e', STORAGE_ETAG_MAX);
    state.parts = 10000;
    for (part.number = 68; part.number <= 10000; part.number++)
        registry_int_upload_add_name(&state, &part, &arena);
    state.offset = state.name_count * state.part_bytes + state.tail_bytes;
    struct slice text = registry_int_upload_state_format(&state, &arena);
    assert_true(text.len < UPLOAD_STATE_BYTES_MAX);
    assert_int_equal(registry_int_upload_state_parse(text, &arena, &back), OK);
    assert_int_equal(back.name_count, state.name_count);
    arena_done(&arena);
}

static void anything_else_is_corrupt(void **unused)
{
    (void)unused;
    struct arena arena;
    arena_init(&arena);
    struct upload_state state = sample(UPLOAD_OPEN);
    struct upload_state back;
    struct slice text = registry_int_upload_state_format(&state, &arena);
    for (size_t n = 0; n < text.len; n++) /* cut short anywhere */
        assert_int_equal(registry_int_upload_state_parse(slice_of(text.ptr, n), &arena, &back), CORRUPT);
    struct slice longer = arena_format(&arena, "%.*sx 1\n", SLICE_ARG(text));
    assert_int_equal(registry_int_upload_state_parse(longer, &arena, &back), CORRUPT);
    state.multipart.id[0] = '\0'; /* bytes that are nowhere */
    assert_int_equal(registry_int_upload_state_parse(registry_int_upload_state_format(&state, &arena), &arena, &back),
                     CORRUPT);
    state = sample(UPLOAD_CLOSED);
    state.repo = SLICE("../x");
    assert_int_equal(registry_int_upload_state_parse(registry_int_upload_state_format(&state, &arena), &arena, &back),
                     CORRUPT);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_reads_back),
        cmocka_unit_test(a_state_with_parts_reads_back),
        cmocka_unit_test(the_state_of_ten_thousand_parts_fits),
        cmocka_unit_test(anything_else_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
