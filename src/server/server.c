/* SPDX-License-Identifier: Apache-2.0
 *
 * Assembles the server from a configuration, bottom up, and takes it apart again, top down. What runs when is in
 * lifecycle.c. On the main thread, while no loop runs.
 */
#include "server_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define POOL_THREADS 8u
#define SLOW_QUEUE_MAX 64u
#define INDEX_ENTRIES_MAX 200000u
#define LOG_BUFFER_BYTES ((size_t)1024 * 1024)
#define HEAD_BYTES_MAX ((size_t)32 * 1024)
#define DESCRIPTORS_RESERVED 128u     /* store, loops, listeners, standard streams */
#define DESCRIPTORS_PER_CONNECTION 2u /* its socket, and the file it is served from */
#define METRICS_CONNECTIONS_MAX 64u

/* ---- limits ---- */

/* Raises the limit of open files as far as the kernel lets us, and returns it. */
static uint64_t raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur;
}

static unsigned connections_per_loop(const struct server *server)
{
    uint64_t descriptors = raise_descriptor_limit();
    uint64_t possible = descriptors > DESCRIPTORS_RESERVED * 2
                            ? (descriptors - DESCRIPTORS_RESERVED) / DESCRIPTORS_PER_CONNECTION
                            : DESCRIPTORS_RESERVED / DESCRIPTORS_PER_CONNECTION;
    uint64_t wanted = server->config->http.connections_max;
    if (wanted > possible) {
        log_event(server->log, LOG_LEVEL_INFO, "server.connections_limited", FIELD_NUM("configured", wanted),
                  FIELD_NUM("possible", possible),
                  FIELD_CSTR("next", "raise the limit of open files (ulimit -n, LimitNOFILE) to allow more"));
        wanted = possible;
    }
    uint64_t each = (wanted + server->loop_count - 1) / server->loop_count;
    return each == 0 ? 1 : (unsigned)each;
}

static void read_trusted_proxies(struct server *server)
{
    const struct config_list *list = &server->config->http.trusted_proxies;
    server->trusted = xcalloc(list->count + 1, sizeof(server->trusted[0]));
    for (unsigned i = 0; i < list->count; i++)
        if (network_parse(slice_from_cstr(list->items[i]), &server->trusted[server->trusted_count]) == OK)
            server->trusted_count++; /* each is: the configuration was checked */
}

static struct http_settings settings_of(const struct server *server, unsigned connections_max)
{
    const struct config *config = server->config;
    return (struct http_settings){
        .head_bytes_max = HEAD_BYTES_MAX,
        .head_timeout_ms = config->http.head_timeout_ms,
        .idle_timeout_ms = config->http.idle_timeout_ms,
        .body_timeout_ms = config->http.body_timeout_ms,
        .body_min_rate_bytes = config->http.body_min_rate_bytes,
        .write_timeout_ms = config->http.body_timeout_ms,
        .connections_max = connections_max,
        .trusted = server->trusted,
        .trusted_count = server->trusted_count,
    };
}

/* ---- subsystems ---- */

static bool is_draining(void *data)
{
    struct server *server = data;
    return atomic_load(&server->is_draining);
}

static void on_begun(void *data, unsigned loop)
{
    struct server *server = data;
    server_int_flow_begun(&server->loops[loop]);
}

static void on_ended(void *data, unsigned loop)
{
    struct server *server = data;
    server_int_flow_ended(&server->loops[loop]);
}

static unsigned choose_loop_count(const struct config *config)
{
    if (config->http.loops > 0)
        return config->http.loops;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (unsigned)cores;
}

static enum result build_loops(struct server *server)
{
    server->loops = xcalloc(server->loop_count, sizeof(server->loops[0]));
    size_t page_bytes = (size_t)(server->config->uploads.buffer_bytes / server->loop_count);
    for (unsigned i = 0; i < server->loop_count; i++) {
        struct server_loop *sl = &server->loops[i];
        uint8_t random[6];
        random_bytes(random, sizeof(random));
        hex_encode(random, sizeof(random), sl->id_prefix);
        sl->id_prefix[sizeof(random) * 2] = '-';
        sl->server = server;
        enum result r = loop_new(i, page_bytes, &sl->loop);
        if (r != OK)
            return r;
    }
    return OK;
}

