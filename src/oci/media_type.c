/* SPDX-License-Identifier: Apache-2.0
 *
 * The media types that mean something to a registry. All others are opaque: artifacts bring their own. Pure; any
 * thread.
 */
#include "oci_int.h"

#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }

static const struct media_type manifest_types[] = {
    {TEXT("application/vnd.oci.image.manifest.v1+json"), MANIFEST_IMAGE, false},
    {TEXT("application/vnd.oci.image.index.v1+json"), MANIFEST_INDEX, false},
    {TEXT("application/vnd.docker.distribution.manifest.v2+json"), MANIFEST_IMAGE, true},
    {TEXT("application/vnd.docker.distribution.manifest.list.v2+json"), MANIFEST_INDEX, true},
};

static const struct slice schema1_types[] = {
    TEXT("application/vnd.docker.distribution.manifest.v1+json"),
    TEXT("application/vnd.docker.distribution.manifest.v1+prettyjws"),
};

static const struct slice nondistributable_types[] = {
    TEXT("application/vnd.docker.image.rootfs.foreign.diff.tar"),
    TEXT("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    TEXT("application/vnd.docker.image.rootfs.foreign.diff.tar.zstd"),
    TEXT("application/vnd.oci.image.layer.nondistributable.v1.tar"),
    TEXT("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    TEXT("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct slice oci_int_essence(struct slice text)
{
    struct slice head;
    struct slice parameters;
    return slice_trim(slice_split(text, ';', &head, &parameters) ? head : text);
}

static bool is_one_of(struct slice text, const struct slice *types, size_t count)
{
    struct slice essence = oci_int_essence(text);
    for (size_t i = 0; i < count; ++i)
        if (slice_equal_nocase(essence, types[i]))
            return true;
    return false;
}

const struct media_type *oci_int_find_manifest_type(struct slice text)
{
    struct slice essence = oci_int_essence(text);
    for (size_t i = 0; i < COUNT(manifest_types); ++i)
        if (slice_equal_nocase(essence, manifest_types[i].text))
            return &manifest_types[i];
    return NULL;
}

const struct media_type *oci_int_oci_type(enum manifest_kind kind)
{
    return &manifest_types[kind == MANIFEST_INDEX ? 1 : 0];
}

bool oci_int_is_schema1_type(struct slice text)
{
    return is_one_of(text, schema1_types, COUNT(schema1_types));
}

bool oci_int_is_nondistributable_type(struct slice text)
{
    return is_one_of(text, nondistributable_types, COUNT(nondistributable_types));
}

bool oci_int_is_media_type(struct slice text)
{
    struct slice type;
    struct slice subtype;
    if (text.len > MEDIA_TYPE_MAX || !slice_split(text, '/', &type, &subtype) || type.len == 0 || subtype.len == 0)
        return false;
    for (size_t i = 0; i < text.len; ++i)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return false;
    return true;
}
