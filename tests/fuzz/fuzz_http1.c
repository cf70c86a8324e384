/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes from a client of the HTTP/1.1 server; the scene says how they are cut and what the handler does.
 */
#include "http_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_connection(SLICE_EMPTY, data, size);
}
