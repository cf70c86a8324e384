/* SPDX-License-Identifier: Apache-2.0
 *
 * What the handlers share: the programs the route table names, reply headers, conditional requests, Locations.
 */
#ifndef API_INT_H
#define API_INT_H

#include "minato/api.h"

/* ---- the programs of the route table; each one's owner is the api_call ---- */

extern const struct flow_program api_int_base;
extern const struct flow_program api_int_healthz;
extern const struct flow_program api_int_readyz;
extern const struct flow_program api_int_blob_read;
extern const struct flow_program api_int_upload_start;
extern const struct flow_program api_int_upload_append;
extern const struct flow_program api_int_upload_commit;
extern const struct flow_program api_int_upload_status;
extern const struct flow_program api_int_upload_cancel;
extern const struct flow_program api_int_manifest_read;
extern const struct flow_program api_int_manifest_put;
extern const struct flow_program api_int_manifest_delete;
extern const struct flow_program api_int_blob_delete;
extern const struct flow_program api_int_tag_list;
extern const struct flow_program api_int_referrers;
extern const struct flow_program api_int_catalog;

/* ---- route_table.c ---- */

/* api_match for a method and path that belong to no request (tests, fuzzing). */
enum result api_int_match(struct api_call *call, struct slice method, struct slice path, struct arena *arena);

/* ---- reply.c ---- */

#define API_INT_HEADERS_MAX 16

struct api_int_headers {
    struct http_header items[API_INT_HEADERS_MAX];
    size_t count;
};

/* Begins with what every answer carries. */
void api_int_headers_init(struct api_int_headers *headers, const struct api_call *call);
void api_int_headers_add(struct api_int_headers *headers, struct slice name, struct slice value);
bool api_int_is_head(const struct api_call *call);
/* `body` for GET, its length alone for HEAD. As http_reply_bytes. */
enum result api_int_reply(struct api_call *call, int status, const struct api_int_headers *headers, struct slice body,
                          struct done done) NODISCARD;
struct slice api_int_header(const struct api_call *call, struct slice name);
/* Whether an If-None-Match or If-Range list names `etag` (with its quotes); weak comparison. */
bool api_int_etag_matches(struct slice list, struct slice etag);
/* `path` below the registry's address: as it is, or absolute where http.external_url is set. */
struct slice api_int_location(const struct api_call *call, struct slice path, struct arena *arena);
/* Fails the running program: `why` is a sentence for the user, or empty. */
enum flow_next api_int_fail(struct flow *f, enum api_subject subject, enum result r, struct slice why) NODISCARD;

/* A step's beginning: may anything be deleted here at all? NEXT, or the failure to return. */
enum flow_next api_int_check_delete(struct flow *f) NODISCARD;
/* For the error reply of a delete that was refused because `by` names what was to go. */
void api_int_explain_referenced(struct api_call *call, const struct digest *by, struct arena *arena);
/* A step: 202. */
enum flow_next api_int_reply_deleted(struct flow *f) NODISCARD;

/* `n` and `last` of a list. */
struct api_int_page {
    uint64_t limit; /* 0 is 0; without n, and above it, the most there may be */
    struct slice last;
};
enum flow_next api_int_parse_page(struct flow *f, uint64_t limit_max, struct api_int_page *page) NODISCARD;
/* The value of a Link to the next page. */
struct slice api_int_next_page(const struct api_call *call, struct slice path_and_query, struct arena *arena);
/* JSON strings, with commas between. */
void api_int_append_strings(struct strbuf *out, const struct slice *texts, size_t count);

/* ---- error_reply.c ---- */

struct api_int_error {
    int status;
    const char *code;
    const char *message;
};

/* Never NULL. */
const struct api_int_error *api_int_error_find(enum api_subject subject, enum result r);
void api_int_error_body(const struct api_call *call, const struct api_int_error *error, struct strbuf *out);

/* ---- mount.c ---- */

/* For the POST in hand: makes the repository serve `digest` if it does already, or if one does that the caller may pull
 * from: the one `?from=` names, else any of those there are. Nothing found is no failure. */
enum flow_next api_int_mount(struct flow *f, const struct digest *digest, bool *ret_is_mounted) NODISCARD;

/* ---- upload_session.c ---- */

/* What the handlers of one upload session work on. */
struct api_int_upload {
    struct upload_ref ref;
    struct upload_body body;
    struct digest digest;
    uint64_t offset_bytes; /* UINT64_MAX: not known */
};

/* "/v2/<name>/blobs/uploads/<uuid>?_state=<token>", as a Location. */
struct slice api_int_upload_location(const struct api_call *call, struct upload_ref ref, struct arena *arena);
/* The `Range` of a session: "0-<last byte>", "0-0" when it is empty. */
struct slice api_int_upload_range(uint64_t offset_bytes, struct arena *arena);
/* In `finally`: who brings a body over the limit is told how much would do. */
void api_int_explain_too_large(struct flow *f, struct api_call *call);
/* 201 for a blob that is now in the repository. */
enum flow_next api_int_reply_blob_created(struct flow *f, const struct digest *digest) NODISCARD;
/* 202 for a session that takes bytes. */
enum flow_next api_int_reply_upload_open(struct flow *f, struct upload_ref ref, uint64_t offset_bytes) NODISCARD;

#endif
