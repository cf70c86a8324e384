/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said over a new connection before it is used: who we are, which process and what kind of server is it, and
 * the scripts; of a Sentinel, where the primary is; of a seed of a cluster, who has which slots. All of it at once: the
 * first refusal ends it.
 */
#include "redis_int.h"

#define VERSION_MIN 5u /* whose scripts may ask for the time */

static struct slice line_of(struct slice info, struct slice name)
{
    struct slice line;
    while (slice_split(info, '\n', &line, &info))
        if (slice_has_prefix(line, name))
            return slice_of(line.ptr + name.len, line.len - name.len - (line.ptr[line.len - 1] == '\r' ? 1 : 0));
    return SLICE_EMPTY;
}

static const char *judge_info(struct redis_link *link, struct slice info)
{
    struct slice run_id = line_of(info, SLICE("run_id:"));
    struct slice version = line_of(info, SLICE("redis_version:"));
    struct slice major = version;
    struct slice rest;
    uint64_t number;
    (void)slice_split(version, '.', &major, &rest);
    if (run_id.len < REDIS_RUN_ID_LENGTH || slice_parse_u64(major, &number) != OK)
        return "it does not say which process it is: is it Redis?";
    if (number < VERSION_MIN)
        return "it is older than Redis 5, whose scripts cannot ask for the time";
    bool is_of_cluster = slice_equal(line_of(info, SLICE("redis_mode:")), SLICE("cluster"));
    if (link->role == REDIS_SERVER && is_of_cluster)
        return "it is of a cluster: name it so (redis+cluster://)";
    if (link->role != REDIS_SERVER && !is_of_cluster)
        return "it is of no cluster: name it redis://";
    if (link->role != REDIS_SEED && !slice_equal(line_of(info, SLICE("role:")), SLICE("master")))
        return "it is a replica: name its primary, or the Sentinels that know it (redis+sentinel://)";
    memcpy(link->run_id, run_id.ptr, REDIS_RUN_ID_LENGTH);
    return NULL;
}

static void become_ready(struct redis_link *link)
{
    struct redis_client_settings *settings = &link->client->settings;
    link->state = REDIS_READY;
    link->failures = 0;
    link->has_complained = false;
    link->mark = 0;
    timer_stop(&link->timer);
    if (link->role != REDIS_SEED)
        settings->on_ready(settings->data, link);
}

static void take_greeting(struct redis_link *link, const redisReply *reply)
{
    if (reply == NULL)
        redis_link_fail(link,
                        link->ac->errstr != NULL && link->ac->errstr[0] != '\0' ? link->ac->errstr : "closed by Redis");
    else if (reply->type == REDIS_REPLY_ERROR)
        redis_link_close(link, slice_of(reply->str, (size_t)reply->len));
    else if (--link->greetings_left == 0)
        become_ready(link);
}

static void on_greeted(redisAsyncContext *ac, void *reply, void *private)
{
    (void)private;
    if (redis_link_is_current(ac))
        take_greeting(ac->data, reply);
}

static void on_info(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    (void)private;
    if (!redis_link_is_current(ac))
        return;
    const char *why = NULL;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        why = judge_info(link, slice_of(reply->str, (size_t)reply->len));
    if (why != NULL)
        redis_link_fail(link, why);
    else
        take_greeting(link, reply);
}

static void on_script_loaded(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    char *hash = private;
    if (!redis_link_is_current(ac))
        return;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == 40)
        memcpy(hash, reply->str, 41);
    take_greeting(link, reply);
}

static void on_slots(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    (void)private;
    if (!redis_link_is_current(ac))
        return;
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY)
        redis_hub_take_slots(link->hub, data, &link->address);
    take_greeting(link, reply);
}

static void greet(struct redis_link *link, redisCallbackFn *answered, void *private, const struct slice *words,
                  size_t count)
{
    const char *texts[4];
    size_t lengths[4];
    for (size_t i = 0; i < count; i++) {
        texts[i] = words[i].ptr;
        lengths[i] = words[i].len;
    }
    link->greetings_left++;
    (void)redisAsyncCommandArgv(link->ac, answered, private, (int)count, texts, lengths); /* else its deadline tells */
}

static void load_scripts(struct redis_link *link)
{
    const struct redis_client_settings *settings = &link->client->settings;
    for (size_t i = 0; i < settings->script_count; i++)
        greet(link, on_script_loaded, link->hashes[i],
              (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), slice_from_cstr(settings->scripts[i])}, 3);
}

static void greet_server(struct redis_link *link)
{
    const struct redis_url *url = &link->client->url;
    if (url->user.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("AUTH"), url->user, url->password}, 3);
    else if (url->password.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("AUTH"), url->password}, 2);
    if (url->database.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("SELECT"), url->database}, 2);
    greet(link, on_info, NULL, (struct slice[]){SLICE("INFO")}, 1);
    if (link->role == REDIS_SEED)
        greet(link, on_slots, NULL, (struct slice[]){SLICE("CLUSTER"), SLICE("SLOTS")}, 2);
    else
        load_scripts(link);
}

/* ---- Sentinel ---- */

static bool is_text(const redisReply *reply, size_t max)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && (size_t)reply->len <= max;
}

static void on_primary_named(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    struct redis_address address;
    uint64_t port;
    (void)private;
    if (!redis_link_is_current(ac))
        return;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !is_text(reply->element[0], REDIS_HOST_MAX) || !is_text(reply->element[1], 5) ||
        slice_parse_u64(slice_from_cstr(reply->element[1]->str), &port) != OK || port == 0 || port > UINT16_MAX) {
        redis_link_fail(link, "a Sentinel names no primary of that name");
        return;
    }
    memcpy(address.host, reply->element[0]->str, (size_t)reply->element[0]->len + 1);
    address.port = (uint16_t)port;
    link->is_of_sentinel = false;
    redis_link_disconnect(link);
    redis_link_connect(link, &address);
}

static void ask_sentinel(struct redis_link *link)
{
    struct slice name = link->client->url.name;
    greet(link, on_primary_named, NULL, (struct slice[]){SLICE("SENTINEL"), SLICE("get-master-addr-by-name"), name}, 3);
}

void redis_link_greet(struct redis_link *link)
{
    link->state = REDIS_GREETING;
    link->greetings_left = 0;
    if (link->is_of_sentinel)
        ask_sentinel(link);
    else
        greet_server(link);
}
