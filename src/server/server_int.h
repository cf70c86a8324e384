/* SPDX-License-Identifier: Apache-2.0
 *
 * The server and its loops, as the files of src/server share them.
 */
#ifndef SERVER_INT_H
#define SERVER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "minato/api.h"
#include "minato/server.h"

#define SERVER_ADDRESSES_MAX 64

struct server;

/* One event loop with its thread and HTTP server. Fields belong to the loop's thread once it runs. */
struct server_loop {
    struct server *server;
    struct loop *loop;
    struct http_server *http;
    struct http_server *metrics_http; /* on loop 0, if configured */
    pthread_t thread;
    bool has_thread;

    struct loop_task drain_task;
    bool is_draining;
    unsigned servers_left; /* HTTP servers that have not reported drained */
    unsigned flows_running;

    char id_prefix[16]; /* request ids: this, then a counter */
    uint32_t id_counter;

    size_t pages_reported;       /* what the gauge says of this loop; written on loop 0 */
    uint64_t log_drops_reported; /* what the counter says; on loop 0 */

    struct timer purge_timer; /* on loop 0 */
    struct flow *purge;       /* NULL: not running */

    struct timer watch_timer; /* on loop 0 */
    uint64_t reload_failures_logged;
};

/* Built once by server_int_build, then read only but for the atomics. */
struct server {
    const struct config *config;
    struct log *log;
    struct metrics *metrics;
    struct pool *pool;
    struct storage *storage;
    struct index *index;
    struct access *access;
    struct registry *registry;
    struct http_tls *tls; /* as the last reload left it; main thread. NULL: plain */
    struct api_services services;
    atomic_bool is_draining;
    atomic_uint ready_checks;
    atomic_uint loops_ended;
    pthread_t main_thread;

    struct http_address addresses[SERVER_ADDRESSES_MAX];
    struct http_listen_options listen_options[SERVER_ADDRESSES_MAX];
    struct network *trusted;
    size_t trusted_count;
    struct http_address_limit *address_limit; /* NULL: none */
    unsigned address_count;
    struct server_loop *loops;
    unsigned loop_count;
};

/* ---- pipeline.c ---- */

/* The http_handler of every loop; `data` is the server_loop. */
void server_int_handle_request(void *data, struct http_request *req);
/* The http_refusal_listener of every loop: what src/http refused has its access line and is counted too. */
void server_int_note_refusal(void *data, const struct http_refusal *refusal);

/* ---- metrics_page.c ---- */

/* The http_handler of the metrics listener; `data` is the server_loop. */
void server_int_handle_metrics(void *data, struct http_request *req);

/* ---- server.c ---- */

/* Loops, pool, store, index and registry; nothing runs and nobody can connect. On failure it is still to be freed. */
enum result server_int_build_domain(struct server *server, struct strbuf *ret_why) NODISCARD;
/* Everything but threads; it listens. On failure the server is still to be freed. */
enum result server_int_build(struct server *server, struct strbuf *ret_why) NODISCARD;
/* No thread runs any more, or none has been started. */
void server_int_dismantle(struct server *server);

/* Reads certificate, key and authorities anew. */
enum result server_int_make_tls(const struct server *server, struct strbuf *ret_why,
                                struct http_tls **ret_tls) NODISCARD;

/* ---- reload.c: SIGHUP, on the main thread ---- */

void server_int_reload(struct server *server);

/* ---- lifecycle.c ---- */

/* A flow on this loop began or ended: a draining loop stops after the last one. */
void server_int_flow_begun(struct server_loop *sl);
void server_int_flow_ended(struct server_loop *sl);

/* ---- upload_purge.c: removes expired upload sessions now and then, on loop 0 ---- */

void server_int_purge_start(struct server_loop *sl);
void server_int_purge_stop(struct server_loop *sl);

/* ---- watch.c: logs what lower levels only count, on loop 0 ---- */

void server_int_watch_start(struct server_loop *sl);
void server_int_watch_stop(struct server_loop *sl);

#endif
