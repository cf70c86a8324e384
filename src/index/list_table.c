/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of lists: finds them, forgets them, drops what has expired and what is too much. Any thread, each shard
 * behind its lock; no two of these are held at once. What was forgotten is freed outside of the lock.
 */
#include "list_table.h"

#include <stdlib.h>

#define SHARDS 16u

/* ---- lists ---- */

struct list *index_int_list_find(const struct locked *l, const struct packed_key *key)
{
    struct list *list = l->shard->buckets[key->hash % LIST_BUCKETS];
    while (list != NULL &&
           (list->hash != key->hash || list->key_len != key->len || memcmp(list->key, key->bytes, key->len) != 0))
        list = list->next;
    return list;
}

void index_int_list_recount(const struct locked *l, struct list *list)
{
    size_t members = list->members == NULL ? 0 : list->members->count;
    size_t bytes = sizeof(*list) + list->key_len;
    bytes += list->members == NULL ? 0 : list->members->bytes;
    bytes += list->changes == NULL ? 0 : list->changes->bytes;
    atomic_fetch_add(&l->lists->members, members - list->counted_members); /* wraps round when there are less */
    atomic_fetch_add(&l->lists->bytes, bytes - list->counted_bytes);
    list->counted_members = members;
    list->counted_bytes = bytes;
}

struct list *index_int_list_ensure(const struct locked *l, const struct packed_key *key)
{
    struct list *list = index_int_list_find(l, key);
    if (list != NULL)
        return list;
    list = xcalloc(1, sizeof(*list) + key->len);
    list->hash = key->hash;
    list->key_len = key->len;
    memcpy(list->key, key->bytes, key->len);
    link_init(&list->link);
    struct list **bucket = &l->shard->buckets[key->hash % LIST_BUCKETS];
    list->next = *bucket;
    *bucket = list;
    index_int_list_recount(l, list);
    return list;
}

void index_int_list_free_if_unused(const struct locked *l, struct list *list)
{
    if (list->state != LIST_IDLE || list->writes != NULL)
        return;
    struct list **link = &l->shard->buckets[list->hash % LIST_BUCKETS];
    while (*link != list)
        link = &(*link)->next;
    *link = list->next;
    atomic_fetch_sub(&l->lists->bytes, list->counted_bytes);
    free(list);
}

void index_int_list_forget(struct locked *l, struct list *list)
{
    if (list->members != NULL) {
        list->members->next = l->old_members;
        l->old_members = list->members;
        list->members = NULL;
    }
    if (list->changes != NULL) {
        list->changes->next = l->old_changes;
        l->old_changes = list->changes;
        list->changes = NULL;
    }
    if (list->state == LIST_LEASED)
        --l->shard->leased_count;
    if (list->state != LIST_IDLE)
        link_take_out(&list->link);
    list->state = LIST_IDLE;
    index_int_list_recount(l, list);
}

void index_int_list_drop(struct locked *l, struct list *list)
{
    index_int_list_forget(l, list);
    index_int_list_free_if_unused(l, list);
}

/* ---- writes ---- */

void index_int_write_add(const struct locked *l, struct list *list, struct list_write *w)
{
    w->list = list;
    w->next = list->writes;
    list->writes = w;
    link_put_last(&l->shard->writes, &w->link);
    ++l->shard->write_count;
}

void index_int_write_take_out(const struct locked *l, struct list_write *w)
{
    struct list_write **link = &w->list->writes;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    link_take_out(&w->link);
    --l->shard->write_count;
}

void index_int_write_tell_overlapping(const struct list *list, struct slice member, effect did)
{
    for (struct list_write *w = list->writes; w != NULL; w = w->next) {
        if (member.len > 0 && w->member_len > 0 && !slice_equal(member, member_of(w)))
            continue;
        w->overlapped = w->overlapped == EFFECT_NONE || w->overlapped == did ? did : EFFECT_UNKNOWN;
    }
}

uint64_t index_int_lists_now_ms(struct locked *l)
{
    if (l->now_ms == 0)
        l->now_ms = clock_monotonic_ms(l->clock);
    return l->now_ms;
}

