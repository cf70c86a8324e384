/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions that every request or every byte goes through, each on the input of a usual one, with the answer that
 * it gives. Where no door leads to a function it is called behind it, as unit tests do.
 */
#include "micro.h"

#include <stdlib.h>

#include "minato/oci.h"
#include "minato/storage.h"
#include "src/access/access_int.h"
#include "src/api/api_int.h"
#include "src/http/http1.h"
#include "src/registry/registry_int.h"
#include "src/telemetry/telemetry_int.h"
#include "storage-drivers/s3/sigv4.h"

#define REPOSITORY SLICE("library/nginx")
#define LAYER_DIGEST "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
#define CONFIG_DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define HOST "examplebucket.s3.amazonaws.com"

static struct slice answer_if(bool is_right)
{
    return is_right ? SLICE("right") : SLICE("wrong");
}

/* ---- digests ---- */

#define HASHED_BYTES 4096u

static void *setup_bytes(struct arena *arena)
{
    return arena_alloc(arena, HASHED_BYTES);
}

static struct slice run_digest(void *state, struct arena *arena)
{
    struct digest digest;
    digest_of(DIGEST_SHA256, slice_of(state, HASHED_BYTES), &digest);
    return digest_text(&digest, arena);
}

static void *setup_digest_text(struct arena *arena)
{
    struct slice *text = ARENA_NEW(arena, struct slice);
    *text = SLICE(LAYER_DIGEST);
    return text;
}

static struct slice run_digest_parse(void *state, struct arena *arena)
{
    const struct slice *text = state;
    struct digest digest;
    if (digest_parse(*text, &digest) != OK)
        return SLICE_EMPTY;
    return digest_text(&digest, arena);
}

/* ---- paths ---- */

static void *setup_digest(struct arena *arena)
{
    struct digest *digest = ARENA_NEW(arena, struct digest);
    if (digest_parse(SLICE(LAYER_DIGEST), digest) != OK)
        abort();
    return digest;
}

static struct slice run_layer_link(void *state, struct arena *arena)
{
    return layout_layer_link(arena, (struct repo_name){REPOSITORY}, state);
}

static struct slice run_blob(void *state, struct arena *arena)
{
    return layout_blob(arena, state);
}

/* ---- signatures: the URL of Amazon's published example ---- */

static void *setup_signer(struct arena *arena)
{
    struct sigv4_signer *signer = ARENA_NEW(arena, struct sigv4_signer);
    sigv4_signer_init(signer, SLICE("us-east-1"), SLICE("s3"));
    return signer;
}

static void teardown_signer(void *state)
{
    sigv4_signer_done(state);
}

