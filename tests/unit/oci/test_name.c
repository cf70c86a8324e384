/* SPDX-License-Identifier: Apache-2.0
 *
 * Repository names, tags and references against the grammar of the distribution specification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/oci.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static enum result parse_repo(const char *text)
{
    struct repo_name name;
    return repo_name_parse(slice_from_cstr(text), &name);
}

static enum result parse_tag(const char *text)
{
    struct tag tag;
    return tag_parse(slice_from_cstr(text), &tag);
}

static void repository_names_of_the_grammar_parse(void **state)
{
    (void)state;
    static const char *const names[] = {
        "a",
        "0",
        "library/debian",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a----------b",
        "1/2/3",
        "a/b/c/d/e/f",
        "foo.bar/baz_qux/x--y",
        "a-1.b_2",
        "sub-dir/0",
        "a/blobs/uploads",
        "v2/catalog",
        "xn--n3h.com/myimage",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
        struct repo_name name;
        assert_int_equal(repo_name_parse(slice_from_cstr(names[i]), &name), OK);
        assert_true(slice_equal(name.text, slice_from_cstr(names[i])));
    }
}

static void repository_names_outside_the_grammar_are_invalid(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",     "/",     "/a",     "a/",       "a//b",       "A",     "aB",       "a/B",       ".a",   "a.",   "_a",
        "a_",   "-a",    "a-",     "__a",      "a__",        "a..b",  "a___b",    "a._b",      "a_.b", "a-_b", "a_-b",
        "a.-b", "a-.b",  "a/.b",   "a/b.",     "a/_b",       "a/-b",  "a/b-/c",   "a b",       "a:b",  "a@b",  "a\\b",
        "../a", "a/..",  "a/../b", ".",        "..",         "a/./b", "\xc3\xa4", "a\xc3\xa4", "a\n",  "a\t",  " a",
        "a ",   "a%2fb", "a?b",    "_catalog", "a/_uploads", "a+b",   "a~b",      "a*b",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i)
        if (parse_repo(names[i]) != INVALID)
            fail_msg("accepted: %s", names[i]);
    struct repo_name name;
    assert_int_equal(repo_name_parse(SLICE_EMPTY, &name), INVALID);
    assert_int_equal(repo_name_parse(slice_of("a\0b", 3), &name), INVALID);
}

static void repository_name_may_have_255_bytes_and_not_256(void **state)
{
    (void)state;
    char text[257];
    memset(text, 'a', sizeof(text));
    struct repo_name name;
    assert_int_equal(repo_name_parse(slice_of(text, 255), &name), OK);
    assert_int_equal(repo_name_parse(slice_of(text, 256), &name), INVALID);
    for (size_t i = 1; i < 254; i += 2)
        text[i] = '/';
    assert_int_equal(repo_name_parse(slice_of(text, 255), &name), OK);
}

static void repository_name_is_not_read_past_its_length(void **state)
{
    (void)state;
    struct repo_name name;
    assert_int_equal(repo_name_parse(slice_of("a__b", 3), &name), INVALID);
    assert_int_equal(repo_name_parse(slice_of("a_-", 2), &name), INVALID);
    assert_int_equal(repo_name_parse(slice_of("ab/", 2), &name), OK);
}

static void repository_name_is_untouched_on_failure(void **state)
{
    (void)state;
    struct repo_name name = {SLICE("before")};
    assert_int_equal(repo_name_parse(SLICE("Bad"), &name), INVALID);
    assert_true(slice_equal(name.text, SLICE("before")));
}

/* Every text of up to five characters of a small alphabet, against a second reading of the grammar. */
static bool grammar_says(const char *s, size_t n)
{
    size_t at = 0;
    for (;;) { /* component */
        size_t start = at;
        while (at < n && (s[at] == 'a' || s[at] == '9'))
            ++at;
        if (at == start)
            return false;
        if (at == n)
            return true;
        size_t run = at;
        while (run < n && s[run] == s[at] && s[at] != '/')
            ++run;
        switch (s[at]) {
        case '/':
            ++at;
            break;
        case '.':
            if (run - at != 1)
                return false;
            at = run;
            break;
        case '_':
            if (run - at > 2)
                return false;
            at = run;
            break;
        case '-':
            at = run;
            break;
        default:
            return false;
        }
    }
}

