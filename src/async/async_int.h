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

/* One loop's share of `uploads.buffer`. */
struct page_budget {
    size_t bytes_max;
    atomic_size_t bytes_in_use; /* written by the loop's thread alone, read by any: no ordering needed */
    struct page *free;          /* kept for the next request, at most FREE_PAGES_MAX */
    unsigned free_count;
    struct page_waiter *first_waiter;
    struct page_waiter **last_waiter;
    struct timer wake; /* waiters are served from the loop, never from inside page_release */
};

void async_int_pages_init(struct page_budget *budget, size_t bytes_max);
void async_int_pages_done(struct page_budget *budget);
struct page_budget *async_int_loop_pages(struct loop *loop);

#endif
