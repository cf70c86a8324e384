/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests: their text, and hashing that can be interrupted. The hash state is OpenSSL's low-level context, deprecated
 * but the only one whose fields can be read; it is saved in a format of ours, so that a replica with another byte
 * order or another OpenSSL goes on where this one stopped. Pure; any thread.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "minato/oci.h"

#include <openssl/sha.h>

/* A saved state, all numbers big-endian:
 *
 *     0   4  magic "mnhs"
 *     4   1  version: 1
 *     5   1  algorithm: 1 sha256, 2 sha512
 *     6   2  zero
 *     8   8  bytes hashed so far
 *     16     eight chaining words of 4 (sha256) or 8 (sha512) bytes
 *     ..     the bytes behind the last whole block: <bytes hashed> modulo the block size
 *     ..  8  the first bytes of the SHA-256 of all of the above: finds damage, proves nothing about who wrote it
 */
#define SAVED_HEAD 16
#define SAVED_CHECK 8
#define SAVED_VERSION 1
#define CHAIN_WORDS 8
static const uint8_t saved_magic[4] = {'m', 'n', 'h', 's'};

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct digest_state *)0)->words), "SHA256_CTX fits");
_Static_assert(sizeof(SHA512_CTX) <= sizeof(((struct digest_state *)0)->words), "SHA512_CTX fits");
_Static_assert(SAVED_HEAD + CHAIN_WORDS * 8 + SHA512_CBLOCK - 1 + SAVED_CHECK <= DIGEST_STATE_SAVED_MAX, "saved fits");

/* ---- text ---- */

size_t digest_size(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? SHA512_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

struct slice digest_algorithm_name(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? SLICE("sha512") : SLICE("sha256");
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* algorithm ::= component (separator component)*, component ::= [a-z0-9]+, separator ::= [+._-] */
static bool is_algorithm(struct slice s)
{
    bool after_component = false;
    for (size_t i = 0; i < s.len; ++i) {
        char c = s.ptr[i];
        if (is_lower_alnum(c))
            after_component = true;
        else if (after_component && (c == '+' || c == '.' || c == '_' || c == '-'))
            after_component = false;
        else
            return false;
    }
    return after_component;
}

/* encoded ::= [a-zA-Z0-9=_-]+ */
static bool is_encoded(struct slice s)
{
    for (size_t i = 0; i < s.len; ++i) {
        char c = s.ptr[i];
        if (!is_lower_alnum(c) && !(c >= 'A' && c <= 'Z') && c != '=' && c != '_' && c != '-')
            return false;
    }
    return s.len > 0;
}

enum result digest_parse(struct slice text, struct digest *ret_digest)
{
    struct slice name;
    struct slice encoded;
    struct digest d = {.algorithm = DIGEST_SHA256};
    if (!slice_split(text, ':', &name, &encoded))
        return INVALID;
    if (slice_equal(name, SLICE("sha512")))
        d.algorithm = DIGEST_SHA512;
    else if (!slice_equal(name, SLICE("sha256")))
        return is_algorithm(name) && is_encoded(encoded) ? UNSUPPORTED : INVALID;
    enum result r = hex_decode(encoded, d.bytes, digest_size(d.algorithm));
    if (r != OK)
        return r;
    *ret_digest = d;
    return OK;
}

size_t digest_format(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
    struct slice name = digest_algorithm_name(d->algorithm);
    size_t size = digest_size(d->algorithm);
    memcpy(out, name.ptr, name.len);
    out[name.len] = ':';
    hex_encode(d->bytes, size, out + name.len + 1);
    return name.len + 1 + 2 * size;
}

struct slice digest_text(const struct digest *d, struct arena *arena)
{
    char text[DIGEST_TEXT_MAX];
    return arena_copy(arena, slice_of(text, digest_format(d, text)));
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, digest_size(a->algorithm)) == 0;
}

/* ---- hashing ---- */

void digest_state_init(struct digest_state *s, enum digest_algorithm algorithm)
{
    memset(s, 0, sizeof(*s));
    s->algorithm = algorithm;
    if (algorithm == DIGEST_SHA512)
        SHA512_Init((SHA512_CTX *)(void *)s->words);
    else
        SHA256_Init((SHA256_CTX *)(void *)s->words);
}

void digest_state_update(struct digest_state *s, const void *bytes, size_t n)
{
    if (n == 0) /* `bytes` may be NULL */
        return;
    if (s->algorithm == DIGEST_SHA512)
        SHA512_Update((SHA512_CTX *)(void *)s->words, bytes, n);
    else
        SHA256_Update((SHA256_CTX *)(void *)s->words, bytes, n);
}

void digest_state_final(const struct digest_state *s, struct digest *ret_digest)
{
    struct digest d = {.algorithm = s->algorithm};
    struct digest_state copy = *s;
    if (s->algorithm == DIGEST_SHA512)
        SHA512_Final(d.bytes, (SHA512_CTX *)(void *)copy.words);
    else
        SHA256_Final(d.bytes, (SHA256_CTX *)(void *)copy.words);
    *ret_digest = d;
}

void digest_of(enum digest_algorithm algorithm, struct slice bytes, struct digest *ret_digest)
{
    struct digest_state s;
    digest_state_init(&s, algorithm);
    digest_state_update(&s, bytes.ptr, bytes.len);
    digest_state_final(&s, ret_digest);
}

/* ---- saving ---- */

static uint8_t *put_number(uint8_t *p, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; value >>= 8)
        p[i] = (uint8_t)value;
    return p + bytes;
}

static uint64_t get_number(const uint8_t *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i)
        value = value << 8 | p[i];
    return value;
}

