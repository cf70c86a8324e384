/* SPDX-License-Identifier: Apache-2.0
 *
 * What the suite's files share: the fixture of one test and the words the tests are written in.
 */
#ifndef MINATO_TEST_STORAGE_DRIVER_SUITE_INT_H
#define MINATO_TEST_STORAGE_DRIVER_SUITE_INT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "await.h"
#include "storage_driver_suite.h"

#define SUITE_PAGES_BYTES ((size_t)128 << 20)
#define SUITE_GET_MAX ((size_t)64 << 20)

struct suite {
    const struct storage_subject *subject;
    struct loop *loop;
    struct pool *pool;
    struct storage *storage;
    struct arena arena;
};

struct suite_test {
    const char *name;
    CMUnitTestFunction run;
};
#define SUITE_TEST(function)                                                                                           \
    {                                                                                                                  \
#function, function                                                                                            \
    }

extern const struct suite_test suite_object_tests[];
extern const size_t suite_object_test_count;
extern const struct suite_test suite_read_tests[];
extern const size_t suite_read_test_count;
extern const struct suite_test suite_parts_tests[];
extern const size_t suite_parts_test_count;

/* ---- words; they fail the test unless the outcome is as said ---- */

#define suite_expect(expected, actual) assert_string_equal(result_name(actual), result_name(expected))

/* `size` bytes that depend on `seed`, in the test's arena. */
struct slice suite_bytes(struct suite *s, size_t size, unsigned seed);
void suite_put(struct suite *s, const char *path, struct slice bytes);
enum result suite_try_put(struct suite *s, const char *path, struct slice bytes, unsigned flags) NODISCARD;
void suite_delete(struct suite *s, const char *path);
struct storage_object suite_stat(struct suite *s, const char *path);
void suite_expect_bytes(struct suite *s, const char *path, struct slice bytes);
void suite_expect_absent(struct suite *s, const char *path);
/* The names below `folder`, in the store's order, each folder's with a '/', joined by spaces. */
struct slice suite_names(struct suite *s, const char *folder, size_t limit);
/* Closes the store and opens it again. */
void suite_restart(struct suite *s);

#endif
