/* SPDX-License-Identifier: Apache-2.0
 *
 * Reindexing: afterwards the index answers without the store.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "await.h"
#include "content_probe.h"

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

struct reindexing {
    struct env *env;
    struct registry_reindex run;
    size_t repositories_done;
    uint64_t names_done;
    char last[64];
    bool is_over;
    enum result outcome;
};

static enum flow_next reindex(struct flow *f)
{
    struct reindexing *op = flow_owner(f);
    return registry_reindex(f, op->env->registry, &op->run);
}

static const struct flow_step steps[] = {{"reindex", reindex}};
static const struct flow_program program = {.name = "test_reindex", FLOW_STEPS(steps)};

static void on_end(void *data, enum result outcome)
{
    struct reindexing *op = data;
    op->outcome = outcome;
    if (op->run.last.len < sizeof(op->last)) /* it goes with the flow */
        memcpy(op->last, op->run.last.ptr == NULL ? "" : op->run.last.ptr, op->run.last.len);
    op->is_over = true;
}

static enum result run_reindex(struct env *env, const char *after, struct reindexing *op)
{
    *op = (struct reindexing){.env = env, .run.after = slice_from_cstr(after)};
    flow_start(flow_new(env->loop), &program, op, on_end, op);
    await_flag(env->loop, &op->is_over);
    return op->outcome;
}

static void a_store_without_content_is_done_at_once(void **state)
{
    struct reindexing op;
    assert_int_equal(run_reindex(*state, "", &op), OK);
    assert_int_equal(op.run.repositories, 0);
    assert_int_equal(op.run.names_done, 0);
}

/* The calls of the store that a probe of everything makes, by a registry that was just started. */
static unsigned calls_of_probe(struct env *env, struct world *world)
{
    struct probe probe;
    unsigned before = fault_driver_calls(env->fault);
    probe_run(env, world, &probe);
    unsigned calls = fault_driver_calls(env->fault) - before;
    probe_done(&probe);
    return calls;
}

static void afterwards_the_index_answers_without_the_store(void **state)
{
    struct env *env = *state;
    struct world world;
    world_build(env, &world);
    env_restart(env);
    unsigned cold = calls_of_probe(env, &world);
    env_restart(env);
    struct reindexing op;
    assert_int_equal(run_reindex(env, "", &op), OK);
    assert_int_equal(op.run.repositories, 3);
    assert_int_equal(op.run.repositories_done, 3);
    assert_string_equal(op.last, "library/test/nested");
    assert_true(op.run.names_done > 15);
    unsigned warm = calls_of_probe(env, &world);
    assert_true(warm * 2 < cold); /* what is left: bytes of manifests, and what is not there */
    world_done(&world);
}

static void it_goes_on_after_a_repository(void **state)
{
    struct env *env = *state;
    struct world world;
    world_build(env, &world);
    struct reindexing op;
    assert_int_equal(run_reindex(env, "library/other", &op), OK);
    assert_int_equal(op.run.repositories, 2);
    assert_int_equal(run_reindex(env, "library/test/nested", &op), OK);
    assert_int_equal(op.run.repositories, 0);
    world_done(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_without_content_is_done_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(afterwards_the_index_answers_without_the_store, setup, teardown),
        cmocka_unit_test_setup_teardown(it_goes_on_after_a_repository, setup, teardown),
    };
    return cmocka_run_group_tests_name("reindex", tests, NULL, NULL);
}
