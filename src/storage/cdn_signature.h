/* SPDX-License-Identifier: Apache-2.0
 *
 * The signatures of content delivery networks, as text for a URL. They prove that we gave out a URL; none of them hides
 * or guards content, so that MD5 and SHA-1, which the networks ask for, do.
 */
#ifndef STORAGE_CDN_SIGNATURE_H
#define STORAGE_CDN_SIGNATURE_H

#include "minato/arena.h"
#include "minato/result.h"
#include "minato/slice.h"

#define CDN_SECRET_MAX 512

struct cdn_key {
    char secret[CDN_SECRET_MAX];
    size_t secret_len;
    struct evp_pkey_st *rsa;
};

/* INVALID: it is none. */
enum result cdn_key_from_text(struct cdn_key *key, struct slice text) NODISCARD;
enum result cdn_key_from_base64url(struct cdn_key *key, struct slice text) NODISCARD;
enum result cdn_key_from_pem(struct cdn_key *key, const char *path) NODISCARD; /* reads the file */
void cdn_key_done(struct cdn_key *key);                                        /* wipes; a zeroed key is fine */

/* MD5 of `text` and the key behind it, in base64url without padding. */
enum result cdn_sign_md5(const struct cdn_key *key, struct slice text, struct arena *arena,
                         struct slice *ret_signature) NODISCARD;
/* HMAC-SHA1 of `text`, in base64url with padding. */
enum result cdn_sign_hmac_sha1(const struct cdn_key *key, struct slice text, struct arena *arena,
                               struct slice *ret_signature) NODISCARD;
/* RSA PKCS#1 v1.5 with SHA-1 of `text`, in CloudFront's base64 ("-_~" for "+=/"). */
enum result cdn_sign_rsa_sha1(const struct cdn_key *key, struct slice text, struct arena *arena,
                              struct slice *ret_signature) NODISCARD;

#endif
