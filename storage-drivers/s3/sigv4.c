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

const struct sigv4_dialect sigv4_amazon = {.algorithm = {"AWS4-HMAC-SHA256", 16},
                                           .secret_prefix = {"AWS4", 4},
                                           .terminator = {"aws4_request", 12},
                                           .parameter = {"X-Amz-", 6},
                                           .field = {"x-amz-", 6}};
const struct sigv4_dialect sigv4_google = {.algorithm = {"GOOG4-HMAC-SHA256", 17},
                                           .secret_prefix = {"GOOG4", 5},
                                           .terminator = {"goog4_request", 13},
                                           .parameter = {"X-Goog-", 7},
                                           .field = {"x-goog-", 7}};

void sigv4_signer_init(struct sigv4_signer *signer, struct slice region, struct slice service)
{
    *signer = (struct sigv4_signer){.dialect = &sigv4_amazon, .region = region, .service = service};
    pthread_mutex_init(&signer->mutex, NULL);
}

void sigv4_signer_init_google(struct sigv4_signer *signer)
{
    sigv4_signer_init(signer, SLICE("auto"), SLICE("storage"));
    signer->dialect = &sigv4_google;
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
    char first[8 + 4096];
    struct slice prefix = signer->dialect->secret_prefix;
    size_t n = secret.len < sizeof(first) - prefix.len ? secret.len : sizeof(first) - prefix.len;
    memcpy(first, prefix.ptr, prefix.len);
    memcpy(first + prefix.len, secret.ptr, n);
    hmac((const uint8_t *)first, prefix.len + n, day, key);
    OPENSSL_cleanse(first, sizeof(first));
    hmac(key, 32, signer->region, key);
    hmac(key, 32, signer->service, key);
    hmac(key, 32, signer->dialect->terminator, key);
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
    return arena_format(arena, "%.8s/%.*s/%.*s/%.*s", date, SLICE_ARG(signer->region), SLICE_ARG(signer->service),
                        SLICE_ARG(signer->dialect->terminator));
}

static struct slice text_to_sign(struct slice algorithm, const struct sigv4_request *request, struct slice scope,
                                 struct arena *arena)
{
    char hash[SIGV4_HASH_TEXT + 1];
    hash_canonical(request, hash);
    return arena_format(arena, "%.*s\n%s\n%.*s\n%s", SLICE_ARG(algorithm), request->date, SLICE_ARG(scope), hash);
}

static void sign(struct sigv4_signer *signer, struct slice secret, const char *date, struct slice text,
                 char out[SIGV4_HASH_TEXT + 1])
{
    uint8_t key[32];
    uint8_t signature[32];
    find_key(signer, secret, slice_of(date, 8), key);
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
    struct slice text = text_to_sign(signer->dialect->algorithm, request, scope, arena);
    sign(signer, credentials->secret_key, request->date, text, signature);
    strbuf_init(&names, 1024);
    append_signed_names(&names, request);
    struct slice value = arena_format(arena, "%.*s Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
                                      SLICE_ARG(signer->dialect->algorithm), SLICE_ARG(credentials->access_key),
                                      SLICE_ARG(scope), SLICE_ARG(strbuf_slice(&names)), signature);
    strbuf_done(&names);
    return value;
}

static struct slice query_of(const struct sigv4_url *url, struct arena *arena)
{
    struct slice prefix = url->dialect->parameter;
    struct strbuf query;
    strbuf_init(&query, 16384);
    strbuf_append_format(&query, "%.*sAlgorithm=%.*s&%.*sCredential=", SLICE_ARG(prefix), SLICE_ARG(url->algorithm),
                         SLICE_ARG(prefix));
    strbuf_append_percent_encoded(&query,
                                  arena_format(arena, "%.*s/%.*s", SLICE_ARG(url->name), SLICE_ARG(url->scope)));
    strbuf_append_format(&query, "&%.*sDate=%s&%.*sExpires=%u", SLICE_ARG(prefix), url->date, SLICE_ARG(prefix),
                         (unsigned)url->expires_s);
    if (url->token.len > 0) {
        strbuf_append_format(&query, "&%.*sSecurity-Token=", SLICE_ARG(prefix));
        strbuf_append_percent_encoded(&query, url->token);
    }
    strbuf_append_format(&query, "&%.*sSignedHeaders=host", SLICE_ARG(prefix));
    struct slice result = arena_copy(arena, strbuf_slice(&query));
    strbuf_done(&query);
    return result;
}

struct slice sigv4_url_text(const struct sigv4_url *url, struct arena *arena, struct slice *ret_query)
{
    struct sigv4_field field = {SLICE("host"), url->host};
    struct sigv4_request request = {.method = url->method,
                                    .path = url->path,
                                    .query = query_of(url, arena),
                                    .fields = &field,
                                    .field_count = 1,
                                    .payload_hash = SLICE(SIGV4_UNSIGNED)};
    memcpy(request.date, url->date, SIGV4_DATE_TEXT + 1);
    *ret_query = request.query;
    return text_to_sign(url->algorithm, &request, url->scope, arena);
}

struct slice sigv4_presign(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                           struct slice method, struct slice host, struct slice path, const char *date,
                           uint32_t expires_s, struct arena *arena)
{
    struct sigv4_url url = {.dialect = signer->dialect,
                            .algorithm = signer->dialect->algorithm,
                            .name = credentials->access_key,
                            .scope = scope_of(signer, date, arena),
                            .token = credentials->session_token,
                            .method = method,
                            .host = host,
                            .path = path,
                            .date = date,
                            .expires_s = expires_s};
    char signature[SIGV4_HASH_TEXT + 1];
    struct slice query;
    struct slice text = sigv4_url_text(&url, arena, &query);
    sign(signer, credentials->secret_key, date, text, signature);
    return arena_format(arena, "%.*s&%.*sSignature=%s", SLICE_ARG(query), SLICE_ARG(url.dialect->parameter), signature);
}
