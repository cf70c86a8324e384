/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "minato/network.h"

static bool contains(const char *network, const char *address)
{
    struct network n;
    struct ip_address a;
    assert_int_equal(network_parse(slice_from_cstr(network), &n), OK);
    assert_int_equal(ip_address_parse(slice_from_cstr(address), &a), OK);
    return network_contains(&n, &a);
}

static void a_network_contains_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.1.2"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("10.1.2.3", "10.1.2.3"));
    assert_false(contains("10.1.2.3", "10.1.2.4"));
    assert_true(contains("192.168.4.0/22", "192.168.7.255"));
    assert_false(contains("192.168.4.0/22", "192.168.8.0"));
    assert_true(contains("0.0.0.0/0", "1.2.3.4"));
    assert_false(contains("0.0.0.0/0", "2001:db8::1"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("::/0", "2001:db8::1"));
    assert_true(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",        "10",        "10.0.0.0/",    "10.0.0.0/33",   "10.0.0.1/8", "10.0.0.0/-1",
        "::1/129", "localhost", "10.0.0.0/8/8", "2001:db9::/31", " 10.0.0.0",  "10.0.0.0/8 "};
    struct network n;
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(network_parse(slice_from_cstr(wrong[i]), &n), INVALID);
    assert_int_equal(network_parse(slice_of("10.0.0.0\0/8", 11), &n), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_contains_its_addresses_and_no_others),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
