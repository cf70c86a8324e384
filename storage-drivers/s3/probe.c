/* SPDX-License-Identifier: Apache-2.0
 *
 * What the store can do, found out at start on a loop of its own, with one object below minato/probe.
 */
#include "s3_int.h"

#include <stdlib.h>

#define WAIT_MS 100
#define URL_TRIES 3u
#define PROBE_BYTES "minato"
#define PROBE_CHECKSUM "M3IHDw==" /* of these */

struct probe {
    struct s3 *s3;
    struct loop *loop;
    struct arena arena;
    struct slice path;
    /* the last answer */
    bool is_over;
    enum result r;
    unsigned status;
    char code[64];
    char etag[STORAGE_ETAG_MAX + 1];
    char trouble[256]; /* without an answer */
};

static void note_end(void *data, enum result r)
{
    struct probe *probe = data;
    probe->r = r;
    probe->is_over = true;
}

static void copy_text(struct slice from, char *to, size_t max)
{
    size_t n = from.len < max - 1 ? from.len : max - 1;
    if (n > 0)
        memcpy(to, from.ptr, n);
    to[n] = '\0';
}

static void finish(struct s3_call *call, enum result r)
{
    struct probe *probe = call->done.data;
    struct slice etag = SLICE_EMPTY;
    probe->status = r == OK ? call->exchange.status : 0;
    copy_text(s3_element(call->exchange.answer, "Code"), probe->code, sizeof(probe->code));
    copy_text(call->exchange.trouble, probe->trouble, sizeof(probe->trouble));
    if (r == OK && http_exchange_field(&call->exchange, SLICE("etag"), &etag) && etag.len > 2)
        copy_text(slice_of(etag.ptr + 1, etag.len - 2), probe->etag, sizeof(probe->etag));
    s3_operation_end(call, r);
}

static void wait(struct probe *probe, enum result r)
{
    if (r != PENDING)
        note_end(probe, r);
    while (!probe->is_over)
        loop_run_once(probe->loop, WAIT_MS);
}

/* The status of one request for the probe's object; 0: no answer. */
static unsigned ask(struct probe *probe, const char *method, const char *field, struct slice query)
{
    struct done done = {note_end, probe, probe->loop};
    struct s3_call *call = s3_operation_new(sizeof(*call), probe->s3, method, probe->path, done);
    probe->is_over = false;
    probe->status = 0;
    call->finish = finish;
    call->fields[0] = field;
    call->query = query;
    if (strcmp(method, "PUT") == 0)
        call->body = SLICE(PROBE_BYTES);
    wait(probe, s3_operation_start(call));
    return probe->status;
}

/* ---- what is needed ---- */

static enum result explain(struct probe *probe, struct strbuf *ret_why)
{
    const struct s3 *s3 = probe->s3;
    strbuf_append_cstr(ret_why, "storage.s3: ");
    if (probe->status == 0)
        strbuf_append_format(ret_why, "no answer from %.*s://%.*s (%s): check endpoint, network and storage.s3.ca",
                             SLICE_ARG(s3->scheme), SLICE_ARG(s3->host), probe->trouble);
    else if (probe->status == 404)
        strbuf_append_format(ret_why, "there is no bucket at %.*s%.*s: create it, or check bucket and path_style",
                             SLICE_ARG(s3->host), SLICE_ARG(s3->bucket_path));
    else
        strbuf_append_format(ret_why,
                             "the store answered %u %s to a write: check access_key, secret_key, region and the "
                             "key's rights to the bucket",
                             probe->status, probe->code);
    return probe->status == 0 ? UNAVAILABLE : INVALID;
}

static enum result probe_create_only(struct probe *probe, struct strbuf *ret_why)
{
    const char *condition = s3_creation_field(probe->s3);
    unsigned status = ask(probe, "PUT", condition, SLICE_EMPTY);
    if (status != 200 && status != 412) /* refused: the answer to a first attempt was lost */
        return explain(probe, ret_why);
    if (ask(probe, "PUT", condition, SLICE_EMPTY) == 412)
        return OK;
    strbuf_append_format(ret_why,
                         "storage.s3: the store does not refuse a second \"%s\" (it answered %u), without "
                         "which two uploads cannot be told apart: a newer store is needed",
                         condition, probe->status);
    return UNSUPPORTED;
}

static enum result probe_multipart(struct probe *probe, struct strbuf *ret_why)
{
    struct storage_multipart multipart;
    probe->is_over = false;
    wait(probe, s3_multipart_begin(probe->s3, probe->path, &multipart, (struct done){note_end, probe, probe->loop}));
    if (probe->r == OK) {
        probe->is_over = false;
        wait(probe,
             s3_multipart_abort(probe->s3, probe->path, &multipart, (struct done){note_end, probe, probe->loop}));
    }
    if (probe->r != OK)
        strbuf_append_cstr(ret_why,
                           "storage.s3: the store takes no multipart uploads, without which no large layer can "
                           "be stored");
    return probe->r == OK ? OK : UNSUPPORTED;
}