static struct slice run_presign(void *state, struct arena *arena)
{
    const struct sigv4_credentials keys = {.access_key = SLICE("AKIAIOSFODNN7EXAMPLE"),
                                           .secret_key = SLICE("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
    return sigv4_presign(state, &keys, SLICE("GET"), SLICE(HOST), SLICE("/test.txt"), "20130524T000000Z", 86400, arena);
}

/* ---- manifests ---- */

#define LAYER                                                                                                          \
    "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"size\":31357624,"                                \
    "\"digest\":\"" LAYER_DIGEST "\"}"

static void *setup_manifest(struct arena *arena)
{
    struct slice *text = ARENA_NEW(arena, struct slice);
    *text = SLICE("{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{"
                  "\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"size\":7023,\"digest\":\"" CONFIG_DIGEST
                  "\"},\"layers\":[" LAYER "," LAYER "," LAYER "," LAYER "," LAYER "," LAYER "," LAYER "," LAYER "]}");
    return text;
}

static struct slice run_manifest_parse(void *state, struct arena *arena)
{
    const struct slice *text = state;
    struct manifest manifest;
    struct slice why;
    if (manifest_parse(*text, SLICE_EMPTY, arena, &manifest, &why) != OK)
        return why;
    return answer_if(manifest.kind == MANIFEST_IMAGE && manifest.child_count == 8 &&
                     manifest.children[7].size == 31357624);
}

/* ---- routes ---- */

static void *setup_call(struct arena *arena)
{
    return ARENA_NEW(arena, struct api_call);
}

static struct slice run_route(void *state, struct arena *arena)
{
    struct api_call *call = state;
    if (api_int_match(call, SLICE("GET"), SLICE("/v2/library/nginx/manifests/1.27"), arena) != OK)
        return SLICE_EMPTY;
    return slice_from_cstr(call->route->name);
}

/* ---- heads ---- */

static void *setup_server(struct arena *arena)
{
    struct http_server *server = ARENA_NEW(arena, struct http_server);
    server->settings.head_bytes_max = 16384;
    return server;
}

static struct slice run_head(void *state, struct arena *arena)
{
    static const char head[] =
        "GET /v2/library/nginx/manifests/1.27 HTTP/1.1\r\nHost: registry.example:5000\r\n"
        "User-Agent: containerd/1.7.20\r\nAccept: application/vnd.oci.image.index.v1+json, "
        "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*\r\n"
        "Accept-Encoding: gzip\r\n\r\n";
    struct http1_head parsed;
    const struct http_error *error;
    if (http_int_http1_parse_head(state, slice_of(head, sizeof(head) - 1), 0, &parsed, &error) != OK)
        return slice_from_cstr(error->message);
    struct slice path = arena_copy(arena, http_request_path(parsed.req));
    http_int_request_free(parsed.req);
    return path;
}

/* ---- tokens and logins ---- */

#define STORE_TIME_MS 1795471500123u

static uint64_t fixed_ms(void *data)
{
    (void)data;
    return STORE_TIME_MS;
}

static void close_nothing(void *self)
{
    (void)self;
}

static const struct storage_driver driver_without_clock = {.name = "none", .close = close_nothing};
static const struct upload_ref upload = {{{"library/nginx", 13}}, {"8c2f8a32-6a5b-4c6f-9a3e-0f8f5f0b3c11", 36}};

struct session {
    struct config config;
    struct registry registry;
    struct slice token;
};

static void *setup_token(struct arena *arena)
{
    struct session *session = ARENA_NEW(arena, struct session);
    session->registry.config = &session->config;
    session->registry.storage = storage_wrap(&driver_without_clock, NULL, NULL);
    session->registry.clock = (struct clock){fixed_ms, fixed_ms, NULL};
    session->token = upload_token_make(&session->registry, upload, SLICE("alice"), arena);
    return session;
}

static void teardown_token(void *state)
{
    struct session *session = state;
    storage_close(session->registry.storage);
}

static struct slice run_token(void *state, struct arena *arena)
{
    struct session *session = state;
    (void)arena;
    return answer_if(upload_token_check(&session->registry, upload, SLICE("alice"), session->token) == OK);
}

#define BCRYPT "$2y$10$1bRGNYN6bNJ1dVqOhZ1c1e9WQe1hQ3n9x8Qx1p2o3i4u5y6t7r8eW"
#define AUTHORIZATION SLICE("Basic YWxpY2U6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5")

/* Somebody who has logged in a moment ago. */
static void *setup_login(struct arena *arena)
{
    struct verdicts *verdicts = verdicts_new();
    struct credentials credentials;
    struct verdict_key key;
    if (credentials_parse(AUTHORIZATION, arena, &credentials) != OK)
        abort();
    verdicts_key(verdicts, &credentials, BCRYPT, &key);
    verdicts_add(verdicts, &key, true, 0);
    return verdicts;
}

static void teardown_login(void *state)
{
    verdicts_free(state);
}

static struct slice run_login(void *state, struct arena *arena)
{
    struct credentials credentials;
    struct verdict_key key;
    if (credentials_parse(AUTHORIZATION, arena, &credentials) != OK)
        return SLICE_EMPTY;
    verdicts_key(state, &credentials, BCRYPT, &key);
    return answer_if(verdicts_find(state, &key, 1000) == VERDICT_RIGHT);
}

/* ---- the access log ---- */

static void *setup_line(struct arena *arena)
{
    return arena_alloc(arena, LOG_LINE_BYTES_MAX);
}

static struct slice run_line(void *state, struct arena *arena)
{
    const struct log_field fields[] = {FIELD_CSTR("request_id", "8c2f8a32-00000001"),
                                       FIELD_CSTR("method", "GET"),
                                       FIELD_CSTR("path", "/v2/library/nginx/manifests/1.27"),
                                       FIELD_NUM("status", 200),
                                       FIELD_STR("user", SLICE_EMPTY),
                                       FIELD_STR("repository", REPOSITORY),
                                       FIELD_CSTR("digest", LAYER_DIGEST),
                                       FIELD_NUM("bytes_in", 0),
                                       FIELD_NUM("bytes_out", 1573),
                                       FIELD_NUM("duration_us", 93),
                                       FIELD_CSTR("peer", "10.11.12.13:51234"),
                                       FIELD_CSTR("user_agent", "containerd/1.7.20"),
                                       FIELD_CSTR("protocol", "HTTP/1.1")};
    (void)arena;
    return slice_of(state, log_int_format(state, LOG_FORMAT_JSON, STORE_TIME_MS, LOG_LEVEL_INFO, "http.request", fields,
                                          sizeof(fields) / sizeof(fields[0])));
}

/* ---- all of them ---- */

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        literal, sizeof(literal) - 1                                                                                   \
    }

const struct micro_benchmark micro_benchmarks[] = {
    {.name = "digest of 4 KiB",
     .setup = setup_bytes,
     .run = run_digest,
     .answer = TEXT("sha256:ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7")},
    {.name = "digest parse", .setup = setup_digest_text, .run = run_digest_parse, .answer = TEXT(LAYER_DIGEST)},
    {.name = "SigV4 presign",
     .setup = setup_signer,
     .run = run_presign,
     .answer =
         TEXT("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
              "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
              "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
     .teardown = teardown_signer},
    {.name = "manifest parse", .setup = setup_manifest, .run = run_manifest_parse, .answer = TEXT("right")},
    {.name = "route match", .setup = setup_call, .run = run_route, .answer = TEXT("manifest_get")},
    {.name = "HTTP/1.1 head parse",
     .setup = setup_server,
     .run = run_head,
     .answer = TEXT("/v2/library/nginx/manifests/1.27")},
    {.name = "upload token check",
     .setup = setup_token,
     .run = run_token,
     .answer = TEXT("right"),
     .teardown = teardown_token},
    {.name = "login known",
     .setup = setup_login,
     .run = run_login,
     .answer = TEXT("right"),
     .teardown = teardown_login},
    {.name = "path of a layer link",
     .setup = setup_digest,
     .run = run_layer_link,
     .answer = TEXT("docker/registry/v2/repositories/library/nginx/_layers/sha256/"
                    "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945/link")},
    {.name = "path of a blob",
     .setup = setup_digest,
     .run = run_blob,
     .answer = TEXT(
         "docker/registry/v2/blobs/sha256/4f/4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945/data")},
    {.name = "access log line",
     .setup = setup_line,
     .run = run_line,
     .answer =
         TEXT("{\"time\":\"2026-11-23T22:05:00.123Z\",\"level\":\"info\",\"event\":\"http.request\",\"request_id\":"
              "\"8c2f8a32-00000001\",\"method\":\"GET\",\"path\":\"/v2/library/nginx/manifests/"
              "1.27\",\"status\":200,\"repository\":"
              "\"library/nginx\",\"digest\":\"" LAYER_DIGEST "\",\"bytes_in\":0,\"bytes_out\":1573,\"duration_us\":93,"
              "\"peer\":\"10.11.12.13:51234\",\"user_agent\":\"containerd/1.7.20\",\"protocol\":\"HTTP/1.1\"}\n")},
};
const size_t micro_benchmark_count = sizeof(micro_benchmarks) / sizeof(micro_benchmarks[0]);
