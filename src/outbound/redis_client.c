/* SPDX-License-Identifier: Apache-2.0
 *
 * The door to Redis: the client with its connections for each loop, and what a reply says.
 */
#include "redis_int.h"

#include <stdlib.h>

enum result redis_client_new(const struct redis_client_settings *settings, struct strbuf *ret_why,
                             struct redis_client **ret_client)
{
    struct redis_url url;
    enum result r = redis_url_parse(settings->url, ret_why, &url);
    if (r != OK)
        return r;
    struct redis_client *client = xcalloc(1, sizeof(*client));
    client->settings = *settings;
    client->settings.url = SLICE_EMPTY; /* it was the caller's */
    client->url = url;
    *ret_client = client;
    return OK;
}

void redis_client_start(struct redis_client *client, struct loop *loop)
{
    unsigned index = loop_index(loop);
    if (index >= client->hub_count) {
        client->hubs = xrealloc(client->hubs, (index + 1) * sizeof(client->hubs[0]));
        for (size_t i = client->hub_count; i <= index; i++)
            client->hubs[i] = NULL;
        client->hub_count = index + 1;
    }
    client->hubs[index] = redis_hub_new(client, loop);
}

void redis_client_free(struct redis_client *client)
{
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->hub_count; i++)
        redis_hub_free(client->hubs[i]);
    free(client->hubs);
    redis_url_done(&client->url);
    free(client);
}

static struct redis_hub *hub_of(const struct redis_client *client, const struct loop *loop)
{
    unsigned index = loop_index(loop);
    return index < client->hub_count ? client->hubs[index] : NULL;
}

struct redis_link *redis_client_link(struct redis_client *client, struct loop *loop, struct slice hashed)
{
    struct redis_hub *hub = hub_of(client, loop);
    return hub != NULL ? redis_hub_link(hub, hashed) : NULL;
}

bool redis_client_is_ready(struct redis_client *client, struct loop *loop)
{
    struct redis_hub *hub = hub_of(client, loop);
    return hub != NULL && redis_hub_is_ready(hub);
}

struct loop *redis_link_loop(const struct redis_link *link)
{
    return link->loop;
}

struct slice redis_link_run_id(const struct redis_link *link)
{
    return slice_of(link->run_id, REDIS_RUN_ID_LENGTH);
}

uint64_t *redis_link_mark(struct redis_link *link)
{
    return &link->mark;
}

bool redis_link_run(struct redis_link *link, struct redis_command *command, unsigned script, const struct slice *keys,
                    size_t key_count, const struct slice *arguments, size_t count)
{
    struct slice words[REDIS_ARGUMENTS_MAX];
    char number = (char)('0' + key_count);
    size_t n = 0;
    if (3 + key_count + count > REDIS_ARGUMENTS_MAX || key_count > 9)
        return false;
    words[n++] = SLICE("EVALSHA");
    words[n++] = slice_of(link->hashes[script], 40);
    words[n++] = slice_of(&number, 1);
    for (size_t i = 0; i < key_count; i++)
        words[n++] = keys[i];
    for (size_t i = 0; i < count; i++)
        words[n++] = arguments[i];
    return redis_link_send(link, command, words, n);
}

/* ---- replies ---- */

static const redisReply *reply_of(const struct redis_reply *reply)
{
    return (const redisReply *)(const void *)reply;
}

bool redis_reply_text(const struct redis_reply *reply, struct slice *ret_text)
{
    const redisReply *r = reply_of(reply);
    if (r == NULL || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
        return false;
    *ret_text = slice_of(r->str, (size_t)r->len);
    return true;
}

bool redis_reply_number(const struct redis_reply *reply, int64_t *ret_number)
{
    const redisReply *r = reply_of(reply);
    if (r == NULL || r->type != REDIS_REPLY_INTEGER)
        return false;
    *ret_number = r->integer;
    return true;
}

size_t redis_reply_count(const struct redis_reply *reply)
{
    const redisReply *r = reply_of(reply);
    return r != NULL && r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const struct redis_reply *redis_reply_at(const struct redis_reply *reply, size_t i)
{
    return i < redis_reply_count(reply) ? (const struct redis_reply *)(const void *)reply_of(reply)->element[i] : NULL;
}
