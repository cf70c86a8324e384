/* SPDX-License-Identifier: Apache-2.0
 *
 * What no single key can know: defaults that depend on other keys, and keys that contradict each other. Runs last,
 * and only when every single value is sound.
 */
#include <string.h>
#include <unistd.h>

#include "config_int.h"
#include "minato/own.h"

#define MIB ((uint64_t)1024 * 1024)
/* Four pages of 256 KiB (see async.h): with less, one upload on a loop could starve all others. */
#define BUFFER_BYTES_PER_LOOP MIB
/* Where parts are gathered: two at once, and by default nobody has to think of it. */
#define BUFFER_PARTS_PER_LOOP 3u

static void mistake_at(struct config_loader *l, const char *name, const char *found_and_expected)
{
    struct slice key_name = slice_from_cstr(name);
    config_int_mistake(l, config_int_source(l, config_int_find_key(key_name)), key_name, "%s", found_and_expected);
}

static bool is_set(struct config_loader *l, const char *name)
{
    const struct config_source *source = config_int_source(l, config_int_find_key(slice_from_cstr(name)));
    return source->file != NULL || source->variable != NULL;
}

static void check_buffer(struct config_loader *l)
{
    struct config *config = l->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t loops = config->http.loops > 0 ? config->http.loops : cores > 0 ? (uint64_t)cores : 1;
    bool has_parts = config->storage.driver != NULL && strcmp(config->storage.driver, "filesystem") != 0;
    uint64_t part_bytes = has_parts ? config->uploads.part_bytes : 0;
    uint64_t mib = (part_bytes + part_bytes / 3 + MIB - 1) / MIB; /* three quarters for a part: page_reserve */
    uint64_t for_each = BUFFER_BYTES_PER_LOOP + mib * MIB;
    if (!is_set(l, "uploads.buffer")) { /* the default grows with the machine */
        uint64_t usual = loops * (BUFFER_BYTES_PER_LOOP + BUFFER_PARTS_PER_LOOP * part_bytes);
        if (config->uploads.buffer_bytes < usual)
            config->uploads.buffer_bytes = usual;
        return;
    }
    if (config->uploads.buffer_bytes >= loops * for_each)
        return;
    OWNED(strbuf_done) struct strbuf line;
    strbuf_init(&line, 512);
    strbuf_append(&line, SLICE("found "));
    config_int_append_size(&line, config->uploads.buffer_bytes);
    strbuf_append_format(&line, " for %llu event loops, expected at least ", (unsigned long long)loops);
    config_int_append_size(&line, for_each);
    strbuf_append_cstr(&line, has_parts ? " for each: 1MiB and four thirds of uploads.part_size (or fewer http.loops)"
                                        : " for each (or fewer http.loops)");
    mistake_at(l, "uploads.buffer", line.ptr);
}

static void check_listener(struct config_loader *l, unsigned index)
{
    const struct config_list *listen = &l->config->http.listen;
    const char *metrics = l->config->metrics.listen;
    struct config_listen one;
    struct config_listen other;
    if (config_parse_listener(slice_from_cstr(listen->items[index]), &one) != OK)
        return;
    for (unsigned j = index + 1; j < listen->count; j++)
        if (config_parse_listener(slice_from_cstr(listen->items[j]), &other) == OK &&
            slice_equal(one.address, other.address) && !slice_has_suffix(one.address, SLICE(":0"))) /* :0 is any */
            mistake_at(l, "http.listen", "found the same address twice, expected different ones");
    if (metrics != NULL && slice_equal(one.address, slice_from_cstr(metrics)))
        mistake_at(l, "metrics.listen", "found an address of http.listen, expected one of its own");
    if (one.has_proxy_header && l->config->http.trusted_proxies.count == 0)
        mistake_at(l, "http.listen",
                   "found proxy_protocol without http.trusted_proxies, so nobody could connect; "
                   "expected the addresses of the balancers there");
}

static void check_addresses(struct config_loader *l)
{
    for (unsigned i = 0; i < l->config->http.listen.count; i++)
        check_listener(l, i);
}

static void check_tls(struct config_loader *l)
{
    const struct config *config = l->config;
    bool has_certificate = config->http.tls.certificate_file != NULL;
    bool has_key = config->http.tls.key_file != NULL;
    if (has_certificate && !has_key)
        mistake_at(l, "http.tls.certificate", "found without http.tls.key, expected both");
    if (has_key && !has_certificate)
        mistake_at(l, "http.tls.key", "found without http.tls.certificate, expected both");
    if (config->http.tls.client_ca_file != NULL && !has_certificate)
        mistake_at(l, "http.tls.client_ca", "found without http.tls.certificate and http.tls.key, expected all three");
}

