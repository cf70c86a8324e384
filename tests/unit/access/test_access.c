/* SPDX-License-Identifier: Apache-2.0
 *
 * Logging in: what is remembered and for how long, who shares a computation, what a flood cannot take away, how a
 * changed password file comes in; and who may do what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <crypt.h>
#include <fcntl.h>
#include <unistd.h>

#include "minato/own.h"
#include "src/access/access_int.h"

/* ---- rig: a password file, a loop, a pool, a clock that stands still ----------------------------------------------
 */

struct rig {
    char path[64];
    atomic_uint_fast64_t now_ms;
    struct config config;
    struct loop *loop;
    struct pool *pool;
    struct metrics *metrics;
    struct access *access;
};

static uint64_t read_now(void *data)
{
    return atomic_load((atomic_uint_fast64_t *)data);
}

/* "$2b$04$...": the cheapest there is. */
static void hash_password(const char *password, char out[BCRYPT_TEXT_BYTES + 1])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];
    assert_non_null(crypt_gensalt_rn("$2b$", 4, NULL, 0, salt, sizeof(salt)));
    struct crypt_data *data = xcalloc(1, sizeof(*data));
    const char *hash = crypt_r(password, salt, data);
    assert_int_equal(strlen(hash), BCRYPT_TEXT_BYTES);
    memcpy(out, hash, BCRYPT_TEXT_BYTES + 1);
    free(data);
}

/* A new file in the old one's place, as one should. `users`: "name", "password", ..., NULL. */
static void write_users(const struct rig *rig, const char *const *users)
{
    char next[80];
    (void)snprintf(next, sizeof(next), "%s.new", rig->path);
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    for (; *users != NULL; users += 2) {
        char hash[BCRYPT_TEXT_BYTES + 1];
        hash_password(users[1], hash);
        (void)fprintf(file, "%s:%s\n", users[0], hash);
    }
    (void)fclose(file);
    assert_int_equal(rename(next, rig->path), 0);
}

static void write_text(const struct rig *rig, const char *text)
{
    char next[80];
    (void)snprintf(next, sizeof(next), "%s.new", rig->path);
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
    assert_int_equal(rename(next, rig->path), 0);
}

static struct clock clock_of(struct rig *rig)
{
    return (struct clock){read_now, read_now, &rig->now_ms};
}

static void rig_init_with(struct rig *rig, unsigned slow_queue_max)
{
    static const char *const users[] = {"alice", "wonder", "bob",  "builder", "carol", "sings",
                                        "dave",  "digs",   "erin", "earns",   NULL};
    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->path, sizeof(rig->path), "/tmp/minato-users-XXXXXX");
    int fd = mkstemp(rig->path);
    assert_true(fd >= 0);
    close(fd);
    write_users(rig, users);
    atomic_store(&rig->now_ms, 1000000);
    rig->config.auth.htpasswd_file = rig->path;
    rig->config.auth.anonymous = ANONYMOUS_PULL;
    assert_int_equal(loop_new(0, 1 << 20, &rig->loop), OK);
    assert_int_equal(pool_new(2, slow_queue_max, &rig->pool), OK);
    rig->metrics = metrics_new(2);
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1024);
    assert_int_equal(access_new(&rig->config, rig->pool, clock_of(rig), rig->metrics, &why, &rig->access), OK);
}

static void rig_init(struct rig *rig)
{
    rig_init_with(rig, 64);
}

static void rig_done(struct rig *rig)
{
    pool_free(rig->pool);
    loop_run_once(rig->loop, 0);
    access_free(rig->access);
    metrics_free(rig->metrics);
    loop_free(rig->loop);
    unlink(rig->path);
}

static uint64_t counter_of(const struct rig *rig, const char *name)
{
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, 1 << 20);
    metrics_render(rig->metrics, &text);
    char line[128];
    (void)snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = strstr(text.ptr, line);
    assert_non_null(found);
    return strtoull(found + strlen(line), NULL, 10);
}

/* ---- one call ------------------------------------------------------------------------------------------------------
 */

