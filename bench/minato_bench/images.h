/* SPDX-License-Identifier: Apache-2.0
 *
 * Images made from a seed: the same seed, the same digests. Bytes are made while they are sent, none are kept.
 *
 * A layer is one pool of random bytes over and over, cut at the layer's size, but for its last 32 bytes, which are its
 * own. So layers of one size differ only there, and a digest is that of the common part (computed once for each size)
 * and of these.
 */
#ifndef MINATO_BENCH_IMAGES_H
#define MINATO_BENCH_IMAGES_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

#define DIGEST_SIZE 72 /* "sha256:", 64 digits, NUL */
#define REPOSITORY_SIZE 192
#define TAG_SIZE 64
#define MEDIA_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"

struct blob {
    uint64_t size;
    char *text; /* a config; NULL: a layer */
    unsigned char own[32];
    char digest[DIGEST_SIZE];
};

struct image {
    char repository[REPOSITORY_SIZE];
    char tag[TAG_SIZE];
    struct blob *blobs; /* the config is the last, as it is pushed */
    unsigned blob_count;
    char *manifest;
    size_t manifest_length;
    char manifest_digest[DIGEST_SIZE];
};

struct image_source;

/* Digests the common part of all sizes that the options ask for: a second for two GB. */
struct image_source *image_source_new(const struct options *options);
void image_source_free(struct image_source *source);

/* One that stays: image `number`, tag "v1". */
struct image *image_make(const struct image_source *source, unsigned number);
/* A new version of it, `version` > 0: of its layers the lower half are the same. */
struct image *image_make_version(const struct image_source *source, unsigned number, uint64_t version);
void image_free(struct image *image);

/* Up to `size` bytes from `offset` on; how many there were. */
size_t blob_read(const struct image_source *source, const struct blob *blob, uint64_t offset, void *ret_bytes,
                 size_t size);

/* "sha256:..." of a finished context, which may begin again. */
void digest_finish(EVP_MD_CTX *context, char ret_digest[DIGEST_SIZE]);
void digest_begin(EVP_MD_CTX *context);

#endif
