/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as Redis' URL: refused with a sentence, or taken apart within its own bytes.
 */
#include "../../src/outbound/redis_int.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_url url;
    struct strbuf why;
    strbuf_init(&why, 1024);
    enum result r = redis_url_parse(slice_of((const char *)data, size), &why, &url);
    if (r == OK) {
        size_t texts = url.user.len + url.password.len + url.database.len + url.name.len + url.path.len;
        if (texts > size || (url.path.len == 0 && url.address_count == 0))
            abort();
        for (size_t i = 0; i < url.address_count; i++)
            if (url.addresses[i].port == 0 || url.addresses[i].host[0] == '\0')
                abort();
        redis_url_done(&url);
    } else if (r != INVALID || why.len == 0) {
        abort();
    }
    strbuf_done(&why);
    return 0;
}
