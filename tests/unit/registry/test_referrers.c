/* SPDX-License-Identifier: Apache-2.0
 *
 * Referrers of a subject: from pushes, from a fallback tag, from cosign's tags; filters and pages; what deletes do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "content.h"

static int setup(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, ENV_DEFERRED);
    *state = env;
    return 0;
}

static int teardown(void **state)
{
    env_done(*state);
    free(*state);
    return 0;
}

/* Sorted, as the list is, each followed by ' '. */
static const char *list_of(struct arena *arena, const struct digest *digests, size_t count)
{
    const char *names[8];
    struct slice all = SLICE("");
    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++) {
        const char *name = content_name(arena, &digests[i]);
        size_t at = i;
        for (; at > 0 && strcmp(names[at - 1], name) > 0; at--)
            names[at] = names[at - 1];
        names[at] = name;
    }
    for (size_t i = 0; i < count; i++)
        all = arena_format(arena, "%.*s%s ", SLICE_ARG(all), names[i]);
    return arena_cstr(arena, all);
}

/* Warm or as it is, and cold. */
static void expect(struct env *env, const struct digest *subject, const struct digest *digests, size_t count)
{
    struct arena arena;
    arena_init(&arena);
    const char *expected = list_of(&arena, digests, count);
    struct env fresh;
    assert_string_equal(content_referrers(env, subject, &arena), expected);
    assert_string_equal(content_referrers(env, subject, &arena), expected);
    env_fresh(env, &fresh);
    assert_string_equal(content_referrers(&fresh, subject, &arena), expected);
    env_fresh_done(&fresh);
    arena_done(&arena);
}

static struct digest put(struct env *env, const char *reference, struct content content)
{
    struct digest digest;
    assert_int_equal(content_put(env, reference, &content, &digest), OK);
    return digest;
}

static struct digest put_subject(struct env *env)
{
    return put(env, "subject", (struct content){.is_index = true, .note = "subject"});
}

static struct digest put_referrer(struct env *env, const char *note, const struct digest *subject)
{
    return put(env, NULL, (struct content){.is_index = true, .note = note, .subject = subject});
}

/* "<algorithm>-<64 hex><suffix>" */
static const char *tag_of(struct arena *arena, const struct digest *subject, const char *suffix)
{
    struct slice text = digest_text(subject, arena);
    return arena_cstr(arena, arena_format(arena, "%.6s-%.64s%s", text.ptr, text.ptr + 7, suffix));
}

/* ---- pushes ---- */

static void a_push_with_a_subject_is_listed_at_once(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    struct digest r[3];
    expect(env, &subject, NULL, 0);
    r[0] = put_referrer(env, "a", &subject);
    expect(env, &subject, r, 1);
    r[1] = put_referrer(env, "b", &subject);
    r[2] = put(env, "tagged", (struct content){.is_index = true, .note = "c", .subject = &subject});
    expect(env, &subject, r, 3);
    (void)put_referrer(env, "b", &subject); /* again */
    expect(env, &subject, r, 3);
    expect(env, &r[0], NULL, 0);
    env->repo = SLICE("library/other");
    expect(env, &subject, NULL, 0);
}

static void a_subject_need_not_be_there(void **state)
{
    struct env *env = *state;
    struct digest subject = env_digest(SLICE("nowhere"));
    expect(env, &subject, NULL, 0);
    struct digest r = put_referrer(env, "a", &subject);
    expect(env, &subject, &r, 1);
}

static void a_descriptor_tells_type_size_and_annotations(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct content c = {.is_index = true, .note = "\\u00fc \\\"", .subject = &subject, .artifact_type = "a/b"};
    struct digest r = put(env, NULL, c);
    struct slice expected = arena_format(&arena,
                                         "{\"mediaType\":\"" INDEX_TYPE
                                         "\",\"digest\":\"%s\",\"size\":%zu,\"artifactType\":\"a/b\",\"annotations\":"
                                         "{\"note\":\"\xc3\xbc \\\"\",\"padding\":\"7\"}} ",
                                         content_name(&arena, &r), content_json(&arena, &c).len);
    for (int cold = 0; cold < 2; cold++) {
        struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .limit = 10};
        assert_int_equal(env_run(env, &call), OK);
        assert_true(slice_equal(strbuf_slice(&call.content), expected));
        env_call_done(&call);
        env_restart(env);
    }
    arena_done(&arena);
}

