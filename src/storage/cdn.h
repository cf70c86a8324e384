/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs of a content delivery network that stands in front of the store, signed as that network checks them.
 * Nothing changes after opening: any thread.
 */
#ifndef STORAGE_CDN_H
#define STORAGE_CDN_H

#include "minato/arena.h"
#include "minato/config.h"
#include "minato/result.h"
#include "minato/slice.h"

struct cdn;

/* INVALID: `redirect.cdn` cannot be used, `ret_why` says why. Reads CloudFront's key from its file. */
enum result cdn_open(const struct config *config, struct strbuf *ret_why, struct cdn **ret_cdn) NODISCARD;
void cdn_close(struct cdn *cdn); /* wipes the key; accepts NULL */
/* The object at `path` of the store, until `expires_s` (since 1970). IO where OpenSSL fails. */
enum result cdn_sign(const struct cdn *cdn, struct slice path, uint64_t expires_s, struct arena *arena,
                     struct slice *ret_url) NODISCARD;

#endif
