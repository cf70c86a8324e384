/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver on libs3: opened from storage.s3v2, its table of members, and what each call goes through: a job on the
 * pool, then delivery on the caller's loop.
 */
#include "s3v2_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "minato/telemetry.h"

/* ---- calls ---- */

static void call_free(struct v2_call *call)
{
    arena_done(&call->arena);
    free(call);
}

static void on_work(struct pool_job *job)
{
    struct v2_call *call = (struct v2_call *)(void *)job; /* its first member */
    call->result = call->work(call);
}

static void on_done(struct pool_job *job)
{
    struct v2_call *call = (struct v2_call *)(void *)job;
    struct done done = call->done;
    enum result r = call->result;
    if (r == OK && call->deliver != NULL)
        call->deliver(call);
    call_free(call);
    done_call(done, r);
}

void *v2_call_new(size_t bytes, struct s3v2 *s3, struct slice path, enum result (*work)(struct v2_call *call),
                  struct done done)
{
    struct v2_call *call = xcalloc(1, bytes);
    call->job = (struct pool_job){.work = on_work, .done = on_done, .loop = done.loop};
    call->s3 = s3;
    call->path = path;
    call->done = done;
    call->work = work;
    arena_init(&call->arena);
    return call;
}

enum result v2_call_start(struct v2_call *call)
{
    enum result r = pool_submit(call->s3->pool, POOL_FILES, &call->job);
    if (r == OK)
        return PENDING;
    call_free(call);
    return r;
}

/* FNV-1a */
pthread_mutex_t *v2_lock_of(struct s3v2 *s3, struct slice path)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < path.len; i++)
        hash = (hash ^ (unsigned char)path.ptr[i]) * 0x100000001b3u;
    return &s3->locks[hash % V2_LOCKS];
}

/* ---- URLs ---- */

static enum result presign(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                           struct arena *arena, struct slice *ret_url)
{
    struct s3v2 *s3 = self;
    char url[S3_MAX_AUTHENTICATED_QUERY_STRING_SIZE + 1];
    if (!slice_equal(method, SLICE("GET"))) /* libs3 signs nothing else */
        return UNSUPPORTED;
    S3Status status = S3_generate_authenticated_query_string(url, &s3->outside, v2_key(s3, path, arena),
                                                             (int64_t)(validity->from_s + validity->seconds), NULL);
    if (status != S3StatusOK)
        return IO;
    *ret_url = arena_copy(arena, slice_from_cstr(url));
    return OK;
}

/* ---- life ---- */

static S3BucketContext context_of(struct s3v2 *s3, const struct config *config, const char *endpoint)
{
    struct slice url = slice_from_cstr(endpoint);
    bool is_tls = slice_has_prefix(url, SLICE("https://"));
    url = slice_from(url, is_tls ? 8 : 7); /* the configuration saw to its form */
    while (slice_has_suffix(url, SLICE("/")))
        url.len--;
    return (S3BucketContext){
        .hostName = arena_cstr(&s3->arena, url),
        .bucketName = arena_cstr(&s3->arena, slice_from_cstr(config->storage.s3v2.bucket)),
        .protocol = is_tls ? S3ProtocolHTTPS : S3ProtocolHTTP,
        .uriStyle = config->storage.s3v2.path_style ? S3UriStylePath : S3UriStyleVirtualHost,
        .accessKeyId = arena_cstr(&s3->arena, slice_from_cstr(config->storage.s3v2.access_key)),
        .secretAccessKey = arena_cstr(&s3->arena, slice_from_cstr(config->storage.s3v2.secret_key.value)),
    };
}

static void s3v2_close(void *self)
{
    struct s3v2 *s3 = self;
    S3_deinitialize();
    for (size_t i = 0; i < V2_LOCKS; i++)
        pthread_mutex_destroy(&s3->locks[i]);
    arena_done(&s3->arena);
    free(s3);
}

static enum result check_tls(const struct s3v2 *s3, const struct config *config, struct strbuf *ret_why)
{
    if (!s3->is_unverified || config->storage.s3v2.insecure)
        return OK;
    strbuf_append_cstr(ret_why,
                       "storage.s3v2: libs3 does not check the certificate of an https endpoint, so whoever is "
                       "between can read and change everything. Use http in a network that you trust, or a "
                       "store that knows Signature Version 4 (storage.s3), or set insecure to true");
    return INVALID;
}

static enum result s3v2_open(const struct config *config, struct pool *pool, struct strbuf *ret_why, void **ret_self)
{
    if (S3_initialize("minato", S3_INIT_ALL, NULL) != S3StatusOK) {
        strbuf_append_cstr(ret_why, "storage.s3v2: libs3 cannot be initialised");
        return UNAVAILABLE;
    }
    struct s3v2 *s3 = xcalloc(1, sizeof(*s3));
    const char *external = config->storage.s3v2.external_endpoint;
    arena_init(&s3->arena);
    for (size_t i = 0; i < V2_LOCKS; i++)
        pthread_mutex_init(&s3->locks[i], NULL);
    s3->pool = pool;
    s3->part_bytes = config->uploads.part_bytes;
    s3->inside = context_of(s3, config, config->storage.s3v2.endpoint);
    s3->outside = external == NULL ? s3->inside : context_of(s3, config, external);
    s3->is_unverified = s3->inside.protocol == S3ProtocolHTTPS;
    if (config->storage.s3v2.prefix != NULL)
        s3->key_prefix = arena_format(&s3->arena, "%s/", config->storage.s3v2.prefix);
    enum result r = check_tls(s3, config, ret_why);
    if (r == OK)
        r = v2_probe(s3, ret_why);
    if (r != OK) {
        s3v2_close(s3);
        return r;
    }
    *ret_self = s3;
    return OK;
}

static void s3v2_start(void *self, struct loop *loop, struct log *log)
{
    const struct s3v2 *s3 = self;
    (void)loop;
    if (s3->is_unverified)
        log_event(log, LOG_LEVEL_WARN, "storage.certificate_not_verified",
                  FIELD_CSTR("what", "libs3 does not check the store's certificate"),
                  FIELD_CSTR("next", "going on, as storage.s3v2.insecure is true"));
    log_event(log, LOG_LEVEL_WARN, "storage.one_process_only",
              FIELD_CSTR("what", "with storage.s3v2 only one server may write to the bucket and prefix"),
              FIELD_CSTR("next", "going on; for replicas use storage.s3"));
}

static struct storage_capabilities s3v2_capabilities(const void *self)
{
    const struct s3v2 *s3 = self;
    return (struct storage_capabilities){
        .can_presign = true,
        .can_put_if_match = true,
        .part_bytes = s3->part_bytes,
        .parts_max = V2_PARTS_MAX,
        .object_bytes_max = V2_OBJECT_BYTES_MAX,
    };
}

const struct storage_driver s3v2_driver = {
    .name = "s3v2",
    .open = s3v2_open,
    .close = s3v2_close,
    .start = s3v2_start,
    .capabilities = s3v2_capabilities,
    .check = v2_check,
    .stat = v2_stat,
    .get = v2_get_whole,
    .put = v2_put_bytes,
    .put_pages = v2_put_pages,
    .put_if_match = v2_put_if_match,
    .delete = v2_remove,
    .list = v2_list_folder,
    .open_read = v2_open_read,
    .read = v2_read,
    .close_read = v2_close_read,
    .presign = presign,
    .multipart_begin = v2_multipart_begin,
    .multipart_put = v2_multipart_put,
    .multipart_sync = v2_multipart_sync,
    .multipart_complete = v2_multipart_complete,
    .multipart_abort = v2_multipart_abort,
};
