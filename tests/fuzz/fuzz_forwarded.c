/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as Forwarded, or, behind a first byte of 1, as X-Forwarded-For: a sender is named by printable characters of
 * bounded length, and a host has its grammar.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/http/http_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct network trusted[2];
    struct ip_address sender;
    if (network_parse(SLICE("10.0.0.0/8"), &trusted[0]) != OK || network_parse(SLICE("::1"), &trusted[1]) != OK ||
        ip_address_parse(SLICE("10.0.0.1"), &sender) != OK)
        abort();
    bool is_list = size > 0 && data[0] == 1;
    struct slice text = slice_of((const char *)data + (is_list ? 1 : 0), size - (is_list ? 1 : 0));
    struct http_field fields[2] = {{is_list ? SLICE("x-forwarded-for") : SLICE("forwarded"), text},
                                   {SLICE("x-forwarded-host"), text}};
    struct http_server server = {.settings = {.trusted = trusted, .trusted_count = 2}};
    struct http_request req = {
        .server = &server, .fields = fields, .field_count = 2, .peer = SLICE("10.0.0.1:1"), .host = SLICE("a")};
    http_int_forwarded_apply(&req, &sender);
    if (req.peer.len == 0 || req.peer.len > HTTP_PEER_BYTES_MAX || !http_int_is_host(req.host))
        abort();
    for (size_t i = 0; i < req.peer.len; i++)
        if (req.peer.ptr[i] <= 0x20 || req.peer.ptr[i] > 0x7e)
            abort();
    return 0;
}
