/* SPDX-License-Identifier: Apache-2.0
 *
 * The times of URLs. Time is cut into windows of a quarter of `redirect.expires`; all URLs of a window are dated from
 * its beginning. So replicas give out the same URL without knowing of each other, caches can keep it, and it serves for
 * three quarters of `redirect.expires` at least.
 */
#include "redirect.h"

#define WINDOWS_PER_URL 4u
#define EXPIRES_MIN_S 4u            /* a window of a second */
#define EXPIRES_MAX_S (7u * 86400u) /* SigV4's limit */

static uint32_t clamp_expires(uint64_t expires_ms)
{
    uint64_t expires_s = expires_ms / 1000;
    if (expires_s < EXPIRES_MIN_S)
        return EXPIRES_MIN_S;
    return expires_s > EXPIRES_MAX_S ? EXPIRES_MAX_S : (uint32_t)expires_s;
}

enum result redirect_init(struct redirect *redirect, const struct config *config, struct strbuf *ret_why)
{
    redirect_done(redirect);
    redirect->is_enabled = config->redirect.enabled;
    redirect->expires_s = clamp_expires(config->redirect.expires_ms);
    if (redirect->is_enabled)
        redirect->urls = url_cache_new();
    if (!redirect->is_enabled || config->redirect.cdn.type == CDN_NONE)
        return OK;
    return cdn_open(config, ret_why, &redirect->cdn);
}

void redirect_done(struct redirect *redirect)
{
    cdn_close(redirect->cdn);
    url_cache_free(redirect->urls);
    redirect->cdn = NULL;
    redirect->urls = NULL;
}

struct storage_validity redirect_validity(const struct redirect *redirect, uint64_t now_ms, uint32_t *ret_same_for_s)
{
    uint64_t now_s = now_ms / 1000;
    uint32_t window_s = redirect->expires_s / WINDOWS_PER_URL;
    uint32_t into_window_s = (uint32_t)(now_s % window_s);
    *ret_same_for_s = window_s - into_window_s;
    return (struct storage_validity){now_s - into_window_s, redirect->expires_s};
}

uint32_t redirect_same_for_s(uint64_t end_s, uint64_t now_ms, uint32_t same_for_s)
{
    uint64_t now_s = now_ms / 1000;
    uint64_t quarter_s = end_s > now_s ? (end_s - now_s) / WINDOWS_PER_URL : 0;
    if (quarter_s >= same_for_s)
        return same_for_s;
    return quarter_s > 0 ? (uint32_t)quarter_s : 1;
}
