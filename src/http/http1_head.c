/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a request: libh2o's parser finds the parts, the checks here refuse what it is too lax about, and the
 * result is copied into the arena of a new request, so that nothing points into a connection's buffers.
 */
#include "http1.h"

#include <string.h>
#include <sys/types.h>

#define METHOD_BYTES_MAX 32
#define PEEK_BYTES_MAX 1024
#define TLS_HANDSHAKE 0x16

/* Of picohttpparser, which libh2o exports without a header. */
struct phr_header {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};
int phr_parse_request(const char *buf, size_t len, const char **method, size_t *method_len, const char **path,
                      size_t *path_len, int *minor_version, struct phr_header *headers, size_t *num_headers,
                      size_t last_len);

static const struct http_error malformed = {
    400, "UNSUPPORTED",
    "the request is not well-formed HTTP/1.1: lines must end in CRLF, headers must be \"name: value\"", NULL};
static const struct http_error is_tls = {400, "UNSUPPORTED", "this port speaks plain HTTP, not TLS", NULL};
static const struct http_error folded = {400, "UNSUPPORTED", "a header may not continue on the next line", NULL};
static const struct http_error head_too_large = {
    431, "UNSUPPORTED", "the request's headers are too large or too many: send fewer or shorter ones", NULL};
static const struct http_error uri_too_long = {414, "UNSUPPORTED", "the request target is too long: shorten the URL",
                                               NULL};
static const struct http_error unknown_version = {505, "UNSUPPORTED", "speak HTTP/1.1 or HTTP/1.0", NULL};

struct parts {
    struct slice method;
    struct slice target;
    int minor_version;
    struct phr_header headers[HTTP_HEADERS_MAX + 1];
    size_t header_count;
};

/* Of a head that was not understood. */
static const struct http_error *explain(struct slice buf)
{
    struct slice line = buf;
    struct slice rest;
    if (buf.ptr[0] == TLS_HANDSHAKE) /* clients that try it first are many: not to be taken for an attack */
        return &is_tls;
    if (!slice_split(buf, '\n', &line, &rest))
        return &malformed;
    size_t lines = 0;
    for (const char *at = rest.ptr; (at = memchr(at, '\n', (size_t)(buf.ptr + buf.len - at))) != NULL; at++)
        lines++;
    if (lines > HTTP_HEADERS_MAX)
        return &head_too_large;
    if (slice_has_suffix(line, SLICE("\r")) && line.len > 10) {
        struct slice version = slice_of(line.ptr + line.len - 9, 8);
        if (slice_has_prefix(version, SLICE("HTTP/")) && version.ptr[5] != '1')
            return &unknown_version;
    }
    return &malformed;
}

static const struct http_error *explain_size(struct slice buf)
{
    return memchr(buf.ptr, '\n', buf.len) == NULL ? &uri_too_long : &head_too_large;
}

