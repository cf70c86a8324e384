/* SPDX-License-Identifier: Apache-2.0
 *
 * A program for durability_replay.py: writes, moves and deletes objects of a filesystem store, many at once, and says
 * on standard output what it is about to do and what was acknowledged. One line, one write:
 *
 *   TRY put|delete|volatile PATH [SHA256]     ACK put|delete|volatile PATH [SHA256]     NAK PATH RESULT
 *   ACK seen PATH SHA256                      a get brought these bytes
 *   ACK parts ID SHA256 SIZE                  the first SIZE bytes of a multipart are durable
 *   TRY forget ID                             a multipart is about to be completed or aborted
 *
 * Usage: durability_writer ROOT ROUNDS SEED
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await.h"
#include "minato/own.h"
#include "minato/storage.h"

#define SLOTS 12
#define BYTES_MAX 9000
#define LINE_MAX_BYTES 1500
#define POOL_THREADS 4

struct writer {
    struct loop *loop;
    struct pool *pool;
    struct storage *storage;
    unsigned random;
    unsigned serial;
    unsigned outstanding;
};

static unsigned next_random(struct writer *w, unsigned below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

static void say(const char *line)
{
    size_t length = strlen(line);
    if (write(STDOUT_FILENO, line, length) != (ssize_t)length)
        abort();
}

static void say_path(const char *what, const char *path, const char *rest)
{
    char line[LINE_MAX_BYTES];
    (void)snprintf(line, sizeof(line), "%s %s %s\n", what, path, rest);
    say(line);
}

static void digest_hex(struct slice bytes, char hex[DIGEST_TEXT_MAX])
{
    struct digest digest;
    char text[DIGEST_TEXT_MAX];
    digest_of(DIGEST_SHA256, bytes, &digest);
    size_t length = digest_format(&digest, text);
    memcpy(hex, text + 7, length - 7);
    hex[length - 7] = '\0';
}

/* ---- one object of the round: a put or a delete, and a get that may overlap it ---- */

enum action { PUT, CREATE, VOLATILE, DELETE, ACTIONS };

struct slot {
    struct writer *writer;
    enum action action;
    char path[64];
    char sha256[DIGEST_TEXT_MAX];
    char bytes[BYTES_MAX];
    struct slice content;
    struct arena arena;
    struct slice got;
};

static void make_bytes(struct writer *w, struct slot *s)
{
    size_t size = 1 + next_random(w, BYTES_MAX - 1);
    for (size_t i = 0; i < size; i++)
        s->bytes[i] = (char)('a' + next_random(w, 26));
    (void)snprintf(s->bytes, size < 12 ? size : 12, "%u", w->serial++);
    s->content = slice_of(s->bytes, size);
    digest_hex(s->content, s->sha256);
}

static const char *const tries[ACTIONS] = {"TRY put", "TRY put", "TRY volatile", "TRY delete"};
static const char *const acks[ACTIONS] = {"ACK put", "ACK put", "ACK volatile", "ACK delete"};

static void on_action(void *data, enum result r)
{
    struct slot *s = data;
    s->writer->outstanding--;
    if (r == OK)
        say_path(acks[s->action], s->path, s->action == DELETE ? "" : s->sha256);
    else
        say_path("NAK", s->path, result_name(r));
}

static void on_seen(void *data, enum result r)
{
    struct slot *s = data;
    char sha256[DIGEST_TEXT_MAX];
    s->writer->outstanding--;
    if (r != OK)
        return;
    digest_hex(s->got, sha256);
    say_path("ACK seen", s->path, sha256);
}

static enum result begin_action(struct slot *s, struct done done)
{
    static const unsigned flags[ACTIONS] = {0, STORAGE_PUT_CREATE_ONLY, STORAGE_PUT_VOLATILE, 0};
    struct slice path = slice_from_cstr(s->path);
    if (s->action == DELETE)
        return storage_delete(s->writer->storage, path, done);
    return storage_put(s->writer->storage, path, s->content, flags[s->action], done);
}

static void start_slot(struct writer *w, struct slot *s, unsigned number)
{
    s->writer = w;
    unsigned action = next_random(w, ACTIONS + 2); /* many deletes, so that folders come and go */
    s->action = action < DELETE ? (enum action)action : DELETE;
    bool is_volatile = s->action == VOLATILE || (s->action == DELETE && next_random(w, 2) == 0);
    /* Few folders, so that deletes empty them under those who create, and volatile folders become durable ones. */
    (void)snprintf(s->path, sizeof(s->path), "docker/d%u/%u/%s%u", number % 3, number % 2, is_volatile ? "v" : "o",
                   number);
    make_bytes(w, s);
    say_path(tries[s->action], s->path, s->action == DELETE ? "" : s->sha256);
    w->outstanding += 2;
    enum result r = begin_action(s, (struct done){on_action, s, w->loop});
    if (r != PENDING)
        on_action(s, r);
    r = storage_get(w->storage, slice_from_cstr(s->path), BYTES_MAX, &s->arena, &s->got, NULL,
                    (struct done){on_seen, s, w->loop});
    if (r != PENDING)
        on_seen(s, r);
}

/* ---- one upload, in parts, beside the round ---- */

#define PARTS 3

