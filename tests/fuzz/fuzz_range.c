/* SPDX-License-Identifier: Apache-2.0
 *
 * Range and Content-Range: a part is never empty and never outside of the representation; formatted, it parses as
 * itself.
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

#include <inttypes.h>
#include <stdio.h>

static void fuzz_range(struct slice header, uint64_t size)
{
    struct byte_range part;
    enum range_kind kind = range_parse(header, size, &part);
    MUST(kind == RANGE_WHOLE || kind == RANGE_PART || kind == RANGE_UNSATISFIABLE);
    if (kind != RANGE_PART)
        return;
    MUST(part.length > 0 && part.first < size && part.length <= size - part.first);
    char text[64];
    int n = snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, part.first, part.first + part.length - 1);
    struct byte_range again;
    MUST(range_parse(slice_of(text, (size_t)n), size, &again) == RANGE_PART);
    MUST(again.first == part.first && again.length == part.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice header = slice_of((const char *)data, size);
    static const uint64_t sizes[] = {0, 1, 2, 1000, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i)
        fuzz_range(header, sizes[i]);
    struct byte_range chunk;
    if (content_range_parse(header, &chunk) != OK)
        return 0;
    MUST(chunk.length > 0 && chunk.first <= UINT64_MAX - chunk.length);
    char text[64];
    int n = snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, chunk.first, chunk.first + chunk.length - 1);
    struct byte_range again;
    MUST(content_range_parse(slice_of(text, (size_t)n), &again) == OK);
    MUST(again.first == chunk.first && again.length == chunk.length);
    return 0;
}
