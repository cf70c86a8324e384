/* SPDX-License-Identifier: Apache-2.0
 *
 * Digests: what parses is what is formatted; a saved hash that loads is saved again as the same bytes and goes on
 * alike.
 */
#include <stdint.h>
#include <stdlib.h>

#include "minato/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void fuzz_text(struct slice text)
{
    struct digest d;
    if (digest_parse(text, &d) != OK)
        return;
    char again[DIGEST_TEXT_MAX];
    MUST(slice_equal(text, slice_of(again, digest_format(&d, again))));
}

static void fuzz_load(const uint8_t *data, size_t size)
{
    struct digest_state s;
    if (digest_state_load(&s, data, size) != OK)
        return;
    uint8_t again[DIGEST_STATE_SAVED_MAX];
    MUST(digest_state_save(&s, again) == size);
    MUST(memcmp(again, data, size) == 0);
    struct digest d;
    digest_state_update(&s, "more", 4);
    digest_state_final(&s, &d);
}

/* The first byte chooses the algorithm, the second where the hash is saved and loaded. */
static void fuzz_interrupted_hash(const uint8_t *data, size_t size)
{
    enum digest_algorithm algorithm = data[0] % 2 == 0 ? DIGEST_SHA256 : DIGEST_SHA512;
    const uint8_t *input = data + 2;
    size_t n = size - 2;
    size_t cut = n == 0 ? 0 : data[1] % (n + 1);
    struct digest_state s;
    digest_state_init(&s, algorithm);
    digest_state_update(&s, input, cut);
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    size_t saved_size = digest_state_save(&s, saved);
    struct digest_state loaded;
    MUST(digest_state_load(&loaded, saved, saved_size) == OK);
    digest_state_update(&loaded, input + cut, n - cut);
    struct digest d;
    struct digest whole;
    digest_state_final(&loaded, &d);
    digest_of(algorithm, slice_of((const char *)input, n), &whole);
    MUST(digest_equal(&d, &whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_text(slice_of((const char *)data, size));
    fuzz_load(data, size);
    if (size >= 2)
        fuzz_interrupted_hash(data, size);
    return 0;
}
