/* SPDX-License-Identifier: Apache-2.0
 *
 * From text to value: grammars of single values, and storing them into struct config by way of the key table. Where
 * the text comes from does not matter here (default, file, environment).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_int.h"
#include "minato/network.h"
#include "minato/own.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first within a family: printing takes the first that divides. */
static const struct unit size_units[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"TB", 1000000000000ull},
    {"GB", 1000000000},  {"MB", 1000000},     {"KB", 1000},        {"kB", 1000},        {"B", 1},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static enum result parse_with_unit(struct slice text, const struct unit *units, size_t unit_count, uint64_t *ret_value)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    uint64_t number;
    enum result r = slice_parse_u64(slice_of(text.ptr, digits), &number);
    if (r != OK)
        return r;
    struct slice name = slice_from(text, digits);
    for (size_t i = 0; i < unit_count; i++) {
        if (!slice_equal(name, slice_from_cstr(units[i].name)))
            continue;
        return __builtin_mul_overflow(number, units[i].factor, ret_value) ? INVALID : OK;
    }
    return INVALID;
}

enum result config_int_parse_size(struct slice text, uint64_t *ret_bytes)
{
    if (slice_parse_u64(text, ret_bytes) == OK)
        return OK;
    return parse_with_unit(text, size_units, COUNT_OF(size_units), ret_bytes);
}

enum result config_int_parse_duration(struct slice text, uint64_t *ret_ms)
{
    if (slice_equal(text, SLICE("0"))) { /* any other number without a unit would be a guess */
        *ret_ms = 0;
        return OK;
    }
    return parse_with_unit(text, duration_units, COUNT_OF(duration_units), ret_ms);
}

static void append_with_unit(struct strbuf *out, uint64_t value, const struct unit *units, size_t unit_count)
{
    size_t i = 0;
    while (i < unit_count && (value == 0 || value % units[i].factor != 0))
        i++;
    strbuf_append_u64(out, i < unit_count ? value / units[i].factor : value);
    strbuf_append_cstr(out, i < unit_count ? units[i].name : "");
}

void config_int_append_size(struct strbuf *out, uint64_t bytes)
{
    append_with_unit(out, bytes, size_units, 4); /* the powers of two; else plain bytes */
}

void config_int_append_duration(struct strbuf *out, uint64_t ms)
{
    append_with_unit(out, ms, duration_units, COUNT_OF(duration_units));
}

bool config_int_is_listener(struct slice text)
{
    struct config_listen listen;
    return config_parse_listener(text, &listen) == OK;
}

bool config_int_is_network(struct slice text)
{
    struct network network;
    return network_parse(text, &network) == OK;
}

bool config_int_is_listen(struct slice text)
{
    struct slice host;
    uint16_t port;
    return config_parse_listen(text, &host, &port) == OK;
}

static bool is_all_of(struct slice text, char from, char to, const char *but)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < from || text.ptr[i] > to || strchr(but, text.ptr[i]) != NULL)
            return false;
    return true;
}

/* Scheme, host and port only: a Location is this text and an absolute path. */
bool config_int_is_url(struct slice text)
{
    struct slice rest;
    if (slice_has_prefix(text, SLICE("https://")))
        rest = slice_from(text, 8);
    else if (slice_has_prefix(text, SLICE("http://")))
        rest = slice_from(text, 7);
    else
        return false;
    if (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
        rest.len--;
    return rest.len > 0 && rest.len <= 300 && is_all_of(rest, '!', '~', "/?#@\\\"<>^`{|}%");
}

/* A URL as above, and perhaps a path as keys are: it needs no escapes. */
bool config_int_is_base_url(struct slice text)
{
    struct slice host = text;
    while (slice_has_suffix(host, SLICE("/")) && host.len > sizeof("https://"))
        host.len--;
    size_t scheme = slice_has_prefix(host, SLICE("https://")) ? 8 : 7;
    const char *slash = host.len > scheme ? memchr(host.ptr + scheme, '/', host.len - scheme) : NULL;
    if (slash == NULL)
        return config_int_is_url(host);
    size_t path = (size_t)(slash - host.ptr);
    return config_int_is_url(slice_of(host.ptr, path)) && config_int_is_key_prefix(slice_from(host, path + 1));
}

bool config_int_is_realm(struct slice text)
{
    return text.len > 0 && text.len <= 128 && is_all_of(text, ' ', '~', "\"\\");
}

bool config_int_is_path(struct slice text)
{
    return text.len > 0 && text.len < 4096;
}

bool config_int_is_secret(struct slice text)
{
    return text.len >= CONFIG_SECRET_BYTES_MIN && text.len <= CONFIG_SECRET_BYTES_MAX && is_all_of(text, ' ', '~', "");
}

bool config_int_is_credential(struct slice text)
{
    return text.len > 0 && text.len <= CONFIG_SECRET_BYTES_MAX && is_all_of(text, '!', '~', "");
}

bool config_int_is_name(struct slice text)
{
    return text.len > 0 && text.len <= 255 && is_all_of(text, '!', '~', "/\\\"?#%&<>");
}

/* Of keys in a bucket: components of [A-Za-z0-9._-] with '/' between them. */
bool config_int_is_key_prefix(struct slice text)
{
    if (text.len == 0 || text.len > 255 || text.ptr[0] == '/' || text.ptr[text.len - 1] == '/')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        bool is_inside = i > 0 && text.ptr[i - 1] != '/';
        if (!is_plain && !((c == '/' || c == '.') && is_inside))
            return false;
    }
    return true;
}

