/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of keys, and the look-ups in it. A new key is a line here, a field in config.h and an entry in
 * deploy/config/minato.yaml (a test compares). Values are parsed in value.c; what concerns several keys is in check.c.
 */
#include <stdio.h>

#include "config_int.h"

#define AT(member) .offset = offsetof(struct config, member)
#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)
#define SECOND 1000ull
#define MINUTE (60ull * SECOND)
#define HOUR (60ull * MINUTE)
#define DAY (24ull * HOUR)

#define ADDRESS "an address such as 127.0.0.1:5000, [::1]:5000, localhost:5000 or :5000 (all addresses)"

const struct config_key config_int_keys[] = {
    {"http.listen", CONFIG_LIST, AT(http.listen), .fallback = "127.0.0.1:5000", .is_valid = config_int_is_listener,
     .expected = ADDRESS ", or a list of them, each with the words plain or proxy_protocol behind it if need be"},
    {"http.external_url", CONFIG_TEXT, AT(http.external_url), .is_valid = config_int_is_url,
     .expected = "http:// or https://, a host and perhaps a port, such as https://registry.example.com"},
    {"http.secret", CONFIG_SECRET, AT(http.secret), .is_valid = config_int_is_secret,
     .expected = "32 to 4096 printable characters, such as `openssl rand -hex 32` writes"},
    {"http.tls.certificate", CONFIG_TEXT, AT(http.tls.certificate_file), .is_valid = config_int_is_path,
     .expected = "the path of a PEM file: the certificate, then its chain"},
    {"http.tls.key", CONFIG_TEXT, AT(http.tls.key_file), .is_valid = config_int_is_path,
     .expected = "the path of a PEM file: the certificate's private key"},
    {"http.tls.client_ca", CONFIG_TEXT, AT(http.tls.client_ca_file), .is_valid = config_int_is_path,
     .expected = "the path of a PEM file: the authorities of clients' certificates"},
    {"http.loops", CONFIG_COUNT, AT(http.loops), .fallback = "0", .min = 1, .max = 256, .may_be_zero = true},
    {"http.connections", CONFIG_COUNT, AT(http.connections_max), .fallback = "10000", .min = 16, .max = 1000000},
    {"http.connections_per_address", CONFIG_COUNT, AT(http.connections_per_address), .fallback = "5000", .min = 1,
     .max = 1000000, .may_be_zero = true},
    {"http.trusted_proxies", CONFIG_LIST, AT(http.trusted_proxies), .is_valid = config_int_is_network,
     .expected = "an address or a network such as 10.0.0.0/8 or 2001:db8::/32, or a list of them"},
    {"http.max_manifest", CONFIG_SIZE, AT(http.max_manifest_bytes), .fallback = "4MiB", .min = 64 * KIB,
     .max = 32 * MIB},
    {"http.head_timeout", CONFIG_DURATION, AT(http.head_timeout_ms), .fallback = "10s", .min = 100, .max = 10 * MINUTE},
    {"http.idle_timeout", CONFIG_DURATION, AT(http.idle_timeout_ms), .fallback = "120s", .min = 100, .max = HOUR},
    {"http.body_timeout", CONFIG_DURATION, AT(http.body_timeout_ms), .fallback = "30s", .min = 100, .max = HOUR},
    {"http.body_min_rate", CONFIG_SIZE, AT(http.body_min_rate_bytes), .fallback = "1KiB", .min = 1, .max = GIB,
     .may_be_zero = true},
    {"http.drain_timeout", CONFIG_DURATION, AT(http.drain_timeout_ms), .fallback = "60s", .min = 1, .max = DAY,
     .may_be_zero = true},
    {"storage.delete", CONFIG_BOOL, AT(storage.delete_enabled), .fallback = "true"},
    {"storage.filesystem.root", CONFIG_TEXT, AT(storage.filesystem.root), .fallback = "./minato-data",
     .is_valid = config_int_is_path, .expected = "the path of a folder"},
    {"storage.s3.endpoint", CONFIG_TEXT, AT(storage.s3.endpoint), .is_valid = config_int_is_url,
     .expected = "http:// or https://, a host and perhaps a port, such as https://s3.eu-west-1.amazonaws.com"},
    {"storage.s3.region", CONFIG_TEXT, AT(storage.s3.region), .fallback = "us-east-1", .is_valid = config_int_is_name,
     .expected = "a region such as eu-west-1"},
    {"storage.s3.bucket", CONFIG_TEXT, AT(storage.s3.bucket), .is_valid = config_int_is_name,
     .expected = "the name of a bucket"},
    {"storage.s3.prefix", CONFIG_TEXT, AT(storage.s3.prefix), .is_valid = config_int_is_key_prefix,
     .expected = "letters, digits, '.', '_', '-' and '/' between them, such as registry"},
    {"storage.s3.access_key", CONFIG_TEXT, AT(storage.s3.access_key), .is_valid = config_int_is_credential,
     .expected = "an access key's name"},
    {"storage.s3.secret_key", CONFIG_SECRET, AT(storage.s3.secret_key), .is_valid = config_int_is_credential,
     .expected = "the access key's secret"},
    {"storage.s3.session_token", CONFIG_SECRET, AT(storage.s3.session_token), .is_valid = config_int_is_credential,
     .expected = "a session token of temporary credentials"},
    {"storage.s3.path_style", CONFIG_BOOL, AT(storage.s3.path_style), .fallback = "true"},
    {"storage.s3.external_endpoint", CONFIG_TEXT, AT(storage.s3.external_endpoint), .is_valid = config_int_is_url,
     .expected = "http:// or https://, a host and perhaps a port, as clients reach the store"},
    {"storage.s3.ca", CONFIG_TEXT, AT(storage.s3.ca_file), .is_valid = config_int_is_path,
     .expected = "the path of a PEM file: the authorities of the store's certificate"},
    {"storage.s3.sse_kms_key", CONFIG_TEXT, AT(storage.s3.sse_kms_key), .is_valid = config_int_is_credential,
     .expected = "the identifier of a KMS key"},
    {"storage.s3.dialect", CONFIG_CHOICE, AT(storage.s3.dialect), .fallback = "auto",
     .choices = {"auto", "amazon", "google"}},
    {"storage.s3.google_key", CONFIG_TEXT, AT(storage.s3.google_key_file), .is_valid = config_int_is_path,
     .expected = "the path of a JSON file: the key of a Google service account"},
    {"storage.s3v2.endpoint", CONFIG_TEXT, AT(storage.s3v2.endpoint), .is_valid = config_int_is_url,
     .expected = "http://, a host and perhaps a port, such as http://store.internal:7480"},
    {"storage.s3v2.external_endpoint", CONFIG_TEXT, AT(storage.s3v2.external_endpoint), .is_valid = config_int_is_url,
     .expected = "http:// or https://, a host and perhaps a port, as clients reach the store"},
    {"storage.s3v2.bucket", CONFIG_TEXT, AT(storage.s3v2.bucket), .is_valid = config_int_is_name,
     .expected = "the name of a bucket"},
    {"storage.s3v2.prefix", CONFIG_TEXT, AT(storage.s3v2.prefix), .is_valid = config_int_is_key_prefix,
     .expected = "letters, digits, '.', '_', '-' and '/' between them, such as registry"},
    {"storage.s3v2.access_key", CONFIG_TEXT, AT(storage.s3v2.access_key), .is_valid = config_int_is_credential,
     .expected = "an access key's name"},
    {"storage.s3v2.secret_key", CONFIG_SECRET, AT(storage.s3v2.secret_key), .is_valid = config_int_is_credential,
     .expected = "the access key's secret"},
    {"storage.s3v2.path_style", CONFIG_BOOL, AT(storage.s3v2.path_style), .fallback = "true"},
    {"storage.s3v2.insecure", CONFIG_BOOL, AT(storage.s3v2.insecure), .fallback = "false"},
    {"redirect.enabled", CONFIG_BOOL, AT(redirect.enabled), .fallback = "true"},
    {"redirect.expires", CONFIG_DURATION, AT(redirect.expires_ms), .fallback = "20m", .min = MINUTE, .max = 7 * DAY},
    {"redirect.cdn.type", CONFIG_CHOICE, AT(redirect.cdn.type), .fallback = "none",
     .choices = {"none", "plain", "nginx", "cloudfront", "google"}},
    {"redirect.cdn.url", CONFIG_TEXT, AT(redirect.cdn.url), .is_valid = config_int_is_base_url,
     .expected = "http:// or https://, a host and perhaps a port and a path, such as https://cdn.example.com/prefix"},
    {"redirect.cdn.key_name", CONFIG_TEXT, AT(redirect.cdn.key_name), .is_valid = config_int_is_name,
     .expected = "the name that the network knows the key by"},
    {"redirect.cdn.key", CONFIG_SECRET, AT(redirect.cdn.key), .is_valid = config_int_is_credential,
     .expected = "the key that signs URLs"},
    {"redirect.cdn.private_key", CONFIG_TEXT, AT(redirect.cdn.private_key_file), .is_valid = config_int_is_path,
     .expected = "the path of a PEM file: CloudFront's RSA key"},
    {"uploads.buffer", CONFIG_SIZE, AT(uploads.buffer_bytes), .fallback = "64MiB", .min = MIB, .max = 64 * GIB},
    {"uploads.part_size", CONFIG_SIZE, AT(uploads.part_bytes), .fallback = "16MiB", .min = 5 * MIB, .max = GIB},
    {"uploads.parts_in_flight", CONFIG_COUNT, AT(uploads.parts_in_flight), .fallback = "4", .min = 1, .max = 64},
    {"uploads.expire_after", CONFIG_DURATION, AT(uploads.expire_after_ms), .fallback = "7d", .min = MINUTE,
     .max = 365 * DAY},
    {"uploads.max_blob", CONFIG_SIZE, AT(uploads.max_blob_bytes), .fallback = "0", .min = 1, .max = 1024 * 1024 * GIB,
     .may_be_zero = true},
    {"index.redis.url", CONFIG_SECRET, AT(redis.url), .is_valid = config_int_is_redis_url,
     .expected = "redis://[[user]:password@]host[:port][/database], unix:///path, "
                 "redis+sentinel://host[:port],.../name or redis+cluster://host[:port],..."},
    {"index.redis.ttl", CONFIG_DURATION, AT(redis.ttl_ms), .fallback = "1h", .min = 10 * SECOND, .max = 30 * DAY},
    {"validation.layers", CONFIG_BOOL, AT(validation.layers), .fallback = "true"},
    {"validation.children", CONFIG_BOOL, AT(validation.children), .fallback = "true"},
    {"auth.anonymous", CONFIG_CHOICE, AT(auth.anonymous), .choices = {"none", "pull", "push"}},
    {"auth.htpasswd.file", CONFIG_TEXT, AT(auth.htpasswd_file), .is_valid = config_int_is_path,
     .expected = "the path of a file that `htpasswd -B` wrote"},
    {"auth.htpasswd.realm", CONFIG_TEXT, AT(auth.htpasswd_realm), .fallback = "minato", .is_valid = config_int_is_realm,
     .expected = "1 to 128 printable characters without quotes and backslashes"},
    {"log.level", CONFIG_CHOICE, AT(log.level), .fallback = "info", .choices = {"debug", "info", "warn", "error"}},
    {"log.format", CONFIG_CHOICE, AT(log.format), .fallback = "json", .choices = {"json", "text"}},
    {"metrics.listen", CONFIG_TEXT, AT(metrics.listen), .is_valid = config_int_is_listen, .expected = ADDRESS},
    {"pool.threads", CONFIG_COUNT, AT(pool.threads), .fallback = "0", .min = 2, .max = 1024, .may_be_zero = true},
};
const size_t config_int_key_count = sizeof(config_int_keys) / sizeof(config_int_keys[0]);

