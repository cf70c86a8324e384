/* SPDX-License-Identifier: Apache-2.0
 *
 * What Redis could not be told for certain: keys to be forgotten, kept in this process until Redis confirms. Each
 * connection is sent them before whatever it is sent next, so no loop of this process reads a value that a write of
 * this process has made old. Any thread, behind a lock.
 */
#include "redis_int.h"

#include <stdlib.h>

#define DROPS_MAX 16384u

void index_int_drops_init(struct redis_drops *drops)
{
    pthread_mutex_init(&drops->lock, NULL);
    drops->last = &drops->first;
}

static void forget_all(struct redis_drops *drops)
{
    while (drops->first != NULL) {
        struct redis_drop *drop = drops->first;
        drops->first = drop->next;
        free(drop);
    }
    drops->last = &drops->first;
    drops->count = 0;
}

void index_int_drops_done(struct redis_drops *drops)
{
    forget_all(drops);
    pthread_mutex_destroy(&drops->lock);
}

/* ---- adding ---- */

static struct slice place(char **at, struct slice text)
{
    struct slice copy = slice_of(*at, text.len);
    if (text.len > 0)
        memcpy(*at, text.ptr, text.len);
    *at += text.len;
    return copy;
}

static struct redis_drop *drop_new(struct repo_name repo, struct slice name)
{
    struct redis_drop *drop = xcalloc(1, sizeof(*drop) + repo.text.len + name.len);
    char *at = drop->texts;
    drop->repo = (struct repo_name){place(&at, repo.text)};
    drop->name = place(&at, name);
    return drop;
}

static void blind(struct redis_index *index, uint64_t ms)
{
    uint64_t until_ms = clock_monotonic_ms(index->clock) + ms;
    if (atomic_load(&index->drops.blind_until_ms) < until_ms)
        atomic_store(&index->drops.blind_until_ms, until_ms);
}

void index_int_drops_blind(struct redis_index *index, uint64_t ms)
{
    pthread_mutex_lock(&index->drops.lock);
    blind(index, ms);
    pthread_mutex_unlock(&index->drops.lock);
}

/* Too many: then nothing that Redis knows now is believed for as long as it may know it. */
static void add(struct redis_index *index, struct redis_drop *drop)
{
    struct redis_drops *drops = &index->drops;
    pthread_mutex_lock(&drops->lock);
    if (drops->count == DROPS_MAX) {
        blind(index, index->ttl_ms);
        forget_all(drops);
    }
    drop->number = atomic_load(&drops->last_number) + 1;
    *drops->last = drop;
    drops->last = &drop->next;
    drops->count++;
    atomic_store(&drops->last_number, drop->number);
    pthread_mutex_unlock(&drops->lock);
}

void index_int_drop_value(struct redis_index *index, const struct index_key *key, index_write ended)
{
    struct redis_drop *drop = drop_new(key->repo, key->name);
    drop->kind = key->kind;
    drop->writer = ended;
    add(index, drop);
}

void index_int_drop_list(struct redis_index *index, const struct index_list_key *key)
{
    struct redis_drop *drop = drop_new(key->repo, key->name);
    drop->is_list = true;
    drop->kind = key->kind;
    add(index, drop);
}

/* ---- telling ---- */

struct drop_call {
    struct redis_call call;
    uint64_t number;
};

static void take_out(struct redis_drops *drops, uint64_t number)
{
    pthread_mutex_lock(&drops->lock);
    struct redis_drop **at = &drops->first;
    while (*at != NULL && (*at)->number != number)
        at = &(*at)->next;
    struct redis_drop *drop = *at;
    if (drop != NULL) { /* else another connection told it too */
        *at = drop->next;
        if (drops->last == &drop->next)
            drops->last = at;
        drops->count--;
    }
    pthread_mutex_unlock(&drops->lock);
    free(drop);
}

static void on_dropped(struct redis_command *command, const struct redis_reply *reply)
{
    struct drop_call *op = (struct drop_call *)(void *)command;
    if (reply != NULL)
        take_out(&op->call.index->drops, op->number);
    else /* a server that does not forget is not asked: the next connection is told again */
        redis_link_close(command->link, SLICE("it did not forget what it was told to"));
    free(op);
}

static bool send_drop(struct redis_index *index, struct redis_link *link, const struct redis_drop *drop)
{
    struct drop_call *op = index_int_redis_call_new(sizeof(*op), index, (struct done){0}, on_dropped);
    op->number = drop->number;
    struct index_key key = {(enum index_kind)drop->kind, drop->repo, drop->name};
    struct index_list_key list = {(enum index_list_kind)drop->kind, drop->repo, drop->name};
    bool is_sent = drop->is_list ? index_int_redis_send_forget(index, link, &op->call.command, &list)
                                 : index_int_redis_send_end(index, link, &op->call.command, &key, drop->writer);
    if (!is_sent)
        free(op);
    return is_sent;
}

void index_int_drops_send(struct redis_index *index, struct redis_link *link)
{
    struct redis_drops *drops = &index->drops;
    uint64_t *told = redis_link_mark(link);
    if (*told == atomic_load(&drops->last_number))
        return;
    pthread_mutex_lock(&drops->lock);
    bool is_sent = true;
    for (const struct redis_drop *drop = drops->first; drop != NULL && is_sent; drop = drop->next)
        if (drop->number > *told && redis_client_link(index->client, redis_link_loop(link), drop->repo.text) == link)
            is_sent = send_drop(index, link, drop);
    if (is_sent)
        *told = atomic_load(&drops->last_number);
    pthread_mutex_unlock(&drops->lock);
}

bool index_int_drops_may_read(const struct redis_index *index)
{
    uint64_t until_ms = atomic_load(&index->drops.blind_until_ms);
    return until_ms == 0 || clock_monotonic_ms(index->clock) >= until_ms;
}
