/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: one YAML file, every key overridable by environment, defaults for all. Immutable once loaded.
 */
#ifndef MINATO_CONFIG_H
#define MINATO_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minato/result.h"
#include "minato/slice.h"

/* Text that must never be printed: there is no formatter for it. NUL-terminated; NULL when not configured. */
struct secret {
    char *value;
};

enum config_anonymous { ANONYMOUS_NONE, ANONYMOUS_PULL, ANONYMOUS_PUSH };
enum config_log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum config_log_format { LOG_FORMAT_JSON, LOG_FORMAT_TEXT };
enum config_s3_dialect { S3_DIALECT_AUTO, S3_DIALECT_AMAZON, S3_DIALECT_GOOGLE };
enum config_cdn { CDN_NONE, CDN_PLAIN, CDN_NGINX, CDN_CLOUDFRONT, CDN_GOOGLE };

struct config_list {
    char **items;
    unsigned count;
};

struct config {
    struct {
        struct config_list
            listen;         /* "127.0.0.1:5000", "[::]:5000 plain", ":5000 proxy_protocol": config_parse_listener */
        char *external_url; /* "https://registry.example.com", or NULL: relative Locations */
        struct {
            char *certificate_file; /* PEM, the chain; NULL: no TLS */
            char *key_file;
            char *client_ca_file; /* NULL: clients are not asked for a certificate */
        } tls;
        struct secret secret; /* signs upload sessions; NULL: one made at start (filesystem only) */
        unsigned loops;       /* event loops; 0: one per core */
        unsigned connections_max;
        unsigned connections_per_address;   /* 0: no limit */
        struct config_list trusted_proxies; /* networks: network_parse */
        uint64_t max_manifest_bytes;
        uint64_t head_timeout_ms;     /* a request's head must be complete within */
        uint64_t idle_timeout_ms;     /* a kept connection may be silent for */
        uint64_t body_timeout_ms;     /* a body may stall for */
        uint64_t body_min_rate_bytes; /* per second, measured over body_timeout; 0: no minimum */
        uint64_t drain_timeout_ms;
    } http;
    struct {
        bool delete_enabled;
        char *driver; /* the one key below `storage:` that names a driver: "filesystem" */
        struct {
            char *root;
        } filesystem;
        struct {
            char *endpoint; /* NULL: Amazon's, of the region */
            char *region;
            char *bucket;     /* NULL: not this driver */
            char *prefix;     /* of all keys, without slashes at its ends; NULL: none */
            char *access_key; /* NULL: from the environment or the machine's metadata */
            struct secret secret_key;
            struct secret session_token;
            bool path_style;
            char *external_endpoint; /* where clients reach the store; NULL: as we do */
            char *ca_file;           /* PEM; NULL: the system's authorities */
            char *sse_kms_key;       /* NULL: the bucket's own encryption */
            enum config_s3_dialect dialect;
            char *google_key_file; /* JSON of a service account, which signs URLs; NULL: the access key does */
        } s3;
        struct {
            char *endpoint;
            char *external_endpoint; /* NULL: as we do */
            char *bucket;            /* NULL: not this driver */
            char *prefix;            /* as above */
            char *access_key;
            struct secret secret_key;
            bool path_style;
            bool insecure; /* https is let through, though nobody checks the certificate */
        } s3v2;
    } storage;
    struct {
        bool enabled;
        uint64_t expires_ms; /* how long a URL serves at most */
        struct {
            enum config_cdn type;
            char *url;              /* "https://cdn.example.com/prefix": stands for the bucket */
            char *key_name;         /* Cloud CDN's key, CloudFront's key pair */
            struct secret key;      /* nginx' secret, Cloud CDN's base64url key */
            char *private_key_file; /* CloudFront's RSA key, PEM */
        } cdn;
    } redirect;
    struct {
        uint64_t buffer_bytes;
        uint64_t part_bytes; /* of objects written in parts */
        unsigned parts_in_flight;
        uint64_t expire_after_ms;
        uint64_t max_blob_bytes; /* 0: no limit */
    } uploads;
    struct {
        struct secret url; /* NULL: the local index */
        uint64_t ttl_ms;
    } redis;
    struct {
        bool layers;
        bool children;
    } validation;
    struct {
        enum config_anonymous anonymous;
        char *htpasswd_file; /* NULL: no users */
        char *htpasswd_realm;
    } auth;
    struct {
        enum config_log_level level;
        enum config_log_format format;
    } log;
    struct {
        char *listen; /* NULL: no metrics listener */
    } metrics;
    struct {
        unsigned threads; /* of the pool; 0: chosen */
    } pool;
};

/* Loads `path` (NULL: no file, defaults only), then the environment (`environ`-style array, may be NULL), then checks.
 * On INVALID, *ret_why (initialised by the caller) holds one line per mistake: "file:line: key: what was found, what
 * is expected". IO or NOT_FOUND if the file cannot be read. The config is freed by config_free. */
enum result config_load(const char *path, char *const *environment, struct strbuf *ret_why,
                        struct config **ret_config) NODISCARD;
void config_free(struct config *config); /* accepts NULL; wipes secrets */

/* An item of http.listen: an address, and words behind it that say how to listen there. */
struct config_listen {
    struct slice address;  /* as below, without the words */
    bool is_plain;         /* "plain": no TLS */
    bool has_proxy_header; /* "proxy_protocol" */
};
enum result config_parse_listener(struct slice text, struct config_listen *ret_listen) NODISCARD;
/* "1.2.3.4:80", "[::1]:80", ":80" (all addresses) or "localhost:80" into host (empty: all) and port. INVALID else. */
enum result config_parse_listen(struct slice text, struct slice *ret_host, uint16_t *ret_port) NODISCARD;

#endif
