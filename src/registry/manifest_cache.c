/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests in memory, by the digest of their bytes: what can never change needs no coherence. Bounded, least recently
 * used goes first. Any thread: shards by digest, each lock guards its shard's lists and the `kept` fields; a buffer
 * itself is immutable and counted.
 */
#include "registry_int.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SHARDS 8u
#define BUCKETS 512u
#define KEPT_BYTES_MAX (1024u * 1024u) /* larger ones are read from the store each time */

struct manifest_buffer {
    atomic_uint references;
    struct digest digest;
    size_t media_type_len;
    size_t bytes_len;
    struct {
        struct manifest_buffer *bucket_next;
        struct manifest_buffer *newer;
        struct manifest_buffer *older;
    } kept;
    char content[]; /* media type, then bytes */
};

struct shard {
    pthread_mutex_t lock;
    size_t bytes;
    struct manifest_buffer *newest;
    struct manifest_buffer *oldest;
    struct manifest_buffer *buckets[BUCKETS];
};

struct manifest_cache {
    size_t shard_bytes_max;
    struct shard shards[SHARDS];
};

struct manifest_cache *registry_int_cache_new(size_t bytes_max)
{
    struct manifest_cache *cache = xcalloc(1, sizeof(*cache));
    cache->shard_bytes_max = bytes_max / SHARDS;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&cache->shards[i].lock, NULL);
    return cache;
}

static void buffer_unref(struct manifest_buffer *buffer)
{
    if (buffer != NULL && atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) == 1)
        free(buffer);
}

void registry_int_cache_free(struct manifest_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct manifest_buffer *at = cache->shards[i].newest;
        while (at != NULL) {
            struct manifest_buffer *older = at->kept.older;
            buffer_unref(at);
            at = older;
        }
        pthread_mutex_destroy(&cache->shards[i].lock);
    }
    free(cache);
}

void manifest_view_release(struct manifest_view *view)
{
    buffer_unref(view->buffer);
    *view = (struct manifest_view){.buffer = NULL};
}

/* Takes over one reference. */
static void view_set(struct manifest_view *view, struct manifest_buffer *buffer)
{
    view->digest = buffer->digest;
    view->media_type = slice_of(buffer->content, buffer->media_type_len);
    view->bytes = slice_of(buffer->content + buffer->media_type_len, buffer->bytes_len);
    view->buffer = buffer;
}

/* A digest's bytes are as good as random: no hash of them is needed. */
static struct shard *shard_of(struct manifest_cache *cache, const struct digest *digest)
{
    return &cache->shards[digest->bytes[0] % SHARDS];
}

static struct manifest_buffer **bucket_of(struct shard *shard, const struct digest *digest)
{
    return &shard->buckets[(digest->bytes[1] | (unsigned)digest->bytes[2] << 8) % BUCKETS];
}

static struct manifest_buffer *find_kept(struct shard *shard, const struct digest *digest)
{
    struct manifest_buffer *at = *bucket_of(shard, digest);
    while (at != NULL && !digest_equal(&at->digest, digest))
        at = at->kept.bucket_next;
    return at;
}

static void list_remove(struct shard *shard, struct manifest_buffer *buffer)
{
    *(buffer->kept.newer != NULL ? &buffer->kept.newer->kept.older : &shard->newest) = buffer->kept.older;
    *(buffer->kept.older != NULL ? &buffer->kept.older->kept.newer : &shard->oldest) = buffer->kept.newer;
}

static void list_push(struct shard *shard, struct manifest_buffer *buffer)
{
    buffer->kept.newer = NULL;
    buffer->kept.older = shard->newest;
    *(shard->newest != NULL ? &shard->newest->kept.newer : &shard->oldest) = buffer;
    shard->newest = buffer;
}

static size_t cost_of(const struct manifest_buffer *buffer)
{
    return sizeof(*buffer) + buffer->media_type_len + buffer->bytes_len;
}

static void drop_oldest(struct shard *shard)
{
    struct manifest_buffer *buffer = shard->oldest;
    struct manifest_buffer **at = bucket_of(shard, &buffer->digest);
    while (*at != buffer)
        at = &(*at)->kept.bucket_next;
    *at = buffer->kept.bucket_next;
    list_remove(shard, buffer);
    shard->bytes -= cost_of(buffer);
    buffer_unref(buffer);
}

static void keep(struct manifest_cache *cache, struct manifest_buffer *buffer)
{
    struct shard *shard = shard_of(cache, &buffer->digest);
    pthread_mutex_lock(&shard->lock);
    if (find_kept(shard, &buffer->digest) == NULL) {
        struct manifest_buffer **bucket = bucket_of(shard, &buffer->digest);
        buffer->kept.bucket_next = *bucket;
        *bucket = buffer;
        list_push(shard, buffer);
        shard->bytes += cost_of(buffer);
        atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
        while (shard->bytes > cache->shard_bytes_max)
            drop_oldest(shard);
    }
    pthread_mutex_unlock(&shard->lock);
}

void registry_int_cache_add(struct manifest_cache *cache, const struct digest *digest, struct slice media_type,
                            struct slice bytes, struct manifest_view *ret_view)
{
    struct manifest_buffer *buffer = xmalloc(sizeof(*buffer) + media_type.len + bytes.len);
    memset(buffer, 0, sizeof(*buffer));
    atomic_init(&buffer->references, 1);
    buffer->digest = *digest;
    buffer->media_type_len = media_type.len;
    buffer->bytes_len = bytes.len;
    if (media_type.len > 0)
        memcpy(buffer->content, media_type.ptr, media_type.len);
    if (bytes.len > 0)
        memcpy(buffer->content + media_type.len, bytes.ptr, bytes.len);
    if (cost_of(buffer) <= KEPT_BYTES_MAX)
        keep(cache, buffer);
    view_set(ret_view, buffer);
}

bool registry_int_cache_find(struct manifest_cache *cache, const struct digest *digest, struct manifest_view *ret_view)
{
    struct shard *shard = shard_of(cache, digest);
    pthread_mutex_lock(&shard->lock);
    struct manifest_buffer *buffer = find_kept(shard, digest);
    if (buffer != NULL) {
        atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
        if (shard->newest != buffer) {
            list_remove(shard, buffer);
            list_push(shard, buffer);
        }
    }
    pthread_mutex_unlock(&shard->lock);
    if (buffer == NULL)
        return false;
    view_set(ret_view, buffer);
    return true;
}
