/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests put under conditions, and with several tags. RFC 9110, 13.1.
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

static int setup_without_swap(void **state)
{
    struct env *env = xcalloc(1, sizeof(*env));
    env_init(env, ENV_DEFERRED | ENV_NO_SWAP);
    *state = env;
    return 0;
}

static const struct content new_content = {.is_index = true, .note = "new"};
static const struct content old_content = {.is_index = true, .note = "old"};
static const struct content other_content = {.is_index = true, .note = "other"};

static struct digest digest_of_content(const struct content *content)
{
    struct arena arena;
    arena_init(&arena);
    struct digest digest = env_digest(content_json(&arena, content));
    arena_done(&arena);
    return digest;
}

struct conditions {
    struct manifest_condition if_match;
    struct manifest_condition if_none_match;
};

static const struct manifest_condition any = {.is_given = true, .is_any = true};

static enum result put_if(struct env *env, const char *reference, struct conditions conditions)
{
    struct arena arena;
    arena_init(&arena);
    struct env_call call = {.kind = ENV_MANIFEST_PUT,
                            .reference = reference,
                            .content_type = INDEX_TYPE,
                            .bytes = content_json(&arena, &new_content),
                            .if_match = conditions.if_match,
                            .if_none_match = conditions.if_none_match};
    enum result r = env_run(env, &call);
    assert_true(r != UNSUPPORTED || call.media_type.len > 0); /* says why */
    env_call_done(&call);
    arena_done(&arena);
    return r;
}

static bool names(struct env *env, const char *tag, const struct content *content)
{
    struct digest named;
    struct digest expected = digest_of_content(content);
    return content_find(env, tag, &named) == OK && digest_equal(&named, &expected);
}

static struct slice current_link(struct env *env, struct arena *arena)
{
    return layout_tag_current(arena, (struct repo_name){env->repo}, (struct tag){SLICE("v1")});
}

/* ---- every combination ---- */

enum before { TAG_ABSENT, TAG_NAMES_OLD, TAG_IS_EMPTY, TAG_IS_BROKEN, BEFORES };

static void prepare(struct env *env, enum before before)
{
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(content_put(env, "other", &other_content, NULL), OK);
    if (before == TAG_NAMES_OLD)
        assert_int_equal(content_put(env, "v1", &old_content, NULL), OK);
    if (before == TAG_IS_EMPTY)
        assert_int_equal(content_store(env, current_link(env, &arena), SLICE("")), OK);
    if (before == TAG_IS_BROKEN)
        assert_int_equal(content_store(env, current_link(env, &arena), SLICE("sha256:44136fa355b3678a")), OK);
    arena_done(&arena);
}

static bool list_has_old(const struct manifest_condition *condition)
{
    struct digest old = digest_of_content(&old_content);
    for (size_t i = 0; i < condition->count; i++)
        if (digest_equal(&condition->digests[i], &old))
            return true;
    return condition->is_any;
}

static bool should_hold(const struct conditions *c, enum before before)
{
    bool is_there = before == TAG_NAMES_OLD;
    if (c->if_match.is_given && !(is_there && list_has_old(&c->if_match)))
        return false;
    return !(c->if_none_match.is_given && is_there && list_has_old(&c->if_none_match));
}

static void check_combination(enum before before, const struct conditions *c)
{
    struct env env;
    env_init(&env, ENV_DEFERRED);
    prepare(&env, before);
    bool holds = should_hold(c, before);
    assert_int_equal(put_if(&env, "v1", *c), holds ? OK : CONFLICT);
    const char *listed = holds || before != TAG_ABSENT ? "other v1 " : "other ";
    for (int cold = 0; cold < 2; cold++) {
        if (holds)
            assert_true(names(&env, "v1", &new_content));
        else if (before == TAG_NAMES_OLD)
            assert_true(names(&env, "v1", &old_content));
        else
            assert_int_equal(content_find(&env, "v1", NULL), NOT_FOUND);
        assert_true(content_tags_are(&env, listed)); /* one that was refused is not listed */
        env_restart(&env);
    }
    env_done(&env);
}

static void every_combination_of_conditions(void **unused)
{
    (void)unused;
    struct digest lists[] = {digest_of_content(&other_content), digest_of_content(&old_content),
                             digest_of_content(&other_content)};
    const struct manifest_condition conditions[] = {
        {0},
        any,
        {.is_given = true, .digests = lists, .count = 2}, /* one of several */
        {.is_given = true, .digests = lists, .count = 1}, /* another */
        {.is_given = true, .digests = lists + 1, .count = 1} /* it */,
        {.is_given = true} /* none that we could read */,
    };
    size_t count = sizeof(conditions) / sizeof(conditions[0]);
    for (int before = 0; before < BEFORES; before++)
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < count; k++)
                check_combination((enum before)before, &(struct conditions){conditions[i], conditions[k]});
}

/* ---- races ---- */

/* Somebody else's write of the tag, just before the call named. */
struct rival {
    struct env *env;
    const char *call;
    unsigned nth;
    struct slice path;
    struct slice bytes; /* ptr NULL: it deletes the tag */
};