struct call {
    struct arena arena;
    struct identity identity;
    enum result r; /* PENDING until done */
    bool has_returned;
};

static void on_done(void *data, enum result r)
{
    struct call *call = data;
    assert_true(call->has_returned);
    assert_int_equal(call->r, PENDING);
    call->r = r;
}

static struct slice basic_header(struct arena *arena, const char *user, const char *password)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct slice pair = arena_format(arena, "%s:%s", user, password);
    char *out = arena_alloc(arena, pair.len * 2 + 16);
    memcpy(out, "Basic ", 6);
    size_t len = 6;
    for (size_t i = 0; i < pair.len; i += 3) {
        unsigned bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < pair.len ? (unsigned char)pair.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            out[len++] = i + k > pair.len ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    return slice_of(out, len);
}

static void call_header(struct rig *rig, struct loop *loop, struct call *call, struct slice header)
{
    call->r = PENDING;
    call->has_returned = false;
    enum result r = access_authenticate(rig->access, header, SLICE_EMPTY, &call->arena, &call->identity,
                                        (struct done){on_done, call, loop});
    call->r = r;
    call->has_returned = true;
}

static void call_login(struct rig *rig, struct call *call, const char *user, const char *password)
{
    *call = (struct call){0};
    arena_init(&call->arena);
    call_header(rig, rig->loop, call, basic_header(&call->arena, user, password));
}

static void wait_for(struct rig *rig, const struct call *call)
{
    for (unsigned i = 0; call->r == PENDING && i < 1000; i++)
        loop_run_once(rig->loop, 20);
    assert_int_not_equal(call->r, PENDING);
}

/* The whole of one login. *ret_was_computed: it did not answer at once. */
static enum result login(struct rig *rig, const char *user, const char *password, bool *ret_was_computed)
{
    struct call call;
    call_login(rig, &call, user, password);
    *ret_was_computed = call.r == PENDING;
    wait_for(rig, &call);
    if (call.r == OK)
        assert_true(!call.identity.is_anonymous && slice_equal(call.identity.name, slice_from_cstr(user)));
    arena_done(&call.arena);
    return call.r;
}

static void assert_computed(struct rig *rig, const char *user, const char *password, enum result expected)
{
    bool was_computed = false;
    assert_int_equal(login(rig, user, password, &was_computed), expected);
    assert_true(was_computed);
}

static void assert_remembered(struct rig *rig, const char *user, const char *password, enum result expected)
{
    bool was_computed = true;
    assert_int_equal(login(rig, user, password, &was_computed), expected);
    assert_false(was_computed);
}

static void advance(struct rig *rig, uint64_t ms)
{
    atomic_fetch_add(&rig->now_ms, ms);
}

/* ---- logging in -------------------------------------------------------------------------------------------------- */

static void no_header_and_empty_credentials_are_anonymous(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    static const char *const headers[] = {"", "Basic Og=="};
    for (size_t i = 0; i < 2; i++) {
        struct call call = {0};
        arena_init(&call.arena);
        call_header(&rig, rig.loop, &call, slice_from_cstr(headers[i]));
        assert_int_equal(call.r, OK);
        assert_true(call.identity.is_anonymous);
        assert_int_equal(call.identity.name.len, 0);
        arena_done(&call.arena);
    }
    rig_done(&rig);
}

static void headers_we_do_not_speak_are_denied(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    static const char *const headers[] = {"Bearer x", "Basic", "Basic !!!!", "Digest username=x"};
    for (size_t i = 0; i < 4; i++) {
        struct call call = {0};
        arena_init(&call.arena);
        call_header(&rig, rig.loop, &call, slice_from_cstr(headers[i]));
        assert_int_equal(call.r, DENIED);
        arena_done(&call.arena);
    }
    assert_int_equal(counter_of(&rig, "minato_auth_failures_total"), 4);
    rig_done(&rig);
}

