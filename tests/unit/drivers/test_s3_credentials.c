/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys out of what services answer: the right ones, and every way of being wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage-drivers/s3/credentials_int.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))
#define EXPECT_TEXT(slice, text) assert_true(slice_equal((slice), slice_from_cstr(text)))
#define END_MS UINT64_C(1795536000000) /* 2026-11-24T16:00:00Z */

typedef enum result parse_keys(struct slice text, struct strbuf *why, struct s3_keys **ret_keys);

static void expect_keys(parse_keys *parse, const char *text, const char *token)
{
    struct strbuf why;
    struct s3_keys *keys = NULL;
    strbuf_init(&why, 1024);
    EXPECT(OK, parse(slice_from_cstr(text), &why, &keys));
    EXPECT_TEXT(keys->credentials.access_key, "AK");
    EXPECT_TEXT(keys->credentials.secret_key, "sk+/=");
    EXPECT_TEXT(keys->credentials.session_token, token);
    assert_true(keys->expires_ms == END_MS);
    s3_keys_release(keys);
    strbuf_done(&why);
}

static void expect_refusal(parse_keys *parse, enum result expected, const char *text, const char *reason)
{
    struct strbuf why;
    struct s3_keys *keys = NULL;
    strbuf_init(&why, 1024);
    EXPECT(expected, parse(slice_from_cstr(text), &why, &keys));
    assert_null(keys);
    assert_non_null(strstr(why.ptr, reason));
    assert_null(strstr(why.ptr, "sk+/="));
    strbuf_done(&why);
}

#define JSON(end)                                                                                                      \
    "{\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"sk+/=\",\"Token\":\"t1\",\"Expiration\":\"" end "\",\"RoleArn\":1}"
#define XML(inside)                                                                                                    \
    "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>" inside                  \
    "</AssumeRoleWithWebIdentityResult></R>"
#define XML_KEYS                                                                                                       \
    "<Credentials><AccessKeyId>AK</AccessKeyId><SecretAccessKey>sk+/=</SecretAccessKey><SessionToken>t1</"             \
    "SessionToken>"                                                                                                    \
    "<Expiration>2026-11-24T16:00:00Z</Expiration></Credentials>"

static void json_of_a_container_or_machine_is_read(void **state)
{
    (void)state;
    expect_keys(s3_keys_parse_json, JSON("2026-11-24T16:00:00Z"), "t1");
    expect_keys(s3_keys_parse_json, JSON("2026-11-24T16:00:00.123Z"), "t1");
    expect_keys(s3_keys_parse_json,
                "{\"Code\":\"Success\",\"AccessKeyId\":\"AK\",\"SecretAccessKey\":\"sk+/=\","
                "\"Expiration\":\"2026-11-24T16:00:00Z\"}",
                "");
}

static void json_that_is_wrong_is_refused_without_its_secrets(void **state)
{
    (void)state;
    expect_refusal(s3_keys_parse_json, INVALID, "", "not a JSON object");
    expect_refusal(s3_keys_parse_json, INVALID, "[\"sk+/=\"]", "not a JSON object");
    expect_refusal(s3_keys_parse_json, INVALID, "{\"SecretAccessKey\":\"sk+/=\"", "not a JSON object");
    expect_refusal(s3_keys_parse_json, INVALID, JSON("tomorrow"), "Expiration");
    expect_refusal(s3_keys_parse_json, INVALID, JSON("2026-11-24T16:00:00+01:00"), "Expiration");
    expect_refusal(s3_keys_parse_json, INVALID, JSON("1900-11-24T16:00:00Z"), "Expiration");
    expect_refusal(s3_keys_parse_json, UNAVAILABLE, "{\"Code\":\"Failed\",\"SecretAccessKey\":\"sk+/=\"}", "Failed");
    expect_refusal(s3_keys_parse_json, INVALID,
                   "{\"AccessKeyId\":\"A\\r\\nX: y\",\"SecretAccessKey\":\"sk+/=\","
                   "\"Expiration\":\"2026-11-24T16:00:00Z\"}",
                   "access key");
}

static void xml_of_sts_is_read(void **state)
{
    (void)state;
    expect_keys(s3_keys_parse_xml, XML(XML_KEYS), "t1");
    expect_keys(s3_keys_parse_xml, XML("<Other><AccessKeyId>no</AccessKeyId></Other>" XML_KEYS), "t1");
}

static void xml_that_is_wrong_is_refused_without_its_secrets(void **state)
{
    (void)state;
    expect_refusal(s3_keys_parse_xml, INVALID, "", "not an XML document");
    expect_refusal(s3_keys_parse_xml, INVALID, "<R><Q>" XML_KEYS, "not an XML document");
    expect_refusal(s3_keys_parse_xml, INVALID, XML_KEYS, "Expiration");
    expect_refusal(s3_keys_parse_xml, INVALID, "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>",
                   "not an XML document");
    expect_refusal(s3_keys_parse_xml, INVALID,
                   XML("<Credentials><SecretAccessKey>sk+/=</SecretAccessKey>"
                       "<Expiration>2026-11-24T16:00:00Z</Expiration></Credentials>"),
                   "access key");
}

static void a_token_goes_over_tls_or_stays_near(void **state)
{
    (void)state;
    static const char *const good[] = {"https://example.com/keys", "http://127.0.0.1:80/v1", "http://[::1]/a",
                                       "http://169.254.170.23/v1/credentials", "http://localhost"};
    static const char *const bad[] = {"http://example.com/",
                                      "http://127.0.0.1.example.com/",
                                      "ftp://localhost/",
                                      "",
                                      "http://localhost:x@example.com/",
                                      "https://"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(s3_keys_is_container_url(slice_from_cstr(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(s3_keys_is_container_url(slice_from_cstr(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_of_a_container_or_machine_is_read),
        cmocka_unit_test(json_that_is_wrong_is_refused_without_its_secrets),
        cmocka_unit_test(xml_of_sts_is_read),
        cmocka_unit_test(xml_that_is_wrong_is_refused_without_its_secrets),
        cmocka_unit_test(a_token_goes_over_tls_or_stays_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
