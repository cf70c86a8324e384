/* SPDX-License-Identifier: Apache-2.0
 *
 * The relay's side towards the store. One thread; connections are kept between requests.
 */
#include "multipart.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "../load/load_client.h"
#include "storage-drivers/s3/sigv4.h"

#define SLOTS (PARTS_IN_FLIGHT + 1) /* and one that is being filled */
#define PARTS_MAX 10000
#define ANSWER_BYTES 4096
#define CURL_BUFFER_BYTES (512L * 1024)

/* A request under way, and for a part the bytes it takes along. */
struct slot {
    CURL *easy;
    struct curl_slist *fields;
    unsigned char *bytes;
    size_t length;
    size_t sent;
    char etag[64];
    char answer[ANSWER_BYTES];
    size_t answer_length;
    unsigned number; /* of the part */
    bool is_busy;
};

struct multipart {
    const struct store *store;
    char host[32];
    char path[256];
    char id[128];
    CURLM *multi;
    struct sigv4_signer signer;
    struct slot slots[SLOTS];
    struct slot *filling;
    struct slot control; /* create and complete */
    unsigned count;      /* of parts */
    char etags[PARTS_MAX][64];
};

/* ---- a request ---- */

static size_t on_body_wanted(char *out, size_t size, size_t count, void *data)
{
    struct slot *slot = data;
    size_t n = slot->length - slot->sent < size * count ? slot->length - slot->sent : size * count;
    memcpy(out, slot->bytes + slot->sent, n);
    slot->sent += n;
    return n;
}

static size_t on_head_line(char *line, size_t size, size_t count, void *data)
{
    struct slot *slot = data;
    size_t length = size * count;
    if (length > 6 && length < sizeof(slot->etag) && strncasecmp(line, "etag: ", 6) == 0) {
        memcpy(slot->etag, line + 6, length - 8); /* without the line's end */
        slot->etag[length - 8] = '\0';
    }
    return length;
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *data)
{
    struct slot *slot = data;
    size_t length = size * count;
    if (length > ANSWER_BYTES - 1 - slot->answer_length) {
        fail("the store's answer is too long");
    }
    memcpy(slot->answer + slot->answer_length, bytes, length);
    slot->answer_length += length;
    slot->answer[slot->answer_length] = '\0';
    return length;
}

static void add_field(struct slot *slot, const char *name, struct slice value)
{
    char line[1024];
    snprintf(line, sizeof(line), "%s: %.*s", name, SLICE_ARG(value));
    slot->fields = curl_slist_append(slot->fields, line);
}

static void sign(struct multipart *upload, struct slot *slot, const char *method, const char *query)
{
    struct arena arena;
    struct timespec now;
    struct sigv4_request request = {.method = slice_from_cstr(method),
                                    .path = slice_from_cstr(upload->path),
                                    .query = slice_from_cstr(query),
                                    .payload_hash = SLICE(SIGV4_UNSIGNED)};
    clock_gettime(CLOCK_REALTIME, &now);
    sigv4_format_date((uint64_t)now.tv_sec * 1000, request.date);
    struct sigv4_field fields[] = {{SLICE("host"), slice_from_cstr(upload->host)},
                                   {SLICE("x-amz-content-sha256"), request.payload_hash},
                                   {SLICE("x-amz-date"), slice_from_cstr(request.date)}};
    request.fields = fields;
    request.field_count = sizeof(fields) / sizeof(fields[0]);
    struct sigv4_credentials credentials = {slice_from_cstr(upload->store->access_key),
                                            slice_from_cstr(upload->store->secret_key), SLICE_EMPTY};
    arena_init(&arena);
    add_field(slot, "Authorization", sigv4_authorize(&upload->signer, &credentials, &request, &arena));
    add_field(slot, "x-amz-content-sha256", request.payload_hash);
    add_field(slot, "x-amz-date", slice_from_cstr(request.date));
    slot->fields = curl_slist_append(slot->fields, "Expect:");
    slot->fields = curl_slist_append(slot->fields, "Content-Type:");
    arena_done(&arena);
}

/* A slot's handle is set up once; a request differs in its method, query and body. */
static void open_slot(struct slot *slot)
{
    slot->easy = curl_easy_init();
    curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(slot->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(slot->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(slot->easy, CURLOPT_UPLOAD_BUFFERSIZE, CURL_BUFFER_BYTES);
    curl_easy_setopt(slot->easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(slot->easy, CURLOPT_READFUNCTION, on_body_wanted);
    curl_easy_setopt(slot->easy, CURLOPT_READDATA, slot);
    curl_easy_setopt(slot->easy, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(slot->easy, CURLOPT_HEADERDATA, slot);
    curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
    curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
}

static void start(struct multipart *upload, struct slot *slot, const char *method, const char *query)
{
    char url[1024];
    slot->sent = 0;
    slot->answer_length = 0;
    slot->answer[0] = '\0';
    slot->etag[0] = '\0';
    slot->is_busy = true;
    sign(upload, slot, method, query);
    snprintf(url, sizeof(url), "http://%s%s?%s", upload->host, upload->path, query);
    curl_easy_setopt(slot->easy, CURLOPT_URL, url);
    curl_easy_setopt(slot->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->fields);
    curl_easy_setopt(slot->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)slot->length);
    curl_multi_add_handle(upload->multi, slot->easy);
}

static void finish(struct multipart *upload, struct slot *slot, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        fail("the store: %s, %ld %s", curl_easy_strerror(code), status, slot->answer);
    }
    curl_multi_remove_handle(upload->multi, slot->easy);
    curl_slist_free_all(slot->fields);
    slot->fields = NULL;
    slot->is_busy = false;
    if (slot->number > 0) {
        memcpy(upload->etags[slot->number - 1], slot->etag, sizeof(slot->etag));
    }
}

void multipart_turn(struct multipart *upload, int fd)
{
    int left = 0;
    struct curl_waitfd socket = {.fd = fd, .events = CURL_WAIT_POLLIN};
    curl_multi_poll(upload->multi, &socket, fd >= 0 ? 1 : 0, 1000, NULL);
    curl_multi_perform(upload->multi, &left);
    const CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(upload->multi, &left)) != NULL) {
        struct slot *slot = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        finish(upload, slot, code);
    }
}

