/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses and networks. IPv4 is mapped, so that one comparison does for both.
 */
#include "minato/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define ADDRESS_BITS 128u
#define MAPPED_BITS 96u

static void map_v4(const void *v4, struct ip_address *ret_address)
{
    memset(ret_address->bytes, 0, 10);
    memset(ret_address->bytes + 10, 0xff, 2);
    memcpy(ret_address->bytes + 12, v4, 4);
}

static enum result parse(struct slice text, struct ip_address *ret_address, bool *ret_is_v4)
{
    char buf[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (text.len == 0 || text.len >= sizeof(buf) || memchr(text.ptr, '\0', text.len) != NULL)
        return INVALID;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = '\0';
    *ret_is_v4 = inet_pton(AF_INET, buf, &v4) == 1;
    if (*ret_is_v4)
        map_v4(&v4, ret_address);
    return *ret_is_v4 || inet_pton(AF_INET6, buf, ret_address->bytes) == 1 ? OK : INVALID;
}

enum result ip_address_parse(struct slice text, struct ip_address *ret_address)
{
    bool is_v4;
    return parse(text, ret_address, &is_v4);
}

bool ip_address_of(const struct sockaddr_storage *addr, struct ip_address *ret_address)
{
    if (addr->ss_family == AF_INET)
        map_v4(&((const struct sockaddr_in *)(const void *)addr)->sin_addr, ret_address);
    else if (addr->ss_family == AF_INET6)
        memcpy(ret_address->bytes, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    return addr->ss_family == AF_INET || addr->ss_family == AF_INET6;
}

static bool has_bits_behind(const struct network *network)
{
    for (unsigned bit = network->bits; bit < ADDRESS_BITS; bit++)
        if ((network->address.bytes[bit / 8] & (0x80u >> bit % 8)) != 0)
            return true;
    return false;
}

enum result network_parse(struct slice text, struct network *ret_network)
{
    struct slice address = text;
    struct slice suffix = SLICE_EMPTY;
    bool has_suffix = slice_split(text, '/', &address, &suffix);
    bool is_v4 = false;
    uint64_t bits = 0;
    if (parse(address, &ret_network->address, &is_v4) != OK)
        return INVALID;
    unsigned bits_max = is_v4 ? ADDRESS_BITS - MAPPED_BITS : ADDRESS_BITS;
    if (!has_suffix)
        bits = bits_max;
    else if (slice_parse_u64(suffix, &bits) != OK || bits > bits_max)
        return INVALID;
    ret_network->bits = (unsigned)bits + (is_v4 ? MAPPED_BITS : 0);
    return has_bits_behind(ret_network) ? INVALID : OK;
}

bool network_contains(const struct network *network, const struct ip_address *address)
{
    unsigned whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return rest == 0 || ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}
