/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of saved upload states: what it accepts is exactly what it writes.
 */
#include <stdlib.h>

#include "../../src/registry/upload_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct upload_state state, again;
    struct slice bytes = slice_of((const char *)data, size);
    if (size == 0 || registry_int_upload_state_parse(bytes, &state) != OK)
        return 0;
    struct arena arena;
    arena_init(&arena);
    struct slice text = registry_int_upload_state_format(&state, &arena);
    if (registry_int_upload_state_parse(text, &again) != OK || again.offset != state.offset ||
        again.kind != state.kind || !slice_equal(again.repo, state.repo))
        abort();
    arena_done(&arena);
    return 0;
}
