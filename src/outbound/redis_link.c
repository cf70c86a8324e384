/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to Redis from one loop: found, made, greeted (redis_greet.c), used, given up, made again. Commands are
 * answered in the order they were sent. All on the loop's thread, but for look-ups of names.
 *
 *     RESTING -> RESOLVING -> CONNECTING -> GREETING -> READY
 *        ^          a Sentinel is asked first: once round      |
 *        '------------ whatever goes wrong, at any time -------'
 */
#include "redis_int.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "minato/clock.h"

#define CONNECT_MS 2000u                     /* and greet; nobody waits for it */
#define TICK_MS 50u                          /* how exactly deadlines are kept */
#define TELL_EVERY_MS 1000u                  /* of what the server refuses */
#define WAIT_MAX_MS (4u * REDIS_DEADLINE_MS) /* of one command, behind others that are being answered */
#define VERSION_MIN 5u                       /* whose scripts may ask for the time */
#define COMMAND_BYTES_MAX (64u * 1024u * 1024u)
#define COMMAND_BYTES_KEPT (16u * 1024u)

static struct redis_link *link_of_timer(struct timer *timer)
{
    return (struct redis_link *)(void *)((char *)timer - offsetof(struct redis_link, timer));
}

static void on_tick(struct timer *timer);

/* ---- giving up ---- */

static void on_rested(struct timer *timer)
{
    struct redis_link *link = link_of_timer(timer);
    if (!link->is_retired)
        redis_link_begin(link);
}

/* Growing, and of random length, as all loops of all replicas lose a server at once. */
static uint64_t next_rest_ms(struct redis_link *link)
{
    static const uint64_t rests[] = {50, 100, 200, 400, 800, 1600};
    uint8_t dice;
    random_bytes(&dice, sizeof(dice));
    size_t highest = link->failures < 5 ? link->failures : 5;
    size_t lowest = highest < 2 ? 0 : highest - 2;
    link->failures++;
    return rests[lowest + dice % (highest - lowest + 1)];
}

static void complain(struct redis_link *link, struct slice why)
{
    struct redis_client_settings *settings = &link->client->settings;
    if (link->has_complained)
        return;
    link->has_complained = true;
    settings->on_lost(settings->data, link->loop, why);
}

/* hiredis answers what is outstanding with NULL: now, or when the callback that we are called from has returned. */
void redis_link_disconnect(struct redis_link *link)
{
    redisAsyncContext *ac = link->ac;
    link->ac = NULL;
    if (ac != NULL)
        redisAsyncFree(ac);
}

void redis_link_close(struct redis_link *link, struct slice why)
{
    if (link->state == REDIS_RESTING)
        return;
    link->state = REDIS_RESTING;
    complain(link, why); /* before `why` goes with the connection */
    timer_start(link->loop, &link->timer, next_rest_ms(link), on_rested);
    redis_link_disconnect(link);
    if (link->role == REDIS_NODE)
        redis_hub_ask(link->hub);
}

void redis_link_fail(struct redis_link *link, const char *why)
{
    redis_link_close(link, slice_from_cstr(why));
}

static bool waits_too_long(const struct redis_link *link, uint64_t now_ms)
{
    uint64_t sent_ms = link->first->sent_ms;
    uint64_t since_ms = sent_ms > link->answered_ms ? sent_ms : link->answered_ms;
    return now_ms - since_ms >= REDIS_DEADLINE_MS || now_ms - sent_ms >= WAIT_MAX_MS;
}

static void on_tick(struct timer *timer)
{
    struct redis_link *link = link_of_timer(timer);
    uint64_t now_ms = loop_now_ms(link->loop);
    if (link->state != REDIS_READY && now_ms >= link->deadline_ms) {
        redis_link_fail(link, "no answer while connecting");
        return;
    }
    if (link->state == REDIS_READY && link->first == NULL)
        return; /* the next command starts it again */
    if (link->state == REDIS_READY && waits_too_long(link, now_ms)) {
        redis_link_fail(link, "a command was not answered in time");
        return;
    }
    timer_start(link->loop, &link->timer, TICK_MS, on_tick);
}

