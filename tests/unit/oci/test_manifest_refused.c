/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that are refused: what makes two clients disagree, what has not the shape it must have, the limits.
 */
#include "manifest_check.h"

/* ---- what is refused ---- */

static void schema_1_is_unsupported_in_every_form(void **state)
{
    (void)state;
    static const char *const types[] = {"application/vnd.docker.distribution.manifest.v1+json",
                                        "application/vnd.docker.distribution.manifest.v1+prettyjws",
                                        "application/vnd.docker.distribution.manifest.v1+prettyjws; a=b"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i)
        assert_refused_bytes(SLICE("{}"), types[i], UNSUPPORTED, "schema 1");
    assert_refused_bytes(SLICE("{\"schemaVersion\":1,\"fsLayers\":[]}"), "", UNSUPPORTED, "schema 1");
    assert_refused_bytes(SLICE("{\"schemaVersion\":1," CONFIG "," LAYERS "}"), OCI_MANIFEST, UNSUPPORTED, "schema 1");
    assert_refused_bytes(SLICE("{" V2 "," CONFIG ",\"fsLayers\":[]}"), OCI_MANIFEST, UNSUPPORTED, "schema 1");
}

static void types_that_are_no_manifest_are_unsupported(void **state)
{
    (void)state;
    struct slice image = SLICE("{" V2 "," CONFIG "," LAYERS "}");
    assert_refused_bytes(image, "application/json", UNSUPPORTED, "\"application/json\" is not a manifest type");
    assert_refused_bytes(image, "application/vnd.oci.image.config.v1+json", UNSUPPORTED, "is not a manifest type");
    assert_refused_bytes(image, OCI_MANIFEST "x", UNSUPPORTED, "is not a manifest type");
    assert_refused_bytes(SLICE("{" V2 ",\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\"}"), "",
                         UNSUPPORTED, "is not a manifest type");
}

static void media_type_that_differs_from_the_content_type_is_invalid(void **state)
{
    (void)state;
    assert_refused("{" V2 "," TYPE(DOCKER_MANIFEST) "," CONFIG "," LAYERS "}", OCI_MANIFEST, "but it came as");
    assert_refused("{" V2 "," TYPE(OCI_INDEX) "," CONFIG "," LAYERS "}", OCI_MANIFEST, "but it came as");
    assert_refused("{" V2 "," TYPE("x/y") "," CONFIG "," LAYERS "}", OCI_MANIFEST, "\"x/y\"");
    assert_refused("{" V2 "," TYPE("Application/vnd.oci.image.manifest.v1+json") "," CONFIG "}", OCI_MANIFEST, "came");
    assert_refused("{" V2 "," TYPE(OCI_MANIFEST "; a=b") "," CONFIG "}", OCI_MANIFEST, "came");
    assert_refused("{" V2 "," TYPE("Application/vnd.oci.image.manifest.v1+json") "," CONFIG "}", "", "came");
    assert_refused("{" V2 ",\"mediaType\":7," CONFIG "}", OCI_MANIFEST, "\"mediaType\" is not a string");
    assert_refused("{" V2 ",\"mediaType\":\"nonsense\"," CONFIG "}", OCI_MANIFEST, "is not a media type");
}

static void docker_manifest_without_media_type_is_invalid(void **state)
{
    (void)state;
    assert_refused("{" V2 "," CONFIG "," LAYERS "}", DOCKER_MANIFEST, "must name its \"mediaType\"");
    assert_refused("{" V2 ",\"manifests\":[]}", DOCKER_LIST, "must name its \"mediaType\"");
}

static void document_that_is_image_and_index_is_invalid(void **state)
{
    (void)state;
    assert_refused("{" V2 "," CONFIG "," LAYERS ",\"manifests\":[]}", OCI_MANIFEST, "must not have \"manifests\"");
    assert_refused("{" V2 "," CONFIG "," LAYERS ",\"manifests\":null}", OCI_MANIFEST, "must not have");
    assert_refused("{" V2 "," LAYERS ",\"manifests\":[]}", OCI_INDEX, "must not have \"config\" or \"layers\"");
    assert_refused("{" V2 "," CONFIG ",\"manifests\":[]}", OCI_INDEX, "must not have");
    assert_refused("{" V2 "," CONFIG "," LAYERS ",\"manifests\":[]}", "", "must not have");
    assert_refused("{" V2 "," CONFIG "," LAYERS "}", OCI_INDEX, "must not have");
    assert_refused("{" V2 ",\"manifests\":[]}", OCI_MANIFEST, "must not have");
}

