/* SPDX-License-Identifier: Apache-2.0
 *
 * The generator: its digests are those of the bytes it hands out, however they are asked for, and depend on the seed
 * alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bench/minato_bench/images.h"

static const struct options defaults = {
    .scenario = PUSH_STORM, .seed = 7, .images = 3, .scale = 1000, .repository = "r"};

/* Reads a blob in pieces of `piece` bytes. */
static void assert_digest_holds(const struct image_source *source, const struct blob *blob, size_t piece)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char *bytes = malloc(piece);
    char digest[DIGEST_SIZE];
    uint64_t read = 0;
    size_t n;
    digest_begin(context);
    while ((n = blob_read(source, blob, read, bytes, piece)) > 0) {
        EVP_DigestUpdate(context, bytes, n);
        read += n;
    }
    digest_finish(context, digest);
    assert_int_equal(read, blob->size);
    assert_string_equal(digest, blob->digest);
    free(bytes);
    EVP_MD_CTX_free(context);
}

static void digests_are_those_of_the_bytes(void **state)
{
    (void)state;
    struct image_source *source = image_source_new(&defaults);
    for (unsigned number = 0; number < defaults.images; number++) {
        struct image *image = image_make_version(source, number, number);
        for (unsigned i = 0; i < image->blob_count; i++) {
            assert_digest_holds(source, &image->blobs[i], 1);
            assert_digest_holds(source, &image->blobs[i], 1000);
        }
        image_free(image);
    }
    image_source_free(source);
}

/* Around the 32 bytes that are a layer's own, and around the end of the pool. */
static void digests_hold_at_the_edges(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 31, 32, 33, (4U << 20) + 31, (4U << 20) + 32, (4U << 20) + 33, 9000001};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct options options = defaults;
        options.layers = 1;
        options.layer_size_bytes = sizes[i];
        struct image_source *source = image_source_new(&options);
        struct image *image = image_make(source, 0);
        assert_int_equal(image->blobs[0].size, sizes[i]);
        assert_digest_holds(source, &image->blobs[0], 65537);
        image_free(image);
        image_source_free(source);
    }
}

static void seed_decides_the_digests(void **state)
{
    (void)state;
    struct options other = defaults;
    other.seed = 8;
    struct image_source *sources[] = {image_source_new(&defaults), image_source_new(&defaults),
                                      image_source_new(&other)};
    struct image *images[3];
    for (int i = 0; i < 3; i++) {
        images[i] = image_make_version(sources[i], 1, 5);
    }
    assert_string_equal(images[0]->manifest_digest, images[1]->manifest_digest);
    assert_string_not_equal(images[0]->manifest_digest, images[2]->manifest_digest);
    for (int i = 0; i < 3; i++) {
        image_free(images[i]);
        image_source_free(sources[i]);
    }
}

static void versions_share_the_lower_half_of_their_layers(void **state)
{
    (void)state;
    struct options options = defaults;
    options.layers = 6;
    options.layer_size_bytes = 100;
    struct image_source *source = image_source_new(&options);
    struct image *first = image_make(source, 0);
    struct image *second = image_make_version(source, 0, 1);
    struct image *other = image_make(source, 1);
    for (unsigned i = 0; i < options.layers; i++) {
        assert_int_equal(strcmp(first->blobs[i].digest, second->blobs[i].digest) == 0, i < 3);
        assert_string_not_equal(first->blobs[i].digest, other->blobs[i].digest);
    }
    assert_string_not_equal(first->manifest_digest, second->manifest_digest);
    image_free(first);
    image_free(second);
    image_free(other);
    image_source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_the_bytes),
        cmocka_unit_test(digests_hold_at_the_edges),
        cmocka_unit_test(seed_decides_the_digests),
        cmocka_unit_test(versions_share_the_lower_half_of_their_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
