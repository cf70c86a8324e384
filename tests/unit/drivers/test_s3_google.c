/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs for Google's store: those signed by a service account's key are the published ones of
 * github.com/googleapis/conformance-tests (storage/v1/v4_signatures.json, whose key is public and of no use). Those
 * signed by an HMAC key were computed with Python's hmac from the text that the vector of the same request has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "minato/arena.h"
#include "storage-drivers/s3/google_key.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))
#define HOST "storage.googleapis.com"
#define EMAIL "test-iam-credentials@dummy-project-id.iam.gserviceaccount.com"

/* As it stands in JSON. */
static const char account[] = "{\"type\":\"service_account\",\"client_email\":\"" EMAIL "\",\"private_key\":\""
                              "-----BEGIN PRIVATE KEY-----\\n"
                              "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCsPzMirIottfQ2\\n"
                              "ryjQmPWocSEeGo7f7Q4/tMQXHlXFzo93AGgU2t+clEj9L5loNhLVq+vk+qmnyDz5\\n"
                              "Q04y8jVWyMYzzGNNrGRW/yaYqnqlKZCy1O3bmnNjV7EDbC/jE1ZLBY0U3HaSHfn6\\n"
                              "S9ND8MXdgD0/ulRTWwq6vU8/w6i5tYsU7n2LLlQTl1fQ7/emO9nYcCFJezHZVa0H\\n"
                              "meWsdHwWsok0skwQYQNIzP3JF9BpR5gJT2gNge6KopDesJeLoLzaX7cUnDn+CAnn\\n"
                              "LuLDwwSsIVKyVxhBFsFXPplgpaQRwmGzwEbf/Xpt9qo26w2UMgn30jsOaKlSeAX8\\n"
                              "cS6ViF+tAgMBAAECggEACKRuJCP8leEOhQziUx8Nmls8wmYqO4WJJLyk5xUMUC22\\n"
                              "SI4CauN1e0V8aQmxnIc0CDkFT7qc9xBmsMoF+yvobbeKrFApvlyzNyM7tEa/exh8\\n"
                              "DGD/IzjbZ8VfWhDcUTwn5QE9DCoon9m1sG+MBNlokB3OVOt8LieAAREdEBG43kJu\\n"
                              "yQTOkY9BGR2AY1FnAl2VZ/jhNDyrme3tp1sW1BJrawzR7Ujo8DzlVcS2geKA9at7\\n"
                              "55ua5GbHz3hfzFgjVXDfnkWzId6aHypUyqHrSn1SqGEbyXTaleKTc6Pgv0PgkJjG\\n"
                              "hZazWWdSuf1T5Xbs0OhAK9qraoAzT6cXXvMEvvPt6QKBgQDXcZKqJAOnGEU4b9+v\\n"
                              "Odoh+nssdrIOBNMu1m8mYbUVYS1aakc1iDGIIWNM3qAwbG+yNEIi2xi80a2RMw2T\\n"
                              "9RyCNB7yqCXXVKLBiwg9FbKMai6Vpk2bWIrzahM9on7AhCax/X2AeOp+UyYhFEy6\\n"
                              "UFG4aHb8THscL7b515ukSuKb5QKBgQDMq+9PuaB0eHsrmL6q4vHNi3MLgijGg/zu\\n"
                              "AXaPygSYAwYW8KglcuLZPvWrL6OG0+CrfmaWTLsyIZO4Uhdj7MLvX6yK7IMnagvk\\n"
                              "L3xjgxSklEHJAwi5wFeJ8ai/1MIuCn8p2re3CbwISKpvf7Sgs/W4196P4vKvTiAz\\n"
                              "jcTiSYFIKQKBgCjMpkS4O0TakMlGTmsFnqyOneLmu4NyIHgfPb9cA4n/9DHKLKAT\\n"
                              "oaWxBPgatOVWs7RgtyGYsk+XubHkpC6f3X0+15mGhFwJ+CSE6tN+l2iF9zp52vqP\\n"
                              "Qwkjzm7+pdhZbmaIpcq9m1K+9lqPWJRz/3XXuqi+5xWIZ7NaxGvRjqaNAoGAdK2b\\n"
                              "utZ2y48XoI3uPFsuP+A8kJX+CtWZrlE1NtmS7tnicdd19AtfmTuUL6fz0FwfW4Su\\n"
                              "lQZfPT/5B339CaEiq/Xd1kDor+J7rvUHM2+5p+1A54gMRGCLRv92FQ4EON0RC1o9\\n"
                              "m2I4SHysdO3XmjmdXmfp4BsgAKJIJzutvtbqlakCgYB+Cb10z37NJJ+WgjDt+yT2\\n"
                              "yUNH17EAYgWXryfRgTyi2POHuJitd64Xzuy6oBVs3wVveYFM6PIKXlj8/DahYX5I\\n"
                              "R2WIzoCNLL3bEZ+nC6Jofpb4kspoAeRporj29SgesK6QBYWHWX2H645RkRGYGpDo\\n"
                              "51gjy9m/hSNqBbH2zmh04A==\\n"
                              "-----END PRIVATE KEY-----\\n"
                              "\"}";

