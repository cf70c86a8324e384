/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests: every form that must not parse, published hash vectors, and hashing that is saved and goes on elsewhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/oci.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define EMPTY_SHA512                                                                                                   \
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"                                                 \
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"

static void assert_text(const struct digest *d, const char *expected)
{
    char text[DIGEST_TEXT_MAX];
    size_t n = digest_format(d, text);
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(text, expected, n);
}

static void assert_not_a_digest(const char *text, enum result expected)
{
    struct digest d;
    memset(&d, 0x5a, sizeof(d));
    struct digest before = d;
    assert_int_equal(digest_parse(slice_from_cstr(text), &d), expected);
    assert_memory_equal(&d, &before, sizeof(d)); /* untouched on failure */
}

static void digest_text_of_both_algorithms_survives_parse_and_format(void **state)
{
    (void)state;
    static const char *const texts[] = {"sha256:" EMPTY_SHA256, "sha512:" EMPTY_SHA512};
    for (size_t i = 0; i < 2; ++i) {
        struct digest d;
        assert_int_equal(digest_parse(slice_from_cstr(texts[i]), &d), OK);
        assert_int_equal(d.algorithm, i == 0 ? DIGEST_SHA256 : DIGEST_SHA512);
        assert_text(&d, texts[i]);
        struct arena arena;
        arena_init(&arena);
        assert_true(slice_equal(digest_text(&d, &arena), slice_from_cstr(texts[i])));
        arena_done(&arena);
    }
    assert_int_equal(strlen("sha512:" EMPTY_SHA512), DIGEST_TEXT_MAX);
}

static void digest_parse_leaves_the_unused_bytes_zero(void **state)
{
    (void)state;
    struct digest d;
    memset(&d, 0xff, sizeof(d));
    assert_int_equal(digest_parse(SLICE("sha256:" EMPTY_SHA256), &d), OK);
    for (size_t i = 32; i < DIGEST_BYTES_MAX; ++i)
        assert_int_equal(d.bytes[i], 0);
}

static void digest_of_wrong_length_is_invalid(void **state)
{
    (void)state;
    char text[160] = "sha256:";
    for (size_t hex = 0; hex <= 140; ++hex) {
        memset(text + 7, 'a', hex);
        text[7 + hex] = '\0';
        memcpy(text, "sha256:", 7);
        if (hex != 64)
            assert_not_a_digest(text, INVALID);
        memcpy(text, "sha512:", 7);
        if (hex != 128)
            assert_not_a_digest(text, INVALID);
    }
}

static void digest_with_anything_but_lower_case_hex_is_invalid(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; ++c) {
        char text[] = "sha256:" EMPTY_SHA256;
        text[7 + c % 64] = (char)c;
        struct digest d;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        assert_int_equal(digest_parse(slice_of(text, sizeof(text) - 1), &d), is_hex ? OK : INVALID);
    }
}

static void digest_without_its_parts_is_invalid(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        ":",
        "sha256",
        "sha256:",
        ":" EMPTY_SHA256,
        EMPTY_SHA256,
        " sha256:" EMPTY_SHA256,
        "sha256:" EMPTY_SHA256 " ",
        "sha256: " EMPTY_SHA256,
        "sha256:" EMPTY_SHA256 ":",
        "sha256:sha256:" EMPTY_SHA256,
        "SHA256:" EMPTY_SHA256,
        "Sha256:" EMPTY_SHA256,
        "sha-:abc",
        "+sha:abc",
        "sha++b64:abc",
        "sha384:",
        "sha384:../../etc/passwd",
        "sha384:a b",
        "sha/384:abcd",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); ++i)
        assert_not_a_digest(texts[i], INVALID);
    struct digest d;
    assert_int_equal(digest_parse(SLICE_EMPTY, &d), INVALID);
    assert_int_equal(digest_parse(slice_of("sha256\0:" EMPTY_SHA256, 8 + 64), &d), INVALID);
}

static void digest_of_another_algorithm_is_unsupported(void **state)
{
    (void)state;
    assert_not_a_digest("sha384:abcdef0123", UNSUPPORTED);
    assert_not_a_digest("blake3:" EMPTY_SHA256, UNSUPPORTED);
    assert_not_a_digest("md5:d41d8cd98f00b204e9800998ecf8427e", UNSUPPORTED);
    assert_not_a_digest("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", UNSUPPORTED);
    assert_not_a_digest("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=", UNSUPPORTED);
    assert_not_a_digest("sha-256.x_y:Aa0=", UNSUPPORTED);
}

