/* SPDX-License-Identifier: Apache-2.0
 *
 * The sessions that some flow of this process is working on, by uuid. Where the store is one process's own, an open
 * claim that is not in here has lost its writer. Any thread; the lock guards the buckets and every entry's `next`.
 */
#include "upload_int.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKETS 256u

struct upload_table {
    pthread_mutex_t lock;
    struct upload_active *buckets[BUCKETS];
};

struct upload_table *registry_int_uploads_new(void)
{
    struct upload_table *table = xcalloc(1, sizeof(*table));
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

void registry_int_uploads_free(struct upload_table *table)
{
    if (table == NULL)
        return;
    pthread_mutex_destroy(&table->lock);
    free(table);
}

static struct upload_active **bucket_of(struct upload_table *table, struct slice uuid)
{
    unsigned hash = 5381;
    for (size_t i = 0; i < uuid.len; i++)
        hash = hash * 33u + (unsigned char)uuid.ptr[i];
    return &table->buckets[hash % BUCKETS];
}

bool registry_int_upload_enter(struct upload_table *table, struct upload_active *entry, struct slice uuid)
{
    if (uuid.len >= sizeof(entry->uuid))
        return false;
    memcpy(entry->uuid, uuid.ptr, uuid.len);
    entry->uuid[uuid.len] = '\0';
    struct upload_active **bucket = bucket_of(table, uuid);
    bool is_free = true;
    pthread_mutex_lock(&table->lock);
    for (const struct upload_active *at = *bucket; at != NULL && is_free; at = at->next)
        is_free = strcmp(at->uuid, entry->uuid) != 0;
    if (is_free) {
        entry->next = *bucket;
        *bucket = entry;
    }
    pthread_mutex_unlock(&table->lock);
    entry->is_entered = is_free;
    return is_free;
}

void registry_int_upload_leave(struct upload_table *table, struct upload_active *entry)
{
    if (!entry->is_entered)
        return;
    entry->is_entered = false;
    pthread_mutex_lock(&table->lock);
    struct upload_active **at = bucket_of(table, slice_from_cstr(entry->uuid));
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    pthread_mutex_unlock(&table->lock);
}
