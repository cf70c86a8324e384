/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to Redis from one loop: found (by name, or through Sentinel), made, greeted, used, given up, made
 * again. Commands are answered in the order they were sent. All on the loop's thread, but for look-ups of names.
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
#define WAIT_MAX_MS (4u * REDIS_DEADLINE_MS) /* of one command, behind others that are being answered */
#define VERSION_MIN 5u                       /* whose scripts may ask for the time */

static struct redis_link *link_of_timer(struct timer *timer)
{
    return (struct redis_link *)(void *)((char *)timer - offsetof(struct redis_link, timer));
}

static void on_tick(struct timer *timer);

/* ---- giving up ---- */

static void on_rested(struct timer *timer)
{
    redis_link_begin(link_of_timer(timer));
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
static void close_connection(struct redis_link *link)
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
    close_connection(link);
}

static void fail_as(struct redis_link *link, const char *why)
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
        fail_as(link, "no answer while connecting");
        return;
    }
    if (link->state == REDIS_READY && link->first == NULL)
        return; /* the next command starts it again */
    if (link->state == REDIS_READY && waits_too_long(link, now_ms)) {
        fail_as(link, "a command was not answered in time");
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
    if (ends_the_connection(text)) /* another server, or the same with our scripts, may do it */
        redis_link_close(link, text);
    else
        settings->on_error(settings->data, link->loop, text);
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

bool redis_link_send(struct redis_link *link, struct redis_command *command, const struct slice *arguments,
                     size_t count)
{
    const char *texts[REDIS_ARGUMENTS_MAX];
    size_t lengths[REDIS_ARGUMENTS_MAX];
    if (link->state != REDIS_READY || count > REDIS_ARGUMENTS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        texts[i] = arguments[i].ptr == NULL ? "" : arguments[i].ptr;
        lengths[i] = arguments[i].len;
    }
    if (redisAsyncCommandArgv(link->ac, on_answer, command, (int)count, texts, lengths) != REDIS_OK)
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

/* ---- greeting ---- */

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
    if (!slice_equal(line_of(info, SLICE("role:")), SLICE("master")))
        return "it is a replica: name its primary, or the Sentinels that know it (redis+sentinel://)";
    if (slice_equal(line_of(info, SLICE("redis_mode:")), SLICE("cluster")))
        return "it is of a cluster";
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
    settings->on_ready(settings->data, link);
}

/* True: the greeting goes on, or is over. */
static bool take_greeting(struct redis_link *link, const redisReply *reply)
{
    if (reply == NULL) {
        redis_link_close(link,
                         slice_from_cstr(link->ac->errstr != NULL ? link->ac->errstr : "the connection was lost"));
        return false;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_link_close(link, slice_of(reply->str, (size_t)reply->len));
        return false;
    }
    if (--link->greetings_left == 0)
        become_ready(link);
    return true;
}

static bool is_current(const redisAsyncContext *ac)
{
    const struct redis_link *link = ac->data;
    return link->ac == ac && link->state != REDIS_RESTING;
}

static void on_greeted(redisAsyncContext *ac, void *reply, void *private)
{
    (void)private;
    if (is_current(ac))
        (void)take_greeting(ac->data, reply);
}

static void on_info(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    (void)private;
    if (!is_current(ac) || !take_greeting(link, reply))
        return;
    const char *why = judge_info(link, slice_of(reply->str, (size_t)reply->len));
    if (why != NULL)
        fail_as(link, why);
}

static void on_script_loaded(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    char *hash = private;
    if (!is_current(ac))
        return;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == 40)
        memcpy(hash, reply->str, 41);
    (void)take_greeting(link, reply);
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

static void greet_server(struct redis_link *link)
{
    const struct redis_url *url = &link->client->url;
    const struct redis_client_settings *settings = &link->client->settings;
    link->state = REDIS_GREETING;
    link->greetings_left = 0;
    if (url->user.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("AUTH"), url->user, url->password}, 3);
    else if (url->password.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("AUTH"), url->password}, 2);
    if (url->database.len > 0)
        greet(link, on_greeted, NULL, (struct slice[]){SLICE("SELECT"), url->database}, 2);
    greet(link, on_info, NULL, (struct slice[]){SLICE("INFO")}, 1);
    for (size_t i = 0; i < settings->script_count; i++)
        greet(link, on_script_loaded, link->hashes[i],
              (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), slice_from_cstr(settings->scripts[i])}, 3);
}

