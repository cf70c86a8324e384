/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses to listen on, as the configuration writes them and as messages show them.
 */
#include "http_int.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define HOST_BYTES_MAX 253

static enum result complain(struct slice text, const char *what, struct strbuf *ret_why)
{
    strbuf_append_format(ret_why, "\"%.*s\" %s", SLICE_ARG(text), what);
    return INVALID;
}

/* The last colon separates the port; the colons of an IPv6 address stand in brackets. */
static bool split_port(struct slice text, struct slice *ret_host, struct slice *ret_port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;
    *ret_port = slice_from(text, colon);
    struct slice host = slice_of(text.ptr, colon - 1);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_of(host.ptr + 1, host.len - 2);
    else if (host.len > 0 && memchr(host.ptr, ':', host.len) != NULL)
        return false;
    *ret_host = host;
    return true;
}

enum result http_address_resolve(struct slice text, struct http_address *ret_address, struct strbuf *ret_why)
{
    struct slice host;
    struct slice port;
    uint64_t number;
    char node[HOST_BYTES_MAX + 1];
    char service[8];
    if (!split_port(text, &host, &port))
        return complain(text, "is not an address: write host:port, :port or [IPv6]:port", ret_why);
    if (slice_parse_u64(port, &number) != OK || number > 65535)
        return complain(text, "has no port between 0 and 65535", ret_why);
    if (host.len > HOST_BYTES_MAX || (host.len > 0 && memchr(host.ptr, '\0', host.len) != NULL))
        return complain(text, "has no valid host name", ret_why);
    if (host.len > 0)
        memcpy(node, host.ptr, host.len);
    node[host.len] = '\0';
    (void)snprintf(service, sizeof(service), "%u", (unsigned)number);
    struct addrinfo hints = {
        .ai_family = host.len == 0 ? AF_INET : AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int err = getaddrinfo(host.len == 0 ? NULL : node, service, &hints, &found);
    if (err != 0 || found == NULL)
        return complain(text, gai_strerror(err != 0 ? err : EAI_NONAME), ret_why);
    /* Of a name with several addresses ("localhost") take IPv4 first: what clients try, and what others print. */
    const struct addrinfo *best = found;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        if (at->ai_family == AF_INET && best->ai_family != AF_INET)
            best = at;
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(&ret_address->addr, best->ai_addr, best->ai_addrlen);
    ret_address->len = best->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

void http_address_format(const struct http_address *address, struct strbuf *out)
{
    char text[INET6_ADDRSTRLEN];
    if (address->addr.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&address->addr;
        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        strbuf_append_format(out, "%s:%u", text, (unsigned)ntohs(in->sin_port));
    } else if (address->addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&address->addr;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
        strbuf_append_format(out, "[%s]:%u", text, (unsigned)ntohs(in->sin6_port));
    } else {
        strbuf_append_cstr(out, "local");
    }
}
