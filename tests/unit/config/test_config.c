/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: values, the layers over each other, the exact text of refusals, and that the annotated example
 * is complete and tells the true defaults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "minato/own.h"
#include "src/config/config_int.h"

struct outcome {
    enum result r;
    struct strbuf why;
    struct config *config;
};

static void outcome_done(struct outcome *o)
{
    strbuf_done(&o->why);
    config_free(o->config);
}

static char *write_file(const char *text, size_t len)
{
    char path[] = "/tmp/minato-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
    char *copy = strdup(path);
    assert_non_null(copy);
    return copy;
}

/* `expected_why` has "FILE" where the path stands. */
static void load_with(struct outcome *o, const char *yaml, char *const *environment)
{
    *o = (struct outcome){0};
    strbuf_init(&o->why, 65536);
    OWNED_MEMORY char *path = yaml == NULL ? NULL : write_file(yaml, strlen(yaml));
    o->r = config_load(path, environment, &o->why, &o->config);
    char *found;
    while (path != NULL && o->why.ptr != NULL && (found = strstr(o->why.ptr, path)) != NULL) {
        memmove(found + 4, found + strlen(path), strlen(found + strlen(path)) + 1);
        memcpy(found, "FILE", 4);
    }
    if (path != NULL)
        unlink(path);
}

static void assert_refused(const char *yaml, char *const *environment, const char *why)
{
    OWNED(outcome_done) struct outcome o;
    load_with(&o, yaml, environment);
    assert_int_equal(o.r, INVALID);
    assert_null(o.config);
    assert_string_equal(o.why.ptr, why);
}

/* For messages whose end is long: `part` must occur. */
static void assert_refused_with(const char *yaml, char *const *environment, const char *part)
{
    OWNED(outcome_done) struct outcome o;
    load_with(&o, yaml, environment);
    assert_int_equal(o.r, INVALID);
    if (strstr(o.why.ptr, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, o.why.ptr);
}

static void assert_loads(struct outcome *o, const char *yaml, char *const *environment)
{
    load_with(o, yaml, environment);
    if (o->r != OK)
        fail_msg("refused: %s", o->why.ptr);
}

static void without_file_the_defaults_hold(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, NULL, NULL);
    const struct config *c = o.config;
    assert_int_equal(c->http.listen.count, 1);
    assert_string_equal(c->http.listen.items[0], "127.0.0.1:5000");
    assert_null(c->http.external_url);
    assert_null(c->http.secret.value);
    assert_int_equal(c->http.max_manifest_bytes, 4 << 20);
    assert_int_equal(c->http.head_timeout_ms, 10000);
    assert_int_equal(c->http.idle_timeout_ms, 120000);
    assert_int_equal(c->http.body_min_rate_bytes, 1024);
    assert_true(c->storage.delete_enabled);
    assert_string_equal(c->storage.driver, "filesystem");
    assert_string_equal(c->storage.filesystem.root, "./minato-data");
    assert_true(c->uploads.buffer_bytes >= 64 << 20);
    assert_int_equal(c->uploads.expire_after_ms, 7 * 86400000ull);
    assert_int_equal(c->uploads.max_blob_bytes, 0);
    assert_true(c->validation.layers && c->validation.children);
    assert_int_equal(c->auth.anonymous, ANONYMOUS_PUSH);
    assert_null(c->auth.htpasswd_file);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    assert_int_equal(c->log.format, LOG_FORMAT_JSON);
    assert_null(c->metrics.listen);
    assert_int_equal(c->pool.threads, 0);
}

