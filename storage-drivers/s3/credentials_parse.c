/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys out of what services answer: JSON of containers and machines, XML of STS. Pure; any thread.
 */
#include "credentials_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <expat.h>
#include <jansson.h>

#define NAME_MAX_BYTES 256u
#define SECRET_MAX_BYTES 1024u
#define DEPTH_MAX 8u

/* ---- keys ---- */

static bool is_printable(struct slice text, size_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '!' || text.ptr[i] > '~')
            return false;
    return true;
}

bool s3_keys_is_token(struct slice text)
{
    return is_printable(text, S3_KEYS_TOKEN_MAX);
}

static struct slice put_text(char **at, struct slice text)
{
    if (text.len == 0)
        return SLICE_EMPTY;
    struct slice copy = {*at, text.len};
    memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

enum result s3_keys_new(struct slice access_key, struct slice secret_key, struct slice session_token,
                        uint64_t expires_ms, struct strbuf *why, struct s3_keys **ret_keys)
{
    const char *wrong = !is_printable(access_key, NAME_MAX_BYTES)                   ? "access key"
                        : !is_printable(secret_key, SECRET_MAX_BYTES)               ? "secret key"
                        : session_token.len > 0 && !s3_keys_is_token(session_token) ? "session token"
                                                                                    : NULL;
    if (wrong != NULL) {
        strbuf_append_format(why, "the %s is missing, too long or has characters that none has", wrong);
        return INVALID;
    }
    size_t bytes = access_key.len + secret_key.len + session_token.len;
    struct s3_keys *keys = xcalloc(1, sizeof(*keys) + bytes);
    char *at = keys->text;
    keys->text_bytes = bytes;
    keys->expires_ms = expires_ms;
    atomic_init(&keys->holders, 1);
    keys->credentials.access_key = put_text(&at, access_key);
    keys->credentials.secret_key = put_text(&at, secret_key);
    keys->credentials.session_token = put_text(&at, session_token);
    *ret_keys = keys;
    return OK;
}

void s3_keys_release(struct s3_keys *keys)
{
    if (keys == NULL || atomic_fetch_sub(&keys->holders, 1) > 1)
        return;
    explicit_bzero(keys->text, keys->text_bytes);
    free(keys);
}

/* "2026-11-24T16:00:00Z", perhaps with a fraction of the second; 0 if it is none. */
static uint64_t parse_time(struct slice text)
{
    char copy[40];
    struct tm tm = {0};
    if (text.len == 0 || text.len >= sizeof(copy))
        return 0;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest != NULL && *rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (rest == NULL || strcmp(rest, "Z") != 0)
        return 0;
    time_t seconds = timegm(&tm);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static enum result keys_of_answer(struct slice access_key, struct slice secret_key, struct slice session_token,
                                  struct slice expiration, struct strbuf *why, struct s3_keys **ret_keys)
{
    uint64_t expires_ms = parse_time(expiration);
    if (expires_ms == 0) {
        strbuf_append_cstr(why, "the answer does not say when its keys end (Expiration)");
        return INVALID;
    }
    return s3_keys_new(access_key, secret_key, session_token, expires_ms, why, ret_keys);
}

/* ---- JSON ---- */

static struct slice member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value)) : SLICE_EMPTY;
}

static enum result keys_of_object(const json_t *object, struct strbuf *why, struct s3_keys **ret_keys)
{
    struct slice code = member(object, "Code");
    if (code.len > 0 && !slice_equal(code, SLICE("Success"))) {
        strbuf_append_cstr(why, "the service has no keys for us: ");
        strbuf_append_json(why, slice_of(code.ptr, code.len < 64 ? code.len : 64));
        return UNAVAILABLE;
    }
    return keys_of_answer(member(object, "AccessKeyId"), member(object, "SecretAccessKey"), member(object, "Token"),
                          member(object, "Expiration"), why, ret_keys);
}

