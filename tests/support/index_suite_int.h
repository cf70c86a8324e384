/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of the index suite.
 */
#ifndef MINATO_TEST_INDEX_SUITE_INT_H
#define MINATO_TEST_INDEX_SUITE_INT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "await.h"
#include "index_suite.h"

struct suite {
    const struct index_subject *subject;
    struct loop *loop;
    struct pool *pool;
    struct index *replicas[2];
    struct arena arena;
};

static inline struct index_key index_suite_key(enum index_kind kind, const char *repo, const char *name)
{
    return (struct index_key){kind, {slice_from_cstr(repo)}, slice_from_cstr(name)};
}

struct suite *index_suite_open(const struct index_subject *subject);
void index_suite_close(struct suite *s);

/* Readers, fillers and writers take steps in a random order; whatever is known must be true. */
void index_suite_values_in_random_order(void **state);
void index_suite_lists_in_random_order(void **state);
/* The same while the index loses keys. */
void index_suite_values_that_are_lost(void **state);
void index_suite_lists_that_are_lost(void **state);

#endif
