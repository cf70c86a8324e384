/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry's API as clients use it: what is asked, and what the answer must be. A wrong answer is a failure,
 * however successful its status.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define ACCEPT_MANIFESTS                                                                                               \
    MEDIA_TYPE_MANIFEST ", application/vnd.oci.image.index.v1+json, "                                                  \
                        "application/vnd.docker.distribution.manifest.v2+json, "                                       \
                        "application/vnd.docker.distribution.manifest.list.v2+json"
#define TAGS_A_PAGE 1000

/* ---- asking ---- */

/* A request of `method` to the path below the job's repository. */
__attribute__((format(printf, 5, 6))) static struct request *ask_repository(struct client *client,
                                                                            enum operation operation,
                                                                            const char *method, const char *actions,
                                                                            const char *format, ...)
{
    struct request *request = &client->exchange.request;
    int length =
        snprintf(request->url, sizeof(request->url), "%s/v2/%s/", client->bench->options->url, client->job.repository);
    va_list args;
    va_start(args, format);
    vsnprintf(request->url + length, sizeof(request->url) - (size_t)length, format, args);
    va_end(args);
    snprintf(request->scope, sizeof(request->scope), "repository:%s:%s", client->job.repository, actions);
    request->operation = operation;
    request->method = method;
    return request;
}

static bool is_first(struct client *client)
{
    return client->job.cursor++ == 0;
}

static bool ask_manifest(struct client *client, const char *method, const char *reference)
{
    if (!is_first(client)) {
        return false;
    }
    bool is_head = strcmp(method, "HEAD") == 0;
    struct request *request =
        ask_repository(client, is_head ? OP_HEAD_MANIFEST : OP_GET_MANIFEST, method, "pull", "manifests/%s", reference);
    request->accept = ACCEPT_MANIFESTS;
    return true;
}

/* ---- checking ---- */

static enum failure expect_status(const struct response *response, int status)
{
    if (response->status == status) {
        return FAILURE_NONE;
    }
    bool is_status = response->status >= FAILURE_STATUS && response->status < FAILURE_LIMIT;
    return is_status ? (enum failure)response->status : FAILURE_WRONG_ANSWER;
}

static enum failure expect_digest(const struct response *response, const char *digest)
{
    bool is_wrong = response->content_digest[0] != '\0' && strcmp(response->content_digest, digest) != 0;
    return is_wrong ? FAILURE_WRONG_DIGEST : FAILURE_NONE;
}

/* The answer to a HEAD. */
static enum failure expect_described(const struct response *response, const char *digest, uint64_t size)
{
    enum failure failure = expect_status(response, 200);
    if (failure == FAILURE_NONE && response->content_length >= 0 && (uint64_t)response->content_length != size) {
        return FAILURE_WRONG_SIZE;
    }
    return failure != FAILURE_NONE ? failure : expect_digest(response, digest);
}

/* The answer to a GET. */
static enum failure expect_content(const struct response *response, const char *digest, uint64_t size)
{
    enum failure failure = expect_status(response, 200);
    if (failure != FAILURE_NONE) {
        return failure;
    }
    if (response->received != size) {
        return FAILURE_WRONG_SIZE;
    }
    return strcmp(response->digest, digest) != 0 ? FAILURE_WRONG_DIGEST : expect_digest(response, digest);
}

/* ---- ping ---- */

static bool ask_ping(struct client *client)
{
    struct request *request = &client->exchange.request;
    if (!is_first(client)) {
        return false;
    }
    snprintf(request->url, sizeof(request->url), "%s/v2/", client->bench->options->url);
    request->operation = OP_PING;
    request->method = "GET";
    return true;
}

static enum failure check_ping(struct client *client)
{
    if (client->bench->options->protocol == PROTOCOL_HTTP2 && !client->exchange.has_http2) {
        fputs("minato-bench: the server does not speak HTTP/2\n", stderr);
        return FAILURE_WRONG_ANSWER;
    }
    return expect_status(&client->exchange.response, 200);
}

const struct phase phase_ping = {ask_ping, check_ping};

/* ---- manifests ---- */

static bool ask_head_manifest(struct client *client)
{
    return ask_manifest(client, "HEAD", client->job.tag);
}

static bool ask_get_manifest(struct client *client)
{
    return ask_manifest(client, "GET", client->job.tag);
}

static bool ask_head_by_digest(struct client *client)
{
    return ask_manifest(client, "HEAD", client->job.image->manifest_digest);
}

static bool ask_get_by_digest(struct client *client)
{
    return ask_manifest(client, "GET", client->job.image->manifest_digest);
}

/* Without the digest a HEAD is no answer. What has been deleted must not be found. */
static enum failure check_head_manifest(struct client *client)
{
    const struct response *response = &client->exchange.response;
    const struct image *image = client->job.image;
    if (client->job.is_gone) {
        return response->status == 200 ? FAILURE_WRONG_ANSWER : expect_status(response, 404);
    }
    enum failure failure = expect_described(response, image->manifest_digest, image->manifest_length);
    return failure == FAILURE_NONE && response->content_digest[0] == '\0' ? FAILURE_WRONG_ANSWER : failure;
}

