/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL's part in signing a network's URLs. Nothing here knows what a URL looks like. Any thread.
 */
#include "cdn_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>

#define GOOGLE_KEY_BYTES 16u
#define RSA_BITS_MAX 4096
#define SIGNATURE_MAX (RSA_BITS_MAX / 8)

/* ---- base64 ---- */

/* `alphabet` stands for '+', '/' and '='; a NUL for '=' leaves the padding out. */
static struct slice encode(const uint8_t *bytes, size_t n, const char alphabet[3], struct arena *arena)
{
    uint8_t *text = arena_alloc(arena, 4 * ((n + 2) / 3) + 1);
    size_t len = (size_t)EVP_EncodeBlock(text, bytes, (int)n);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '+')
            text[i] = (uint8_t)alphabet[0];
        else if (text[i] == '/')
            text[i] = (uint8_t)alphabet[1];
        else if (text[i] == '=' && alphabet[2] != '\0')
            text[i] = (uint8_t)alphabet[2];
    }
    while (alphabet[2] == '\0' && len > 0 && text[len - 1] == '=')
        len--;
    return slice_of((const char *)text, len);
}

/* ---- keys ---- */

enum result cdn_key_from_text(struct cdn_key *key, struct slice text)
{
    if (text.len == 0 || text.len > sizeof(key->secret))
        return INVALID;
    memcpy(key->secret, text.ptr, text.len);
    key->secret_len = text.len;
    return OK;
}

enum result cdn_key_from_base64url(struct cdn_key *key, struct slice text)
{
    text = slice_trim(text);
    uint8_t padded[4 * ((GOOGLE_KEY_BYTES + 2) / 3)];
    uint8_t bytes[sizeof(padded) / 4 * 3];
    while (slice_has_suffix(text, SLICE("=")))
        text.len--;
    if (text.len != (GOOGLE_KEY_BYTES * 8 + 5) / 6)
        return INVALID;
    memset(padded, '=', sizeof(padded));
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        padded[i] = (uint8_t)(c == '-' ? '+' : c == '_' ? '/' : c);
    }
    int n = EVP_DecodeBlock(bytes, padded, (int)sizeof(padded));
    if (n > 0) {
        memcpy(key->secret, bytes, GOOGLE_KEY_BYTES);
        key->secret_len = GOOGLE_KEY_BYTES;
    }
    explicit_bzero(padded, sizeof(padded));
    explicit_bzero(bytes, sizeof(bytes));
    return n > 0 ? OK : INVALID;
}

enum result cdn_key_from_pem(struct cdn_key *key, const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL)
        return INVALID;
    char no_passphrase[] = "";
    EVP_PKEY *rsa = PEM_read_bio_PrivateKey(file, NULL, NULL, no_passphrase);
    BIO_free(file);
    bool is_usable = rsa != NULL && EVP_PKEY_is_a(rsa, "RSA") && EVP_PKEY_get_bits(rsa) <= RSA_BITS_MAX;
    if (!is_usable) {
        EVP_PKEY_free(rsa);
        return INVALID;
    }
    key->rsa = rsa;
    return OK;
}

void cdn_key_done(struct cdn_key *key)
{
    EVP_PKEY_free(key->rsa);
    explicit_bzero(key, sizeof(*key));
}

/* ---- signatures ---- */

enum result cdn_sign_md5(const struct cdn_key *key, struct slice text, struct arena *arena, struct slice *ret_signature)
{
    uint8_t md5[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_signed = context != NULL && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1 &&
                     EVP_DigestUpdate(context, text.ptr, text.len) == 1 &&
                     EVP_DigestUpdate(context, key->secret, key->secret_len) == 1 &&
                     EVP_DigestFinal_ex(context, md5, &n) == 1;
    EVP_MD_CTX_free(context);
    if (!is_signed)
        return IO;
    *ret_signature = encode(md5, n, "-_", arena);
    return OK;
}

enum result cdn_sign_hmac_sha1(const struct cdn_key *key, struct slice text, struct arena *arena,
                               struct slice *ret_signature)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (HMAC(EVP_sha1(), key->secret, (int)key->secret_len, (const uint8_t *)text.ptr, text.len, mac, &n) == NULL)
        return IO;
    *ret_signature = encode(mac, n, "-_=", arena);
    return OK;
}

enum result cdn_sign_rsa_sha1(const struct cdn_key *key, struct slice text, struct arena *arena,
                              struct slice *ret_signature)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t n = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_signed = context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha1(), NULL, key->rsa) == 1 &&
                     EVP_DigestSign(context, signature, &n, (const uint8_t *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    if (!is_signed)
        return IO;
    *ret_signature = encode(signature, n, "-~_", arena);
    return OK;
}
