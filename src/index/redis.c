/* SPDX-License-Identifier: Apache-2.0
 *
 * The index in Redis, shared by all replicas of one store: its life, and the values. What is one step of the protocol
 * is one command or one script. Any loop; each uses its own connection. Lists: redis_lists.c.
 *
 * A value's key holds `v` (the value), or `g` (the lease of whoever may fill it), or writers with their deadlines: a
 * begin removes the first two, no lease is given while there are writers, a fill needs its lease.
 */
#include "redis_int.h"

#include <stdio.h>
#include <stdlib.h>

#define LEASE_MS 30000u
/* Replicas that lost Redis together come back one after the other, as src/outbound/redis_link.c rests up to 1.6 s: who
 * is first does not believe what is there before the last has told what it wrote meanwhile. */
#define SETTLE_MS 3000u
#define VALUE_TEXT_MAX (DIGEST_TEXT_MAX + 20 + UUID_TEXT_SIZE + 3)

/* ---- small things ---- */

uint64_t index_int_redis_new_name(void)
{
    uint64_t number;
    do
        random_bytes(&number, sizeof(number));
    while (number == 0);
    return number;
}

struct slice index_int_redis_name(uint64_t number, struct redis_name *name)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    hex_encode(bytes, sizeof(bytes), name->text);
    return slice_of(name->text, REDIS_NAME_LENGTH);
}

uint64_t index_int_redis_name_parse(struct slice text)
{
    uint8_t bytes[8];
    uint64_t number = 0;
    if (text.len != REDIS_NAME_LENGTH || hex_decode(text, bytes, sizeof(bytes)) != OK)
        return 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        number = number << 8 | bytes[i];
    return number;
}

