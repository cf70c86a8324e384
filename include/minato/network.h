/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses and networks as values: IPv6, with IPv4 mapped into it (RFC 4291, section 2.5.5.2). Pure; any thread.
 */
#ifndef MINATO_NETWORK_H
#define MINATO_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "minato/result.h"
#include "minato/slice.h"

struct ip_address {
    uint8_t bytes[16];
};

struct network {
    struct ip_address address;
    unsigned bits;
};

/* "10.1.2.3", "2001:db8::1"; INVALID else. */
enum result ip_address_parse(struct slice text, struct ip_address *ret_address) NODISCARD;
/* Of a socket's peer; false if it is neither IPv4 nor IPv6. */
bool ip_address_of(const struct sockaddr_storage *addr, struct ip_address *ret_address);
/* "10.0.0.0/8", "2001:db8::/32", or a single address. INVALID also if bits behind the prefix are set. */
enum result network_parse(struct slice text, struct network *ret_network) NODISCARD;
bool network_contains(const struct network *network, const struct ip_address *address);

#endif
