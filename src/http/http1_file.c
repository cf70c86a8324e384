/* SPDX-License-Identifier: Apache-2.0
 *
 * A reply from a file on a plaintext connection: a pool job sends the head and then the file with sendfile(), some
 * megabytes at a time, on the client's own descriptor, which stays open until the job is back. When the socket is full
 * the loop waits for it and submits the job again. `work` runs on a pool thread, everything else on the loop.
 */
#include "http1.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include "minato/own.h"

/* A pool thread serves one client for this long, then the next. */
#define SENDFILE_BYTES_A_JOB (4u << 20)

static enum result outcome_of(int err)
{
    if (err == EAGAIN || err == EWOULDBLOCK)
        return PENDING;
    if (err == EINVAL || err == ENOSYS)
        return UNSUPPORTED;
    return err == EPIPE || err == ECONNRESET || err == ENOTCONN || err == ETIMEDOUT ? CANCELLED : IO;
}

static enum result send_head(struct http1_file_job *job)
{
    while (job->head.len > 0) {
        ssize_t n = send(job->socket_fd, job->head.ptr, job->head.len, MSG_NOSIGNAL | MSG_MORE);
        if (n >= 0)
            job->head = slice_from(job->head, (size_t)n);
        else if (errno != EINTR)
            return outcome_of(errno);
    }
    return OK;
}

static enum result send_some(struct http1_file_job *job)
{
    enum result r = send_head(job);
    while (r == OK && job->left > 0 && job->sent < SENDFILE_BYTES_A_JOB) {
        uint64_t want = SENDFILE_BYTES_A_JOB - job->sent;
        off_t offset = (off_t)job->offset;
        ssize_t n = sendfile(job->socket_fd, job->fd, &offset, (size_t)(job->left < want ? job->left : want));
        if (n == 0)
            return IO; /* the file is shorter than was said */
        if (n < 0 && errno != EINTR)
            return outcome_of(errno);
        if (n > 0) {
            job->offset += (uint64_t)n;
            job->left -= (uint64_t)n;
            job->sent += (uint64_t)n;
        }
    }
    return r;
}

static void work(struct pool_job *pool_job)
{
    struct http1_file_job *job = (struct http1_file_job *)(void *)pool_job;
    job->sent = 0;
    job->outcome = send_some(job);
}

static void on_sent(struct pool_job *pool_job);

static enum result submit(struct http1_connection *c, struct http_request *req)
{
    struct http1_file_job *job = c->file_job;
    job->job = (struct pool_job){.work = work, .done = on_sent, .loop = c->server->loop};
    enum result r = pool_submit(c->server->pool, POOL_FILES, &job->job);
    if (r != OK)
        return r;
    c->is_fd_lent = true;
    c->away = req;
    http_int_http1_hold(c);
    return PENDING;
}

/* What to do after a job: PENDING if more is under way. */
static enum result go_on(struct http1_connection *c, struct http_request *req)
{
    struct http1_file_job *job = c->file_job;
    if (c->state == HTTP1_CLOSED)
        return CANCELLED;
    if (job->outcome == PENDING)
        return http_int_transport_wait_writable(&c->io);
    if (job->outcome == OK && job->left > 0)
        return submit(c, req);
    if (job->outcome == UNSUPPORTED) {
        c->head = job->head;
        c->file_job = NULL;
        req->reply.source = http_int_file_source_new(req, job->fd, job->offset, job->left);
        return http_int_http1_send_stream(c, req);
    }
    return job->outcome;
}

static void on_sent(struct pool_job *pool_job)
{
    struct http1_file_job *job = (struct http1_file_job *)(void *)pool_job;
    struct http1_connection *c = job->connection;
    struct http_request *req = TAKE(c->away);
    c->is_fd_lent = false;
    req->reply.sent += job->sent;
    http_int_server_count(c->server, METRIC_RESPONSE_BYTES, job->sent);
    if (c->state == HTTP1_CLOSED)
        http_int_transport_close(&c->io);
    enum result r = go_on(c, req);
    if (r != PENDING)
        c->file_job = NULL;
    http_int_http1_reply_finish(c, req, r);
    http_int_http1_release(c);
}

void http_int_http1_file_on_writable(struct http1_connection *c, struct http_request *req)
{
    enum result r = submit(c, req);
    if (r != PENDING)
        c->file_job = NULL;
    http_int_http1_reply_finish(c, req, r);
}

enum result http_int_http1_send_file(struct http1_connection *c, struct http_request *req)
{
    const struct http_reply *reply = &req->reply;
    if (!c->server->may_sendfile || !http_int_transport_is_plain(&c->io)) {
        req->reply.source = http_int_file_source_new(req, reply->fd, reply->offset, reply->length);
        return http_int_http1_send_stream(c, req);
    }
    struct http1_file_job *job = ARENA_NEW(&req->arena, struct http1_file_job);
    job->connection = c;
    job->socket_fd = c->io.fd;
    job->fd = reply->fd;
    job->head = c->head;
    job->offset = reply->offset;
    job->left = reply->length;
    c->file_job = job;
    enum result r = submit(c, req);
    if (r != PENDING)
        c->file_job = NULL;
    return r;
}