static enum result build_redis_index(struct server *server, struct clock clock, struct strbuf *ret_why)
{
    const struct config *config = server->config;
    char name[REGISTRY_STORE_NAME_SIZE];
    enum result r = registry_name_store(server->storage, server->loops[0].loop, name);
    if (r != OK) {
        strbuf_append_format(ret_why, "index.redis: cannot read or make minato/name in the store: %s", result_name(r));
        return r;
    }
    struct index_redis_settings settings = {
        .url = slice_from_cstr(config->redis.url.value),
        .ttl_ms = config->redis.ttl_ms,
        .store = slice_from_cstr(name),
        .pool = server->pool,
        .clock = clock,
        .metrics = server->metrics,
        .log = server->log,
    };
    return index_new_redis(&settings, ret_why, &server->index);
}

/* A folder is locked and ours alone; buckets are shared, and without Redis nobody would say what others changed. */
static enum result build_index(struct server *server, struct clock clock, struct strbuf *ret_why)
{
    enum result r = OK;
    if (server->config->redis.url.value != NULL)
        r = build_redis_index(server, clock, ret_why);
    else if (storage_capabilities(server->storage).can_rename)
        server->index = index_new_local(INDEX_ENTRIES_MAX, clock, server->metrics);
    else
        server->index = index_new_none();
    for (unsigned i = 0; r == OK && i < server->loop_count; i++)
        index_start(server->index, server->loops[i].loop);
    return r;
}

static enum result build_subsystems(struct server *server, struct strbuf *ret_why)
{
    const struct config *config = server->config;
    struct clock clock = clock_system();
    enum result r = access_new(config, server->pool, clock, server->metrics, ret_why, &server->access);
    if (r != OK)
        return r;
    r = storage_open(config, server->pool, server->metrics, ret_why, &server->storage);
    if (r != OK)
        return r;
    storage_start(server->storage, server->loops[0].loop, server->log);
    r = build_index(server, clock, ret_why);
    if (r != OK)
        return r;
    r = registry_new(config, server->storage, server->index, server->pool, clock, server->metrics, server->log,
                     &server->registry);
    if (r != OK) {
        strbuf_append_cstr(ret_why, "the registry cannot start: ");
        strbuf_append_cstr(ret_why, result_name(r));
        return r;
    }
    registry_watch_background(server->registry, (struct registry_background){on_begun, on_ended, server});
    server->services = (struct api_services){
        .registry = server->registry,
        .access = server->access,
        .metrics = server->metrics,
        .config = config,
        .clock = clock,
        .is_draining = is_draining,
        .data = server,
        .ready_checks = &server->ready_checks,
    };
    return OK;
}

/* ---- listening ---- */

static bool is_loopback(const struct http_address *address)
{
    if (address->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&address->addr;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&address->addr;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    }
    return false;
}

/* Also finds out whether another server is there: before a socket of ours is. */
static enum result resolve_addresses(struct server *server, struct strbuf *ret_why)
{
    const struct config_list *listen = &server->config->http.listen;
    if (listen->count > SERVER_ADDRESSES_MAX) {
        strbuf_append_format(ret_why, "http.listen: at most %d addresses, please", SERVER_ADDRESSES_MAX);
        return INVALID;
    }
    bool is_public = false;
    for (unsigned i = 0; i < listen->count; i++) {
        struct http_address *address = &server->addresses[server->address_count];
        struct config_listen how;
        enum result r = config_parse_listener(slice_from_cstr(listen->items[i]), &how);
        if (r == OK)
            r = http_address_resolve(how.address, address, ret_why);
        if (r != OK)
            return r;
        r = http_address_probe(address, ret_why);
        if (r != OK)
            return r;
        server->listen_options[i] = (struct http_listen_options){
            .is_tls = server->config->http.tls.certificate_file != NULL && !how.is_plain,
            .has_proxy_header = how.has_proxy_header,
        };
        is_public = is_public || !is_loopback(address);
        server->address_count++;
    }
    if (is_public && server->config->auth.anonymous == ANONYMOUS_PUSH)
        log_event(server->log, LOG_LEVEL_WARN, "server.open_to_everybody",
                  FIELD_CSTR("what", "auth.anonymous is push and the registry listens beyond this machine"),
                  FIELD_CSTR("next", "going on; whoever reaches it can push. Set auth.htpasswd and auth.anonymous"));
    return OK;
}

