/* SPDX-License-Identifier: Apache-2.0
 *
 * From untrusted bytes to a JSON document, guarded: jansson recurses and allocates per value, so depth and number of
 * values are counted first; whether it is JSON at all is jansson's to say. What the fields mean is manifest.c's.
 */
#include <string.h>
#include <strings.h>

#include "oci_int.h"

/* One pass over the bytes outside of strings. What is no JSON may be counted wrongly: jansson stops at it, and never
 * gets deeper or further than what was counted. */
static const char *measure(struct slice bytes)
{
    size_t depth = 0;
    size_t values = 1;
    bool in_string = false;
    for (size_t i = 0; i < bytes.len; ++i) {
        char c = bytes.ptr[i];
        if (in_string) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            ++values;
            if (++depth > MANIFEST_JSON_DEPTH_MAX)
                return "the document is nested too deeply";
        } else if (c == ',') {
            ++values;
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
        if (values > MANIFEST_JSON_VALUES_MAX)
            return "the document has too many values";
    }
    return NULL;
}

enum result oci_int_load_object(struct slice bytes, enum json_strictness strictness, struct arena *arena,
                                json_t **ret_object, struct slice *ret_why)
{
    const char *over = measure(bytes);
    if (over != NULL) {
        *ret_why = slice_from_cstr(over);
        return INVALID;
    }
    json_error_t error;
    size_t flags = strictness == JSON_WITHOUT_DUPLICATES ? JSON_REJECT_DUPLICATES : 0;
    json_t *document = json_loadb(bytes.len == 0 ? "" : bytes.ptr, bytes.len, flags, &error);
    if (document == NULL) {
        *ret_why =
            arena_format(arena, "not valid JSON at line %d, column %d: %s", error.line, error.column, error.text);
        return INVALID;
    }
    if (!json_is_object(document)) {
        json_decref(document);
        *ret_why = SLICE("a manifest is a JSON object");
        return INVALID;
    }
    *ret_object = document;
    return OK;
}

/* Folds as Go's encoding/json does: ASCII case, and the two characters beyond ASCII that fold to 's' and 'k'. False
 * if it does not fit into `size` or is longer than any field of ours. */
static bool fold(const char *key, char *out, size_t size)
{
    size_t n = 0;
    while (*key != '\0') {
        char c = *key;
        if (strncmp(key, "\xc5\xbf", 2) == 0) { /* U+017F, long s */
            c = 's';
            key += 2;
        } else if (strncmp(key, "\xe2\x84\xaa", 3) == 0) { /* U+212A, Kelvin sign */
            c = 'k';
            key += 3;
        } else {
            c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
            ++key;
        }
        if (n + 1 == size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

const char *oci_int_find_miscased_key(json_t *object, const char *const *names, size_t count)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char folded[24];
        if (!fold(key, folded, sizeof(folded)))
            continue;
        for (size_t i = 0; i < count; ++i)
            if (strcmp(key, names[i]) != 0 && strcasecmp(folded, names[i]) == 0)
                return key;
    }
    return NULL;
}

struct slice oci_int_string(const json_t *string)
{
    return slice_of(json_string_value(string), json_string_length(string));
}
