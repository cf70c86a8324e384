/* SPDX-License-Identifier: Apache-2.0
 *
 * The YAML file, read event by event with libyaml, so that every mistake has its exact line and several are told at
 * once. Only plain mappings, lists and texts: anchors, aliases, tags and second documents are refused, hence no bomb
 * can unfold. Not here: what a value looks like (value.c), which keys exist (keys.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config_int.h"
#include "minato/own.h"

#define DEPTH_MAX 16u
#define SEEN_MAX (CONFIG_KEYS_MAX * 2u)

struct walk {
    struct config_loader *loader;
    const char *file;
    yaml_parser_t *parser;
    yaml_event_t event; /* the current one; deleted by next() and at the end */
    bool has_event;
    bool is_over; /* a mistake after which nothing more can be read */
    struct strbuf path;
    struct {
        const char *name;
        unsigned line;
    } seen[SEEN_MAX];
    unsigned seen_count;
};

static unsigned line_of(const struct walk *w)
{
    return (unsigned)w->event.start_mark.line + 1;
}

static void mistake(struct walk *w, unsigned line, const char *found_and_expected)
{
    struct config_source source = {.file = w->file, .line = line};
    config_int_mistake(w->loader, &source, strbuf_slice(&w->path), "%s", found_and_expected);
    if (w->loader->mistakes > CONFIG_MISTAKES_MAX)
        w->is_over = true;
}

static void stop(struct walk *w, unsigned line, const char *found_and_expected)
{
    if (!w->is_over)
        mistake(w, line, found_and_expected);
    w->is_over = true;
}

static void stop_at_syntax(struct walk *w)
{
    const yaml_parser_t *p = w->parser;
    OWNED(strbuf_done) struct strbuf line;
    strbuf_init(&line, 512);
    strbuf_append_format(&line, "found what is no YAML (%s%s%s), expected `key: value` lines",
                         p->problem == NULL ? "unreadable" : p->problem, p->context == NULL ? "" : ", ",
                         p->context == NULL ? "" : p->context);
    stop(w, (unsigned)p->problem_mark.line + 1, line.ptr);
}

static void refuse_decoration(struct walk *w)
{
    const yaml_event_t *e = &w->event;
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (anchor != NULL || e->type == YAML_ALIAS_EVENT)
        stop(w, line_of(w), "found an anchor or alias (& or *), expected the value itself, or quotes around it");
    else if (tag != NULL)
        stop(w, line_of(w), "found a tag (!), expected a plain value, or quotes around it");
}

/* The next event into w->event; false when nothing more can be read. */
static bool next(struct walk *w)
{
    if (w->has_event)
        yaml_event_delete(&w->event);
    w->has_event = false;
    if (w->is_over)
        return false;
    if (!yaml_parser_parse(w->parser, &w->event)) {
        stop_at_syntax(w);
        return false;
    }
    w->has_event = true;
    refuse_decoration(w);
    return !w->is_over;
}

static struct slice scalar_of(const struct walk *w)
{
    return slice_of((const char *)w->event.data.scalar.value, w->event.data.scalar.length);
}

/* `key:` with nothing behind it, `~` and `null`. */
static bool is_null(const struct walk *w)
{
    struct slice text = scalar_of(w);
    return w->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text.len == 0 || slice_equal(text, SLICE("~")) || slice_equal(text, SLICE("null")));
}

static int nesting_of(const struct walk *w)
{
    if (w->event.type == YAML_MAPPING_START_EVENT || w->event.type == YAML_SEQUENCE_START_EVENT)
        return 1;
    if (w->event.type == YAML_MAPPING_END_EVENT || w->event.type == YAML_SEQUENCE_END_EVENT)
        return -1;
    return 0;
}

/* Passes over the node whose first event is the current one. */
static void skip_node(struct walk *w)
{
    int depth = nesting_of(w);
    while (depth > 0 && next(w)) {
        depth += nesting_of(w);
        if (depth > (int)DEPTH_MAX)
            stop(w, line_of(w), "found too many levels, expected at most 16");
    }
}

static void skip_value(struct walk *w)
{
    if (next(w))
        skip_node(w);
}