static enum result listen_on_all(struct server *server, struct server_loop *sl, const struct http_settings *settings,
                                 struct strbuf *ret_why)
{
    enum result r =
        http_server_new(sl->loop, settings, server->pool, server->metrics, server_int_handle_request, sl, &sl->http);
    if (r == OK)
        http_server_on_refusal(sl->http, server_int_note_refusal, sl);
    if (r == OK && server->tls != NULL)
        http_server_set_tls(sl->http, server->tls);
    for (unsigned i = 0; r == OK && i < server->address_count; i++)
        r = http_server_listen(sl->http, &server->addresses[i], &server->listen_options[i], ret_why);
    return r;
}

static enum result listen_for_metrics(struct server *server, struct strbuf *ret_why)
{
    if (server->config->metrics.listen == NULL)
        return OK;
    struct server_loop *sl = &server->loops[0];
    struct http_settings settings = settings_of(server, METRICS_CONNECTIONS_MAX);
    enum result r = http_server_new(sl->loop, &settings, server->pool, server->metrics, server_int_handle_metrics, sl,
                                    &sl->metrics_http);
    if (r != OK)
        return r;
    struct http_address address;
    r = http_address_resolve(slice_from_cstr(server->config->metrics.listen), &address, ret_why);
    if (r == OK)
        r = http_address_probe(&address, ret_why);
    if (r != OK)
        return r;
    return http_server_listen(sl->metrics_http, &address, &(struct http_listen_options){.is_tls = false}, ret_why);
}

enum result server_int_make_tls(const struct server *server, struct strbuf *ret_why, struct http_tls **ret_tls)
{
    const struct config *config = server->config;
    struct http_tls_settings settings = {
        .certificate_file = config->http.tls.certificate_file,
        .key_file = config->http.tls.key_file,
        .client_ca_file = config->http.tls.client_ca_file,
        .secret = slice_from_cstr(config->http.secret.value),
        .clock = server->services.clock,
    };
    return http_tls_new(&settings, ret_why, ret_tls);
}

static enum result listen_everywhere(struct server *server, struct strbuf *ret_why)
{
    enum result r = resolve_addresses(server, ret_why);
    read_trusted_proxies(server);
    if (r == OK && server->config->http.tls.certificate_file != NULL)
        r = server_int_make_tls(server, ret_why, &server->tls);
    if (r != OK)
        return r;
    struct http_settings settings = settings_of(server, connections_per_loop(server));
    if (server->config->http.connections_per_address > 0)
        server->address_limit = http_address_limit_new(server->config->http.connections_per_address);
    settings.address_limit = server->address_limit;
    for (unsigned i = 0; i < server->loop_count; i++) {
        r = listen_on_all(server, &server->loops[i], &settings, ret_why);
        if (r != OK)
            return r;
    }
    return listen_for_metrics(server, ret_why);
}

/* ---- all of it ---- */

enum result server_int_build_domain(struct server *server, struct strbuf *ret_why)
{
    const struct config *config = server->config;
    server->loop_count = choose_loop_count(config);
    server->log = log_new(STDERR_FILENO, config->log.level, config->log.format, LOG_BUFFER_BYTES);
    server->metrics = metrics_new(server->loop_count);
    enum result r = build_loops(server);
    if (r != OK)
        return r;
    unsigned threads = config->pool.threads > 0 ? config->pool.threads : POOL_THREADS;
    r = pool_new(threads, SLOW_QUEUE_MAX, &server->pool);
    if (r != OK) {
        strbuf_append_format(ret_why, "cannot start %u threads: raise the limit of processes (ulimit -u)", threads);
        return r;
    }
    log_attach(server->log, server->loops[0].loop, server->pool);
    return build_subsystems(server, ret_why);
}

enum result server_int_build(struct server *server, struct strbuf *ret_why)
{
    enum result r = http_library_check(ret_why);
    if (r == OK)
        r = server_int_build_domain(server, ret_why);
    return r == OK ? listen_everywhere(server, ret_why) : r;
}

void server_int_dismantle(struct server *server)
{
    for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++) {
        http_server_free(server->loops[i].metrics_http);
        http_server_free(server->loops[i].http);
    }
    http_tls_unref(server->tls);
    http_address_limit_free(server->address_limit);
    free(server->trusted);
    registry_free(server->registry);
    index_free(server->index);
    storage_close(server->storage);
    access_free(server->access);
    if (server->pool != NULL)
        log_detach(server->log);
    pool_free(server->pool);
    for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++) {
        if (server->loops[i].loop != NULL)
            loop_run_once(server->loops[i].loop, 0); /* what the pool posted last */
        loop_free(server->loops[i].loop);
    }
    free(server->loops);
    log_free(server->log);
    metrics_free(server->metrics);
}
