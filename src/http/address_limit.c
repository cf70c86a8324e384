/* SPDX-License-Identifier: Apache-2.0
 *
 * How many connections each address has over all loops: a hash table under a mutex, touched once when a connection is
 * accepted and once when it ends. IPv6 counts by the network of 64 bits that one subscriber has. Any thread.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "http_int.h"
#include "minato/network.h"

#define BUCKETS 4096u

struct entry {
    struct entry *next;
    struct ip_address address;
    unsigned count;
};

struct http_address_limit {
    pthread_mutex_t mutex;
    unsigned max;
    uint64_t seed;
    struct entry *buckets[BUCKETS];
};

struct http_address_limit *http_address_limit_new(unsigned max)
{
    struct http_address_limit *limit = xcalloc(1, sizeof(*limit));
    limit->max = max;
    pthread_mutex_init(&limit->mutex, NULL);
    random_bytes(&limit->seed, sizeof(limit->seed));
    return limit;
}

void http_address_limit_free(struct http_address_limit *limit)
{
    if (limit == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (limit->buckets[i] != NULL) {
            struct entry *entry = limit->buckets[i];
            limit->buckets[i] = entry->next;
            free(entry);
        }
    pthread_mutex_destroy(&limit->mutex);
    free(limit);
}

static bool is_v4(const struct ip_address *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(address->bytes, mapped, sizeof(mapped)) == 0;
}

static struct ip_address subscriber(const struct ip_address *address)
{
    struct ip_address result = *address;
    if (!is_v4(address))
        memset(result.bytes + 8, 0, 8);
    return result;
}

/* Where the entry is, or would be. */
static struct entry **find(struct http_address_limit *limit, const struct ip_address *address)
{
    uint64_t hash = limit->seed;
    for (size_t i = 0; i < sizeof(address->bytes); i++)
        hash = (hash ^ address->bytes[i]) * 0x100000001b3u;
    struct entry **at = &limit->buckets[(hash ^ hash >> 32) % BUCKETS];
    while (*at != NULL && memcmp((*at)->address.bytes, address->bytes, sizeof(address->bytes)) != 0)
        at = &(*at)->next;
    return at;
}

unsigned http_int_address_take(struct http_address_limit *limit, const struct ip_address *address)
{
    struct ip_address key = subscriber(address);
    pthread_mutex_lock(&limit->mutex);
    struct entry **at = find(limit, &key);
    if (*at == NULL) {
        *at = xcalloc(1, sizeof(**at));
        (*at)->address = key;
    }
    unsigned count = ++(*at)->count;
    pthread_mutex_unlock(&limit->mutex);
    return count > limit->max ? count - limit->max : 0;
}

void http_int_address_give_back(struct http_address_limit *limit, const struct ip_address *address)
{
    struct ip_address key = subscriber(address);
    pthread_mutex_lock(&limit->mutex);
    struct entry **at = find(limit, &key);
    struct entry *entry = *at;
    if (--entry->count == 0) {
        *at = entry->next;
        free(entry);
    }
    pthread_mutex_unlock(&limit->mutex);
}