static enum failure check_get_manifest(struct client *client)
{
    const struct image *image = client->job.image;
    return expect_content(&client->exchange.response, image->manifest_digest, image->manifest_length);
}

const struct phase phase_head_manifest = {ask_head_manifest, check_head_manifest};
const struct phase phase_get_manifest = {ask_get_manifest, check_get_manifest};
const struct phase phase_head_by_digest = {ask_head_by_digest, check_head_manifest};
const struct phase phase_get_by_digest = {ask_get_by_digest, check_get_manifest};

/* Is the image there from a run before? */
static enum failure check_probe(struct client *client)
{
    const struct response *response = &client->exchange.response;
    client->job.is_known =
        response->status == 200 && strcmp(response->content_digest, client->job.image->manifest_digest) == 0;
    return response->status == 404 ? FAILURE_NONE : expect_status(response, 200);
}

const struct phase phase_probe = {ask_head_manifest, check_probe};

static bool ask_put_manifest(struct client *client)
{
    if (client->job.is_known || !is_first(client)) {
        return false;
    }
    struct request *request =
        ask_repository(client, OP_PUT_MANIFEST, "PUT", "pull,push", "manifests/%s", client->job.tag);
    request->content_type = MEDIA_TYPE_MANIFEST;
    request->text = client->job.image->manifest;
    request->text_length = client->job.image->manifest_length;
    return true;
}

static enum failure check_put_manifest(struct client *client)
{
    const struct response *response = &client->exchange.response;
    enum failure failure = expect_status(response, 201);
    return failure != FAILURE_NONE ? failure : expect_digest(response, client->job.image->manifest_digest);
}

const struct phase phase_put_manifest = {ask_put_manifest, check_put_manifest};

/* ---- blobs, down ---- */

static const struct blob *current_blob(const struct client *client)
{
    return &client->job.image->blobs[client->job.cursor];
}

static bool ask_get_blob(struct client *client)
{
    if (client->job.cursor == client->job.image->blob_count) {
        return false;
    }
    struct request *request =
        ask_repository(client, OP_GET_BLOB, "GET", "pull", "blobs/%s", current_blob(client)->digest);
    request->follows = client->bench->options->follows;
    return true;
}

static enum failure check_get_blob(struct client *client)
{
    const struct response *response = &client->exchange.response;
    const struct blob *blob = current_blob(client);
    client->job.cursor++;
    bool is_sent_on = !client->bench->options->follows && response->status == 307;
    if (is_sent_on) {
        return response->location[0] != '\0' ? FAILURE_NONE : FAILURE_WRONG_ANSWER;
    }
    return expect_content(response, blob->digest, blob->size);
}

const struct phase phase_get_blobs = {ask_get_blob, check_get_blob};

/* ---- blobs, up ---- */

/* The session's URL with the digest. */
static bool make_closing_url(const char *session, const char *digest, char ret_url[URL_SIZE])
{
    int length =
        snprintf(ret_url, URL_SIZE, "%s%cdigest=%s", session, strchr(session, '?') == NULL ? '?' : '&', digest);
    return length < URL_SIZE;
}

static bool ask_upload_step(struct client *client)
{
    struct job *job = &client->job;
    const struct blob *blob = current_blob(client);
    struct request *request = &client->exchange.request;
    switch (job->upload_step) {
    case UPLOAD_FIND:
        ask_repository(client, OP_HEAD_BLOB, "HEAD", "pull,push", "blobs/%s", blob->digest);
        request->follows = client->bench->options->follows;
        break;
    case UPLOAD_MOUNT:
        ask_repository(client, OP_MOUNT, "POST", "pull,push", "blobs/uploads/?mount=%s&from=%s", blob->digest,
                       job->image->repository);
        snprintf(request->scope, sizeof(request->scope), "repository:%s:pull,push repository:%s:pull", job->repository,
                 job->image->repository);
        break;
    case UPLOAD_OPEN:
        ask_repository(client, OP_POST_UPLOAD, "POST", "pull,push", "blobs/uploads/");
        break;
    case UPLOAD_SEND:
        ask_repository(client, OP_PATCH_UPLOAD, "PATCH", "pull,push", "%s", "");
        memcpy(request->url, job->upload_url, sizeof(request->url));
        request->content_type = "application/octet-stream";
        request->blob = blob;
        break;
    case UPLOAD_CLOSE:
        ask_repository(client, OP_PUT_UPLOAD, "PUT", "pull,push", "%s", "");
        return make_closing_url(job->upload_url, blob->digest, request->url);
    }
    return true;
}

static bool ask_blob_up(struct client *client, enum upload_step first)
{
    struct job *job = &client->job;
    if (job->is_known || job->cursor == job->image->blob_count) {
        return false;
    }
    if (job->upload_step == UPLOAD_FIND) {
        job->upload_step = first;
    }
    return ask_upload_step(client);
}