static void an_empty_file_and_empty_sections_are_defaults(void **state)
{
    (void)state;
    static const char *const files[] = {"", "# nothing\n", "---\n", "http:\nauth:\n  htpasswd:\n",
                                        "\xef\xbb\xbfhttp:\n"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        OWNED(outcome_done) struct outcome o;
        assert_loads(&o, files[i], NULL);
        assert_string_equal(o.config->http.listen.items[0], "127.0.0.1:5000");
    }
}

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o,
                 "http:\n"
                 "  listen: [\"[::1]:5000\", ':5001']\n"
                 "  external_url: https://registry.example.com:8443/\n"
                 "  secret: 0123456789abcdef0123456789abcdef\n"
                 "  loops: 3\n"
                 "  idle_timeout: 1500ms\n"
                 "  drain_timeout: 0\n"
                 "storage: {delete: false, filesystem: {root: /srv/a b}}\n"
                 "uploads: {buffer: 128MiB, expire_after: 12h, max_blob: 10GB}\n"
                 "auth: {anonymous: pull}\n"
                 "log: {level: debug, format: text}\n"
                 "metrics: {listen: 127.0.0.1:5002}\n"
                 "pool: {threads: 9}\n",
                 NULL);
    const struct config *c = o.config;
    assert_int_equal(c->http.listen.count, 2);
    assert_string_equal(c->http.listen.items[0], "[::1]:5000");
    assert_string_equal(c->http.listen.items[1], ":5001");
    assert_string_equal(c->http.external_url, "https://registry.example.com:8443");
    assert_string_equal(c->http.secret.value, "0123456789abcdef0123456789abcdef");
    assert_int_equal(c->http.loops, 3);
    assert_int_equal(c->http.idle_timeout_ms, 1500);
    assert_int_equal(c->http.drain_timeout_ms, 0);
    assert_false(c->storage.delete_enabled);
    assert_string_equal(c->storage.filesystem.root, "/srv/a b");
    assert_int_equal(c->uploads.buffer_bytes, 128 << 20);
    assert_int_equal(c->uploads.expire_after_ms, 43200000);
    assert_int_equal(c->uploads.max_blob_bytes, 10000000000ull);
    assert_int_equal(c->auth.anonymous, ANONYMOUS_PULL);
    assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(c->log.format, LOG_FORMAT_TEXT);
    assert_string_equal(c->metrics.listen, "127.0.0.1:5002");
    assert_int_equal(c->pool.threads, 9);
}

static void the_environment_wins_over_the_file(void **state)
{
    (void)state;
    char *environment[] = {"HOME=/root",
                           "MINATO_HTTP_LISTEN=127.0.0.1:1, [::1]:2",
                           "MINATO_STORAGE_FILESYSTEM_ROOT=/data",
                           "MINATO_UPLOADS_MAX_BLOB=",
                           "MINATO_LOG_LEVEL=error",
                           NULL};
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, "http: {listen: ':9'}\nuploads: {max_blob: 5MiB}\nlog: {level: warn}\n", environment);
    assert_int_equal(o.config->http.listen.count, 2);
    assert_string_equal(o.config->http.listen.items[1], "[::1]:2");
    assert_string_equal(o.config->storage.filesystem.root, "/data");
    assert_int_equal(o.config->uploads.max_blob_bytes, 5 << 20); /* an empty variable is not set */
    assert_int_equal(o.config->log.level, LOG_LEVEL_ERROR);
}

static void variables_of_kubernetes_services_are_not_ours(void **state)
{
    (void)state;
    char *environment[] = {"MINATO_SERVICE_HOST=10.0.0.1",
                           "MINATO_SERVICE_PORT=5000",
                           "MINATO_SERVICE_PORT_HTTP=5000",
                           "MINATO_PORT=tcp://10.0.0.1:5000",
                           "MINATO_PORT_5000_TCP=tcp://10.0.0.1:5000",
                           "MINATO_PORT_5000_TCP_ADDR=10.0.0.1",
                           "MINATO_REDIS_SERVICE_HOST=10.0.0.2",
                           NULL};
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, NULL, environment);
}

static void unknown_variables_are_refused_with_the_nearest(void **state)
{
    (void)state;
    char *environment[] = {"MINATO_HTTP_LISTN=:5000", NULL};
    assert_refused(NULL, environment,
                   "environment: MINATO_HTTP_LISTN: found an unknown variable, expected a key's; the nearest is "
                   "MINATO_HTTP_LISTEN\n");
    char *later[] = {"MINATO_STORAGE_AZURE_CONTAINER=x", "MINATO_HTTP_SECRETS=x", NULL};
    assert_refused(NULL, later,
                   "environment: MINATO_STORAGE_AZURE_CONTAINER: found a key of a later version, expected it unset: "
                   "this version stores in storage.filesystem or storage.s3\n"
                   "environment: MINATO_HTTP_SECRETS: found a key of a later version, expected it unset: this version "
                   "knows one http.secret\n");
    char *wrong[] = {"MINATO_HTTP_LOOPS=many", NULL};
    assert_refused(NULL, wrong,
                   "environment: MINATO_HTTP_LOOPS: http.loops: found \"many\", expected a whole number, 0 or from 1 "
                   "to 256\n");
}