static void digests_are_equal_only_with_the_same_algorithm_and_bytes(void **state)
{
    (void)state;
    struct digest a;
    struct digest b;
    digest_of(DIGEST_SHA256, SLICE("x"), &a);
    digest_of(DIGEST_SHA256, SLICE("x"), &b);
    assert_true(digest_equal(&a, &b));
    digest_of(DIGEST_SHA256, SLICE("y"), &b);
    assert_false(digest_equal(&a, &b));
    b = a;
    b.algorithm = DIGEST_SHA512;
    assert_false(digest_equal(&a, &b));
}

static void hashing_gives_the_published_vectors(void **state)
{
    (void)state;
    struct digest d;
    digest_of(DIGEST_SHA256, SLICE_EMPTY, &d);
    assert_text(&d, "sha256:" EMPTY_SHA256);
    digest_of(DIGEST_SHA512, SLICE_EMPTY, &d);
    assert_text(&d, "sha512:" EMPTY_SHA512);
    digest_of(DIGEST_SHA256, SLICE("abc"), &d);
    assert_text(&d, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_of(DIGEST_SHA512, SLICE("abc"), &d);
    assert_text(&d, "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    digest_of(DIGEST_SHA256, SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), &d);
    assert_text(&d, "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    digest_of(DIGEST_SHA256, SLICE("{}"), &d); /* the empty descriptor of the image specification */
    assert_text(&d, "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
}

static void hashing_a_million_letters_in_odd_pieces_gives_the_published_vector(void **state)
{
    (void)state;
    char piece[997];
    memset(piece, 'a', sizeof(piece));
    struct digest_state s;
    digest_state_init(&s, DIGEST_SHA256);
    for (size_t left = 1000000; left > 0;) {
        size_t n = left < sizeof(piece) ? left : sizeof(piece);
        digest_state_update(&s, piece, n);
        left -= n;
    }
    struct digest d;
    digest_state_final(&s, &d);
    assert_text(&d, "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void final_does_not_end_the_hash(void **state)
{
    (void)state;
    struct digest_state s;
    struct digest d;
    digest_state_init(&s, DIGEST_SHA512);
    digest_state_update(&s, "ab", 2);
    digest_state_final(&s, &d);
    digest_state_final(&s, &d);
    digest_state_update(&s, "c", 1);
    digest_state_final(&s, &d);
    struct digest whole;
    digest_of(DIGEST_SHA512, SLICE("abc"), &whole);
    assert_true(digest_equal(&d, &whole));
}

/* ---- saving ---- */

static void saved_hash_goes_on_from_every_length_around_blocks(void **state)
{
    (void)state;
    uint8_t input[600];
    for (size_t i = 0; i < sizeof(input); ++i)
        input[i] = (uint8_t)(i * 131 + 7);
    for (size_t cut = 0; cut <= 300; ++cut) {
        for (unsigned a = 0; a < 2; ++a) {
            enum digest_algorithm algorithm = a == 0 ? DIGEST_SHA256 : DIGEST_SHA512;
            struct digest_state s;
            digest_state_init(&s, algorithm);
            digest_state_update(&s, input, cut);
            uint8_t saved[DIGEST_STATE_SAVED_MAX];
            size_t n = digest_state_save(&s, saved);
            assert_in_range(n, 1, DIGEST_STATE_SAVED_MAX);
            struct digest_state loaded;
            memset(&loaded, 0xee, sizeof(loaded));
            assert_int_equal(digest_state_load(&loaded, saved, n), OK);
            uint8_t again[DIGEST_STATE_SAVED_MAX];
            assert_int_equal(digest_state_save(&loaded, again), n);
            assert_memory_equal(again, saved, n);
            digest_state_update(&loaded, input + cut, sizeof(input) - cut);
            struct digest d;
            struct digest whole;
            digest_state_final(&loaded, &d);
            digest_of(algorithm, slice_of((const char *)input, sizeof(input)), &whole);
            assert_true(digest_equal(&d, &whole));
        }
    }
}

static void saved_format_is_the_same_on_every_machine(void **state)
{
    (void)state;
    struct digest_state s;
    digest_state_init(&s, DIGEST_SHA256);
    digest_state_update(&s, "abc", 3);
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    size_t n = digest_state_save(&s, saved);
    static const uint8_t head[] = {'m', 'n',  'h',  's',  1,    1,    0,    0,    0,    0,    0,    0,    0,    0,   0,
                                   3,   0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e, 0xf3, 0x72, 0xa5};
    assert_int_equal(n, 16 + 32 + 3 + 8);
    assert_memory_equal(saved, head, sizeof(head));
    assert_memory_equal(saved + 48, "abc", 3);
}

static void saved_hash_of_more_than_4_gib_keeps_its_length(void **state)
{
    (void)state;
    /* A state that claims 2^32 + 64 bytes, made by hand: its check has to be made as well. */
    struct digest_state s;
    digest_state_init(&s, DIGEST_SHA256);
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    size_t n = digest_state_save(&s, saved);
    saved[11] = 1;
    saved[15] = 64;
    struct digest check;
    digest_of(DIGEST_SHA256, slice_of((const char *)saved, n - 8), &check);
    memcpy(saved + n - 8, check.bytes, 8);
    assert_int_equal(digest_state_load(&s, saved, n), OK);
    uint8_t again[DIGEST_STATE_SAVED_MAX];
    assert_int_equal(digest_state_save(&s, again), n);
    assert_memory_equal(again, saved, n);
}

static void any_changed_byte_of_a_saved_hash_is_found(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 2; ++a) {
        struct digest_state s;
        digest_state_init(&s, a == 0 ? DIGEST_SHA256 : DIGEST_SHA512);
        digest_state_update(&s, "some bytes that do not fill a block", 35);
        uint8_t saved[DIGEST_STATE_SAVED_MAX];
        size_t n = digest_state_save(&s, saved);
        struct digest_state before = s;
        for (size_t i = 0; i < n; ++i) {
            for (unsigned bit = 0; bit < 8; ++bit) {
                saved[i] ^= (uint8_t)(1u << bit);
                assert_int_equal(digest_state_load(&s, saved, n), INVALID);
                saved[i] ^= (uint8_t)(1u << bit);
            }
        }
        assert_memory_equal(&s, &before, sizeof(s));
    }
}

static void saved_hash_of_wrong_length_is_invalid(void **state)
{
    (void)state;
    struct digest_state s;
    digest_state_init(&s, DIGEST_SHA512);
    digest_state_update(&s, "0123456789", 10);
    uint8_t saved[DIGEST_STATE_SAVED_MAX + 8] = {0};
    size_t n = digest_state_save(&s, saved);
    for (size_t wrong = 0; wrong <= sizeof(saved); ++wrong)
        assert_int_equal(digest_state_load(&s, saved, wrong), wrong == n ? OK : INVALID);
}

/* Damage with a valid check: what somebody who can write to the store could hand us. */
static enum result load_forged(size_t at, uint8_t value)
{
    struct digest_state s;
    digest_state_init(&s, DIGEST_SHA256);
    digest_state_update(&s, "abc", 3);
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    size_t n = digest_state_save(&s, saved);
    saved[at] = value;
    struct digest check;
    digest_of(DIGEST_SHA256, slice_of((const char *)saved, n - 8), &check);
    memcpy(saved + n - 8, check.bytes, 8);
    return digest_state_load(&s, saved, n);
}

static void forged_head_of_a_saved_hash_is_invalid(void **state)
{
    (void)state;
    assert_int_equal(load_forged(0, 'm'), OK);
    assert_int_equal(load_forged(0, 'M'), INVALID);
    assert_int_equal(load_forged(4, 0), INVALID);
    assert_int_equal(load_forged(4, 2), INVALID);
    assert_int_equal(load_forged(5, 0), INVALID);
    assert_int_equal(load_forged(5, 2), INVALID); /* sha512, but of sha256's length */
    assert_int_equal(load_forged(5, 3), INVALID);
    assert_int_equal(load_forged(6, 1), INVALID);
    assert_int_equal(load_forged(7, 1), INVALID);
    assert_int_equal(load_forged(8, 0x1f), OK);
    assert_int_equal(load_forged(8, 0x20), INVALID); /* 2^61 bytes: more than SHA-256 can count in bits */
    assert_int_equal(load_forged(15, 4), INVALID);   /* more in the block than is there */
    assert_int_equal(load_forged(15, 63), INVALID);
    assert_int_equal(load_forged(15, 67), OK); /* one block more: a lie that only the digest will show */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_text_of_both_algorithms_survives_parse_and_format),
        cmocka_unit_test(digest_parse_leaves_the_unused_bytes_zero),
        cmocka_unit_test(digest_of_wrong_length_is_invalid),
        cmocka_unit_test(digest_with_anything_but_lower_case_hex_is_invalid),
        cmocka_unit_test(digest_without_its_parts_is_invalid),
        cmocka_unit_test(digest_of_another_algorithm_is_unsupported),
        cmocka_unit_test(digests_are_equal_only_with_the_same_algorithm_and_bytes),
        cmocka_unit_test(hashing_gives_the_published_vectors),
        cmocka_unit_test(hashing_a_million_letters_in_odd_pieces_gives_the_published_vector),
        cmocka_unit_test(final_does_not_end_the_hash),
        cmocka_unit_test(saved_hash_goes_on_from_every_length_around_blocks),
        cmocka_unit_test(saved_format_is_the_same_on_every_machine),
        cmocka_unit_test(saved_hash_of_more_than_4_gib_keeps_its_length),
        cmocka_unit_test(any_changed_byte_of_a_saved_hash_is_found),
        cmocka_unit_test(saved_hash_of_wrong_length_is_invalid),
        cmocka_unit_test(forged_head_of_a_saved_hash_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