static void check_auth(struct config_loader *l)
{
    struct config *config = l->config;
    bool has_users = config->auth.htpasswd_file != NULL || config->http.tls.client_ca_file != NULL;
    if (!is_set(l, "auth.anonymous"))
        config->auth.anonymous = has_users ? ANONYMOUS_NONE : ANONYMOUS_PUSH;
    if (config->auth.anonymous == ANONYMOUS_NONE && !has_users)
        mistake_at(l, "auth.anonymous",
                   "found none without auth.htpasswd.file and http.tls.client_ca, so nobody could do anything; "
                   "expected pull or "
                   "push, or users");
}

static bool check_s3(struct config_loader *l)
{
    struct config *config = l->config;
    bool has_s3 = config->storage.s3.bucket != NULL;
    if (!has_s3 && (is_set(l, "storage.s3.endpoint") || is_set(l, "storage.s3.access_key")))
        mistake_at(l, "storage.s3.bucket",
                   "found no bucket, expected the name of one beside the other keys of storage.s3");
    if ((config->storage.s3.access_key == NULL) != (config->storage.s3.secret_key.value == NULL))
        mistake_at(l, "storage.s3.access_key", "found one of access_key and secret_key, expected both or neither");
    return has_s3;
}

static bool check_s3v2(struct config_loader *l)
{
    struct config *config = l->config;
    bool has_s3v2 = config->storage.s3v2.bucket != NULL;
    bool is_whole = config->storage.s3v2.endpoint != NULL && config->storage.s3v2.access_key != NULL &&
                    config->storage.s3v2.secret_key.value != NULL;
    if (!has_s3v2 && (is_set(l, "storage.s3v2.endpoint") || is_set(l, "storage.s3v2.access_key")))
        mistake_at(l, "storage.s3v2.bucket",
                   "found no bucket, expected the name of one beside the other keys of storage.s3v2");
    if (has_s3v2 && !is_whole)
        mistake_at(l, "storage.s3v2.bucket", "found without all of endpoint, access_key and secret_key");
    return has_s3v2;
}

/* The driver is the one whose section is there: `bucket` has no default. */
static void check_storage(struct config_loader *l)
{
    struct config *config = l->config;
    bool has_s3 = check_s3(l);
    bool has_s3v2 = check_s3v2(l);
    const char *bucket = has_s3 ? "storage.s3.bucket" : "storage.s3v2.bucket";
    if (has_s3 && has_s3v2)
        mistake_at(l, "storage.s3v2.bucket", "found beside storage.s3.bucket, expected one store");
    if (!has_s3 && !has_s3v2)
        return;
    OWNED(strbuf_done) struct strbuf line;
    strbuf_init(&line, 256);
    strbuf_append_format(&line, "found beside %s, expected one store", bucket);
    if (is_set(l, "storage.filesystem.root"))
        mistake_at(l, "storage.filesystem.root", line.ptr);
    config->storage.driver = arena_cstr(l->arena, has_s3 ? SLICE("s3") : SLICE("s3v2"));
    if (config->http.secret.value == NULL)
        mistake_at(l, "http.secret",
                   has_s3 ? "found none with storage.s3, expected one that all replicas share"
                          : "found none with storage.s3v2, expected one, so that uploads outlive a restart");
}

static void check_redirect(struct config_loader *l)
{
    const struct config *config = l->config;
    enum config_cdn type = config->redirect.cdn.type;
    if (type == CDN_NONE)
        return;
    if (config->redirect.cdn.url == NULL)
        mistake_at(l, "redirect.cdn.url", "found none with redirect.cdn.type, expected the network's address");
    if ((type == CDN_NGINX || type == CDN_GOOGLE) && config->redirect.cdn.key.value == NULL)
        mistake_at(l, "redirect.cdn.key", "found none, expected the key that nginx and google need to sign");
    if ((type == CDN_CLOUDFRONT || type == CDN_GOOGLE) && config->redirect.cdn.key_name == NULL)
        mistake_at(l, "redirect.cdn.key_name", "found none, expected the key's name that cloudfront and google need");
    if (type == CDN_CLOUDFRONT && config->redirect.cdn.private_key_file == NULL)
        mistake_at(l, "redirect.cdn.private_key", "found none, expected the RSA key that cloudfront needs");
}

/* A Location is this text and a path that begins with '/'. */
static void trim_external_url(struct config *config)
{
    char *url = config->http.external_url;
    size_t len = url == NULL ? 0 : strlen(url);
    if (len > 0 && url[len - 1] == '/')
        url[len - 1] = '\0';
}

void config_int_check(struct config_loader *l)
{
    check_addresses(l);
    check_tls(l);
    check_auth(l);
    check_storage(l);
    check_buffer(l); /* which store is known now */
    check_redirect(l);
    trim_external_url(l->config);
}
