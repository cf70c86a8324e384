/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs of content delivery networks against signatures made elsewhere: Cloud CDN's is the one of Google's samples,
 * nginx' and CloudFront's were computed with the openssl program (the command stands beside each).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_driver.h"
#include "minato/own.h"
#include "minato/storage.h"
#include "src/storage/redirect.h"

#define EXPECT(expected, actual) assert_string_equal(result_name(actual), result_name(expected))
#define MINUTE_MS 60000u

static const char rsa_key[] = "-----BEGIN RSA PRIVATE KEY-----\n"
                              "MIICXAIBAAKBgQCsFpIsuQ96aB5knvlKWwnAabPoiufdLDxm9/RrHwmrFHlCz6Jl\n"
                              "lJxmsMeWXRrzmknidkZLWEMdnDKMvIw/TypHRu0ZfR/W7RD9i6EC99zP7F34YsAf\n"
                              "jNZg0GkEbZkqEo3wMrpF8ztKsLi0NsAIDYMF9OhiO28sL66JU+qINwNimwIDAQAB\n"
                              "AoGBAKqDPtlzkQOfsSXQY4CqjhIKaoorQK1lDICWhaeyvFi406JArE/sncAev9Sc\n"
                              "cn0XzsfGm8ZCMVZgk7HhjTGZ1m/jwU0otjkbEwfALoYmHfVaStZFv40KxtoObjk8\n"
                              "43BFy8gcKntLW4R5NzF3GxmRGY8nU4At+CLnpU/APJH9sFHZAkEA01tFHqL5WNdd\n"
                              "iZRJpHBPu5Qa7xhoubvYDeL3vJaE2J1FblPrM2kH401HJQBjWvBinfr4V7OD7YYZ\n"
                              "/HFT+0i8rwJBANBv7yUgRBfLVyJS91npk2BuJkl+PPyx9TwOInDJstGCQoaLBxlA\n"
                              "tGR4MUKBKNKGRigB+X5F8PJ0unWwlZZDK9UCQAJCvqmGOr6Nhy2ajXMZ1HCANA2M\n"
                              "qEocTUJQxC+bOI6MmBqHAUQKgpAW2oT1zRpC6fsgnRlrDSU0QwDlQW21qHcCQFuV\n"
                              "k0KA1uqNkg+m3MBI/VSVkYUhTrLJjrOAkml0dnnP/mMXm1rhL2Il3Z8XGVTHYvQZ\n"
                              "SgLNwH0IBRXJLTEE+rECQBwCmcQgwOFg+H4/DFfovHN+7fCKEsvKFT/h13eaOG9o\n"
                              "BOy/uVJDSWTCfVJqaornNOzuSeE8G+BQqo0TJgjxVpY=\n"
                              "-----END RSA PRIVATE KEY-----\n";

struct fixture {
    struct config config;
    struct storage *storage;
    struct arena arena;
    struct strbuf why;
    char key_file[32];
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    *state = f;
    arena_init(&f->arena);
    strbuf_init(&f->why, 4096);
    f->config.redirect.enabled = true;
    f->config.redirect.expires_ms = 20u * MINUTE_MS;
    f->storage = storage_wrap(&memory_driver, memory_driver_new(memory_driver_like_s3(PAGE_BYTES)), NULL);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->key_file[0] != '\0')
        unlink(f->key_file);
    storage_close(f->storage);
    strbuf_done(&f->why);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static void write_key(struct fixture *f, const char *pem)
{
    strcpy(f->key_file, "/tmp/minato-cdn-XXXXXX");
    OWNED_FD int fd = mkstemp(f->key_file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, pem, strlen(pem)), strlen(pem));
    f->config.redirect.cdn.private_key_file = f->key_file;
}

static void configure(struct fixture *f, enum config_cdn type, char *url, char *key_name, char *key)
{
    f->config.redirect.cdn.type = type;
    f->config.redirect.cdn.url = url;
    f->config.redirect.cdn.key_name = key_name;
    f->config.redirect.cdn.key.value = key;
}

static void expect_url(struct fixture *f, struct slice path, uint64_t now_s, const char *expected)
{
    EXPECT(OK, storage_redirect_readers(f->storage, &f->config, &f->why));
    struct storage_url url;
    EXPECT(OK, storage_find_url(f->storage, path, now_s * 1000, &f->arena, &url));
    assert_string_equal(arena_cstr(&f->arena, url.text), expected);
}