/* Drops the writes and leases whose time is over. What such a write did is not known. */
static void expire(struct locked *l)
{
    struct list_shard *shard = l->shard;
    struct list_write *w;
    while ((w = link_first(&shard->writes)) != NULL && w->expires_ms <= index_int_lists_now_ms(l)) {
        struct list *list = w->list;
        index_int_write_take_out(l, w);
        index_int_write_tell_overlapping(list, member_of(w), EFFECT_UNKNOWN);
        index_int_list_drop(l, list);
        free(w);
    }
    struct list *leased;
    while ((leased = link_first(&shard->leased)) != NULL && leased->lease_expires_ms <= index_int_lists_now_ms(l))
        index_int_list_drop(l, leased);
}

void index_int_lists_lock(struct locked *l, const struct local_index *index, const struct packed_key *key)
{
    struct list_shard *shard = &index->lists->shards[(key->hash >> 60) % SHARDS];
    *l = (struct locked){.lists = index->lists, .shard = shard, .clock = index->clock};
    pthread_mutex_lock(&l->shard->lock);
    expire(l);
}

void index_int_lists_unlock(struct locked *l)
{
    pthread_mutex_unlock(&l->shard->lock);
    while (l->old_members != NULL) {
        struct members *next = l->old_members->next;
        index_int_members_free(l->old_members);
        l->old_members = next;
    }
    while (l->old_changes != NULL) {
        struct changes *next = l->old_changes->next;
        index_int_changes_free(l->old_changes);
        l->old_changes = next;
    }
}

/* ---- bounds ---- */

static bool is_too_much(const struct local_lists *lists)
{
    return atomic_load(&lists->members) > lists->members_max || atomic_load(&lists->bytes) > lists->bytes_max;
}

struct list *index_int_lists_least_recent(const struct list_shard *shard)
{
    struct list *warm = link_first(&shard->warm);
    struct list *leased = link_first(&shard->leased);
    if (warm == NULL || leased == NULL)
        return warm == NULL ? leased : warm;
    return warm->last_read < leased->last_read ? warm : leased;
}

/* One shard's lock at a time: between the search and the deed another thread may read the list that was found, which
 * makes the choice a little worse. */
void index_int_lists_trim(struct local_lists *lists)
{
    while (is_too_much(lists)) {
        struct list_shard *oldest = NULL;
        uint64_t oldest_read = UINT64_MAX;
        for (unsigned i = 0; i < SHARDS; ++i) {
            struct list_shard *shard = &lists->shards[i];
            pthread_mutex_lock(&shard->lock);
            const struct list *list = index_int_lists_least_recent(shard);
            if (list != NULL && list->last_read < oldest_read) {
                oldest = shard;
                oldest_read = list->last_read;
            }
            pthread_mutex_unlock(&shard->lock);
        }
        if (oldest == NULL)
            return;
        struct locked l = {.lists = lists, .shard = oldest};
        pthread_mutex_lock(&oldest->lock);
        struct list *list = index_int_lists_least_recent(oldest);
        if (list != NULL)
            index_int_list_drop(&l, list);
        index_int_lists_unlock(&l);
    }
}

/* ---- life ---- */

struct local_lists *index_int_lists_new(size_t members_max, size_t bytes_max)
{
    struct local_lists *lists = xcalloc(1, sizeof(*lists));
    lists->members_max = members_max;
    lists->bytes_max = bytes_max;
    void *memory;
    if (posix_memalign(&memory, _Alignof(struct list_shard), SHARDS * sizeof(struct list_shard)) != 0)
        abort();
    lists->shards = memset(memory, 0, SHARDS * sizeof(struct list_shard));
    for (unsigned i = 0; i < SHARDS; ++i) {
        struct list_shard *shard = &lists->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->buckets = xcalloc(LIST_BUCKETS, sizeof(struct list *));
        link_init(&shard->warm);
        link_init(&shard->leased);
        link_init(&shard->writes);
    }
    return lists;
}

void index_int_lists_free(struct local_lists *lists)
{
    if (lists == NULL)
        return;
    for (unsigned i = 0; i < SHARDS; ++i) {
        struct locked l = {.lists = lists, .shard = &lists->shards[i]};
        pthread_mutex_lock(&l.shard->lock);
        struct list_write *w;
        while ((w = link_first(&l.shard->writes)) != NULL) {
            struct list *list = w->list;
            index_int_write_take_out(&l, w);
            index_int_list_free_if_unused(&l, list);
            free(w);
        }
        struct list *list;
        while ((list = index_int_lists_least_recent(l.shard)) != NULL)
            index_int_list_drop(&l, list);
        index_int_lists_unlock(&l);
        free(l.shard->buckets);
        pthread_mutex_destroy(&l.shard->lock);
    }
    free(lists->shards);
    free(lists);
}
