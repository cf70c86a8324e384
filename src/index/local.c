/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of a single process's index: hash tables in memory behind sharded mutexes. Any thread; every call
 * completes at once; a lock is held for one look-up and nothing is called under it but the clock. Lists: local_lists.c.
 *
 * A shard's lock guards all of it:
 *     buckets, ring   values by key, and the same values in the order the clock hand evicts them
 *     stripes         by key hash: a version, which every begin and end raises, and the writes under way
 * A lease is the version of the key's stripe, given only while nobody writes the key. A fill with an older one may have
 * seen a store that somebody wrote to since.
 * Keys that share a stripe only cost each other a refused fill; so no memory is needed per lease, and clients that
 * read a million absent names evict nothing.
 */
#include <pthread.h>
#include <stdlib.h>

#include "local_int.h"

#define SHARDS_MAX 16u
#define STRIPES 256u
#define WRITES_MAX 4096u /* under way per shard; what is over closes its stripe for INDEX_WRITE_MAX_MS instead */

struct write {
    struct write *next;
    uint64_t hash;
    index_write id;
    uint64_t expires_ms;
};

struct stripe {
    uint64_t version;
    struct write *writes;
    uint64_t closed_until_ms;
};

struct entry {
    struct entry *next; /* in its bucket */
    uint64_t hash;
    struct index_value value;
    uint32_t ring_at;
    uint16_t key_len;
    bool is_used; /* since the hand came by */
    char key[];
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct entry **buckets;
    uint64_t bucket_mask;
    struct entry **ring;
    uint32_t count;
    uint32_t count_max;
    uint32_t hand;
    uint32_t write_count;
    uint64_t sweep_after_ms;
    index_write last_write;
    struct stripe stripes[STRIPES];
};

/* ---- keys ---- */

bool index_int_pack(struct siphash_key seed, uint32_t kind, struct slice repo, struct slice name,
                    struct packed_key *ret_key)
{
    if (repo.len > REPO_NAME_MAX || name.len > DIGEST_TEXT_MAX)
        return false;
    uint64_t head = (uint64_t)kind << 32 | repo.len;
    memcpy(ret_key->bytes, &head, sizeof(head));
    memcpy(ret_key->bytes + sizeof(head), repo.ptr == NULL ? "" : repo.ptr, repo.len);
    memcpy(ret_key->bytes + sizeof(head) + repo.len, name.ptr == NULL ? "" : name.ptr, name.len);
    ret_key->len = sizeof(head) + repo.len + name.len;
    ret_key->hash = siphash(seed, ret_key->bytes, ret_key->len);
    return true;
}

static bool pack(const struct local_index *index, const struct index_key *key, struct packed_key *ret_key)
{
    return index_int_pack(index->seed, key->kind, key->repo.text, key->name, ret_key);
}

/* Shard, stripe and bucket each look at other bits of the hash. */
static struct shard *shard_of(const struct local_index *index, const struct packed_key *key)
{
    return &index->shards[(key->hash >> 60) & (index->shard_count - 1)];
}

static struct stripe *stripe_of(struct shard *shard, const struct packed_key *key)
{
    return &shard->stripes[(key->hash >> 48) & (STRIPES - 1)];
}

/* ---- values, under the shard's lock ---- */

/* The link that points to the entry of `key`, or to NULL at the end of its bucket. */
static struct entry **find(struct shard *shard, const struct packed_key *key)
{
    struct entry **link = &shard->buckets[key->hash & shard->bucket_mask];
    while (*link != NULL) {
        struct entry *e = *link;
        if (e->hash == key->hash && e->key_len == key->len && memcmp(e->key, key->bytes, key->len) == 0)
            break;
        link = &e->next;
    }
    return link;
}

/* Takes the value of `key` out. The caller frees it, without the lock. May return NULL. */
static struct entry *take_out(struct shard *shard, const struct packed_key *key)
{
    struct entry **link = find(shard, key);
    struct entry *e = *link;
    if (e == NULL)
        return NULL;
    *link = e->next;
    struct entry *last = shard->ring[--shard->count];
    shard->ring[e->ring_at] = last;
    last->ring_at = e->ring_at;
    return e;
}

/* Second chance: the hand passes over what was used since it last came by. */
static struct entry *take_out_least_used(struct shard *shard)
{
    for (;;) {
        if (shard->hand >= shard->count)
            shard->hand = 0;
        struct entry *e = shard->ring[shard->hand];
        if (e->is_used) {
            e->is_used = false;
            ++shard->hand;
            continue;
        }
        struct entry **link = &shard->buckets[e->hash & shard->bucket_mask];
        while (*link != e)
            link = &(*link)->next;
        *link = e->next;
        struct entry *last = shard->ring[--shard->count];
        shard->ring[e->ring_at] = last;
        last->ring_at = e->ring_at;
        return e;
    }
}

