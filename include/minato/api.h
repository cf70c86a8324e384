/* SPDX-License-Identifier: Apache-2.0
 *
 * The API: one table of routes, one handler program per route. A handler parses the request, calls one domain door and
 * writes the reply. The pipeline (server.h) authenticates and authorizes before it runs one.
 */
#ifndef MINATO_API_H
#define MINATO_API_H

#include <stdatomic.h>

#include "minato/access.h"
#include "minato/async.h"
#include "minato/http.h"
#include "minato/oci.h"
#include "minato/registry.h"
#include "minato/telemetry.h"

/* What a request is about: with the result it decides the error's status and code (distribution-spec, "Error Codes").
 */
enum api_subject {
    API_SUBJECT_NONE,
    API_SUBJECT_REPOSITORY,
    API_SUBJECT_BLOB,
    API_SUBJECT_UPLOAD,
    API_SUBJECT_BODY, /* its sender, not what was done with it */
    API_SUBJECT_SIZE,
    API_SUBJECT_DIGEST,
    API_SUBJECT_MANIFEST,
    API_SUBJECT_MANIFEST_BLOB, /* a blob or child that a manifest names */
    API_SUBJECT_CONDITION,     /* If-Match, If-None-Match */
    API_SUBJECT_REFERENCED,    /* something that is to be deleted, and that a manifest names */
    API_SUBJECT_TAG,
    API_SUBJECT_PAGE,
    API_SUBJECT_ACCESS, /* the caller is not known (401); known and refused is API_SUBJECT_REPOSITORY (403) */
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
    atomic_uint *ready_checks; /* store checks of /readyz under way: bounded */
};

/* What a path names. */
enum api_resource {
    API_RESOURCE_BASE,      /* /v2/ */
    API_RESOURCE_BLOB,      /* /v2/<name>/blobs/<digest> */
    API_RESOURCE_UPLOADS,   /* /v2/<name>/blobs/uploads/ */
    API_RESOURCE_UPLOAD,    /* /v2/<name>/blobs/uploads/<uuid> */
    API_RESOURCE_MANIFEST,  /* /v2/<name>/manifests/<tag or digest> */
    API_RESOURCE_TAGS,      /* /v2/<name>/tags/list */
    API_RESOURCE_REFERRERS, /* /v2/<name>/referrers/<digest> */
    API_RESOURCE_CATALOG,   /* /v2/_catalog */
    API_RESOURCE_HEALTH,    /* /healthz */
    API_RESOURCE_READY,     /* /readyz */
};

#define API_ERROR_HEADERS_MAX 4

/* One request on its way. In the flow's arena; it is the owner of the pipeline's program and of the handlers'. */
struct api_call {
    struct http_request *req;
    const struct api_services *services;
    struct identity identity;
    const struct api_route *route;
    char request_id[UUID_TEXT_SIZE];

    /* from the path, as the route needs them */
    struct repo_name repo;
    struct slice reference_text; /* tag or digest, not parsed: its handler does, when the caller is allowed */
    struct slice uuid;

    /* for the error reply: set before a step fails */
    enum api_subject subject;
    struct slice why;             /* a sentence for the user; empty: the code's own */
    const struct digest *missing; /* API_SUBJECT_MANIFEST_BLOB: one error for each */
    size_t missing_count;
    struct http_header error_headers[API_ERROR_HEADERS_MAX]; /* api_add_error_header */
    size_t error_header_count;

    /* for the access log */
    struct slice digest_text; /* of what it is about, or empty */

    void *state; /* the handler's own, in the flow's arena */
};

struct api_route {
    const char *name; /* "manifest_get": metrics and logs */
    struct slice method;
    enum api_resource resource;
    enum permission permission;
    const struct flow_program *program; /* owner: the api_call */
};

/* The route of call->req's method and path, with the path's parts in `call` (borrowed from the request or in `arena`).
 * Matches from the right: a repository may be named "a/blobs/uploads". NOT_FOUND: no such path; UNSUPPORTED: the path
 * exists, not with this method (an Allow header is among the error's headers); INVALID: a repository name that breaks
 * its grammar, or a path with an escape that may not be there (`call->subject` and `call->why` say which). */
enum result api_match(struct api_call *call, struct arena *arena) NODISCARD;

/* Every route, for tests and documentation. */
const struct api_route *api_routes(size_t *ret_count);

/* One more header for the error reply, should there be one. `name` in lower case; both outlive the call. */
void api_add_error_header(struct api_call *call, struct slice name, struct slice value);
/* Replies with the error for (call->subject, r), as JSON of the distribution specification. CANCELLED: nobody is there
 * to read one, nothing is sent. Otherwise as http_reply_bytes. */
enum result api_reply_error(struct api_call *call, enum result r, struct done done) NODISCARD;

#endif
