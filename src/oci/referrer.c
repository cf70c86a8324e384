/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries of a list of referrers: descriptors as JSON. Any thread.
 */
#include <stdlib.h>

#include "oci_int.h"

static json_t *json_of(struct slice text)
{
    return json_stringn(text.ptr == NULL ? "" : text.ptr, text.len);
}

static json_t *annotations_of(const struct manifest *manifest)
{
    json_t *annotations = json_object();
    for (size_t i = 0; i < manifest->annotation_count; i++) {
        const struct annotation *a = &manifest->annotations[i];
        json_object_setn_new(annotations, a->key.ptr, a->key.len, json_of(a->value));
    }
    return annotations;
}

struct slice referrer_descriptor(const struct manifest *manifest, const struct digest *digest, uint64_t size,
                                 struct arena *arena)
{
    char text[DIGEST_TEXT_MAX];
    json_t *descriptor = json_object();
    json_object_set_new(descriptor, "mediaType", json_of(manifest->media_type));
    json_object_set_new(descriptor, "digest", json_stringn(text, digest_format(digest, text)));
    json_object_set_new(descriptor, "size", json_integer((json_int_t)size));
    if (manifest->artifact_type.len > 0)
        json_object_set_new(descriptor, "artifactType", json_of(manifest->artifact_type));
    if (manifest->annotation_count > 0)
        json_object_set_new(descriptor, "annotations", annotations_of(manifest));
    char *json = json_dumps(descriptor, JSON_COMPACT);
    json_decref(descriptor);
    if (json == NULL) /* only for want of memory */
        abort();
    struct slice copy = arena_copy(arena, slice_from_cstr(json));
    free(json);
    return copy;
}

enum result referrer_artifact_type(struct slice descriptor, struct arena *arena, struct slice *ret_type)
{
    json_t *object;
    struct slice why;
    if (oci_int_load_object(descriptor, JSON_AS_STORED, arena, &object, &why) != OK)
        return INVALID;
    struct slice type = oci_int_string(json_object_get(object, "artifactType"));
    *ret_type = arena_copy(arena, type);
    json_decref(object);
    return OK;
}
