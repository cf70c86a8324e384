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

static enum result sign_by_keys(struct s3 *s3, const struct s3_target *target, struct storage_validity *validity,
                                struct arena *arena, struct slice *ret_query)
{
    char date[SIGV4_DATE_TEXT + 1];
    sigv4_format_date(validity->from_s * 1000, date);
    struct s3_keys *keys = s3_credentials_acquire(s3->credentials);
    validity->seconds = limit_by_keys(keys, *validity);
    if (validity->seconds > 0)
        *ret_query = sigv4_presign(&s3->signer, &keys->credentials, target->method, target->host, target->path, date,
                                   validity->seconds, arena);
    s3_keys_release(keys);
    return validity->seconds > 0 && s3_credentials_serve(s3->credentials) ? OK : UNAVAILABLE;
}

enum result s3_sign_url(struct s3 *s3, const struct s3_target *target, struct storage_validity *validity,
                        struct arena *arena, struct slice *ret_url)
{
    struct slice query;
    char date[SIGV4_DATE_TEXT + 1];
    sigv4_format_date(validity->from_s * 1000, date);
    enum result r = s3->google_key == NULL ? sign_by_keys(s3, target, validity, arena, &query)
                                           : google_key_presign(s3->google_key, target->method, target->host,
                                                                target->path, date, validity->seconds, arena, &query);
    if (r == OK)
        *ret_url = arena_format(arena, "%.*s://%.*s%.*s?%.*s", SLICE_ARG(target->scheme), SLICE_ARG(target->host),
                                SLICE_ARG(target->path), SLICE_ARG(query));
    return r;
}

enum result s3_presign(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                       struct arena *arena, struct slice *ret_url)
{
    struct s3 *s3 = self;
    struct s3_target target = {
        .method = method,
        .scheme = s3->public_scheme,
        .host = s3->public_host,
        .path = arena_format(arena, "%.*s%.*s", SLICE_ARG(s3->path_prefix), SLICE_ARG(path)),
    };
    return s3_sign_url(s3, &target, validity, arena, ret_url);
}
