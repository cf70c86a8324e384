/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "harness.h"
#include "src/http/tls.h"

#define HALF_DAY_MS (12ull * 3600u * 1000u)

struct files {
    char folder[32];
    char certificate[64];
    char key[64];
};

static void write_files(struct files *files)
{
    (void)snprintf(files->folder, sizeof(files->folder), "/tmp/minato-tls-XXXXXX");
    assert_non_null(mkdtemp(files->folder));
    (void)snprintf(files->certificate, sizeof(files->certificate), "%s/cert.pem", files->folder);
    (void)snprintf(files->key, sizeof(files->key), "%s/key.pem", files->folder);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    (void)X509_set_pubkey(certificate, key);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"localhost", -1, -1, 0);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *out = fopen(files->certificate, "w");
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    (void)fclose(out);
    out = fopen(files->key, "w");
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void remove_files(const struct files *files)
{
    (void)unlink(files->certificate);
    (void)unlink(files->key);
    (void)rmdir(files->folder);
}

static uint64_t wall_ms(void *data)
{
    return *(uint64_t *)data;
}

static struct http_tls *make(const struct files *files, struct slice secret, uint64_t *now_ms)
{
    struct http_tls_settings settings = {.certificate_file = files->certificate,
                                         .key_file = files->key,
                                         .secret = secret,
                                         .clock = {.wall_ms = wall_ms, .monotonic_ms = wall_ms, .data = now_ms}};
    struct http_tls *tls = NULL;
    struct strbuf why;
    strbuf_init(&why, 1000);
    assert_int_equal(http_tls_new(&settings, &why, &tls), OK);
    strbuf_done(&why);
    return tls;
}

/* A handshake in memory. Whether `session` went on; *ret_session is the one to offer next (NULL: none wanted). */
static bool shake(struct http_tls *tls, SSL_SESSION *session, SSL_SESSION **ret_session)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    (void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION); /* the ticket comes with the handshake */
    SSL *client = SSL_new(context);
    SSL *server = http_int_tls_session_new(tls);
    BIO *ends[2];
    assert_int_equal(BIO_new_bio_pair(&ends[0], 0, &ends[1], 0), 1);
    SSL_set_bio(client, ends[0], ends[0]);
    SSL_set_bio(server, ends[1], ends[1]);
    SSL_set_connect_state(client);
    if (session != NULL)
        assert_int_equal(SSL_set_session(client, session), 1);
    for (int i = 0; i < 10 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server)); i++) {
        (void)SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
    bool is_reused = SSL_session_reused(client) == 1;
    if (ret_session != NULL)
        *ret_session = SSL_get1_session(client);
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else the session counts as broken off */
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(context);
    return is_reused;
}

static void a_session_goes_on_for_a_day_at_most_and_only_with_the_same_secret(void **state)
{
    struct files files;
    uint64_t now_ms = 1000 * HALF_DAY_MS;
    SSL_SESSION *session = NULL;
    (void)state;
    write_files(&files);
    struct http_tls *first = make(&files, SLICE("0123456789abcdef0123456789abcdef"), &now_ms);
    struct http_tls *replica = make(&files, SLICE("0123456789abcdef0123456789abcdef"), &now_ms);
    struct http_tls *stranger = make(&files, SLICE("fedcba9876543210fedcba9876543210"), &now_ms);
    struct http_tls *random = make(&files, SLICE_EMPTY, &now_ms);
    assert_false(shake(first, NULL, &session));
    assert_true(shake(first, session, NULL));
    assert_true(shake(replica, session, NULL));
    assert_false(shake(stranger, session, NULL));
    assert_false(shake(random, session, NULL));
    now_ms += HALF_DAY_MS; /* the keys have changed: the last ones are still taken, and a new ticket is due */
    SSL_SESSION *renewed = NULL;
    assert_true(shake(replica, session, &renewed));
    now_ms += HALF_DAY_MS;
    assert_false(shake(replica, session, NULL));
    assert_true(shake(replica, renewed, NULL));
    SSL_SESSION_free(session);
    SSL_SESSION_free(renewed);
    http_tls_unref(first);
    http_tls_unref(replica);
    http_tls_unref(stranger);
    http_tls_unref(random);
    remove_files(&files);
}

static void a_certificate_without_its_key_is_refused_with_both_names(void **state)
{
    struct files files;
    struct files others;
    struct http_tls *tls = NULL;
    struct strbuf why;
    (void)state;
    write_files(&files);
    write_files(&others);
    strbuf_init(&why, 1000);
    struct http_tls_settings settings = {
        .certificate_file = files.certificate, .key_file = others.key, .clock = clock_system()};
    assert_int_equal(http_tls_new(&settings, &why, &tls), INVALID);
    assert_non_null(strstr(why.ptr, "http.tls.key: "));
    assert_non_null(strstr(why.ptr, others.key));
    strbuf_done(&why);
    remove_files(&files);
    remove_files(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_goes_on_for_a_day_at_most_and_only_with_the_same_secret),
        cmocka_unit_test(a_certificate_without_its_key_is_refused_with_both_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