static bool ask_upload(struct client *client)
{
    return ask_blob_up(client, UPLOAD_FIND);
}

static bool ask_mount(struct client *client)
{
    return ask_blob_up(client, UPLOAD_MOUNT);
}

static void next_blob(struct job *job)
{
    job->cursor++;
    job->upload_step = UPLOAD_FIND;
}

static enum failure take_session(struct client *client, enum failure failure)
{
    const struct response *response = &client->exchange.response;
    if (failure == FAILURE_NONE && response->location[0] == '\0') {
        return FAILURE_WRONG_ANSWER;
    }
    memcpy(client->job.upload_url, response->location, sizeof(response->location));
    return failure;
}

static enum failure check_find(struct client *client)
{
    const struct response *response = &client->exchange.response;
    const struct blob *blob = current_blob(client);
    if (response->status == 404) {
        client->job.upload_step = UPLOAD_OPEN;
        return FAILURE_NONE;
    }
    next_blob(&client->job);
    bool is_sent_on = !client->bench->options->follows && response->status == 307;
    return is_sent_on ? FAILURE_NONE : expect_described(response, blob->digest, blob->size);
}

/* 201: mounted. 202: a session instead, as the registry may decide. */
static enum failure check_mount(struct client *client)
{
    const struct response *response = &client->exchange.response;
    if (response->status == 202) {
        client->job.upload_step = UPLOAD_SEND;
        return take_session(client, FAILURE_NONE);
    }
    const struct blob *blob = current_blob(client);
    next_blob(&client->job);
    enum failure failure = expect_status(response, 201);
    return failure != FAILURE_NONE ? failure : expect_digest(response, blob->digest);
}

static enum failure check_upload(struct client *client)
{
    const struct response *response = &client->exchange.response;
    const struct blob *blob;
    enum failure failure;
    switch (client->job.upload_step) {
    case UPLOAD_FIND:
        return check_find(client);
    case UPLOAD_MOUNT:
        return check_mount(client);
    case UPLOAD_OPEN:
        client->job.upload_step = UPLOAD_SEND;
        return take_session(client, expect_status(response, 202));
    case UPLOAD_SEND:
        client->job.upload_step = UPLOAD_CLOSE;
        return take_session(client, expect_status(response, 202));
    case UPLOAD_CLOSE:
        blob = current_blob(client);
        next_blob(&client->job);
        failure = expect_status(response, 201);
        return failure != FAILURE_NONE ? failure : expect_digest(response, blob->digest);
    }
    return FAILURE_WRONG_ANSWER;
}

const struct phase phase_upload = {ask_upload, check_upload};
const struct phase phase_mount = {ask_mount, check_upload};

/* ---- tags ---- */

static bool ask_list_tags(struct client *client)
{
    if (!is_first(client)) {
        return false;
    }
    ask_repository(client, OP_LIST_TAGS, "GET", "pull", "tags/list?n=%d", TAGS_A_PAGE)->keeps_body = true;
    return true;
}

static bool holds_text(const json_t *array, const char *text)
{
    size_t index;
    json_t *value;
    json_array_foreach(array, index, value)
    {
        if (json_is_string(value) && strcmp(json_string_value(value), text) == 0) {
            return true;
        }
    }
    return false;
}

/* A list that is all there holds the job's tag, unless it has been deleted. */
static enum failure check_list_tags(struct client *client)
{
    const struct response *response = &client->exchange.response;
    enum failure failure = expect_status(response, 200);
    if (failure != FAILURE_NONE) {
        return failure;
    }
    json_t *list = json_loadb(response->body, response->body_length, 0, NULL);
    const char *name = json_string_value(json_object_get(list, "name"));
    const json_t *tags = json_object_get(list, "tags");
    bool is_list =
        name != NULL && strcmp(name, client->job.repository) == 0 && (json_is_array(tags) || json_is_null(tags));
    bool is_right = is_list && (response->has_link || holds_text(tags, client->job.tag) == !client->job.is_gone);
    json_decref(list);
    return is_right ? FAILURE_NONE : FAILURE_WRONG_ANSWER;
}

const struct phase phase_list_tags = {ask_list_tags, check_list_tags};

/* ---- deletes ---- */

static bool ask_delete(struct client *client, const char *reference)
{
    if (!is_first(client)) {
        return false;
    }
    ask_repository(client, OP_DELETE, "DELETE", "delete", "manifests/%s", reference);
    return true;
}

static bool ask_delete_tag(struct client *client)
{
    return ask_delete(client, client->job.tag);
}

static bool ask_delete_manifest(struct client *client)
{
    return ask_delete(client, client->job.image->manifest_digest);
}

static enum failure check_delete(struct client *client)
{
    client->job.is_gone = true;
    return expect_status(&client->exchange.response, 202);
}

const struct phase phase_delete_tag = {ask_delete_tag, check_delete};
const struct phase phase_delete_manifest = {ask_delete_manifest, check_delete};
