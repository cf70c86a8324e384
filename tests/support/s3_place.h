/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 store that a test was given by the environment: MINATO_TESTS_S3_ENDPOINT, _BUCKET, _ACCESS_KEY and
 * _SECRET_KEY.
 */
#ifndef MINATO_TEST_S3_PLACE_H
#define MINATO_TEST_S3_PLACE_H

#include "minato/config.h"

#define S3_PLACE_PART_BYTES (5u << 20) /* the smallest that stores take */

/* An environment variable; exits with a message where it is not set. */
char *s3_place_variable(const char *name);
void s3_place_configure(struct config *config);

#endif