static void annotations_over_256_kib_need_no_subject(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    struct content c = {.is_index = true, .padding = 256u * 1024u};
    assert_int_equal(content_put(env, "big", &c, NULL), OK);
    c.subject = &subject;
    assert_int_equal(content_put(env, "big2", &c, NULL), INVALID);
    assert_int_equal(content_find(env, "big2", NULL), NOT_FOUND);
    c.padding = 255u * 1024u;
    struct digest r = put(env, "big3", c);
    expect(env, &subject, &r, 1);
}

static void one_without_its_revision_is_skipped(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct repo_name repo = {env->repo};
    struct digest subject = put_subject(env);
    struct digest r[2] = {put_referrer(env, "a", &subject), put_referrer(env, "b", &subject)};
    assert_int_equal(content_remove(env, layout_revision_link(&arena, repo, &r[1])), OK);
    assert_true(content_exists(env, layout_referrer(&arena, repo, &subject, &r[1])));
    env_restart(env);
    expect(env, &subject, r, 1);
    arena_done(&arena);
}

static void what_is_no_descriptor_is_skipped(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r[2] = {put_referrer(env, "a", &subject), put_referrer(env, "b", &subject)};
    struct slice folder = layout_referrers_folder(&arena, (struct repo_name){env->repo}, &subject);
    static const char *const names[] = {"x", "sha256-12", "-", "sha256", "sha256-"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(content_store(env, arena_format(&arena, "%.*s/%s", SLICE_ARG(folder), names[i]), SLICE("{}")),
                         OK);
    struct slice path = layout_referrer(&arena, (struct repo_name){env->repo}, &subject, &r[1]);
    assert_int_equal(content_store(env, path, SLICE("[broken")), OK);
    env_restart(env);
    expect(env, &subject, r, 1);
    arena_done(&arena);
}

static void a_store_that_fails_leaves_nobody_out(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r[2] = {put_referrer(env, "a", &subject), put_referrer(env, "b", &subject)};
    struct content c = {.is_index = true, .children = r, .child_count = 2};
    (void)put(env, tag_of(&arena, &subject, ""), c);
    static const enum result failures[] = {IO, DENIED, BUSY, QUOTA};
    for (size_t i = 0; i < 4; i++) {
        bool is_hit = true;
        for (unsigned nth = 1; is_hit; nth++) {
            fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
            env_restart(env);
            fault_driver_plan(env->fault, (struct fault_plan){.nth = nth, .call = "get", .result = failures[i]});
            struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .limit = 10};
            enum result result = env_run(env, &call);
            is_hit = fault_driver_hits(env->fault) > 0;
            assert_int_equal(result, is_hit ? failures[i] : OK);
            assert_int_equal(call.count, is_hit ? 0 : 2);
            env_call_done(&call);
        }
    }
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    expect(env, &subject, r, 2);
    arena_done(&arena);
}

/* ---- tags ---- */

static void the_index_of_the_fallback_tag_counts(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r[3] = {put_referrer(env, "a", &subject), /* by both: listed once */
                          put(env, NULL, (struct content){.is_index = true, .note = "old client"})};
    expect(env, &subject, r, 1);
    const char *fallback = tag_of(&arena, &subject, "");
    struct digest index = put(env, fallback, (struct content){.is_index = true, .children = r, .child_count = 2});
    expect(env, &subject, r, 2);
    r[2] = put_referrer(env, "c", &subject);
    expect(env, &subject, r, 3);
    assert_int_equal(content_delete_tag(env, fallback), OK);
    r[1] = r[2];
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_manifest(env, &index, NULL), OK);
    expect(env, &subject, r, 2);
    arena_done(&arena);
}

static void the_list_follows_the_fallback_tag(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r[2] = {put(env, NULL, (struct content){.is_index = true, .note = "a"}),
                          put(env, NULL, (struct content){.is_index = true, .note = "b"})};
    const char *fallback = tag_of(&arena, &subject, "");
    expect(env, &subject, NULL, 0);
    (void)put(env, fallback, (struct content){.is_index = true, .children = r, .child_count = 1});
    expect(env, &subject, r, 1);
    struct digest second = put(env, fallback, (struct content){.is_index = true, .children = r, .child_count = 2});
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_manifest(env, &second, NULL), OK); /* with its tag */
    expect(env, &subject, NULL, 0);
    (void)put(env, fallback, (struct content){.is_index = true, .note = "empty"});
    expect(env, &subject, NULL, 0);
    struct digest config;
    assert_int_equal(env_push_blob(env, SLICE("{}"), &config), OK);
    (void)put(env, fallback, (struct content){.note = "no index"});
    expect(env, &subject, NULL, 0);
    arena_done(&arena);
}