static void repository_name_agrees_with_the_grammar_on_all_short_texts(void **state)
{
    (void)state;
    static const char alphabet[] = "a9._-/A";
    const size_t letters = sizeof(alphabet) - 1;
    for (size_t n = 1, count = letters; n <= 6; ++n, count *= letters) {
        for (size_t code = 0; code < count; ++code) {
            char text[6];
            size_t rest = code;
            for (size_t i = 0; i < n; ++i, rest /= letters)
                text[i] = alphabet[rest % letters];
            struct repo_name name;
            if ((repo_name_parse(slice_of(text, n), &name) == OK) != grammar_says(text, n))
                fail_msg("disagree on %.*s", (int)n, text);
        }
    }
}

static void tags_of_the_grammar_parse(void **state)
{
    (void)state;
    static const char *const tags[] = {
        "latest", "1", "v1.2.3", "_", "_a", "A-B", "a.", "a-", "a..b", "1.0-rc.1_x", "sha256-" HEX64 ".sig"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); ++i)
        assert_int_equal(parse_tag(tags[i]), OK);
}

static void tags_outside_the_grammar_are_invalid(void **state)
{
    (void)state;
    static const char *const tags[] = {"",    ".",   "..",  "-",   ".a",  "-a",   "a/b", "a b",
                                       "a:b", "a@b", "a+b", "a%b", "a\n", "a\\b", " a",  "\xc3\xa9"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); ++i)
        assert_int_equal(parse_tag(tags[i]), INVALID);
    struct tag tag;
    assert_int_equal(tag_parse(slice_of("a\0", 2), &tag), INVALID);
}

static void tag_may_have_128_bytes_and_not_129(void **state)
{
    (void)state;
    char text[129];
    memset(text, 'T', sizeof(text));
    struct tag tag;
    assert_int_equal(tag_parse(slice_of(text, 128), &tag), OK);
    assert_int_equal(tag_parse(slice_of(text, 129), &tag), INVALID);
}

static void every_byte_is_judged_in_first_and_later_place_of_a_tag(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; ++c) {
        char text[2] = {(char)c, 'x'};
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        struct tag tag;
        assert_int_equal(tag_parse(slice_of(text, 2), &tag), is_word ? OK : INVALID);
        char later[2] = {'x', (char)c};
        assert_int_equal(tag_parse(slice_of(later, 2), &tag), is_word || c == '.' || c == '-' ? OK : INVALID);
    }
}

static void reference_with_a_colon_is_a_digest(void **state)
{
    (void)state;
    struct reference reference;
    assert_int_equal(reference_parse(SLICE("sha256:" HEX64), &reference), OK);
    assert_true(reference.is_digest);
    struct digest empty;
    digest_of(DIGEST_SHA256, SLICE_EMPTY, &empty);
    assert_true(digest_equal(&reference.digest, &empty));
    assert_int_equal(reference_parse(SLICE("sha256:abc"), &reference), INVALID);
    assert_int_equal(reference_parse(SLICE("sha384:abc"), &reference), UNSUPPORTED);
    assert_int_equal(reference_parse(SLICE("latest:"), &reference), INVALID);
}

static void reference_without_a_colon_is_a_tag(void **state)
{
    (void)state;
    struct reference reference;
    assert_int_equal(reference_parse(SLICE("latest"), &reference), OK);
    assert_false(reference.is_digest);
    assert_true(slice_equal(reference.tag.text, SLICE("latest")));
    assert_int_equal(reference_parse(SLICE_EMPTY, &reference), INVALID);
    assert_int_equal(reference_parse(SLICE("-x"), &reference), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repository_names_of_the_grammar_parse),
        cmocka_unit_test(repository_names_outside_the_grammar_are_invalid),
        cmocka_unit_test(repository_name_may_have_255_bytes_and_not_256),
        cmocka_unit_test(repository_name_is_not_read_past_its_length),
        cmocka_unit_test(repository_name_is_untouched_on_failure),
        cmocka_unit_test(repository_name_agrees_with_the_grammar_on_all_short_texts),
        cmocka_unit_test(tags_of_the_grammar_parse),
        cmocka_unit_test(tags_outside_the_grammar_are_invalid),
        cmocka_unit_test(tag_may_have_128_bytes_and_not_129),
        cmocka_unit_test(every_byte_is_judged_in_first_and_later_place_of_a_tag),
        cmocka_unit_test(reference_with_a_colon_is_a_digest),
        cmocka_unit_test(reference_without_a_colon_is_a_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
