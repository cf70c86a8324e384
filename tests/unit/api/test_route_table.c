/* SPDX-License-Identifier: Apache-2.0
 *
 * Which route a method and path lead to: from the right, decoded once, with 404, 405 and NAME_INVALID for the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/own.h"
#include "src/api/api_int.h"

#define DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UUID "3f2b8c9e-7a41-4d0e-9a51-0c7f6b1d2e3a"

struct matched {
    struct arena arena;
    struct api_call call;
    enum result result;
};

static void done(struct matched *m)
{
    arena_done(&m->arena);
}

static void match(struct matched *m, const char *method, const char *path)
{
    arena_init(&m->arena);
    m->call = (struct api_call){0};
    m->result = api_int_match(&m->call, slice_from_cstr(method), slice_from_cstr(path), &m->arena);
}

static void expect_route(const char *method, const char *path, const char *name, const char *repo, const char *rest)
{
    OWNED(done) struct matched m;
    match(&m, method, path);
    assert_int_equal(m.result, OK);
    assert_string_equal(m.call.route->name, name);
    assert_true(slice_equal(m.call.repo.text, slice_from_cstr(repo)));
    struct slice part = m.call.uuid.len > 0 ? m.call.uuid : m.call.reference_text;
    assert_true(slice_equal(part, slice_from_cstr(rest)));
}

static void expect_failure(const char *method, const char *path, enum result result, enum api_subject subject)
{
    OWNED(done) struct matched m;
    match(&m, method, path);
    assert_int_equal(m.result, result);
    assert_int_equal(m.call.subject, subject);
    assert_null(m.call.route);
}

static void every_resource_has_its_path(void **state)
{
    (void)state;
    expect_route("GET", "/v2/", "base_get", "", "");
    expect_route("GET", "/v2", "base_get", "", "");
    expect_route("GET", "/v2/a/tags/list", "tag_list", "a", "");
    expect_route("GET", "/v2/a/b/manifests/latest", "manifest_get", "a/b", "latest");
    expect_route("PUT", "/v2/a/manifests/" DIGEST, "manifest_put", "a", DIGEST);
    expect_route("GET", "/v2/a/blobs/" DIGEST, "blob_get", "a", DIGEST);
    expect_route("POST", "/v2/a/blobs/uploads/", "upload_start", "a", "");
    expect_route("PATCH", "/v2/a/blobs/uploads/" UUID, "upload_append", "a", UUID);
    expect_route("PUT", "/v2/a/blobs/uploads/" UUID, "upload_commit", "a", UUID);
    expect_route("GET", "/v2/a/blobs/uploads/" UUID, "upload_status", "a", UUID);
    expect_route("DELETE", "/v2/a/blobs/uploads/" UUID, "upload_cancel", "a", UUID);
    expect_route("DELETE", "/v2/a/manifests/latest", "manifest_delete", "a", "latest");
    expect_route("DELETE", "/v2/a/blobs/" DIGEST, "blob_delete", "a", DIGEST);
    expect_route("GET", "/v2/a/b/referrers/" DIGEST, "referrers", "a/b", DIGEST);
    expect_route("GET", "/v2/_catalog", "catalog", "", "");
    expect_route("GET", "/healthz", "healthz", "", "");
    expect_route("GET", "/readyz", "readyz", "", "");
}

static void the_slash_after_uploads_is_optional(void **state)
{
    (void)state;
    expect_route("POST", "/v2/a/b/blobs/uploads", "upload_start", "a/b", "");
}

static void a_repository_may_be_named_like_a_route(void **state)
{
    (void)state;
    expect_route("GET", "/v2/a/blobs/uploads/manifests/v1", "manifest_get", "a/blobs/uploads", "v1");
    expect_route("GET", "/v2/a/blobs/uploads/tags/list", "tag_list", "a/blobs/uploads", "");
    expect_route("POST", "/v2/a/blobs/uploads/blobs/uploads/", "upload_start", "a/blobs/uploads", "");
    expect_route("GET", "/v2/referrers/referrers/" DIGEST, "referrers", "referrers", DIGEST);
    expect_route("GET", "/v2/a/manifests/blobs/" DIGEST, "blob_get", "a/manifests", DIGEST);
    expect_route("GET", "/v2/tags/list/manifests/list", "manifest_get", "tags/list", "list");
    expect_route("PATCH", "/v2/blobs/uploads/blobs/uploads/" UUID, "upload_append", "blobs/uploads", UUID);
}

static void head_is_there_wherever_get_is(void **state)
{
    (void)state;
    size_t count;
    const struct api_route *routes = api_routes(&count);
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal(routes[i].method, SLICE("GET")))
            continue;
        bool has_head = false;
        for (size_t j = 0; j < count; j++)
            has_head =
                has_head || (routes[j].resource == routes[i].resource && routes[j].program == routes[i].program &&
                             slice_equal(routes[j].method, SLICE("HEAD")));
        assert_true(has_head);
    }
}

static void route_names_differ_and_none_is_public_but_health(void **state)
{
    (void)state;
    size_t count;
    const struct api_route *routes = api_routes(&count);
    for (size_t i = 0; i < count; i++) {
        bool is_health = routes[i].resource == API_RESOURCE_HEALTH || routes[i].resource == API_RESOURCE_READY;
        assert_int_equal(routes[i].permission == PERMISSION_NONE, is_health);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(routes[i].name, routes[j].name);
    }
}

static void unknown_paths_are_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/",
        "/v1/",
        "/v2/a",
        "/v2/a/b",
        "/v2/tags/list",
        "/v2/manifests/latest",
        "/v2/blobs/uploads/",
        "/v2/a/tags/list/",
        "/v2/a/tags/other",
        "/v2/a/manifests/",
        "/v2/a/uploads/" UUID,
        "/v2/a/blobs/uploads/" UUID "/",
        "/healthz/",
        "/V2/",
        "",
        "*",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        expect_failure("GET", paths[i], NOT_FOUND, API_SUBJECT_NONE);
}

static void a_method_a_path_has_not_is_unsupported_and_allow_lists_the_others(void **state)
{
    (void)state;
    OWNED(done) struct matched m;
    match(&m, "PUT", "/v2/a/referrers/" DIGEST);
    assert_int_equal(m.result, UNSUPPORTED);
    assert_int_equal(m.call.error_header_count, 1);
    assert_true(slice_equal(m.call.error_headers[0].name, SLICE("allow")));
    assert_true(slice_equal(m.call.error_headers[0].value, SLICE("GET, HEAD")));
    expect_failure("DELETE", "/v2/_catalog", UNSUPPORTED, API_SUBJECT_NONE);
    expect_failure("GET", "/v2/a/blobs/uploads/", UNSUPPORTED, API_SUBJECT_NONE);
    expect_failure("POST", "/healthz", UNSUPPORTED, API_SUBJECT_NONE);
    expect_failure("get", "/v2/", UNSUPPORTED, API_SUBJECT_NONE);
}

static void names_outside_the_grammar_are_invalid(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v2/A/tags/list",
        "/v2//tags/list",
        "/v2/a//b/tags/list",
        "/v2/../tags/list",
        "/v2/a/../b/manifests/latest",
        "/v2/./manifests/latest",
        "/v2/a_/tags/list",
        "/v2/-a/tags/list",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        expect_failure("GET", paths[i], INVALID, API_SUBJECT_REPOSITORY);
}

static void escapes_are_decoded_once(void **state)
{
    (void)state;
    expect_route("GET", "/v2/%61/manifests/v%2D1", "manifest_get", "a", "v-1");
    expect_route("GET", "/v2/a/blobs/sha256%3Aabc", "blob_get", "a", "sha256:abc");
    expect_failure("GET", "/v2/%2561/manifests/v1", INVALID, API_SUBJECT_REPOSITORY);
}

static void escaped_slashes_control_characters_and_broken_escapes_are_invalid(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/v2/a%2Fb/tags/list", "/v2/a%2fb/tags/list", "/v2/a%00/tags/list", "/v2/a%0a/tags/list", "/v2/a%7f/tags/list",
        "/v2/a%/tags/list",    "/v2/a/tags/list%",    "/v2/a/tags/list%4",  "/v2/a%zz/tags/list", "/%2fv2/",
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        expect_failure("GET", paths[i], INVALID, API_SUBJECT_REPOSITORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_has_its_path),
        cmocka_unit_test(the_slash_after_uploads_is_optional),
        cmocka_unit_test(a_repository_may_be_named_like_a_route),
        cmocka_unit_test(head_is_there_wherever_get_is),
        cmocka_unit_test(route_names_differ_and_none_is_public_but_health),
        cmocka_unit_test(unknown_paths_are_not_found),
        cmocka_unit_test(a_method_a_path_has_not_is_unsupported_and_allow_lists_the_others),
        cmocka_unit_test(names_outside_the_grammar_are_invalid),
        cmocka_unit_test(escapes_are_decoded_once),
        cmocka_unit_test(escaped_slashes_control_characters_and_broken_escapes_are_invalid),
    };
    return cmocka_run_group_tests_name("route_table", tests, NULL, NULL);
}