/* ---- commands ---- */

static bool ends_the_connection(struct slice error)
{
    static const struct slice prefixes[] = {
        {"LOADING", 7}, {"READONLY", 8}, {"NOSCRIPT", 8}, {"MASTERDOWN", 10}, {"NOAUTH", 6}};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (slice_has_prefix(error, prefixes[i]))
            return true;
    return false;
}

static void take_refusal(struct redis_link *link, struct slice text)
{
    struct redis_client_settings *settings = &link->client->settings;
    uint64_t now_ms = loop_now_ms(link->loop);
    if (ends_the_connection(text)) { /* another server, or the same with our scripts, may do it */
        redis_link_close(link, text);
    } else if (link->role == REDIS_NODE && slice_has_prefix(text, SLICE("MOVED "))) {
        redis_hub_ask(link->hub);
    } else if (now_ms - link->told_ms >= TELL_EVERY_MS) {
        link->told_ms = now_ms;
        settings->on_error(settings->data, link->loop, text);
    }
}

static void on_answer(redisAsyncContext *ac, void *data, void *private)
{
    const redisReply *reply = data;
    struct redis_command *command = private;
    struct redis_link *link = command->link;
    if (command == link->first) {
        link->first = command->next;
        if (link->first == NULL)
            link->last = &link->first;
    }
    link->answered_ms = loop_now_ms(link->loop);
    bool is_refused = reply != NULL && reply->type == REDIS_REPLY_ERROR;
    if (is_refused && ac == link->ac)
        take_refusal(link, slice_of(reply->str, (size_t)reply->len));
    command->answered(command, is_refused ? NULL : data);
}

static void append_counted(struct strbuf *text, char kind, size_t count)
{
    strbuf_append_char(text, kind);
    strbuf_append_u64(text, count);
    strbuf_append(text, SLICE("\r\n"));
}

/* In Redis' protocol: redisAsyncCommandArgv would allocate and measure for each word. */
static enum result format_command(struct strbuf *text, const struct slice *arguments, size_t count)
{
    strbuf_clear(text);
    append_counted(text, '*', count);
    for (size_t i = 0; i < count; i++) {
        append_counted(text, '$', arguments[i].len);
        strbuf_append(text, arguments[i]);
        strbuf_append(text, SLICE("\r\n"));
    }
    return strbuf_result(text);
}

static bool hand_over(struct redis_link *link, struct redis_command *command, const struct slice *arguments,
                      size_t count)
{
    struct strbuf *text = &link->command_text;
    bool is_taken = format_command(text, arguments, count) == OK &&
                    redisAsyncFormattedCommand(link->ac, on_answer, command, text->ptr, text->len) == REDIS_OK;
    if (text->capacity > COMMAND_BYTES_KEPT)
        strbuf_done(text);
    return is_taken;
}

bool redis_link_send(struct redis_link *link, struct redis_command *command, const struct slice *arguments,
                     size_t count)
{
    if (link->state != REDIS_READY || !hand_over(link, command, arguments, count))
        return false;
    command->link = link;
    command->next = NULL;
    command->sent_ms = loop_now_ms(link->loop);
    *link->last = command;
    link->last = &command->next;
    if (!timer_is_running(&link->timer))
        timer_start(link->loop, &link->timer, TICK_MS, on_tick);
    return true;
}

/* ---- connecting ---- */

static void on_connected(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    if (!redis_link_is_current(ac))
        return;
    if (status != REDIS_OK) {
        struct slice why = slice_from_cstr(ac->c.errstr);
        link->ac = NULL; /* hiredis frees it */
        redis_link_close(link, why);
    } else {
        redis_link_greet(link);
    }
}

static void on_disconnected(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    (void)status;
    if (!redis_link_is_current(ac))
        return;
    struct slice why = slice_from_cstr(ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr : "closed by Redis");
    link->ac = NULL; /* hiredis frees it */
    redis_link_close(link, why);
}

