/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages for body bytes, from one loop's share of `uploads.buffer`: first come, first served. Loop thread only, but for
 * pages_in_use_bytes.
 */
#include "async_int.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Freed pages kept for reuse: mapping and faulting in 256 KiB for each read would halve the throughput. While somebody
 * gathers a part, all are kept: it takes them again. */
#define FREE_PAGES_MAX 16
/* Under AddressSanitizer a guard behind the bytes stands in for its red zone. Else none: it would cost two of the
 * process' mappings for each page. */
#ifdef __SANITIZE_ADDRESS__
#define GUARD_BYTES 4096u
#else
#define GUARD_BYTES 0u
#endif

void async_int_pages_init(struct page_budget *budget, size_t bytes_max)
{
    budget->bytes_max = bytes_max < PAGE_BYTES ? PAGE_BYTES : bytes_max;
    budget->last_waiter = &budget->first_waiter;
    size_t pages = budget->bytes_max / PAGE_BYTES;
    budget->reservations[PAGES_BETWEEN].pages_max = pages / 4;
    budget->reservations[PAGES_GATHERED].pages_max = pages - pages / 4;
    for (unsigned i = 0; i < PAGE_PURPOSES; i++)
        budget->reservations[i].last = &budget->reservations[i].first;
}

/* Not from the heap, where the holes between large aligned blocks came to as much again as the blocks. */
static char *map_bytes(void)
{
    char *ptr = mmap(NULL, PAGE_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED || mprotect(ptr + PAGE_BYTES, GUARD_BYTES, PROT_NONE) != 0)
        abort(); /* out of memory, as everywhere */
    return ptr;
}

static void page_free(struct page *page)
{
    (void)munmap(page->ptr, PAGE_BYTES + GUARD_BYTES);
    free(page);
}

static void keep_free_pages(struct page_budget *budget, unsigned count_max)
{
    while (budget->free_count > count_max) {
        struct page *page = budget->free;
        budget->free = page->next;
        budget->free_count--;
        page_free(page);
    }
}

void async_int_pages_done(struct page_budget *budget)
{
    timer_stop(&budget->wake);
    keep_free_pages(budget, 0);
}

static size_t bytes_in_use(const struct page_budget *budget)
{
    return atomic_load_explicit(&budget->bytes_in_use, memory_order_relaxed);
}

static void set_bytes_in_use(struct page_budget *budget, size_t bytes)
{
    atomic_store_explicit(&budget->bytes_in_use, bytes, memory_order_relaxed);
}

static bool has_room(const struct page_budget *budget)
{
    return bytes_in_use(budget) + PAGE_BYTES <= budget->bytes_max;
}

static struct page *take_page(struct loop *loop, struct page_budget *budget)
{
    struct page *page = budget->free;
    if (page != NULL) {
        budget->free = page->next;
        budget->free_count--;
    } else {
        page = xmalloc(sizeof(*page));
        page->ptr = map_bytes();
    }
    page->start = 0;
    page->len = 0;
    page->next = NULL;
    page->loop = loop;
    set_bytes_in_use(budget, bytes_in_use(budget) + PAGE_BYTES);
    return page;
}

enum result page_acquire(struct loop *loop, struct page **ret_page, struct done done)
{
    struct page_budget *budget = async_int_loop_pages(loop);
    if (budget->first_waiter == NULL && has_room(budget)) {
        *ret_page = take_page(loop, budget);
        return OK;
    }
    struct page_waiter *waiter = xmalloc(sizeof(*waiter));
    *waiter = (struct page_waiter){ret_page, done, NULL};
    *budget->last_waiter = waiter;
    budget->last_waiter = &waiter->next;
    return PENDING;
}

bool page_try(struct loop *loop, struct page **ret_page)
{
    struct page_budget *budget = async_int_loop_pages(loop);
    if (budget->first_waiter != NULL || bytes_in_use(budget) + PAGE_BYTES > budget->bytes_max / 2)
        return false;
    *ret_page = take_page(loop, budget);
    return true;
}