enum result s3_keys_parse_json(struct slice text, struct strbuf *why, struct s3_keys **ret_keys)
{
    json_t *root = json_loadb(text.ptr == NULL ? "" : text.ptr, text.len, 0, NULL);
    enum result r = INVALID;
    if (json_is_object(root))
        r = keys_of_object(root, why, ret_keys);
    else
        strbuf_append_cstr(why, "the answer is not a JSON object");
    json_decref(root);
    return r;
}

/* ---- XML ---- */

enum xml_field { XML_ACCESS_KEY, XML_SECRET_KEY, XML_TOKEN, XML_EXPIRATION, XML_FIELD_COUNT };

/* Response/Result/Credentials/name. */
struct xml_parse {
    XML_Parser parser;
    unsigned depth;
    bool is_in_credentials;
    struct strbuf text;
    struct strbuf fields[XML_FIELD_COUNT];
};

static void on_begin(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_parse *p = data;
    (void)attributes;
    if (++p->depth > DEPTH_MAX)
        XML_StopParser(p->parser, XML_FALSE);
    if (p->depth == 3)
        p->is_in_credentials = strcmp(name, "Credentials") == 0;
    strbuf_clear(&p->text);
}

static void on_end(void *data, const XML_Char *name)
{
    static const char *const names[XML_FIELD_COUNT] = {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"};
    struct xml_parse *p = data;
    for (size_t i = 0; p->depth == 4 && p->is_in_credentials && i < XML_FIELD_COUNT; i++)
        if (strcmp(name, names[i]) == 0 && p->fields[i].len == 0)
            strbuf_append(&p->fields[i], strbuf_slice(&p->text));
    p->depth--;
    strbuf_clear(&p->text);
}

static void on_text(void *data, const XML_Char *text, int len)
{
    struct xml_parse *p = data;
    strbuf_append(&p->text, slice_of(text, (size_t)len));
    if (p->text.overflowed)
        XML_StopParser(p->parser, XML_FALSE);
}

enum result s3_keys_parse_xml(struct slice text, struct strbuf *why, struct s3_keys **ret_keys)
{
    struct xml_parse p = {.parser = XML_ParserCreate("UTF-8")};
    strbuf_init(&p.text, S3_KEYS_ANSWER_MAX);
    for (size_t i = 0; i < XML_FIELD_COUNT; i++)
        strbuf_init(&p.fields[i], S3_KEYS_ANSWER_MAX);
    XML_SetUserData(p.parser, &p);
    XML_SetElementHandler(p.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(p.parser, on_text);
    enum result r = INVALID;
    if (XML_Parse(p.parser, text.ptr == NULL ? "" : text.ptr, (int)text.len, 1) == XML_STATUS_OK)
        r = keys_of_answer(strbuf_slice(&p.fields[XML_ACCESS_KEY]), strbuf_slice(&p.fields[XML_SECRET_KEY]),
                           strbuf_slice(&p.fields[XML_TOKEN]), strbuf_slice(&p.fields[XML_EXPIRATION]), why, ret_keys);
    else
        strbuf_append_cstr(why, "the answer is not an XML document of STS");
    for (size_t i = 0; i < XML_FIELD_COUNT; i++)
        strbuf_done(&p.fields[i]);
    strbuf_done(&p.text);
    XML_ParserFree(p.parser);
    return r;
}

/* ---- where a container's token may go ---- */

bool s3_keys_is_container_url(struct slice url)
{
    static const char *const near[] = {"localhost",     "127.0.0.1",      "[::1]",
                                       "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    if (slice_has_prefix(url, SLICE("https://")))
        return url.len > 8;
    if (!slice_has_prefix(url, SLICE("http://")))
        return false;
    struct slice rest = slice_from(url, 7);
    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        struct slice host = slice_from_cstr(near[i]);
        if (slice_has_prefix(rest, host) &&
            (rest.len == host.len || rest.ptr[host.len] == ':' || rest.ptr[host.len] == '/'))
            return memchr(rest.ptr, '@', rest.len) == NULL;
    }
    return false;
}
