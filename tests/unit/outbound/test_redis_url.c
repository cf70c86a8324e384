/* SPDX-License-Identifier: Apache-2.0
 *
 * Redis' URLs: what they say, and what is refused with which sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/outbound/redis_int.h"

static struct redis_url parse(const char *text)
{
    struct redis_url url;
    struct strbuf why;
    strbuf_init(&why, 1024);
    if (redis_url_parse(slice_from_cstr(text), &why, &url) != OK)
        fail_msg("%s: %s", text, why.ptr);
    strbuf_done(&why);
    return url;
}

static void assert_text(struct slice text, const char *expected)
{
    assert_true(slice_equal(text, slice_from_cstr(expected)));
}

static void a_server_has_an_address_a_user_and_a_database(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://app:p%40ss:w%2Ford@cache.internal:6380/3");
    assert_int_equal(url.address_count, 1);
    assert_string_equal(url.addresses[0].host, "cache.internal");
    assert_int_equal(url.addresses[0].port, 6380);
    assert_text(url.user, "app");
    assert_text(url.password, "p@ss:w/ord");
    assert_text(url.database, "3");
    assert_text(url.name, "");
    redis_url_done(&url);
}

static void what_is_left_out_has_defaults(void **state)
{
    (void)state;
    struct redis_url url = parse("redis://127.0.0.1");
    assert_int_equal(url.addresses[0].port, 6379);
    assert_int_equal(url.user.len + url.password.len + url.database.len + url.path.len, 0);
    redis_url_done(&url);
    url = parse("redis://:secret@[::1]");
    assert_string_equal(url.addresses[0].host, "::1");
    assert_text(url.user, "");
    assert_text(url.password, "secret");
    redis_url_done(&url);
    url = parse("redis://secret@[2001:db8::1]:7000/");
    assert_string_equal(url.addresses[0].host, "2001:db8::1");
    assert_int_equal(url.addresses[0].port, 7000);
    assert_text(url.password, "secret");
    redis_url_done(&url);
}

static void sentinels_know_a_primary_by_its_name(void **state)
{
    (void)state;
    struct redis_url url = parse("redis+sentinel://app:pw@one:26380,two,[::1]/primary/2");
    assert_int_equal(url.address_count, 3);
    assert_int_equal(url.addresses[0].port, 26380);
    assert_string_equal(url.addresses[1].host, "two");
    assert_int_equal(url.addresses[1].port, 26379);
    assert_string_equal(url.addresses[2].host, "::1");
    assert_text(url.name, "primary");
    assert_text(url.database, "2");
    assert_text(url.password, "pw");
    redis_url_done(&url);
}

static void a_cluster_has_nodes_and_no_database(void **state)
{
    (void)state;
    struct redis_url url = parse("redis+cluster://:pw@one,two:7001");
    assert_true(url.is_cluster);
    assert_int_equal(url.address_count, 2);
    assert_int_equal(url.addresses[0].port, 6379);
    assert_int_equal(url.addresses[1].port, 7001);
    assert_text(url.password, "pw");
    redis_url_done(&url);
}

static void a_socket_has_a_path(void **state)
{
    (void)state;
    struct redis_url url = parse("unix://pw@/run/redis.sock?1");
    assert_text(url.path, "/run/redis.sock");
    assert_text(url.password, "pw");
    assert_text(url.database, "1");
    redis_url_done(&url);
}

static void what_is_no_url_is_explained(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *word;
    } wrong[] = {
        {"rediss://host", "TLS"},
        {"http://host", "expected redis://"},
        {"redis://", "host"},
        {"redis://host:0", "host"},
        {"redis://host:70000", "host"},
        {"redis://host:x", "host"},
        {"redis://[::1", "host"},
        {"redis://[::1]x", "host"},
        {"redis://host/x", "database"},
        {"redis://a,b", "Sentinel"},
        {"redis://p%4@host", "%"},
        {"redis://p%zz@host", "%"},
        {"redis+sentinel://host", "name"},
        {"redis+sentinel://host/", "name"},
        {"redis+sentinel://a,,b/name", "address"},
        {"redis+sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/name", "16"},
        {"redis+cluster://a,b/1", "database"},
        {"unix://run/redis.sock", "path"},
        {"unix:///1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
         "12345678",
         "107"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct redis_url url;
        struct strbuf why;
        strbuf_init(&why, 1024);
        assert_int_equal(redis_url_parse(slice_from_cstr(wrong[i].text), &why, &url), INVALID);
        if (strstr(why.ptr, wrong[i].word) == NULL)
            fail_msg("%s: %s", wrong[i].text, why.ptr);
        strbuf_done(&why);
    }
}

static void no_sentence_has_the_password(void **state)
{
    (void)state;
    struct redis_url url;
    struct strbuf why;
    strbuf_init(&why, 1024);
    assert_int_equal(redis_url_parse(SLICE("redis://user:hidden@host:x/y"), &why, &url), INVALID);
    assert_null(strstr(why.ptr, "hidden"));
    strbuf_done(&why);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_has_an_address_a_user_and_a_database),
        cmocka_unit_test(what_is_left_out_has_defaults),
        cmocka_unit_test(sentinels_know_a_primary_by_its_name),
        cmocka_unit_test(a_cluster_has_nodes_and_no_database),
        cmocka_unit_test(a_socket_has_a_path),
        cmocka_unit_test(what_is_no_url_is_explained),
        cmocka_unit_test(no_sentence_has_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
