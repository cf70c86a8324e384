/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

static enum result parse(struct slice text, size_t *ret_used, char ret_peer[64])
{
    struct http_address peer;
    struct strbuf out;
    enum result r = http_int_proxy_header_parse(text, ret_used, &peer);
    strbuf_init(&out, 63);
    if (r == OK && peer.len > 0)
        http_address_format(&peer, &out);
    memset(ret_peer, 0, 64);
    if (out.len > 0)
        memcpy(ret_peer, out.ptr, out.len);
    strbuf_done(&out);
    return r;
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"

static const struct {
    const char *name;
    struct slice text;
    const char *peer;
} good[] = {
    {"TCP4", SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1:56324"},
    {"TCP6", SLICE("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "[2001:db8::1]:1"},
    {"unknown", SLICE("PROXY UNKNOWN\r\n"), ""},
    {"unknown with a rest", SLICE("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), ""},
    {"v2 TCP4", SLICE(V2 "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), "192.0.2.1:56324"},
    {"v2 TCP4 with more", SLICE(V2 "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb\x03\x00\x00"),
     "192.0.2.1:56324"},
    {"v2 TCP6",
     SLICE(V2 "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0"
              "\0\x02\x00\x50\x01\xbb"),
     "[2001:db8::1]:80"},
    {"v2 local", SLICE(V2 "\x20\x00\x00\x00"), ""},
    {"v2 of a local socket", SLICE(V2 "\x21\x31\x00\x02\x00\x00"), ""},
};

static void headers_are_understood_and_nothing_behind_them_is_used(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char peer[64];
        size_t used = 0;
        char longer[700];
        memcpy(longer, good[i].text.ptr, good[i].text.len);
        memcpy(longer + good[i].text.len, "GET / HTTP/1.1\r\n", 16);
        assert_int_equal(parse(slice_of(longer, good[i].text.len + 16), &used, peer), OK);
        assert_int_equal(used, good[i].text.len);
        assert_string_equal(peer, good[i].peer);
    }
}

static void every_beginning_of_a_header_waits_for_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        for (size_t len = 0; len < good[i].text.len; len++) {
            char peer[64];
            size_t used = 0;
            assert_int_equal(parse(slice_of(good[i].text.ptr, len), &used, peer), PENDING);
        }
}

static void what_is_no_header_is_refused(void **state)
{
    static const struct slice wrong[] = {
        SLICE("GET / HTTP/1.1\r\n"),
        SLICE("PROXY\r\n"),
        SLICE("PROXY TCP4\r\n"),
        SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"),
        SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"),
        SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n"),
        SLICE("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"),
        SLICE("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
        SLICE("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"),
        SLICE("PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n"),
        SLICE("PROXY  TCP4 192.0.2.1 198.51.100.1 1 2\r\n"),
        SLICE("PROXY TCP4 "
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaaaaa"),
        SLICE(V2 "\x11\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
        SLICE(V2 "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01"),
        SLICE(V2 "\x21\x21\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
        SLICE(V2 "\x21\x11\xff\xff"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char peer[64];
        size_t used = 0;
        assert_int_equal(parse(wrong[i], &used, peer), INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_understood_and_nothing_behind_them_is_used),
        cmocka_unit_test(every_beginning_of_a_header_waits_for_more),
        cmocka_unit_test(what_is_no_header_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