static size_t block_size(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? SHA512_CBLOCK : SHA256_CBLOCK;
}

static size_t word_size(enum digest_algorithm algorithm)
{
    return algorithm == DIGEST_SHA512 ? sizeof(SHA_LONG64) : sizeof(SHA_LONG);
}

static void saved_check(const uint8_t *bytes, size_t n, uint8_t out[SAVED_CHECK])
{
    struct digest d;
    digest_of(DIGEST_SHA256, slice_of((const char *)bytes, n), &d);
    memcpy(out, d.bytes, SAVED_CHECK);
}

/* The parts of a state that are saved: bytes hashed, chaining words, bytes of the block under way. */
struct state_parts {
    uint64_t hashed;
    uint64_t chain[CHAIN_WORDS];
    uint8_t block[SHA512_CBLOCK];
};

static void state_take_apart(const struct digest_state *s, struct state_parts *parts)
{
    if (s->algorithm == DIGEST_SHA512) {
        SHA512_CTX c;
        memcpy(&c, s->words, sizeof(c));
        parts->hashed = (uint64_t)c.Nh << 61 | (uint64_t)c.Nl >> 3; /* they count bits */
        for (size_t i = 0; i < CHAIN_WORDS; ++i)
            parts->chain[i] = c.h[i];
        memcpy(parts->block, &c.u, SHA512_CBLOCK);
    } else {
        SHA256_CTX c;
        memcpy(&c, s->words, sizeof(c));
        parts->hashed = (uint64_t)c.Nh << 29 | (uint64_t)c.Nl >> 3;
        for (size_t i = 0; i < CHAIN_WORDS; ++i)
            parts->chain[i] = c.h[i];
        memcpy(parts->block, c.data, SHA256_CBLOCK);
    }
}

static void state_put_together(struct digest_state *s, enum digest_algorithm algorithm, const struct state_parts *parts)
{
    digest_state_init(s, algorithm);
    unsigned pending = (unsigned)(parts->hashed % block_size(algorithm));
    if (algorithm == DIGEST_SHA512) {
        SHA512_CTX c;
        memcpy(&c, s->words, sizeof(c));
        c.Nl = (SHA_LONG64)(parts->hashed << 3);
        c.Nh = (SHA_LONG64)(parts->hashed >> 61);
        c.num = pending;
        for (size_t i = 0; i < CHAIN_WORDS; ++i)
            c.h[i] = (SHA_LONG64)parts->chain[i];
        memcpy(&c.u, parts->block, SHA512_CBLOCK);
        memcpy(s->words, &c, sizeof(c));
    } else {
        SHA256_CTX c;
        memcpy(&c, s->words, sizeof(c));
        c.Nl = (SHA_LONG)(parts->hashed << 3);
        c.Nh = (SHA_LONG)(parts->hashed >> 29);
        c.num = pending;
        for (size_t i = 0; i < CHAIN_WORDS; ++i)
            c.h[i] = (SHA_LONG)parts->chain[i];
        memcpy(c.data, parts->block, SHA256_CBLOCK);
        memcpy(s->words, &c, sizeof(c));
    }
}

size_t digest_state_save(const struct digest_state *s, uint8_t out[DIGEST_STATE_SAVED_MAX])
{
    struct state_parts parts;
    state_take_apart(s, &parts);
    memcpy(out, saved_magic, sizeof(saved_magic));
    uint8_t *p = out + sizeof(saved_magic);
    p = put_number(p, SAVED_VERSION, 1);
    p = put_number(p, s->algorithm == DIGEST_SHA512 ? 2 : 1, 1);
    p = put_number(p, 0, 2);
    p = put_number(p, parts.hashed, 8);
    for (size_t i = 0; i < CHAIN_WORDS; ++i)
        p = put_number(p, parts.chain[i], word_size(s->algorithm));
    size_t pending = parts.hashed % block_size(s->algorithm);
    memcpy(p, parts.block, pending);
    p += pending;
    saved_check(out, (size_t)(p - out), p);
    return (size_t)(p - out) + SAVED_CHECK;
}

enum result digest_state_load(struct digest_state *s, const uint8_t *bytes, size_t n)
{
    if (n < SAVED_HEAD || n > DIGEST_STATE_SAVED_MAX || memcmp(bytes, saved_magic, sizeof(saved_magic)) != 0)
        return INVALID;
    if (bytes[4] != SAVED_VERSION || (bytes[5] != 1 && bytes[5] != 2) || bytes[6] != 0 || bytes[7] != 0)
        return INVALID;
    enum digest_algorithm algorithm = bytes[5] == 2 ? DIGEST_SHA512 : DIGEST_SHA256;
    struct state_parts parts = {.hashed = get_number(bytes + 8, 8)};
    /* More bits than SHA-256 can count, for both algorithms. */
    if (parts.hashed > UINT64_MAX >> 3)
        return INVALID;
    size_t pending = parts.hashed % block_size(algorithm);
    size_t chain_bytes = CHAIN_WORDS * word_size(algorithm);
    if (n != SAVED_HEAD + chain_bytes + pending + SAVED_CHECK)
        return INVALID;
    uint8_t check[SAVED_CHECK];
    saved_check(bytes, n - SAVED_CHECK, check);
    if (memcmp(check, bytes + n - SAVED_CHECK, SAVED_CHECK) != 0)
        return INVALID;
    for (size_t i = 0; i < CHAIN_WORDS; ++i)
        parts.chain[i] = get_number(bytes + SAVED_HEAD + i * word_size(algorithm), word_size(algorithm));
    memcpy(parts.block, bytes + SAVED_HEAD + chain_bytes, pending);
    state_put_together(s, algorithm, &parts);
    return OK;
}
