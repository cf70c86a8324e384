/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry as a whole: what it is made of, and whether the store can carry it. Built before any loop serves.
 */
#include "registry_int.h"

#include <stdlib.h>

#include "content_int.h"
#include "upload_int.h"

#define MANIFEST_CACHE_BYTES (32u * 1024u * 1024u)
#define LOCK_PAUSE_MS 50u
#define LOCK_RENEW_MS 20000u

/* Parts are made of whole pages (upload_parts.c). */
static uint64_t part_bytes(const struct config *config, struct storage_capabilities can)
{
    uint64_t bytes = can.part_bytes > 0 ? can.part_bytes : config->uploads.part_bytes;
    return bytes - bytes % PAGE_BYTES;
}

enum result registry_new(const struct config *config, struct storage *storage, struct index *index, struct pool *pool,
                         struct clock clock, struct metrics *metrics, struct log *log, struct registry **ret_registry)
{
    struct storage_capabilities can = storage_capabilities(storage);
    bool has_fixed_parts = !can.can_rename || !can.parts_of_any_size;
    if (has_fixed_parts && part_bytes(config, can) == 0)
        return UNSUPPORTED;
    struct registry *registry = xcalloc(1, sizeof(*registry));
    registry->config = config;
    registry->storage = storage;
    registry->index = index;
    registry->pool = pool;
    registry->clock = clock;
    registry->metrics = metrics;
    registry->log = log;
    registry->is_shared = !can.can_rename; /* a folder is locked, a bucket is not */
    registry->has_fixed_parts = has_fixed_parts;
    registry->part_bytes = has_fixed_parts ? part_bytes(config, can) : 0;
    uint8_t nonce[(REGISTRY_PROCESS_SIZE - 1) / 2];
    random_bytes(nonce, sizeof(nonce));
    hex_encode(nonce, sizeof(nonce), registry->process);
    registry->manifests = registry_int_cache_new(MANIFEST_CACHE_BYTES);
    registry->locks = registry_int_locks_new();
    registry->active = registry_int_uploads_new();
    registry->lock_pause_ms = LOCK_PAUSE_MS;
    registry->lock_renew_ms = LOCK_RENEW_MS;
    enum result r = registry_int_token_key(registry);
    if (r != OK) {
        registry_free(registry);
        return r;
    }
    *ret_registry = registry;
    return OK;
}

void registry_watch_background(struct registry *registry, struct registry_background background)
{
    registry->background = background;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    registry_int_cache_free(registry->manifests);
    registry_int_locks_free(registry->locks);
    registry_int_uploads_free(registry->active);
    explicit_bzero(registry->token_key, sizeof(registry->token_key));
    free(registry);
}
