/* SPDX-License-Identifier: Apache-2.0
 *
 * The only place where a result becomes an HTTP status and the JSON of the distribution specification ("Error Codes").
 * Two tables: what a result means for one subject, and what it means for all the others. Each message says what to do.
 */
#include "api_int.h"

#define ERROR_BODY_MAX ((size_t)8 * 1024 * 1024)

static const struct api_int_error general_errors[PENDING + 1] = {
    [NOT_FOUND] = {404, "NOT_FOUND", "there is nothing at this path; the API begins at /v2/"},
    [EXISTS] = {409, "CONFLICT", "it exists already"},
    [INVALID] = {400, "UNSUPPORTED", "the request is malformed"},
    [DENIED] = {403, "DENIED", "you are not allowed to do this"},
    [CONFLICT] = {409, "CONFLICT", "somebody else changed it at the same time: try again"},
    [RANGE] = {416, "RANGE_INVALID", "the range is outside of what exists"},
    [TOO_LARGE] = {413, "SIZE_INVALID", "it is larger than this registry accepts"},
    [QUOTA] = {507, "INSUFFICIENT_STORAGE", "no room is left in the store: free some or ask the operator, then repeat"},
    [BUSY] = {503, "UNAVAILABLE", "too much is going on right now: try again in a moment"},
    [UNAVAILABLE] = {503, "UNAVAILABLE", "the store is out of reach right now: try again in a moment"},
    [UNSUPPORTED] = {405, "UNSUPPORTED", "this method is not supported here; see the Allow header"},
    [CORRUPT] = {500, "UNKNOWN", "stored data is damaged; the operator finds more in the log under this request id"},
    [IO] = {500, "UNKNOWN", "the store failed; the operator finds more in the log under this request id"},
};

static const struct api_int_error unknown_error = {
    500, "UNKNOWN", "an unexpected failure; the operator finds more in the log under this request id"};

#define NAMES_BUSY "another replica pushes or deletes what this names, or has just failed at it: try again in a moment"
#define UPLOAD_GONE "no such upload for you: it was finished, cancelled or has expired; start a new one"

static const struct api_int_error subject_errors[API_SUBJECT_COUNT][PENDING + 1] =
    {
        [API_SUBJECT_REPOSITORY] =
            {
                [NOT_FOUND] = {404, "NAME_UNKNOWN", "this registry has no such repository"},
                [INVALID] = {400, "NAME_INVALID", "the repository name is not valid"},
                [DENIED] = {403, "DENIED", "you are not allowed to do this in this repository"},
            },
        [API_SUBJECT_BLOB] =
            {
                [NOT_FOUND] = {404, "BLOB_UNKNOWN", "this repository has no such blob"},
                [BUSY] = {503, "UNAVAILABLE", NAMES_BUSY},
                [RANGE] = {416, "RANGE_INVALID", "the range begins behind the end of the blob"},
            },
        [API_SUBJECT_UPLOAD] =
            {
                [NOT_FOUND] = {404, "BLOB_UPLOAD_UNKNOWN", UPLOAD_GONE},
                [DENIED] = {404, "BLOB_UPLOAD_UNKNOWN", UPLOAD_GONE},
                [INVALID] = {400, "BLOB_UPLOAD_INVALID", "the upload request is malformed"},
                [CONFLICT] = {409, "BLOB_UPLOAD_INVALID",
                              "another request is writing to this upload: wait, ask for its status, go on from there"},
                [RANGE] = {416, "RANGE_INVALID",
                           "the chunk does not begin where the upload ends: see the Range header"},
                [TOO_LARGE] = {413, "SIZE_INVALID", "the blob is larger than this registry accepts"},
            },
        [API_SUBJECT_BODY] =
            {
                [INVALID] = {400, "SIZE_INVALID", "the body is cut short or not framed as HTTP wants it"},
                [UNAVAILABLE] = {408, "REQUEST_TIMEOUT", "the body came too slowly: try again from where it stopped"},
            },
        [API_SUBJECT_SIZE] =
            {
                [INVALID] = {400, "SIZE_INVALID", "the body is not as long as its headers say"},
            },
        [API_SUBJECT_DIGEST] =
            {
                [INVALID] = {400, "DIGEST_INVALID", "the digest is malformed or is not that of the bytes"},
                [UNSUPPORTED] = {400, "DIGEST_INVALID", "this digest algorithm is not supported: use sha256 or sha512"},
            },
        [API_SUBJECT_MANIFEST] =
            {
                [NOT_FOUND] = {404, "MANIFEST_UNKNOWN", "this repository has no such manifest or tag"},
                [INVALID] = {400, "MANIFEST_INVALID", "the manifest is not valid"},
                [BUSY] = {503, "UNAVAILABLE", NAMES_BUSY},
                [TOO_LARGE] = {413, "SIZE_INVALID", "the manifest is larger than this registry accepts"},
                [UNSUPPORTED] =
                    {400, "MANIFEST_INVALID",
                     "manifests of this type are not supported: push the image again with a current client"},
            },
        [API_SUBJECT_MANIFEST_BLOB] =
            {
                [NOT_FOUND] = {404, "MANIFEST_BLOB_UNKNOWN",
                               "the manifest names content that this repository has not: push it first"},
            },
        [API_SUBJECT_CONDITION] =
            {
                [CONFLICT] = {412, "PRECONDITION",
                              "the tag does not name what the condition says: read it again, then decide"},
            },
        [API_SUBJECT_REFERENCED] =
            {
                [CONFLICT] = {409, "DENIED", "a manifest of this repository refers to it: delete that one first"},
            },
        [API_SUBJECT_TAG] =
            {
                [TOO_LARGE] = {414, "TAG_INVALID", "too many tags in one request: send at most 64"},
                [NOT_FOUND] = {404, "MANIFEST_UNKNOWN", "this repository has no such tag"},
                [INVALID] =
                    {400, "TAG_INVALID",
                     "a tag has at most 128 letters, digits, '_', '.' and '-', and begins with none of the last two"},
            },
        [API_SUBJECT_PAGE] =
            {
                [INVALID] = {400, "PAGINATION_NUMBER_INVALID", "n must be a number, 0 or more"},
            },
        [API_SUBJECT_ACCESS] =
            {
                [DENIED] = {401, "UNAUTHORIZED", "log in with a user name and password that may do this"},
                [BUSY] = {429, "TOOMANYREQUESTS", "too many passwords are being checked: try again in a moment"},
            },
};