_Static_assert(sizeof(config_int_keys) / sizeof(config_int_keys[0]) <= CONFIG_KEYS_MAX, "config_loader.sources");

/* Keys of the design that a later version brings. One stands for everything below it. */
static const struct {
    const char *name;
    const char *instead;
} later_keys[] = {
    {"http.secrets", "this version knows one http.secret"},
    {"storage.fold", "the filesystem has nothing to fold"},
    {"storage.gcs", "storage.s3 with endpoint https://storage.googleapis.com reaches it with HMAC keys"},
    {"storage.azure", "this version stores in storage.filesystem or storage.s3"},
};

const struct config_key *config_int_find_key(struct slice name)
{
    for (size_t i = 0; i < config_int_key_count; i++)
        if (slice_equal(name, slice_from_cstr(config_int_keys[i].name)))
            return &config_int_keys[i];
    return NULL;
}

static bool is_below(struct slice name, struct slice section)
{
    if (section.len == 0)
        return true;
    return name.len > section.len && slice_has_prefix(name, section) && name.ptr[section.len] == '.';
}

bool config_int_is_section(struct slice name)
{
    for (size_t i = 0; i < config_int_key_count; i++)
        if (is_below(slice_from_cstr(config_int_keys[i].name), name))
            return true;
    for (size_t i = 0; i < sizeof(later_keys) / sizeof(later_keys[0]); i++)
        if (is_below(slice_from_cstr(later_keys[i].name), name))
            return true;
    return false;
}

