/* SPDX-License-Identifier: Apache-2.0
 *
 * What stores answer to a listing: entries of one level, in the order of keys, no more than were asked for; or a
 * refusal.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../../storage-drivers/s3/s3_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check(const struct storage_listing *listing, size_t limit)
{
    MUST(listing->count <= limit);
    for (size_t i = 0; i < listing->count; i++) {
        struct slice name = listing->entries[i].name;
        MUST(name.len > 0 && memchr(name.ptr, '/', name.len) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {1000, 2, 0};
    struct slice xml = {(const char *)data, size};
    struct arena arena;
    struct slice text;
    if (size > S3_ANSWER_MAX)
        return 0;
    arena_init(&arena);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct storage_listing listing = {0};
        if (s3_parse_listing(xml, SLICE("p/"), limits[i], &arena, &listing) == OK)
            check(&listing, limits[i]);
    }
    text = s3_element(xml, "Code");
    MUST(text.len <= size && (text.len == 0 || memchr(text.ptr, '<', text.len) == NULL));
    arena_done(&arena);
    return 0;
}
