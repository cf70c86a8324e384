/* SPDX-License-Identifier: Apache-2.0
 *
 * The key file of a Google service account, and URLs signed with it by OpenSSL.
 */
#include "google_key.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define FILE_BYTES_MAX (16u * 1024u)
#define EMAIL_BYTES_MAX 512u
#define RSA_BITS_MAX 8192

struct google_key {
    EVP_PKEY *rsa;
    size_t email_bytes;
    char email[EMAIL_BYTES_MAX];
};

/* ---- the file ---- */

/* A key with a passphrase must not ask for it on the terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *data)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)data;
    return -1;
}

static EVP_PKEY *parse_pem(const json_t *text)
{
    if (!json_is_string(text))
        return NULL;
    BIO *pem = BIO_new_mem_buf(json_string_value(text), (int)json_string_length(text));
    EVP_PKEY *rsa = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL);
    BIO_free(pem);
    if (rsa != NULL && EVP_PKEY_is_a(rsa, "RSA") && EVP_PKEY_get_bits(rsa) <= RSA_BITS_MAX)
        return rsa;
    EVP_PKEY_free(rsa);
    return NULL;
}

static struct google_key *parse_key(const json_t *root)
{
    const json_t *email = json_object_get(root, "client_email");
    size_t bytes = json_string_length(email);
    if (!json_is_string(email) || bytes == 0 || bytes > EMAIL_BYTES_MAX)
        return NULL;
    EVP_PKEY *rsa = parse_pem(json_object_get(root, "private_key"));
    if (rsa == NULL)
        return NULL;
    struct google_key *key = xcalloc(1, sizeof(*key));
    key->rsa = rsa;
    key->email_bytes = bytes;
    memcpy(key->email, json_string_value(email), bytes);
    return key;
}

static enum result read_file(const char *path, char *out, size_t *ret_bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NOT_FOUND;
    *ret_bytes = fread(out, 1, FILE_BYTES_MAX, file);
    enum result r = ferror(file) ? IO : *ret_bytes == FILE_BYTES_MAX ? TOO_LARGE : OK;
    (void)fclose(file);
    return r;
}

enum result google_key_load(const char *path, struct strbuf *why, struct google_key **ret_key)
{
    char text[FILE_BYTES_MAX];
    size_t bytes = 0;
    enum result r = read_file(path, text, &bytes);
    if (r != OK) {
        strbuf_append_format(why, "%s: cannot be read (%s)", path, result_name(r));
        return r;
    }
    json_t *root = json_loadb(text, bytes, 0, NULL);
    struct google_key *key = parse_key(root);
    json_decref(root);
    explicit_bzero(text, sizeof(text));
    if (key == NULL) {
        strbuf_append_format(why, "%s: not the key of a service account: JSON with client_email and an RSA private_key",
                             path);
        return INVALID;
    }
    *ret_key = key;
    return OK;
}

void google_key_free(struct google_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->rsa);
    free(key);
}

/* ---- URLs ---- */

static enum result sign(const struct google_key *key, struct slice text, struct arena *arena, struct slice *ret_hex)
{
    uint8_t signature[RSA_BITS_MAX / 8];
    size_t bytes = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_signed = context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->rsa) == 1 &&
                     EVP_DigestSign(context, signature, &bytes, (const uint8_t *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(context);
    if (!is_signed)
        return IO;
    char *hex = arena_alloc(arena, bytes * 2);
    hex_encode(signature, bytes, hex);
    *ret_hex = slice_of(hex, bytes * 2);
    return OK;
}

enum result google_key_presign(const struct google_key *key, struct slice method, struct slice host, struct slice path,
                               const char *date, uint32_t expires_s, struct arena *arena, struct slice *ret_query)
{
    struct sigv4_url url = {.dialect = &sigv4_google,
                            .algorithm = SLICE("GOOG4-RSA-SHA256"),
                            .name = slice_of(key->email, key->email_bytes),
                            .scope = arena_format(arena, "%.8s/auto/storage/goog4_request", date),
                            .method = method,
                            .host = host,
                            .path = path,
                            .date = date,
                            .expires_s = expires_s};
    struct slice query;
    struct slice signature;
    struct slice text = sigv4_url_text(&url, arena, &query);
    enum result r = sign(key, text, arena, &signature);
    if (r == OK)
        *ret_query = arena_format(arena, "%.*s&X-Goog-Signature=%.*s", SLICE_ARG(query), SLICE_ARG(signature));
    return r;
}