const char *config_int_find_later(struct slice name)
{
    for (size_t i = 0; i < sizeof(later_keys) / sizeof(later_keys[0]); i++) {
        struct slice later = slice_from_cstr(later_keys[i].name);
        if (slice_equal(name, later) || is_below(name, later))
            return later_keys[i].instead;
    }
    return NULL;
}

size_t config_int_edit_distance(struct slice a, struct slice b)
{
    size_t row[CONFIG_NAME_BYTES_MAX + 1];
    if (a.len > CONFIG_NAME_BYTES_MAX)
        a.len = CONFIG_NAME_BYTES_MAX;
    if (b.len > CONFIG_NAME_BYTES_MAX)
        b.len = CONFIG_NAME_BYTES_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = diagonal + (a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.len];
}

const struct config_key *config_int_nearest(struct slice name)
{
    const struct config_key *nearest = &config_int_keys[0];
    size_t distance = SIZE_MAX;
    for (size_t i = 0; i < config_int_key_count; i++) {
        size_t d = config_int_edit_distance(name, slice_from_cstr(config_int_keys[i].name));
        if (d < distance) {
            distance = d;
            nearest = &config_int_keys[i];
        }
    }
    return nearest;
}

/* The part of `name` directly below `section`; empty if it is not below. */
static struct slice child_of(struct slice name, struct slice section)
{
    if (!is_below(name, section))
        return SLICE_EMPTY;
    struct slice rest = slice_from(name, section.len == 0 ? 0 : section.len + 1);
    struct slice child;
    struct slice tail;
    return slice_split(rest, '.', &child, &tail) ? child : rest;
}

void config_int_append_children(struct strbuf *out, struct slice section)
{
    struct slice last = SLICE_EMPTY;
    for (size_t i = 0; i < config_int_key_count; i++) {
        struct slice child = child_of(slice_from_cstr(config_int_keys[i].name), section);
        if (child.len == 0 || slice_equal(child, last)) /* the table keeps each section together */
            continue;
        if (last.len > 0)
            strbuf_append(out, SLICE(", "));
        strbuf_append(out, child);
        bool is_whole = slice_has_suffix(slice_from_cstr(config_int_keys[i].name), child);
        if (is_whole && config_int_keys[i].kind == CONFIG_SECRET) {
            strbuf_append(out, SLICE(", "));
            strbuf_append(out, child);
            strbuf_append(out, SLICE("_file"));
        }
        last = child;
    }
}
