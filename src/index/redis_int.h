/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the Redis index share: redis.c holds the values, redis_lists.c the lists, redis_drops.c what Redis
 * is still to be told, redis_scripts.c the Lua.
 */
#ifndef MINATO_INDEX_REDIS_INT_H
#define MINATO_INDEX_REDIS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "index_int.h"
#include "minato/outbound.h"

/* ---- scripts (redis_scripts.c) ---- */

enum redis_script {
    REDIS_MISS,
    REDIS_FILL,
    REDIS_BEGIN,
    REDIS_READ_TAG,
    REDIS_LIST_READ,
    REDIS_LIST_PIECE,
    REDIS_LIST_INSTALL,
    REDIS_LIST_GIVE_BACK,
    REDIS_LIST_BEGIN,
    REDIS_LIST_END,
    REDIS_SCRIPTS
};
extern const char *const index_int_redis_scripts[REDIS_SCRIPTS];

/* ---- the index ---- */

/* What Redis was not told for certain: a value's key, and the writer that has ended, if one has; or a list's. */
struct redis_drop {
    struct redis_drop *next;
    uint64_t number; /* rises */
    bool is_list;
    uint32_t kind;
    struct repo_name repo;
    struct slice name;
    index_write writer; /* 0: none */
    char texts[];
};

/* Any thread; the lock guards the list. */
struct redis_drops {
    pthread_mutex_t lock;
    struct redis_drop *first;
    struct redis_drop **last;
    size_t count;
    atomic_uint_fast64_t last_number;
    atomic_uint_fast64_t blind_until_ms; /* nothing in Redis is believed before; 0: all is */
};

struct redis_index {
    struct index base;
    struct redis_client *client;
    struct clock clock;
    struct log *log;
    uint64_t ttl_ms;
    char store[INDEX_STORE_NAME_MAX + 1];
    atomic_bool was_lost; /* by some loop, and none is back yet */
    struct redis_drops drops;
};

/* A call under way: begins with a command, freed when it has reported. */
struct redis_call {
    struct redis_command command;
    struct redis_index *index;
    struct done done;
};
void *index_int_redis_call_new(size_t bytes, struct redis_index *index, struct done done,
                               void (*answered)(struct redis_command *command, const struct redis_reply *reply));
/* Frees it and reports. */
void index_int_redis_call_end(struct redis_call *call, enum result r);
/* For the vtable: PENDING if the call was sent; else it is freed and `otherwise` is its result. */
enum result index_int_redis_sent(bool is_sent, void *call, enum result otherwise);

/* The connection of a loop, told what is to be dropped, which goes before whatever is sent next; NULL: none. */
struct redis_link *index_int_redis_link(struct redis_index *index, struct loop *loop, struct repo_name repo);
/* The same for readers, who may not believe what is there. */
struct redis_link *index_int_redis_reading_link(struct redis_index *index, struct loop *loop, struct repo_name repo);

/* ---- keys ---- */

/* "minato:<store>:<run id>:{<repo>}<kind><name><suffix>": of one repository all in one slot of a cluster. */
#define REDIS_KEY_MAX 768u
struct redis_key {
    char text[REDIS_KEY_MAX];
    size_t len;
};
/* `letter`: a value's or list's kind. */
void index_int_redis_key(const struct redis_index *index, const struct redis_link *link, char letter,
                         struct repo_name repo, struct slice name, struct slice suffix, struct redis_key *ret_key);
char index_int_redis_value_letter(enum index_kind kind);

static inline struct slice redis_key_slice(const struct redis_key *key)
{
    return slice_of(key->text, key->len);
}

/* A lease or a writer as Redis knows it. */
#define REDIS_NAME_LENGTH 16u
struct redis_name {
    char text[REDIS_NAME_LENGTH];
};
uint64_t index_int_redis_new_name(void); /* random, not 0 */
struct slice index_int_redis_name(uint64_t number, struct redis_name *name);
/* 0 if it is none. */
uint64_t index_int_redis_name_parse(struct slice text);

struct redis_number {
    char text[20];
};
struct slice index_int_redis_number(uint64_t value, struct redis_number *number);

/* ---- drops (redis_drops.c) ---- */

void index_int_drops_init(struct redis_drops *drops);
void index_int_drops_done(struct redis_drops *drops);
/* After a begin or an end of a value of which nobody knows whether Redis has it: before the write is made or told of.
 * `ended` 0: a begin. */
void index_int_drop_value(struct redis_index *index, const struct index_key *key, index_write ended);
/* The same for a list's end; a begin is made up for by its end. */
void index_int_drop_list(struct redis_index *index, const struct index_list_key *key);
/* Sends what this connection was not sent yet. */
void index_int_drops_send(struct redis_index *index, struct redis_link *link);
/* From now on, for so long, nothing that Redis knows is believed. */
void index_int_drops_blind(struct redis_index *index, uint64_t ms);
/* Whether what Redis knows may be believed. */
bool index_int_drops_may_read(const struct redis_index *index);

/* ---- what is sent again by drops ---- */

bool index_int_redis_send_end(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                              const struct index_key *key, index_write writer);
bool index_int_redis_send_forget(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                                 const struct index_list_key *key);

/* ---- lists (redis_lists.c) ---- */

enum result index_int_redis_list_read(struct index *index, const struct index_list_key *key, struct slice after,
                                      size_t limit, struct arena *arena, struct index_list_page *ret_page,
                                      index_lease *ret_lease, struct done done) NODISCARD;
enum result index_int_redis_list_fill(struct index *index, const struct index_list_key *key,
                                      const struct index_member *members, size_t count, index_lease lease,
                                      struct done done) NODISCARD;
enum result index_int_redis_list_give_back(struct index *index, const struct index_list_key *key, index_lease lease,
                                           struct done done) NODISCARD;
enum result index_int_redis_list_begin(struct index *index, const struct index_list_key *key, struct slice member,
                                       index_write *ret_write, struct done done) NODISCARD;
enum result index_int_redis_list_end(struct index *index, const struct index_list_key *key, struct slice member,
                                     index_write write, enum index_list_outcome outcome, struct slice data,
                                     struct done done) NODISCARD;

#endif
