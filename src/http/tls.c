/* SPDX-License-Identifier: Apache-2.0
 *
 * What handshakes are made with: certificate, key, the authorities of clients, and the keys of session tickets. Ticket
 * keys come from http.secret and the time, so that a session begun on one replica goes on at another, and change every
 * twelve hours; the last ones are still taken. Any thread: a context is built once, then shared by reference.
 */
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "minato/own.h"
#include "minato/secret.h"

#define EPOCH_MS (12ull * 3600u * 1000u)
#define TICKET_NAME_BYTES 16
#define TICKET_KEY_BYTES 32
#define SECRET_BYTES 32
#define READ_BYTES (32u * 1024u)

struct ticket_keys {
    uint64_t epoch; /* 0: none */
    uint8_t name[TICKET_NAME_BYTES];
    uint8_t cipher[TICKET_KEY_BYTES];
    uint8_t mac[TICKET_KEY_BYTES];
};

struct http_tls {
    atomic_uint references;
    SSL_CTX *context;
    struct clock clock;
    struct slice secret; /* ours */
    pthread_mutex_t mutex;
    struct ticket_keys keys[2]; /* by epoch's last bit */
};

/* ---- tickets (RFC 5077, RFC 8446 section 4.6.1) ---- */

static enum result derive(const struct http_tls *tls, uint64_t epoch, const char *use, uint8_t *key, size_t bytes)
{
    OWNED(strbuf_done) struct strbuf label;
    strbuf_init(&label, 128);
    strbuf_append_format(&label, "minato tls ticket %s %llu", use, (unsigned long long)epoch);
    return secret_derive_key(tls->secret, strbuf_slice(&label), key, bytes);
}

/* The keys of `epoch`, made when they are first needed. */
static bool copy_keys(struct http_tls *tls, uint64_t epoch, struct ticket_keys *ret_keys)
{
    struct ticket_keys *keys = &tls->keys[epoch % 2];
    pthread_mutex_lock(&tls->mutex);
    if (keys->epoch != epoch) {
        bool is_made = derive(tls, epoch, "name", keys->name, sizeof(keys->name)) == OK &&
                       derive(tls, epoch, "cipher", keys->cipher, sizeof(keys->cipher)) == OK &&
                       derive(tls, epoch, "mac", keys->mac, sizeof(keys->mac)) == OK;
        keys->epoch = is_made ? epoch : 0;
    }
    *ret_keys = *keys;
    pthread_mutex_unlock(&tls->mutex);
    return ret_keys->epoch == epoch;
}

static bool start_mac(EVP_MAC_CTX *mac, struct ticket_keys *keys)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, keys->mac, sizeof(keys->mac)),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal_ticket(struct http_tls *tls, uint64_t epoch, unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_keys keys;
    bool is_ready = copy_keys(tls, epoch, &keys) && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
                    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys.cipher, iv) == 1 && start_mac(mac, &keys);
    memcpy(name, keys.name, sizeof(keys.name));
    OPENSSL_cleanse(&keys, sizeof(keys));
    return is_ready ? 1 : 0; /* 0: no ticket */
}

/* 1: taken; 2: taken, and a new one is due; 0: unknown, a full handshake follows. */
static int open_ticket(struct http_tls *tls, uint64_t epoch, const unsigned char *name, const unsigned char *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_keys keys;
    int verdict = 0;
    for (uint64_t age = 0; age <= 1 && verdict == 0; age++) {
        if (!copy_keys(tls, epoch - age, &keys) || CRYPTO_memcmp(name, keys.name, sizeof(keys.name)) != 0)
            continue;
        if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys.cipher, iv) == 1 && start_mac(mac, &keys))
            verdict = age == 0 ? 1 : 2;
        else
            break;
    }
    OPENSSL_cleanse(&keys, sizeof(keys));
    return verdict;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_new)
{
    struct http_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    uint64_t epoch = clock_wall_ms(tls->clock) / EPOCH_MS;
    return is_new != 0 ? seal_ticket(tls, epoch, name, iv, cipher, mac)
                       : open_ticket(tls, epoch, name, iv, cipher, mac);
}

/* ---- the context ---- */

static int select_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
                           unsigned int offered_len, void *data)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)data;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301, section 3.2 */
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int refuse_passphrase(char *buf, int size, int is_writing, void *data)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)data;
    return -1; /* nobody is there to type it */
}

static enum result complain(struct strbuf *ret_why, const char *key, const char *file, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    strbuf_append_format(ret_why, "%s: %s: %s%s%s", key, file, what, reason == NULL ? "" : ": ",
                         reason == NULL ? "" : reason);
    ERR_clear_error();
    return INVALID;
}

