/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of a list of referrers: what they tell of a manifest, and that they can be read again.
 */
#include "manifest_check.h"

static const char digest_a[] = DIGEST_A;

static struct slice describe(struct parsed *p)
{
    struct digest digest;
    assert_int_equal(digest_parse(slice_from_cstr(digest_a), &digest), OK);
    return referrer_descriptor(&p->m, &digest, 4711, &p->arena);
}

static void assert_describes(const char *json, const char *expected, const char *artifact_type)
{
    struct parsed p;
    struct slice type;
    parse(&p, slice_from_cstr(json), "");
    assert_int_equal(p.r, OK);
    struct slice descriptor = describe(&p);
    if (!slice_equal(descriptor, slice_from_cstr(expected)))
        fail_msg("%.*s, not %s", SLICE_ARG(descriptor), expected);
    assert_int_equal(referrer_artifact_type(descriptor, &p.arena, &type), OK);
    assert_true(slice_equal(type, slice_from_cstr(artifact_type)));
    arena_done(&p.arena);
}

#define HEAD(type) "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST_A "\",\"size\":4711"

static void an_image_is_described_by_its_artifact_type_or_its_config(void **state)
{
    (void)state;
    assert_describes("{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS "}",
                     HEAD(OCI_MANIFEST) ",\"artifactType\":\"application/vnd.oci.image.config.v1+json\"}",
                     "application/vnd.oci.image.config.v1+json");
    assert_describes("{" V2 "," TYPE(OCI_MANIFEST) ",\"artifactType\":\"a/b\"," CONFIG "," LAYERS "}",
                     HEAD(OCI_MANIFEST) ",\"artifactType\":\"a/b\"}", "a/b");
}

static void an_index_may_have_no_artifact_type(void **state)
{
    (void)state;
    assert_describes("{" V2 "," TYPE(OCI_INDEX) ",\"manifests\":[]}", HEAD(OCI_INDEX) "}", "");
    assert_describes("{" V2 "," TYPE(OCI_INDEX) ",\"artifactType\":\"x/y\",\"manifests\":[]}",
                     HEAD(OCI_INDEX) ",\"artifactType\":\"x/y\"}", "x/y");
}

static void annotations_are_those_of_the_manifest_itself(void **state)
{
    (void)state;
    assert_describes("{" V2 "," TYPE(OCI_INDEX) ",\"annotations\":{\"b\":\"2\",\"a\":\"1\"},\"manifests\":["
                                                "{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"" DIGEST_B
                                                "\",\"size\":2,\"annotations\":{\"c\":\"3\"}}]}",
                     HEAD(OCI_INDEX) ",\"annotations\":{\"b\":\"2\",\"a\":\"1\"}}", "");
    assert_describes("{" V2 "," TYPE(OCI_INDEX) ",\"annotations\":{},\"manifests\":[]}", HEAD(OCI_INDEX) "}", "");
}

static void any_text_survives_in_annotations(void **state)
{
    (void)state;
    assert_describes("{" V2 "," TYPE(OCI_INDEX) ",\"annotations\":{\"\":\"\",\"q\\\"\\\\\":\"\\u0001\\n\\u00fc/"
                                                "\xf0\x9f\x90\xb3\"},\"manifests\":[]}",
                     HEAD(OCI_INDEX) ",\"annotations\":{\"\":\"\",\"q\\\"\\\\\":\"\\u0001\\n\xc3\xbc/"
                                     "\xf0\x9f\x90\xb3\"}}",
                     "");
}

static void a_digest_of_another_algorithm_and_a_large_size(void **state)
{
    (void)state;
    struct parsed p;
    struct digest digest;
    char text[DIGEST_TEXT_MAX];
    assert_parses(&p, "{" V2 "," TYPE(OCI_INDEX) ",\"manifests\":[]}", OCI_INDEX, OCI_INDEX);
    digest_of(DIGEST_SHA512, SLICE("x"), &digest);
    struct slice descriptor = referrer_descriptor(&p.m, &digest, INT64_MAX, &p.arena);
    struct slice name = slice_of(text, digest_format(&digest, text));
    struct slice expected =
        arena_format(&p.arena, "{\"mediaType\":\"" OCI_INDEX "\",\"digest\":\"%.*s\",\"size\":9223372036854775807}",
                     SLICE_ARG(name));
    assert_true(slice_equal(descriptor, expected));
    arena_done(&p.arena);
}

static void what_is_no_descriptor_has_no_type(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "null", "{", "{\"artifactType\":", "x", "\"a\"", "{} {}"};
    struct arena arena;
    arena_init(&arena);
    struct slice type = SLICE("untouched");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(referrer_artifact_type(slice_from_cstr(texts[i]), &arena, &type), INVALID);
        assert_true(slice_equal(type, SLICE("untouched")));
    }
    assert_int_equal(referrer_artifact_type(SLICE_EMPTY, &arena, &type), INVALID);
    assert_int_equal(referrer_artifact_type(SLICE("{}"), &arena, &type), OK);
    assert_int_equal(type.len, 0);
    assert_int_equal(referrer_artifact_type(SLICE("{\"artifactType\":7}"), &arena, &type), OK);
    assert_int_equal(type.len, 0);
    arena_done(&arena);
}

static void many_annotations_are_all_there(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char *json = arena_alloc(&arena, 1u << 20);
    int n = snprintf(json, 1u << 20, "{" V2 "," TYPE(OCI_INDEX) ",\"manifests\":[],\"annotations\":{");
    for (int i = 0; i < 5000; i++)
        n += snprintf(json + n, (1u << 20) - (size_t)n, "%s\"key%d\":\"value%d\"", i == 0 ? "" : ",", i, i);
    n += snprintf(json + n, (1u << 20) - (size_t)n, "}}");
    struct parsed p;
    assert_parses(&p, json, OCI_INDEX, OCI_INDEX);
    struct slice descriptor = describe(&p);
    assert_int_equal(p.m.annotation_count, 5000);
    assert_non_null(memmem(descriptor.ptr, descriptor.len, "\"key0\":\"value0\"", 15));
    assert_non_null(memmem(descriptor.ptr, descriptor.len, "\"key4999\":\"value4999\"", 21));
    arena_done(&p.arena);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_described_by_its_artifact_type_or_its_config),
        cmocka_unit_test(an_index_may_have_no_artifact_type),
        cmocka_unit_test(annotations_are_those_of_the_manifest_itself),
        cmocka_unit_test(any_text_survives_in_annotations),
        cmocka_unit_test(a_digest_of_another_algorithm_and_a_large_size),
        cmocka_unit_test(what_is_no_descriptor_has_no_type),
        cmocka_unit_test(many_annotations_are_all_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
