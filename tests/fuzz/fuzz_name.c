/* SPDX-License-Identifier: Apache-2.0
 *
 * Repository names, tags and references: what parses can be a path component by component, and no reference is both.
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

static void check_repo_name(struct slice text)
{
    MUST(text.len >= 1 && text.len <= REPO_NAME_MAX);
    char before = '/';
    for (size_t i = 0; i < text.len; ++i) {
        char c = text.ptr[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        MUST(is_alnum || c == '.' || c == '_' || c == '-' || c == '/');
        if (before == '/' || before == '.')
            MUST(is_alnum); /* so no empty component, no "." and no ".." */
        if (c == '/' || c == '.')
            MUST(before != '_' && before != '-');
        before = c;
    }
    MUST(before != '/' && before != '.' && before != '_' && before != '-');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of((const char *)data, size);
    struct repo_name name;
    if (repo_name_parse(text, &name) == OK) {
        MUST(slice_equal(name.text, text));
        check_repo_name(text);
        struct slice head;
        struct slice tail;
        if (slice_split(text, '/', &head, &tail)) { /* both sides of a slash are names as well */
            MUST(repo_name_parse(head, &name) == OK);
            MUST(repo_name_parse(tail, &name) == OK);
        }
    }
    struct tag tag;
    enum result as_tag = tag_parse(text, &tag);
    if (as_tag == OK)
        MUST(size >= 1 && size <= TAG_MAX && data[0] != '.' && data[0] != '-' && memchr(data, '/', size) == NULL);
    struct digest digest;
    enum result as_digest = digest_parse(text, &digest);
    MUST(as_tag != OK || as_digest != OK);
    struct reference reference;
    enum result as_reference = reference_parse(text, &reference);
    MUST((as_reference == OK) == (as_tag == OK || as_digest == OK));
    if (as_reference == OK)
        MUST(reference.is_digest == (as_digest == OK));
    return 0;
}
