/* SPDX-License-Identifier: Apache-2.0
 *
 * The password file and the Authorization header: what is read, and what is refused with which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "minato/own.h"
#include "src/access/access_int.h"

/* Has the form of a hash; nobody logs in with it here. */
#define HASH "$2y$04$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW"

static enum result parse(const char *text, struct strbuf *why, struct htpasswd **ret_htpasswd)
{
    strbuf_init(why, 1024);
    *ret_htpasswd = NULL;
    return htpasswd_parse(slice_from_cstr(text), "users", why, ret_htpasswd);
}

static void assert_refused(const char *text, const char *message)
{
    OWNED(strbuf_done) struct strbuf why;
    struct htpasswd *h;
    assert_int_equal(parse(text, &why, &h), INVALID);
    assert_null(h);
    assert_string_equal(why.ptr, message);
}

static void users_comments_and_blank_lines_are_read(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf why;
    struct htpasswd *h;
    assert_int_equal(parse("# users\n\n  \nbob:" HASH "\r\nalice b:" HASH "\n\xc3\xa9:" HASH, &why, &h), OK);
    assert_int_equal(htpasswd_count(h), 3);
    bool is_known = false;
    assert_string_equal(htpasswd_find(h, SLICE("bob"), &is_known), HASH);
    assert_true(is_known);
    assert_string_equal(htpasswd_find(h, SLICE("alice b"), &is_known), HASH);
    assert_true(is_known);
    assert_string_equal(htpasswd_find(h, SLICE("\xc3\xa9"), &is_known), HASH);
    assert_true(is_known);
    (void)htpasswd_find(h, SLICE("bo"), &is_known);
    assert_false(is_known);
    (void)htpasswd_find(h, SLICE_EMPTY, &is_known);
    assert_false(is_known);
    htpasswd_free(h);
}

static void an_empty_file_has_no_users(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf why;
    struct htpasswd *h;
    assert_int_equal(parse("", &why, &h), OK);
    assert_int_equal(htpasswd_count(h), 0);
    bool is_known = true;
    assert_int_equal(strlen(htpasswd_find(h, SLICE("bob"), &is_known)), BCRYPT_TEXT_BYTES);
    assert_false(is_known);
    htpasswd_free(h);
    htpasswd_free(NULL);
    assert_int_equal(htpasswd_count(NULL), 0);
}

static void what_is_not_user_and_bcrypt_is_refused_with_its_line(void **state)
{
    (void)state;
    assert_refused("# x\nbob\n", "users:2: found no ':', expected user:hash");
    const char *hash =
        "users:1: found a hash that is not bcrypt ($2y$, $2a$ or $2b$), expected what `htpasswd -B` writes";
    assert_refused("bob:plain\n", hash);
    assert_refused("bob:$apr1$abcdefgh$0123456789012345678901\n", hash);
    assert_refused("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n", hash);
    assert_refused("bob:" HASH "x\n", hash);
    assert_refused("bob:$2x$04$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW\n", hash);
    assert_refused("bob:$2y$04$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0a:\n", hash);
    assert_refused("bob:$2y$a4$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW\n", hash);
    assert_refused("bob:" HASH ":extra\n", hash);
    assert_refused("bob:" HASH "\nann:" HASH "\n\nbob:" HASH "\n", "users:4: found a user that is on line 1 already");
    const char *cost = "users:1: found a bcrypt cost outside 4 to 14: a check would take too little or too long";
    assert_refused("bob:$2y$03$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW\n", cost);
    assert_refused("bob:$2y$31$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW\n", cost);
    const char *name = "users:1: found a user name that is empty, over 255 bytes or has control characters";
    assert_refused(":" HASH "\n", name);
    assert_refused("b\x01:" HASH "\n", name);
}

static void a_file_is_bounded(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 4 << 20);
    for (unsigned i = 0; i <= HTPASSWD_USERS_MAX; i++)
        strbuf_append_format(&text, "user%u:" HASH "\n", i);
    OWNED(strbuf_done) struct strbuf why;
    struct htpasswd *h;
    assert_int_equal(parse(text.ptr, &why, &h), TOO_LARGE);
    assert_string_equal(why.ptr, "users:10001: found more than 10000 users");
    strbuf_clear(&text);
    while (text.len <= HTPASSWD_BYTES_MAX)
        strbuf_append(&text, SLICE("# nobody is told by this line, which is as long as this\n"));
    OWNED(strbuf_done) struct strbuf why_large;
    assert_int_equal(parse(text.ptr, &why_large, &h), TOO_LARGE);
    assert_string_equal(why_large.ptr, "users: found a file over 1MiB, expected a password file");
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1024);
    struct file_mark mark;
    struct htpasswd *h = NULL;
    assert_int_equal(htpasswd_load("/nonexistent/users", &why, &mark, &h), NOT_FOUND);
    assert_string_equal(why.ptr, "/nonexistent/users: cannot be read: No such file or directory");
    strbuf_clear(&why);
    assert_int_equal(htpasswd_load("/tmp", &why, &mark, &h), INVALID);
    strbuf_clear(&why);
    char folder[] = "/tmp/minato-fifo-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/users", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(htpasswd_load(path, &why, &mark, &h), INVALID); /* and does not hang */
    unlink(path);
    rmdir(folder);
}

static void all_three_names_of_bcrypt_verify(void **state)
{
    (void)state;
    /* Known answers: "U*U" of crypt_blowfish's own tests, under each prefix. */
    static const char *const hashes[] = {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                         "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                                         "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(htpasswd_verify("U*U", hashes[i]));
        assert_false(htpasswd_verify("U*V", hashes[i]));
        assert_false(htpasswd_verify("", hashes[i]));
    }
}

