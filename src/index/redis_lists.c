/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists of the index in Redis: five keys each (redis_scripts.c), and a sixth that a reader of the store fills piece
 * by piece before it takes the members' place. Any loop.
 */
#include "redis_int.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMBERS_MAX 4000000u
#define PAGE_BYTES_MAX (4u * 1024u * 1024u)
#define CHANGES_MAX 4096u
#define PIECE_MEMBERS 1000u
#define PIECE_BYTES ((size_t)256 * 1024)
#define LIST_KEYS 5u
#define EMPTY_MS 300000u /* how long a list without members is known */

static const char letters[] = {[INDEX_LIST_TAGS] = 'T', [INDEX_LIST_REPOSITORIES] = 'R', [INDEX_LIST_REFERRERS] = 'F'};

/* ---- keys and arguments ---- */

struct list_keys {
    struct redis_key keys[LIST_KEYS + 1];
    struct slice slices[LIST_KEYS + 1];
};

static void list_key(const struct redis_index *index, const struct redis_link *link, const struct index_list_key *key,
                     struct slice suffix, struct redis_key *ret_key)
{
    index_int_redis_key(index, link, letters[key->kind], key->repo, key->name, suffix, ret_key);
}

/* What a list is read into from the store; of one lease. */
static void shadow_key(const struct redis_index *index, const struct redis_link *link, const struct index_list_key *key,
                       index_lease lease, struct redis_key *ret_key)
{
    char suffix[1 + REDIS_NAME_LENGTH] = {':'};
    struct redis_name name;
    memcpy(suffix + 1, index_int_redis_name(lease, &name).ptr, REDIS_NAME_LENGTH);
    list_key(index, link, key, slice_of(suffix, sizeof(suffix)), ret_key);
}

static void list_keys(const struct redis_index *index, const struct redis_link *link, const struct index_list_key *key,
                      struct list_keys *ret_keys)
{
    static const struct slice suffixes[LIST_KEYS] = {{":s", 2}, {":m", 2}, {":c", 2}, {":w", 2}, {":e", 2}};
    for (size_t i = 0; i < LIST_KEYS; i++) {
        list_key(index, link, key, suffixes[i], &ret_keys->keys[i]);
        ret_keys->slices[i] = redis_key_slice(&ret_keys->keys[i]);
    }
}

/* The first argument of each script of lists, then the given ones. */
static bool run(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                enum redis_script script, const struct index_list_key *key, const struct slice *given, size_t count)
{
    struct list_keys keys;
    struct redis_number life;
    struct slice arguments[6] = {index_int_redis_number(INDEX_WRITE_MAX_MS, &life)};
    list_keys(index, link, key, &keys);
    for (size_t i = 0; i < count; i++)
        arguments[1 + i] = given[i];
    return redis_link_run(link, command, script, keys.slices, LIST_KEYS, arguments, 1 + count);
}

static int64_t number_at(const struct redis_reply *reply, size_t i)
{
    int64_t number;
    return redis_reply_number(redis_reply_at(reply, i), &number) ? number : -1;
}

/* ---- reading ---- */

struct list_read_call {
    struct redis_call call;
    struct arena *arena;
    struct index_list_page *ret_page;
    index_lease *ret_lease; /* NULL: none is wanted */
};

/* A member, a line feed, its data. */
static struct index_member parse_member(struct slice text)
{
    struct index_member member = {.name = text};
    (void)slice_split(text, '\n', &member.name, &member.data);
    return member;
}

static bool take_page(const struct list_read_call *op, const struct redis_reply *reply)
{
    size_t count = redis_reply_count(reply) - 2;
    struct index_list_page page = {.count = count, .has_more = number_at(reply, 1) == 1};
    page.members = ARENA_ARRAY(op->arena, struct index_member, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct slice text;
        if (!redis_reply_text(redis_reply_at(reply, 2 + i), &text))
            return false;
        page.members[i] = parse_member(arena_copy(op->arena, text));
    }
    *op->ret_page = page;
    return true;
}

static enum result take_answer(const struct list_read_call *op, const struct redis_reply *reply)
{
    struct slice text;
    switch (number_at(reply, 0)) {
    case 0:
        if (op->ret_lease != NULL)
            *op->ret_lease = redis_reply_text(redis_reply_at(reply, 1), &text) ? index_int_redis_name_parse(text) : 0;
        return NOT_FOUND;
    case 1:
        return redis_reply_count(reply) >= 2 && take_page(op, reply) ? OK : UNAVAILABLE;
    case 2:
        return op->ret_lease != NULL ? BUSY : NOT_FOUND;
    default:
        return UNAVAILABLE;
    }
}

static void on_list_read(struct redis_command *command, const struct redis_reply *reply)
{
    struct list_read_call *op = (struct list_read_call *)(void *)command;
    enum result r = take_answer(op, reply);
    index_int_count(&op->call.index->base, op->call.done, r);
    index_int_redis_call_end(&op->call, r);
}

