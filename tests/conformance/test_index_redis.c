/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in Redis keeps the contract of index.h on a real server.
 */
#include "index_suite.h"
#include "redis_place.h"

#define TTL_MS 3600000u

int main(void)
{
    struct redis_place place;
    redis_place_init(&place, TTL_MS);
    struct index_subject subject = {.name = "redis",
                                    .data = &place,
                                    .open = redis_place_open,
                                    .close = redis_place_close,
                                    .lose_a_key = redis_place_lose_a_key,
                                    .is_shared = true};
    return index_suite_run(&subject);
}