static void several_mistakes_are_told_at_once_with_their_lines(void **state)
{
    (void)state;
    assert_refused("http:\n"
                   "  lisen: :5000\n"
                   "  idle_timeout: 10 parsecs\n"
                   "\n"
                   "storage:\n"
                   "  delete: maybe\n"
                   "log:\n"
                   "  level: loud\n"
                   "  format:\n",
                   NULL,
                   "FILE:2: http.lisen: found an unknown key, expected one of listen, external_url, secret, "
                   "secret_file, tls, loops, connections, connections_per_address, trusted_proxies, max_manifest, "
                   "head_timeout, idle_timeout, body_timeout, "
                   "body_min_rate, drain_timeout; the nearest is http.listen\n"
                   "FILE:3: http.idle_timeout: found \"10 parsecs\", expected a duration such as 500ms, 30s, 5m, 12h "
                   "or 7d, from 100ms to 1h\n"
                   "FILE:6: storage.delete: found \"maybe\", expected true or false\n"
                   "FILE:8: log.level: found \"loud\", expected debug, info, warn or error\n"
                   "FILE:9: log.format: found nothing, expected json or text\n");
}

static void the_wrong_kind_of_node_is_refused(void **state)
{
    (void)state;
    assert_refused("storage: s3\nhttp:\n- a\nlog: {level: {a: b}}\npool: {threads: [1]}\n? [a]\n: b\n", NULL,
                   "FILE:1: storage: found a text, expected keys below it: delete, filesystem, s3, s3v2\n"
                   "FILE:3: http: found a list, expected keys below it: listen, external_url, secret, secret_file, "
                   "tls, loops, connections, connections_per_address, trusted_proxies, max_manifest, head_timeout, "
                   "idle_timeout, body_timeout, body_min_rate, "
                   "drain_timeout\n"
                   "FILE:4: log.level: found keys below it, expected debug, info, warn or error\n"
                   "FILE:5: pool.threads: found a list, expected a whole number, 0 or from 2 to 1024\n"
                   "FILE:6: found a key that is no text, expected a name\n");
    assert_refused("just text\n", NULL, "FILE:1: found no mapping, expected `key: value` lines\n");
    assert_refused(
        "a: b\n---\nc: d\n", NULL,
        "FILE:1: a: found an unknown key, expected one of http, storage, redirect, uploads, index, validation, auth, "
        "log, metrics, pool; the nearest is log.level\n"
        "FILE:2: found a second document, expected one\n");
    assert_refused_with("http: {listen: [':1', [x]]}\n", NULL, "FILE:1: http.listen: found an item that is no text");
    assert_refused_with("http: {listen: []}\n", NULL, "FILE:1: http.listen: found a list of 0");
}

static void duplicates_are_refused(void **state)
{
    (void)state;
    assert_refused("http:\n  loops: 1\n  loops: 2\nlog: {}\nhttp: {}\n", NULL,
                   "FILE:3: http.loops: found it again, expected it once (it is on line 2 too)\n"
                   "FILE:5: http: found it again, expected it once (it is on line 1 too)\n");
}

static void anchors_aliases_tags_and_depth_are_refused(void **state)
{
    (void)state;
    assert_refused(
        "a: &a [x]\n", NULL,
        "FILE:1: a: found an unknown key, expected one of http, storage, redirect, uploads, index, validation, auth, "
        "log, metrics, pool; the nearest is log.level\n"
        "FILE:1: a: found an anchor or alias (& or *), expected the value itself, or quotes around it\n");
    assert_refused_with("log:\n  level: *x\n", NULL, "FILE:2: log.level: found an anchor or alias");
    assert_refused_with("log:\n  level: !!str info\n", NULL, "FILE:2: log.level: found a tag");
    assert_refused_with("x: [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]\n", NULL, "found too many levels");
}

