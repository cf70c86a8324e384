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
    static const char pairs[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                                "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
                                "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
                                "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
                                "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
                                "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                                "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"
                                "e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    for (size_t i = 0; i < n; i++)
        memcpy(out + 2 * i, pairs + 2 * (size_t)bytes[i], 2);
}

/* A digit's value below what says that it is one. */
#define IS_HEX 0xf0u
static const uint8_t hex_digits[256] = {
    ['0'] = 0xf0, ['1'] = 0xf1, ['2'] = 0xf2, ['3'] = 0xf3, ['4'] = 0xf4, ['5'] = 0xf5, ['6'] = 0xf6, ['7'] = 0xf7,
    ['8'] = 0xf8, ['9'] = 0xf9, ['a'] = 0xfa, ['b'] = 0xfb, ['c'] = 0xfc, ['d'] = 0xfd, ['e'] = 0xfe, ['f'] = 0xff,
};

enum result hex_decode(struct slice hex, uint8_t *out, size_t n)
{
    const uint8_t *text = (const uint8_t *)hex.ptr;
    unsigned all = IS_HEX;
    if (hex.len != 2 * n)
        return INVALID;
    for (size_t i = 0; i < 2 * n; i++)
        all &= hex_digits[text[i]];
    if (all != IS_HEX)
        return INVALID;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(hex_digits[text[2 * i]] << 4 | (hex_digits[text[2 * i + 1]] & 15u));
    return OK;
}