static void a_right_pair_is_remembered_for_a_minute(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.access->reload.due_ms = UINT64_MAX; /* the file is another test's matter */
    assert_computed(&rig, "alice", "wonder", OK);
    assert_remembered(&rig, "alice", "wonder", OK);
    advance(&rig, 59999);
    assert_remembered(&rig, "alice", "wonder", OK);
    advance(&rig, 1);
    assert_computed(&rig, "alice", "wonder", OK);
    assert_remembered(&rig, "alice", "wonder", OK);
    assert_int_equal(counter_of(&rig, "minato_auth_failures_total"), 0);
    rig_done(&rig);
}

static void a_wrong_pair_is_remembered_for_ten_seconds(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.access->reload.due_ms = UINT64_MAX;
    assert_computed(&rig, "alice", "builder", DENIED);
    assert_remembered(&rig, "alice", "builder", DENIED);
    advance(&rig, 10000);
    assert_computed(&rig, "alice", "builder", DENIED);
    assert_computed(&rig, "alice", "wonder", OK); /* and says nothing about the right one */
    assert_int_equal(counter_of(&rig, "minato_auth_failures_total"), 3);
    rig_done(&rig);
}

static void an_unknown_user_is_computed_too(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_computed(&rig, "mallory", "wonder", DENIED);
    assert_remembered(&rig, "mallory", "wonder", DENIED);
    assert_computed(&rig, "", "wonder", DENIED);
    rig_done(&rig);
}

static void where_a_name_ends_matters(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct verdict_key a;
    struct verdict_key b;
    const char *hash = "$2b$04$0123456789012345678901234567890123456789012345678901234";
    struct credentials x = {SLICE("al"), SLICE("ice")};
    struct credentials y = {SLICE("ali"), SLICE("ce")};
    verdicts_key(rig.access->verdicts, &x, hash, &a);
    verdicts_key(rig.access->verdicts, &y, hash, &b);
    assert_memory_not_equal(&a, &b, sizeof(a));
    rig_done(&rig);
}

static void equal_logins_share_one_computation(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct call calls[20];
    for (size_t i = 0; i < 20; i++) {
        call_login(&rig, &calls[i], "alice", "wonder");
        assert_int_equal(calls[i].r, PENDING);
    }
    assert_int_equal(rig.access->attempt_count, 1);
    for (size_t i = 0; i < 20; i++) {
        wait_for(&rig, &calls[i]);
        assert_int_equal(calls[i].r, OK);
        assert_true(slice_equal(calls[i].identity.name, SLICE("alice")));
        arena_done(&calls[i].arena);
    }
    assert_int_equal(rig.access->attempt_count, 0);
    rig_done(&rig);
}

/* ---- floods ------------------------------------------------------------------------------------------------------ */

#define FLOOD 200

/* Wrong passwords for `user`; NULL: for as many names that do not exist. Nothing is finished yet. */
static void flood_init(struct rig *rig, struct call *calls, const char *user)
{
    for (unsigned i = 0; i < FLOOD; i++) {
        char unknown[32];
        char password[32];
        (void)snprintf(unknown, sizeof(unknown), "user%u", i);
        (void)snprintf(password, sizeof(password), "wrong%u", i);
        call_login(rig, &calls[i], user == NULL ? unknown : user, password);
    }
}

static unsigned flood_done(struct rig *rig, struct call *calls)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < FLOOD; i++) {
        wait_for(rig, &calls[i]);
        assert_true(calls[i].r == DENIED || calls[i].r == BUSY);
        busy += calls[i].r == BUSY ? 1 : 0;
        arena_done(&calls[i].arena);
    }
    return busy;
}

static void a_flood_of_unknown_names_leaves_room_for_a_first_login(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct call calls[FLOOD];
    flood_init(&rig, calls, NULL);
    assert_int_equal(rig.access->attempt_count, ATTEMPTS_UNKNOWN_MAX);
    assert_computed(&rig, "alice", "wonder", OK);
    assert_int_equal(flood_done(&rig, calls), FLOOD - ATTEMPTS_UNKNOWN_MAX);
    assert_int_equal(counter_of(&rig, "minato_auth_refused_busy_total"), FLOOD - ATTEMPTS_UNKNOWN_MAX);
    rig_done(&rig);
}

