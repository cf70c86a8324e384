/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: what each kind gives, and what type stored bytes are served with.
 */
#include "manifest_check.h"

static void assert_sniffed(const char *json, enum result expected, const char *media_type)
{
    struct arena arena;
    arena_init(&arena);
    struct slice type = SLICE_EMPTY;
    enum result r = manifest_sniff(slice_from_cstr(json), &arena, &type);
    if (r != expected)
        fail_msg("result %d: %s", (int)r, json);
    assert_true(slice_equal(type, slice_from_cstr(media_type)));
    arena_done(&arena);
}

static void assert_digest(const struct digest *d, const char *text)
{
    struct digest expected;
    assert_int_equal(digest_parse(slice_from_cstr(text), &expected), OK);
    assert_true(digest_equal(d, &expected));
}

/* ---- what parses ---- */

static void image_manifest_gives_config_and_layers(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p, "{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS "}", OCI_MANIFEST, OCI_MANIFEST);
    assert_int_equal(p.m.kind, MANIFEST_IMAGE);
    assert_true(p.m.has_config);
    assert_false(p.m.has_subject);
    assert_digest(&p.m.config.digest, DIGEST_A);
    assert_int_equal(p.m.config.size, 2);
    assert_int_equal(p.m.child_count, 1);
    assert_digest(&p.m.children[0].digest, DIGEST_B);
    assert_int_equal(p.m.children[0].size, 32654);
    assert_true(slice_equal(p.m.children[0].media_type, SLICE(OCI_LAYER)));
    assert_false(p.m.children[0].is_nondistributable);
    assert_int_equal(p.m.annotation_count, 0);
    arena_done(&p.arena);
}

static void index_gives_its_manifests(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(
        &p,
        "{" V2 "," TYPE(OCI_INDEX) ",\"manifests\":[" DESC(
            OCI_MANIFEST, DIGEST_A, "7023") ","
                                            "{" TYPE(OCI_INDEX) ",\"digest\":\"" DIGEST_B
                                                                "\",\"size\":7682,\"artifactType\":\"application/x\","
                                                                "\"platform\":{\"architecture\":\"amd64\",\"os\":"
                                                                "\"linux\"},\"annotations\":{\"a\":\"b\"}}]}",
        OCI_INDEX, OCI_INDEX);
    assert_int_equal(p.m.kind, MANIFEST_INDEX);
    assert_false(p.m.has_config);
    assert_int_equal(p.m.child_count, 2);
    assert_digest(&p.m.children[0].digest, DIGEST_A);
    assert_true(slice_equal(p.m.children[1].artifact_type, SLICE("application/x")));
    assert_int_equal(p.m.artifact_type.len, 0);
    arena_done(&p.arena);
}

static void docker_manifest_and_list_parse(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(
        &p,
        "{" V2 "," TYPE(DOCKER_MANIFEST) ",\"config\":" DESC(
            "application/vnd.docker.container.image.v1+json", DIGEST_A,
            "1") ",\"layers\":[" DESC("application/vnd.docker.image.rootfs.diff.tar.gzip", DIGEST_B, "0") "]}",
        DOCKER_MANIFEST, DOCKER_MANIFEST);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 "," TYPE(DOCKER_LIST) ",\"manifests\":[" DESC(DOCKER_MANIFEST, DIGEST_A, "9") "]}",
                  DOCKER_LIST, DOCKER_LIST);
    assert_int_equal(p.m.kind, MANIFEST_INDEX);
    arena_done(&p.arena);
}

static void content_type_is_compared_without_case_and_parameters(void **state)
{
    (void)state;
    struct parsed p;
    static const char *const types[] = {OCI_MANIFEST "; charset=utf-8", " " OCI_MANIFEST " ;x=y",
                                        "APPLICATION/vnd.OCI.image.Manifest.v1+JSON", ""};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); ++i) {
        assert_parses(&p, "{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS "}", types[i], OCI_MANIFEST);
        arena_done(&p.arena);
    }
}

static void document_without_media_type_is_what_it_came_as_or_what_its_fields_say(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p, "{" V2 "," CONFIG "," LAYERS "}", OCI_MANIFEST, OCI_MANIFEST);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 "," CONFIG "," LAYERS "}", "", OCI_MANIFEST);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 ",\"manifests\":[]}", "", OCI_INDEX);
    assert_int_equal(p.m.child_count, 0);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 ",\"mediaType\":\"\",\"manifests\":null}", OCI_INDEX, OCI_INDEX);
    arena_done(&p.arena);
}

