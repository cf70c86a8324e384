/* SPDX-License-Identifier: Apache-2.0
 *
 * Growable text with a maximum, and the encodings that are written through it. Not thread-safe.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "minato/arena.h"
#include "minato/slice.h"

void strbuf_init(struct strbuf *sb, size_t max_bytes)
{
    *sb = (struct strbuf){.max = max_bytes};
}

void strbuf_done(struct strbuf *sb)
{
    free(sb->ptr);
    *sb = (struct strbuf){.max = sb->max};
}

void strbuf_clear(struct strbuf *sb)
{
    sb->len = 0;
    sb->overflowed = false;
    if (sb->ptr != NULL)
        sb->ptr[0] = '\0';
}

/* Room for `n` more bytes and a NUL; false, and overflowed, if that would pass the maximum. */
static bool reserve(struct strbuf *sb, size_t n)
{
    if (sb->overflowed || n > sb->max || sb->len > sb->max - n) {
        sb->overflowed = true;
        return false;
    }
    size_t needed = sb->len + n + 1;
    if (needed <= sb->capacity)
        return true;
    size_t capacity = sb->capacity < 64 ? 64 : sb->capacity;
    while (capacity < needed)
        capacity *= 2;
    sb->ptr = xrealloc(sb->ptr, capacity);
    sb->capacity = capacity;
    return true;
}

void strbuf_append(struct strbuf *sb, struct slice s)
{
    if (!reserve(sb, s.len))
        return;
    if (s.len > 0)
        memcpy(sb->ptr + sb->len, s.ptr, s.len);
    sb->len += s.len;
    sb->ptr[sb->len] = '\0';
}

void strbuf_append_cstr(struct strbuf *sb, const char *s)
{
    strbuf_append(sb, slice_from_cstr(s));
}

void strbuf_append_char(struct strbuf *sb, char c)
{
    strbuf_append(sb, slice_of(&c, 1));
}

void strbuf_append_u64(struct strbuf *sb, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    strbuf_append(sb, slice_of(digits + at, sizeof(digits) - at));
}

void strbuf_append_format(struct strbuf *sb, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    /* Mostly there is room for it already. */
    size_t room = sb->capacity - sb->len;
    int n = vsnprintf(room == 0 ? NULL : sb->ptr + sb->len, room, format, args);
    va_end(args);
    if (n >= 0 && reserve(sb, (size_t)n)) {
        if ((size_t)n >= room)
            (void)vsnprintf(sb->ptr + sb->len, (size_t)n + 1, format, again);
        sb->len += (size_t)n;
    } else if (room > 0) {
        sb->ptr[sb->len] = '\0';
    }
    va_end(again);
}

/* Length of the valid UTF-8 sequence at the beginning of `s`, or 0. Refuses overlong forms and surrogates. */
static size_t utf8_sequence(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.len < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void append_json_escape(struct strbuf *sb, unsigned char c)
{
    switch (c) {
    case '"':
        strbuf_append(sb, SLICE("\\\""));
        break;
    case '\\':
        strbuf_append(sb, SLICE("\\\\"));
        break;
    case '\n':
        strbuf_append(sb, SLICE("\\n"));
        break;
    case '\r':
        strbuf_append(sb, SLICE("\\r"));
        break;
    case '\t':
        strbuf_append(sb, SLICE("\\t"));
        break;
    default:
        strbuf_append_format(sb, "\\u%04x", c);
    }
}

static bool is_plain_json(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void strbuf_append_json(struct strbuf *sb, struct slice s)
{
    strbuf_append_char(sb, '"');
    while (s.len > 0 && !sb->overflowed) {
        size_t plain = 0;
        while (plain < s.len && is_plain_json((unsigned char)s.ptr[plain]))
            plain++;
        strbuf_append(sb, slice_of(s.ptr, plain));
        s = slice_from(s, plain);
        if (s.len == 0)
            break;
        size_t n = utf8_sequence(s);
        if (n > 1)
            strbuf_append(sb, slice_of(s.ptr, n));
        else if (n == 1)
            append_json_escape(sb, (unsigned char)s.ptr[0]);
        else
            strbuf_append(sb, SLICE("\xef\xbf\xbd"));
        s = slice_from(s, n == 0 ? 1 : n);
    }
    strbuf_append_char(sb, '"');
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void strbuf_append_percent_encoded(struct strbuf *sb, struct slice s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (is_unreserved(s.ptr[i]))
            strbuf_append_char(sb, s.ptr[i]);
        else
            strbuf_append(sb, slice_of((char[]){'%', digits[c >> 4], digits[c & 15]}, 3));
    }
}

struct slice strbuf_slice(const struct strbuf *sb)
{
    return slice_of(sb->ptr, sb->len);
}

enum result strbuf_result(const struct strbuf *sb)
{
    return sb->overflowed ? TOO_LARGE : OK;
}