static void duplicate_fields_are_invalid(void **state)
{
    (void)state;
    assert_refused("{" V2 "," CONFIG "," LAYERS "," LAYERS "}", OCI_MANIFEST, "duplicate");
    assert_refused("{" V2 "," CONFIG ",\"x\":{\"a\":1,\"a\":2}}", OCI_MANIFEST, "duplicate");
    assert_refused("{" V2 "," CONFIG ",\"l\\u0061yers\":[]," LAYERS "}", OCI_MANIFEST, "duplicate");
}

static void fields_that_go_clients_would_take_for_others_are_invalid(void **state)
{
    (void)state;
    static const char *const fields[] = {"Layers",        "MANIFESTS",     "Config",         "mediatype", "Subject",
                                         "schemaversion", "layer\xc5\xbf", "\305\277ubject", "fslayers"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); ++i) {
        char json[1024];
        (void)snprintf(json, sizeof(json), "{" V2 "," CONFIG "," LAYERS ",\"%s\":null}", fields[i]);
        assert_refused(json, OCI_MANIFEST, "differs from the specification's in case");
    }
    assert_refused("{" V2 ",\"config\":{" TYPE("a/b") ",\"digest\":\"" DIGEST_A "\",\"size\":1,\"Digest\":\"x\"}}",
                   OCI_MANIFEST, "config: the field \"Digest\"");
}

static void what_is_not_json_is_invalid(void **state)
{
    (void)state;
    static const char *const documents[] = {"",
                                            " ",
                                            "{",
                                            "}",
                                            "{}x",
                                            "{\"a\":}",
                                            "{'a':1}",
                                            "{\"a\":1,}",
                                            "\xef\xbb\xbf{}",
                                            "{\"a\":\"\xff\"}",
                                            "{\"a\":\"\\u0000\"}",
                                            "{\"a\":\"\n\"}",
                                            "{\"a\":01}",
                                            "{\"a\":NaN}",
                                            "{}{}",
                                            "// {}"};
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); ++i)
        assert_refused(documents[i], OCI_MANIFEST, "not valid JSON");
    assert_refused_bytes(SLICE_EMPTY, OCI_MANIFEST, INVALID, "not valid JSON");
    assert_refused_bytes(slice_of("{}\0", 3), OCI_MANIFEST, INVALID, "not valid JSON");
    assert_refused("[]", OCI_MANIFEST, "a JSON object");
}

static void schema_version_must_be_the_number_2(void **state)
{
    (void)state;
    static const char *const versions[] = {"3", "0", "-2", "2.0", "\"2\"", "null", "[2]"};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); ++i) {
        char json[1024];
        (void)snprintf(json, sizeof(json), "{\"schemaVersion\":%s," CONFIG "," LAYERS "}", versions[i]);
        assert_refused(json, OCI_MANIFEST, "\"schemaVersion\" is not 2");
    }
    assert_refused("{" CONFIG "," LAYERS "}", OCI_MANIFEST, "\"schemaVersion\" is not 2");
}