static void artifacts_bring_their_own_config_and_layer_types(void **state)
{
    (void)state;
    static const char *const config_types[] = {"application/vnd.cncf.helm.config.v1+json",
                                               "application/vnd.oci.empty.v1+json",
                                               "application/vnd.wasm.config.v0+json; version=1", "x/y"};
    for (size_t i = 0; i < sizeof(config_types) / sizeof(config_types[0]); ++i) {
        char json[1024];
        (void)snprintf(json, sizeof(json),
                       "{" V2 "," TYPE(OCI_MANIFEST) ",\"config\":{\"mediaType\":\"%s\",\"digest\":\"" DIGEST_A
                                                     "\",\"size\":2},\"layers\":[" DESC("application/spdx+json",
                                                                                        DIGEST_B, "1") "]}",
                       config_types[i]);
        struct parsed p;
        assert_parses(&p, json, OCI_MANIFEST, OCI_MANIFEST);
        assert_true(slice_equal(p.m.artifact_type, slice_from_cstr(config_types[i])));
        arena_done(&p.arena);
    }
}

static void artifact_type_of_the_manifest_goes_before_the_config_type(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p, "{" V2 ",\"artifactType\":\"application/vnd.example.sbom\"," CONFIG "," LAYERS "}", OCI_MANIFEST,
                  OCI_MANIFEST);
    assert_true(slice_equal(p.m.artifact_type, SLICE("application/vnd.example.sbom")));
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 ",\"artifactType\":\"a/b\",\"manifests\":[]}", OCI_INDEX, OCI_INDEX);
    assert_true(slice_equal(p.m.artifact_type, SLICE("a/b")));
    arena_done(&p.arena);
}

static void subject_is_given_for_images_and_indexes(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p, "{" V2 "," CONFIG "," LAYERS ",\"subject\":" DESC(OCI_MANIFEST, DIGEST_B, "5") "}", OCI_MANIFEST,
                  OCI_MANIFEST);
    assert_true(p.m.has_subject);
    assert_digest(&p.m.subject.digest, DIGEST_B);
    assert_int_equal(p.m.subject.size, 5);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 ",\"manifests\":[],\"subject\":" DESC(OCI_INDEX, DIGEST_A, "5") "}", OCI_INDEX, OCI_INDEX);
    assert_true(p.m.has_subject);
    arena_done(&p.arena);
    assert_parses(&p, "{" V2 ",\"manifests\":[],\"subject\":null}", OCI_INDEX, OCI_INDEX);
    assert_false(p.m.has_subject);
    arena_done(&p.arena);
}

static void annotations_are_given(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p, "{" V2 "," CONFIG "," LAYERS ",\"annotations\":{\"k\":\"v\",\"e\":\"\",\"\\u00e4\":\"\\\"\"}}",
                  OCI_MANIFEST, OCI_MANIFEST);
    assert_int_equal(p.m.annotation_count, 3);
    bool has_k = false;
    for (size_t i = 0; i < 3; ++i)
        has_k = has_k ||
                (slice_equal(p.m.annotations[i].key, SLICE("k")) && slice_equal(p.m.annotations[i].value, SLICE("v")));
    assert_true(has_k);
    arena_done(&p.arena);
    assert_refused("{" V2 "," CONFIG ",\"annotations\":{\"k\":1}}", OCI_MANIFEST, "annotations");
    assert_refused("{" V2 "," CONFIG ",\"annotations\":[]}", OCI_MANIFEST, "annotations");
}

static void foreign_layers_are_marked(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is_nondistributable;
    } cases[] = {
        {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true},
        {"application/vnd.docker.image.rootfs.foreign.diff.tar", true},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar", true},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true},
        {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", true},
        {"application/vnd.docker.image.rootfs.diff.tar.gzip", false},
        {"application/vnd.oci.image.layer.v1.tar+zstd", false},
        {"application/vnd.oci.image.layer.nondistributable.v1.tarball", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        char json[1024];
        (void)snprintf(json, sizeof(json),
                       "{" V2 "," CONFIG ",\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"" DIGEST_B
                       "\",\"size\":1,\"urls\":[\"https://example.com/l\"]}]}",
                       cases[i].type);
        struct parsed p;
        assert_parses(&p, json, OCI_MANIFEST, OCI_MANIFEST);
        assert_int_equal(p.m.children[0].is_nondistributable, cases[i].is_nondistributable);
        arena_done(&p.arena);
    }
}

static void unknown_fields_are_nobodys_business(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p,
                  "{" V2 "," CONFIG "," LAYERS ",\"org.example\":{\"x\":[1,2.5,-3,true,null,{}]},\"Layer\":1,"
                  "\"configs\":[]}\n",
                  OCI_MANIFEST, OCI_MANIFEST);
    arena_done(&p.arena);
}

