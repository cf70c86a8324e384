/* SPDX-License-Identifier: Apache-2.0
 *
 * User name and password out of an Authorization header: strict base64, limits, no interpretation. Pure; any thread.
 */
#include "access_int.h"

#define AUTHORIZATION_BYTES_MAX 2048u

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648, section 4: padding is required, bits behind the end are zero. `out` has room for len / 4 * 3 bytes. */
static enum result base64_decode(struct slice text, char *out, size_t *ret_len)
{
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    if (text.len % 4 != 0 || text.len == 0)
        return INVALID;
    size_t digits = text.len - padding;
    uint32_t bits = 0;
    size_t len = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text.ptr[i]);
        if (digit < 0)
            return INVALID;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0)
            out[len++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    uint32_t left_over = padding == 0 ? 0 : padding == 1 ? bits & 3 : bits & 15;
    if (left_over != 0)
        return INVALID;
    *ret_len = len;
    return OK;
}

/* Names: printable ASCII, or the bytes of any other script; they go to logs and audit. */
static bool is_user_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return false;
    return name.len <= USER_NAME_BYTES_MAX;
}

enum result credentials_parse(struct slice authorization, struct arena *arena, struct credentials *ret_credentials)
{
    struct slice scheme;
    struct slice text;
    if (authorization.len > AUTHORIZATION_BYTES_MAX || !slice_split(slice_trim(authorization), ' ', &scheme, &text) ||
        !slice_equal_nocase(scheme, SLICE("basic")))
        return INVALID;
    text = slice_trim(text);
    char *bytes = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    struct credentials c;
    if (base64_decode(text, bytes, &len) != OK || !slice_split(slice_of(bytes, len), ':', &c.user, &c.password) ||
        !is_user_name(c.user) || c.password.len > PASSWORD_BYTES_MAX ||
        memchr(bytes, '\0', len) != NULL) { /* crypt would see the part before the NUL only */
        explicit_bzero(bytes, text.len + 1);
        return INVALID;
    }
    *ret_credentials = c;
    return OK;
}

void credentials_wipe(struct credentials *c)
{
    /* The bytes are ours, in the arena. */
    if (c->password.len > 0)
        explicit_bzero((char *)(uintptr_t)c->password.ptr, c->password.len);
    c->password = SLICE_EMPTY;
}
