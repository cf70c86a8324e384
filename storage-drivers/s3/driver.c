/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 driver: opened from the configuration, and its table of members. Nothing of it blocks but open.
 */
#include "s3_int.h"

#include <stdlib.h>

#define ATTEMPT_MS 10000u
#define CALL_MS 20000u
#define LONG_CALL_MS 120000u
#define CONNECT_MS 3000u
#define CLOCK_DIFFERS_MS 30000
#define STALL_S 15u
#define CONNECTIONS_KEPT 128u
#define PARTS_MAX 10000u
#define OBJECT_BYTES_MAX (5ull << 40)

/* ---- where the store is ---- */

struct place {
    struct slice scheme;
    struct slice host;
};

/* "https://host:port/": the configuration saw to its form. Nobody sends the port that is the scheme's own, so it is not
 * signed. */
static struct place parse_endpoint(struct arena *arena, const char *text)
{
    struct place place = {SLICE("https"), SLICE_EMPTY};
    struct slice url = arena_copy(arena, slice_from_cstr(text));
    if (slice_has_prefix(url, SLICE("http://")))
        place.scheme = SLICE("http");
    place.host = slice_from(url, place.scheme.len + 3);
    while (slice_has_suffix(place.host, SLICE("/")))
        place.host.len--;
    struct slice port = place.scheme.len == strlen("https") ? SLICE(":443") : SLICE(":80");
    if (slice_has_suffix(place.host, port))
        place.host.len -= port.len;
    return place;
}

static struct slice name_host(struct arena *arena, struct slice host, const char *bucket, bool is_path_style)
{
    return is_path_style ? host : arena_format(arena, "%s.%.*s", bucket, SLICE_ARG(host));
}

/* Ceph's buckets of other tenants are named "tenant:bucket". */
static struct slice encode_bucket(struct arena *arena, const char *bucket)
{
    struct strbuf text;
    strbuf_init(&text, 4096);
    strbuf_append_char(&text, '/');
    strbuf_append_percent_encoded(&text, slice_from_cstr(bucket));
    struct slice path = arena_copy(arena, strbuf_slice(&text));
    strbuf_done(&text);
    return path;
}

static void set_place(struct s3 *s3, const struct config *config)
{
    struct arena *arena = &s3->arena;
    const char *bucket = config->storage.s3.bucket;
    bool is_path_style = config->storage.s3.path_style;
    struct slice amazon = arena_format(arena, "https://s3.%s.amazonaws.com", config->storage.s3.region);
    const char *endpoint =
        config->storage.s3.endpoint != NULL ? config->storage.s3.endpoint : arena_cstr(arena, amazon);
    struct place inside = parse_endpoint(arena, endpoint);
    struct place outside = inside;
    if (config->storage.s3.external_endpoint != NULL)
        outside = parse_endpoint(arena, config->storage.s3.external_endpoint);
    s3->scheme = inside.scheme;
    s3->host = name_host(arena, inside.host, bucket, is_path_style);
    s3->public_scheme = outside.scheme;
    s3->public_host = name_host(arena, outside.host, bucket, is_path_style);
    s3->is_google =
        config->storage.s3.dialect == S3_DIALECT_GOOGLE ||
        (config->storage.s3.dialect == S3_DIALECT_AUTO && slice_equal(inside.host, SLICE("storage.googleapis.com")));
    if (config->storage.s3.prefix != NULL)
        s3->key_prefix = arena_format(arena, "%s/", config->storage.s3.prefix);
    s3->bucket_path = is_path_style ? encode_bucket(arena, bucket) : SLICE("/");
    s3->path_prefix = arena_format(arena, "%.*s%s%.*s", SLICE_ARG(s3->bucket_path), is_path_style ? "/" : "",
                                   SLICE_ARG(s3->key_prefix));
}

/* ---- life ---- */

static void s3_close(void *self)
{
    struct s3 *s3 = self;
    s3_credentials_free(s3->credentials);
    google_key_free(s3->google_key);
    http_client_free(s3->http);
    sigv4_signer_done(&s3->signer);
    arena_done(&s3->arena);
    free(s3);
}

static enum result connect_to_store(struct s3 *s3, const struct config *config, struct strbuf *ret_why)
{
    struct http_client_settings settings = {
        .ca_file = config->storage.s3.ca_file == NULL
                       ? NULL
                       : arena_cstr(&s3->arena, slice_from_cstr(config->storage.s3.ca_file)),
        .connect_timeout_ms = CONNECT_MS,
        .stall_timeout_s = STALL_S,
        .connections_kept = CONNECTIONS_KEPT,
    };
    enum result r = http_client_new(&settings, &s3->http);
    return r == OK ? s3_probe(s3, ret_why) : r;
}