static void a_flood_on_one_name_leaves_room_for_other_names(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct call calls[FLOOD];
    flood_init(&rig, calls, "alice");
    assert_int_equal(rig.access->attempt_count, ATTEMPTS_PER_USER_MAX);
    assert_computed(&rig, "bob", "builder", OK);
    assert_int_equal(flood_done(&rig, calls), FLOOD - ATTEMPTS_PER_USER_MAX);
    rig_done(&rig);
}

static void who_was_right_today_is_let_in_past_a_flood(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.access->reload.due_ms = UINT64_MAX;
    assert_computed(&rig, "alice", "wonder", OK);
    struct call calls[FLOOD];
    flood_init(&rig, calls, "alice");
    assert_remembered(&rig, "alice", "wonder", OK); /* fresh: no matter what */
    advance(&rig, 23ull * 3600 * 1000);
    assert_int_equal(rig.access->attempt_count, ATTEMPTS_PER_USER_MAX);
    assert_remembered(&rig, "alice", "wonder", OK); /* proven: no room, so no bcrypt */
    advance(&rig, 3600 * 1000);
    struct call call;
    call_login(&rig, &call, "alice", "wonder");
    assert_int_equal(call.r, BUSY); /* too long ago */
    arena_done(&call.arena);
    (void)flood_done(&rig, calls);
    assert_computed(&rig, "alice", "wonder", OK);
    rig_done(&rig);
}

static void a_full_slow_lane_is_busy(void **state)
{
    (void)state;
    struct rig rig;
    rig_init_with(&rig, 1);
    struct call calls[FLOOD];
    flood_init(&rig, calls, NULL);
    assert_true(rig.access->attempt_count < ATTEMPTS_UNKNOWN_MAX);
    assert_true(flood_done(&rig, calls) > 0);
    assert_int_equal(rig.access->attempt_count, 0);
    assert_computed(&rig, "alice", "wonder", OK);
    rig_done(&rig);
}

static void wrong_verdicts_never_drive_out_right_ones(void **state)
{
    (void)state;
    struct verdicts *v = verdicts_new();
    struct verdict_key right = {{1, 2, 3}};
    verdicts_add(v, &right, true, 1000);
    for (unsigned i = 0; i < 100000; i++) {
        struct verdict_key wrong = {{0}};
        memcpy(wrong.bytes, &i, sizeof(i));
        verdicts_add(v, &wrong, false, 1000 + i / 1000);
    }
    assert_int_equal(verdicts_find(v, &right, 1100), VERDICT_RIGHT);
    /* Within one set the oldest goes. */
    for (unsigned i = 0; i < 5; i++) {
        struct verdict_key key = {{9, 9, (uint8_t)i}};
        verdicts_add(v, &key, true, 2000 + i);
    }
    struct verdict_key first = {{9, 9, 0}};
    struct verdict_key second = {{9, 9, 1}};
    assert_int_equal(verdicts_find(v, &first, 2010), VERDICT_UNKNOWN);
    assert_int_equal(verdicts_find(v, &second, 2010), VERDICT_RIGHT);
    verdicts_free(v);
}

/* ---- the changing file ---------------------------------------------------------------------------------------------
 */

static void a_changed_file_comes_in_within_five_seconds(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_computed(&rig, "alice", "wonder", OK);
    assert_computed(&rig, "bob", "builder", OK);
    static const char *const users[] = {"alice", "land", "frank", "frets", NULL};
    write_users(&rig, users);
    advance(&rig, 4999);
    assert_remembered(&rig, "alice", "wonder", OK); /* not looked at yet */
    assert_computed(&rig, "frank", "frets", DENIED);
    advance(&rig, 1);
    assert_computed(&rig, "alice", "wonder", DENIED); /* a changed line forgets at once */
    assert_computed(&rig, "alice", "land", OK);
    assert_computed(&rig, "bob", "builder", DENIED); /* gone */
    assert_computed(&rig, "frank", "frets", OK);     /* the wrong verdict was against no line of his */
    rig_done(&rig);
}

