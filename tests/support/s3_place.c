/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 store that a test was given: see s3_place.h.
 */
#include "s3_place.h"

#include <stdio.h>
#include <stdlib.h>

char *s3_place_variable(const char *name)
{
    char *value = getenv(name);
    if (value == NULL) {
        (void)fprintf(stderr, "%s is not set: this is run by tests/run.sh --only s3\n", name);
        exit(1);
    }
    return value;
}

void s3_place_configure(struct config *config)
{
    static char region[] = "us-east-1";
    config->storage.s3.region = region;
    config->storage.s3.endpoint = s3_place_variable("MINATO_TESTS_S3_ENDPOINT");
    config->storage.s3.bucket = s3_place_variable("MINATO_TESTS_S3_BUCKET");
    config->storage.s3.access_key = s3_place_variable("MINATO_TESTS_S3_ACCESS_KEY");
    config->storage.s3.secret_key.value = s3_place_variable("MINATO_TESTS_S3_SECRET_KEY");
    config->storage.s3.path_style = true;
    config->uploads.part_bytes = S3_PLACE_PART_BYTES;
}