static void put_in(struct shard *shard, struct entry *e)
{
    struct entry **head = &shard->buckets[e->hash & shard->bucket_mask];
    e->next = *head;
    *head = e;
    e->ring_at = shard->count;
    shard->ring[shard->count++] = e;
}

/* ---- writes, under the shard's lock ---- */

static void forget_expired_writes(struct shard *shard, struct stripe *stripe, uint64_t now_ms)
{
    if (stripe->closed_until_ms <= now_ms)
        stripe->closed_until_ms = 0;
    struct write **link = &stripe->writes;
    while (*link != NULL) {
        struct write *w = *link;
        if (w->expires_ms > now_ms) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        --shard->write_count;
        free(w);
    }
}

static bool is_being_written(const struct local_index *index, struct shard *shard, struct stripe *stripe, uint64_t hash)
{
    if (stripe->writes == NULL && stripe->closed_until_ms == 0)
        return false; /* the common case does not ask for the time */
    forget_expired_writes(shard, stripe, clock_monotonic_ms(index->clock));
    bool is_written = stripe->closed_until_ms != 0;
    for (const struct write *w = stripe->writes; w != NULL && !is_written; w = w->next)
        is_written = w->hash == hash;
    return is_written;
}

/* Whether one more write can be kept. Writes that never ended are looked for once a second at most. */
static bool has_room_for_write(struct shard *shard, uint64_t now_ms)
{
    if (shard->write_count == WRITES_MAX && shard->sweep_after_ms <= now_ms) {
        shard->sweep_after_ms = now_ms + 1000;
        for (unsigned i = 0; i < STRIPES; ++i)
            forget_expired_writes(shard, &shard->stripes[i], now_ms);
    }
    return shard->write_count < WRITES_MAX;
}

/* ---- the calls ---- */

static enum result local_read(struct index *base, const struct index_key *key, struct index_value *ret_value,
                              index_lease *ret_lease, struct done done)
{
    (void)done;
    struct local_index *index = (struct local_index *)base;
    struct packed_key packed;
    if (!pack(index, key, &packed))
        return UNAVAILABLE;
    struct shard *shard = shard_of(index, &packed);
    pthread_mutex_lock(&shard->lock);
    struct entry *e = *find(shard, &packed);
    if (e != NULL) {
        *ret_value = e->value;
        e->is_used = true;
    } else {
        struct stripe *stripe = stripe_of(shard, &packed);
        *ret_lease = is_being_written(index, shard, stripe, packed.hash) ? 0 : stripe->version;
    }
    pthread_mutex_unlock(&shard->lock);
    return e != NULL ? OK : NOT_FOUND;
}

static struct entry *entry_new(const struct packed_key *key, const struct index_value *value)
{
    struct entry *e = xmalloc(sizeof(*e) + key->len);
    *e = (struct entry){.hash = key->hash, .value = *value, .key_len = (uint16_t)key->len};
    memcpy(e->key, key->bytes, key->len);
    return e;
}

static enum result local_fill(struct index *base, const struct index_key *key, const struct index_value *value,
                              index_lease lease, struct done done)
{
    (void)done;
    struct local_index *index = (struct local_index *)base;
    struct packed_key packed;
    if (!pack(index, key, &packed))
        return INVALID;
    struct shard *shard = shard_of(index, &packed);
    struct entry *fresh = entry_new(&packed, value);
    struct entry *old = NULL;
    pthread_mutex_lock(&shard->lock);
    if (stripe_of(shard, &packed)->version == lease) {
        old = take_out(shard, &packed);
        if (old == NULL && shard->count == shard->count_max)
            old = take_out_least_used(shard);
        put_in(shard, fresh);
        fresh = NULL;
    }
    pthread_mutex_unlock(&shard->lock);
    free(fresh);
    free(old);
    return OK;
}