static void a_broken_or_missing_file_leaves_the_users_and_is_counted_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_computed(&rig, "alice", "wonder", OK);
    write_text(&rig, "alice:plain\n");
    for (unsigned i = 0; i < 3; i++) {
        advance(&rig, 5000);
        assert_computed(&rig, "alice", "wonder", OK); /* it waits for the look */
    }
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1024);
    assert_int_equal(access_reload_failures(rig.access, &why), 1);
    assert_non_null(strstr(why.ptr, ":1: found a hash that is not bcrypt"));
    assert_int_equal(counter_of(&rig, "minato_auth_reloads_failed_total"), 1);
    unlink(rig.path);
    for (unsigned i = 0; i < 3; i++) {
        advance(&rig, 5000);
        assert_computed(&rig, "alice", "wonder", OK);
    }
    assert_int_equal(counter_of(&rig, "minato_auth_reloads_failed_total"), 2);
    static const char *const users[] = {"frank", "frets", NULL};
    write_users(&rig, users);
    advance(&rig, 5000);
    assert_computed(&rig, "alice", "wonder", DENIED);
    assert_computed(&rig, "frank", "frets", OK);
    assert_int_equal(counter_of(&rig, "minato_auth_reloads_failed_total"), 2);
    rig_done(&rig);
}

static void all_who_come_during_a_look_wait_for_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    assert_computed(&rig, "alice", "wonder", OK);
    static const char *const users[] = {"frank", "frets", NULL};
    write_users(&rig, users);
    advance(&rig, 5000);
    struct call calls[10];
    for (size_t i = 0; i < 10; i++)
        call_login(&rig, &calls[i], i % 2 == 0 ? "alice" : "frank", i % 2 == 0 ? "wonder" : "frets");
    for (size_t i = 0; i < 10; i++) {
        wait_for(&rig, &calls[i]);
        assert_int_equal(calls[i].r, i % 2 == 0 ? DENIED : OK);
        arena_done(&calls[i].arena);
    }
    rig_done(&rig);
}

static void a_broken_file_at_start_is_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_text(&rig, "x\n");
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1024);
    struct access *access = NULL;
    assert_int_equal(access_new(&rig.config, rig.pool, clock_of(&rig), NULL, &why, &access), INVALID);
    assert_null(access);
    assert_non_null(strstr(why.ptr, ":1: found no ':', expected user:hash"));
    access_free(NULL);
    rig_done(&rig);
}

/* ---- may you -------------------------------------------------------------------------------------------------------
 */

/* N, L, U(ll), (pus)H, D, C: allowed, in the order of enum permission; "NL---C". */
static void assert_permissions(struct access *access, bool is_anonymous, const char *allowed)
{
    const struct identity identity = {.is_anonymous = is_anonymous,
                                      .name = is_anonymous ? SLICE_EMPTY : SLICE("alice")};
    for (int p = PERMISSION_NONE; p <= PERMISSION_CATALOG; p++) {
        enum result r = access_authorize(access, &identity, (enum permission)p, NULL, (struct done){0});
        assert_int_equal(r, allowed[p] == '-' ? DENIED : OK);
    }
}

static void what_anonymous_and_users_may(void **state)
{
    (void)state;
    static const struct {
        enum config_anonymous anonymous;
        const char *allowed;
    } cases[] = {{ANONYMOUS_NONE, "N-----"}, {ANONYMOUS_PULL, "N-U--C"}, {ANONYMOUS_PUSH, "NLUH-C"}};
    struct rig rig;
    rig_init(&rig);
    for (size_t i = 0; i < 3; i++) {
        rig.access->anonymous = cases[i].anonymous;
        assert_permissions(rig.access, true, cases[i].allowed);
        assert_permissions(rig.access, false, "NLUHDC");
    }
    rig_done(&rig);
}

