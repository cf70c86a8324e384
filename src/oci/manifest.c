/* SPDX-License-Identifier: Apache-2.0
 *
 * What a manifest says: its kind, its type, what it refers to. Strict where clients could read the same bytes in two
 * ways (kind, duplicate and miscased fields, mediaType against Content-Type), lenient where artifacts are creative
 * (config and layer types, unknown fields). Whether what it refers to exists is the registry's question. Any thread.
 */
#include <stdio.h>

#include "oci_int.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WHY_TEXT_MAX 100 /* of what the client sent, in a sentence */

#define WHY_SCHEMA1 SLICE("schema 1 manifests are not supported: push the image again with a current client")

struct parse {
    struct arena *arena;
    struct slice *why;
};

static enum result refuse(struct parse *p, struct slice why)
{
    *p->why = why;
    return INVALID;
}

static struct slice shortened(struct slice s)
{
    return slice_of(s.ptr, s.len < WHY_TEXT_MAX ? s.len : WHY_TEXT_MAX);
}

/* ---- fields ---- */

static enum result check_spelling(struct parse *p, json_t *object, const char *where, const char *const *names,
                                  size_t count)
{
    const char *key = oci_int_find_miscased_key(object, names, count);
    if (key == NULL)
        return OK;
    return refuse(p,
                  arena_format(p->arena, "%s: the field \"%s\" differs from the specification's in case", where, key));
}

/* Absent, null and "" are the empty slice. */
static enum result read_text(struct parse *p, json_t *object, const char *where, const char *name, struct slice *ret)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value)) {
        *ret = SLICE_EMPTY;
        return OK;
    }
    if (!json_is_string(value))
        return refuse(p, arena_format(p->arena, "%s: \"%s\" is not a string", where, name));
    *ret = arena_copy(p->arena, oci_int_string(value));
    return OK;
}

static enum result read_media_type(struct parse *p, json_t *object, const char *where, const char *name,
                                   struct slice *ret)
{
    struct slice text;
    enum result r = read_text(p, object, where, name, &text);
    if (r != OK)
        return r;
    if (text.len > 0 && !oci_int_is_media_type(text))
        return refuse(p, arena_format(p->arena, "%s: \"%s\" is not a media type", where, name));
    *ret = text;
    return OK;
}

static enum result read_digest(struct parse *p, json_t *object, const char *where, struct digest *ret)
{
    const json_t *value = json_object_get(object, "digest");
    if (!json_is_string(value))
        return refuse(p, arena_format(p->arena, "%s: a descriptor needs a \"digest\"", where));
    struct slice text = oci_int_string(value);
    enum result r = digest_parse(text, ret);
    if (r == OK)
        return OK;
    text = shortened(text);
    const char *sentence = r == UNSUPPORTED ? "the digest's algorithm is neither sha256 nor sha512" : "not a digest";
    return refuse(p, arena_format(p->arena, "%s: %s: \"%.*s\"", where, sentence, SLICE_ARG(text)));
}