enum result index_int_redis_list_read(struct index *base, const struct index_list_key *key, struct slice after,
                                      size_t limit, struct arena *arena, struct index_list_page *ret_page,
                                      index_lease *ret_lease, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_reading_link(index, done.loop, key->repo);
    if (link == NULL)
        return UNAVAILABLE;
    /* Behind `after` and whatever data stand behind it, before whatever name it begins. */
    char from[REPO_NAME_MAX + 2] = "-";
    size_t from_len = 1;
    if (after.len > 0 && after.len <= REPO_NAME_MAX) {
        from[0] = '(';
        memcpy(from + 1, after.ptr, after.len);
        from[1 + after.len] = '\v';
        from_len = after.len + 2;
    }
    struct redis_name name;
    struct redis_number most, bytes;
    struct slice lease = ret_lease != NULL ? index_int_redis_name(index_int_redis_new_name(), &name) : SLICE_EMPTY;
    struct list_read_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_list_read);
    op->arena = arena;
    op->ret_page = ret_page;
    op->ret_lease = ret_lease;
    bool is_sent = run(index, link, &op->call.command, REDIS_LIST_READ, key,
                       (struct slice[]){lease, slice_of(from, from_len), index_int_redis_number(limit, &most),
                                        index_int_redis_number(PAGE_BYTES_MAX, &bytes)},
                       4);
    return index_int_redis_sent(is_sent, op, UNAVAILABLE);
}

/* ---- filling: pieces, one after the other, then all of it at once ---- */

struct list_fill_call {
    struct redis_call call;
    struct index_list_key key;
    const struct index_member *members;
    size_t count;
    size_t sent;
    index_lease lease;
};

static size_t piece_end(const struct list_fill_call *op)
{
    size_t bytes = 0;
    size_t end = op->sent;
    while (end < op->count && end - op->sent < PIECE_MEMBERS && bytes < PIECE_BYTES) {
        bytes += op->members[end].name.len + op->members[end].data.len;
        end++;
    }
    return end;
}

/* The arguments of a piece: how long it may wait for the others, then the members, with their data behind them. */
static struct slice *piece_arguments(const struct list_fill_call *op, size_t end, struct redis_number *life,
                                     struct arena *arena)
{
    struct slice *arguments = ARENA_ARRAY(arena, struct slice, end - op->sent + 1);
    arguments[0] = index_int_redis_number(INDEX_WRITE_MAX_MS, life);
    for (size_t i = op->sent; i < end; i++) {
        const struct index_member *m = &op->members[i];
        arguments[i - op->sent + 1] =
            m->data.len == 0 ? m->name : arena_format(arena, "%.*s\n%.*s", SLICE_ARG(m->name), SLICE_ARG(m->data));
    }
    return arguments;
}

static bool send_piece(struct list_fill_call *op, struct redis_link *link)
{
    struct redis_key key;
    struct redis_number life;
    struct arena arena;
    size_t end = piece_end(op);
    arena_init(&arena);
    shadow_key(op->call.index, link, &op->key, op->lease, &key);
    bool is_sent = redis_link_run(link, &op->call.command, REDIS_LIST_PIECE, (struct slice[]){redis_key_slice(&key)}, 1,
                                  piece_arguments(op, end, &life, &arena), end - op->sent + 1);
    arena_done(&arena);
    op->sent = end;
    return is_sent;
}

static void give_up(struct list_fill_call *op);

static void on_installed(struct redis_command *command, const struct redis_reply *reply)
{
    struct list_fill_call *op = (struct list_fill_call *)(void *)command;
    if (reply == NULL)
        give_up(op);
    else
        index_int_redis_call_end(&op->call, OK);
}

static bool send_install(struct list_fill_call *op, struct redis_link *link)
{
    struct redis_index *index = op->call.index;
    struct list_keys keys;
    struct redis_name lease;
    struct redis_number life, count, ttl, empty;
    list_keys(index, link, &op->key, &keys);
    shadow_key(index, link, &op->key, op->lease, &keys.keys[LIST_KEYS]);
    keys.slices[LIST_KEYS] = redis_key_slice(&keys.keys[LIST_KEYS]);
    op->call.command.answered = on_installed;
    return redis_link_run(
        link, &op->call.command, REDIS_LIST_INSTALL, keys.slices, LIST_KEYS + 1,
        (struct slice[]){index_int_redis_number(INDEX_WRITE_MAX_MS, &life), index_int_redis_name(op->lease, &lease),
                         index_int_redis_number(op->count, &count), index_int_redis_number(index->ttl_ms, &ttl),
                         index_int_redis_number(EMPTY_MS, &empty)},
        5);
}

static bool send_next(struct list_fill_call *op, struct redis_link *link)
{
    return op->sent < op->count ? send_piece(op, link) : send_install(op, link);
}

static bool send_give_back(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                           const struct index_list_key *key, index_lease lease)
{
    struct redis_name name;
    return run(index, link, command, REDIS_LIST_GIVE_BACK, key, (struct slice[]){index_int_redis_name(lease, &name)},
               1);
}

static void on_given_back(struct redis_command *command, const struct redis_reply *reply)
{
    (void)reply;
    index_int_redis_call_end((struct redis_call *)(void *)command, OK);
}