static void the_tags_of_cosign_count(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest config;
    assert_int_equal(env_push_blob(env, SLICE("{}"), &config), OK);
    struct digest r[3];
    static const char *const suffixes[] = {".sig", ".att", ".sbom"};
    for (size_t i = 0; i < 3; i++) {
        r[i] = put(env, tag_of(&arena, &subject, suffixes[i]), (struct content){.note = suffixes[i]});
        expect(env, &subject, r, i + 1);
    }
    (void)put(env, tag_of(&arena, &subject, ".other"), (struct content){.note = "other"});
    expect(env, &subject, r, 3);
    assert_int_equal(content_delete_tag(env, tag_of(&arena, &subject, ".sbom")), OK);
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_manifest(env, &r[1], NULL), OK); /* with its tag */
    expect(env, &subject, r, 1);
    arena_done(&arena);
}

static void the_fallback_tag_of_sha512_is_cut_to_64_characters(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct content c = {.is_index = true, .note = "subject"};
    struct digest subject;
    digest_of(DIGEST_SHA512, content_json(&arena, &c), &subject);
    assert_int_equal(content_put(env, content_name(&arena, &subject), &c, NULL), OK);
    struct digest r[2] = {put_referrer(env, "a", &subject)};
    expect(env, &subject, r, 1);
    r[1] = put(env, NULL, (struct content){.is_index = true, .note = "b"});
    const char *fallback = tag_of(&arena, &subject, "");
    assert_int_equal(strlen(fallback), 7 + 64);
    (void)put(env, fallback, (struct content){.is_index = true, .children = r + 1, .child_count = 1});
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_tag(env, fallback), OK);
    expect(env, &subject, r, 1);
    assert_int_equal(content_delete_manifest(env, &r[0], NULL), OK);
    expect(env, &subject, NULL, 0);
    arena_done(&arena);
}

static void a_referrer_by_sha512_is_listed(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct content c = {.is_index = true, .subject = &subject};
    struct digest r;
    digest_of(DIGEST_SHA512, content_json(&arena, &c), &r);
    assert_int_equal(content_put(env, content_name(&arena, &r), &c, NULL), OK);
    expect(env, &subject, &r, 1);
    arena_done(&arena);
}

/* ---- filters and pages ---- */

static void a_filter_lets_one_type_through(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env), config;
    assert_int_equal(env_push_blob(env, SLICE("{}"), &config), OK);
    struct content of_a = {.is_index = true, .subject = &subject, .artifact_type = "type/a"};
    struct content of_b = {.is_index = true, .subject = &subject, .artifact_type = "type/b"};
    struct digest a = put(env, NULL, of_a);
    struct digest b = put(env, NULL, of_b);
    struct digest untyped = put_referrer(env, "none", &subject);
    struct digest image = put(env, NULL, (struct content){.subject = &subject}); /* the config's type */
    const struct {
        const char *type;
        const struct digest *only;
    } cases[] = {{"type/a", &a}, {"type/b", &b},  {CONFIG_TYPE, &image},
                 {"", &untyped}, {"type/", NULL}, {"type/A", NULL}};
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        size_t k = i / 2;
        struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .artifact_type = cases[k].type, .limit = 10};
        assert_int_equal(env_run(env, &call), OK);
        assert_int_equal(call.count, cases[k].only == NULL ? 0 : 1);
        assert_false(call.flag);
        if (cases[k].only != NULL)
            assert_true(slice_equal(strbuf_slice(&call.media_type), digest_text(cases[k].only, &arena)));
        env_call_done(&call);
        if (i % 2 == 0)
            env_restart(env);
    }
    arena_done(&arena);
}

