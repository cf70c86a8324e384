/* SPDX-License-Identifier: Apache-2.0
 *
 * Remembered results of bcrypt. The key is an HMAC-SHA256 of user, password and hash line under a random key of this
 * process: a core dump holds no password, a changed hash line matches nothing any more. Right and wrong ones are in
 * tables of their own, so that no flood of wrong passwords drives out a right one.
 *
 * The HMAC (RFC 2104) is written out on SHA256_CTX: its two key blocks are hashed once, and OpenSSL 3's own HMAC
 * fetches and allocates on every call.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "access_int.h"

#include <openssl/sha.h>
#include <stdlib.h>

#define BLOCK_BYTES 64u
#define SETS 1024u
#define WAYS 4u

_Static_assert(VERDICT_KEY_BYTES == SHA256_DIGEST_LENGTH, "the key is a SHA-256");

struct memory {
    struct verdict_key key;
    uint64_t verified_ms;
    bool is_used;
};

struct table {
    struct memory sets[SETS][WAYS];
};

struct verdicts {
    SHA256_CTX inner;
    SHA256_CTX outer;
    struct table right;
    struct table wrong;
};

static void hash_key_block(SHA256_CTX *ctx, const uint8_t key[BLOCK_BYTES], uint8_t mask)
{
    uint8_t block[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        block[i] = key[i] ^ mask;
    SHA256_Init(ctx);
    SHA256_Update(ctx, block, sizeof(block));
    explicit_bzero(block, sizeof(block));
}

struct verdicts *verdicts_new(void)
{
    struct verdicts *v = xcalloc(1, sizeof(*v)); /* pages of it that are never used cost nothing */
    uint8_t key[BLOCK_BYTES] = {0};
    random_bytes(key, VERDICT_KEY_BYTES);
    hash_key_block(&v->inner, key, 0x36);
    hash_key_block(&v->outer, key, 0x5c);
    explicit_bzero(key, sizeof(key));
    return v;
}

void verdicts_free(struct verdicts *v)
{
    if (v == NULL)
        return;
    explicit_bzero(&v->inner, sizeof(v->inner));
    explicit_bzero(&v->outer, sizeof(v->outer));
    free(v);
}

void verdicts_key(const struct verdicts *v, const struct credentials *c, const char *hash, struct verdict_key *ret_key)
{
    SHA256_CTX ctx = v->inner;
    const uint8_t user_len = (uint8_t)c->user.len; /* at most 255: where the name ends is part of the message */
    uint8_t inner[SHA256_DIGEST_LENGTH];
    SHA256_Update(&ctx, &user_len, 1);
    SHA256_Update(&ctx, c->user.ptr, c->user.len);
    SHA256_Update(&ctx, hash, BCRYPT_TEXT_BYTES);
    SHA256_Update(&ctx, c->password.ptr, c->password.len);
    SHA256_Final(inner, &ctx);
    ctx = v->outer;
    SHA256_Update(&ctx, inner, sizeof(inner));
    SHA256_Final(ret_key->bytes, &ctx);
    explicit_bzero(&ctx, sizeof(ctx));
    explicit_bzero(inner, sizeof(inner));
}

static size_t set_of(const struct verdict_key *key)
{
    return ((size_t)key->bytes[0] << 8 | key->bytes[1]) % SETS;
}

static bool is_same(const struct memory *m, const struct verdict_key *key)
{
    return m->is_used && slice_equal_secret(slice_of((const char *)m->key.bytes, VERDICT_KEY_BYTES),
                                            slice_of((const char *)key->bytes, VERDICT_KEY_BYTES));
}

/* Its age, or UINT64_MAX. */
static uint64_t age_of(const struct table *t, const struct verdict_key *key, uint64_t now_ms)
{
    const struct memory *set = t->sets[set_of(key)];
    for (size_t i = 0; i < WAYS; i++)
        if (is_same(&set[i], key))
            return now_ms - set[i].verified_ms;
    return UINT64_MAX;
}

enum verdict verdicts_find(const struct verdicts *v, const struct verdict_key *key, uint64_t now_ms)
{
    uint64_t age_ms = age_of(&v->right, key, now_ms);
    if (age_ms < VERDICT_FRESH_MS)
        return VERDICT_RIGHT;
    if (age_ms < VERDICT_PROVEN_MS)
        return VERDICT_PROVEN;
    return age_of(&v->wrong, key, now_ms) < VERDICT_WRONG_MS ? VERDICT_WRONG : VERDICT_UNKNOWN;
}

/* Over itself, into a free place, or over the oldest. */
void verdicts_add(struct verdicts *v, const struct verdict_key *key, bool is_right, uint64_t now_ms)
{
    struct memory *set = (is_right ? &v->right : &v->wrong)->sets[set_of(key)];
    struct memory *place = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (is_same(&set[i], key)) {
            place = &set[i];
            break;
        }
        if (!set[i].is_used || (place->is_used && set[i].verified_ms < place->verified_ms))
            place = &set[i];
    }
    *place = (struct memory){.key = *key, .verified_ms = now_ms, .is_used = true};
}
