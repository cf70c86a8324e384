/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Signature Version 4 on OpenSSL's HMAC. The canonical request and the string to sign are built as text; what is
 * secret never leaves this file.
 */
#include "sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

void sigv4_signer_init(struct sigv4_signer *signer, struct slice region, struct slice service)
{
    *signer = (struct sigv4_signer){.region = region, .service = service};
    pthread_mutex_init(&signer->mutex, NULL);
}

void sigv4_signer_done(struct sigv4_signer *signer)
{
    OPENSSL_cleanse(signer->key, sizeof(signer->key));
    pthread_mutex_destroy(&signer->mutex);
}

void sigv4_format_date(uint64_t wall_ms, char out[SIGV4_DATE_TEXT + 1])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, SIGV4_DATE_TEXT + 1, "%Y%m%dT%H%M%SZ", &tm);
}

void sigv4_hash(struct slice bytes, char out[SIGV4_HASH_TEXT + 1])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)bytes.ptr, bytes.len, hash);
    hex_encode(hash, sizeof(hash), out);
    out[SIGV4_HASH_TEXT] = '\0';
}

/* ---- keys ---- */

static void hmac(const uint8_t *key, size_t key_bytes, struct slice text, uint8_t out[32])
{
    unsigned len = 32;
    HMAC(EVP_sha256(), key, (int)key_bytes, (const uint8_t *)text.ptr, text.len, out, &len);
}

static void derive(const struct sigv4_signer *signer, struct slice secret, struct slice day, uint8_t key[32])
{
    char first[4 + 4096];
    size_t n = secret.len < sizeof(first) - 4 ? secret.len : sizeof(first) - 4;
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret.ptr, n);
    hmac((const uint8_t *)first, 4 + n, day, key);
    OPENSSL_cleanse(first, sizeof(first));
    hmac(key, 32, signer->region, key);
    hmac(key, 32, signer->service, key);
    hmac(key, 32, SLICE("aws4_request"), key);
}

static void find_key(struct sigv4_signer *signer, struct slice secret, struct slice day, uint8_t key[32])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    SHA256((const uint8_t *)secret.ptr, secret.len, hash);
    pthread_mutex_lock(&signer->mutex);
    bool is_known =
        slice_equal(slice_from_cstr(signer->day), day) && CRYPTO_memcmp(signer->secret_hash, hash, sizeof(hash)) == 0;
    if (!is_known) {
        derive(signer, secret, day, signer->key);
        memcpy(signer->day, day.ptr, 8);
        memcpy(signer->secret_hash, hash, sizeof(hash));
    }
    memcpy(key, signer->key, 32);
    pthread_mutex_unlock(&signer->mutex);
}

/* ---- text ---- */

static int compare_fields(const void *left, const void *right)
{
    return slice_compare(((const struct sigv4_field *)left)->name, ((const struct sigv4_field *)right)->name);
}

static void append_signed_names(struct strbuf *out, const struct sigv4_request *request)
{
    for (size_t i = 0; i < request->field_count; i++) {
        strbuf_append(out, i == 0 ? SLICE("") : SLICE(";"));
        strbuf_append(out, request->fields[i].name);
    }
}

#define CANONICAL_BYTES_MAX 32768u

static void hash_canonical(const struct sigv4_request *request, char hash[SIGV4_HASH_TEXT + 1])
{
    struct strbuf text;
    strbuf_init(&text, CANONICAL_BYTES_MAX);
    strbuf_append_format(&text, "%.*s\n%.*s\n%.*s\n", SLICE_ARG(request->method), SLICE_ARG(request->path),
                         SLICE_ARG(request->query));
    for (size_t i = 0; i < request->field_count; i++)
        strbuf_append_format(&text, "%.*s:%.*s\n", SLICE_ARG(request->fields[i].name),
                             SLICE_ARG(request->fields[i].value));
    strbuf_append_char(&text, '\n');
    append_signed_names(&text, request);
    strbuf_append_format(&text, "\n%.*s", SLICE_ARG(request->payload_hash));
    sigv4_hash(strbuf_slice(&text), hash);
    strbuf_done(&text);
}

static struct slice scope_of(const struct sigv4_signer *signer, const char *date, struct arena *arena)
{
    return arena_format(arena, "%.8s/%.*s/%.*s/aws4_request", date, SLICE_ARG(signer->region),
                        SLICE_ARG(signer->service));
}

static void sign(struct sigv4_signer *signer, struct slice secret, const struct sigv4_request *request,
                 struct slice scope, struct arena *arena, char out[SIGV4_HASH_TEXT + 1])
{
    char hash[SIGV4_HASH_TEXT + 1];
    uint8_t key[32];
    uint8_t signature[32];
    hash_canonical(request, hash);
    find_key(signer, secret, slice_of(request->date, 8), key);
    struct slice text = arena_format(arena, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", request->date, SLICE_ARG(scope), hash);
    hmac(key, sizeof(key), text, signature);
    OPENSSL_cleanse(key, sizeof(key));
    hex_encode(signature, sizeof(signature), out);
    out[SIGV4_HASH_TEXT] = '\0';
}

/* ---- requests and URLs ---- */

struct slice sigv4_authorize(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                             struct sigv4_request *request, struct arena *arena)
{
    char signature[SIGV4_HASH_TEXT + 1];
    struct strbuf names;
    qsort(request->fields, request->field_count, sizeof(request->fields[0]), compare_fields);
    struct slice scope = scope_of(signer, request->date, arena);
    sign(signer, credentials->secret_key, request, scope, arena, signature);
    strbuf_init(&names, 1024);
    append_signed_names(&names, request);
    struct slice value =
        arena_format(arena, "AWS4-HMAC-SHA256 Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
                     SLICE_ARG(credentials->access_key), SLICE_ARG(scope), SLICE_ARG(strbuf_slice(&names)), signature);
    strbuf_done(&names);
    return value;
}

struct slice sigv4_presign(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                           struct slice method, struct slice host, struct slice path, const char *date,
                           uint32_t expires_s, struct arena *arena)
{
    struct strbuf query;
    struct slice scope = scope_of(signer, date, arena);
    strbuf_init(&query, 16384);
    strbuf_append_cstr(&query, "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
    strbuf_append_percent_encoded(
        &query, arena_format(arena, "%.*s/%.*s", SLICE_ARG(credentials->access_key), SLICE_ARG(scope)));
    strbuf_append_format(&query, "&X-Amz-Date=%s&X-Amz-Expires=%u", date, (unsigned)expires_s);
    if (credentials->session_token.len > 0) {
        strbuf_append_cstr(&query, "&X-Amz-Security-Token=");
        strbuf_append_percent_encoded(&query, credentials->session_token);
    }
    strbuf_append_cstr(&query, "&X-Amz-SignedHeaders=host");
    struct sigv4_field field = {SLICE("host"), host};
    struct sigv4_request request = {.method = method,
                                    .path = path,
                                    .query = strbuf_slice(&query),
                                    .fields = &field,
                                    .field_count = 1,
                                    .payload_hash = SLICE(SIGV4_UNSIGNED)};
    memcpy(request.date, date, SIGV4_DATE_TEXT + 1);
    char signature[SIGV4_HASH_TEXT + 1];
    sign(signer, credentials->secret_key, &request, scope, arena, signature);
    struct slice result = arena_format(arena, "%.*s&X-Amz-Signature=%s", SLICE_ARG(request.query), signature);
    strbuf_done(&query);
    return result;
}