struct slice index_int_redis_number(uint64_t value, struct redis_number *number)
{
    size_t at = sizeof(number->text);
    do {
        number->text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return slice_of(number->text + at, sizeof(number->text) - at);
}

static void append(struct redis_key *key, struct slice text)
{
    size_t room = sizeof(key->text) - key->len;
    size_t n = text.len < room ? text.len : room; /* names have limits that leave room */
    if (n > 0)
        memcpy(key->text + key->len, text.ptr, n);
    key->len += n;
}

void index_int_redis_key(const struct redis_index *index, const struct redis_link *link, char letter,
                         struct repo_name repo, struct slice name, struct slice suffix, struct redis_key *ret_key)
{
    ret_key->len = 0;
    append(ret_key, SLICE("minato:"));
    append(ret_key, slice_from_cstr(index->store));
    append(ret_key, SLICE(":"));
    append(ret_key, redis_link_run_id(link));
    append(ret_key, SLICE(":{"));
    append(ret_key, repo.text.len > 0 ? repo.text : SLICE("*")); /* what is of no repository; none is named so */
    append(ret_key, SLICE("}"));
    append(ret_key, slice_of(&letter, 1));
    append(ret_key, name);
    append(ret_key, suffix);
}

char index_int_redis_value_letter(enum index_kind kind)
{
    static const char letters[] = {[INDEX_LAYER] = 'l', [INDEX_REVISION] = 'm', [INDEX_TAG] = 't'};
    return letters[kind];
}

static void value_key(const struct redis_index *index, const struct redis_link *link, const struct index_key *key,
                      struct redis_key *ret_key)
{
    index_int_redis_key(index, link, index_int_redis_value_letter(key->kind), key->repo, key->name, SLICE_EMPTY,
                        ret_key);
}

/* ---- connections ---- */

struct redis_link *index_int_redis_link(struct redis_index *index, struct loop *loop, struct repo_name repo)
{
    struct redis_link *link = redis_client_link(index->client, loop, repo.text);
    if (link != NULL)
        index_int_drops_send(index, link);
    return link;
}

struct redis_link *index_int_redis_reading_link(struct redis_index *index, struct loop *loop, struct repo_name repo)
{
    struct redis_link *link = index_int_redis_link(index, loop, repo);
    return link != NULL && index_int_drops_may_read(index) ? link : NULL;
}

static void on_ready(void *data, struct redis_link *link)
{
    struct redis_index *index = data;
    log_event(index->log, LOG_LEVEL_INFO, "index.connected", FIELD_NUM("loop", loop_index(redis_link_loop(link))),
              FIELD_STR("run_id", redis_link_run_id(link)));
    if (atomic_exchange(&index->was_lost, false))
        index_int_drops_blind(index, SETTLE_MS);
    index_int_drops_send(index, link);
}

static void on_lost(void *data, struct loop *loop, struct slice why)
{
    struct redis_index *index = data;
    atomic_store(&index->was_lost, true);
    log_event(index->log, LOG_LEVEL_WARN, "index.unreachable", FIELD_NUM("loop", loop_index(loop)),
              FIELD_STR("why", why), FIELD_CSTR("next", "look-ups read the store; connecting again"));
}

static void on_error(void *data, struct loop *loop, struct slice text)
{
    struct redis_index *index = data;
    log_event(index->log, LOG_LEVEL_WARN, "index.refused", FIELD_NUM("loop", loop_index(loop)), FIELD_STR("why", text),
              FIELD_CSTR("next", "the store answers instead"));
}

/* ---- calls ---- */

void *index_int_redis_call_new(size_t bytes, struct redis_index *index, struct done done,
                               void (*answered)(struct redis_command *command, const struct redis_reply *reply))
{
    struct redis_call *call = xcalloc(1, bytes);
    call->index = index;
    call->done = done;
    call->command.answered = answered;
    return call;
}

void index_int_redis_call_end(struct redis_call *call, enum result r)
{
    struct done done = call->done;
    free(call);
    done_call(done, r);
}

enum result index_int_redis_sent(bool is_sent, void *call, enum result otherwise)
{
    if (is_sent)
        return PENDING;
    free(call);
    return otherwise;
}

static int64_t first_number(const struct redis_reply *reply)
{
    int64_t number;
    return redis_reply_number(redis_reply_at(reply, 0), &number) ? number : -1;
}

/* ---- reading ---- */

/* "<digest> <size> <place or ->". */
static struct slice format_value(const struct index_value *value, char text[VALUE_TEXT_MAX])
{
    size_t n = digest_format(&value->digest, text);
    int rest = snprintf(text + n, VALUE_TEXT_MAX - n, " %llu %s", (unsigned long long)value->size,
                        value->place[0] == '\0' ? "-" : value->place);
    return slice_of(text, n + (size_t)rest);
}

static bool parse_value(struct slice text, struct index_value *ret_value)
{
    struct slice digest, size, place;
    struct index_value value = {0};
    if (!slice_split(text, ' ', &digest, &size) || !slice_split(size, ' ', &size, &place) ||
        digest_parse(digest, &value.digest) != OK || slice_parse_u64(size, &value.size) != OK)
        return false;
    if (uuid_is_valid(place))
        memcpy(value.place, place.ptr, UUID_TEXT_SIZE - 1);
    else if (!slice_equal(place, SLICE("-")))
        return false;
    *ret_value = value;
    return true;
}

struct read_call {
    struct redis_call call;
    struct index_key key;
    struct index_value *ret_value;
    index_lease *ret_lease;
};

static void end_read(struct read_call *op, enum result r)
{
    index_int_count(&op->call.index->base, op->call.done, r);
    index_int_redis_call_end(&op->call, r);
}

static void on_missed(struct redis_command *command, const struct redis_reply *reply)
{
    struct read_call *op = (struct read_call *)(void *)command;
    struct slice text = SLICE_EMPTY;
    bool has_text = redis_reply_text(redis_reply_at(reply, 1), &text);
    switch (first_number(reply)) {
    case 0:
        *op->ret_lease = has_text ? index_int_redis_name_parse(text) : 0;
        end_read(op, NOT_FOUND);
        return;
    case 1:
        end_read(op, parse_value(text, op->ret_value) ? OK : UNAVAILABLE);
        return;
    default:
        end_read(op, UNAVAILABLE);
    }
}

static bool send_miss(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                      const struct index_key *key)
{
    struct redis_key text;
    struct redis_name name;
    struct redis_number life;
    value_key(index, link, key, &text);
    return redis_link_run(link, command, REDIS_MISS, (struct slice[]){redis_key_slice(&text)}, 1,
                          (struct slice[]){index_int_redis_name(index_int_redis_new_name(), &name),
                                           index_int_redis_number(LEASE_MS, &life)},
                          2);
}

static void on_read(struct redis_command *command, const struct redis_reply *reply)
{
    struct read_call *op = (struct read_call *)(void *)command;
    struct slice text;
    if (redis_reply_text(reply, &text)) {
        end_read(op, parse_value(text, op->ret_value) ? OK : UNAVAILABLE);
        return;
    }
    command->answered = on_missed;
    if (reply == NULL || !send_miss(op->call.index, command->link, command, &op->key))
        end_read(op, UNAVAILABLE);
}

static bool send_read(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                      const struct index_key *key)
{
    struct redis_key text;
    value_key(index, link, key, &text);
    return redis_link_send(link, command, (struct slice[]){SLICE("HGET"), redis_key_slice(&text), SLICE("v")}, 3);
}

static enum result redis_read(struct index *base, const struct index_key *key, struct index_value *ret_value,
                              index_lease *ret_lease, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_reading_link(index, done.loop, key->repo);
    if (link == NULL)
        return UNAVAILABLE;
    struct read_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_read);
    op->key = *key;
    op->ret_value = ret_value;
    op->ret_lease = ret_lease;
    return index_int_redis_sent(send_read(index, link, &op->call.command, key), op, UNAVAILABLE);
}

