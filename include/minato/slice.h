/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed text (slice) and the only growable text (strbuf, never without a maximum).
 */
#ifndef MINATO_SLICE_H
#define MINATO_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "minato/result.h"

/* Bytes owned by somebody else, by value. `ptr` may be NULL only when `len` is 0. Not NUL-terminated. */
struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_EMPTY ((struct slice){NULL, 0})
/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (s).ptr == NULL ? "" : (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

static inline struct slice slice_from_cstr(const char *s)
{
    return (struct slice){s, s == NULL ? 0 : strlen(s)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool slice_has_suffix(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* The rest of `s` from `offset`, which must not be over its length. */
static inline struct slice slice_from(struct slice s, size_t offset)
{
    return (struct slice){s.ptr + offset, s.len - offset};
}

/* ASCII case-insensitive equality, as header names need it. */
bool slice_equal_nocase(struct slice a, struct slice b);

/* Byte order (memcmp, then length): the order tags and repositories are listed in. */
int slice_compare(struct slice a, struct slice b);

/* Constant time in the content; the lengths are not secret. */
bool slice_equal_secret(struct slice a, struct slice b);

/* Splits at the first `separator`: *ret_head before it, *ret_tail after it. False (outputs untouched) without one. */
bool slice_split(struct slice s, char separator, struct slice *ret_head, struct slice *ret_tail);

/* Strips spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);

/* Decimal digits only, no sign, no overflow. INVALID otherwise. */
enum result slice_parse_u64(struct slice s, uint64_t *ret_value) NODISCARD;

/* Growable text with a maximum. An append that would pass the maximum changes nothing and sets `overflowed`, which
 * stays set: check once at the end with strbuf_result. Always NUL-terminated behind its length. */
struct strbuf {
    char *ptr;
    size_t len;
    size_t capacity;
    size_t max;
    bool overflowed;
};

void strbuf_init(struct strbuf *sb, size_t max_bytes);
void strbuf_done(struct strbuf *sb); /* frees; the struct may be initialised again */
void strbuf_clear(struct strbuf *sb);
void strbuf_append(struct strbuf *sb, struct slice s);
void strbuf_append_cstr(struct strbuf *sb, const char *s);
void strbuf_append_char(struct strbuf *sb, char c);
void strbuf_append_u64(struct strbuf *sb, uint64_t value);
void strbuf_append_format(struct strbuf *sb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `s` as a JSON string with its quotes; invalid UTF-8 bytes become U+FFFD. */
void strbuf_append_json(struct strbuf *sb, struct slice s);
/* `s` percent-encoded: everything but RFC 3986's unreserved characters. */
void strbuf_append_percent_encoded(struct strbuf *sb, struct slice s);
struct slice strbuf_slice(const struct strbuf *sb);
/* OK, or TOO_LARGE if anything did not fit. */
enum result strbuf_result(const struct strbuf *sb) NODISCARD;

/* Lower-case hexadecimal of `n` bytes into `out`, which has room for 2*n characters (no NUL is written). */
void hex_encode(const uint8_t *bytes, size_t n, char *out);
/* Lower-case hexadecimal only; `hex.len` must be 2*n. INVALID otherwise. */
enum result hex_decode(struct slice hex, uint8_t *out, size_t n) NODISCARD;

#endif