static void broken_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused_with("http:\n  loops: 1\n\tlisten: x\n", NULL, "FILE:3: http.loops: found what is no YAML (");
    assert_refused_with("http: {loops: 1\n", NULL, "found what is no YAML (");
    assert_refused_with("http: \xff\xfe\n", NULL, "found what is no YAML (");
    assert_refused_with("storage: {filesystem: {root: \"a\\0b\"}}\n", NULL,
                        "FILE:1: storage.filesystem.root: found \"a\\u0000b\", expected the path of a folder");
}

static void keys_of_later_versions_are_named_as_such(void **state)
{
    (void)state;
    assert_refused("http:\n"
                   "  secrets: [a, b]\n"
                   "storage:\n"
                   "  azure:\n"
                   "    container: x\n",
                   NULL,
                   "FILE:2: http.secrets: found a key of a later version, expected it to be absent: this version "
                   "knows one http.secret\n"
                   "FILE:4: storage.azure: found a key of a later version, expected it to be absent: this version "
                   "stores in storage.filesystem or storage.s3\n");
    assert_refused("index: redis\n", NULL, "FILE:1: index: found a text, expected keys below it: redis\n");
}

#define S3_AND_REDIS                                                                                                   \
    "http: {secret: 0123456789abcdef0123456789abcdef}\n"                                                               \
    "index: {redis: {url: 'redis://user:hidden@cache:6379/1', ttl: 5m}}\n"                                             \
    "storage: {s3: {bucket: images, endpoint: 'http://store:7480', access_key: a, secret_key: b}}\n"

static void a_bucket_and_redis_make_a_replica(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, S3_AND_REDIS "redirect: {cdn: {type: nginx, url: 'https://cdn/a/b', key: k}}\n", NULL);
    const struct config *c = o.config;
    assert_string_equal(c->storage.driver, "s3");
    assert_string_equal(c->storage.s3.bucket, "images");
    assert_true(c->storage.s3.path_style);
    assert_int_equal(c->storage.s3.dialect, S3_DIALECT_AUTO);
    assert_null(c->storage.s3.google_key_file);
    assert_int_equal(c->redis.ttl_ms, 300000);
    assert_string_equal(c->redis.url.value, "redis://user:hidden@cache:6379/1");
    assert_int_equal(c->redirect.cdn.type, CDN_NGINX);
    assert_true(c->redirect.enabled);
    assert_int_equal(c->uploads.part_bytes, 16 << 20);
}

static void what_replicas_share_is_demanded(void **state)
{
    (void)state;
    assert_refused("storage: {s3: {bucket: images, access_key: a}}\n", NULL,
                   "FILE:1: storage.s3.access_key: found one of access_key and secret_key, expected both or neither\n"
                   "default: http.secret: found none with storage.s3, expected one that all replicas share\n");
    assert_refused("storage: {s3v2: {bucket: images, endpoint: 'http://store'}}\n", NULL,
                   "FILE:1: storage.s3v2.bucket: found without all of endpoint, access_key and secret_key\n"
                   "default: http.secret: found none with storage.s3v2, expected one, so that uploads outlive a "
                   "restart\n");
    assert_refused(
        "http: {secret: 0123456789abcdef0123456789abcdef}\n"
        "storage: {s3: {bucket: a}, s3v2: {bucket: b, endpoint: 'http://s', access_key: a, secret_key: b}}\n",
        NULL, "FILE:2: storage.s3v2.bucket: found beside storage.s3.bucket, expected one store\n");
    assert_refused("storage: {s3: {endpoint: 'http://store'}}\n", NULL,
                   "default: storage.s3.bucket: found no bucket, expected the name of one beside the other keys of "
                   "storage.s3\n");
    char *two_loops[] = {"MINATO_HTTP_LOOPS=2", NULL};
    assert_refused(S3_AND_REDIS "uploads: {buffer: 32MiB}\n", two_loops,
                   "FILE:4: uploads.buffer: found 32MiB for 2 event loops, expected at least 23MiB for each: 1MiB and "
                   "four thirds of uploads.part_size (or fewer http.loops)\n");
    assert_refused("index: {redis: {url: 'http://x:secret@y'}}\n", NULL,
                   "FILE:1: index.redis.url: found 17 characters, expected "
                   "redis://[[user]:password@]host[:port][/database], unix:///path, "
                   "redis+sentinel://host[:port],.../name or redis+cluster://host[:port],...\n");
    assert_refused("redirect: {cdn: {type: plain, url: 'https://cdn/a?b'}}\n", NULL,
                   "FILE:1: redirect.cdn.url: found \"https://cdn/a?b\", expected http:// or https://, a host "
                   "and perhaps a port and a path, such as https://cdn.example.com/prefix\n");
    assert_refused("redirect: {cdn: {type: cloudfront, url: 'https://cdn'}}\n", NULL,
                   "default: redirect.cdn.key_name: found none, expected the key's name that cloudfront and google "
                   "need\n"
                   "default: redirect.cdn.private_key: found none, expected the RSA key that cloudfront needs\n");
}