bool config_int_is_redis_url(struct slice text)
{
    static const char *const schemes[] = {"redis://", "rediss://", "redis+sentinel://", "redis+cluster://", "unix://"};
    if (!config_int_is_credential(text))
        return false;
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (slice_has_prefix(text, slice_from_cstr(schemes[i])) && text.len > strlen(schemes[i]))
            return true;
    return false;
}

static void append_range(struct strbuf *out, const struct config_key *key,
                         void (*append)(struct strbuf *out, uint64_t value))
{
    strbuf_append(out, key->may_be_zero ? SLICE("0 or from ") : SLICE("from "));
    append(out, key->min);
    strbuf_append(out, SLICE(" to "));
    append(out, key->max);
}

static void append_choices(struct strbuf *out, const struct config_key *key)
{
    for (size_t i = 0; i < COUNT_OF(key->choices) && key->choices[i] != NULL; i++) {
        if (i > 0)
            strbuf_append(out,
                          i + 1 < COUNT_OF(key->choices) && key->choices[i + 1] != NULL ? SLICE(", ") : SLICE(" or "));
        strbuf_append_cstr(out, key->choices[i]);
    }
}

void config_int_append_expected(struct strbuf *out, const struct config_key *key)
{
    switch (key->kind) {
    case CONFIG_BOOL:
        strbuf_append(out, SLICE("true or false"));
        break;
    case CONFIG_COUNT:
        strbuf_append(out, SLICE("a whole number, "));
        append_range(out, key, strbuf_append_u64);
        break;
    case CONFIG_SIZE:
        strbuf_append(out, SLICE("a size such as 4096, 64KiB, 64MiB or 10GB, "));
        append_range(out, key, config_int_append_size);
        break;
    case CONFIG_DURATION:
        strbuf_append(out, SLICE("a duration such as 500ms, 30s, 5m, 12h or 7d, "));
        append_range(out, key, config_int_append_duration);
        break;
    case CONFIG_CHOICE:
        append_choices(out, key);
        break;
    case CONFIG_TEXT:
    case CONFIG_SECRET:
    case CONFIG_LIST:
        strbuf_append_cstr(out, key->expected);
        break;
    }
}

static void *field_of(struct config_loader *l, const struct config_key *key)
{
    return (char *)l->config + key->offset;
}

static bool is_in_range(const struct config_key *key, uint64_t value)
{
    return (value == 0 && key->may_be_zero) || (value >= key->min && value <= key->max);
}

static bool store_number(struct config_loader *l, const struct config_key *key, struct slice text)
{
    uint64_t value;
    enum result r = key->kind == CONFIG_COUNT  ? slice_parse_u64(text, &value)
                    : key->kind == CONFIG_SIZE ? config_int_parse_size(text, &value)
                                               : config_int_parse_duration(text, &value);
    if (r != OK || !is_in_range(key, value))
        return false;
    if (key->kind == CONFIG_COUNT)
        *(unsigned *)field_of(l, key) = (unsigned)value;
    else
        *(uint64_t *)field_of(l, key) = value;
    return true;
}

static bool store_choice(struct config_loader *l, const struct config_key *key, struct slice text)
{
    for (unsigned i = 0; i < COUNT_OF(key->choices) && key->choices[i] != NULL; i++) {
        if (!slice_equal(text, slice_from_cstr(key->choices[i])))
            continue;
        memcpy(field_of(l, key), &i, sizeof(i)); /* every enum of config.h is an unsigned */
        return true;
    }
    return false;
}

static bool store_bool(struct config_loader *l, const struct config_key *key, struct slice text)
{
    bool is_true = slice_equal(text, SLICE("true"));
    if (!is_true && !slice_equal(text, SLICE("false")))
        return false;
    *(bool *)field_of(l, key) = is_true;
    return true;
}

/* Control characters never make sense here, and would forge lines in messages and headers. */
static bool is_plain_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return text.len > 0 && text.len <= CONFIG_TEXT_BYTES_MAX;
}

static bool is_acceptable(const struct config_key *key, struct slice text)
{
    return is_plain_text(text) && (key->is_valid == NULL || key->is_valid(text));
}

