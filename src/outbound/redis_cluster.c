/* SPDX-License-Identifier: Apache-2.0
 *
 * The connections of one loop: one, or of a cluster one to each primary and one to a seed that tells who they are. A
 * command goes to whom the slot of its key belonged when that was asked last; refused there (MOVED), it is asked
 * again, and what was refused is the caller's. On the loop's thread.
 */
#include "redis_int.h"

#include <stdlib.h>

#define ASK_EVERY_MS 100u

struct redis_hub *redis_hub_new(struct redis_client *client, struct loop *loop)
{
    struct redis_hub *hub = xcalloc(1, sizeof(*hub));
    hub->client = client;
    hub->loop = loop;
    hub->links[0] = redis_link_new(hub, client->url.is_cluster ? REDIS_SEED : REDIS_SERVER);
    hub->link_count = 1;
    redis_link_begin(hub->links[0]);
    return hub;
}

void redis_hub_free(struct redis_hub *hub)
{
    if (hub == NULL)
        return;
    for (size_t i = 0; i < hub->link_count; i++)
        redis_link_free(hub->links[i]);
    free(hub);
}

/* ---- whose is a key? Redis' cluster specification, "Key distribution model" ---- */

/* CRC-16/XMODEM. */
static unsigned slot_of(struct slice hashed)
{
    unsigned crc = 0;
    for (size_t i = 0; i < hashed.len; i++) {
        crc ^= (unsigned)(unsigned char)hashed.ptr[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc << 1 ^ ((crc & 0x8000u) != 0 ? 0x1021u : 0)) & 0xffffu;
    }
    return crc % REDIS_SLOTS;
}

static bool is_usable(const struct redis_link *link)
{
    return link->state == REDIS_READY && link->role != REDIS_SEED;
}

struct redis_link *redis_hub_link(struct redis_hub *hub, struct slice hashed)
{
    unsigned at = hub->client->url.is_cluster ? hub->slots[slot_of(hashed)] : 0;
    return is_usable(hub->links[at]) ? hub->links[at] : NULL;
}

bool redis_hub_is_ready(struct redis_hub *hub)
{
    if (!hub->client->url.is_cluster)
        return is_usable(hub->links[0]);
    for (size_t slot = 0; slot < REDIS_SLOTS; slot++)
        if (!is_usable(hub->links[hub->slots[slot]]))
            return false;
    return true;
}

/* ---- asking ---- */

static void on_slots(struct redis_command *command, const struct redis_reply *reply)
{
    struct redis_hub *hub = (struct redis_hub *)(void *)((char *)command - offsetof(struct redis_hub, question));
    hub->is_asking = false;
    if (reply != NULL)
        redis_hub_take_slots(hub, reply, &command->link->address);
}

void redis_hub_ask(struct redis_hub *hub)
{
    uint64_t now_ms = loop_now_ms(hub->loop);
    if (hub->is_asking || now_ms - hub->asked_ms < ASK_EVERY_MS)
        return; /* who is refused again asks again, and so does a link that rests */
    hub->asked_ms = now_ms;
    hub->question.answered = on_slots;
    for (size_t i = 0; i < hub->link_count && !hub->is_asking; i++)
        hub->is_asking =
            redis_link_send(hub->links[i], &hub->question, (struct slice[]){SLICE("CLUSTER"), SLICE("SLOTS")}, 2);
}

/* ---- the answer: [[first, last, [host, port, ..], replica..]..] ---- */

static bool parse_node(const struct redis_reply *node, const struct redis_address *asked,
                       struct redis_address *ret_address)
{
    struct slice host = SLICE_EMPTY;
    int64_t port;
    (void)redis_reply_text(redis_reply_at(node, 0), &host);
    if (!redis_reply_number(redis_reply_at(node, 1), &port) || port <= 0 || port > UINT16_MAX ||
        host.len > REDIS_HOST_MAX)
        return false;
    *ret_address = *asked;
    if (host.len > 0) {
        memcpy(ret_address->host, host.ptr, host.len);
        ret_address->host[host.len] = '\0';
    }
    ret_address->port = (uint16_t)port;
    return true;
}

static bool is_at(const struct redis_link *link, const struct redis_address *address)
{
    return link->address.port == address->port && strcmp(link->address.host, address->host) == 0;
}

/* The place of the link to this primary; 0: there are too many. */
static size_t ensure_link(struct redis_hub *hub, const struct redis_address *address)
{
    for (size_t i = 1; i < hub->link_count; i++)
        if (is_at(hub->links[i], address))
            return i;
    if (hub->link_count == 1 + REDIS_NODES_MAX)
        return 0;
    struct redis_link *link = redis_link_new(hub, REDIS_NODE);
    link->address = *address;
    link->is_retired = true; /* until it is seen to have slots */
    hub->links[hub->link_count] = link;
    return hub->link_count++;
}

static void take_range(struct redis_hub *hub, const struct redis_reply *range, const struct redis_address *asked,
                       bool has_slots[1 + REDIS_NODES_MAX])
{
    struct redis_address address;
    int64_t first, last;
    if (!redis_reply_number(redis_reply_at(range, 0), &first) || !redis_reply_number(redis_reply_at(range, 1), &last) ||
        first < 0 || last >= (int64_t)REDIS_SLOTS || !parse_node(redis_reply_at(range, 2), asked, &address))
        return;
    size_t at = ensure_link(hub, &address);
    has_slots[at] = true;
    for (int64_t slot = first; slot <= last; slot++)
        hub->slots[slot] = (uint8_t)at;
}

/* A key may be another link's now: what that was told when it was not counts no more. */
static void update_link(struct redis_link *link, bool has_slots)
{
    bool was_retired = link->is_retired;
    link->mark = 0;
    link->is_retired = !has_slots;
    if (has_slots && was_retired && link->state == REDIS_RESTING && !timer_is_running(&link->timer))
        redis_link_begin(link);
    else if (!has_slots && !was_retired)
        redis_link_fail(link, "it has no slots any more");
}

void redis_hub_take_slots(struct redis_hub *hub, const struct redis_reply *reply, const struct redis_address *asked)
{
    bool has_slots[1 + REDIS_NODES_MAX] = {false};
    memset(hub->slots, 0, sizeof(hub->slots));
    for (size_t i = 0; i < redis_reply_count(reply); i++)
        take_range(hub, redis_reply_at(reply, i), asked, has_slots);
    for (size_t i = 1; i < hub->link_count; i++)
        update_link(hub->links[i], has_slots[i]);
}