/* As a client would: without our repetitions, so that these are the probe's. */
static void read_url(struct probe *probe, struct slice url)
{
    for (unsigned i = 0; i < URL_TRIES; i++) {
        struct http_exchange exchange = {.method = "GET",
                                         .url = arena_cstr(&probe->arena, url),
                                         .timeout_ms = 10000,
                                         .answer_max = 4096,
                                         .arena = &probe->arena};
        probe->is_over = false;
        wait(probe, http_client_perform(probe->s3->http, &exchange, (struct done){note_end, probe, probe->loop}));
        probe->status = probe->r == OK ? exchange.status : 0;
        copy_text(exchange.trouble, probe->trouble, sizeof(probe->trouble));
        if (probe->status > 0 && probe->status < 500)
            return;
    }
}

static enum result probe_presign(struct probe *probe, struct strbuf *ret_why)
{
    struct s3 *s3 = probe->s3;
    struct slice path = arena_format(&probe->arena, "%.*s%.*s", SLICE_ARG(s3->path_prefix), SLICE_ARG(probe->path));
    struct storage_validity validity = {clock_wall_ms(s3->clock) / 1000, 60};
    struct s3_target target = {.method = SLICE("GET"), .scheme = s3->scheme, .host = s3->host, .path = path};
    struct slice url;
    if (s3_sign_url(s3, &target, &validity, &probe->arena, &url) != OK)
        return UNAVAILABLE;
    read_url(probe, url);
    if (probe->status == 200)
        return OK;
    if (probe->status == 0)
        return explain(probe, ret_why);
    strbuf_append_format(ret_why, "storage.s3: the store answered %u to a presigned URL: check the clock and region",
                         probe->status);
    return UNSUPPORTED;
}

/* ---- what is good to have ---- */

static bool does_swap(struct probe *probe, const char *quote)
{
    char *condition =
        arena_cstr(&probe->arena, arena_format(&probe->arena, "If-Match: %s%s%s", quote, probe->etag, quote));
    char *other = arena_cstr(&probe->arena, arena_format(&probe->arena, "If-Match: %sother%s", quote, quote));
    return ask(probe, "PUT", other, SLICE_EMPTY) == 412 && ask(probe, "PUT", condition, SLICE_EMPTY) == 200;
}

static void probe_swap(struct probe *probe)
{
    if (ask(probe, "HEAD", NULL, SLICE_EMPTY) != 200 || probe->etag[0] == '\0' || probe->s3->is_google)
        return;
    probe->s3->can_swap = does_swap(probe, "\"");
    if (!probe->s3->can_swap) {
        probe->s3->has_bare_etags = true;
        probe->s3->can_swap = does_swap(probe, "");
    }
}

/* A store that does not know the field takes a wrong sum as well; one that refuses the field, a right one no more. */
static void probe_checksums(struct probe *probe)
{
    if (probe->s3->is_google)
        return;
    probe->s3->has_checksums = ask(probe, "PUT", S3_CHECKSUM_FIELD ": AAAAAA==", SLICE_EMPTY) == 400 &&
                               ask(probe, "PUT", S3_CHECKSUM_FIELD ": " PROBE_CHECKSUM, SLICE_EMPTY) == 200;
}

/* The object goes by the request for many, where the store has it. */
static void remove_object(struct probe *probe)
{
    probe->is_over = false;
    wait(probe, s3_delete_many(probe->s3, &probe->path, 1, (struct done){note_end, probe, probe->loop}));
    probe->s3->can_delete_many = probe->r == OK && ask(probe, "HEAD", NULL, SLICE_EMPTY) == 404;
    if (!probe->s3->can_delete_many)
        (void)ask(probe, "DELETE", NULL, SLICE_EMPTY);
}

enum result s3_probe(struct s3 *s3, struct strbuf *ret_why)
{
    struct probe probe = {.s3 = s3};
    char uuid[UUID_TEXT_SIZE];
    enum result r = loop_new(0, PAGE_BYTES, &probe.loop);
    if (r != OK)
        return r;
    arena_init(&probe.arena);
    uuid_generate(uuid);
    probe.path = arena_format(&probe.arena, "minato/probe/%s", uuid);
    r = probe_create_only(&probe, ret_why);
    if (r == OK)
        probe_checksums(&probe);
    if (r == OK)
        r = probe_multipart(&probe, ret_why);
    if (r == OK)
        r = probe_presign(&probe, ret_why);
    if (r == OK)
        probe_swap(&probe);
    if (r == OK || r == UNSUPPORTED)
        remove_object(&probe);
    http_client_leave(s3->http, probe.loop);
    loop_free(probe.loop);
    arena_done(&probe.arena);
    return r;
}
