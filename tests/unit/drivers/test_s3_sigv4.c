/* SPDX-License-Identifier: Apache-2.0
 *
 * Signature Version 4 against the examples that Amazon publishes for S3 (docs.aws.amazon.com, "Signature Calculations
 * for the Authorization Header" and "Authenticating Requests: Using Query Parameters").
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage-drivers/s3/sigv4.h"

#define DATE "20130524T000000Z"
#define HOST "examplebucket.s3.amazonaws.com"
#define FIELDS_MAX 5

struct example {
    const char *method;
    const char *path;
    const char *query;
    const char *body;
    const char *more[2][2]; /* fields beside host, date and hash */
    const char *signature;
};

static const struct example examples[] = {
    /* GET Object, a range */
    {"GET",
     "/test.txt",
     "",
     "",
     {{"range", "bytes=0-9"}},
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    /* PUT Object */
    {"PUT",
     "/test%24file.text",
     "",
     "Welcome to Amazon S3.",
     {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"date", "Fri, 24 May 2013 00:00:00 GMT"}},
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    /* GET Bucket Lifecycle */
    {"GET", "/", "lifecycle=", "", {{NULL}}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    /* GET Bucket (List Objects) */
    {"GET",
     "/",
     "max-keys=2&prefix=J",
     "",
     {{NULL}},
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static const struct sigv4_credentials keys = {.access_key = {"AKIAIOSFODNN7EXAMPLE", 20},
                                              .secret_key = {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40}};

static void check(struct sigv4_signer *signer, const struct example *e, struct arena *arena)
{
    char hash[SIGV4_HASH_TEXT + 1];
    struct sigv4_field fields[FIELDS_MAX] = {{SLICE("x-amz-date"), SLICE(DATE)}, {SLICE("host"), SLICE(HOST)}};
    sigv4_hash(slice_from_cstr(e->body), hash);
    fields[2] = (struct sigv4_field){SLICE("x-amz-content-sha256"), slice_from_cstr(hash)};
    struct sigv4_request request = {.method = slice_from_cstr(e->method),
                                    .path = slice_from_cstr(e->path),
                                    .query = slice_from_cstr(e->query),
                                    .fields = fields,
                                    .field_count = 3,
                                    .payload_hash = slice_from_cstr(hash),
                                    .date = DATE};
    for (size_t i = 0; i < 2 && e->more[i][0] != NULL; i++)
        fields[request.field_count++] =
            (struct sigv4_field){slice_from_cstr(e->more[i][0]), slice_from_cstr(e->more[i][1])};
    struct slice value = sigv4_authorize(signer, &keys, &request, arena);
    assert_true(slice_has_prefix(
        value, SLICE("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, ")));
    assert_true(slice_has_suffix(value, slice_from_cstr(e->signature)));
}

static void requests_are_signed_as_in_the_published_examples(void **state)
{
    (void)state;
    struct sigv4_signer signer;
    struct arena arena;
    arena_init(&arena);
    sigv4_signer_init(&signer, SLICE("us-east-1"), SLICE("s3"));
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        check(&signer, &examples[i], &arena);
    sigv4_signer_done(&signer);
    arena_done(&arena);
}

static void a_url_is_signed_as_in_the_published_example(void **state)
{
    (void)state;
    struct sigv4_signer signer;
    struct arena arena;
    arena_init(&arena);
    sigv4_signer_init(&signer, SLICE("us-east-1"), SLICE("s3"));
    struct slice query =
        sigv4_presign(&signer, &keys, SLICE("GET"), SLICE(HOST), SLICE("/test.txt"), DATE, 86400, &arena);
    assert_string_equal(arena_cstr(&arena, query),
                        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1"
                        "%2Fs3%2Faws4_request&X-Amz-Date=" DATE "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&"
                        "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    sigv4_signer_done(&signer);
    arena_done(&arena);
}

static void a_key_is_made_anew_for_another_secret_or_day(void **state)
{
    (void)state;
    struct sigv4_signer signer;
    struct sigv4_credentials others = {.access_key = keys.access_key, .secret_key = SLICE("another")};
    struct arena arena;
    arena_init(&arena);
    sigv4_signer_init(&signer, SLICE("us-east-1"), SLICE("s3"));
    (void)sigv4_presign(&signer, &others, SLICE("GET"), SLICE(HOST), SLICE("/"), DATE, 1, &arena);
    check(&signer, &examples[0], &arena);
    (void)sigv4_presign(&signer, &keys, SLICE("GET"), SLICE(HOST), SLICE("/"), "20130525T000000Z", 1, &arena);
    check(&signer, &examples[0], &arena);
    sigv4_signer_done(&signer);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_signed_as_in_the_published_examples),
        cmocka_unit_test(a_url_is_signed_as_in_the_published_example),
        cmocka_unit_test(a_key_is_made_anew_for_another_secret_or_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
