/* SPDX-License-Identifier: Apache-2.0
 *
 * Repository names, tags and references. Scanners by hand: no regular expressions, one pass, no allocation. What
 * passes here goes into storage paths, so nothing outside the grammar passes. Pure; any thread.
 */
#include "minato/oci.h"

static bool is_alnum_lower(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Skips one separator within a component: '.', '_', '__' or any number of '-'. Returns the offset behind it, or
 * `at` if there is none. */
static size_t skip_separator(struct slice s, size_t at)
{
    char c = s.ptr[at];
    if (c == '.')
        return at + 1;
    if (c == '_')
        return at + 1 < s.len && s.ptr[at + 1] == '_' ? at + 2 : at + 1;
    while (at < s.len && s.ptr[at] == '-')
        ++at;
    return at;
}

enum result repo_name_parse(struct slice text, struct repo_name *ret_name)
{
    if (text.len == 0 || text.len > REPO_NAME_MAX)
        return INVALID;
    size_t at = 0;
    for (;;) {
        size_t start = at;
        while (at < text.len && is_alnum_lower(text.ptr[at]))
            ++at;
        if (at == start)
            return INVALID; /* a component or what follows a separator needs a letter or digit */
        if (at == text.len)
            break;
        size_t next = text.ptr[at] == '/' ? at + 1 : skip_separator(text, at);
        if (next == at)
            return INVALID;
        at = next;
    }
    ret_name->text = text;
    return OK;
}

enum result tag_parse(struct slice text, struct tag *ret_tag)
{
    if (text.len == 0 || text.len > TAG_MAX)
        return INVALID;
    for (size_t i = 0; i < text.len; ++i) {
        char c = text.ptr[i];
        bool is_word = is_alnum_lower(c) || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_word && (i == 0 || (c != '.' && c != '-')))
            return INVALID;
    }
    ret_tag->text = text;
    return OK;
}

enum result reference_parse(struct slice text, struct reference *ret_reference)
{
    struct reference reference = {.is_digest = text.len > 0 && memchr(text.ptr, ':', text.len) != NULL};
    enum result r = reference.is_digest ? digest_parse(text, &reference.digest) : tag_parse(text, &reference.tag);
    if (r != OK)
        return r;
    *ret_reference = reference;
    return OK;
}
