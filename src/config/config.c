/* SPDX-License-Identifier: Apache-2.0
 *
 * The door: config_load runs defaults, file, environment and checks in this order, collects the mistakes of all, and
 * owns the result. Start-up only, on the main thread; it reads files and blocks.
 */
#include "minato/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_int.h"
#include "minato/own.h"

/* The config comes first: config_free gets its address. */
struct loaded {
    struct config config;
    struct arena arena;
};

struct config_source *config_int_source(struct config_loader *l, const struct config_key *key)
{
    return &l->sources[key - config_int_keys];
}

void config_int_append_quoted(struct strbuf *out, struct slice text)
{
    bool is_cut = text.len > 80;
    if (is_cut)
        text.len = 80;
    strbuf_append_json(out, text);
    if (is_cut)
        strbuf_append(out, SLICE("..."));
}

void config_int_mistake(struct config_loader *l, const struct config_source *source, struct slice name,
                        const char *format, ...)
{
    l->mistakes++;
    if (l->mistakes > CONFIG_MISTAKES_MAX)
        return;
    if (source->file != NULL)
        strbuf_append_format(l->why, "%s:%u: ", source->file, source->line);
    else if (source->variable != NULL)
        strbuf_append_format(l->why, "environment: %s: ", source->variable);
    else
        strbuf_append(l->why, SLICE("default: "));
    if (name.len > 0)
        strbuf_append_format(l->why, "%.*s: ", SLICE_ARG(name));
    char text[1536];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    strbuf_append_cstr(l->why, text);
    strbuf_append_char(l->why, '\n');
}

void config_int_apply_defaults(struct config_loader *l)
{
    const struct config_source none = {0};
    for (size_t i = 0; i < config_int_key_count; i++)
        if (config_int_keys[i].fallback != NULL)
            config_int_set_text(l, &config_int_keys[i], &none, slice_from_cstr(config_int_keys[i].fallback));
    l->config->storage.driver = arena_cstr(l->arena, SLICE("filesystem"));
}

enum result config_load(const char *path, char *const *environment, struct strbuf *ret_why, struct config **ret_config)
{
    struct loaded *loaded = xcalloc(1, sizeof(*loaded));
    arena_init(&loaded->arena);
    struct config_loader l = {.config = &loaded->config, .arena = &loaded->arena, .why = ret_why};
    config_int_apply_defaults(&l);
    enum result r = path == NULL ? OK : config_int_apply_file(&l, path);
    if (r == OK) {
        config_int_apply_environment(&l, environment);
        if (l.mistakes == 0)
            config_int_check(&l);
        if (l.mistakes > CONFIG_MISTAKES_MAX)
            strbuf_append_format(ret_why, "... and more mistakes; the first %u are shown\n", CONFIG_MISTAKES_MAX);
        if (l.mistakes > 0)
            r = INVALID;
    }
    if (r != OK) {
        config_free(&loaded->config);
        return r;
    }
    *ret_config = &loaded->config;
    return OK;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    struct loaded *loaded = (struct loaded *)(void *)config;
    char *secret = config->http.secret.value;
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    arena_done(&loaded->arena);
    free(loaded);
}

static bool is_host(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-'))
            return false;
    }
    return host.len <= 253;
}

static bool is_ipv6(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == '.' || c == ':'))
            return false;
    }
    return host.len >= 2 && host.len <= 45;
}

enum result config_parse_listener(struct slice text, struct config_listen *ret_listen)
{
    struct slice rest = SLICE_EMPTY;
    struct slice host;
    uint16_t port;
    *ret_listen = (struct config_listen){.address = text};
    (void)slice_split(text, ' ', &ret_listen->address, &rest);
    while (rest.len > 0) {
        struct slice word = rest;
        struct slice tail = SLICE_EMPTY;
        (void)slice_split(rest, ' ', &word, &tail);
        if (slice_equal(word, SLICE("plain")))
            ret_listen->is_plain = true;
        else if (slice_equal(word, SLICE("proxy_protocol")))
            ret_listen->has_proxy_header = true;
        else
            return INVALID;
        rest = tail;
    }
    return config_parse_listen(ret_listen->address, &host, &port);
}

enum result config_parse_listen(struct slice text, struct slice *ret_host, uint16_t *ret_port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return INVALID;
    struct slice host = slice_of(text.ptr, colon - 1);
    uint64_t port;
    if (slice_parse_u64(slice_from(text, colon), &port) != OK || port > UINT16_MAX)
        return INVALID;
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = slice_of(host.ptr + 1, host.len - 2);
        if (!is_ipv6(host))
            return INVALID;
    } else if (!is_host(host)) {
        return INVALID;
    }
    *ret_host = host;
    *ret_port = (uint16_t)port;
    return OK;
}