static void secrets_are_read_from_files_and_never_printed(void **state)
{
    (void)state;
    const char secret[] = "fedcba9876543210fedcba9876543210\n";
    OWNED_MEMORY char *path = write_file(secret, sizeof(secret) - 1);
    char variable[128];
    (void)snprintf(variable, sizeof(variable), "MINATO_HTTP_SECRET_FILE=%s", path);
    char *environment[] = {variable, NULL};
    {
        OWNED(outcome_done) struct outcome o;
        assert_loads(&o, "http: {secret: 0123456789abcdef0123456789abcdef}\n", environment);
        assert_string_equal(o.config->http.secret.value, "fedcba9876543210fedcba9876543210");
    }
    char yaml[128];
    (void)snprintf(yaml, sizeof(yaml), "http:\n  secret_file: %s\n", path);
    {
        OWNED(outcome_done) struct outcome o;
        assert_loads(&o, yaml, NULL);
        assert_string_equal(o.config->http.secret.value, "fedcba9876543210fedcba9876543210");
    }
    unlink(path);
    assert_refused_with(yaml, NULL, "which cannot be read (No such file or directory)");
    assert_refused("http: {secret: hunter2}\n", NULL,
                   "FILE:1: http.secret: found 7 characters, expected 32 to 4096 printable characters, such as "
                   "`openssl rand -hex 32` writes\n");
    assert_refused_with("http:\n  secret: 0123456789abcdef0123456789abcdef\n  secret_file: /x\n", NULL,
                        "FILE:3: http.secret_file: found both the secret and its file, expected one of them");
    char *both[] = {"MINATO_HTTP_SECRET=0123456789abcdef0123456789abcdef", "MINATO_HTTP_SECRET_FILE=/x", NULL};
    assert_refused_with(NULL, both, "found it in MINATO_HTTP_SECRET too");
}

static void certificate_and_key_come_together(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_refused("http: {tls: {certificate: /c}}\n", NULL,
                   "FILE:1: http.tls.certificate: found without http.tls.key, expected both\n");
    assert_refused("http: {tls: {key: /k}}\n", NULL,
                   "FILE:1: http.tls.key: found without http.tls.certificate, expected both\n");
    assert_refused("http: {tls: {client_ca: /a}}\n", NULL,
                   "FILE:1: http.tls.client_ca: found without http.tls.certificate and http.tls.key, expected all "
                   "three\n");
    assert_loads(&o, "http: {tls: {certificate: /c, key: /k, client_ca: /a}}\n", NULL);
    assert_string_equal(o.config->http.tls.client_ca_file, "/a");
    assert_int_equal(o.config->auth.anonymous, ANONYMOUS_NONE);
}

static void keys_that_contradict_each_other_are_refused(void **state)
{
    (void)state;
    assert_refused("http: {loops: 8}\nuploads: {buffer: 4MiB}\n", NULL,
                   "FILE:2: uploads.buffer: found 4MiB for 8 event loops, expected at least 1MiB for each (or fewer "
                   "http.loops)\n");
    assert_refused("http: {listen: ':1'}\nmetrics: {listen: ':1'}\n", NULL,
                   "FILE:2: metrics.listen: found an address of http.listen, expected one of its own\n");
    assert_refused_with("http: {listen: [':1', ':1']}\n", NULL, "found the same address twice");
    assert_refused_with("http: {listen: [':1 plain', ':1']}\n", NULL, "found the same address twice");
    assert_refused_with("http: {listen: ':1 proxy_protocol'}\n", NULL, "proxy_protocol without http.trusted_proxies");
    assert_refused_with("http: {listen: ':1 proxyprotocol'}\n", NULL,
                        "FILE:1: http.listen: found \":1 proxyprotocol\"");
    assert_refused_with("http: {trusted_proxies: [10.0.0.0/8, 10.0.0.1/8]}\n", NULL,
                        "FILE:1: http.trusted_proxies: found \"10.0.0.1/8\"");
    assert_refused_with("auth: {anonymous: none}\n", NULL, "nobody could do anything");
}