/* `resolved`: its host is numeric, or there is none and it is a socket's path. */
static void open_socket(struct redis_link *link, const struct redis_address *resolved)
{
    struct strbuf why;
    strbuf_init(&why, 256);
    link->state = REDIS_CONNECTING;
    link->ac = redis_socket_open(link->loop, resolved, link->client->url.path, link, &why);
    if (link->ac == NULL) {
        redis_link_close(link, strbuf_slice(&why));
    } else {
        redisAsyncSetDisconnectCallback(link->ac, on_disconnected);
        redisAsyncSetConnectCallback(link->ac, on_connected);
    }
    strbuf_done(&why);
}

static void look_up(struct pool_job *job)
{
    struct redis_lookup *lookup = (struct redis_lookup *)(void *)job;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(lookup->address.host, NULL, &hints, &found) != 0 || found == NULL)
        return;
    lookup->is_found = getnameinfo(found->ai_addr, found->ai_addrlen, lookup->address.host,
                                   sizeof(lookup->address.host), NULL, 0, NI_NUMERICHOST) == 0;
    freeaddrinfo(found);
}

static void on_looked_up(struct pool_job *job)
{
    struct redis_lookup *lookup = (struct redis_lookup *)(void *)job;
    struct redis_link *link = lookup->link;
    if (link != NULL && link->state == REDIS_RESOLVING) {
        link->lookup = NULL;
        if (lookup->is_found)
            open_socket(link, &lookup->address);
        else
            redis_link_fail(link, "its name cannot be looked up");
    } else if (link != NULL) {
        link->lookup = NULL;
    }
    free(lookup);
}

void redis_link_connect(struct redis_link *link, const struct redis_address *address)
{
    link->address = *address;
    if (link->client->url.path.len > 0) {
        open_socket(link, address);
        return;
    }
    struct redis_lookup *lookup = xcalloc(1, sizeof(*lookup));
    lookup->link = link;
    lookup->address = *address;
    lookup->job.work = look_up;
    lookup->job.done = on_looked_up;
    lookup->job.loop = link->loop;
    link->lookup = lookup;
    link->state = REDIS_RESOLVING;
    if (pool_submit(link->client->settings.pool, POOL_FILES, &lookup->job) != OK) {
        link->lookup = NULL;
        free(lookup);
        redis_link_fail(link, "its name cannot be looked up now");
    }
}

/* Of several addresses the next one each time. */
void redis_link_begin(struct redis_link *link)
{
    const struct redis_url *url = &link->client->url;
    if (link->lookup != NULL) { /* the pool is still at it */
        timer_start(link->loop, &link->timer, TICK_MS, on_rested);
        return;
    }
    link->is_of_sentinel = link->role == REDIS_SERVER && url->name.len > 0;
    link->deadline_ms = loop_now_ms(link->loop) + CONNECT_MS;
    timer_start(link->loop, &link->timer, TICK_MS, on_tick);
    if (link->role == REDIS_NODE || url->address_count == 0)
        redis_link_connect(link, &link->address);
    else
        redis_link_connect(link, &url->addresses[link->address_at++ % url->address_count]);
}

/* ---- its life ---- */

struct redis_link *redis_link_new(struct redis_hub *hub, enum redis_role role)
{
    struct redis_link *link = xcalloc(1, sizeof(*link));
    link->hub = hub;
    link->client = hub->client;
    link->loop = hub->loop;
    link->role = role;
    link->last = &link->first;
    strbuf_init(&link->command_text, COMMAND_BYTES_MAX);
    return link;
}

void redis_link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    link->state = REDIS_RESTING;
    timer_stop(&link->timer);
    redis_link_disconnect(link);
    if (link->lookup != NULL)
        link->lookup->link = NULL; /* its job frees it, before the pool ends */
    strbuf_done(&link->command_text);
    free(link);
}
