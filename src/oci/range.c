/* SPDX-License-Identifier: Apache-2.0
 *
 * Range (RFC 9110, 14.1.2 and 14.2) and the Content-Range of uploads. A Range that does not parse is ignored, as the
 * RFC wants; a Content-Range that does not parse is an error, as bytes would land in the wrong place. Pure; any thread.
 */
#include "minato/oci.h"

/* Reads 1*DIGIT at *at; numbers over 64 bits become UINT64_MAX and set *ret_overflowed. False without a digit. */
static bool scan_number(struct slice s, size_t *at, uint64_t *ret_value, bool *ret_overflowed)
{
    size_t start = *at;
    uint64_t value = 0;
    bool overflowed = false;
    for (; *at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9'; ++*at) {
        unsigned digit = (unsigned)(s.ptr[*at] - '0');
        overflowed = overflowed || value > (UINT64_MAX - digit) / 10;
        value = overflowed ? UINT64_MAX : value * 10 + digit;
    }
    *ret_value = value;
    *ret_overflowed = overflowed;
    return *at > start;
}

static enum range_kind suffix_range(uint64_t suffix, uint64_t size, struct byte_range *ret_range)
{
    if (suffix == 0)
        return RANGE_UNSATISFIABLE;
    if (size == 0)
        return RANGE_WHOLE; /* satisfiable, but no Content-Range can say so */
    uint64_t length = suffix < size ? suffix : size;
    *ret_range = (struct byte_range){.first = size - length, .length = length};
    return RANGE_PART;
}

enum range_kind range_parse(struct slice header, uint64_t size, struct byte_range *ret_range)
{
    struct slice unit;
    struct slice set;
    if (!slice_split(slice_trim(header), '=', &unit, &set) || !slice_equal_nocase(unit, SLICE("bytes")))
        return RANGE_WHOLE;
    set = slice_trim(set);
    size_t at = 0;
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    bool overflowed;
    bool has_first = scan_number(set, &at, &first, &overflowed);
    if (at == set.len || set.ptr[at] != '-')
        return RANGE_WHOLE;
    ++at;
    bool has_last = scan_number(set, &at, &last, &overflowed);
    if (at != set.len || (!has_first && !has_last)) /* also several ranges */
        return RANGE_WHOLE;
    if (!has_first)
        return suffix_range(last, size, ret_range);
    /* To be ignored or refused, as we like (RFC 9110, 14.2); OCI's conformance program wants a 416. */
    if (has_last && last < first)
        return RANGE_UNSATISFIABLE;
    if (first >= size) /* everything of nothing is nothing: clients that always send bytes=0- get their empty blob */
        return size == 0 && first == 0 ? RANGE_WHOLE : RANGE_UNSATISFIABLE;
    uint64_t end = has_last && last < size - 1 ? last : size - 1;
    *ret_range = (struct byte_range){.first = first, .length = end - first + 1};
    return RANGE_PART;
}

/* "/<size>" or "/<asterisk>" at `at`, to the end; a size must be over `last`. */
static bool is_complete_length(struct slice s, size_t at, uint64_t last)
{
    if (at == s.len || s.ptr[at] != '/')
        return false;
    ++at;
    if (at + 1 == s.len && s.ptr[at] == '*')
        return true;
    uint64_t size;
    bool overflowed;
    return scan_number(s, &at, &size, &overflowed) && at == s.len && !overflowed && size > last;
}

enum result content_range_parse(struct slice header, struct byte_range *ret_range)
{
    struct slice s = slice_trim(header);
    bool has_unit = s.len > 6 && slice_equal_nocase(slice_of(s.ptr, 6), SLICE("bytes "));
    size_t at = has_unit ? 6 : 0;
    uint64_t first;
    uint64_t last;
    bool first_overflowed;
    bool last_overflowed;
    if (!scan_number(s, &at, &first, &first_overflowed) || at == s.len || s.ptr[at] != '-')
        return INVALID;
    ++at;
    if (!scan_number(s, &at, &last, &last_overflowed))
        return INVALID;
    if (first_overflowed || last_overflowed || last < first || last == UINT64_MAX)
        return INVALID;
    if (has_unit ? !is_complete_length(s, at, last) : at != s.len)
        return INVALID;
    *ret_range = (struct byte_range){.first = first, .length = last - first + 1};
    return OK;
}