static void image_without_layers_has_none(void **state)
{
    (void)state;
    static const char *const documents[] = {"{" V2 "," CONFIG "}", "{" V2 "," CONFIG ",\"layers\":null}",
                                            "{" V2 "," CONFIG ",\"layers\":[]}"};
    for (size_t i = 0; i < 3; ++i) {
        struct parsed p;
        assert_parses(&p, documents[i], OCI_MANIFEST, OCI_MANIFEST);
        assert_int_equal(p.m.child_count, 0);
        arena_done(&p.arena);
    }
}

static void sha512_digests_and_large_sizes_parse(void **state)
{
    (void)state;
    struct parsed p;
    assert_parses(&p,
                  "{" V2 "," CONFIG
                  ",\"layers\":[" DESC("a/b",
                                       "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                                       "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
                                       "9223372036854775807") "]}",
                  OCI_MANIFEST, OCI_MANIFEST);
    assert_int_equal(p.m.children[0].digest.algorithm, DIGEST_SHA512);
    assert_true(p.m.children[0].size == INT64_MAX);
    arena_done(&p.arena);
}

/* ---- stored bytes ---- */

static void stored_manifest_is_served_with_its_own_media_type(void **state)
{
    (void)state;
    assert_sniffed("{" V2 "," TYPE(DOCKER_MANIFEST) "," CONFIG "," LAYERS "}", OK, DOCKER_MANIFEST);
    assert_sniffed("{" V2 "," TYPE(DOCKER_LIST) ",\"manifests\":[]}", OK, DOCKER_LIST);
    assert_sniffed("{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS "}", OK, OCI_MANIFEST);
    assert_sniffed("{" V2 "," TYPE(OCI_INDEX) ",\"manifests\":[]}", OK, OCI_INDEX);
}

static void stored_manifest_without_media_type_is_served_as_its_fields_say(void **state)
{
    (void)state;
    assert_sniffed("{" V2 "," CONFIG "," LAYERS "}", OK, OCI_MANIFEST);
    assert_sniffed("{" V2 "," LAYERS "}", OK, OCI_MANIFEST);
    assert_sniffed("{" V2 ",\"manifests\":[]}", OK, OCI_INDEX);
}

static void stored_manifest_that_a_push_would_refuse_is_served(void **state)
{
    (void)state;
    assert_sniffed("{" V2 "," TYPE(OCI_MANIFEST) "," CONFIG "," LAYERS "," LAYERS ",\"Subject\":1}", OK, OCI_MANIFEST);
}

static void stored_schema_1_is_unsupported(void **state)
{
    (void)state;
    assert_sniffed("{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[],\"signatures\":[]}", UNSUPPORTED, "");
    assert_sniffed("{" V2 "," TYPE("application/vnd.docker.distribution.manifest.v1+prettyjws") "}", UNSUPPORTED, "");
    assert_sniffed("{" V2 "," TYPE("application/vnd.oci.artifact.manifest.v1+json") "}", UNSUPPORTED, "");
}

static void stored_bytes_that_are_no_manifest_are_corrupt(void **state)
{
    (void)state;
    assert_sniffed("", CORRUPT, "");
    assert_sniffed("{}", CORRUPT, "");
    assert_sniffed("{\"manifests\":null}", CORRUPT, "");
    assert_sniffed("[]", CORRUPT, "");
    assert_sniffed("\x1f\x8b\x08", CORRUPT, "");
    assert_sniffed("{" V2 "," CONFIG "," LAYERS, CORRUPT, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_manifest_gives_config_and_layers),
        cmocka_unit_test(index_gives_its_manifests),
        cmocka_unit_test(docker_manifest_and_list_parse),
        cmocka_unit_test(content_type_is_compared_without_case_and_parameters),
        cmocka_unit_test(document_without_media_type_is_what_it_came_as_or_what_its_fields_say),
        cmocka_unit_test(artifacts_bring_their_own_config_and_layer_types),
        cmocka_unit_test(artifact_type_of_the_manifest_goes_before_the_config_type),
        cmocka_unit_test(subject_is_given_for_images_and_indexes),
        cmocka_unit_test(annotations_are_given),
        cmocka_unit_test(foreign_layers_are_marked),
        cmocka_unit_test(unknown_fields_are_nobodys_business),
        cmocka_unit_test(image_without_layers_has_none),
        cmocka_unit_test(sha512_digests_and_large_sizes_parse),
        cmocka_unit_test(stored_manifest_is_served_with_its_own_media_type),
        cmocka_unit_test(stored_manifest_without_media_type_is_served_as_its_fields_say),
        cmocka_unit_test(stored_manifest_that_a_push_would_refuse_is_served),
        cmocka_unit_test(stored_schema_1_is_unsupported),
        cmocka_unit_test(stored_bytes_that_are_no_manifest_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
