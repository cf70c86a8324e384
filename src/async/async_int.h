/* SPDX-License-Identifier: Apache-2.0
 *
 * What loop.c and page.c share. A loop's pages and flows belong to its thread alone: no locks.
 */
#ifndef MINATO_ASYNC_INT_H
#define MINATO_ASYNC_INT_H

#include <stdatomic.h>

#include "minato/async.h"

struct page_waiter {
    struct page **ret_page;
    struct done done;
    struct page_waiter *next;
};

struct page_reservation {
    size_t pages;
    struct done done;
    struct page_reservation *next;
};

/* One loop's share of `uploads.buffer`. */
struct page_budget {
    size_t bytes_max;
    atomic_size_t bytes_in_use; /* written by the loop's thread alone, read by any: no ordering needed */
    struct page *free;          /* kept for the next request */
    unsigned free_count;
    struct page_waiter *first_waiter;
    struct page_waiter **last_waiter;
    struct page_reservations {
        size_t pages_max;
        size_t pages;
        struct page_reservation *first; /* that wait */
        struct page_reservation **last;
    } reservations[PAGE_PURPOSES];
    struct timer wake; /* waiters are served from the loop, never from inside page_release */
};

/* The descriptors of libraries on one loop: an epoll inside libh2o's. */
struct watch_set {
    struct epoll_event *pending; /* what is being told, or NULL */
    int pending_count;
    int epoll_fd; /* -1: nothing was ever watched */
    void *socket; /* libh2o's, that polls it; owns epoll_fd */
};

void async_int_watches_init(struct watch_set *set);
/* Tells whoever is ready. */
void async_int_watches_run(struct watch_set *set);
/* The set of a loop, its epoll made and polled; NULL if the system refuses. */
struct watch_set *async_int_loop_watches(struct loop *loop);

void async_int_pages_init(struct page_budget *budget, size_t bytes_max);
void async_int_pages_done(struct page_budget *budget);
struct page_budget *async_int_loop_pages(struct loop *loop);

#endif