static enum result read_descriptor(struct parse *p, json_t *value, const char *where, struct descriptor *ret)
{
    static const char *const names[] = {"mediaType", "digest", "size", "artifactType"};
    struct descriptor d = {.size = 0};
    if (!json_is_object(value))
        return refuse(p, arena_format(p->arena, "%s: a descriptor is a JSON object", where));
    enum result r = check_spelling(p, value, where, names, COUNT(names));
    if (r == OK)
        r = read_media_type(p, value, where, "mediaType", &d.media_type);
    if (r == OK)
        r = read_media_type(p, value, where, "artifactType", &d.artifact_type);
    if (r == OK)
        r = read_digest(p, value, where, &d.digest);
    if (r != OK)
        return r;
    if (d.media_type.len == 0)
        return refuse(p, arena_format(p->arena, "%s: a descriptor needs a \"mediaType\"", where));
    const json_t *size = json_object_get(value, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return refuse(p, arena_format(p->arena, "%s: \"size\" is not a whole number of bytes", where));
    d.size = (uint64_t)json_integer_value(size);
    d.is_nondistributable = oci_int_is_nondistributable_type(d.media_type);
    *ret = d;
    return OK;
}

/* `name` may be absent or null: no children. */
static enum result read_children(struct parse *p, json_t *document, const char *name, struct manifest *m)
{
    json_t *array = json_object_get(document, name);
    if (array == NULL || json_is_null(array))
        return OK;
    if (!json_is_array(array))
        return refuse(p, arena_format(p->arena, "\"%s\" is not an array", name));
    size_t count = json_array_size(array);
    if (count > MANIFEST_DESCRIPTORS_MAX)
        return refuse(p, arena_format(p->arena, "\"%s\" has more than %d entries", name, MANIFEST_DESCRIPTORS_MAX));
    m->children = ARENA_ARRAY(p->arena, struct descriptor, count == 0 ? 1 : count);
    for (size_t i = 0; i < count; ++i) {
        char where[32];
        (void)snprintf(where, sizeof(where), "%s[%zu]", name, i);
        enum result r = read_descriptor(p, json_array_get(array, i), where, &m->children[i]);
        if (r != OK)
            return r;
    }
    m->child_count = count;
    return OK;
}

static enum result read_annotations(struct parse *p, json_t *document, struct manifest *m)
{
    json_t *annotations = json_object_get(document, "annotations");
    if (annotations == NULL || json_is_null(annotations))
        return OK;
    if (!json_is_object(annotations))
        return refuse(p, SLICE("\"annotations\" is not an object"));
    size_t count = json_object_size(annotations);
    m->annotations = ARENA_ARRAY(p->arena, struct annotation, count == 0 ? 1 : count);
    const char *key;
    json_t *value;
    json_object_foreach(annotations, key, value)
    {
        if (!json_is_string(value))
            return refuse(p, SLICE("a value of \"annotations\" is not a string"));
        struct annotation *a = &m->annotations[m->annotation_count++];
        a->key = arena_copy(p->arena, slice_from_cstr(key));
        a->value = arena_copy(p->arena, oci_int_string(value));
    }
    return OK;
}

/* ---- type ---- */

static bool is_schema1(json_t *document)
{
    const json_t *version = json_object_get(document, "schemaVersion");
    return (json_is_integer(version) && json_integer_value(version) == 1) ||
           json_object_get(document, "fsLayers") != NULL ||
           oci_int_is_schema1_type(oci_int_string(json_object_get(document, "mediaType")));
}

/* By its fields alone; NULL if they do not tell. Manifests first, as Docker Registry does. */
static const struct media_type *type_by_fields(json_t *document)
{
    if (json_is_array(json_object_get(document, "manifests")))
        return oci_int_oci_type(MANIFEST_INDEX);
    if (json_is_object(json_object_get(document, "config")) || json_is_array(json_object_get(document, "layers")))
        return oci_int_oci_type(MANIFEST_IMAGE);
    return NULL;
}

/* The one type that Content-Type, "mediaType" and fields agree on. `content` is NULL without a Content-Type. */
static enum result decide_type(struct parse *p, json_t *document, const struct media_type *content,
                               const struct media_type **ret_type)
{
    struct slice own;
    enum result r = read_media_type(p, document, "manifest", "mediaType", &own);
    if (r != OK)
        return r;
    if (own.len == 0) {
        const struct media_type *type = content != NULL ? content : type_by_fields(document);
        if (type == NULL)
            return refuse(p, SLICE("neither \"layers\" nor \"manifests\", nor a \"mediaType\": not a manifest"));
        if (type->is_docker) /* once stored it would be sniffed as something else */
            return refuse(p, SLICE("a Docker manifest must name its \"mediaType\""));
        *ret_type = type;
        return OK;
    }
    const struct media_type *type = oci_int_find_manifest_type(own);
    if (type == NULL && content == NULL) {
        own = shortened(own);
        *p->why = arena_format(p->arena, "\"%.*s\" is not a manifest type", SLICE_ARG(own));
        return UNSUPPORTED;
    }
    /* Clients compare "mediaType" byte by byte. */
    if (type == NULL || !slice_equal(own, type->text) || (content != NULL && type != content)) {
        own = shortened(own);
        return refuse(p, arena_format(p->arena, "the manifest's \"mediaType\" is \"%.*s\", but it came as \"%.*s\"",
                                      SLICE_ARG(own), SLICE_ARG(content != NULL ? content->text : type->text)));
    }
    *ret_type = type;
    return OK;
}

/* A document that is an image to one client and an index to another (CVE-2021-41190). */
static enum result check_one_kind(struct parse *p, json_t *document, enum manifest_kind kind)
{
    bool has_image_fields = json_object_get(document, "config") != NULL || json_object_get(document, "layers") != NULL;
    bool has_index_fields = json_object_get(document, "manifests") != NULL;
    if (kind == MANIFEST_IMAGE && has_index_fields)
        return refuse(p, SLICE("an image manifest must not have \"manifests\""));
    if (kind == MANIFEST_INDEX && has_image_fields)
        return refuse(p, SLICE("an index must not have \"config\" or \"layers\""));
    return OK;
}

/* ---- the whole ---- */

static enum result read_image(struct parse *p, json_t *document, struct manifest *m)
{
    json_t *config = json_object_get(document, "config");
    if (config == NULL)
        return refuse(p, SLICE("an image manifest needs a \"config\""));
    m->has_config = true;
    enum result r = read_descriptor(p, config, "config", &m->config);
    if (r != OK)
        return r;
    if (m->artifact_type.len == 0)
        m->artifact_type = m->config.media_type;
    return read_children(p, document, "layers", m);
}

static enum result read_document(struct parse *p, json_t *document, const struct media_type *content,
                                 struct manifest *m)
{
    static const char *const names[] = {"schemaVersion", "mediaType", "artifactType", "config",  "layers",
                                        "manifests",     "subject",   "annotations",  "fsLayers"};
    if (is_schema1(document)) {
        *p->why = WHY_SCHEMA1;
        return UNSUPPORTED;
    }
    enum result r = check_spelling(p, document, "manifest", names, COUNT(names));
    const struct media_type *type = NULL;
    if (r == OK)
        r = decide_type(p, document, content, &type);
    if (r == OK)
        r = check_one_kind(p, document, type->kind);
    if (r != OK)
        return r;
    const json_t *version = json_object_get(document, "schemaVersion");
    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return refuse(p, SLICE("\"schemaVersion\" is not 2"));
    m->kind = type->kind;
    m->media_type = type->text;
    r = read_media_type(p, document, "manifest", "artifactType", &m->artifact_type);
    if (r == OK)
        r = type->kind == MANIFEST_IMAGE ? read_image(p, document, m) : read_children(p, document, "manifests", m);
    json_t *subject = json_object_get(document, "subject");
    if (r == OK && subject != NULL && !json_is_null(subject)) {
        m->has_subject = true;
        r = read_descriptor(p, subject, "subject", &m->subject);
    }
    return r == OK ? read_annotations(p, document, m) : r;
}

enum result manifest_parse(struct slice bytes, struct slice content_type, struct arena *arena, struct manifest *ret,
                           struct slice *ret_why)
{
    struct parse p = {.arena = arena, .why = ret_why};
    struct slice essence = oci_int_essence(content_type);
    const struct media_type *content = oci_int_find_manifest_type(essence);
    if (oci_int_is_schema1_type(essence)) {
        *ret_why = WHY_SCHEMA1;
        return UNSUPPORTED;
    }
    if (essence.len > 0 && content == NULL) {
        essence = shortened(essence);
        *ret_why = arena_format(arena, "the Content-Type \"%.*s\" is not a manifest type", SLICE_ARG(essence));
        return UNSUPPORTED;
    }
    json_t *document;
    enum result r = oci_int_load_object(bytes, JSON_WITHOUT_DUPLICATES, arena, &document, ret_why);
    if (r != OK)
        return r;
    struct manifest m = {.kind = MANIFEST_IMAGE};
    r = read_document(&p, document, content, &m);
    json_decref(document);
    if (r == OK)
        *ret = m;
    return r;
}

enum result manifest_sniff(struct slice bytes, struct arena *arena, struct slice *ret_media_type)
{
    json_t *document;
    struct slice why;
    if (oci_int_load_object(bytes, JSON_AS_STORED, arena, &document, &why) != OK)
        return CORRUPT;
    enum result r = CORRUPT;
    struct slice own = oci_int_string(json_object_get(document, "mediaType"));
    const struct media_type *type = own.len == 0 ? type_by_fields(document) : oci_int_find_manifest_type(own);
    if (is_schema1(document) || (own.len > 0 && type == NULL)) {
        r = UNSUPPORTED;
    } else if (type != NULL) {
        *ret_media_type = type->text;
        r = OK;
    }
    json_decref(document);
    return r;
}
