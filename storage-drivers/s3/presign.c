/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs that serve an object to whoever has them, for a time. Any thread; no I/O.
 */
#include "s3_int.h"

/* What is signed by keys that end serves no longer than they do. 0: they have ended before it began. */
static uint32_t limit_by_keys(const struct s3_keys *keys, struct storage_validity validity)
{
    uint64_t end_s = keys->expires_ms / 1000;
    if (keys->expires_ms == 0 || validity.from_s + validity.seconds <= end_s)
        return validity.seconds;
    return end_s > validity.from_s ? (uint32_t)(end_s - validity.from_s) : 0;
}

enum result s3_sign_url(struct s3 *s3, struct slice method, struct slice host, struct slice path,
                        struct storage_validity validity, struct arena *arena, struct slice *ret_query)
{
    char date[SIGV4_DATE_TEXT + 1];
    sigv4_format_date(validity.from_s * 1000, date);
    struct s3_keys *keys = s3_credentials_acquire(s3->credentials);
    uint32_t seconds = limit_by_keys(keys, validity);
    if (seconds > 0)
        *ret_query = sigv4_presign(&s3->signer, &keys->credentials, method, host, path, date, seconds, arena);
    s3_keys_release(keys);
    return seconds > 0 && s3_credentials_serve(s3->credentials) ? OK : UNAVAILABLE;
}

enum result s3_presign(void *self, struct slice path, struct slice method, struct storage_validity validity,
                       struct arena *arena, struct slice *ret_url)
{
    struct s3 *s3 = self;
    struct slice query;
    struct slice full = arena_format(arena, "%.*s%.*s", SLICE_ARG(s3->path_prefix), SLICE_ARG(path));
    enum result r = s3_sign_url(s3, method, s3->public_host, full, validity, arena, &query);
    if (r != OK)
        return r;
    *ret_url = arena_format(arena, "%.*s://%.*s%.*s?%.*s", SLICE_ARG(s3->public_scheme), SLICE_ARG(s3->public_host),
                            SLICE_ARG(full), SLICE_ARG(query));
    return OK;
}
