/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of the URLs given out last: each path has one place, which the next path that falls on it takes. Any thread;
 * the lock of a stripe guards its slots, and is held for one comparison and one copy.
 */
#include "url_cache.h"

#include <pthread.h>
#include <stdlib.h>

#define STRIPES 16u
#define SLOTS 256u /* of a stripe: some 3 MB when all are full */
#define TEXT_MAX 4096u

struct slot {
    char *texts; /* path, then URL; NULL: free */
    size_t path_len;
    size_t url_len;
    uint64_t until_s;
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

struct url_cache {
    struct stripe stripes[STRIPES];
};

struct url_cache *url_cache_new(void)
{
    void *memory;
    if (posix_memalign(&memory, _Alignof(struct stripe), sizeof(struct url_cache)) != 0)
        abort();
    struct url_cache *cache = memset(memory, 0, sizeof(*cache));
    for (unsigned i = 0; i < STRIPES; i++)
        pthread_mutex_init(&cache->stripes[i].lock, NULL);
    return cache;
}

void url_cache_free(struct url_cache *cache)
{
    if (cache == NULL)
        return;
    for (unsigned i = 0; i < STRIPES; i++) {
        for (unsigned k = 0; k < SLOTS; k++)
            free(cache->stripes[i].slots[k].texts);
        pthread_mutex_destroy(&cache->stripes[i].lock);
    }
    free(cache);
}

/* As FNV-1a, eight bytes at a time. */
static uint64_t hash_of(struct slice path)
{
    const uint64_t prime = 0x100000001b3u;
    uint64_t hash = 0xcbf29ce484222325u ^ path.len;
    for (; path.len >= 8; path = slice_from(path, 8)) {
        uint64_t word;
        memcpy(&word, path.ptr, 8);
        hash = (hash ^ word) * prime;
        hash ^= hash >> 32;
    }
    for (size_t i = 0; i < path.len; i++)
        hash = (hash ^ (unsigned char)path.ptr[i]) * prime;
    return hash;
}

/* Who finds paths that fall on one place gains that these are signed each time. */
static struct slot *lock_slot(struct url_cache *cache, struct slice path, struct stripe **ret_stripe)
{
    uint64_t hash = hash_of(path);
    *ret_stripe = &cache->stripes[(hash >> 32) % STRIPES];
    pthread_mutex_lock(&(*ret_stripe)->lock);
    return &(*ret_stripe)->slots[(hash >> 40) % SLOTS];
}

bool url_cache_find(struct url_cache *cache, struct slice path, uint64_t now_ms, struct arena *arena,
                    struct storage_url *ret_url)
{
    struct stripe *stripe;
    uint64_t now_s = now_ms / 1000;
    const struct slot *slot = lock_slot(cache, path, &stripe);
    bool is_known =
        slot->texts != NULL && slot->until_s > now_s && slice_equal(slice_of(slot->texts, slot->path_len), path);
    if (is_known)
        *ret_url = (struct storage_url){arena_copy(arena, slice_of(slot->texts + slot->path_len, slot->url_len)),
                                        (uint32_t)(slot->until_s - now_s)};
    pthread_mutex_unlock(&stripe->lock);
    return is_known;
}

void url_cache_add(struct url_cache *cache, struct slice path, uint64_t now_ms, const struct storage_url *url)
{
    struct stripe *stripe;
    if (path.len + url->text.len > TEXT_MAX)
        return;
    char *texts = xmalloc(path.len + url->text.len);
    memcpy(texts, path.ptr, path.len);
    memcpy(texts + path.len, url->text.ptr, url->text.len);
    struct slot *slot = lock_slot(cache, path, &stripe);
    char *old = slot->texts;
    *slot = (struct slot){texts, path.len, url->text.len, now_ms / 1000 + url->same_for_s};
    pthread_mutex_unlock(&stripe->lock);
    free(old);
}
