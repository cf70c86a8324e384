/* SPDX-License-Identifier: Apache-2.0
 *
 * The chunked coding of RFC 9112, section 7.1, and nothing laxer: what another server in the chain may read differently
 * (a bare LF, "0x10", spaces round the size) is refused, as that is how requests are smuggled. Extensions and trailers
 * are skipped, within a limit. libh2o's own decoder takes all of these.
 */
#include "http1.h"

#include <string.h>

#define SIZE_DIGITS_MAX 15
#define EXTENSION_BYTES_MAX 256
#define TRAILER_BYTES_MAX 8192

enum chunk_state {
    CHUNK_SIZE, /* must be 0: a zeroed decoder starts here */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

static int hex_value(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F')
        return ch - 'A' + 10;
    return -1;
}

/* Text of extensions and trailers: no control characters but the tab. */
static bool is_text(char ch)
{
    return ((unsigned char)ch >= ' ' && ch != 0x7f) || ch == '\t';
}

static enum result take_size(struct http1_chunks *c, char ch)
{
    int value = hex_value(ch);
    if (value >= 0) {
        if (c->digits == SIZE_DIGITS_MAX)
            return INVALID;
        c->digits++;
        c->left_in_chunk = c->left_in_chunk * 16 + (uint64_t)value;
        return OK;
    }
    if (c->digits == 0)
        return INVALID;
    c->line_bytes = 0;
    if (ch == '\r')
        c->state = CHUNK_SIZE_LF;
    else if (ch == ';')
        c->state = CHUNK_EXTENSION;
    else
        return INVALID;
    return OK;
}

static enum result take_extension(struct http1_chunks *c, char ch)
{
    if (ch == '\r') {
        c->state = CHUNK_SIZE_LF;
        return OK;
    }
    return is_text(ch) && ++c->line_bytes <= EXTENSION_BYTES_MAX ? OK : INVALID;
}

static enum result take_trailer(struct http1_chunks *c, char ch)
{
    if (++c->line_bytes > TRAILER_BYTES_MAX)
        return INVALID;
    if (ch == '\r')
        c->state = c->state == CHUNK_TRAILER_START ? CHUNK_END_LF : CHUNK_TRAILER_LF;
    else if (is_text(ch) && !(c->state == CHUNK_TRAILER_START && (ch == ' ' || ch == '\t')))
        c->state = CHUNK_TRAILER;
    else
        return INVALID;
    return OK;
}

static enum result take_fixed(struct http1_chunks *c, char ch, char expected, uint8_t next)
{
    c->state = next;
    return ch == expected ? OK : INVALID;
}

/* One character outside the data. NOT_FOUND: it was the last of the body. */
static enum result take(struct http1_chunks *c, char ch)
{
    switch ((enum chunk_state)c->state) {
    case CHUNK_SIZE:
        return take_size(c, ch);
    case CHUNK_EXTENSION:
        return take_extension(c, ch);
    case CHUNK_SIZE_LF:
        c->digits = 0;
        return take_fixed(c, ch, '\n', c->left_in_chunk == 0 ? CHUNK_TRAILER_START : CHUNK_DATA);
    case CHUNK_DATA_CR:
        return take_fixed(c, ch, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return take_fixed(c, ch, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER_START:
    case CHUNK_TRAILER:
        return take_trailer(c, ch);
    case CHUNK_TRAILER_LF:
        return take_fixed(c, ch, '\n', CHUNK_TRAILER_START);
    case CHUNK_END_LF:
        return ch == '\n' ? NOT_FOUND : INVALID;
    case CHUNK_DATA:
        break;
    }
    return INVALID;
}

enum result http_int_http1_decode_chunks(struct http1_chunks *c, char *dst, const char *src, size_t len,
                                         size_t *ret_used, size_t *ret_decoded)
{
    size_t used = 0;
    size_t decoded = 0;
    enum result r = OK;
    while (used < len && r == OK) {
        if (c->state != CHUNK_DATA) {
            r = take(c, src[used++]);
            continue;
        }
        size_t n = len - used < c->left_in_chunk ? len - used : (size_t)c->left_in_chunk;
        memmove(dst + decoded, src + used, n);
        used += n;
        decoded += n;
        c->left_in_chunk -= n;
        if (c->left_in_chunk == 0)
            c->state = CHUNK_DATA_CR;
    }
    *ret_used = used;
    *ret_decoded = decoded;
    return r;
}
