/* SPDX-License-Identifier: Apache-2.0
 *
 * Who the client is, and what it asked for, behind proxies that we trust: Forwarded (RFC 7239), or X-Forwarded-For,
 * -Proto and -Host where it is absent. Each proxy appends who it heard from, so the walk goes from the right, past
 * every proxy that is trusted, to the first address that is not. A malformed header is ignored as a whole.
 */
#include <string.h>

#include "http_int.h"
#include "minato/network.h"

#define HOPS_MAX 32

struct hop {
    struct slice client; /* "for": an address, perhaps with a port, or a name that hides it */
    struct slice proto;
    struct slice host;
};

bool http_int_is_trusted(const struct http_server *server, const struct ip_address *address)
{
    for (size_t i = 0; i < server->settings.trusted_count; i++)
        if (network_contains(&server->settings.trusted[i], address))
            return true;
    return false;
}

/* ---- lists ---- */

/* Cuts the first item off `*list`, minding quotes; false at a quote that does not end. */
static bool cut_item(struct slice *list, char separator, struct slice *ret_item)
{
    bool is_quoted = false;
    for (size_t i = 0; i < list->len; i++) {
        char ch = list->ptr[i];
        if (is_quoted && ch == '\\')
            i++;
        else if (ch == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && ch == separator) {
            *ret_item = slice_trim(slice_of(list->ptr, i));
            *list = slice_from(*list, i + 1);
            return true;
        }
    }
    *ret_item = slice_trim(*list);
    *list = SLICE_EMPTY;
    return !is_quoted;
}

static bool unquote(struct slice *value)
{
    if (value->len == 0 || value->ptr[0] != '"')
        return memchr(value->ptr, '"', value->len) == NULL;
    if (value->len < 2 || value->ptr[value->len - 1] != '"' || memchr(value->ptr, '\\', value->len) != NULL)
        return false; /* escapes have no use in what we read */
    *value = slice_of(value->ptr + 1, value->len - 2);
    return true;
}

static bool take_pair(struct hop *hop, struct slice pair)
{
    struct slice name;
    struct slice value;
    if (pair.len == 0)
        return true;
    if (!slice_split(pair, '=', &name, &value) || value.len == 0 || !unquote(&value))
        return false;
    if (slice_equal_nocase(name, SLICE("for")))
        hop->client = value;
    else if (slice_equal_nocase(name, SLICE("proto")))
        hop->proto = value;
    else if (slice_equal_nocase(name, SLICE("host")))
        hop->host = value;
    return true;
}

static bool take_element(struct hop *hop, struct slice element)
{
    while (element.len > 0) {
        struct slice pair;
        if (!cut_item(&element, ';', &pair) || !take_pair(hop, pair))
            return false;
    }
    return true;
}

/* The hops of all headers called `name`; 0 if there are none, or if they are malformed or too many. */
static size_t read_hops(const struct http_request *req, struct slice name, bool has_pairs, struct hop *hops)
{
    size_t count = 0;
    for (size_t i = 0; i < req->field_count; i++) {
        struct slice list = req->fields[i].value;
        if (!slice_equal(req->fields[i].name, name))
            continue;
        while (list.len > 0) {
            struct slice item;
            if (count == HOPS_MAX || !cut_item(&list, ',', &item) || item.len == 0)
                return 0;
            hops[count] = (struct hop){.client = item};
            if (has_pairs) {
                hops[count].client = SLICE_EMPTY;
                if (!take_element(&hops[count], item))
                    return 0;
            }
            count++;
        }
    }
    return count;
}

/* The last item of the last header called `name`. */
static struct slice last_item(const struct http_request *req, struct slice name)
{
    struct hop hops[HOPS_MAX];
    size_t count = read_hops(req, name, false, hops);
    return count == 0 ? SLICE_EMPTY : hops[count - 1].client;
}

/* ---- addresses ---- */

/* "1.2.3.4", "1.2.3.4:80", "[2001:db8::1]:80", and, as X-Forwarded-For has it, "2001:db8::1". */
static enum result address_of(struct slice text, struct ip_address *ret_address)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);
        return end == NULL ? INVALID
                           : ip_address_parse(slice_of(text.ptr + 1, (size_t)(end - text.ptr) - 1), ret_address);
    }
    if (ip_address_parse(text, ret_address) == OK)
        return OK;
    struct slice host;
    struct slice port;
    return slice_split(text, ':', &host, &port) ? ip_address_parse(host, ret_address) : INVALID;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] <= 0x20 || text.ptr[i] > 0x7e)
            return false;
    return text.len > 0 && text.len < HTTP_PEER_BYTES_MAX;
}

/* The first hop from the right that no trusted proxy stands for; the leftmost if all are. */
static const struct hop *find_client(const struct http_server *server, const struct hop *hops, size_t count)
{
    struct ip_address address;
    size_t i = count - 1;
    while (i > 0 && address_of(hops[i].client, &address) == OK && http_int_is_trusted(server, &address))
        i--;
    return &hops[i];
}

void http_int_forwarded_apply(struct http_request *req, const struct ip_address *sender)
{
    struct hop hops[HOPS_MAX];
    const struct http_server *server = req->server;
    if (server->settings.trusted_count == 0 || !http_int_is_trusted(server, sender))
        return;
    bool is_standard = http_request_header(req, SLICE("forwarded")).ptr != NULL;
    size_t count = read_hops(req, is_standard ? SLICE("forwarded") : SLICE("x-forwarded-for"), is_standard, hops);
    struct hop client = {0};
    if (count > 0)
        client = *find_client(server, hops, count);
    if (!is_standard) {
        client.proto = last_item(req, SLICE("x-forwarded-proto"));
        client.host = last_item(req, SLICE("x-forwarded-host"));
    }
    if (is_printable(client.client))
        req->peer = client.client;
    if (client.proto.len > 0)
        req->is_secure = slice_equal_nocase(client.proto, SLICE("https"));
    if (client.host.len > 0 && http_int_is_host(client.host))
        req->host = client.host;
}
