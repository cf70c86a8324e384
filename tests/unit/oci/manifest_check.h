/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of manifests and the checks that the tests of src/oci/manifest.c share.
 */
#ifndef MINATO_TESTS_MANIFEST_CHECK_H
#define MINATO_TESTS_MANIFEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "minato/oci.h"

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar+gzip"

#define DIGEST_A "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define DIGEST_B "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DESC(type, digest, size) "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define CONFIG "\"config\":" DESC("application/vnd.oci.image.config.v1+json", DIGEST_A, "2")
#define LAYERS "\"layers\":[" DESC(OCI_LAYER, DIGEST_B, "32654") "]"
#define V2 "\"schemaVersion\":2"
#define TYPE(type) "\"mediaType\":\"" type "\""

/* One document and what came of it. */
struct parsed {
    struct arena arena;
    struct manifest m;
    struct slice why;
    enum result r;
};

static inline void parse(struct parsed *p, struct slice bytes, const char *content_type)
{
    memset(p, 0, sizeof(*p));
    arena_init(&p->arena);
    p->r = manifest_parse(bytes, slice_from_cstr(content_type), &p->arena, &p->m, &p->why);
}

static inline void assert_parses(struct parsed *p, const char *json, const char *content_type, const char *media_type)
{
    parse(p, slice_from_cstr(json), content_type);
    if (p->r != OK)
        fail_msg("%.*s: %s", SLICE_ARG(p->why), json);
    if (!slice_equal(p->m.media_type, slice_from_cstr(media_type)))
        fail_msg("typed %.*s: %s", SLICE_ARG(p->m.media_type), json);
}

/* Refused with `expected`, and with a sentence that has `part` in it. */
static inline void assert_refused_bytes(struct slice bytes, const char *content_type, enum result expected,
                                        const char *part)
{
    struct parsed p;
    parse(&p, bytes, content_type);
    if (p.r != expected)
        fail_msg("result %d (%.*s): %.*s", (int)p.r, SLICE_ARG(p.why), SLICE_ARG(bytes));
    if (p.why.len == 0 || memmem(p.why.ptr, p.why.len, part, strlen(part)) == NULL)
        fail_msg("said \"%.*s\", not \"%s\"", SLICE_ARG(p.why), part);
    struct manifest untouched;
    memset(&untouched, 0, sizeof(untouched));
    assert_memory_equal(&p.m, &untouched, sizeof(untouched));
    arena_done(&p.arena);
}

static inline void assert_refused(const char *json, const char *content_type, const char *part)
{
    assert_refused_bytes(slice_from_cstr(json), content_type, INVALID, part);
}

#endif