/* ---- reading a tag and what it names ---- */

struct tag_call {
    struct redis_call call;
    struct index_key key;
    char digest[DIGEST_TEXT_MAX]; /* what the tag names */
    struct index_key revision;
    struct index_found *ret_tag;
    struct index_found *ret_revision;
    struct index_found *missed; /* which of the two */
};

static void end_tag(struct tag_call *op, enum result r)
{
    index_int_count(&op->call.index->base, op->call.done, r == OK ? op->missed == NULL ? OK : NOT_FOUND : r);
    index_int_redis_call_end(&op->call, r);
}

static void on_tag_missed(struct redis_command *command, const struct redis_reply *reply)
{
    struct tag_call *op = (struct tag_call *)(void *)command;
    struct slice text = SLICE_EMPTY;
    bool has_text = redis_reply_text(redis_reply_at(reply, 1), &text);
    int64_t what = first_number(reply);
    op->missed->result = NOT_FOUND;
    op->missed->lease = what == 0 && has_text ? index_int_redis_name_parse(text) : 0;
    end_tag(op, what == 0 || what == 1 ? OK : UNAVAILABLE); /* filled meanwhile: the store knows it too */
}

static bool parse_tag(struct tag_call *op, const struct redis_reply *reply)
{
    struct slice text;
    op->missed = op->ret_tag;
    if (!redis_reply_text(redis_reply_at(reply, 0), &text))
        return true;
    if (!parse_value(text, &op->ret_tag->value))
        return false;
    op->ret_tag->result = OK;
    op->missed = op->ret_revision;
    if (!redis_reply_text(redis_reply_at(reply, 1), &text)) {
        op->revision = (struct index_key){INDEX_REVISION, op->key.repo,
                                          slice_of(op->digest, digest_format(&op->ret_tag->value.digest, op->digest))};
        return true;
    }
    if (!parse_value(text, &op->ret_revision->value))
        return false;
    op->ret_revision->result = OK;
    op->missed = NULL;
    return true;
}

static void on_tag_read(struct redis_command *command, const struct redis_reply *reply)
{
    struct tag_call *op = (struct tag_call *)(void *)command;
    if (reply == NULL || !parse_tag(op, reply)) {
        end_tag(op, UNAVAILABLE);
        return;
    }
    if (op->missed == NULL) {
        end_tag(op, OK);
        return;
    }
    command->answered = on_tag_missed;
    if (!send_miss(op->call.index, command->link, command, op->missed == op->ret_tag ? &op->key : &op->revision))
        end_tag(op, UNAVAILABLE);
}

static enum result redis_read_tag(struct index *base, const struct index_key *tag, struct index_found *ret_tag,
                                  struct index_found *ret_revision, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_reading_link(index, done.loop, tag->repo);
    if (link == NULL)
        return UNAVAILABLE;
    struct tag_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_tag_read);
    op->key = *tag;
    op->ret_tag = ret_tag;
    op->ret_revision = ret_revision;
    struct redis_key key;
    struct redis_key revisions;
    value_key(index, link, tag, &key);
    index_int_redis_key(index, link, index_int_redis_value_letter(INDEX_REVISION), tag->repo, SLICE_EMPTY, SLICE_EMPTY,
                        &revisions);
    bool is_sent = redis_link_run(link, &op->call.command, REDIS_READ_TAG, (struct slice[]){redis_key_slice(&key)}, 1,
                                  (struct slice[]){redis_key_slice(&revisions)}, 1);
    return index_int_redis_sent(is_sent, op, UNAVAILABLE);
}

/* ---- filling ---- */

static void on_filled(struct redis_command *command, const struct redis_reply *reply)
{
    (void)reply; /* refused or lost: it is not remembered */
    index_int_redis_call_end((struct redis_call *)(void *)command, OK);
}

static enum result redis_fill(struct index *base, const struct index_key *key, const struct index_value *value,
                              index_lease lease, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    if (link == NULL)
        return OK;
    char text[VALUE_TEXT_MAX];
    struct redis_key name;
    struct redis_name lease_name;
    struct redis_number ttl, life;
    struct redis_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_filled);
    value_key(index, link, key, &name);
    bool is_sent = redis_link_run(link, &op->command, REDIS_FILL, (struct slice[]){redis_key_slice(&name)}, 1,
                                  (struct slice[]){index_int_redis_name(lease, &lease_name), format_value(value, text),
                                                   index_int_redis_number(index->ttl_ms, &ttl),
                                                   index_int_redis_number(LEASE_MS, &life)},
                                  4);
    return index_int_redis_sent(is_sent, op, OK);
}

/* ---- writing ---- */

