/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers, configs and manifests. What is random comes from splitmix64, which any seed starts well.
 */
#include "images.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "must.h"
#include "official_images.h"

#define POOL_BYTES (4U << 20)
#define SHAPES_MAX (OFFICIAL_IMAGES * OFFICIAL_LAYERS_MAX)
#define STAYS 0U

/* A size that layers have, with the digest so far of all but their last bytes. */
struct shape {
    uint64_t size;
    EVP_MD_CTX *common;
};

struct image_source {
    const struct options *options;
    unsigned char *pool;
    struct shape shapes[SHAPES_MAX]; /* by size */
    unsigned shape_count;
};

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* ---- digests ---- */

void digest_begin(EVP_MD_CTX *context)
{
    if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        abort();
    }
}

void digest_finish(EVP_MD_CTX *context, char ret_digest[DIGEST_SIZE])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    if (EVP_DigestFinal_ex(context, sum, &length) != 1) {
        abort();
    }
    memcpy(ret_digest, "sha256:", 7);
    for (unsigned i = 0; i < length; i++) {
        static const char digits[] = "0123456789abcdef";
        ret_digest[7 + 2 * i] = digits[sum[i] >> 4];
        ret_digest[8 + 2 * i] = digits[sum[i] & 15];
    }
    ret_digest[7 + 2 * length] = '\0';
}

static void digest_text(const char *text, size_t length, char ret_digest[DIGEST_SIZE])
{
    EVP_MD_CTX *context = must(EVP_MD_CTX_new());
    digest_begin(context);
    EVP_DigestUpdate(context, text, length);
    digest_finish(context, ret_digest);
    EVP_MD_CTX_free(context);
}

/* ---- sizes ---- */

static const struct official_image *official_of(const struct options *options, unsigned number)
{
    return &official_images[(options->seed + number) % OFFICIAL_IMAGES];
}

static unsigned layer_count(const struct options *options, unsigned number)
{
    if (options->scenario == SINGLE_LARGE) {
        return 1;
    }
    return options->layers != 0 ? options->layers : official_of(options, number)->layers;
}

/* More layers than the official image has begin with its first again. */
static uint64_t layer_size(const struct options *options, unsigned number, unsigned layer)
{
    if (options->scenario == SINGLE_LARGE) {
        return options->size_bytes;
    }
    if (options->layer_size_bytes != 0) {
        return options->layer_size_bytes;
    }
    const struct official_image *official = official_of(options, number);
    uint64_t size = official->sizes[layer % official->layers] / options->scale;
    return size > 0 ? size : 1;
}

static uint64_t common_bytes(uint64_t size)
{
    size_t own = sizeof(((struct blob *)NULL)->own);
    return size > own ? size - own : 0;
}

/* ---- the source ---- */

static int compare_shapes(const void *a, const void *b)
{
    uint64_t left = ((const struct shape *)a)->size;
    uint64_t right = ((const struct shape *)b)->size;
    return left < right ? -1 : left > right;
}

static void collect_shapes(struct image_source *source)
{
    struct shape *shapes = source->shapes;
    unsigned count = 0;
    for (unsigned number = 0; number < OFFICIAL_IMAGES && number < source->options->images; number++) {
        unsigned layers = layer_count(source->options, number);
        for (unsigned layer = 0; layer < layers && layer < OFFICIAL_LAYERS_MAX; layer++) {
            shapes[count++].size = layer_size(source->options, number, layer);
        }
    }
    qsort(shapes, count, sizeof(*shapes), compare_shapes);
    for (unsigned i = 0; i < count; i++) {
        if (i == 0 || shapes[i].size != shapes[source->shape_count - 1].size) {
            shapes[source->shape_count++].size = shapes[i].size;
        }
    }
}

/* One pass over the largest: the smaller ones are where it has been. */
static void digest_shapes(struct image_source *source)
{
    EVP_MD_CTX *running = must(EVP_MD_CTX_new());
    digest_begin(running);
    uint64_t at = 0;
    for (unsigned i = 0; i < source->shape_count; i++) {
        uint64_t end = common_bytes(source->shapes[i].size);
        while (at < end) {
            uint64_t from = at % POOL_BYTES;
            uint64_t n = end - at < POOL_BYTES - from ? end - at : POOL_BYTES - from;
            EVP_DigestUpdate(running, source->pool + from, (size_t)n);
            at += n;
        }
        source->shapes[i].common = must(EVP_MD_CTX_new());
        EVP_MD_CTX_copy_ex(source->shapes[i].common, running);
    }
    EVP_MD_CTX_free(running);
}

struct image_source *image_source_new(const struct options *options)
{
    struct image_source *source = must(calloc(1, sizeof(*source)));
    source->options = options;
    source->pool = must(malloc(POOL_BYTES));
    uint64_t state = options->seed;
    for (size_t i = 0; i < POOL_BYTES; i += sizeof(uint64_t)) {
        uint64_t word = splitmix(&state);
        memcpy(source->pool + i, &word, sizeof(word));
    }
    collect_shapes(source);
    digest_shapes(source);
    return source;
}

void image_source_free(struct image_source *source)
{
    if (source == NULL) {
        return;
    }
    for (unsigned i = 0; i < source->shape_count; i++) {
        EVP_MD_CTX_free(source->shapes[i].common);
    }
    free(source->pool);
    free(source);
}