struct vector {
    const char *method;
    const char *path;
    const char *date;
    uint32_t expires_s;
    const char *query;
};

static const struct vector vectors[] = {
    /* Simple GET */
    {"GET", "/test-bucket/test-object", "20190201T090000Z", 10,
     "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount."
     "com%2F20190201%2Fauto%2Fstorage%2Fgoog4_request"
     "&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host&X-Goog-Signature="
     "95e6a13d43a1d1962e667f17397f2b80ac9bdd1669210d5e08e0135df9dff4e56113485dbe429ca2266487b9d1796ebd"
     "ee2d7cf682a6ef3bb9fbb4c351686fba90d7b621cf1c4eb1fdf126460dd25fa0837dfdde0a9fd98662ce60844c458448"
     "fb2b352c203d9969cb74efa4bdb742287744a4f2308afa4af0e0773f55e32e92973619249214b97283b2daa141952444"
     "44e33f938138d1e5f561088ce8011f4986dda33a556412594db7c12fc40e1ff3f1bedeb7a42f5bcda0b9567f17f65855"
     "f65071fabb88ea12371877f3f77f10e1466fff6ff6973b74a933322ff0949ce357e20abe96c3dd5cfab42c9c83e740a4"
     "d32b9e11e146f0eb3404d2e975896f74"},
    /* Simple PUT */
    {"PUT", "/test-bucket/test-object", "20190201T090000Z", 10,
     "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount."
     "com%2F20190201%2Fauto%2Fstorage%2Fgoog4_request"
     "&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host&X-Goog-Signature="
     "8adff1d4285739e31aa68e73767a46bc5511fde377497dbe08481bf5ceb34e29cc9a59921748d8ec3dd4085b7e9b7772"
     "a952afedfcdaecb3ae8352275b8b7c867f204e3db85076220a3127a8a9589302fc1181eae13b9b7fe41109ec8cdc93c1"
     "e8bac2d7a0cc32a109ca02d06957211326563ab3d3e678a0ba296e298b5fc5e14593c99d444c94724cc4be97015dbff1"
     "dca377b508fa0cb7169195de98d0e4ac96c42b918d28c8d92d33e1bd125ce0fb3cd7ad2c45dae65c22628378f6584971"
     "b8bf3945b26f2611eb651e9b6a8648970c1ecf386bb71327b082e7296c4e1ee2fc0bdd8983da80af375c817fb1ad491d"
     "0bc22c0f51dba0d66e2cffbc90803e47"},
    /* Vary expiration and timestamp */
    {"GET", "/test-bucket/test-object", "20190301T090000Z", 20,
     "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount."
     "com%2F20190301%2Fauto%2Fstorage%2Fgoog4_request"
     "&X-Goog-Date=20190301T090000Z&X-Goog-Expires=20&X-Goog-SignedHeaders=host&X-Goog-Signature="
     "9669ed5b10664dc594c758296580662912cf4bcc5a4ba0b6bf055bcbf6f34eed7bdad664f534962174a924741a0c273a"
     "4f67bc1847cef20192a6beab44223bd9d4fbbd749c407b79997598c30f82ddc269ff47ec09fa3afe74e00616d438df0d"
     "96a7d8ad0adacfad1dc3286f864d924fe919fb0dce45d3d975c5afe8e13af2db9cc37ba77835f92f7669b61e94c6d562"
     "196c1274529e76cfff1564cc2cad7d5387dc8e12f7a5dfd925685fe92c30b43709eee29fa2f66067472cee5423d1a3a4"
     "182fe8cea75c9329d181dc6acad7c393cd04f8bf5bc0515127d8ebd65d80c08e19ad03316053ea60033fd1b1fd85a69c"
     "576415da3bf0a3718d9ea6d03e0d66f0"},
    /* Vary bucket and object */
    {"GET", "/test-bucket2/test-object2", "20190201T090000Z", 10,
     "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount."
     "com%2F20190201%2Fauto%2Fstorage%2Fgoog4_request"
     "&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host&X-Goog-Signature="
     "36e3d58dfd3ec1d2dd2f24b5ee372a71e811ffaa2162a2b871d26728d0354270bc116face87127532969c4a3967ed05b"
     "7309af741e19c7202f3167aa8c2ac420b61417d6451442bb91d7c822cd17be8783f01e05372769c88913561d27e6660d"
     "d8259f0081a71f831be6c50283626cbf04494ac10c394b29bb3bce74ab91548f58a37118a452693cf0483d77561fc9ca"
     "c8f1765d2c724994cca46a83517a10157ee0347a233a2aaeae6e6ab5e204ff8fc5f54f90a3efdb8301d9fff5475d58cd"
     "05b181affd657f48203f4fb133c3a3d355b8eefbd10d5a0a5fd70d06e9515460ad74e22334b2cba4b29cae4f6f285cdb"
     "92d8f3126d7a1479ca3bdb69c207d860"},
    /* Forward Slashes should not be stripped */
    {"GET", "/test-bucket//path/with/slashes/under_score/amper%26sand/file.ext", "20190201T090000Z", 10,
     "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=test-iam-credentials%40dummy-project-id.iam.gserviceaccount."
     "com%2F20190201%2Fauto%2Fstorage%2Fgoog4_request"
     "&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders=host&X-Goog-Signature="
     "2db8b70e3f85b39be7824f6d02be31af2e6a2eb63f6bb41254851f7ef51bdad8963a9d2b254f8379c1780c8e6898be00"
     "2d4100a0abd3d45f1437687fed65d15dd237c3a6f3c399c64ffd4e4cea7ef1c2f0391d35ecbeeaf3e3148d23c6f24c83"
     "9cfcd92c1496332f5bfbbf1ed1e957eb45fad57df24828c96cf243eec23fba014d277c22a572708beb355888c5a8c004"
     "7cb3015d7f62cc90285676e7e34626fd0ce9ba5e0da39fc3de0035cc3ad120c46cb73db87246ae123f7a342c235e9480"
     "bd7d7e00c13b1e1bb7be5e2bce74d59a53505172463b48aefeedb48281d90874aa4177c881d3596ed1067f02eaac13d8"
     "10a7aed234c41978b1394d0ce3662f76"},
};