static void act(void *data, const char *call)
{
    struct rival *rival = data;
    if (strcmp(call, rival->call) != 0 || rival->nth == 0 || --rival->nth > 0)
        return;
    if (rival->bytes.ptr == NULL)
        assert_int_equal(memory_driver.delete(rival->env->memory, rival->path, (struct done){0}), OK);
    else
        assert_int_equal(memory_driver.put(rival->env->memory, rival->path, rival->bytes, 0, (struct done){0}), OK);
}

static enum result put_with_rival(struct env *env, struct rival rival, struct conditions conditions)
{
    fault_driver_hook(env->fault, act, &rival);
    enum result r = put_if(env, "v1", conditions);
    fault_driver_hook(env->fault, NULL, NULL);
    assert_int_equal(rival.nth, 0);
    return r;
}

static void a_lost_race_is_a_conflict(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct slice path = current_link(env, &arena);
    struct digest other = digest_of_content(&other_content);
    struct digest old = digest_of_content(&old_content);
    prepare(env, TAG_NAMES_OLD);
    struct conditions unchanged = {.if_match = {.is_given = true, .digests = &old, .count = 1}};
    struct rival rival = {env, "put_if_match", 1, path, digest_text(&other, &arena)};
    assert_int_equal(put_with_rival(env, rival, unchanged), CONFLICT);
    assert_true(names(env, "v1", &other_content));
    assert_int_equal(content_put(env, "v1", &old_content, NULL), OK);
    rival.bytes = SLICE_EMPTY;
    assert_int_equal(put_with_rival(env, rival, unchanged), CONFLICT);
    assert_int_equal(content_find(env, "v1", NULL), NOT_FOUND);
    arena_done(&arena);
}

/* Two that count up from the same number put the same manifest: one of them has not counted. */
static void a_race_lost_to_the_same_manifest_is_a_conflict_too(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest old = digest_of_content(&old_content);
    struct digest same = digest_of_content(&new_content);
    prepare(env, TAG_NAMES_OLD);
    struct conditions unchanged = {.if_match = {.is_given = true, .digests = &old, .count = 1}};
    struct rival rival = {env, "put_if_match", 1, current_link(env, &arena), digest_text(&same, &arena)};
    assert_int_equal(put_with_rival(env, rival, unchanged), CONFLICT);
    assert_true(names(env, "v1", &new_content));
    arena_done(&arena);
}

static void a_lost_race_to_create_is_a_conflict(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest other = digest_of_content(&other_content);
    prepare(env, TAG_ABSENT);
    assert_true(content_tags_are(env, "other "));
    /* bytes, revision, tag */
    struct rival rival = {env, "put", 3, current_link(env, &arena), digest_text(&other, &arena)};
    assert_int_equal(put_with_rival(env, rival, (struct conditions){.if_none_match = any}), CONFLICT);
    assert_true(names(env, "v1", &other_content));
    assert_true(content_tags_are(env, "other v1 "));
    arena_done(&arena);
}

