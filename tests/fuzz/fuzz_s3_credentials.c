/* SPDX-License-Identifier: Apache-2.0
 *
 * What services of keys answer, as JSON and as XML: keys that can stand in a header, or a reason.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../../storage-drivers/s3/credentials_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

typedef enum result parse_keys(struct slice text, struct strbuf *why, struct s3_keys **ret_keys);

static void fuzz(parse_keys *parse, struct slice text)
{
    struct strbuf why;
    struct s3_keys *keys = NULL;
    strbuf_init(&why, 2048);
    enum result r = parse(text, &why, &keys);
    MUST((r == OK) == (keys != NULL) && (r == OK) == (why.len == 0));
    if (r == OK) {
        MUST(keys->expires_ms > 0 && s3_keys_is_token(keys->credentials.access_key));
        MUST(keys->credentials.session_token.len == 0 || s3_keys_is_token(keys->credentials.session_token));
    }
    s3_keys_release(keys);
    strbuf_done(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    if (size > S3_KEYS_ANSWER_MAX)
        return 0;
    fuzz(s3_keys_parse_json, text);
    fuzz(s3_keys_parse_xml, text);
    (void)s3_keys_is_container_url(text);
    return 0;
}