static void mistake_of_kind(struct walk *w, const struct config_key *key, const char *found)
{
    OWNED(strbuf_done) struct strbuf line;
    strbuf_init(&line, 1024);
    strbuf_append_format(&line, "found %s, expected ", found);
    if (key != NULL) {
        config_int_append_expected(&line, key);
    } else {
        strbuf_append(&line, SLICE("keys below it: "));
        config_int_append_children(&line, strbuf_slice(&w->path));
    }
    mistake(w, line_of(w), line.ptr);
}

static void read_list(struct walk *w, const struct config_key *key, const struct config_source *source)
{
    struct slice items[CONFIG_LIST_ITEMS_MAX + 1];
    size_t count = 0;
    bool is_sound = true;
    while (next(w) && w->event.type != YAML_SEQUENCE_END_EVENT) {
        if (w->event.type != YAML_SCALAR_EVENT || is_null(w)) {
            mistake_of_kind(w, key, w->event.type == YAML_SCALAR_EVENT ? "an empty item" : "an item that is no text");
            is_sound = false;
            skip_node(w);
        } else if (count <= CONFIG_LIST_ITEMS_MAX) {
            items[count++] = arena_copy(w->loader->arena, scalar_of(w));
        }
    }
    if (is_sound && !w->is_over)
        config_int_set_list(w->loader, key, source, items, count);
}

/* A key's value; `is_file`: the path of a secret. */
static void read_value(struct walk *w, const struct config_key *key, bool is_file)
{
    struct config_source source = {.file = w->file, .line = line_of(w)};
    if (w->event.type == YAML_SCALAR_EVENT && is_null(w))
        mistake_of_kind(w, key, "nothing");
    else if (w->event.type == YAML_SCALAR_EVENT && is_file)
        config_int_set_secret_file(w->loader, key, &source, scalar_of(w));
    else if (w->event.type == YAML_SCALAR_EVENT)
        config_int_set_text(w->loader, key, &source, scalar_of(w));
    else if (w->event.type == YAML_SEQUENCE_START_EVENT && key->kind == CONFIG_LIST)
        read_list(w, key, &source);
    else {
        mistake_of_kind(w, key, w->event.type == YAML_SEQUENCE_START_EVENT ? "a list" : "keys below it");
        skip_node(w);
    }
}

static bool is_first_time(struct walk *w, unsigned line)
{
    struct slice name = strbuf_slice(&w->path);
    for (unsigned i = 0; i < w->seen_count; i++) {
        if (!slice_equal(name, slice_from_cstr(w->seen[i].name)))
            continue;
        char text[96];
        (void)snprintf(text, sizeof(text), "found it again, expected it once (it is on line %u too)", w->seen[i].line);
        mistake(w, line, text);
        return false;
    }
    if (w->seen_count < SEEN_MAX) {
        w->seen[w->seen_count].name = arena_cstr(w->loader->arena, name);
        w->seen[w->seen_count].line = line;
        w->seen_count++;
    }
    return true;
}

/* The secret whose `<key>_file` the path names, or NULL. */
static const struct config_key *find_file_key(struct slice name)
{
    struct slice suffix = SLICE("_file");
    if (!slice_has_suffix(name, suffix))
        return NULL;
    const struct config_key *key = config_int_find_key(slice_of(name.ptr, name.len - suffix.len));
    return key != NULL && key->kind == CONFIG_SECRET ? key : NULL;
}

static void refuse_unknown(struct walk *w, unsigned line, struct slice section)
{
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 1024);
    strbuf_append_format(&text, "found an unknown key, expected one of ");
    config_int_append_children(&text, section);
    strbuf_append_format(&text, "; the nearest is %s", config_int_nearest(strbuf_slice(&w->path))->name);
    mistake(w, line, text.ptr);
}

static void read_mapping(struct walk *w);

/* What stands behind the key that w->path names. */
static void read_known(struct walk *w, const struct config_key *key, const struct config_key *file_key, unsigned line)
{
    bool is_section = config_int_is_section(strbuf_slice(&w->path));
    const struct config_key *set = key != NULL ? key : file_key;
    if (!is_first_time(w, line)) {
        skip_value(w);
    } else if (set != NULL && config_int_source(w->loader, set)->file != NULL) {
        mistake(w, line, "found both the secret and its file, expected one of them");
        skip_value(w);
    } else if (next(w)) {
        if (w->event.type == YAML_MAPPING_START_EVENT && is_section)
            read_mapping(w);
        else if (set != NULL)
            read_value(w, set, key == NULL);
        else if (w->event.type != YAML_SCALAR_EVENT || !is_null(w)) { /* an empty section is none */
            mistake_of_kind(w, NULL, w->event.type == YAML_SCALAR_EVENT ? "a text" : "a list");
            skip_node(w);
        }
    }
}