static void anonymous_defaults_to_none_as_soon_as_there_are_users(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, "auth: {htpasswd: {file: /x}}\n", NULL);
    assert_int_equal(o.config->auth.anonymous, ANONYMOUS_NONE);
    OWNED(outcome_done) struct outcome p;
    assert_loads(&p, "auth: {anonymous: push, htpasswd: {file: /x}}\n", NULL);
    assert_int_equal(p.config->auth.anonymous, ANONYMOUS_PUSH);
}

static void the_default_buffer_grows_with_the_loops(void **state)
{
    (void)state;
    OWNED(outcome_done) struct outcome o;
    assert_loads(&o, "http: {loops: 200}\n", NULL);
    assert_int_equal(o.config->uploads.buffer_bytes, 200 << 20);
    OWNED(outcome_done) struct outcome p;
    char *two_loops[] = {"MINATO_HTTP_LOOPS=2", NULL};
    assert_loads(&p, S3_AND_REDIS, two_loops); /* two parts at once on each */
    assert_int_equal(p.config->uploads.buffer_bytes, 2 * (1 + 3 * 16) << 20);
}

static void files_that_cannot_be_read_are_told_apart(void **state)
{
    (void)state;
    struct config *config = NULL;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 4096);
    assert_int_equal(config_load("/nonexistent/minato.yaml", NULL, &why, &config), NOT_FOUND);
    assert_string_equal(why.ptr, "/nonexistent/minato.yaml: cannot be read: No such file or directory\n");
    assert_int_equal(config_load("/tmp", NULL, &why, &config), IO);

    size_t size = CONFIG_FILE_BYTES_MAX + 1;
    OWNED_MEMORY char *big = malloc(size);
    assert_non_null(big);
    memset(big, '#', size);
    OWNED_MEMORY char *path = write_file(big, size);
    assert_int_equal(config_load(path, NULL, &why, &config), INVALID);
    unlink(path);
    assert_non_null(strstr(why.ptr, "found a file over 1MiB"));
}

static void no_more_than_twenty_mistakes_are_told(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf yaml;
    strbuf_init(&yaml, 1 << 20);
    for (unsigned i = 0; i < 5000; i++)
        strbuf_append_format(&yaml, "wrong%u: 1\n", i);
    OWNED(outcome_done) struct outcome o;
    load_with(&o, yaml.ptr, NULL);
    assert_int_equal(o.r, INVALID);
    assert_non_null(strstr(o.why.ptr, "FILE:20: wrong19: "));
    assert_null(strstr(o.why.ptr, "FILE:21: "));
    assert_non_null(strstr(o.why.ptr, "... and more mistakes; the first 20 are shown\n"));
}

static void sizes_and_durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } sizes[] = {{"0", 0},
                 {"4096", 4096},
                 {"5B", 5},
                 {"64KiB", 65536},
                 {"1GiB", 1 << 30},
                 {"10GB", 10000000000ull},
                 {"2TiB", 2ull << 40},
                 {"3kB", 3000}},
      durations[] = {{"0", 0}, {"500ms", 500}, {"30s", 30000}, {"5m", 300000}, {"12h", 43200000}, {"7d", 604800000}};
    static const char *const wrong[] = {
        "", "x", "KiB", "-1", "+1s", "1.5GiB", "1 GiB", "18446744073709551616", "1ki", "1GiBB", "99999999999999TiB"};
    uint64_t value;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(config_int_parse_size(slice_from_cstr(sizes[i].text), &value), OK);
        assert_int_equal(value, sizes[i].value);
    }
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        assert_int_equal(config_int_parse_duration(slice_from_cstr(durations[i].text), &value), OK);
        assert_int_equal(value, durations[i].value);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(config_int_parse_size(slice_from_cstr(wrong[i]), &value), INVALID);
        assert_int_equal(config_int_parse_duration(slice_from_cstr(wrong[i]), &value), INVALID);
    }
    assert_int_equal(config_int_parse_duration(SLICE("30"), &value), INVALID); /* 30 of what? */
}

