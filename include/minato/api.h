/* SPDX-License-Identifier: Apache-2.0
 *
 * The API: one table of routes, one handler program per route. A handler parses the request, calls one domain door and
 * writes the reply. The pipeline (server.h) authenticates and authorizes before it runs one.
 */
#ifndef MINATO_API_H
#define MINATO_API_H

#include "minato/access.h"
#include "minato/async.h"
#include "minato/http.h"
#include "minato/oci.h"
#include "minato/registry.h"
#include "minato/telemetry.h"

/* What a request is about: with the result it decides the error's status and code (distribution-spec, "Error Codes"). */
enum api_subject {
    API_SUBJECT_NONE,
    API_SUBJECT_REPOSITORY,
    API_SUBJECT_BLOB,
    API_SUBJECT_UPLOAD,
    API_SUBJECT_DIGEST,
    API_SUBJECT_MANIFEST,
    API_SUBJECT_MANIFEST_BLOB, /* a blob or child that a manifest names */
    API_SUBJECT_TAG,
    API_SUBJECT_PAGE,
    API_SUBJECT_ACCESS, /* authentication and authorization */
    API_SUBJECT_COUNT
};

/* What all requests share. Owned by the server. */
struct api_services {
    struct registry *registry;
    struct access *access;
    struct metrics *metrics;
    const struct config *config;
    struct clock clock;
    bool (*is_draining)(void *data); /* for /readyz */
    void *data;
};

/* One request on its way. In the flow's arena; it is the owner of the pipeline's program and of the handlers'. */
struct api_call {
    struct http_request *req;
    const struct api_services *services;
    struct identity identity;
    const struct api_route *route;
    char request_id[UUID_TEXT_SIZE];

    /* from the path, as the route needs them */
    struct repo_name repo;
    struct slice reference_text; /* tag or digest, not parsed */
    struct slice uuid;

    /* for the error reply: set before a step fails */
    enum api_subject subject;
    struct slice why;    /* a sentence for the user; empty: the code's own */
    struct slice detail; /* JSON for "detail"; empty: null */

    /* for the access log */
    bool has_digest;
    struct digest digest;

    void *state; /* the handler's own, in the flow's arena */
};

struct api_route {
    const char *name;          /* "manifest_get": metrics and logs */
    struct slice method;
    enum permission permission;
    const struct flow_program *program; /* owner: the api_call */
};

/* The route of a method and path, with the path's parts in `call`. Matches from the right: a repository may be named
 * "a/blobs/uploads". NOT_FOUND: no such path; UNSUPPORTED: the path exists, not with this method (`call->detail`
 * untouched; *ret_allow lists the methods for an Allow header, static or in `arena`). INVALID: a path whose repository name,
 * tag or digest breaks its grammar (`call->subject` and `call->why` say which). `call->req` gives method and path. */
enum result api_match(struct api_call *call, struct arena *arena, struct slice *ret_allow) NODISCARD;

/* Every route, for tests and documentation. */
const struct api_route *api_routes(size_t *ret_count);

/* Replies with the error for (call->subject, r), as JSON of the distribution specification. `extra` headers may be
 * NULL. Follows async.h like http_reply_bytes. */
enum result api_reply_error(struct api_call *call, enum result r, const struct http_header *extra, size_t extra_count,
                            struct done done) NODISCARD;

#endif