static void descriptor_needs_type_digest_and_size(void **state)
{
    (void)state;
#define D "\"digest\":\"" DIGEST_A "\""
    static const struct {
        const char *descriptor;
        const char *why;
    } cases[] = {
        {"null", "is a JSON object"},
        {"[]", "is a JSON object"},
        {"\"" DIGEST_A "\"", "is a JSON object"},
        {"{" D ",\"size\":1}", "needs a \"mediaType\""},
        {"{\"mediaType\":\"\"," D ",\"size\":1}", "needs a \"mediaType\""},
        {"{\"mediaType\":1," D ",\"size\":1}", "not a string"},
        {"{\"mediaType\":\"gzip\"," D ",\"size\":1}", "not a media type"},
        {"{\"mediaType\":\"a/b\\r\\nX: y\"," D ",\"size\":1}", "not a media type"},
        {"{\"mediaType\":\"/b\"," D ",\"size\":1}", "not a media type"},
        {"{\"mediaType\":\"a/b\",\"artifactType\":\"c\"," D ",\"size\":1}", "not a media type"},
        {"{\"mediaType\":\"a/b\",\"size\":1}", "needs a \"digest\""},
        {"{\"mediaType\":\"a/b\",\"digest\":7,\"size\":1}", "needs a \"digest\""},
        {"{\"mediaType\":\"a/b\",\"digest\":\"\",\"size\":1}", "not a digest"},
        {"{\"mediaType\":\"a/b\",\"digest\":\"sha256:../../x\",\"size\":1}", "not a digest"},
        {"{\"mediaType\":\"a/b\",\"digest\":\"blake3:abcd\",\"size\":1}", "neither sha256 nor sha512"},
        {"{\"mediaType\":\"a/b\"," D "}", "\"size\""},
        {"{\"mediaType\":\"a/b\"," D ",\"size\":-1}", "\"size\""},
        {"{\"mediaType\":\"a/b\"," D ",\"size\":1.5}", "\"size\""},
        {"{\"mediaType\":\"a/b\"," D ",\"size\":\"1\"}", "\"size\""},
        {"{\"mediaType\":\"a/b\"," D ",\"size\":null}", "\"size\""},
        {"{\"mediaType\":\"a/b\"," D ",\"size\":9223372036854775808}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char json[1024];
        (void)snprintf(json, sizeof(json), "{" V2 "," CONFIG ",\"layers\":[%s]}", cases[i].descriptor);
        assert_refused(json, OCI_MANIFEST, cases[i].why);
        (void)snprintf(json, sizeof(json), "{" V2 ",\"config\":%s," LAYERS "}", cases[i].descriptor);
        assert_refused(json, OCI_MANIFEST, cases[i].why);
        (void)snprintf(json, sizeof(json), "{" V2 ",\"manifests\":[%s]}", cases[i].descriptor);
        assert_refused(json, OCI_INDEX, cases[i].why);
        if (i > 0) { /* a null subject is none */
            (void)snprintf(json, sizeof(json), "{" V2 "," CONFIG ",\"subject\":%s}", cases[i].descriptor);
            assert_refused(json, OCI_MANIFEST, cases[i].why);
        }
    }
#undef D
}

static void refusal_says_which_descriptor(void **state)
{
    (void)state;
    assert_refused("{" V2 "," CONFIG ",\"layers\":[" DESC("a/b", DIGEST_A, "1") ",{}]}", OCI_MANIFEST, "layers[1]: ");
}

static void missing_or_misshapen_parts_are_invalid(void **state)
{
    (void)state;
    assert_refused("{" V2 "," LAYERS "}", OCI_MANIFEST, "needs a \"config\"");
    assert_refused("{" V2 "," CONFIG ",\"layers\":{}}", OCI_MANIFEST, "\"layers\" is not an array");
    assert_refused("{" V2 ",\"manifests\":\"x\"}", OCI_INDEX, "\"manifests\" is not an array");
    assert_refused("{" V2 "}", "", "not a manifest");
    assert_refused("{}", "", "not a manifest");
    assert_refused("{" V2 "," CONFIG ",\"artifactType\":[]}", OCI_MANIFEST, "\"artifactType\" is not a string");
}

/* ---- limits ---- */

static void text_of_the_client_in_a_sentence_is_cut(void **state)
{
    (void)state;
    char type[4001];
    memset(type, 'x', sizeof(type) - 1);
    type[4000] = '\0';
    struct parsed p;
    parse(&p, SLICE("{}"), type);
    assert_int_equal(p.r, UNSUPPORTED);
    assert_in_range(p.why.len, 1, 200);
    arena_done(&p.arena);
}

/* {"schemaVersion":2,<config>,"x":[[[..]]]} with `depth` levels in all. */
static enum result parse_nested(size_t depth)
{
    struct strbuf sb;
    strbuf_init(&sb, 1u << 20);
    strbuf_append_cstr(&sb, "{" V2 "," CONFIG ",\"x\":");
    for (size_t i = 1; i < depth; ++i)
        strbuf_append_char(&sb, '[');
    for (size_t i = 1; i < depth; ++i)
        strbuf_append_char(&sb, ']');
    strbuf_append_char(&sb, '}');
    struct parsed p;
    parse(&p, strbuf_slice(&sb), OCI_MANIFEST);
    arena_done(&p.arena);
    strbuf_done(&sb);
    return p.r;
}

static void nesting_is_limited(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(MANIFEST_JSON_DEPTH_MAX), OK);
    assert_int_equal(parse_nested(MANIFEST_JSON_DEPTH_MAX + 1), INVALID);
    assert_int_equal(parse_nested(100000), INVALID);
}

