/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs that were given out and still are the answer: signing one costs as much as all the rest of a request.
 */
#ifndef STORAGE_URL_CACHE_H
#define STORAGE_URL_CACHE_H

#include "minato/storage.h"

struct url_cache;

struct url_cache *url_cache_new(void);
void url_cache_free(struct url_cache *cache); /* accepts NULL */
/* The URL of `path` if it still is the same for everybody. Copies into `arena`. Any thread. */
bool url_cache_find(struct url_cache *cache, struct slice path, uint64_t now_ms, struct arena *arena,
                    struct storage_url *ret_url);
/* Copies. Any thread. */
void url_cache_add(struct url_cache *cache, struct slice path, uint64_t now_ms, const struct storage_url *url);

#endif