struct upload {
    struct writer *writer;
    char source[64];
    char target[64];
    struct storage_multipart multipart;
    struct storage_part parts[PARTS];
    char *bytes;
    size_t size;
};

static enum result put_part(struct upload *u, unsigned i)
{
    struct writer *w = u->writer;
    struct page *page;
    struct storage_part *part = &u->parts[i];
    enum result r = AWAIT(w->loop, page_acquire(w->loop, &page, done));
    if (r != OK)
        return r;
    page->len = 1 + next_random(w, 60000);
    *part = (struct storage_part){.number = i + 1, .offset = u->size, .size = page->len};
    for (size_t at = 0; at < page->len; at++)
        page->ptr[at] = (char)next_random(w, 256);
    memcpy(u->bytes + u->size, page->ptr, page->len);
    u->size += page->len;
    r = AWAIT(w->loop, storage_multipart_put(w->storage, slice_from_cstr(u->source), &u->multipart, page, part, done));
    page_release(page);
    return r;
}

static enum result put_and_sync_parts(struct upload *u)
{
    struct writer *w = u->writer;
    enum result r = OK;
    for (unsigned i = 0; i < PARTS && r == OK; i++) {
        char sha256[DIGEST_TEXT_MAX];
        char text[DIGEST_TEXT_MAX + 32];
        r = put_part(u, i);
        if (r == OK)
            r = AWAIT(w->loop, storage_multipart_sync(w->storage, slice_from_cstr(u->source), &u->multipart, done));
        digest_hex(slice_of(u->bytes, u->size), sha256);
        (void)snprintf(text, sizeof(text), "%s %zu", sha256, u->size);
        if (r == OK)
            say_path("ACK parts", u->multipart.id, text);
    }
    return r;
}

/* As the registry does: completed under a name of its own, then moved to where it belongs; or completed there. */
static enum result publish(struct upload *u, const char *sha256)
{
    struct writer *w = u->writer;
    bool is_moved = next_random(w, 2) == 0;
    const char *first = is_moved ? u->source : u->target;
    say_path(is_moved ? "TRY volatile" : "TRY put", first, sha256);
    enum result r =
        AWAIT(w->loop, storage_multipart_complete(w->storage, slice_from_cstr(first), &u->multipart, u->parts, PARTS,
                                                  u->size, is_moved ? STORAGE_PUT_VOLATILE : 0, done));
    if (r != OK)
        return r;
    if (is_moved) {
        say_path("TRY put", u->target, sha256);
        r = AWAIT(w->loop,
                  storage_rename_create(w->storage, slice_from_cstr(u->source), slice_from_cstr(u->target), done));
    }
    if (r == OK)
        say_path("ACK put", u->target, sha256);
    if (r == OK && is_moved)
        say_path("ACK delete", u->source, "");
    return r;
}

static enum result run_upload(struct writer *w)
{
    OWNED_MEMORY char *bytes = xmalloc(PARTS * PAGE_BYTES);
    struct upload u = {.writer = w, .bytes = bytes};
    char sha256[DIGEST_TEXT_MAX];
    unsigned number = w->serial++;
    (void)snprintf(u.source, sizeof(u.source), "minato/bytes/%u", number);
    (void)snprintf(u.target, sizeof(u.target), "docker/blobs/%u/%u/data", number % 7, number);
    enum result r = AWAIT(w->loop, storage_multipart_begin(w->storage, slice_from_cstr(u.source), &u.multipart, done));
    if (r == OK)
        r = put_and_sync_parts(&u);
    if (r != OK)
        return r;
    say_path("TRY forget", u.multipart.id, "");
    digest_hex(slice_of(u.bytes, u.size), sha256);
    if (next_random(w, 5) == 0)
        return AWAIT(w->loop, storage_multipart_abort(w->storage, slice_from_cstr(u.source), &u.multipart, done));
    return publish(&u, sha256);
}

/* ---- all ---- */

static enum result run_round(struct writer *w)
{
    struct slot *slots = xcalloc(SLOTS, sizeof(*slots));
    for (unsigned i = 0; i < SLOTS; i++)
        start_slot(w, &slots[i], i);
    enum result r = run_upload(w);
    while (w->outstanding > 0)
        loop_run_once(w->loop, 100);
    for (unsigned i = 0; i < SLOTS; i++)
        arena_done(&slots[i].arena);
    free(slots);
    return r;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s ROOT ROUNDS SEED\n", argv[0]);
        return 2;
    }
    struct writer w = {.random = (unsigned)strtoul(argv[3], NULL, 10)};
    struct config config;
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, 1000);
    memset(&config, 0, sizeof(config));
    config.storage.filesystem.root = argv[1];
    enum result r = loop_new(0, 4 * PAGE_BYTES, &w.loop);
    if (r == OK)
        r = pool_new(POOL_THREADS, 1, &w.pool);
    if (r == OK)
        r = storage_open(&config, w.pool, NULL, &why, &w.storage);
    for (unsigned long rounds = strtoul(argv[2], NULL, 10); rounds > 0 && r == OK; rounds--)
        r = run_round(&w);
    if (r != OK)
        (void)fprintf(stderr, "%s: %.*s\n", result_name(r), SLICE_ARG(strbuf_slice(&why)));
    storage_close(w.storage);
    pool_free(w.pool);
    loop_free(w.loop);
    return r == OK ? 0 : 1;
}
