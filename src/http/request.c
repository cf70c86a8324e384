/* SPDX-License-Identifier: Apache-2.0
 *
 * A request as handlers see it, whatever protocol carries it. It lives in its own arena, apart from its connection, and
 * ends at http_request_done. Loop thread only.
 */
#include "http_int.h"

#include <assert.h>
#include <string.h>

static struct http_request *of_body(struct byte_source *source)
{
    return (struct http_request *)(void *)((char *)source - offsetof(struct http_request, body));
}

static enum result read_body(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct http_request *req = of_body(source);
    return req->carrier->body_read(req, ret_page, done);
}

struct http_request *http_int_request_new(struct http_server *server, const struct http_carrier *carrier)
{
    struct arena arena;
    arena_init(&arena);
    struct http_request *req = ARENA_NEW(&arena, struct http_request);
    req->arena = arena;
    req->server = server;
    req->carrier = carrier;
    req->body.read = read_body;
    server->request_count++;
    http_int_server_gauge(server, METRIC_REQUESTS_RUNNING, 1);
    return req;
}

void http_int_request_free(struct http_request *req)
{
    struct http_server *server = req->server;
    struct arena arena = req->arena; /* it holds the request */
    arena_done(&arena);
    server->request_count--;
    http_int_server_gauge(server, METRIC_REQUESTS_RUNNING, -1);
    http_int_server_ended(server);
}

static void end_request(struct http_request *req)
{
    const struct http_carrier *carrier = req->carrier;
    void *stream = req->stream;
    if (stream != NULL)
        carrier->detach(req);
    http_int_request_free(req);
    if (stream != NULL)
        carrier->resume(stream);
}

static void on_apology_sent(void *data, enum result r)
{
    (void)r;
    end_request(data);
}

void http_request_done(struct http_request *req)
{
    static const struct http_header headers[] = {{{"content-type", 12}, {"application/json", 16}}};
    assert(req->reply.state != REPLY_BEGUN);
    enum result r = OK;
    if (req->reply.state == REPLY_NONE && !req->is_gone)
        r = http_reply_bytes(
            req, 500, headers, 1,
            SLICE("{\"errors\":[{\"code\":\"UNKNOWN\",\"message\":\"the server gave no answer: look at its log\"}]}\n"),
            (struct done){.fn = on_apology_sent, .data = req, .loop = req->server->loop});
    if (r != PENDING)
        end_request(req);
}

/* ---- what was asked ---- */

struct slice http_request_method(const struct http_request *req)
{
    return req->method;
}

struct slice http_request_path(const struct http_request *req)
{
    return req->path;
}

struct slice http_request_query(const struct http_request *req)
{
    return req->query;
}

struct slice http_request_header(const struct http_request *req, struct slice name)
{
    for (size_t i = 0; i < req->field_count; i++)
        if (slice_equal(req->fields[i].name, name))
            return req->fields[i].value;
    return SLICE_EMPTY;
}

struct slice http_request_host(const struct http_request *req)
{
    return req->host;
}

struct slice http_request_peer(const struct http_request *req)
{
    return req->peer;
}

bool http_request_is_secure(const struct http_request *req)
{
    return req->is_secure;
}

struct slice http_request_protocol(const struct http_request *req)
{
    return req->protocol;
}

struct slice http_request_client_name(const struct http_request *req)
{
    return req->client_name;
}

uint64_t http_request_begun_ms(const struct http_request *req)
{
    return req->begun_ms;
}

struct arena *http_request_arena(struct http_request *req)
{
    return &req->arena;
}

/* ---- query parameters ---- */

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    return ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : -1;
}

static bool decode_percent(struct arena *arena, struct slice raw, struct slice *ret)
{
    if (raw.len == 0 || memchr(raw.ptr, '%', raw.len) == NULL) {
        *ret = slice_of(raw.len == 0 ? "" : raw.ptr, raw.len);
        return true;
    }
    char *out = arena_alloc(arena, raw.len);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] != '%') {
            out[n++] = raw.ptr[i];
            continue;
        }
        if (raw.len - i < 3 || hex_digit(raw.ptr[i + 1]) < 0 || hex_digit(raw.ptr[i + 2]) < 0)
            return false;
        out[n++] = (char)(hex_digit(raw.ptr[i + 1]) * 16 + hex_digit(raw.ptr[i + 2]));
        i += 2;
    }
    *ret = slice_of(out, n);
    return true;
}

bool http_request_query_value(struct http_request *req, struct slice name, unsigned index, struct slice *ret_value)
{
    struct slice rest = req->query;
    while (rest.len > 0) {
        struct slice pair = rest;
        struct slice tail = SLICE_EMPTY;
        (void)slice_split(rest, '&', &pair, &tail);
        rest = tail;
        struct slice key = pair;
        struct slice value = SLICE_EMPTY;
        (void)slice_split(pair, '=', &key, &value);
        if (!slice_equal(key, name) || index-- > 0)
            continue;
        return decode_percent(&req->arena, value, ret_value);
    }
    return false;
}

/* ---- body and client ---- */

bool http_request_has_body(const struct http_request *req)
{
    return req->has_body;
}

uint64_t http_request_content_length(const struct http_request *req)
{
    return req->content_length;
}

struct byte_source *http_request_body(struct http_request *req)
{
    return &req->body;
}

enum result http_request_body_failure(const struct http_request *req)
{
    return req->body_failure;
}

uint64_t http_request_body_bytes(const struct http_request *req)
{
    return req->body_bytes;
}

void http_request_on_gone(struct http_request *req, void (*gone)(void *data), void *data)
{
    req->gone = gone;
    req->gone_data = data;
}

bool http_request_is_gone(const struct http_request *req)
{
    return req->is_gone;
}