static void a_plain_network_stands_for_the_bucket(void **state)
{
    struct fixture *f = *state;
    configure(f, CDN_PLAIN, "https://cdn.example.com/cache/", NULL, NULL);
    expect_url(f, SLICE("docker/x"), 0, "https://cdn.example.com/cache/docker/x");
    f->config.storage.s3.bucket = "registry";
    f->config.storage.s3.prefix = "team/a";
    expect_url(f, SLICE("docker/x"), 0, "https://cdn.example.com/cache/team/a/docker/x");
    f->config.storage.s3.bucket = NULL;
    f->config.storage.s3v2.bucket = "registry";
    f->config.storage.s3v2.prefix = "team/b";
    expect_url(f, SLICE("docker/x"), 0, "https://cdn.example.com/cache/team/b/docker/x");
}

/* printf %s "1767290400/cache/docker/registry/v2/blobs/sha256/ab/abcd/data enigma" | openssl md5 -binary | base64 */
static void nginx_checks_expiry_path_and_secret(void **state)
{
    struct fixture *f = *state;
    configure(f, CDN_NGINX, "http://cdn.example.com:8080/cache", NULL, "enigma");
    expect_url(f, SLICE("docker/registry/v2/blobs/sha256/ab/abcd/data"), 1767290400 - 1200,
               "http://cdn.example.com:8080/cache/docker/registry/v2/blobs/sha256/ab/abcd/data"
               "?md5=pC9Ex-2vOVekou3NOkWe2Q&expires=1767290400");
}

static void google_gets_the_signature_of_its_samples(void **state)
{
    struct fixture *f = *state;
    configure(f, CDN_GOOGLE, "http://35.186.234.33", "my-key", "nZtRohdNF9m3cKM24IcK4w==");
    f->config.redirect.expires_ms = 4000; /* windows of a second: any expiry can be hit */
    expect_url(f, SLICE("index.html"), 1558131350 - 4,
               "http://35.186.234.33/index.html?Expires=1558131350&KeyName=my-key"
               "&Signature=fm6JZSmKNsB5sys8VGr-JE4LiiE=");
}

/* printf %s '{"Statement":...}' | openssl dgst -sha1 -sign key.pem | openssl base64 -A | tr '+=/' '-_~' */
static void cloudfront_gets_a_canned_policy(void **state)
{
    struct fixture *f = *state;
    configure(f, CDN_CLOUDFRONT, "https://d111111abcdef8.cloudfront.net", "K2JCJMDEHXQW5F", NULL);
    write_key(f, rsa_key);
    expect_url(f, SLICE("docker/registry/v2/blobs/sha256/ab/abcd/data"), 1767290400 - 1200,
               "https://d111111abcdef8.cloudfront.net/docker/registry/v2/blobs/sha256/ab/abcd/data?Expires=1767290400"
               "&Signature=hmgLC-mhZlSeWQ7ga1GLoOzV1eNh230jGB73sxnYGmQbGbApZxabrZto6f03H~Fp6gzF8ZzLA67Ahs9yLd10Vpmge"
               "UZlSe6lYdBFuCskgNbXZn-iFvLbTW8x97PUYRmOeUdayvZy~3YsRs8S~nOcMQBssO7XJJjlb5n8kwbDYoo_"
               "&Key-Pair-Id=K2JCJMDEHXQW5F");
}

static void keys_and_addresses_that_are_none_are_refused(void **state)
{
    struct fixture *f = *state;
    configure(f, CDN_GOOGLE, "https://cdn.example.com", "k", "short");
    EXPECT(INVALID, storage_redirect_readers(f->storage, &f->config, &f->why));
    assert_non_null(strstr(f->why.ptr, "redirect.cdn.key"));
    configure(f, CDN_GOOGLE, "https://cdn.example.com", "a&b", "nZtRohdNF9m3cKM24IcK4w==");
    EXPECT(INVALID, storage_redirect_readers(f->storage, &f->config, &f->why));
    configure(f, CDN_PLAIN, "https://cdn.example.com/a?b", NULL, NULL);
    EXPECT(INVALID, storage_redirect_readers(f->storage, &f->config, &f->why));
    configure(f, CDN_PLAIN, "cdn.example.com", NULL, NULL);
    EXPECT(INVALID, storage_redirect_readers(f->storage, &f->config, &f->why));
    configure(f, CDN_CLOUDFRONT, "https://cdn.example.com", "k", NULL);
    write_key(f, "no key");
    EXPECT(INVALID, storage_redirect_readers(f->storage, &f->config, &f->why));
    assert_non_null(strstr(f->why.ptr, "redirect.cdn.private_key"));
}