static void an_unknown_user_costs_what_most_users_cost_and_matches_nothing(void **state)
{
    (void)state;
    OWNED(strbuf_done) struct strbuf why;
    struct htpasswd *h;
    assert_int_equal(
        parse("a:" HASH "\nb:" HASH "\nc:$2y$12$rLFzNLJzzlvC4x5q3f7zZu1O1Yc0V8gVQvGJ4hZ2u0nBf1m0kV0aW\n", &why, &h),
        OK);
    bool is_known = true;
    const char *nobody = htpasswd_find(h, SLICE("nobody"), &is_known);
    assert_int_equal(strncmp(nobody, "$2y$04$", 7), 0);
    assert_int_equal(strlen(nobody), BCRYPT_TEXT_BYTES);
    assert_false(htpasswd_verify("", nobody));
    assert_false(htpasswd_verify("secret", nobody));
    htpasswd_free(h);
}

/* ---- credentials ---- */

static void assert_credentials(const char *header, const char *user, const char *password)
{
    struct arena arena;
    arena_init(&arena);
    struct credentials c = {0};
    enum result r = credentials_parse(slice_from_cstr(header), &arena, &c);
    if (user == NULL) {
        if (r != INVALID)
            fail_msg("accepted: %s", header);
    } else {
        assert_int_equal(r, OK);
        assert_true(slice_equal(c.user, slice_from_cstr(user)));
        assert_true(slice_equal(c.password, slice_from_cstr(password)));
    }
    arena_done(&arena);
}

static void basic_headers_are_parsed(void **state)
{
    (void)state;
    assert_credentials("Basic Ym9iOnNlY3JldA==", "bob", "secret");
    assert_credentials("basic   Ym9iOnNlY3JldA== ", "bob", "secret");
    assert_credentials("BASIC Ym9iOmE6Yg==", "bob", "a:b"); /* only the first ':' separates */
    assert_credentials("Basic Og==", "", "");
    assert_credentials("Basic Ym9iOg==", "bob", "");
    assert_credentials("Basic OnNlY3JldA==", "", "secret");
    assert_credentials("Basic Ym9iOsO8", "bob", "\xc3\xbc");
}

static void other_and_broken_headers_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "Basic",
        "Basic ",
        "Bearer Ym9iOnNlY3JldA==",
        "BasicYm9iOnNlY3JldA==",
        "Basic Ym9iOnNlY3JldA",    /* no padding */
        "Basic Ym9iOnNlY3JldB==",  /* bits behind the end */
        "Basic Ym9iOnNlY3Jld===",  /* too much padding */
        "Basic Ym9iO=NlY3JldA==",  /* padding inside */
        "Basic Ym9iOnNlY3J*dA==",  /* no digit */
        "Basic Ym9i OnNlY3JldA==", /* a space inside */
        "Basic ====",
        "Basic Ym9i",         /* "bob" */
        "Basic Ym9iOmEAYg==", /* a NUL in the password */
        "Basic YgA6YQ==",     /* a NUL in the name */
        "Basic YgphOmE=",     /* a line feed in the name */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_credentials(wrong[i], NULL, NULL);
    char header[4096] = "Basic ";
    memset(header + 6, 'Y', 2400);
    assert_credentials(header, NULL, NULL); /* longer than any header we take */
    memset(header, 0, sizeof(header));
    memcpy(header, "Basic Ojk5", 10);
    memset(header + 6, 'Y', 400); /* a name of 300 bytes without ':' */
    memcpy(header + 406, "OmE6", 4);
    assert_credentials(header, NULL, NULL);
}

static void passwords_are_bounded(void **state)
{
    (void)state;
    for (size_t n = PASSWORD_BYTES_MAX - 2; n <= PASSWORD_BYTES_MAX + 4; n += 3) {
        char header[2048] = "Basic YWI6"; /* "ab:", then "aaa" for each "YWFh" */
        for (size_t i = 0; i < n / 3; i++)
            memcpy(header + 10 + 4 * i, "YWFh", 4);
        struct arena arena;
        arena_init(&arena);
        struct credentials c = {0};
        enum result r = credentials_parse(slice_from_cstr(header), &arena, &c);
        assert_int_equal(r, n / 3 * 3 <= PASSWORD_BYTES_MAX ? OK : INVALID);
        arena_done(&arena);
    }
}

static void a_wiped_password_is_gone_from_memory(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct credentials c;
    assert_int_equal(credentials_parse(SLICE("Basic Ym9iOnNlY3JldA=="), &arena, &c), OK);
    const char *where = c.password.ptr;
    assert_memory_equal(where, "secret", 6);
    credentials_wipe(&c);
    assert_memory_equal(where, "\0\0\0\0\0\0", 6);
    assert_true(slice_equal(c.user, SLICE("bob")));
    credentials_wipe(&c);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_comments_and_blank_lines_are_read),
        cmocka_unit_test(an_empty_file_has_no_users),
        cmocka_unit_test(what_is_not_user_and_bcrypt_is_refused_with_its_line),
        cmocka_unit_test(a_file_is_bounded),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told),
        cmocka_unit_test(all_three_names_of_bcrypt_verify),
        cmocka_unit_test(an_unknown_user_costs_what_most_users_cost_and_matches_nothing),
        cmocka_unit_test(basic_headers_are_parsed),
        cmocka_unit_test(other_and_broken_headers_are_refused),
        cmocka_unit_test(passwords_are_bounded),
        cmocka_unit_test(a_wiped_password_is_gone_from_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