static void without_users_pulling_clients_need_not_log_in(void **state)
{
    (void)state;
    struct config config = {.auth = {.anonymous = ANONYMOUS_PULL}};
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1024);
    struct access *access = NULL;
    assert_int_equal(access_new(&config, NULL, clock_system(), NULL, &why, &access), OK);
    assert_permissions(access, true, "NLU--C");
    struct arena arena;
    arena_init(&arena);
    assert_int_equal(access_challenge(access, &arena).len, 0);
    struct identity identity = {0};
    assert_int_equal(
        access_authenticate(access, SLICE("Basic Ym9iOnNlY3JldA=="), SLICE_EMPTY, &arena, &identity, (struct done){0}),
        OK);
    assert_true(identity.is_anonymous); /* nobody could check it */
    arena_done(&arena);
    access_free(access);
}

static void the_challenge_names_the_realm(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct arena arena;
    arena_init(&arena);
    assert_true(slice_equal(access_challenge(rig.access, &arena), SLICE("Basic realm=\"minato\"")));
    arena_done(&arena);
    rig_done(&rig);
}

/* ---- two loops -----------------------------------------------------------------------------------------------------
 */

#define ROUNDS 300

struct client {
    struct rig *rig;
    struct loop *loop;
    struct call calls[8];
    unsigned left;
    unsigned failures;
};

static void *run_client(void *data)
{
    struct client *c = data;
    static const char *const users[] = {"alice", "bob", "carol", "dave"};
    static const char *const passwords[] = {"wonder", "builder", "wrong", "digs"};
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < 8; i++) {
            struct call *call = &c->calls[i];
            *call = (struct call){0};
            arena_init(&call->arena);
            struct slice header = basic_header(&call->arena, users[i % 4], passwords[i % 4]);
            call_header(c->rig, c->loop, call, header);
        }
        for (size_t i = 0; i < 8; i++) {
            struct call *call = &c->calls[i];
            while (call->r == PENDING)
                loop_run_once(c->loop, 5);
            c->failures += call->r == (i % 4 == 2 ? DENIED : OK) ? 0 : 1;
            arena_done(&call->arena);
        }
        atomic_fetch_add(&c->rig->now_ms, 700);
    }
    return NULL;
}

static void loops_share_computations_and_reloads(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct loop *second = NULL;
    assert_int_equal(loop_new(1, 1 << 20, &second), OK);
    struct client clients[2] = {{.rig = &rig, .loop = rig.loop}, {.rig = &rig, .loop = second}};
    pthread_t threads[2];
    static const char *const users[] = {"alice", "wonder", "bob", "builder", "carol", "sings", "dave", "digs", NULL};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    for (unsigned i = 0; i < 20; i++) {
        write_users(&rig, users); /* new salts: every verdict is forgotten */
        usleep(10000);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].failures, 0);
    }
    pool_free(rig.pool);
    rig.pool = NULL;
    loop_run_once(second, 0);
    loop_free(second);
    rig_done(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_header_and_empty_credentials_are_anonymous),
        cmocka_unit_test(headers_we_do_not_speak_are_denied),
        cmocka_unit_test(a_right_pair_is_remembered_for_a_minute),
        cmocka_unit_test(a_wrong_pair_is_remembered_for_ten_seconds),
        cmocka_unit_test(an_unknown_user_is_computed_too),
        cmocka_unit_test(where_a_name_ends_matters),
        cmocka_unit_test(equal_logins_share_one_computation),
        cmocka_unit_test(a_flood_of_unknown_names_leaves_room_for_a_first_login),
        cmocka_unit_test(a_flood_on_one_name_leaves_room_for_other_names),
        cmocka_unit_test(who_was_right_today_is_let_in_past_a_flood),
        cmocka_unit_test(a_full_slow_lane_is_busy),
        cmocka_unit_test(wrong_verdicts_never_drive_out_right_ones),
        cmocka_unit_test(a_changed_file_comes_in_within_five_seconds),
        cmocka_unit_test(a_broken_or_missing_file_leaves_the_users_and_is_counted_once),
        cmocka_unit_test(all_who_come_during_a_look_wait_for_it),
        cmocka_unit_test(a_broken_file_at_start_is_refused),
        cmocka_unit_test(what_anonymous_and_users_may),
        cmocka_unit_test(without_users_pulling_clients_need_not_log_in),
        cmocka_unit_test(the_challenge_names_the_realm),
        cmocka_unit_test(loops_share_computations_and_reloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
