/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's socket under TLS. The handshake happens inside the first reads. OpenSSL reads ahead, so bytes that it
 * holds do not wake the loop: `may_have_more` says that a read ended because the caller had no more room. Loop thread
 * only.
 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <h2o.h>

#define RECORD_BYTES 16384u
#define NAME_BYTES_MAX 256

/* ---- reading ---- */

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct transport *t = sock->data;
    (void)err; /* the read will find out */
    t->is_retrying = false;
    t->events->readable(t->owner);
}

/* A handshake message that does not fit: goes on when the socket takes it. */
static void retry_when_writable(struct transport *t)
{
    if (t->is_writing || t->is_retrying)
        return;
    t->is_retrying = true;
    h2o_socket_notify_write(t->sock, on_writable);
}

static void tell_it_is_tls(const struct transport *t)
{
    static const char text[] = "HTTP/1.0 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n"
                               "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"this port speaks HTTPS: use an "
                               "https:// URL\"}]}\n";
    (void)send(t->fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static enum result explain_failure(struct transport *t, int error)
{
    if (error == SSL_ERROR_WANT_READ)
        return PENDING;
    if (error == SSL_ERROR_WANT_WRITE) {
        retry_when_writable(t);
        return PENDING;
    }
    bool is_handshake = !SSL_is_init_finished(t->ssl);
    if (is_handshake && ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
        tell_it_is_tls(t);
    if (is_handshake && error == SSL_ERROR_SSL)
        http_int_server_count(t->server, METRIC_TLS_HANDSHAKES_FAILED, 1);
    t->is_tls_broken = error != SSL_ERROR_ZERO_RETURN; /* after these no goodbye may be said */
    ERR_clear_error();
    return CANCELLED;
}

enum result http_int_tls_read(struct transport *t, void *buf, size_t n, size_t *ret_n)
{
    size_t total = 0;
    enum result r = OK;
    ERR_clear_error();
    while (r == OK && total < n) {
        size_t got = 0;
        int ok = SSL_read_ex(t->ssl, (char *)buf + total, n - total, &got);
        total += got;
        if (ok != 1)
            r = explain_failure(t, SSL_get_error(t->ssl, ok));
    }
    t->may_have_more = r != PENDING; /* also an end that came behind bytes */
    if (total == 0)
        return r;
    *ret_n = total;
    return OK;
}

/* ---- writing ---- */

/* The next bytes, small pieces together, so that they travel in one record. The same ones when asked again. */
static struct slice next_bytes(const struct transport *t, char *room)
{
    const struct iovec *first = &t->iov[t->iov_first];
    size_t len = 0;
    if (first->iov_len >= RECORD_BYTES || t->iov_first + 1 == t->iov_count)
        return slice_of(first->iov_base, first->iov_len);
    for (unsigned i = t->iov_first; i < t->iov_count && len < RECORD_BYTES; i++) {
        size_t n = t->iov[i].iov_len < RECORD_BYTES - len ? t->iov[i].iov_len : RECORD_BYTES - len;
        if (n > 0)
            memcpy(room + len, t->iov[i].iov_base, n);
        len += n;
    }
    return slice_of(room, len);
}

enum result http_int_tls_send(struct transport *t)
{
    char room[RECORD_BYTES];
    ERR_clear_error();
    while (t->iov_first < t->iov_count) {
        size_t n = 0;
        struct slice bytes = next_bytes(t, room);
        if (bytes.len == 0)
            return OK;
        if (SSL_write_ex(t->ssl, bytes.ptr, bytes.len, &n) == 1) {
            http_int_transport_advance(t, n);
            continue;
        }
        int error = SSL_get_error(t->ssl, 0);
        if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ)
            return PENDING;
        t->is_tls_broken = true;
        ERR_clear_error();
        return CANCELLED;
    }
    return OK;
}

void http_int_tls_close_notify(struct transport *t)
{
    if (t->is_tls_broken || t->is_writing || !SSL_is_init_finished(t->ssl) ||
        (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) != 0)
        return;
    (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

/* ---- who ---- */

static bool is_name(const unsigned char *text, int len)
{
    if (len < 1 || len > NAME_BYTES_MAX)
        return false;
    for (int i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\')
            return false;
    return true;
}

char *http_int_tls_client_name(const struct transport *t)
{
    X509 *certificate = SSL_get0_peer_certificate(t->ssl);
    if (certificate == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return NULL;
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *text = NULL;
    int len = at < 0 ? -1 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    char *name = NULL;
    if (is_name(text, len)) {
        name = xcalloc(1, (size_t)len + 1);
        memcpy(name, text, (size_t)len);
    }
    OPENSSL_free(text);
    return name;
}