/* Follows the pages to the end; how many entries, each page at most `limit`. */
static size_t count_by_pages(struct env *env, const struct digest *subject, const char *type, size_t limit)
{
    char last[DIGEST_TEXT_MAX + 1] = "";
    size_t count = 0;
    bool has_more = true;
    while (has_more) {
        struct env_call call = {
            .kind = ENV_REFERRERS, .digest = *subject, .artifact_type = type, .last = last, .limit = limit};
        assert_int_equal(env_run(env, &call), OK);
        assert_true(call.count <= limit);
        assert_true(call.count > 0 || !call.flag);
        count += call.count;
        has_more = call.flag;
        assert_true(call.count == 0 || call.media_type.len <= DIGEST_TEXT_MAX);
        char before[sizeof(last)];
        memcpy(before, last, sizeof(last));
        (void)snprintf(last, sizeof(last), "%.*s", SLICE_ARG(strbuf_slice(&call.media_type)));
        assert_true(call.count == 0 || strcmp(before, last) < 0);
        env_call_done(&call);
    }
    return count;
}

static void pages_have_no_more_than_their_limit(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    char note[16];
    for (int i = 0; i < 30; i++) {
        (void)snprintf(note, sizeof(note), "%d", i);
        struct content c = {.is_index = true, .note = note, .subject = &subject};
        c.artifact_type = i % 3 == 0 ? "type/third" : "type/rest";
        (void)put(env, NULL, c);
    }
    for (int warm = 0; warm < 2; warm++) {
        assert_int_equal(count_by_pages(env, &subject, NULL, 7), 30);
        assert_int_equal(count_by_pages(env, &subject, NULL, 30), 30);
        assert_int_equal(count_by_pages(env, &subject, NULL, 10), 30); /* the last page is full, and the last */
        assert_int_equal(count_by_pages(env, &subject, "type/third", 3), 10);
        assert_int_equal(count_by_pages(env, &subject, "type/none", 3), 0);
        env_restart(env);
    }
}

/* Entries that nobody pushed, as many as a list seldom has. */
static void more_than_a_page_of_the_index(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    struct repo_name repo = {env->repo};
    for (int i = 0; i < 2100; i++) {
        struct arena arena;
        arena_init(&arena);
        struct digest r = env_digest(arena_format(&arena, "%d", i));
        struct slice text = digest_text(&r, &arena);
        struct slice descriptor = arena_format(
            &arena, "{\"mediaType\":\"" INDEX_TYPE "\",\"digest\":\"%.*s\",\"size\":2,\"artifactType\":\"%s\"}",
            SLICE_ARG(text), i == 1999 || i == 77 ? "type/rare" : "type/common");
        assert_int_equal(content_store(env, layout_revision_link(&arena, repo, &r), text), OK);
        assert_int_equal(content_store(env, layout_referrer(&arena, repo, &subject, &r), descriptor), OK);
        arena_done(&arena);
    }
    for (int warm = 0; warm < 2; warm++) {
        assert_int_equal(count_by_pages(env, &subject, NULL, 1000), 2100);
        assert_int_equal(count_by_pages(env, &subject, "type/common", 5), 2098);
        assert_int_equal(count_by_pages(env, &subject, "type/rare", 1), 2);
    }
    struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .limit = 5000};
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(call.count, 1000); /* whatever is asked for */
    assert_true(call.flag);
    env_call_done(&call);
}

static void a_page_has_no_more_than_4_mib(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    char note[16];
    for (int i = 0; i < 18; i++) {
        (void)snprintf(note, sizeof(note), "%d", i);
        struct content c = {.is_index = true, .note = note, .subject = &subject, .padding = 255u * 1024u};
        (void)put(env, NULL, c);
    }
    struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .limit = 100};
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(call.count, 16);
    assert_true(call.flag);
    assert_true(call.content.len <= 4u * 1024u * 1024u);
    env_call_done(&call);
    assert_int_equal(count_by_pages(env, &subject, NULL, 100), 18);
}

/* ---- deletes ---- */

static void an_entry_goes_with_its_manifest(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r[2] = {put_referrer(env, "a", &subject), put_referrer(env, "b", &subject)};
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_manifest(env, &r[1], NULL), OK);
    expect(env, &subject, r, 1);
    assert_false(content_exists(env, layout_referrer(&arena, (struct repo_name){env->repo}, &subject, &r[1])));
    assert_int_equal(content_delete_manifest(env, &subject, NULL), OK); /* referrers do not keep their subject */
    expect(env, &subject, r, 1);
    (void)put_referrer(env, "b", &subject);
    expect(env, &subject, r, 2);
    arena_done(&arena);
}