static void a_url_is_the_same_for_a_quarter_and_serves_for_three_quarters(void **state)
{
    struct fixture *f = *state;
    EXPECT(OK, storage_redirect_readers(f->storage, &f->config, &f->why));
    const uint64_t begin_ms = (uint64_t)300 * 5000 * 1000; /* of a window of 300 s */
    struct storage_url first;
    EXPECT(OK, storage_find_url(f->storage, SLICE("a"), begin_ms, &f->arena, &first));
    assert_int_equal(first.same_for_s, 300);
    assert_string_equal(arena_cstr(&f->arena, first.text),
                        "https://memory.example/a?method=GET&from=1500000&seconds=1200");
    struct storage_url last;
    EXPECT(OK, storage_find_url(f->storage, SLICE("a"), begin_ms + 299999, &f->arena, &last));
    assert_int_equal(last.same_for_s, 1);
    assert_true(slice_equal(first.text, last.text));
    EXPECT(OK, storage_find_url(f->storage, SLICE("a"), begin_ms + 300000, &f->arena, &last));
    assert_false(slice_equal(first.text, last.text));
}

/* Else replicas whose clocks differ would give out URLs of different windows, which the store may not serve yet. */
static void urls_are_dated_by_the_stores_clock(void **state)
{
    struct fixture *f = *state;
    uint64_t store_ms = (uint64_t)300 * 5000 * 1000 + 1000;
    void *memory = memory_driver_new(memory_driver_like_s3(PAGE_BYTES));
    struct storage *storage = storage_wrap(&memory_driver, memory, NULL);
    memory_driver_set_clock(memory, &store_ms);
    EXPECT(OK, storage_redirect_readers(storage, &f->config, &f->why));
    for (uint64_t machine_ms = store_ms - 600000; machine_ms <= store_ms + 600000; machine_ms += 600000) {
        struct storage_url url;
        EXPECT(OK, storage_find_url(storage, SLICE("a"), machine_ms, &f->arena, &url));
        assert_int_equal(url.same_for_s, 299);
        assert_string_equal(arena_cstr(&f->arena, url.text),
                            "https://memory.example/a?method=GET&from=1500000&seconds=1200");
    }
    storage_close(storage);
}

static void a_url_that_ends_early_is_given_out_for_a_quarter_of_what_is_left(void **state)
{
    (void)state;
    assert_int_equal(redirect_same_for_s(2000, 1000u * 1000, 300), 250);
    assert_int_equal(redirect_same_for_s(5000, 1000u * 1000, 300), 300);
    assert_int_equal(redirect_same_for_s(1001, 1000u * 1000, 300), 1);
    assert_int_equal(redirect_same_for_s(999, 1000u * 1000, 300), 1);
}

static void there_are_no_urls_where_they_are_switched_off_or_nobody_makes_them(void **state)
{
    struct fixture *f = *state;
    struct storage_url url;
    assert_false(storage_has_urls(f->storage));
    EXPECT(OK, storage_redirect_readers(f->storage, &f->config, &f->why));
    assert_true(storage_has_urls(f->storage));
    EXPECT(INVALID, storage_find_url(f->storage, SLICE("../a"), 0, &f->arena, &url));
    f->config.redirect.enabled = false;
    EXPECT(OK, storage_redirect_readers(f->storage, &f->config, &f->why));
    assert_false(storage_has_urls(f->storage));
    EXPECT(UNSUPPORTED, storage_find_url(f->storage, SLICE("a"), 0, &f->arena, &url));

    f->config.redirect.enabled = true;
    struct storage *folder = storage_wrap(&memory_driver, memory_driver_new(memory_driver_like_filesystem()), NULL);
    EXPECT(OK, storage_redirect_readers(folder, &f->config, &f->why));
    assert_false(storage_has_urls(folder));
    configure(f, CDN_PLAIN, "http://cdn.example.com", NULL, NULL);
    EXPECT(OK, storage_redirect_readers(folder, &f->config, &f->why));
    assert_true(storage_has_urls(folder));
    storage_close(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(urls_are_dated_by_the_stores_clock, setup, teardown),
        cmocka_unit_test(a_url_that_ends_early_is_given_out_for_a_quarter_of_what_is_left),
        cmocka_unit_test_setup_teardown(a_plain_network_stands_for_the_bucket, setup, teardown),
        cmocka_unit_test_setup_teardown(nginx_checks_expiry_path_and_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(google_gets_the_signature_of_its_samples, setup, teardown),
        cmocka_unit_test_setup_teardown(cloudfront_gets_a_canned_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_and_addresses_that_are_none_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_url_is_the_same_for_a_quarter_and_serves_for_three_quarters, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_no_urls_where_they_are_switched_off_or_nobody_makes_them, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
