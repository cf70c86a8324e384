/* SPDX-License-Identifier: Apache-2.0
 *
 * Replies as handlers make them: checked and noted in the request here, sent by the protocol that carries it. Also the
 * file as a stream of pages, for carriers that cannot sendfile. Loop thread, except the file's reads.
 */
#include "http_int.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "minato/own.h"

const char *http_int_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Status";
}

char *http_int_put_number(char *at, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *at++ = digits[--n];
    return at;
}

void http_int_error_document(const struct http_error *error, struct strbuf *out)
{
    strbuf_append_format(out, "{\"errors\":[{\"code\":\"%s\",\"message\":", error->code);
    strbuf_append_json(out, slice_from_cstr(error->message));
    strbuf_append_cstr(out, "}]}\n");
}

static enum result send_reply(struct http_request *req, struct http_reply reply)
{
    assert(req->reply.state == REPLY_NONE && reply.status >= 200 && reply.status <= 599);
    if (req->is_gone)
        return CANCELLED;
    reply.is_bodiless =
        reply.is_bodiless || reply.status == 204 || reply.status == 304 || slice_equal(req->method, SLICE("HEAD"));
    req->reply = reply;
    enum result r = req->carrier->reply(req);
    req->reply.headers = NULL;
    return r;
}

enum result http_reply_bytes(struct http_request *req, int status, const struct http_header *headers, size_t count,
                             struct slice body, struct done done)
{
    return send_reply(req, (struct http_reply){.kind = REPLY_BYTES,
                                               .status = status,
                                               .headers = headers,
                                               .header_count = count,
                                               .length = body.len,
                                               .bytes = body,
                                               .done = done});
}

enum result http_reply_head(struct http_request *req, int status, const struct http_header *headers, size_t count,
                            uint64_t content_length, struct done done)
{
    return send_reply(req, (struct http_reply){.kind = REPLY_BYTES,
                                               .status = status,
                                               .headers = headers,
                                               .header_count = count,
                                               .length = content_length,
                                               .is_bodiless = true,
                                               .done = done});
}

enum result http_reply_file(struct http_request *req, int status, const struct http_header *headers, size_t count,
                            int fd, uint64_t offset, uint64_t length, struct done done)
{
    return send_reply(req, (struct http_reply){.kind = REPLY_FILE,
                                               .status = status,
                                               .headers = headers,
                                               .header_count = count,
                                               .length = length,
                                               .fd = fd,
                                               .offset = offset,
                                               .done = done});
}

enum result http_reply_stream(struct http_request *req, int status, const struct http_header *headers, size_t count,
                              uint64_t length, struct byte_source *source, struct done done)
{
    return send_reply(req, (struct http_reply){.kind = REPLY_STREAM,
                                               .status = status,
                                               .headers = headers,
                                               .header_count = count,
                                               .length = length,
                                               .source = source,
                                               .done = done});
}

uint64_t http_request_reply_bytes(const struct http_request *req)
{
    return req->reply.sent;
}

int http_request_reply_status(const struct http_request *req)
{
    return req->reply.status;
}

/* ---- a file as a stream of pages ---- */

struct file_source {
    struct byte_source source; /* first */
    struct http_server *server;
    int fd;
    uint64_t offset;
    uint64_t left;
    struct page *page;
    struct page **ret_page;
    struct done done;
    struct pool_job job;
    enum result outcome;
};

static struct file_source *of_job(struct pool_job *job)
{
    return (struct file_source *)(void *)((char *)job - offsetof(struct file_source, job));
}

static void read_page(struct pool_job *job)
{
    struct file_source *fs = of_job(job);
    size_t want = fs->left < PAGE_BYTES ? (size_t)fs->left : PAGE_BYTES;
    size_t len = 0;
    fs->outcome = OK;
    while (len < want && fs->outcome == OK) {
        ssize_t n = pread(fs->fd, fs->page->ptr + len, want - len, (off_t)(fs->offset + len));
        if (n > 0)
            len += (size_t)n;
        else if (n == 0 || errno != EINTR)
            fs->outcome = IO; /* broken, or shorter than was said */
    }
    fs->page->start = 0;
    fs->page->len = len;
}

static void on_page_read(struct pool_job *job)
{
    struct file_source *fs = of_job(job);
    struct page *page = TAKE(fs->page);
    if (fs->outcome == OK) {
        fs->offset += page->len;
        fs->left -= page->len;
        *fs->ret_page = page;
    } else {
        page_release(page);
    }
    done_call(fs->done, fs->outcome);
}

static enum result submit_read(struct file_source *fs)
{
    fs->job = (struct pool_job){.work = read_page, .done = on_page_read, .loop = fs->server->loop};
    enum result r = pool_submit(fs->server->pool, POOL_FILES, &fs->job);
    if (r == OK)
        return PENDING;
    page_release(TAKE(fs->page));
    return r;
}

static void on_page(void *data, enum result r)
{
    struct file_source *fs = data;
    if (r == OK)
        r = submit_read(fs);
    if (r != PENDING)
        done_call(fs->done, r);
}

static enum result read_file(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct file_source *fs = (struct file_source *)(void *)source;
    if (fs->left == 0) {
        *ret_page = NULL;
        return OK;
    }
    fs->ret_page = ret_page;
    fs->done = done;
    enum result r =
        page_acquire(fs->server->loop, &fs->page, (struct done){.fn = on_page, .data = fs, .loop = fs->server->loop});
    return r == OK ? submit_read(fs) : r;
}

struct byte_source *http_int_file_source_new(struct http_request *req, int fd, uint64_t offset, uint64_t length)
{
    struct file_source *fs = ARENA_NEW(&req->arena, struct file_source);
    fs->source.read = read_file;
    fs->server = req->server;
    fs->fd = fd;
    fs->offset = offset;
    fs->left = length;
    return &fs->source;
}
