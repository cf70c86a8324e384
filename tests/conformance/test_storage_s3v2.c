/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver on libs3 keeps the contract of storage_driver.h against a real store, named as for test_storage_s3.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "s3_place.h"
#include "storage-drivers/s3v2/s3v2.h"
#include "storage_driver_suite.h"

#if MINATO_S3V2

struct place {
    struct config config;
    char prefix[64]; /* of one test */
    unsigned tests;
};

static void name_place(struct place *place)
{
    (void)snprintf(place->prefix, sizeof(place->prefix), "suite-v2/%ld-%u", (long)getpid(), place->tests++);
    place->config.storage.s3v2.prefix = place->prefix;
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
    if (s3v2_driver.open(&place->config, pool, &why, &self) != OK) {
        (void)fprintf(stderr, "%s\n", why.ptr);
        abort();
    }
    strbuf_done(&why);
    return storage_wrap(&s3v2_driver, self, NULL);
}

static void close_place(void *data, struct storage *storage)
{
    (void)data;
    storage_close(storage);
}

int main(void)
{
    struct place place = {0};
    place.config.storage.s3v2.endpoint = s3_place_variable("MINATO_TESTS_S3_ENDPOINT");
    place.config.storage.s3v2.bucket = s3_place_variable("MINATO_TESTS_S3_BUCKET");
    place.config.storage.s3v2.access_key = s3_place_variable("MINATO_TESTS_S3_ACCESS_KEY");
    place.config.storage.s3v2.secret_key.value = s3_place_variable("MINATO_TESTS_S3_SECRET_KEY");
    place.config.storage.s3v2.path_style = true;
    place.config.uploads.part_bytes = S3_PLACE_PART_BYTES;
    name_place(&place);
    struct storage_subject subject = {.name = "s3v2",
                                      .data = &place,
                                      .open = open_place,
                                      .close = close_place,
                                      .dispose = leave_place,
                                      .can_restart = true,
                                      .has_etags_of_content = true,
                                      .cuts_readers = true};
    return storage_driver_suite_run(&subject);
}

#else

int main(void)
{
    return 0;
}

#endif
