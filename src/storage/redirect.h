/* SPDX-License-Identifier: Apache-2.0
 *
 * How readers are sent elsewhere: by the store's own URLs or a network's, and for how long each serves.
 */
#ifndef STORAGE_REDIRECT_H
#define STORAGE_REDIRECT_H

#include "cdn.h"
#include "minato/storage_driver.h"
#include "url_cache.h"

struct redirect {
    bool is_enabled;
    uint32_t expires_s;
    struct cdn *cdn; /* NULL: the store's own URLs */
    struct url_cache *urls;
};

enum result redirect_init(struct redirect *redirect, const struct config *config, struct strbuf *ret_why) NODISCARD;
void redirect_done(struct redirect *redirect);
/* When a URL given out at `now_ms` serves, and for how many seconds from now this stays the answer (at least 1). */
struct storage_validity redirect_validity(const struct redirect *redirect, uint64_t now_ms, uint32_t *ret_same_for_s);

/* The same for a URL that ends before it was meant to, at `end_s`: it shall serve thrice as long after that. */
uint32_t redirect_same_for_s(uint64_t end_s, uint64_t now_ms, uint32_t same_for_s);

#endif
