/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of a single process's index: the four calls over list_table.c. Any thread; every call completes at once. A
 * fill is sorted and copied outside of the lock; under it there is a look-up, a page's copy, or one insertion.
 *
 * Of two writes of one member under way at once the one that ends last finds in `overlapped` what the others did. When
 * all agree with it, that is the state whichever reached the store last; else the list is forgotten.
 */
#include <stdlib.h>

#include "list_table.h"

#define LEASED_MAX                                                                                                     \
    1024u                /* per shard; who reads absent names takes leases from each other, not members from anybody   \
                          */
#define WRITES_MAX 4096u /* under way per shard; one more closes the shard for INDEX_WRITE_MAX_MS instead */
#define CHANGES_MAX 4096u
#define CHANGES_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* ---- reading and filling ---- */

/* 0: somebody may be writing without our knowledge. */
static index_lease give_lease(struct locked *l, const struct packed_key *key)
{
    struct list_shard *shard = l->shard;
    uint64_t now = index_int_lists_now_ms(l);
    if (shard->closed_until_ms > now)
        return 0;
    struct list *list = index_int_list_ensure(l, key);
    if (list->state == LIST_IDLE) {
        list->state = LIST_LEASED;
        list->valid_from = ++shard->last_number;
        ++shard->leased_count;
    }
    link_take_out(&list->link);
    link_put_last(&shard->leased, &list->link);
    list->lease_expires_ms = now + INDEX_WRITE_MAX_MS;
    list->last_read = atomic_fetch_add(&l->lists->reads, 1);
    if (shard->leased_count > LEASED_MAX)
        index_int_list_drop(l, link_first(&shard->leased));
    return shard->last_number;
}

enum result index_int_local_list_read(struct index *base, const struct index_list_key *key, struct slice after,
                                      size_t limit, struct arena *arena, struct index_list_page *ret_page,
                                      index_lease *ret_lease, struct done done)
{
    (void)done;
    const struct local_index *index = (const struct local_index *)base;
    struct packed_key packed;
    if (!index_int_pack(index->seed, key->kind, key->repo.text, key->name, &packed))
        return UNAVAILABLE;
    struct locked l;
    index_int_lists_lock(&l, index, &packed);
    struct list *list = index_int_list_find(&l, &packed);
    bool is_warm = list != NULL && list->state == LIST_WARM;
    if (is_warm) {
        index_int_members_page(list->members, after, limit, arena, ret_page);
        link_take_out(&list->link);
        link_put_last(&l.shard->warm, &list->link);
        list->last_read = atomic_fetch_add(&l.lists->reads, 1);
    } else if (ret_lease != NULL) {
        *ret_lease = give_lease(&l, &packed);
    }
    index_int_lists_unlock(&l);
    return is_warm ? OK : NOT_FOUND;
}

/* The list, if it may be filled with this lease; else NULL. */
static struct list *find_leased(const struct locked *l, const struct packed_key *key, index_lease lease)
{
    struct list *list = index_int_list_find(l, key);
    bool is_valid = list != NULL && list->state == LIST_LEASED && lease >= list->valid_from;
    return is_valid ? list : NULL;
}

static void install(struct locked *l, struct list *list, struct members *members, index_lease lease)
{
    if (list->changes != NULL)
        index_int_members_replay(members, list->changes, lease);
    index_int_list_forget(l, list);
    list->state = LIST_WARM;
    list->members = members;
    list->last_read = atomic_fetch_add(&l->lists->reads, 1);
    link_put_last(&l->shard->warm, &list->link);
    index_int_list_recount(l, list);
}

enum result index_int_local_list_fill(struct index *base, const struct index_list_key *key,
                                      const struct index_member *members, size_t count_given, index_lease lease,
                                      struct done done)
{
    (void)done;
    const struct local_index *index = (const struct local_index *)base;
    struct packed_key packed;
    if (!index_int_pack(index->seed, key->kind, key->repo.text, key->name, &packed))
        return INVALID;
    struct locked l;
    index_int_lists_lock(&l, index, &packed);
    bool is_wanted = find_leased(&l, &packed, lease) != NULL;
    index_int_lists_unlock(&l);
    if (!is_wanted || count_given > index->lists->members_max ||
        index_int_members_bytes(members, count_given) > index->lists->bytes_max)
        return OK;
    struct members *fresh = index_int_members_new(members, count_given);
    index_int_lists_lock(&l, index, &packed);
    struct list *list = find_leased(&l, &packed, lease);
    if (list != NULL)
        install(&l, list, fresh, lease);
    index_int_lists_unlock(&l);
    if (list == NULL)
        index_int_members_free(fresh);
    index_int_lists_trim(index->lists);
    return OK;
}

/* ---- writing ---- */

/* One write more than is remembered: nothing of this shard is known until it must have ended, and what the others under
 * way did may overlap with it. */