size_t blob_read(const struct image_source *source, const struct blob *blob, uint64_t offset, void *ret_bytes,
                 size_t size)
{
    unsigned char *out = ret_bytes;
    size_t wanted = offset >= blob->size ? 0 : blob->size - offset < size ? (size_t)(blob->size - offset) : size;
    if (blob->text != NULL) {
        memcpy(out, blob->text + offset, wanted);
        return wanted;
    }
    uint64_t common = common_bytes(blob->size);
    for (size_t done = 0; done < wanted;) {
        uint64_t at = offset + done;
        bool is_common = at < common;
        const unsigned char *from = is_common ? source->pool + at % POOL_BYTES : blob->own + (at - common);
        uint64_t there = is_common ? POOL_BYTES - at % POOL_BYTES : wanted - done;
        there = is_common && common - at < there ? common - at : there;
        size_t n = there < wanted - done ? (size_t)there : wanted - done;
        memcpy(out + done, from, n);
        done += n;
    }
    return wanted;
}

/* ---- blobs ---- */

static void make_layer(const struct image_source *source, uint64_t size, unsigned number, unsigned layer,
                       uint64_t version, struct blob *ret_blob)
{
    struct shape key = {.size = size};
    const struct shape *shape =
        must(bsearch(&key, source->shapes, source->shape_count, sizeof(*source->shapes), compare_shapes));
    uint64_t state = source->options->seed;
    state = splitmix(&state) ^ number;
    state = splitmix(&state) ^ layer;
    state = splitmix(&state) ^ version;
    *ret_blob = (struct blob){.size = size};
    for (size_t i = 0; i < sizeof(ret_blob->own); i += sizeof(uint64_t)) {
        uint64_t word = splitmix(&state);
        memcpy(ret_blob->own + i, &word, sizeof(word));
    }
    EVP_MD_CTX *context = must(EVP_MD_CTX_new());
    EVP_MD_CTX_copy_ex(context, shape->common);
    EVP_DigestUpdate(context, ret_blob->own, (size_t)(size - common_bytes(size)));
    digest_finish(context, ret_blob->digest);
    EVP_MD_CTX_free(context);
}

static void make_config(const struct image *image, uint64_t seed, unsigned number, uint64_t version,
                        struct blob *ret_blob)
{
    json_t *layers = json_array();
    for (unsigned i = 0; i + 1 < image->blob_count; i++) {
        json_array_append_new(layers, json_string(image->blobs[i].digest));
    }
    char label[64];
    snprintf(label, sizeof(label), "%" PRIu64 "/%u/%" PRIu64, seed, number, version);
    json_t *config =
        json_pack("{s:s, s:s, s:{s:{s:s}}, s:{s:s, s:o}}", "architecture", "amd64", "os", "linux", "config", "Labels",
                  "minato-bench", label, "rootfs", "type", "layers", "diff_ids", layers);
    *ret_blob = (struct blob){.text = must(json_dumps(config, JSON_COMPACT))};
    ret_blob->size = strlen(ret_blob->text);
    digest_text(ret_blob->text, ret_blob->size, ret_blob->digest);
    json_decref(config);
}

static json_t *descriptor(const char *media_type, const struct blob *blob)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", blob->digest, "size",
                     (json_int_t)blob->size);
}

static void make_manifest(struct image *image)
{
    json_t *layers = json_array();
    for (unsigned i = 0; i + 1 < image->blob_count; i++) {
        json_array_append_new(layers, descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &image->blobs[i]));
    }
    const struct blob *config = &image->blobs[image->blob_count - 1];
    json_t *manifest = json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_TYPE_MANIFEST, "config",
                                 descriptor("application/vnd.oci.image.config.v1+json", config), "layers", layers);
    image->manifest = must(json_dumps(manifest, JSON_COMPACT));
    image->manifest_length = strlen(image->manifest);
    digest_text(image->manifest, image->manifest_length, image->manifest_digest);
    json_decref(manifest);
}

/* ---- images ---- */

struct image *image_make_version(const struct image_source *source, unsigned number, uint64_t version)
{
    const struct options *options = source->options;
    struct image *image = must(calloc(1, sizeof(*image)));
    unsigned layers = layer_count(options, number);
    unsigned kept = version == STAYS || options->scenario == SINGLE_LARGE ? 0 : layers / 2;
    snprintf(image->repository, sizeof(image->repository), "%s/app%u", options->repository, number);
    snprintf(image->tag, sizeof(image->tag), "v%" PRIu64, version + 1);
    image->blob_count = layers + 1;
    image->blobs = must(calloc(image->blob_count, sizeof(*image->blobs)));
    for (unsigned i = 0; i < layers; i++) {
        make_layer(source, layer_size(options, number, i), number, i, i < kept ? STAYS : version, &image->blobs[i]);
    }
    make_config(image, options->seed, number, version, &image->blobs[layers]);
    make_manifest(image);
    return image;
}

struct image *image_make(const struct image_source *source, unsigned number)
{
    return image_make_version(source, number, STAYS);
}

void image_free(struct image *image)
{
    if (image == NULL) {
        return;
    }
    for (unsigned i = 0; i < image->blob_count; i++) {
        free(image->blobs[i].text);
    }
    free(image->blobs);
    free(image->manifest);
    free(image);
}
