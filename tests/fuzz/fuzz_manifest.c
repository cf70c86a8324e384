/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: what parses obeys every limit, parses again with the type it got, and is sniffed as that type.
 */
#include <stdint.h>
#include <stdlib.h>

#include "minato/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check_descriptor(const struct descriptor *d)
{
    char text[DIGEST_TEXT_MAX];
    struct digest again;
    MUST(digest_parse(slice_of(text, digest_format(&d->digest, text)), &again) == OK);
    MUST(digest_equal(&d->digest, &again));
    MUST(d->media_type.len > 0 && d->media_type.len <= MEDIA_TYPE_MAX);
    MUST(d->artifact_type.len <= MEDIA_TYPE_MAX);
    for (size_t i = 0; i < d->media_type.len; ++i)
        MUST(d->media_type.ptr[i] >= ' ' && d->media_type.ptr[i] <= '~');
    MUST(d->size <= INT64_MAX);
}

static void check_manifest(const struct manifest *m)
{
    MUST(m->child_count <= MANIFEST_DESCRIPTORS_MAX);
    for (size_t i = 0; i < m->child_count; ++i)
        check_descriptor(&m->children[i]);
    if (m->has_config)
        check_descriptor(&m->config);
    if (m->has_subject)
        check_descriptor(&m->subject);
    MUST(m->has_config == (m->kind == MANIFEST_IMAGE));
    MUST(m->annotation_count <= MANIFEST_JSON_VALUES_MAX);
}

/* The first byte chooses the Content-Type. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"",
                                        "application/vnd.oci.image.manifest.v1+json",
                                        "application/vnd.oci.image.index.v1+json; charset=utf-8",
                                        "application/vnd.docker.distribution.manifest.v2+json",
                                        "application/vnd.docker.distribution.manifest.list.v2+json",
                                        "application/json"};
    if (size == 0)
        return 0;
    struct slice content_type = slice_from_cstr(types[data[0] % (sizeof(types) / sizeof(types[0]))]);
    struct slice bytes = slice_of((const char *)data + 1, size - 1);
    struct arena arena;
    arena_init(&arena);
    struct manifest m;
    struct slice why = SLICE_EMPTY;
    enum result r = manifest_parse(bytes, content_type, &arena, &m, &why);
    struct slice sniffed;
    enum result sniff = manifest_sniff(bytes, &arena, &sniffed);
    MUST(sniff == OK || sniff == UNSUPPORTED || sniff == CORRUPT);
    if (r != OK) {
        MUST((r == INVALID || r == UNSUPPORTED) && why.len > 0);
    } else {
        check_manifest(&m);
        struct manifest again;
        MUST(manifest_parse(bytes, m.media_type, &arena, &again, &why) == OK);
        MUST(again.kind == m.kind && again.child_count == m.child_count);
        MUST(sniff != OK || slice_equal(sniffed, m.media_type));
    }
    arena_done(&arena);
    return 0;
}
