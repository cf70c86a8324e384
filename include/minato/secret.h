/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys from one secret, one for each use.
 */
#ifndef MINATO_SECRET_H
#define MINATO_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "minato/result.h"
#include "minato/slice.h"

/* Fills `key` by HKDF-SHA256 (RFC 5869), without a salt, `label` as info. IO where OpenSSL fails. Any thread. */
enum result secret_derive_key(struct slice secret, struct slice label, uint8_t *key, size_t key_bytes) NODISCARD;

#endif
