/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed text: comparing, splitting, numbers, hexadecimal. Pure, any thread.
 */
#include "minato/slice.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter == 0 ? 0 : memcmp(a.ptr, b.ptr, shorter);
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool slice_equal_secret(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < a.len; i++)
        difference = (unsigned char)(difference | (unsigned char)(a.ptr[i] ^ b.ptr[i]));
    return difference == 0;
}

bool slice_split(struct slice s, char separator, struct slice *ret_head, struct slice *ret_tail)
{
    const char *at = s.len == 0 ? NULL : memchr(s.ptr, separator, s.len);
    if (at == NULL)
        return false;
    size_t head = (size_t)(at - s.ptr);
    *ret_head = slice_of(s.ptr, head);
    *ret_tail = slice_from(s, head + 1);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_from(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

enum result slice_parse_u64(struct slice s, uint64_t *ret_value)
{
    if (s.len == 0 || s.len > 20)
        return INVALID;
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return INVALID;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return INVALID;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return OK;
}

void hex_encode(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

enum result hex_decode(struct slice hex, uint8_t *out, size_t n)
{
    if (hex.len != 2 * n)
        return INVALID;
    for (size_t i = 0; i < n; i++)
        if (hex_value(hex.ptr[2 * i]) < 0 || hex_value(hex.ptr[2 * i + 1]) < 0)
            return INVALID;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(hex_value(hex.ptr[2 * i]) << 4 | hex_value(hex.ptr[2 * i + 1]));
    return OK;
}