static enum result local_begin(struct index *base, const struct index_key *key, index_write *ret_write,
                               struct done done)
{
    (void)done;
    struct local_index *index = (struct local_index *)base;
    struct packed_key packed;
    if (!pack(index, key, &packed))
        return INVALID;
    struct shard *shard = shard_of(index, &packed);
    struct write *write = xmalloc(sizeof(*write));
    uint64_t now_ms = clock_monotonic_ms(index->clock);
    uint64_t expires_ms = now_ms + INDEX_WRITE_MAX_MS;
    pthread_mutex_lock(&shard->lock);
    struct stripe *stripe = stripe_of(shard, &packed);
    forget_expired_writes(shard, stripe, now_ms);
    ++stripe->version;
    struct entry *old = take_out(shard, &packed);
    *ret_write = ++shard->last_write;
    if (has_room_for_write(shard, now_ms)) {
        *write = (struct write){stripe->writes, packed.hash, *ret_write, expires_ms};
        stripe->writes = write;
        ++shard->write_count;
        write = NULL;
    } else if (stripe->closed_until_ms < expires_ms) {
        stripe->closed_until_ms = expires_ms;
    }
    pthread_mutex_unlock(&shard->lock);
    free(write);
    free(old);
    return OK;
}

static enum result local_end(struct index *base, const struct index_key *key, index_write write, struct done done)
{
    (void)done;
    struct local_index *index = (struct local_index *)base;
    struct packed_key packed;
    if (!pack(index, key, &packed))
        return INVALID;
    struct shard *shard = shard_of(index, &packed);
    pthread_mutex_lock(&shard->lock);
    struct stripe *stripe = stripe_of(shard, &packed);
    /* Also for a write that expired: what readers filled since may be older than it. */
    ++stripe->version;
    struct entry *old = take_out(shard, &packed);
    struct write **link = &stripe->writes;
    while (*link != NULL && (*link)->id != write)
        link = &(*link)->next;
    struct write *ended = *link;
    if (ended != NULL) {
        *link = ended->next;
        --shard->write_count;
    }
    pthread_mutex_unlock(&shard->lock);
    free(ended);
    free(old);
    return OK;
}

/* ---- life ---- */

static void local_free(struct index *base)
{
    struct local_index *index = (struct local_index *)base;
    for (unsigned i = 0; i < index->shard_count; ++i) {
        struct shard *shard = &index->shards[i];
        for (uint32_t at = 0; at < shard->count; ++at)
            free(shard->ring[at]);
        for (unsigned s = 0; s < STRIPES; ++s) {
            struct write *next;
            for (struct write *w = shard->stripes[s].writes; w != NULL; w = next) {
                next = w->next;
                free(w);
            }
        }
        free(shard->buckets);
        free(shard->ring);
        pthread_mutex_destroy(&shard->lock);
    }
    index_int_lists_free(index->lists);
    free(index->shards);
    free(index);
}

static const struct index_backend local_backend = {
    .name = "local",
    .free = local_free,
    .read = local_read,
    .fill = local_fill,
    .begin = local_begin,
    .end = local_end,
    .list_read = index_int_local_list_read,
    .list_fill = index_int_local_list_fill,
    .list_begin = index_int_local_list_begin,
    .list_end = index_int_local_list_end,
};

/* Buckets and ring are allocated whole but untouched: the kernel gives their pages as they fill. */
static void shard_init(struct shard *shard, uint32_t count_max)
{
    uint64_t buckets = 1;
    while (buckets < count_max)
        buckets *= 2;
    pthread_mutex_init(&shard->lock, NULL);
    shard->bucket_mask = buckets - 1;
    shard->buckets = xcalloc(buckets, sizeof(*shard->buckets));
    shard->ring = xcalloc(count_max, sizeof(*shard->ring));
    shard->count_max = count_max;
    for (unsigned i = 0; i < STRIPES; ++i)
        shard->stripes[i].version = 1;
}

struct index *index_new_local(size_t entries_max, struct clock clock, struct metrics *metrics)
{
    struct local_index *index = xcalloc(1, sizeof(*index));
    index->base = (struct index){.backend = &local_backend, .metrics = metrics};
    index->clock = clock;
    random_bytes(&index->seed, sizeof(index->seed));
    index->lists = index_int_lists_new(LISTS_MEMBERS_MAX, LISTS_BYTES_MAX);
    index->shard_count = SHARDS_MAX;
    while (index->shard_count > 1 && index->shard_count > entries_max)
        index->shard_count /= 2;
    size_t per_shard = entries_max / index->shard_count;
    per_shard = per_shard == 0 ? 1 : per_shard > UINT32_MAX ? UINT32_MAX : per_shard;
    void *memory;
    if (posix_memalign(&memory, _Alignof(struct shard), index->shard_count * sizeof(struct shard)) != 0)
        abort();
    index->shards = memset(memory, 0, index->shard_count * sizeof(struct shard));
    for (unsigned i = 0; i < index->shard_count; ++i)
        shard_init(&index->shards[i], (uint32_t)per_shard);
    return &index->base;
}
