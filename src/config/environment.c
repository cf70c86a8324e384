/* SPDX-License-Identifier: Apache-2.0
 *
 * MINATO_* variables over the file: the name is the key in capitals with '_' for '.', as the key table says; there is
 * no second table. Not here: what a value looks like (value.c).
 */
#include <ctype.h>
#include <string.h>

#include "config_int.h"
#include "minato/own.h"

#define PREFIX "MINATO_"

/* "http.listen" -> "MINATO_HTTP_LISTEN" */
static void append_variable(struct strbuf *out, const char *key_name)
{
    strbuf_append(out, SLICE(PREFIX));
    for (const char *p = key_name; *p != '\0'; p++)
        strbuf_append_char(out, *p == '.' ? '_' : (char)toupper((unsigned char)*p));
}

static bool names(const char *key_name, struct slice variable)
{
    OWNED(strbuf_done) struct strbuf name;
    strbuf_init(&name, CONFIG_NAME_BYTES_MAX + sizeof(PREFIX));
    append_variable(&name, key_name);
    return slice_equal(strbuf_slice(&name), variable);
}

static const struct config_key *find_by_variable(struct slice variable, bool *ret_is_file)
{
    struct slice file_suffix = SLICE("_FILE");
    for (size_t i = 0; i < config_int_key_count; i++) {
        const struct config_key *key = &config_int_keys[i];
        if (names(key->name, variable)) {
            *ret_is_file = false;
            return key;
        }
        if (key->kind == CONFIG_SECRET && slice_has_suffix(variable, file_suffix) &&
            names(key->name, slice_of(variable.ptr, variable.len - file_suffix.len))) {
            *ret_is_file = true;
            return key;
        }
    }
    return NULL;
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* Kubernetes and docker links tell every container about services by variables; for a service called "minato" or
 * "minato-x" they begin as ours do. */
static bool is_of_orchestrator(struct slice variable, struct slice value)
{
    if (slice_has_suffix(variable, SLICE("_SERVICE_HOST")) || slice_has_suffix(variable, SLICE("_SERVICE_PORT")) ||
        contains(variable, "_SERVICE_PORT_"))
        return true;
    if (contains(variable, "_PORT_") &&
        (contains(variable, "_TCP") || contains(variable, "_UDP") || contains(variable, "_SCTP")))
        return true;
    return slice_has_suffix(variable, SLICE("_PORT")) && contains(value, "://");
}

/* "MINATO_STORAGE_S3_BUCKET" -> what stands in its place in this version, or NULL. */
static const char *find_later(struct slice variable)
{
    OWNED(strbuf_done) struct strbuf dotted;
    strbuf_init(&dotted, 256);
    for (size_t i = sizeof(PREFIX) - 1; i < variable.len; i++)
        strbuf_append_char(&dotted, variable.ptr[i] == '_' ? '.' : (char)tolower((unsigned char)variable.ptr[i]));
    struct slice name = strbuf_slice(&dotted);
    const char *instead = config_int_find_later(name);
    /* An underscore may stand for itself: try it back at each place ("trusted_proxies", "part_size"). */
    for (size_t i = 0; instead == NULL && i < name.len; i++) {
        if (name.ptr[i] != '.')
            continue;
        dotted.ptr[i] = '_';
        instead = config_int_find_later(name);
        if (instead == NULL)
            dotted.ptr[i] = '.';
    }
    return instead;
}

static void refuse_unknown(struct config_loader *l, const struct config_source *source)
{
    struct slice variable = slice_from_cstr(source->variable);
    const char *instead = find_later(variable);
    if (instead != NULL) {
        config_int_mistake(l, source, SLICE_EMPTY, "found a key of a later version, expected it unset: %s", instead);
        return;
    }
    OWNED(strbuf_done) struct strbuf nearest;
    strbuf_init(&nearest, CONFIG_NAME_BYTES_MAX + sizeof(PREFIX));
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < config_int_key_count; i++) {
        OWNED(strbuf_done) struct strbuf name;
        strbuf_init(&name, CONFIG_NAME_BYTES_MAX + sizeof(PREFIX));
        append_variable(&name, config_int_keys[i].name);
        size_t d = config_int_edit_distance(variable, strbuf_slice(&name));
        if (d >= distance)
            continue;
        distance = d;
        strbuf_clear(&nearest);
        strbuf_append(&nearest, strbuf_slice(&name));
    }
    config_int_mistake(l, source, SLICE_EMPTY, "found an unknown variable, expected a key's; the nearest is %s",
                       nearest.ptr);
}

static void set_list(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                     struct slice value)
{
    struct slice items[CONFIG_LIST_ITEMS_MAX + 1];
    size_t count = 0;
    struct slice item;
    while (count < CONFIG_LIST_ITEMS_MAX && slice_split(value, ',', &item, &value))
        items[count++] = slice_trim(item);
    items[count++] = slice_trim(value);
    config_int_set_list(l, key, source, items, count);
}

static void apply_variable(struct config_loader *l, const char *entry)
{
    struct slice variable;
    struct slice value;
    if (!slice_split(slice_from_cstr(entry), '=', &variable, &value))
        return;
    struct config_source source = {.variable = arena_cstr(l->arena, variable)};
    bool is_file = false;
    const struct config_key *key = find_by_variable(variable, &is_file);
    if (key == NULL) {
        if (!is_of_orchestrator(variable, value))
            refuse_unknown(l, &source);
        return;
    }
    if (value.len == 0) /* `environment: {MINATO_X: }` of a compose file means: not set */
        return;
    const struct config_source *earlier = config_int_source(l, key);
    if (earlier->variable != NULL) {
        config_int_mistake(l, &source, slice_from_cstr(key->name), "found it in %s too, expected one of them",
                           earlier->variable);
        return;
    }
    if (is_file)
        config_int_set_secret_file(l, key, &source, value);
    else if (key->kind == CONFIG_LIST)
        set_list(l, key, &source, value);
    else
        config_int_set_text(l, key, &source, value);
}

void config_int_apply_environment(struct config_loader *l, char *const *environment)
{
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, PREFIX, sizeof(PREFIX) - 1) == 0)
            apply_variable(l, *entry);
}