/* ---- Sentinel ---- */

static bool is_text(const redisReply *reply, size_t max)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && (size_t)reply->len <= max;
}

static void connect_to(struct redis_link *link, const struct redis_address *address);

static void on_primary_named(redisAsyncContext *ac, void *data, void *private)
{
    struct redis_link *link = ac->data;
    const redisReply *reply = data;
    struct redis_address address;
    uint64_t port;
    (void)private;
    if (!is_current(ac))
        return;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !is_text(reply->element[0], REDIS_HOST_MAX) || !is_text(reply->element[1], 5) ||
        slice_parse_u64(slice_from_cstr(reply->element[1]->str), &port) != OK || port == 0 || port > UINT16_MAX) {
        fail_as(link, "a Sentinel names no primary of that name");
        return;
    }
    memcpy(address.host, reply->element[0]->str, (size_t)reply->element[0]->len + 1);
    address.port = (uint16_t)port;
    link->is_of_sentinel = false;
    close_connection(link);
    connect_to(link, &address);
}

static void ask_sentinel(struct redis_link *link)
{
    struct slice name = link->client->url.name;
    greet(link, on_primary_named, NULL, (struct slice[]){SLICE("SENTINEL"), SLICE("get-master-addr-by-name"), name}, 3);
}

/* ---- connecting ---- */

static void on_connected(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    if (!is_current(ac))
        return;
    if (status != REDIS_OK) {
        struct slice why = slice_from_cstr(ac->c.errstr);
        link->ac = NULL; /* hiredis frees it */
        redis_link_close(link, why);
    } else if (link->is_of_sentinel) {
        ask_sentinel(link);
    } else {
        greet_server(link);
    }
}

static void on_disconnected(const redisAsyncContext *ac, int status)
{
    struct redis_link *link = ac->data;
    (void)status;
    if (!is_current(ac))
        return;
    struct slice why = slice_from_cstr(ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr : "closed by Redis");
    link->ac = NULL; /* hiredis frees it */
    redis_link_close(link, why);
}

/* The host is numeric now, or there is none and it is a socket's path. */
static void open_socket(struct redis_link *link)
{
    struct strbuf why;
    strbuf_init(&why, 256);
    link->state = REDIS_CONNECTING;
    link->ac = redis_socket_open(link->loop, &link->address, link->client->url.path, link, &why);
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
        link->address = lookup->address;
        if (lookup->is_found)
            open_socket(link);
        else
            fail_as(link, "its name cannot be looked up");
    } else if (link != NULL) {
        link->lookup = NULL;
    }
    free(lookup);
}

static void connect_to(struct redis_link *link, const struct redis_address *address)
{
    link->address = *address;
    if (link->client->url.path.len > 0) {
        open_socket(link);
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
        fail_as(link, "its name cannot be looked up now");
    }
}

void redis_link_begin(struct redis_link *link)
{
    const struct redis_url *url = &link->client->url;
    if (link->lookup != NULL) { /* the pool is still at it */
        timer_start(link->loop, &link->timer, TICK_MS, on_rested);
        return;
    }
    link->is_of_sentinel = url->name.len > 0;
    link->deadline_ms = loop_now_ms(link->loop) + CONNECT_MS;
    timer_start(link->loop, &link->timer, TICK_MS, on_tick);
    connect_to(link, &url->addresses[link->sentinel_at++ % (url->address_count > 0 ? url->address_count : 1)]);
}

/* ---- its life ---- */

struct redis_link *redis_link_new(struct redis_client *client, struct loop *loop)
{
    struct redis_link *link = xcalloc(1, sizeof(*link));
    link->client = client;
    link->loop = loop;
    link->last = &link->first;
    return link;
}

void redis_link_free(struct redis_link *link)
{
    if (link == NULL)
        return;
    link->state = REDIS_RESTING;
    timer_stop(&link->timer);
    close_connection(link);
    if (link->lookup != NULL)
        link->lookup->link = NULL; /* its job frees it, before the pool ends */
    free(link);
}
