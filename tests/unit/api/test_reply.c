/* SPDX-License-Identifier: Apache-2.0
 *
 * Entity tags, Locations and upload ranges as clients read them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minato/own.h"
#include "src/api/api_int.h"

static bool matches(const char *list)
{
    return api_int_etag_matches(slice_from_cstr(list), SLICE("\"sha256:ab\""));
}

static void an_entity_tag_is_found_in_a_list(void **state)
{
    (void)state;
    assert_true(matches("\"sha256:ab\""));
    assert_true(matches("W/\"sha256:ab\""));
    assert_true(matches("\"x\", \"sha256:ab\""));
    assert_true(matches("\"x\" ,W/\"sha256:ab\",\"y\""));
    assert_true(matches("*"));
}

static void other_entity_tags_do_not_match(void **state)
{
    (void)state;
    assert_false(matches(""));
    assert_false(matches(","));
    assert_false(matches("sha256:ab"));
    assert_false(matches("\"sha256:a\""));
    assert_false(matches("\"x\", *"));
}

static struct slice location_for(char *external_url, struct arena *arena)
{
    struct config config = {.http = {.external_url = external_url}};
    struct api_services services = {.config = &config};
    struct api_call call = {.services = &services};
    return api_int_location(&call, SLICE("/v2/a"), arena);
}

static void locations_are_relative_unless_there_is_an_external_url(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    char plain[] = "https://r.example.com";
    char slashed[] = "https://r.example.com/";
    assert_true(slice_equal(location_for(NULL, &arena), SLICE("/v2/a")));
    assert_true(slice_equal(location_for(plain, &arena), SLICE("https://r.example.com/v2/a")));
    assert_true(slice_equal(location_for(slashed, &arena), SLICE("https://r.example.com/v2/a")));
}

static void an_empty_upload_has_the_range_docker_can_read(void **state)
{
    (void)state;
    OWNED(arena_done) struct arena arena;
    arena_init(&arena);
    assert_true(slice_equal(api_int_upload_range(0, &arena), SLICE("0-0")));
    assert_true(slice_equal(api_int_upload_range(1, &arena), SLICE("0-0")));
    assert_true(slice_equal(api_int_upload_range(1048576, &arena), SLICE("0-1048575")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entity_tag_is_found_in_a_list),
        cmocka_unit_test(other_entity_tags_do_not_match),
        cmocka_unit_test(locations_are_relative_unless_there_is_an_external_url),
        cmocka_unit_test(an_empty_upload_has_the_range_docker_can_read),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
