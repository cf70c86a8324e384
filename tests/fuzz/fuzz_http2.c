/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes behind the preface from a client of the HTTP/2 server; the scene says how they are cut and what the handler
 * does.
 */
#include "http_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_connection(SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), data, size);
}
