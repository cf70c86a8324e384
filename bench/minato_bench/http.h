/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to a registry: many at once on one thread, over libcurl's multi interface and epoll. Challenges are met and
 * redirects followed here; whether an answer is right is for the caller to say.
 */
#ifndef MINATO_BENCH_HTTP_H
#define MINATO_BENCH_HTTP_H

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "auth.h"
#include "images.h"
#include "options.h"
#include "stats.h"

#define URL_SIZE 4096
#define CHALLENGE_SIZE 1024

struct request {
    enum operation operation;
    const char *method;
    char url[URL_SIZE];
    char scope[SCOPE_SIZE];
    const char *accept;       /* NULL: none */
    const char *content_type; /* NULL: none */
    const char *text;         /* the body, of text_length; NULL: none, or */
    size_t text_length;
    const struct blob *blob; /* this, of a length that is not told beforehand, as docker sends it */
    bool follows;            /* a redirect */
    bool keeps_body;         /* of the answer, up to a limit; its digest is always there */
};

struct response {
    enum failure failure; /* of the connection, or FAILURE_NONE */
    int status;
    char location[URL_SIZE]; /* absolute; empty without */
    char content_digest[DIGEST_SIZE];
    char challenge[CHALLENGE_SIZE];
    bool has_link;
    int64_t content_length;   /* -1: not told */
    char digest[DIGEST_SIZE]; /* of the body of a 2xx */
    uint64_t received;        /* bytes of bodies */
    uint64_t sent;
    char *body;
    size_t body_length;
};

enum leg { LEG_TOKEN, LEG_REQUEST, LEG_REDIRECT };

/* One request at a time, again and again. */
struct exchange {
    struct request request;
    struct response response;
    uint64_t intended_ns; /* when the request was due */
    bool is_measured;     /* whether tokens count */
    void (*done)(struct exchange *exchange);
    /* The rest is http.c's. */
    struct transport *transport;
    CURL *easy;
    struct curl_slist *headers;
    EVP_MD_CTX *digest;
    enum leg leg;
    bool is_busy;
    bool has_http2; /* the last request was answered over it */
    bool was_challenged;
    unsigned redirects;
    uint64_t leg_begun_ns;
    uint64_t body_offset;
};

struct transport;

/* Borrows all of them. */
struct transport *transport_new(const struct options *options, const struct image_source *source, struct auth *auth,
                                struct stats *stats);
void transport_free(struct transport *transport);
/* Moves what can be moved, waits until `until_ns` at most for more. Calls `done` of what has ended. */
void transport_turn(struct transport *transport, uint64_t until_ns);

void exchange_init(struct exchange *exchange, struct transport *transport, void (*done)(struct exchange *exchange));
void exchange_free(struct exchange *exchange);
/* Empties `request` for the next. */
void exchange_reset(struct exchange *exchange);
void exchange_start(struct exchange *exchange, uint64_t intended_ns, bool is_measured);
/* `done` is not called. */
void exchange_cancel(struct exchange *exchange);

#endif