static enum result load_certificate(SSL_CTX *context, const struct http_tls_settings *settings, struct strbuf *ret_why)
{
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, settings->certificate_file) != 1)
        return complain(ret_why, "http.tls.certificate", settings->certificate_file,
                        "expected a certificate and its chain in PEM");
    if (SSL_CTX_use_PrivateKey_file(context, settings->key_file, SSL_FILETYPE_PEM) != 1)
        return complain(ret_why, "http.tls.key", settings->key_file,
                        "expected the certificate's private key in PEM, without a passphrase");
    if (SSL_CTX_check_private_key(context) != 1)
        return complain(ret_why, "http.tls.key", settings->key_file, "this is not the certificate's key");
    return OK;
}

/* Sessions begun under other authorities are not taken up: their digest is part of the session's context. */
static enum result load_client_ca(SSL_CTX *context, const struct http_tls_settings *settings, struct strbuf *ret_why)
{
    unsigned char id[EVP_MAX_MD_SIZE] = "minato";
    unsigned id_len = 6;
    const char *file = settings->client_ca_file;
    if (file == NULL)
        return SSL_CTX_set_session_id_context(context, id, id_len) == 1 ? OK : IO;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (names == NULL || SSL_CTX_load_verify_file(context, file) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return complain(ret_why, "http.tls.client_ca", file, "expected certificates of authorities in PEM");
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_digested = digest != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(context));
    for (int i = 0; is_digested && i < sk_X509_OBJECT_num(objects); i++) {
        unsigned char one[EVP_MAX_MD_SIZE];
        unsigned one_len = 0;
        X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        is_digested = certificate == NULL || (X509_digest(certificate, EVP_sha256(), one, &one_len) == 1 &&
                                              EVP_DigestUpdate(digest, one, one_len) == 1);
    }
    is_digested = is_digested && EVP_DigestFinal_ex(digest, id, &id_len) == 1;
    EVP_MD_CTX_free(digest);
    return is_digested && SSL_CTX_set_session_id_context(context, id, id_len) == 1 ? OK : IO;
}

static enum result set_up(struct http_tls *tls, const struct http_tls_settings *settings, struct strbuf *ret_why)
{
    SSL_CTX *context = tls->context;
    SSL_CTX_set_app_data(context, tls);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BYTES);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, (long)(EPOCH_MS / 1000u));
    SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                          "TLS_CHACHA20_POLY1305_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1 || SSL_CTX_set_num_tickets(context, 1) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) != 1)
        return complain(ret_why, "http.tls", "OpenSSL", "it refuses our settings");
    enum result r = load_certificate(context, settings, ret_why);
    return r == OK ? load_client_ca(context, settings, ret_why) : r;
}

static void take_secret(struct http_tls *tls, struct slice secret)
{
    size_t len = secret.len > 0 ? secret.len : SECRET_BYTES;
    char *copy = xmalloc(len);
    if (secret.len > 0)
        memcpy(copy, secret.ptr, len);
    else
        random_bytes(copy, len);
    tls->secret = slice_of(copy, len);
}

enum result http_tls_new(const struct http_tls_settings *settings, struct strbuf *ret_why, struct http_tls **ret_tls)
{
    struct http_tls *tls = xcalloc(1, sizeof(*tls));
    atomic_init(&tls->references, 1);
    pthread_mutex_init(&tls->mutex, NULL);
    tls->clock = settings->clock;
    take_secret(tls, settings->secret);
    tls->context = SSL_CTX_new(TLS_server_method());
    enum result r = tls->context == NULL ? UNAVAILABLE : set_up(tls, settings, ret_why);
    if (r == OK)
        *ret_tls = tls;
    else
        http_tls_unref(tls);
    return r;
}

struct http_tls *http_tls_ref(struct http_tls *tls)
{
    atomic_fetch_add(&tls->references, 1);
    return tls;
}

void http_tls_unref(struct http_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub(&tls->references, 1) > 1)
        return;
    SSL_CTX_free(tls->context);
    OPENSSL_cleanse((char *)(uintptr_t)tls->secret.ptr, tls->secret.len);
    OPENSSL_cleanse(tls->keys, sizeof(tls->keys));
    free((char *)(uintptr_t)tls->secret.ptr);
    pthread_mutex_destroy(&tls->mutex);
    free(tls);
}

SSL *http_int_tls_session_new(struct http_tls *tls)
{
    SSL *ssl = SSL_new(tls->context);
    if (ssl == NULL)
        abort(); /* out of memory, as everywhere */
    SSL_set_accept_state(ssl);
    return ssl;
}