static void brackets_in_strings_do_not_nest(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 1u << 20);
    strbuf_append_cstr(&sb, "{" V2 "," CONFIG ",\"x\":\"\\\"");
    for (size_t i = 0; i < 1000; ++i)
        strbuf_append_cstr(&sb, "[{,\\\\");
    strbuf_append_cstr(&sb, "\"}");
    struct parsed p;
    parse(&p, strbuf_slice(&sb), OCI_MANIFEST);
    assert_int_equal(p.r, OK);
    arena_done(&p.arena);
    strbuf_done(&sb);
}

static void number_of_values_is_limited(void **state)
{
    (void)state;
    struct strbuf sb;
    strbuf_init(&sb, 1u << 20);
    strbuf_append_cstr(&sb, "{" V2 "," CONFIG ",\"x\":[0");
    for (size_t i = 0; i < MANIFEST_JSON_VALUES_MAX; ++i)
        strbuf_append_cstr(&sb, ",0");
    strbuf_append_cstr(&sb, "]}");
    assert_refused_bytes(strbuf_slice(&sb), OCI_MANIFEST, INVALID, "too many values");
    strbuf_done(&sb);
}

static enum result parse_many_children(size_t count, size_t *ret_parsed)
{
    struct strbuf sb;
    strbuf_init(&sb, 8u << 20);
    strbuf_append_cstr(&sb, "{" V2 ",\"manifests\":[");
    for (size_t i = 0; i < count; ++i) {
        if (i > 0)
            strbuf_append_char(&sb, ',');
        strbuf_append_cstr(&sb, DESC(OCI_MANIFEST, DIGEST_A, "1"));
    }
    strbuf_append_cstr(&sb, "]}");
    struct parsed p;
    parse(&p, strbuf_slice(&sb), OCI_INDEX);
    *ret_parsed = p.m.child_count;
    arena_done(&p.arena);
    strbuf_done(&sb);
    return p.r;
}

static void number_of_descriptors_is_limited(void **state)
{
    (void)state;
    size_t parsed;
    assert_int_equal(parse_many_children(MANIFEST_DESCRIPTORS_MAX, &parsed), OK);
    assert_int_equal(parsed, MANIFEST_DESCRIPTORS_MAX);
    assert_int_equal(parse_many_children(MANIFEST_DESCRIPTORS_MAX + 1, &parsed), INVALID);
}

static void every_cut_of_a_manifest_is_refused(void **state)
{
    (void)state;
    struct slice whole = SLICE("{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS ",\"annotations\":{\"a\":\"b\"}}");
    for (size_t n = 0; n < whole.len; ++n) {
        char *exact = malloc(n == 0 ? 1 : n); /* so that the sanitizer sees a read behind it */
        assert_non_null(exact);
        memcpy(exact, whole.ptr, n);
        assert_refused_bytes(slice_of(exact, n), OCI_MANIFEST, INVALID, "not valid JSON");
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_1_is_unsupported_in_every_form),
        cmocka_unit_test(types_that_are_no_manifest_are_unsupported),
        cmocka_unit_test(media_type_that_differs_from_the_content_type_is_invalid),
        cmocka_unit_test(docker_manifest_without_media_type_is_invalid),
        cmocka_unit_test(document_that_is_image_and_index_is_invalid),
        cmocka_unit_test(duplicate_fields_are_invalid),
        cmocka_unit_test(fields_that_go_clients_would_take_for_others_are_invalid),
        cmocka_unit_test(what_is_not_json_is_invalid),
        cmocka_unit_test(schema_version_must_be_the_number_2),
        cmocka_unit_test(descriptor_needs_type_digest_and_size),
        cmocka_unit_test(refusal_says_which_descriptor),
        cmocka_unit_test(missing_or_misshapen_parts_are_invalid),
        cmocka_unit_test(text_of_the_client_in_a_sentence_is_cut),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(brackets_in_strings_do_not_nest),
        cmocka_unit_test(number_of_values_is_limited),
        cmocka_unit_test(number_of_descriptors_is_limited),
        cmocka_unit_test(every_cut_of_a_manifest_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