/* The parser takes lines that end in a bare LF. */
static bool has_bare_lf(struct slice head)
{
    const char *end = head.ptr + head.len;
    for (const char *at = head.ptr; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        if (at == head.ptr || at[-1] != '\r')
            return true;
    return false;
}

static bool is_token_char(char ch)
{
    return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
           (ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}

static bool is_method(struct slice method)
{
    if (method.len == 0 || method.len > METHOD_BYTES_MAX)
        return false;
    for (size_t i = 0; i < method.len; i++)
        if (!is_token_char(method.ptr[i]))
            return false;
    return true;
}

static struct slice until(struct slice text, char end)
{
    struct slice head;
    struct slice rest;
    return slice_split(text, end, &head, &rest) ? head : text;
}

void http_int_http1_peek_target(struct slice buf, struct slice *ret_method, struct slice *ret_path)
{
    *ret_method = SLICE_EMPTY;
    *ret_path = SLICE_EMPTY;
    struct slice line = until(until(buf, '\n'), '\r');
    struct slice method = until(line, ' ');
    if (!is_method(method) || method.len == line.len)
        return;
    *ret_method = method;
    struct slice path = until(until(slice_from(line, method.len + 1), ' '), '?');
    if (slice_has_prefix(path, SLICE("/"))) /* an absolute URL may hold a password */
        *ret_path = slice_of(path.ptr, path.len < PEEK_BYTES_MAX ? path.len : PEEK_BYTES_MAX);
}

/* Only lower-cases: the parser has made sure that it is a token. */
static struct slice lower_case(char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + ('a' - 'A'));
    return slice_of(name, len);
}

/* Copies headers into the request and collects what they say. `shift` leads from the parsed buffer to the copy. */
static const struct http_error *take_headers(struct http_request *req, const struct parts *parts, ptrdiff_t shift,
                                             struct http1_facts *facts)
{
    req->field_count = parts->header_count;
    req->fields = ARENA_ARRAY(&req->arena, struct http_field, parts->header_count);
    for (size_t i = 0; i < parts->header_count; i++) {
        const struct phr_header *h = &parts->headers[i];
        if (h->name == NULL)
            return &folded;
        struct http_field *field = &req->fields[i];
        /* The copy is ours to write to. */
        field->name = lower_case((char *)(uintptr_t)(h->name + shift), h->name_len);
        field->value = slice_trim(slice_of(h->value + shift, h->value_len));
        const struct http_error *error = http_int_http1_note_header(facts, field->name, field->value);
        if (error != NULL)
            return error;
    }
    return NULL;
}

static const struct http_error *fill_request(struct http_request *req, const struct parts *parts, ptrdiff_t shift,
                                             struct http1_head *head)
{
    struct http1_facts facts = {0};
    bool is_http10 = parts->minor_version == 0;
    req->method = slice_of(parts->method.ptr + shift, parts->method.len);
    if (!is_method(req->method))
        return &malformed;
    const struct http_error *error = take_headers(req, parts, shift, &facts);
    if (error == NULL)
        error = http_int_http1_check_facts(&facts, is_http10);
    req->host = facts.host;
    if (error == NULL)
        error = http_int_split_target(req->method, slice_of(parts->target.ptr + shift, parts->target.len), &req->path,
                                      &req->query, &req->host);
    req->protocol = is_http10 ? SLICE("HTTP/1.0") : SLICE("HTTP/1.1");
    head->framing = facts.coding_count > 0 ? FRAMING_CHUNKED : facts.length > 0 ? FRAMING_LENGTH : FRAMING_NONE;
    req->has_body = head->framing != FRAMING_NONE;
    req->content_length = head->framing == FRAMING_CHUNKED ? UINT64_MAX : facts.length;
    head->is_http10 = is_http10;
    head->keep_alive = is_http10 ? facts.keep_alive && !facts.close : !facts.close;
    head->expects_continue = facts.expects_continue && !is_http10 && req->has_body;
    return error;
}

enum result http_int_http1_parse_head(struct http_server *server, struct slice buf, size_t seen,
                                      struct http1_head *ret_head, const struct http_error **ret_error)
{
    struct parts parts;
    parts.header_count = HTTP_HEADERS_MAX + 1;
    int n = phr_parse_request(buf.ptr, buf.len, &parts.method.ptr, &parts.method.len, &parts.target.ptr,
                              &parts.target.len, &parts.minor_version, parts.headers, &parts.header_count, seen);
    size_t bytes_max = server->settings.head_bytes_max;
    if (n == -2 && buf.len < bytes_max)
        return PENDING;
    if (n == -2 || (n > 0 && (size_t)n > bytes_max)) {
        *ret_error = explain_size(slice_of(buf.ptr, buf.len < bytes_max ? buf.len : bytes_max));
        return INVALID;
    }
    if (n <= 0 || parts.header_count > HTTP_HEADERS_MAX || has_bare_lf(slice_of(buf.ptr, (size_t)n))) {
        *ret_error = n > 0 && parts.header_count > HTTP_HEADERS_MAX ? &head_too_large : explain(buf);
        return INVALID;
    }
    struct http_request *req = http_int_request_new(server, &http_int_http1_carrier);
    struct slice copy = arena_copy(&req->arena, slice_of(buf.ptr, (size_t)n));
    const struct http_error *error = fill_request(req, &parts, copy.ptr - buf.ptr, ret_head);
    if (error != NULL) {
        http_int_request_free(req);
        *ret_error = error;
        return INVALID;
    }
    ret_head->req = req;
    ret_head->bytes = (size_t)n;
    return OK;
}