static struct google_key *load(const char *text, struct strbuf *why, enum result expected)
{
    char path[] = "/tmp/minato-google-key-XXXXXX";
    struct google_key *key = NULL;
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    EXPECT(expected, google_key_load(path, why, &key));
    unlink(path);
    return key;
}

static void urls_signed_by_a_service_account_are_the_published_ones(void **state)
{
    (void)state;
    struct strbuf why;
    struct arena arena;
    arena_init(&arena);
    strbuf_init(&why, 1024);
    struct google_key *key = load(account, &why, OK);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct slice query;
        EXPECT(OK, google_key_presign(key, slice_from_cstr(v->method), SLICE(HOST), slice_from_cstr(v->path), v->date,
                                      v->expires_s, &arena, &query));
        assert_string_equal(arena_cstr(&arena, query), v->query);
    }
    google_key_free(key);
    strbuf_done(&why);
    arena_done(&arena);
}

static void urls_signed_by_an_hmac_key_are_googles_too(void **state)
{
    (void)state;
    struct arena arena;
    struct sigv4_signer signer;
    struct sigv4_credentials keys = {SLICE("GOOG1EXAMPLE"), SLICE("a secret of forty characters, or so it is"),
                                     SLICE_EMPTY};
    arena_init(&arena);
    sigv4_signer_init_google(&signer);
    struct slice query = sigv4_presign(&signer, &keys, SLICE("GET"), SLICE(HOST), SLICE("/test-bucket/test-object"),
                                       "20190201T090000Z", 10, &arena);
    assert_string_equal(arena_cstr(&arena, query),
                        "X-Goog-Algorithm=GOOG4-HMAC-SHA256&X-Goog-Credential=GOOG1EXAMPLE%2F20190201%2Fauto%2F"
                        "storage%2Fgoog4_request&X-Goog-Date=20190201T090000Z&X-Goog-Expires=10&X-Goog-SignedHeaders="
                        "host&X-Goog-Signature=70101135c9b03509072e1e17211bb0e1b935dcaf018f7fa61f0d01ed2c248b17");
    sigv4_signer_done(&signer);
    arena_done(&arena);
}

static void a_file_that_is_no_key_is_refused_without_its_content(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "[]", "{\"client_email\":\"hidden\"}",
                                        "{\"client_email\":\"hidden\",\"private_key\":\"hidden\"}",
                                        "{\"client_email\":\"\",\"private_key\":5}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct strbuf why;
        strbuf_init(&why, 1024);
        assert_null(load(texts[i], &why, INVALID));
        assert_non_null(strstr(why.ptr, "not the key of a service account"));
        assert_null(strstr(why.ptr, "hidden"));
        strbuf_done(&why);
    }
    struct strbuf why;
    struct google_key *key = NULL;
    strbuf_init(&why, 1024);
    EXPECT(NOT_FOUND, google_key_load("/nowhere/key.json", &why, &key));
    strbuf_done(&why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_signed_by_a_service_account_are_the_published_ones),
        cmocka_unit_test(urls_signed_by_an_hmac_key_are_googles_too),
        cmocka_unit_test(a_file_that_is_no_key_is_refused_without_its_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
