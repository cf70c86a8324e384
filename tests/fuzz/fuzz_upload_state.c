/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of saved upload states: what it accepts is exactly what it writes.
 */
#include <stdlib.h>

#include "minato/own.h"

#include "../../src/registry/upload_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct upload_state state, again;
    struct slice bytes = slice_of((const char *)data, size);
    if (size == 0)
        return 0;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    if (registry_int_upload_state_parse(bytes, &arena, &state) != OK)
        return 0;
    struct slice text = registry_int_upload_state_format(&state, &arena);
    if (registry_int_upload_state_parse(text, &arena, &again) != OK || again.offset != state.offset ||
        again.kind != state.kind || !slice_equal(again.repo, state.repo))
        abort();
    return 0;
}