static void listen_addresses_are_parsed(void **state)
{
    (void)state;
    struct slice host;
    uint16_t port;
    assert_int_equal(config_parse_listen(SLICE("[::1]:80"), &host, &port), OK);
    assert_true(slice_equal(host, SLICE("::1")) && port == 80);
    assert_int_equal(config_parse_listen(SLICE(":80"), &host, &port), OK);
    assert_true(host.len == 0 && port == 80);
    assert_int_equal(config_parse_listen(SLICE("localhost:65535"), &host, &port), OK);
    static const char *const wrong[] = {"",      "80",     "1.2.3.4", "1.2.3.4:",    "1.2.3.4:65536", "::1:80",
                                        "[]:80", "[x]:80", "a b:80",  "http://a:80", "[::1]",         "a:-1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(config_parse_listen(slice_from_cstr(wrong[i]), &host, &port), INVALID);
}

static void external_urls_have_no_path(void **state)
{
    (void)state;
    static const char *const wrong[] = {"registry.example.com", "ftp://x",     "https://",
                                        "https://x/y",          "https://u@x", "https://x?y"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(config_int_is_url(slice_from_cstr(wrong[i])));
    assert_true(config_int_is_url(SLICE("http://[::1]:5000")));
}

static void no_two_keys_share_a_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_int_key_count; i++)
        for (size_t j = 0; j < i; j++) {
            char a[128];
            char b[128];
            (void)snprintf(a, sizeof(a), "%s", config_int_keys[i].name);
            (void)snprintf(b, sizeof(b), "%s", config_int_keys[j].name);
            for (char *p = a; *p != '\0'; p++)
                *p = *p == '.' ? '_' : *p;
            for (char *p = b; *p != '\0'; p++)
                *p = *p == '.' ? '_' : *p;
            assert_string_not_equal(a, b);
        }
}

/* ---- the annotated example ---- */

/* Found from where this file is. */
static char *example_path(void)
{
    const char here[] = __FILE__;
    size_t depth = strlen("tests/unit/config/test_config.c");
    char *path = NULL;
    assert_true(asprintf(&path, "%.*sdeploy/config/minato.yaml", (int)(sizeof(here) - 1 - depth), here) > 0);
    return path;
}

struct example_key {
    char name[128];
    char value[256];
    bool is_active;
};

/* The dotted keys of the example, with `#key:` counted as keys that are not active. Returns their number. */
static size_t read_example(struct example_key *keys, size_t max)
{
    OWNED_MEMORY char *path = example_path();
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char sections[4][64] = {{0}};
    size_t count = 0;
    char line[512];
    while (fgets(line, sizeof(line), file) != NULL) {
        size_t indent = strspn(line, " ");
        const char *text = line + indent;
        bool is_active = *text != '#';
        text += is_active ? 0 : 1;
        size_t len = strcspn(text, ":");
        if (*text < 'a' || *text > 'z' || text[len] != ':' || memchr(text, ' ', len) != NULL)
            continue;
        size_t level = indent / 2;
        assert_true(level < 4 && count < max && len < sizeof(sections[0]));
        (void)snprintf(sections[level], sizeof(sections[0]), "%.*s", (int)len, text);
        struct example_key *key = &keys[count];
        *key = (struct example_key){.is_active = is_active};
        for (size_t i = 0; i <= level; i++)
            (void)snprintf(key->name + strlen(key->name), sizeof(key->name) - strlen(key->name), "%s%s",
                           i == 0 ? "" : ".", sections[i]);
        const char *value = text + len + 1 + strspn(text + len + 1, " ");
        (void)snprintf(key->value, sizeof(key->value), "%.*s", (int)strcspn(value, "\n"), value);
        if (key->value[0] != '\0')
            count++;
    }
    (void)fclose(file);
    return count;
}

