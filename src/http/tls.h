/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS for one client's socket, behind the calls of transport.h; the context that all sockets share is in tls.c.
 */
#ifndef MINATO_HTTP_TLS_H
#define MINATO_HTTP_TLS_H

#include <openssl/ssl.h>

#include "http_int.h"
#include "transport.h"

/* A server's end, before its handshake. */
SSL *http_int_tls_session_new(struct http_tls *tls);

/* As their namesakes of transport.h. Reading takes the handshake as far as it goes. */
enum result http_int_tls_read(struct transport *t, void *buf, size_t n, size_t *ret_n) NODISCARD;
enum result http_int_tls_send(struct transport *t) NODISCARD;
/* Says goodbye, once, if it can be said at once. */
void http_int_tls_close_notify(struct transport *t);
/* The subject's common name of a verified client certificate, on the heap; NULL without one. */
char *http_int_tls_client_name(const struct transport *t);

#endif
