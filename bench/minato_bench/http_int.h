/* SPDX-License-Identifier: Apache-2.0
 *
 * What transport.c and http.c share.
 */
#ifndef MINATO_BENCH_HTTP_INT_H
#define MINATO_BENCH_HTTP_INT_H

#include "http.h"

struct transport {
    const struct options *options;
    const struct image_source *source;
    struct auth *auth;
    struct stats *stats;
    CURLM *multi;
    int epoll;
    uint64_t timer_ns; /* when libcurl wants to be called */
};

/* What was sent has been answered, or never will be. */
void exchange_int_ended(struct exchange *exchange, CURLcode code);

#endif
