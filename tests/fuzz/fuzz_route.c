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

static void check_match(const struct api_call *call, enum result r)
{
    struct repo_name again;
    switch (r) {
    case OK:
        check(call->route != NULL);
        if (call->route->resource <= API_RESOURCE_TAGS && call->route->resource != API_RESOURCE_BASE)
            check(repo_name_parse(call->repo.text, &again) == OK);
        check((call->reference_text.len > 0) ==
              (call->route->resource == API_RESOURCE_BLOB || call->route->resource == API_RESOURCE_MANIFEST));
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