/* Redis is full, or gone: others need not wait for what will not come. */
static void give_up(struct list_fill_call *op)
{
    struct redis_index *index = op->call.index;
    struct redis_link *link = index_int_redis_link(index, op->call.done.loop, op->key.repo);
    op->call.command.answered = on_given_back;
    if (link == NULL || !send_give_back(index, link, &op->call.command, &op->key, op->lease))
        index_int_redis_call_end(&op->call, OK);
}

static void on_piece(struct redis_command *command, const struct redis_reply *reply)
{
    struct list_fill_call *op = (struct list_fill_call *)(void *)command;
    if (reply == NULL || !send_next(op, command->link))
        give_up(op);
}

enum result index_int_redis_list_fill(struct index *base, const struct index_list_key *key,
                                      const struct index_member *members, size_t count, index_lease lease,
                                      struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    if (link == NULL || count > MEMBERS_MAX)
        return OK;
    struct list_fill_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_piece);
    op->key = *key;
    op->members = members;
    op->count = count;
    op->lease = lease;
    return index_int_redis_sent(send_next(op, link), op, OK);
}

enum result index_int_redis_list_give_back(struct index *base, const struct index_list_key *key, index_lease lease,
                                           struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    if (link == NULL)
        return OK;
    struct redis_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_given_back);
    return index_int_redis_sent(send_give_back(index, link, &op->command, key, lease), op, OK);
}

/* ---- writing ---- */

struct list_begin_call {
    struct redis_call call;
    index_write *ret_write;
};

/* What nobody confirmed may yet be done, at any time: the write gets another name, which nothing knows, so that its end
 * forgets the list. */
static void on_begun(struct redis_command *command, const struct redis_reply *reply)
{
    struct list_begin_call *op = (struct list_begin_call *)(void *)command;
    if (reply == NULL)
        *op->ret_write = index_int_redis_new_name();
    index_int_redis_call_end(&op->call, OK);
}

enum result index_int_redis_list_begin(struct index *base, const struct index_list_key *key, struct slice member,
                                       index_write *ret_write, struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    if (member.len > REPO_NAME_MAX)
        return INVALID;
    *ret_write = index_int_redis_new_name();
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    struct list_begin_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_begun);
    struct redis_name name;
    struct redis_number life;
    op->ret_write = ret_write;
    struct slice given[] = {index_int_redis_name(*ret_write, &name), member,
                            index_int_redis_number(index->ttl_ms + 2 * INDEX_WRITE_MAX_MS, &life)};
    bool is_sent = link != NULL && run(index, link, &op->call.command, REDIS_LIST_BEGIN, key, given, 3);
    return index_int_redis_sent(is_sent, op, OK);
}

struct list_end_call {
    struct redis_call call;
    struct index_list_key key;
    struct slice member;
    index_write ended;
};

static void on_ended(struct redis_command *command, const struct redis_reply *reply)
{
    struct list_end_call *op = (struct list_end_call *)(void *)command;
    if (reply == NULL)
        index_int_drop_list(op->call.index, &op->key);
    index_int_redis_call_end(&op->call, OK);
}

static struct slice outcome_text(enum index_list_outcome outcome)
{
    switch (outcome) {
    case INDEX_MEMBER_PRESENT:
        return SLICE("+");
    case INDEX_MEMBER_ABSENT:
        return SLICE("-");
    case INDEX_MEMBER_UNKNOWN:
        break;
    }
    return SLICE("?");
}

/* No script, which a full Redis could refuse: without its state a list is not known, and no end says anything of it. */
bool index_int_redis_send_forget(struct redis_index *index, struct redis_link *link, struct redis_command *command,
                                 const struct index_list_key *key)
{
    struct list_keys keys;
    list_keys(index, link, key, &keys);
    return redis_link_send(
        link, command,
        (struct slice[]){SLICE("UNLINK"), keys.slices[0], keys.slices[1], keys.slices[2], keys.slices[3]}, 5);
}

static bool send_end(struct list_end_call *op, struct redis_link *link, enum index_list_outcome outcome,
                     struct slice data)
{
    struct redis_name name;
    struct redis_number changes;
    struct slice given[] = {index_int_redis_name(op->ended, &name), op->member, outcome_text(outcome), data,
                            index_int_redis_number(CHANGES_MAX, &changes)};
    return run(op->call.index, link, &op->call.command, REDIS_LIST_END, &op->key, given, 5);
}

enum result index_int_redis_list_end(struct index *base, const struct index_list_key *key, struct slice member,
                                     index_write write, enum index_list_outcome outcome, struct slice data,
                                     struct done done)
{
    struct redis_index *index = (struct redis_index *)base;
    if (member.len > REPO_NAME_MAX)
        return INVALID;
    struct redis_link *link = index_int_redis_link(index, done.loop, key->repo);
    struct list_end_call *op = index_int_redis_call_new(sizeof(*op), index, done, on_ended);
    op->key = *key;
    op->member = member;
    op->ended = write;
    bool is_sent = link != NULL && send_end(op, link, outcome, data);
    if (!is_sent)
        index_int_drop_list(index, key);
    return index_int_redis_sent(is_sent, op, OK);
}
