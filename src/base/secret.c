/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys from the one secret of the configuration: a use that leaks its key tells nothing of the others.
 */
#include "minato/secret.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum result secret_derive_key(struct slice secret, struct slice label, uint8_t *key, size_t key_bytes)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("digest", digest, 0),
        OSSL_PARAM_construct_octet_string("key", (void *)(uintptr_t)secret.ptr, secret.len),
        OSSL_PARAM_construct_octet_string("info", (void *)(uintptr_t)label.ptr, label.len),
        OSSL_PARAM_construct_end(),
    };
    bool is_derived = context != NULL && EVP_KDF_derive(context, key, key_bytes, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return is_derived ? OK : IO;
}