static void read_entry(struct walk *w, size_t section_len)
{
    unsigned line = line_of(w);
    struct slice name = strbuf_slice(&w->path);
    struct slice section = slice_of(name.ptr, section_len);
    const char *later = config_int_find_later(name);
    const struct config_key *key = config_int_find_key(name);
    const struct config_key *file_key = key == NULL ? find_file_key(name) : NULL;
    if (later != NULL) {
        char text[256];
        (void)snprintf(text, sizeof(text), "found a key of a later version, expected it to be absent: %s", later);
        mistake(w, line, text);
        skip_value(w);
    } else if (key != NULL || file_key != NULL || config_int_is_section(name)) {
        read_known(w, key, file_key, line);
    } else {
        refuse_unknown(w, line, section);
        skip_value(w);
    }
}

/* Appends the current event's text to the path, escaped where it could not be a key anyway. */
static void append_name(struct walk *w)
{
    struct slice name = scalar_of(w);
    if (w->path.len > 0)
        strbuf_append_char(&w->path, '.');
    for (size_t i = 0; i < name.len && i < CONFIG_NAME_BYTES_MAX / 2; i++) {
        char c = name.ptr[i];
        strbuf_append_char(&w->path, c > ' ' && c < 0x7f && c != '.' ? c : '?');
    }
}

/* Recursion ends with the table's depth: only a section of the table is entered. */
static void read_mapping(struct walk *w)
{
    size_t section_len = w->path.len;
    while (next(w) && w->event.type != YAML_MAPPING_END_EVENT) {
        if (w->event.type != YAML_SCALAR_EVENT) {
            mistake(w, line_of(w), "found a key that is no text, expected a name");
            skip_node(w);
            skip_value(w);
            continue;
        }
        append_name(w);
        read_entry(w, section_len);
        w->path.len = section_len;
        if (w->path.ptr != NULL)
            w->path.ptr[section_len] = '\0';
    }
}

static void read_document(struct walk *w)
{
    if (!next(w) || !next(w) ||
        w->event.type == YAML_STREAM_END_EVENT) /* STREAM_START, DOCUMENT_START or an empty file */
        return;
    if (!next(w))
        return;
    if (w->event.type == YAML_MAPPING_START_EVENT) {
        read_mapping(w);
    } else if (w->event.type != YAML_SCALAR_EVENT || !is_null(w)) {
        stop(w, line_of(w), "found no mapping, expected `key: value` lines");
    }
    if (!next(w) || !next(w)) /* DOCUMENT_END, STREAM_END */
        return;
    if (w->event.type != YAML_STREAM_END_EVENT)
        stop(w, line_of(w), "found a second document, expected one");
}

void config_int_apply_yaml(struct config_loader *l, const char *file, struct slice yaml)
{
    yaml_parser_t parser;
    struct walk w = {.loader = l, .file = file, .parser = &parser};
    if (slice_has_prefix(yaml, SLICE("\xef\xbb\xbf"))) /* a byte order mark */
        yaml = slice_from(yaml, 3);
    strbuf_init(&w.path, 8 * CONFIG_NAME_BYTES_MAX);
    if (yaml_parser_initialize(&parser) == 0)
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.ptr, yaml.len);
    read_document(&w);
    if (w.has_event)
        yaml_event_delete(&w.event);
    yaml_parser_delete(&parser);
    strbuf_done(&w.path);
}

enum result config_int_apply_file(struct config_loader *l, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    enum result r = config_int_read_file(path, CONFIG_FILE_BYTES_MAX, &text, &len);
    if (r == TOO_LARGE) {
        strbuf_append_format(l->why, "%s: found a file over 1MiB, expected a configuration\n", path);
        return INVALID;
    }
    if (r != OK) {
        strbuf_append_format(l->why, "%s: cannot be read: %s\n", path, strerror(errno));
        return r == NOT_FOUND ? NOT_FOUND : IO;
    }
    config_int_apply_yaml(l, arena_cstr(l->arena, slice_from_cstr(path)), slice_of(text, len));
    explicit_bzero(text, len);
    free(text);
    return OK;
}