static void of_many_creators_of_a_tag_one_wins(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct env_call calls[8];
    struct content contents[8];
    static const char *const notes[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    for (size_t i = 0; i < 8; i++) {
        contents[i] = (struct content){.is_index = true, .note = notes[i]};
        calls[i] = (struct env_call){.kind = ENV_MANIFEST_PUT,
                                     .reference = "v1",
                                     .content_type = INDEX_TYPE,
                                     .bytes = content_json(&arena, &contents[i]),
                                     .if_none_match = any};
        env_start(env, &calls[i]);
    }
    unsigned winners = 0;
    size_t winner = 0;
    for (size_t i = 0; i < 8; i++) {
        enum result r = env_wait(&calls[i]);
        assert_true(r == OK || r == CONFLICT);
        winners += r == OK;
        winner = r == OK ? i : winner;
        env_call_done(&calls[i]);
    }
    assert_int_equal(winners, 1);
    assert_true(names(env, "v1", &contents[winner]));
    arena_done(&arena);
}

/* ---- answers that are lost ---- */

static bool has_history(struct env *env)
{
    struct arena arena;
    arena_init(&arena);
    struct digest digest = digest_of_content(&new_content);
    struct slice path = layout_tag_index(&arena, (struct repo_name){env->repo}, (struct tag){SLICE("v1")}, &digest);
    bool has = content_exists(env, path);
    arena_done(&arena);
    return has;
}

/* The write was made, and its answer was lost. */
static void check_lost_answer(enum before before, const char *call, unsigned nth, enum result r)
{
    struct env env;
    env_init(&env, ENV_DEFERRED);
    prepare(&env, before);
    assert_true(content_tags_are(&env, before == TAG_ABSENT ? "other " : "other v1 "));
    struct conditions conditions = {0};
    *(before == TAG_ABSENT ? &conditions.if_none_match : &conditions.if_match) = any;
    fault_driver_plan(env.fault, (struct fault_plan){.nth = nth, .call = call, .kind = FAULT_AFTER, .result = r});
    assert_int_equal(put_if(&env, "v1", conditions), OK);
    assert_int_equal(fault_driver_hits(env.fault), 1);
    fault_driver_plan(env.fault, (struct fault_plan){.nth = 0});
    for (int cold = 0; cold < 2; cold++) {
        assert_true(names(&env, "v1", &new_content));
        assert_true(content_tags_are(&env, "other v1 ")); /* it was acknowledged */
        env_restart(&env);
    }
    assert_true(has_history(&env));
    env_done(&env);
}

static void a_conditional_write_whose_answer_was_lost_is_seen_to_be_ours(void **unused)
{
    (void)unused;
    check_lost_answer(TAG_NAMES_OLD, "put_if_match", 1, IO);
    check_lost_answer(TAG_NAMES_OLD, "put_if_match", 1, UNAVAILABLE);
    check_lost_answer(TAG_ABSENT, "put", 3, IO);
}

/* ---- by digest ---- */

static void a_condition_on_a_digest_looks_at_the_manifest_itself(void **state)
{
    struct env *env = *state;
    struct arena arena;
    arena_init(&arena);
    struct digest digest = digest_of_content(&new_content);
    const char *name = content_name(&arena, &digest);
    struct conditions if_none = {.if_none_match = any};
    struct conditions if_there = {.if_match = any};
    assert_int_equal(put_if(env, name, if_there), CONFLICT);
    assert_int_equal(content_find(env, name, NULL), NOT_FOUND);
    assert_int_equal(put_if(env, name, if_none), OK);
    assert_int_equal(content_find(env, name, NULL), OK);
    assert_int_equal(put_if(env, name, if_none), CONFLICT);
    assert_int_equal(put_if(env, name, if_there), OK);
    arena_done(&arena);
}

/* ---- stores that cannot ---- */

static void without_compare_and_swap_a_condition_on_a_tag_is_unsupported(void **state)
{
    struct env *env = *state;
    struct digest old = digest_of_content(&old_content);
    struct conditions if_old = {.if_match = {.is_given = true, .digests = &old, .count = 1}};
    struct conditions if_none = {.if_none_match = any};
    prepare(env, TAG_NAMES_OLD);
    assert_int_equal(put_if(env, "v1", if_old), UNSUPPORTED);
    assert_int_equal(put_if(env, "v1", if_none), UNSUPPORTED);
    assert_true(names(env, "v1", &old_content));
    assert_int_equal(put_if(env, "v1", (struct conditions){0}), OK);
    assert_int_equal(put_if(env, "new", if_none), OK); /* to create is what every store can do */
    assert_true(names(env, "new", &new_content));
    assert_int_equal(put_if(env, "none", if_old), CONFLICT);
}

/* ---- several tags ---- */

static enum result put_tags(struct env *env, const struct tag *tags, size_t count)
{
    struct arena arena;
    arena_init(&arena);
    struct digest digest = digest_of_content(&new_content);
    struct env_call call = {.kind = ENV_MANIFEST_PUT,
                            .reference = content_name(&arena, &digest),
                            .content_type = INDEX_TYPE,
                            .bytes = content_json(&arena, &new_content),
                            .tags = tags,
                            .tag_count = count};
    enum result r = env_run(env, &call);
    env_call_done(&call);
    arena_done(&arena);
    return r;
}

static void a_manifest_put_by_digest_sets_all_its_tags(void **state)
{
    struct env *env = *state;
    const struct tag tags[] = {{SLICE("v1")}, {SLICE("latest")}, {SLICE("v1")}, {SLICE("a")}};
    prepare(env, TAG_NAMES_OLD);
    assert_true(content_tags_are(env, "other v1 "));
    assert_int_equal(put_tags(env, tags, 4), OK);
    for (int cold = 0; cold < 2; cold++) {
        assert_true(content_tags_are(env, "a latest other v1 "));
        assert_true(names(env, "v1", &new_content));
        assert_true(names(env, "latest", &new_content));
        assert_true(names(env, "a", &new_content));
        assert_true(names(env, "other", &other_content));
        env_restart(env);
    }
    assert_int_equal(put_tags(env, NULL, 0), OK);
    assert_true(content_tags_are(env, "a latest other v1 "));
    struct digest digest = digest_of_content(&new_content);
    assert_int_equal(content_delete_manifest(env, &digest, NULL), OK);
    assert_true(content_tags_are(env, "other "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination_of_conditions),
        cmocka_unit_test_setup_teardown(a_lost_race_is_a_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_race_to_create_is_a_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(a_race_lost_to_the_same_manifest_is_a_conflict_too, setup, teardown),
        cmocka_unit_test_setup_teardown(of_many_creators_of_a_tag_one_wins, setup, teardown),
        cmocka_unit_test(a_conditional_write_whose_answer_was_lost_is_seen_to_be_ours),
        cmocka_unit_test_setup_teardown(a_condition_on_a_digest_looks_at_the_manifest_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(without_compare_and_swap_a_condition_on_a_tag_is_unsupported,
                                        setup_without_swap, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_put_by_digest_sets_all_its_tags, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