static void the_annotated_example_holds_every_key_and_its_default(void **state)
{
    (void)state;
    struct example_key found[96];
    size_t count = read_example(found, 96);
    for (size_t i = 0; i < config_int_key_count; i++) {
        const struct config_key *key = &config_int_keys[i];
        const struct example_key *shown = NULL;
        for (size_t j = 0; j < count; j++)
            if (strcmp(found[j].name, key->name) == 0)
                shown = &found[j];
        if (shown == NULL)
            fail_msg("%s is not in deploy/config/minato.yaml", key->name);
        if (key->fallback == NULL)
            assert_false(shown->is_active);
        else
            assert_true(shown->is_active);
        if (key->fallback != NULL)
            assert_string_equal(shown->value, key->fallback);
    }
    for (size_t j = 0; j < count; j++) {
        struct slice name = slice_from_cstr(found[j].name);
        if (slice_has_suffix(name, SLICE("_file")))
            continue;
        if (config_int_find_key(name) == NULL)
            fail_msg("%s of deploy/config/minato.yaml is no key", found[j].name);
    }
}

static void the_annotated_example_loads(void **state)
{
    (void)state;
    struct config *config = NULL;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 4096);
    OWNED_MEMORY char *path = example_path();
    if (config_load(path, NULL, &why, &config) != OK)
        fail_msg("%s", why.ptr);
    assert_int_equal(config->auth.anonymous, ANONYMOUS_PUSH);
    config_free(config);
}

static void the_commented_keys_of_the_example_load_too(void **state)
{
    (void)state;
    struct example_key found[96];
    size_t count = read_example(found, 96);
    for (size_t j = 0; j < count; j++) {
        if (found[j].is_active || slice_has_suffix(slice_from_cstr(found[j].name), SLICE("_file")) ||
            strcmp(found[j].name, "auth.anonymous") == 0 || /* none: only together with users */
            strncmp(found[j].name, "http.tls.", 9) == 0 || strncmp(found[j].name, "storage.s3.", 11) == 0 ||
            strncmp(found[j].name, "storage.s3v2.", 13) == 0)
            /* only together */
            continue;
        char variable[512] = "MINATO_";
        size_t at = strlen(variable);
        for (const char *p = found[j].name; *p != '\0'; p++)
            variable[at++] = *p == '.' ? '_' : (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
        (void)snprintf(variable + at, sizeof(variable) - at, "=%s", found[j].value);
        char *environment[] = {variable, NULL};
        OWNED(outcome_done) struct outcome o;
        assert_loads(&o, NULL, environment);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_file_the_defaults_hold),
        cmocka_unit_test(an_empty_file_and_empty_sections_are_defaults),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(the_environment_wins_over_the_file),
        cmocka_unit_test(variables_of_kubernetes_services_are_not_ours),
        cmocka_unit_test(unknown_variables_are_refused_with_the_nearest),
        cmocka_unit_test(several_mistakes_are_told_at_once_with_their_lines),
        cmocka_unit_test(the_wrong_kind_of_node_is_refused),
        cmocka_unit_test(duplicates_are_refused),
        cmocka_unit_test(anchors_aliases_tags_and_depth_are_refused),
        cmocka_unit_test(broken_yaml_is_refused_with_its_line),
        cmocka_unit_test(keys_of_later_versions_are_named_as_such),
        cmocka_unit_test(a_bucket_and_redis_make_a_replica),
        cmocka_unit_test(what_replicas_share_is_demanded),
        cmocka_unit_test(secrets_are_read_from_files_and_never_printed),
        cmocka_unit_test(certificate_and_key_come_together),
        cmocka_unit_test(keys_that_contradict_each_other_are_refused),
        cmocka_unit_test(anonymous_defaults_to_none_as_soon_as_there_are_users),
        cmocka_unit_test(the_default_buffer_grows_with_the_loops),
        cmocka_unit_test(files_that_cannot_be_read_are_told_apart),
        cmocka_unit_test(no_more_than_twenty_mistakes_are_told),
        cmocka_unit_test(sizes_and_durations_have_units),
        cmocka_unit_test(listen_addresses_are_parsed),
        cmocka_unit_test(external_urls_have_no_path),
        cmocka_unit_test(no_two_keys_share_a_variable),
        cmocka_unit_test(the_annotated_example_holds_every_key_and_its_default),
        cmocka_unit_test(the_annotated_example_loads),
        cmocka_unit_test(the_commented_keys_of_the_example_load_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
