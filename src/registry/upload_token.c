/* SPDX-License-Identifier: Apache-2.0
 *
 * The signed proof that an upload session is the caller's: "<expiry in s>.<hex HMAC-SHA256>" over session, repository,
 * principal and expiry. The key comes by HKDF from http.secret; without one, from a secret that the first start left in
 * the store, so that sessions outlive a restart of the embedded default.
 */
#include "upload_int.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "minato/secret.h"

#define SECRET_PATH SLICE("minato/secret")
#define KEY_LABEL SLICE("minato upload session")
#define MAC_BYTES 32u
#define CONTENT_BYTES_MAX 2048u

/* ---- key ---- */

enum result registry_int_token_key(struct registry *registry)
{
    const char *configured = registry->config->http.secret.value;
    if (configured != NULL)
        return secret_derive_key(slice_from_cstr(configured), KEY_LABEL, registry->token_key, REGISTRY_KEY_BYTES);
    char stored[2 * REGISTRY_KEY_BYTES];
    struct loop *loop = NULL;
    enum result r = loop_new(0, PAGE_BYTES, &loop);
    if (r != OK)
        return r;
    r = registry_int_stored_random(registry->storage, loop, SECRET_PATH, stored, sizeof(stored));
    loop_free(loop);
    if (r == OK)
        r = secret_derive_key(slice_of(stored, sizeof(stored)), KEY_LABEL, registry->token_key, REGISTRY_KEY_BYTES);
    explicit_bzero(stored, sizeof(stored));
    return r;
}

/* ---- tokens ---- */

/* The texts are kept apart by their lengths: no two sets of them sign alike. */
static bool sign(const struct registry *registry, struct upload_ref upload, struct slice principal, uint64_t expiry_s,
                 char ret_hex[2 * MAC_BYTES])
{
    struct strbuf content;
    strbuf_init(&content, CONTENT_BYTES_MAX);
    strbuf_append_format(&content, "%zu %.*s %zu %.*s %zu ", upload.uuid.len, SLICE_ARG(upload.uuid),
                         upload.repo.text.len, SLICE_ARG(upload.repo.text), principal.len);
    strbuf_append(&content, principal);
    strbuf_append_format(&content, " %llu", (unsigned long long)expiry_s);
    uint8_t mac[MAC_BYTES];
    unsigned mac_len = sizeof(mac);
    bool is_signed =
        strbuf_result(&content) == OK && HMAC(EVP_sha256(), registry->token_key, REGISTRY_KEY_BYTES,
                                              (const uint8_t *)content.ptr, content.len, mac, &mac_len) != NULL;
    strbuf_done(&content);
    if (is_signed)
        hex_encode(mac, sizeof(mac), ret_hex);
    return is_signed;
}

struct slice upload_token_make(struct registry *registry, struct upload_ref upload, struct slice principal,
                               struct arena *arena)
{
    uint64_t now_ms = storage_now_ms(registry->storage, registry->clock);
    uint64_t expiry_s = (now_ms + registry->config->uploads.expire_after_ms) / 1000u + 1u;
    char hex[2 * MAC_BYTES];
    if (!sign(registry, upload, principal, expiry_s, hex))
        return SLICE_EMPTY; /* a principal of kilobytes: a token that never passes */
    return arena_format(arena, "%llu.%.*s", (unsigned long long)expiry_s, (int)sizeof(hex), hex);
}

static bool is_signed_for(const struct registry *registry, struct upload_ref upload, struct slice principal,
                          uint64_t expiry_s, struct slice mac)
{
    char hex[2 * MAC_BYTES];
    return sign(registry, upload, principal, expiry_s, hex) && slice_equal_secret(mac, slice_of(hex, sizeof(hex)));
}

/* A session that nobody logged in for is whoever's that has its Location: clients log in when they are first asked to,
 * and that can be in the middle of one. */
enum result upload_token_check(struct registry *registry, struct upload_ref upload, struct slice principal,
                               struct slice token)
{
    struct slice expiry, mac;
    uint64_t expiry_s;
    if (!slice_split(token, '.', &expiry, &mac) || slice_parse_u64(expiry, &expiry_s) != OK)
        return DENIED;
    if (!is_signed_for(registry, upload, principal, expiry_s, mac) &&
        !is_signed_for(registry, upload, SLICE_EMPTY, expiry_s, mac))
        return DENIED;
    return storage_now_ms(registry->storage, registry->clock) / 1000u <= expiry_s ? OK : DENIED;
}