struct write_call {
    struct redis_call call;
    struct index_key key;
    index_write ended; /* 0: it begins */
};

static void on_written(struct redis_command *command, const struct redis_reply *reply)
{
    struct write_call *op = (struct write_call *)(void *)command;
    if (reply == NULL)
        index_int_drop_value(op->call.index, &op->key, op->ended);
    index_int_redis_call_end(&op->call, OK);
}

/* "w" and the writer's name: a field of the key. */
struct writer_field {
    char text[1 + REDIS_NAME_LENGTH];
};

static struct slice writer_field(index_write write, struct writer_field *field)
{
    struct redis_name name;
    field->text[0] = 'w';
    memcpy(field->text + 1, index_int_redis_name(write, &name).ptr, REDIS_NAME_LENGTH);
    return slice_of(field->text, sizeof(field->text));
}

static bool send_begin(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                       const struct index_key *key, index_write write)
{
    struct redis_key name;
    struct writer_field field;
    struct redis_number life;
    value_key(index, link, key, &name);
    return redis_link_run(
        link, command, REDIS_BEGIN, (struct slice[]){redis_key_slice(&name)}, 1,
        (struct slice[]){writer_field(write, &field), index_int_redis_number(INDEX_WRITE_MAX_MS, &life)}, 2);
}

bool index_int_redis_send_end(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                              const struct index_key *key, index_write writer)
{
    struct redis_key name;
    struct writer_field field;
    value_key(index, link, key, &name);
    return redis_link_send(
        link, command,
        (struct slice[]){SLICE("HDEL"), redis_key_slice(&name), SLICE("v"), SLICE("g"), writer_field(writer, &field)},
        writer == 0 ? 4 : 5);
}

/* Without Redis the write is made all the same: it is told later, and until then this process asks the store. */
static enum result redis_begin(struct index *base, const struct index_key *key, index_write *ret_write,
                               struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    *ret_write = index_int_redis_new_name();
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    struct write_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_written);
    op->key = *key;
    bool is_sent = link != NULL && send_begin(index, link, &op->call.command, key, *ret_write);
    if (!is_sent)
        index_int_drop_value(index, key, 0);
    return index_int_redis_sent(is_sent, op, OK);
}

static enum result redis_end(struct index *base, const struct index_key *key, index_write write, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    struct write_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_written);
    op->key = *key;
    op->ended = write;
    bool is_sent = link != NULL && index_int_redis_send_end(index, link, &op->call.command, key, write);
    if (!is_sent)
        index_int_drop_value(index, key, write);
    return index_int_redis_sent(is_sent, op, OK);
}

/* ---- life ---- */

static void redis_free(struct index *base)
{
    struct redis_index *index = (struct redis_index *)base;
    redis_client_free(index->client);
    index_int_drops_done(&index->drops);
    free(index);
}

static void redis_start(struct index *base, struct loop *loop)
{
    struct redis_index *index = (struct redis_index *)base;
    redis_client_start(index->client, loop);
}

static bool redis_is_reachable(struct index *base, struct loop *loop)
{
    struct redis_index *index = (struct redis_index *)base;
    return redis_client_is_ready(index->client, loop) && index_int_drops_may_read(index);
}

static const struct index_backend redis_backend = {
    .name = "redis",
    .free = redis_free,
    .start = redis_start,
    .is_reachable = redis_is_reachable,
    .read = redis_read,
    .read_tag = redis_read_tag,
    .fill = redis_fill,
    .begin = redis_begin,
    .end = redis_end,
    .list_read = index_int_redis_list_read,
    .list_fill = index_int_redis_list_fill,
    .list_give_back = index_int_redis_list_give_back,
    .list_begin = index_int_redis_list_begin,
    .list_end = index_int_redis_list_end,
};

enum result index_new_redis(const struct index_redis_settings *settings, struct strbuf *ret_why,
                            struct index **ret_index)
{
    if (settings->store.len > INDEX_STORE_NAME_MAX)
        return INVALID;
    struct redis_index *index = xcalloc(1, sizeof(*index));
    index->base = (struct index){.backend = &redis_backend, .metrics = settings->metrics};
    index->clock = settings->clock;
    index->log = settings->log;
    index->ttl_ms = settings->ttl_ms;
    memcpy(index->store, settings->store.ptr, settings->store.len);
    index_int_drops_init(&index->drops);
    struct redis_client_settings client = {
        .url = settings->url,
        .pool = settings->pool,
        .scripts = index_int_redis_scripts,
        .script_count = REDIS_SCRIPTS,
        .on_ready = on_ready,
        .on_lost = on_lost,
        .on_error = on_error,
        .data = index,
    };
    enum result r = redis_client_new(&client, ret_why, &index->client);
    if (r == OK)
        *ret_index = &index->base;
    else
        redis_free(&index->base);
    return r;
}
