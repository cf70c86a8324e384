/* SPDX-License-Identifier: Apache-2.0
 *
 * What http_client.c (the calls) and http_loop.c (libcurl on an event loop) share. All of one loop belongs to its
 * thread.
 */
#ifndef MINATO_OUTBOUND_INT_H
#define MINATO_OUTBOUND_INT_H

#include <pthread.h>

#include <curl/curl.h>

#include "minato/outbound.h"

/* One exchange under way. libcurl's callbacks only note what happened and queue it: whoever waits is told when libcurl
 * has returned, as it may not be called from within. */
struct http_download {
    struct http_loop *http;
    struct http_exchange *exchange;
    CURL *easy;
    struct curl_slist *fields;
    struct http_download **ret_self; /* of open */
    struct done done;                /* of perform, of open, then of each read */
    bool is_stream;
    bool is_waiting; /* `done` is to be called */
    bool has_head;
    bool is_head_told;
    bool is_over;
    enum result outcome; /* when over */
    bool is_too_large;
    char trouble[CURL_ERROR_SIZE];
    struct strbuf head;
    struct strbuf answer;
    /* the request */
    bool was_sent; /* or is about to be */
    struct slice body;
    const struct page *page;
    size_t at; /* in `body`, or in `page` */
    /* a read of the answer */
    struct page *wanted;
    bool is_paused;
    struct http_download *next_ready;
    bool is_queued;
};

/* libcurl's multi handle on one loop. */
struct http_loop {
    struct http_client *client;
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
    struct http_download *first_ready;
    struct http_download **last_ready;
    struct http_loop *next;
};

struct http_client {
    struct http_client_settings settings;
    pthread_mutex_t mutex; /* guards `loops`; each of them is its loop's */
    struct http_loop *loops;
};

/* Made when first asked for. */
struct http_loop *outbound_int_loop(struct http_client *client, struct loop *loop);
/* Its exchanges are over. */
void outbound_int_loop_free(struct http_loop *http);
/* Gives it to libcurl, or queues it as failed. */
void outbound_int_start(struct http_download *transfer);
void outbound_int_queue(struct http_download *transfer);
void outbound_int_unqueue(struct http_download *transfer);
/* Tells whoever waits for what libcurl has done (http_client.c). */
void outbound_int_tell(struct http_download *transfer);
/* libcurl is through with it. */
void outbound_int_over(struct http_download *transfer, CURLcode code);

#endif