static bool store_text(struct config_loader *l, const struct config_key *key, struct slice text)
{
    if (!is_acceptable(key, text))
        return false;
    *(char **)field_of(l, key) = arena_cstr(l->arena, text);
    return true;
}

static bool store_secret(struct config_loader *l, const struct config_key *key, struct slice text)
{
    if (!is_acceptable(key, text))
        return false;
    struct secret *secret = field_of(l, key);
    if (secret->value != NULL)
        explicit_bzero(secret->value, strlen(secret->value));
    secret->value = arena_cstr(l->arena, text);
    return true;
}

static bool store(struct config_loader *l, const struct config_key *key, struct slice text)
{
    switch (key->kind) {
    case CONFIG_BOOL:
        return store_bool(l, key, text);
    case CONFIG_CHOICE:
        return store_choice(l, key, text);
    case CONFIG_COUNT:
    case CONFIG_SIZE:
    case CONFIG_DURATION:
        return store_number(l, key, text);
    case CONFIG_SECRET:
        return store_secret(l, key, text);
    case CONFIG_TEXT:
        return store_text(l, key, text);
    case CONFIG_LIST:
        break; /* config_int_set_list */
    }
    return false;
}

static void mistake_of_value(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                             struct slice text)
{
    OWNED(strbuf_done) struct strbuf line;
    strbuf_init(&line, 1024);
    if (key->kind == CONFIG_SECRET)
        strbuf_append_format(&line, "%zu characters", text.len); /* a secret is never printed, not even a wrong one */
    else
        config_int_append_quoted(&line, text);
    strbuf_append(&line, SLICE(", expected "));
    config_int_append_expected(&line, key);
    config_int_mistake(l, source, slice_from_cstr(key->name), "found %.*s", SLICE_ARG(strbuf_slice(&line)));
}

void config_int_set_text(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                         struct slice text)
{
    if (key->kind == CONFIG_LIST) {
        config_int_set_list(l, key, source, &text, 1);
        return;
    }
    *config_int_source(l, key) = *source;
    if (!store(l, key, text))
        mistake_of_value(l, key, source, text);
}

void config_int_set_list(struct config_loader *l, const struct config_key *key, const struct config_source *source,
                         const struct slice *items, size_t count)
{
    *config_int_source(l, key) = *source;
    if (count == 0 || count > CONFIG_LIST_ITEMS_MAX) {
        config_int_mistake(l, source, slice_from_cstr(key->name), "found a list of %zu, expected 1 to %u of them",
                           count, CONFIG_LIST_ITEMS_MAX);
        return;
    }
    struct config_list list = {.items = ARENA_ARRAY(l->arena, char *, count)};
    for (size_t i = 0; i < count; i++) {
        if (!is_acceptable(key, items[i])) {
            mistake_of_value(l, key, source, items[i]);
            return;
        }
        list.items[list.count++] = arena_cstr(l->arena, items[i]);
    }
    *(struct config_list *)field_of(l, key) = list;
}

enum result config_int_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return result_from_errno(errno);
    OWNED_MEMORY char *text = xmalloc(max + 2);
    size_t len = 0;
    while (len <= max) {
        ssize_t n = read(fd, text + len, max + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return result_from_errno(errno);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    if (len > max)
        return TOO_LARGE;
    text[len] = '\0';
    *ret_text = TAKE(text);
    *ret_len = len;
    return OK;
}

void config_int_set_secret_file(struct config_loader *l, const struct config_key *key,
                                const struct config_source *source, struct slice path)
{
    *config_int_source(l, key) = *source;
    OWNED(strbuf_done) struct strbuf name;
    strbuf_init(&name, CONFIG_NAME_BYTES_MAX + 8);
    strbuf_append_format(&name, "%s_file", key->name);
    OWNED(strbuf_done) struct strbuf quoted;
    strbuf_init(&quoted, 1024);
    config_int_append_quoted(&quoted, path);
    if (!is_plain_text(path)) {
        config_int_mistake(l, source, strbuf_slice(&name), "found %s, expected the path of a file", quoted.ptr);
        return;
    }
    char *text = NULL;
    size_t len = 0;
    enum result r = config_int_read_file(arena_cstr(l->arena, path), CONFIG_SECRET_BYTES_MAX + 2, &text, &len);
    if (r != OK) {
        config_int_mistake(l, source, strbuf_slice(&name),
                           "found %s, which cannot be read (%s), expected a file that holds the secret", quoted.ptr,
                           r == TOO_LARGE ? "it is too long" : strerror(errno));
        return;
    }
    size_t used = len;
    while (used > 0 && (text[used - 1] == '\n' || text[used - 1] == '\r'))
        used--;
    if (!store(l, key, slice_of(text, used)))
        mistake_of_value(l, key, source, slice_of(text, used));
    explicit_bzero(text, len); /* NOLINT(clang-analyzer-core.NonNullParamChecker): not NULL after OK */
    free(text);
}
