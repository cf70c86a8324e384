/* SPDX-License-Identifier: Apache-2.0
 *
 * The S3 driver keeps the contract of storage_driver.h against a real store (s3_place.h), which the phase `s3` of
 * tests/run.sh starts. With MINATO_TESTS_S3_GOOGLE the store is Google's; it names the key of a service account, or is
 * empty. With MINATO_TESTS_S3_NEEDS_ALL_PARTS see storage_driver_suite.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "s3_place.h"
#include "storage-drivers/s3/s3.h"
#include "storage_driver_suite.h"

struct place {
    struct config config;
    char prefix[64]; /* of one test */
    unsigned tests;
};

static void name_place(struct place *place)
{
    (void)snprintf(place->prefix, sizeof(place->prefix), "suite/%ld-%u", (long)getpid(), place->tests++);
    place->config.storage.s3.prefix = place->prefix;
}

static size_t leave_place(void *data)
{
    name_place(data);
    return 0;
}

static struct storage *open_place(void *data, struct pool *pool)
{
    struct place *place = data;
    struct strbuf why;
    void *self;
    strbuf_init(&why, 4096);
    if (s3_driver.open(&place->config, pool, &why, &self) != OK) {
        (void)fprintf(stderr, "%s\n", why.ptr);
        abort();
    }
    strbuf_done(&why);
    return storage_wrap(&s3_driver, self, NULL);
}

static void close_place(void *data, struct storage *storage)
{
    (void)data;
    storage_close(storage);
}

int main(void)
{
    struct place place = {0};
    s3_place_configure(&place.config);
    char *google_key = getenv("MINATO_TESTS_S3_GOOGLE");
    if (google_key != NULL)
        place.config.storage.s3.dialect = S3_DIALECT_GOOGLE;
    if (google_key != NULL && google_key[0] != '\0')
        place.config.storage.s3.google_key_file = google_key;
    name_place(&place);
    struct storage_subject subject = {.name = "s3",
                                      .data = &place,
                                      .open = open_place,
                                      .close = close_place,
                                      .dispose = leave_place,
                                      .can_restart = true,
                                      .has_etags_of_content = true,
                                      .needs_all_parts = getenv("MINATO_TESTS_S3_NEEDS_ALL_PARTS") != NULL};
    return storage_driver_suite_run(&subject);
}
