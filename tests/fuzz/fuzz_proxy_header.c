/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a PROXY header: what is accepted ends within the input, and every shorter beginning of it waits for
 * more.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../src/http/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_address peer;
    size_t used = 0;
    if (http_int_proxy_header_parse(slice_of((const char *)data, size), &used, &peer) != OK)
        return 0;
    if (used == 0 || used > size || used > HTTP_PROXY_HEADER_BYTES_MAX)
        abort();
    for (size_t len = 0; len < used; len++) {
        size_t ignored = 0;
        if (http_int_proxy_header_parse(slice_of((const char *)data, len), &ignored, &peer) != PENDING)
            abort();
    }
    return 0;
}