static void a_referrer_that_the_fallback_index_lists_can_be_deleted(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env), by;
    struct digest r[2] = {put_referrer(env, "a", &subject), put_referrer(env, "b", &subject)};
    struct content c = {.is_index = true, .children = r, .child_count = 2};
    (void)put(env, tag_of(&arena, &subject, ""), c);
    expect(env, &subject, r, 2);
    assert_int_equal(content_delete_manifest(env, &r[1], NULL), OK);
    expect(env, &subject, r, 1);
    c.note = "another";
    struct digest another = put(env, "another", (struct content){.is_index = true, .children = r, .child_count = 1});
    assert_int_equal(content_delete_manifest(env, &r[0], &by), CONFLICT); /* by an index that is no fallback */
    assert_true(digest_equal(&by, &another));
    assert_int_equal(content_delete_tag(env, tag_of(&arena, &subject, "")), OK);
    expect(env, &subject, r, 1);
    arena_done(&arena);
}

/* An old client's referrer has no subject: only the index of the fallback tag says what it is. */
static void a_referrer_without_a_subject_is_kept_by_the_fallback_index(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env), by;
    struct digest r = put(env, NULL, (struct content){.is_index = true, .note = "old client"});
    struct digest index =
        put(env, tag_of(&arena, &subject, ""), (struct content){.is_index = true, .children = &r, .child_count = 1});
    expect(env, &subject, &r, 1);
    assert_int_equal(content_delete_manifest(env, &r, &by), CONFLICT);
    assert_true(digest_equal(&by, &index));
    arena_done(&arena);
}

static void without_validation_what_a_fallback_index_lists_comes_and_goes(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest subject = put_subject(env);
    struct digest r = put(env, NULL, (struct content){.is_index = true, .note = "old client"});
    struct content c = {.is_index = true, .children = &r, .child_count = 1};
    env->config.validation.children = false;
    (void)put(env, tag_of(&arena, &subject, ""), c);
    expect(env, &subject, &r, 1);
    assert_int_equal(content_delete_manifest(env, &r, NULL), OK);
    expect(env, &subject, NULL, 0);
    (void)put(env, NULL, (struct content){.is_index = true, .note = "old client"});
    expect(env, &subject, &r, 1);
    arena_done(&arena);
}

static void a_warm_list_takes_no_storage_call(void **state)
{
    struct env *env = *state;
    struct digest subject = put_subject(env);
    struct digest r = put_referrer(env, "a", &subject);
    expect(env, &subject, &r, 1);
    fault_driver_plan(env->fault, (struct fault_plan){.nth = 0});
    struct env_call call = {.kind = ENV_REFERRERS, .digest = subject, .limit = 10};
    assert_int_equal(env_run(env, &call), OK);
    assert_int_equal(call.count, 1);
    env_call_done(&call);
    assert_int_equal(fault_driver_calls(env->fault), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_push_with_a_subject_is_listed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_subject_need_not_be_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_descriptor_tells_type_size_and_annotations, setup, teardown),
        cmocka_unit_test_setup_teardown(annotations_over_256_kib_need_no_subject, setup, teardown),
        cmocka_unit_test_setup_teardown(one_without_its_revision_is_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_descriptor_is_skipped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_fails_leaves_nobody_out, setup, teardown),
        cmocka_unit_test_setup_teardown(the_index_of_the_fallback_tag_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_list_follows_the_fallback_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tags_of_cosign_count, setup, teardown),
        cmocka_unit_test_setup_teardown(the_fallback_tag_of_sha512_is_cut_to_64_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(a_referrer_by_sha512_is_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_filter_lets_one_type_through, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_have_no_more_than_their_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_a_page_of_the_index, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_has_no_more_than_4_mib, setup, teardown),
        cmocka_unit_test_setup_teardown(an_entry_goes_with_its_manifest, setup, teardown),
        cmocka_unit_test_setup_teardown(a_referrer_that_the_fallback_index_lists_can_be_deleted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_referrer_without_a_subject_is_kept_by_the_fallback_index, setup, teardown),
        cmocka_unit_test_setup_teardown(without_validation_what_a_fallback_index_lists_comes_and_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_warm_list_takes_no_storage_call, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
