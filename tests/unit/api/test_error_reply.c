/* SPDX-License-Identifier: Apache-2.0
 *
 * Results as statuses, codes and JSON of the distribution specification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "minato/own.h"
#include "src/api/api_int.h"

static void expect(enum api_subject subject, enum result r, int status, const char *code)
{
    const struct api_int_error *error = api_int_error_find(subject, r);
    assert_int_equal(error->status, status);
    assert_string_equal(error->code, code);
    assert_true(strlen(error->message) > 0);
}

static void each_subject_has_the_codes_of_the_specification(void **state)
{
    (void)state;
    expect(API_SUBJECT_BLOB, NOT_FOUND, 404, "BLOB_UNKNOWN");
    expect(API_SUBJECT_BLOB, RANGE, 416, "RANGE_INVALID");
    expect(API_SUBJECT_UPLOAD, NOT_FOUND, 404, "BLOB_UPLOAD_UNKNOWN");
    expect(API_SUBJECT_UPLOAD, INVALID, 400, "BLOB_UPLOAD_INVALID");
    expect(API_SUBJECT_UPLOAD, RANGE, 416, "RANGE_INVALID");
    expect(API_SUBJECT_DIGEST, INVALID, 400, "DIGEST_INVALID");
    expect(API_SUBJECT_DIGEST, UNSUPPORTED, 400, "DIGEST_INVALID");
    expect(API_SUBJECT_MANIFEST, NOT_FOUND, 404, "MANIFEST_UNKNOWN");
    expect(API_SUBJECT_MANIFEST, INVALID, 400, "MANIFEST_INVALID");
    expect(API_SUBJECT_MANIFEST, TOO_LARGE, 413, "SIZE_INVALID");
    expect(API_SUBJECT_MANIFEST_BLOB, NOT_FOUND, 404, "MANIFEST_BLOB_UNKNOWN");
    expect(API_SUBJECT_REPOSITORY, NOT_FOUND, 404, "NAME_UNKNOWN");
    expect(API_SUBJECT_REPOSITORY, INVALID, 400, "NAME_INVALID");
    expect(API_SUBJECT_TAG, INVALID, 400, "TAG_INVALID");
    expect(API_SUBJECT_SIZE, INVALID, 400, "SIZE_INVALID");
    expect(API_SUBJECT_PAGE, INVALID, 400, "PAGINATION_NUMBER_INVALID");
}

static void the_unknown_get_401_and_the_known_403(void **state)
{
    (void)state;
    expect(API_SUBJECT_ACCESS, DENIED, 401, "UNAUTHORIZED");
    expect(API_SUBJECT_REPOSITORY, DENIED, 403, "DENIED");
}

static void what_is_no_fault_of_the_subject_is_the_same_for_all(void **state)
{
    (void)state;
    for (enum api_subject s = API_SUBJECT_NONE; s < API_SUBJECT_COUNT; s++) {
        assert_int_equal(api_int_error_find(s, QUOTA)->status, 507);
        assert_int_equal(api_int_error_find(s, UNAVAILABLE)->status, s == API_SUBJECT_BODY ? 408 : 503);
        assert_int_equal(api_int_error_find(s, BUSY)->status, s == API_SUBJECT_ACCESS ? 429 : 503);
        assert_int_equal(api_int_error_find(s, IO)->status, 500);
        assert_int_equal(api_int_error_find(s, CORRUPT)->status, 500);
    }
    expect(API_SUBJECT_ACCESS, BUSY, 429, "TOOMANYREQUESTS");
    expect(API_SUBJECT_NONE, NOT_FOUND, 404, "NOT_FOUND");
    expect(API_SUBJECT_NONE, UNSUPPORTED, 405, "UNSUPPORTED");
}

static void every_pair_has_an_error_status(void **state)
{
    (void)state;
    for (enum api_subject s = API_SUBJECT_NONE; s < API_SUBJECT_COUNT; s++)
        for (int r = OK; r <= PENDING; r++)
            assert_in_range(api_int_error_find(s, (enum result)r)->status, 400, 599);
}

static json_t *body_of(const struct api_call *call, enum result r)
{
    OWNED(strbuf_done) struct strbuf sb;
    strbuf_init(&sb, 65536);
    api_int_error_body(call, api_int_error_find(call->subject, r), &sb);
    json_t *json = json_loadb(sb.ptr, sb.len, 0, NULL);
    assert_non_null(json);
    json_t *errors = json_object_get(json, "errors");
    assert_true(json_is_array(errors));
    json_incref(errors);
    json_decref(json);
    return errors;
}

static const char *text_at(json_t *errors, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(errors, i), key));
}

static void the_body_is_json_with_a_sentence_of_its_own_if_there_is_one(void **state)
{
    (void)state;
    struct api_call call = {.subject = API_SUBJECT_BLOB, .why = SLICE("say \"please\"\n")};
    json_t *errors = body_of(&call, NOT_FOUND);
    assert_int_equal(json_array_size(errors), 1);
    assert_string_equal(text_at(errors, 0, "code"), "BLOB_UNKNOWN");
    assert_string_equal(text_at(errors, 0, "message"), "say \"please\"\n");
    assert_true(json_is_null(json_object_get(json_array_get(errors, 0), "detail")));
    json_decref(errors);
}

static void every_missing_digest_is_listed(void **state)
{
    (void)state;
    struct digest missing[3];
    for (size_t i = 0; i < 3; i++)
        digest_of(i == 1 ? DIGEST_SHA512 : DIGEST_SHA256, slice_of("abc", i), &missing[i]);
    struct api_call call = {.subject = API_SUBJECT_MANIFEST_BLOB, .missing = missing, .missing_count = 3};
    json_t *errors = body_of(&call, NOT_FOUND);
    assert_int_equal(json_array_size(errors), 3);
    for (size_t i = 0; i < 3; i++) {
        char text[DIGEST_TEXT_MAX + 1] = {0};
        (void)digest_format(&missing[i], text);
        json_t *detail = json_object_get(json_array_get(errors, i), "detail");
        assert_string_equal(text_at(errors, i, "code"), "MANIFEST_BLOB_UNKNOWN");
        assert_string_equal(json_string_value(json_object_get(detail, "digest")), text);
    }
    json_decref(errors);
}

static void headers_beyond_the_maximum_and_empty_ones_are_left_out(void **state)
{
    (void)state;
    struct api_call call = {0};
    api_add_error_header(&call, SLICE("allow"), SLICE_EMPTY);
    assert_int_equal(call.error_header_count, 0);
    for (int i = 0; i < API_ERROR_HEADERS_MAX + 2; i++)
        api_add_error_header(&call, SLICE("range"), SLICE("0-0"));
    assert_int_equal(call.error_header_count, API_ERROR_HEADERS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_subject_has_the_codes_of_the_specification),
        cmocka_unit_test(the_unknown_get_401_and_the_known_403),
        cmocka_unit_test(what_is_no_fault_of_the_subject_is_the_same_for_all),
        cmocka_unit_test(every_pair_has_an_error_status),
        cmocka_unit_test(the_body_is_json_with_a_sentence_of_its_own_if_there_is_one),
        cmocka_unit_test(every_missing_digest_is_listed),
        cmocka_unit_test(headers_beyond_the_maximum_and_empty_ones_are_left_out),
    };
    return cmocka_run_group_tests_name("error_reply", tests, NULL, NULL);
}
