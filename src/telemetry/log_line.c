/* SPDX-License-Identifier: Apache-2.0
 *
 * One log line, as JSON or as text, written into a buffer of the caller: no allocation, no lock, well below a
 * microsecond. Texts may come from clients: control characters and what is no UTF-8 never get out as they are.
 */
#include "telemetry_int.h"

#include <string.h>

/* Kept free for `,"truncated":true}` and the newline. */
#define TAIL_BYTES 32u

struct line {
    char *next;
    char *end; /* without the tail */
    bool has_overflowed;
};

static void put(struct line *l, const char *bytes, size_t n)
{
    if (n > (size_t)(l->end - l->next)) {
        l->has_overflowed = true;
        return;
    }
    memcpy(l->next, bytes, n);
    l->next += n;
}

static void put_cstr(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static void put_number(struct line *l, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(l, digits + at, sizeof(digits) - at);
}

static void put_digits(char *out, unsigned value, unsigned n)
{
    while (n > 0) {
        out[--n] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* RFC 3339 in UTC. The date by Howard Hinnant's civil_from_days, as gmtime_r and printf cost more than the whole line.
 */
static void put_time(struct line *l, uint64_t wall_ms)
{
    uint64_t seconds = wall_ms / 1000;
    unsigned second_of_day = (unsigned)(seconds % 86400);
    uint64_t day = seconds / 86400 + 719468; /* since 0000-03-01 */
    unsigned era = (unsigned)(day / 146097);
    unsigned day_of_era = (unsigned)(day % 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153; /* March is 0 */
    unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    char text[] = "0000-00-00T00:00:00.000Z";
    put_digits(text, year_of_era + era * 400 + (month <= 2 ? 1 : 0), 4);
    put_digits(text + 5, month, 2);
    put_digits(text + 8, day_of_year - (153 * shifted_month + 2) / 5 + 1, 2);
    put_digits(text + 11, second_of_day / 3600, 2);
    put_digits(text + 14, second_of_day / 60 % 60, 2);
    put_digits(text + 17, second_of_day % 60, 2);
    put_digits(text + 20, (unsigned)(wall_ms % 1000), 3);
    put(l, text, sizeof(text) - 1);
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* How many bytes at `text` are plain: eight at a time, the last ones singly. A borrow or carry can only come from a
 * byte that is not plain itself. */
static size_t plain_prefix(struct slice text)
{
    const uint64_t ones = 0x0101010101010101ull;
    size_t n = 0;
    for (; n + 8 <= text.len; n += 8) {
        uint64_t w;
        memcpy(&w, text.ptr + n, 8);
        uint64_t quote = (w ^ (ones * '"')) - ones;
        uint64_t backslash = (w ^ (ones * '\\')) - ones;
        uint64_t control = w - ones * 0x20;
        if (((quote | backslash | control | w | (w + ones)) & (ones * 0x80)) != 0)
            break;
    }
    while (n < text.len && is_plain((unsigned char)text.ptr[n]))
        n++;
    return n;
}

/* Length of the valid UTF-8 sequence of two bytes or more at `p`, or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void put_code(struct line *l, unsigned char c)
{
    char code[] = "\\u0000";
    static const char hex[] = "0123456789abcdef";
    code[4] = hex[c >> 4];
    code[5] = hex[c & 15];
    put(l, code, sizeof(code) - 1);
}

/* The one character at `p` that cannot stand for itself; returns the bytes used. */
static size_t put_escaped(struct line *l, const unsigned char *p, size_t left)
{
    if (p[0] == '"' || p[0] == '\\') {
        char pair[2] = {'\\', (char)p[0]};
        put(l, pair, 2);
        return 1;
    }
    if (p[0] < 0x80) {
        put_code(l, p[0]);
        return 1;
    }
    size_t n = utf8_sequence(p, left);
    if (n == 0) {
        put_cstr(l, "\xef\xbf\xbd");
        return 1;
    }
    if (p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls: a terminal obeys some of them */
        put_code(l, p[1]);
    else
        put(l, (const char *)p, n);
    return n;
}

static void put_quoted(struct line *l, struct slice text)
{
    put(l, "\"", 1);
    for (;;) {
        size_t plain = plain_prefix(text);
        put(l, text.ptr, plain);
        text = slice_from(text, plain);
        if (text.len == 0)
            break;
        text = slice_from(text, put_escaped(l, (const unsigned char *)text.ptr, text.len));
    }
    put(l, "\"", 1);
}

/* In a text line only what has no space, quote or '=' goes without quotes. */
static bool needs_quotes(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_plain((unsigned char)text.ptr[i]) || text.ptr[i] == ' ' || text.ptr[i] == '=')
            return true;
    return false;
}

/* `,"name":` or ` name=`. */
static void put_name(struct line *l, bool is_json, struct slice name)
{
    if (is_json) {
        put(l, name.ptr, name.len);
        return;
    }
    put(l, " ", 1);
    put(l, name.ptr + 2, name.len - 4);
    put(l, "=", 1);
}

static void put_field(struct line *l, enum config_log_format format, const struct log_field *field)
{
    if (field->kind == FIELD_KIND_TEXT && field->text.len == 0)
        return;
    char *before = l->next;
    bool is_json = format == LOG_FORMAT_JSON;
    put_name(l, is_json, field->name);
    struct slice text = field->text;
    if (text.len > LOG_TEXT_BYTES_MAX)
        text.len = LOG_TEXT_BYTES_MAX;
    if (field->kind == FIELD_KIND_NUMBER)
        put_number(l, field->number);
    else if (is_json || needs_quotes(text))
        put_quoted(l, text);
    else
        put(l, text.ptr, text.len);
    if (l->has_overflowed)
        l->next = before;
}

size_t log_int_format(char out[LOG_LINE_BYTES_MAX], enum config_log_format format, uint64_t wall_ms,
                      enum config_log_level level, const char *event, const struct log_field *fields, size_t count)
{
    static const char *const json_levels[] = {"debug", "info", "warn", "error"};
    static const char *const text_levels[] = {" DEBUG ", " INFO  ", " WARN  ", " ERROR "};
    struct line l = {.next = out, .end = out + LOG_LINE_BYTES_MAX - TAIL_BYTES};
    bool is_json = format == LOG_FORMAT_JSON;
    put_cstr(&l, is_json ? "{\"time\":\"" : "");
    put_time(&l, wall_ms);
    put_cstr(&l, is_json ? "\",\"level\":\"" : "");
    put_cstr(&l, is_json ? json_levels[level] : text_levels[level]);
    put_cstr(&l, is_json ? "\",\"event\":\"" : "");
    put_cstr(&l, event);
    put_cstr(&l, is_json ? "\"" : "");
    bool is_truncated = l.has_overflowed;
    for (size_t i = 0; i < count; i++) {
        put_field(&l, format, &fields[i]);
        is_truncated |= l.has_overflowed;
        l.has_overflowed = false;
    }
    l.end = out + LOG_LINE_BYTES_MAX;
    if (is_truncated)
        put_cstr(&l, is_json ? ",\"truncated\":true" : " truncated=true");
    put_cstr(&l, is_json ? "}\n" : "\n");
    return (size_t)(l.next - out);
}
