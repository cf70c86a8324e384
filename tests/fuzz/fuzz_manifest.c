/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: what parses obeys every limit, parses again with the type it got, and is sniffed as that type. Descriptors
 * of referrers: what is written reads back.
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

/* Its entry in a list of referrers can be read again, whatever its annotations are. */
static void check_referrer(const struct manifest *m, struct slice bytes, struct arena *arena)
{
    struct digest digest;
    digest_of(bytes.len % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512, bytes, &digest);
    struct slice type;
    struct slice entry = referrer_descriptor(m, &digest, bytes.len, arena);
    MUST(entry.len > 0 && entry.ptr[0] == '{' && entry.ptr[entry.len - 1] == '}');
    MUST(memchr(entry.ptr, '\n', entry.len) == NULL); /* which ends the type in the index's list */
    MUST(m->artifact_type.len == 0 || memchr(m->artifact_type.ptr, '\n', m->artifact_type.len) == NULL);
    MUST(referrer_artifact_type(entry, arena, &type) == OK);
    MUST(slice_equal(type, m->artifact_type));
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
        check_referrer(&m, bytes, &arena);
    }
    struct slice type;
    r = referrer_artifact_type(bytes, &arena, &type); /* what somebody else has put there */
    MUST(r == OK || r == INVALID);
    arena_done(&arena);
    return 0;
}