const struct api_int_error *api_int_error_find(enum api_subject subject, enum result r)
{
    if ((unsigned)r > PENDING || (unsigned)subject >= API_SUBJECT_COUNT)
        return &unknown_error;
    const struct api_int_error *error = &subject_errors[subject][r];
    if (error->status == 0)
        error = &general_errors[r];
    return error->status == 0 ? &unknown_error : error;
}

static void append_error(const struct api_int_error *error, struct slice message, const struct digest *about,
                         struct strbuf *out)
{
    strbuf_append_cstr(out, "{\"code\":\"");
    strbuf_append_cstr(out, error->code);
    strbuf_append_cstr(out, "\",\"message\":");
    strbuf_append_json(out, message);
    strbuf_append_cstr(out, ",\"detail\":");
    if (about == NULL) {
        strbuf_append_cstr(out, "null}");
        return;
    }
    char text[DIGEST_TEXT_MAX];
    size_t n = digest_format(about, text);
    strbuf_append_cstr(out, "{\"digest\":\"");
    strbuf_append(out, slice_of(text, n));
    strbuf_append_cstr(out, "\"}}");
}

void api_int_error_body(const struct api_call *call, const struct api_int_error *error, struct strbuf *out)
{
    struct slice message = call->why.len > 0 ? call->why : slice_from_cstr(error->message);
    strbuf_append_cstr(out, "{\"errors\":[");
    if (call->missing_count == 0)
        append_error(error, message, NULL, out);
    for (size_t i = 0; i < call->missing_count; i++) {
        if (i > 0)
            strbuf_append_char(out, ',');
        append_error(error, message, &call->missing[i], out);
    }
    strbuf_append_cstr(out, "]}\n");
}

void api_add_error_header(struct api_call *call, struct slice name, struct slice value)
{
    if (call->error_header_count < API_ERROR_HEADERS_MAX && value.len > 0)
        call->error_headers[call->error_header_count++] = (struct http_header){name, value};
}

enum result api_reply_error(struct api_call *call, enum result r, struct done done)
{
    if (r == CANCELLED)
        return CANCELLED;
    const struct api_int_error *error = api_int_error_find(call->subject, r);
    struct strbuf sb;
    strbuf_init(&sb, ERROR_BODY_MAX);
    api_int_error_body(call, error, &sb);
    struct slice body = arena_copy(http_request_arena(call->req), strbuf_slice(&sb));
    strbuf_done(&sb);

    struct api_int_headers headers;
    api_int_headers_init(&headers, call);
    api_int_headers_add(&headers, SLICE("content-type"), SLICE("application/json; charset=utf-8"));
    if (error->status == 503 || error->status == 429)
        api_int_headers_add(&headers, SLICE("retry-after"), r == BUSY ? SLICE("1") : SLICE("5"));
    for (size_t i = 0; i < call->error_header_count; i++)
        api_int_headers_add(&headers, call->error_headers[i].name, call->error_headers[i].value);
    return api_int_reply(call, error->status, &headers, body, done);
}
