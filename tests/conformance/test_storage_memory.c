/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory driver of the tests keeps the contract of storage_driver.h, as a filesystem and as S3 would, at once and
 * through the fault driver with every completion late.
 */
#include "fault_driver.h"
#include "memory_driver.h"
#include "storage_driver_suite.h"

struct place {
    struct storage_capabilities capabilities;
    bool is_deferred;
    void *memory;
};

static struct storage *open_place(void *data, struct pool *pool)
{
    struct place *place = data;
    (void)pool;
    place->memory = memory_driver_new(place->capabilities);
    if (!place->is_deferred)
        return storage_wrap(&memory_driver, place->memory, NULL);
    struct fault_driver *fault = fault_driver_new(&memory_driver, place->memory);
    fault_driver_defer(fault, true);
    return storage_wrap(&fault_driver, fault, NULL);
}

static void close_place(void *data, struct storage *storage)
{
    (void)data;
    storage_close(storage);
}

int main(void)
{
    struct storage_capabilities weak = memory_driver_like_s3(300000);
    weak.can_presign = false;
    weak.can_put_if_match = false;
    struct place places[] = {{memory_driver_like_filesystem(), false, NULL},
                             {memory_driver_like_s3(65536), false, NULL},
                             {weak, false, NULL},
                             {memory_driver_like_filesystem(), true, NULL},
                             {memory_driver_like_s3(65536), true, NULL}};
    static const char *const names[] = {"memory like filesystem", "memory like s3", "memory that can little",
                                        "memory like filesystem, late", "memory like s3, late"};
    int failed = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct storage_subject subject = {
            .name = names[i], .data = &places[i], .open = open_place, .close = close_place};
        failed += storage_driver_suite_run(&subject);
    }
    return failed;
}