static void call(struct multipart *upload, const char *query, char *body)
{
    upload->control.bytes = (unsigned char *)body;
    upload->control.length = strlen(body);
    start(upload, &upload->control, "POST", query);
    while (upload->control.is_busy) {
        int left = 0;
        curl_multi_perform(upload->multi, &left);
        if (left > 0) {
            curl_multi_poll(upload->multi, NULL, 0, 1000, NULL);
        }
        const CURLMsg *message = curl_multi_info_read(upload->multi, &left);
        if (message != NULL) {
            finish(upload, &upload->control, message->data.result);
        }
    }
}

/* ---- the upload ---- */

struct multipart *multipart_begin(const struct store *store, const char *key)
{
    char nothing[] = "";
    struct multipart *upload = xcalloc(1, sizeof(*upload));
    upload->store = store;
    upload->multi = curl_multi_init();
    curl_multi_setopt(upload->multi, CURLMOPT_MAXCONNECTS, (long)SLOTS);
    sigv4_signer_init(&upload->signer, SLICE("us-east-1"), SLICE("s3"));
    snprintf(upload->host, sizeof(upload->host), "127.0.0.1:%u", store->port);
    snprintf(upload->path, sizeof(upload->path), "/%s/%s", store->bucket, key);
    open_slot(&upload->control);
    for (unsigned i = 0; i < SLOTS; i++) {
        open_slot(&upload->slots[i]);
        upload->slots[i].bytes = xmalloc(PART_BYTES);
        memset(upload->slots[i].bytes, 'x',
               PART_BYTES); /* else its pages are all the same one until they are written */
    }
    call(upload, "uploads=", nothing);
    const char *id = strstr(upload->control.answer, "<UploadId>");
    const char *end = strstr(upload->control.answer, "</UploadId>");
    if (id == NULL || end == NULL || (size_t)(end - id) - 10 >= sizeof(upload->id)) {
        fail("no upload begun: %s", upload->control.answer);
    }
    memcpy(upload->id, id + 10, (size_t)(end - id) - 10);
    return upload;
}

unsigned char *multipart_buffer(struct multipart *upload)
{
    for (unsigned i = 0; i < SLOTS && upload->filling == NULL; i++) {
        if (!upload->slots[i].is_busy) {
            upload->filling = &upload->slots[i];
        }
    }
    return upload->filling != NULL ? upload->filling->bytes : NULL;
}

void multipart_send(struct multipart *upload, size_t bytes)
{
    char query[256];
    struct slot *slot = upload->filling;
    if (upload->count == PARTS_MAX) {
        fail("too many parts");
    }
    slot->number = ++upload->count;
    slot->length = bytes;
    snprintf(query, sizeof(query), "partNumber=%u&uploadId=%s", slot->number, upload->id);
    start(upload, slot, "PUT", query);
    upload->filling = NULL;
}

static bool is_any_busy(const struct multipart *upload)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (upload->slots[i].is_busy) {
            return true;
        }
    }
    return false;
}

void multipart_drain(struct multipart *upload)
{
    while (is_any_busy(upload)) {
        multipart_turn(upload, -1);
    }
}

void multipart_complete(struct multipart *upload)
{
    char query[256];
    struct strbuf body;
    strbuf_init(&body, PARTS_MAX * 256);
    strbuf_append_cstr(&body, "<CompleteMultipartUpload>");
    for (unsigned i = 0; i < upload->count; i++) {
        strbuf_append_format(&body, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", i + 1, upload->etags[i]);
    }
    strbuf_append_cstr(&body, "</CompleteMultipartUpload>");
    snprintf(query, sizeof(query), "uploadId=%s", upload->id);
    call(upload, query, body.ptr);
    strbuf_done(&body);
    for (unsigned i = 0; i < SLOTS; i++) {
        curl_easy_cleanup(upload->slots[i].easy);
        free(upload->slots[i].bytes);
    }
    curl_easy_cleanup(upload->control.easy);
    curl_multi_cleanup(upload->multi);
    sigv4_signer_done(&upload->signer);
    free(upload);
}
