/* SPDX-License-Identifier: Apache-2.0
 *
 * A Google service account's key: signs URLs with RSA (GOOG4-RSA-SHA256), for organisations that let HMAC keys write
 * but not sign.
 */
#ifndef MINATO_S3_GOOGLE_KEY_H
#define MINATO_S3_GOOGLE_KEY_H

#include "sigv4.h"

struct google_key;

/* Start-up; reads the JSON file that Google gives out (client_email, private_key). On failure a sentence is in `why`.
 */
enum result google_key_load(const char *path, struct strbuf *why, struct google_key **ret_key) NODISCARD;
void google_key_free(struct google_key *key); /* accepts NULL */
/* As sigv4_presign. Any thread; takes about a millisecond. IO: the library refused. */
enum result google_key_presign(const struct google_key *key, struct slice method, struct slice host, struct slice path,
                               const char *date, uint32_t expires_s, struct arena *arena,
                               struct slice *ret_query) NODISCARD;

#endif
