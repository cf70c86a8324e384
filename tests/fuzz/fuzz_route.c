/* SPDX-License-Identifier: Apache-2.0
 *
 * Any method and path ("METHOD path"): what the route table accepts has a repository name of the grammar, and what it
 * refuses has a reason.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../../src/api/api_int.h"
#include "minato/own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool has_repository(enum api_resource resource)
{
    switch (resource) {
    case API_RESOURCE_UPLOADS:
    case API_RESOURCE_UPLOAD:
    case API_RESOURCE_BLOB:
    case API_RESOURCE_MANIFEST:
    case API_RESOURCE_TAGS:
    case API_RESOURCE_REFERRERS:
        return true;
    case API_RESOURCE_BASE:
    case API_RESOURCE_CATALOG:
    case API_RESOURCE_HEALTH:
    case API_RESOURCE_READY:
        return false;
    }
    abort();
}

static bool has_reference(enum api_resource resource)
{
    return resource == API_RESOURCE_BLOB || resource == API_RESOURCE_MANIFEST || resource == API_RESOURCE_REFERRERS;
}

static void check_match(const struct api_call *call, enum result r)
{
    struct repo_name again;
    switch (r) {
    case OK:
        check(call->route != NULL);
        check((call->repo.text.len > 0) == has_repository(call->route->resource));
        if (call->repo.text.len > 0)
            check(repo_name_parse(call->repo.text, &again) == OK);
        check((call->reference_text.len > 0) == has_reference(call->route->resource));
        check((call->uuid.len > 0) == (call->route->resource == API_RESOURCE_UPLOAD));
        check(call->uuid.len == 0 || memchr(call->uuid.ptr, '/', call->uuid.len) == NULL);
        break;
    case INVALID:
        check(call->subject == API_SUBJECT_REPOSITORY && call->why.len > 0);
        break;
    case UNSUPPORTED:
        check(call->error_header_count == 1);
        break;
    default:
        check(r == NOT_FOUND);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of((const char *)data, size);
    struct slice method;
    struct slice path;
    if (!slice_split(input, ' ', &method, &path))
        return 0;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    struct api_call call = {0};
    check_match(&call, api_int_match(&call, method, path, &arena));
    return 0;
}