static enum result load_google_key(struct s3 *s3, const struct config *config, struct strbuf *ret_why)
{
    if (config->storage.s3.google_key_file == NULL)
        return OK;
    if (!s3->is_google) {
        strbuf_append_cstr(ret_why,
                           "storage.s3.google_key: only Google's store takes URLs signed with it; leave it out, "
                           "or set dialect to google");
        return INVALID;
    }
    strbuf_append_cstr(ret_why, "storage.s3.google_key: ");
    enum result r = google_key_load(config->storage.s3.google_key_file, ret_why, &s3->google_key);
    if (r == OK)
        strbuf_clear(ret_why);
    return r;
}

static enum result s3_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self)
{
    struct s3 *s3 = xcalloc(1, sizeof(*s3));
    arena_init(&s3->arena);
    s3_clock_init(&s3->store_clock, clock_system());
    s3->clock = s3_clock_of(&s3->store_clock);
    s3->part_bytes = config->uploads.part_bytes;
    s3->times = (struct s3_times){ATTEMPT_MS, CALL_MS, LONG_CALL_MS};
    s3->kms_key = arena_copy(&s3->arena, slice_from_cstr(config->storage.s3.sse_kms_key));
    set_place(s3, config);
    if (s3->is_google)
        sigv4_signer_init_google(&s3->signer);
    else
        sigv4_signer_init(&s3->signer, arena_copy(&s3->arena, slice_from_cstr(config->storage.s3.region)), SLICE("s3"));
    enum result r = s3_credentials_new(config, !s3->is_google, pool, s3->clock, ret_why, &s3->credentials);
    if (r == OK)
        r = load_google_key(s3, config, ret_why);
    if (r == OK)
        r = connect_to_store(s3, config, ret_why);
    if (r != OK) {
        s3_close(s3);
        return r;
    }
    *ret_self = s3;
    return OK;
}

uint64_t s3_time_ms(const void *self, uint64_t machine_ms)
{
    const struct s3 *s3 = self;
    return (uint64_t)((int64_t)machine_ms + s3_clock_ahead_ms(&s3->store_clock));
}

static void s3_start(void *self, struct loop *loop, struct log *log)
{
    struct s3 *s3 = self;
    int64_t ahead_ms = s3_clock_ahead_ms(&s3->store_clock);
    s3->log = log;
    if (llabs(ahead_ms) >= CLOCK_DIFFERS_MS)
        log_event(log, LOG_LEVEL_WARN, "storage.clock_differs",
                  FIELD_CSTR("store_is", ahead_ms > 0 ? "ahead" : "behind"),
                  FIELD_NUM("by_s", (uint64_t)llabs(ahead_ms) / 1000),
                  FIELD_CSTR("next", "going by the store's; set this machine's"));
    s3_credentials_start(s3->credentials, loop, log);
}

static struct storage_capabilities s3_capabilities(const void *self)
{
    const struct s3 *s3 = self;
    return (struct storage_capabilities){
        .can_presign = true,
        .can_put_if_match = s3->can_swap,
        .can_delete_many = s3->can_delete_many,
        .part_bytes = s3->part_bytes,
        .parts_max = PARTS_MAX,
        .object_bytes_max = OBJECT_BYTES_MAX,
    };
}

const struct storage_driver s3_driver = {
    .name = "s3",
    .open = s3_open,
    .close = s3_close,
    .start = s3_start,
    .capabilities = s3_capabilities,
    .check = s3_check,
    .time_ms = s3_time_ms,
    .stat = s3_stat,
    .get = s3_get,
    .put = s3_put,
    .put_pages = s3_put_pages,
    .put_if_match = s3_put_if_match,
    .delete = s3_delete,
    .delete_many = s3_delete_many,
    .list = s3_list,
    .open_read = s3_open_read,
    .read = s3_read,
    .close_read = s3_close_read,
    .presign = s3_presign,
    .multipart_begin = s3_multipart_begin,
    .multipart_put = s3_multipart_put,
    .multipart_sync = s3_multipart_sync,
    .multipart_complete = s3_multipart_complete,
    .multipart_abort = s3_multipart_abort,
};
