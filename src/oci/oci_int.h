/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of src/oci: the table of media types and the guarded way from bytes to a JSON document.
 */
#ifndef MINATO_OCI_INT_H
#define MINATO_OCI_INT_H

#include <jansson.h>

#include "minato/oci.h"

struct media_type {
    struct slice text;
    enum manifest_kind kind;
    bool is_docker;
};

/* The manifest type that `text` names (any case, parameters ignored), or NULL. Static storage. */
const struct media_type *oci_int_find_manifest_type(struct slice text);
/* The type of an OCI image manifest or index. */
const struct media_type *oci_int_oci_type(enum manifest_kind kind);
bool oci_int_is_schema1_type(struct slice text);
bool oci_int_is_nondistributable_type(struct slice text);
/* type "/" subtype and perhaps parameters: printable ASCII, at most MEDIA_TYPE_MAX bytes. */
bool oci_int_is_media_type(struct slice text);
/* `text` without parameters and surrounding space. */
struct slice oci_int_essence(struct slice text);

enum json_strictness { JSON_AS_STORED, JSON_WITHOUT_DUPLICATES };

/* The document, an object, which the caller releases with json_decref; else INVALID with *ret_why in `arena` or
 * static. Depth and number of values are checked before anything is allocated for them. */
enum result oci_int_load_object(struct slice bytes, enum json_strictness strictness, struct arena *arena,
                                json_t **ret_object, struct slice *ret_why) NODISCARD;
/* The first key of `object` that equals one of `names` only when case is folded the way Go's decoder does; or NULL. */
const char *oci_int_find_miscased_key(json_t *object, const char *const *names, size_t count);
/* Borrowed from `string`. */
struct slice oci_int_string(const json_t *string);

#endif
