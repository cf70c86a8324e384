/* SPDX-License-Identifier: Apache-2.0
 *
 * The password file: any bytes are a table whose every hash has bcrypt's form, or are refused with a reason.
 */
#include <stdlib.h>

#include "../../src/access/access_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct strbuf why;
    strbuf_init(&why, 4096);
    struct htpasswd *h = NULL;
    struct slice text = slice_of((const char *)data, size);
    if (htpasswd_parse(text, "fuzz", &why, &h) != OK) {
        if (why.len == 0 || h != NULL)
            abort();
    } else {
        bool is_known = false;
        struct slice user = text;
        struct slice rest;
        (void)slice_split(text, ':', &user, &rest);
        const char *hash = htpasswd_find(h, slice_trim(user), &is_known);
        if (strlen(hash) != BCRYPT_TEXT_BYTES || hash[0] != '$' || (is_known && htpasswd_count(h) == 0))
            abort();
    }
    htpasswd_free(h);
    strbuf_done(&why);
    return 0;
}