void page_acquire_cancel(struct loop *loop, struct page **ret_page)
{
    struct page_budget *budget = async_int_loop_pages(loop);
    for (struct page_waiter **at = &budget->first_waiter; *at != NULL; at = &(*at)->next) {
        struct page_waiter *waiter = *at;
        if (waiter->ret_page != ret_page)
            continue;
        *at = waiter->next;
        if (waiter->next == NULL)
            budget->last_waiter = at;
        free(waiter);
        return;
    }
}

/* ---- reservations ---- */

static bool may_reserve(const struct page_reservations *all, size_t pages)
{
    return pages <= all->pages_max - all->pages;
}

enum result page_reserve(struct loop *loop, enum page_purpose purpose, size_t pages, struct done done)
{
    struct page_reservations *all = &async_int_loop_pages(loop)->reservations[purpose];
    if (pages > all->pages_max)
        return UNAVAILABLE;
    if (all->first == NULL && may_reserve(all, pages)) {
        all->pages += pages;
        return OK;
    }
    struct page_reservation *waiting = xmalloc(sizeof(*waiting));
    *waiting = (struct page_reservation){pages, done, NULL};
    *all->last = waiting;
    all->last = &waiting->next;
    return PENDING;
}

static void remove_reservation(struct page_reservations *all, struct page_reservation **at)
{
    struct page_reservation *waiting = *at;
    *at = waiting->next;
    if (waiting->next == NULL)
        all->last = at;
    free(waiting);
}

static void serve_reservations(struct page_reservations *all)
{
    while (all->first != NULL && may_reserve(all, all->first->pages)) {
        struct done done = all->first->done;
        all->pages += all->first->pages;
        remove_reservation(all, &all->first);
        done_call(done, OK);
    }
}

/* ---- serving those who wait ---- */

static void serve_waiters(struct timer *timer)
{
    struct page_budget *budget = (struct page_budget *)(void *)((char *)timer - offsetof(struct page_budget, wake));
    for (unsigned i = 0; i < PAGE_PURPOSES; i++)
        serve_reservations(&budget->reservations[i]);
    while (budget->first_waiter != NULL && has_room(budget)) {
        struct page_waiter *waiter = budget->first_waiter;
        budget->first_waiter = waiter->next;
        if (waiter->next == NULL)
            budget->last_waiter = &budget->first_waiter;
        *waiter->ret_page = take_page(waiter->done.loop, budget);
        struct done done = waiter->done;
        free(waiter);
        done_call(done, OK);
    }
}

static bool cancel_reservation(struct page_reservations *all, const void *data)
{
    for (struct page_reservation **at = &all->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->done.data != data)
            continue;
        remove_reservation(all, at);
        return true;
    }
    return false;
}

void page_reserve_cancel(struct loop *loop, const void *data)
{
    struct page_budget *budget = async_int_loop_pages(loop);
    for (unsigned i = 0; i < PAGE_PURPOSES; i++)
        if (cancel_reservation(&budget->reservations[i], data)) /* whoever came behind may have room */
            timer_start(loop, &budget->wake, 0, serve_waiters);
}

void page_unreserve(struct loop *loop, enum page_purpose purpose, size_t pages)
{
    struct page_budget *budget = async_int_loop_pages(loop);
    budget->reservations[purpose].pages -= pages;
    if (budget->reservations[PAGES_GATHERED].pages == 0)
        keep_free_pages(budget, FREE_PAGES_MAX);
    if (budget->reservations[purpose].first != NULL && !timer_is_running(&budget->wake))
        timer_start(loop, &budget->wake, 0, serve_waiters);
}

void page_release(struct page *page)
{
    if (page == NULL)
        return;
    struct loop *loop = page->loop;
    struct page_budget *budget = async_int_loop_pages(loop);
    set_bytes_in_use(budget, bytes_in_use(budget) - PAGE_BYTES);
    if (budget->free_count < FREE_PAGES_MAX || budget->reservations[PAGES_GATHERED].pages > 0) {
        page->next = budget->free;
        budget->free = page;
        budget->free_count++;
    } else {
        page_free(page);
    }
    if (budget->first_waiter != NULL && !timer_is_running(&budget->wake))
        timer_start(loop, &budget->wake, 0, serve_waiters);
}

size_t pages_in_use_bytes(const struct loop *loop)
{
    /* The loop is not changed: the accessor is shared with the writers. */
    return bytes_in_use(async_int_loop_pages((struct loop *)(uintptr_t)loop));
}