static void close_shard(struct locked *l, uint64_t now)
{
    struct list_shard *shard = l->shard;
    shard->closed_until_ms = now + INDEX_WRITE_MAX_MS;
    struct list *list;
    while ((list = index_int_lists_least_recent(shard)) != NULL)
        index_int_list_drop(l, list);
    for (struct link *link = shard->writes.next; link != &shard->writes; link = link->next)
        ((struct list_write *)link)->overlapped = EFFECT_UNKNOWN;
}

enum result index_int_local_list_begin(struct index *base, const struct index_list_key *key, struct slice member,
                                       index_write *ret_write, struct done done)
{
    (void)done;
    const struct local_index *index = (const struct local_index *)base;
    struct packed_key packed;
    if (member.len > REPO_NAME_MAX || !index_int_pack(index->seed, key->kind, key->repo.text, key->name, &packed))
        return INVALID;
    struct list_write *w = xcalloc(1, sizeof(*w));
    w->member_len = member.len;
    if (member.len > 0)
        memcpy(w->member, member.ptr, member.len);
    struct locked l;
    index_int_lists_lock(&l, index, &packed);
    uint64_t now = index_int_lists_now_ms(&l);
    *ret_write = w->id = ++l.shard->last_number;
    w->expires_ms = now + INDEX_WRITE_MAX_MS;
    w->overlapped = l.shard->closed_until_ms > now ? EFFECT_UNKNOWN : EFFECT_NONE;
    if (l.shard->write_count < WRITES_MAX) {
        index_int_write_add(&l, index_int_list_ensure(&l, &packed), w);
        w = NULL;
    } else {
        close_shard(&l, now);
    }
    index_int_lists_unlock(&l);
    free(w);
    return OK;
}

/* What an ended write did goes into what is known of the list. */
static void apply(struct locked *l, struct list *list, bool is_present, struct index_member member)
{
    switch (list->state) {
    case LIST_IDLE:
        return;
    case LIST_LEASED:
        if (list->changes == NULL)
            list->changes = index_int_changes_new();
        index_int_changes_add(list->changes, ++l->shard->last_number, is_present, member);
        if (list->changes->count > CHANGES_MAX || list->changes->bytes > CHANGES_BYTES_MAX)
            index_int_list_forget(l, list);
        break;
    case LIST_WARM:
        if (is_present)
            index_int_members_put(list->members, member.name, member.data);
        else
            index_int_members_remove(list->members, member.name);
        break;
    }
    index_int_list_recount(l, list);
    if (list->counted_members > l->lists->members_max || list->counted_bytes > l->lists->bytes_max)
        index_int_list_forget(l, list); /* before it drives out all others */
}

static effect effect_of(const struct local_index *index, enum index_list_outcome outcome, struct slice data)
{
    if (outcome == INDEX_MEMBER_UNKNOWN || data.len > UINT32_MAX)
        return EFFECT_UNKNOWN;
    return outcome == INDEX_MEMBER_ABSENT ? EFFECT_ABSENT : siphash(index->seed, data.ptr, data.len) | EFFECT_PRESENT;
}

/* Takes out the write that ends. NULL: it expired, or was one too many. */
static struct list_write *write_ending(const struct locked *l, const struct list *list, index_write id)
{
    struct list_write *w = list->writes;
    while (w != NULL && w->id != id)
        w = w->next;
    if (w != NULL)
        index_int_write_take_out(l, w);
    return w;
}

enum result index_int_local_list_end(struct index *base, const struct index_list_key *key, struct slice member,
                                     index_write write, enum index_list_outcome outcome, struct slice data,
                                     struct done done)
{
    (void)done;
    const struct local_index *index = (const struct local_index *)base;
    struct packed_key packed;
    if (member.len > REPO_NAME_MAX || !index_int_pack(index->seed, key->kind, key->repo.text, key->name, &packed))
        return INVALID;
    effect did = effect_of(index, outcome, data);
    struct list_write *w = NULL;
    struct locked l;
    index_int_lists_lock(&l, index, &packed);
    struct list *list = index_int_list_find(&l, &packed);
    if (list != NULL) {
        w = write_ending(&l, list, write);
        /* A write that is not found expired, or was one too many: what was filled since may be older than it. */
        bool is_known = w != NULL && member.len > 0 && slice_equal(member, member_of(w));
        did = is_known ? did : EFFECT_UNKNOWN;
        index_int_write_tell_overlapping(list, is_known ? member : SLICE_EMPTY, did);
        if (did == EFFECT_UNKNOWN || w == NULL || (w->overlapped != EFFECT_NONE && w->overlapped != did))
            index_int_list_forget(&l, list);
        else
            apply(&l, list, did != EFFECT_ABSENT, (struct index_member){member, data});
        index_int_list_free_if_unused(&l, list);
    }
    index_int_lists_unlock(&l);
    free(w);
    index_int_lists_trim(index->lists);
    return OK;
}
