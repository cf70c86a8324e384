/* SPDX-License-Identifier: Apache-2.0
 *
 * The password file: lines of `user:bcrypt`, as `htpasswd -B` writes them. Parsed whole into an immutable table; any
 * doubt refuses the file with its line. Loading and verifying block: start-up or pool threads only.
 */
#include "access_int.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "minato/own.h"

#define HASH_ALPHABET "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

struct entry {
    struct slice user;
    unsigned line;
    char hash[BCRYPT_TEXT_BYTES + 1];
};

struct htpasswd {
    struct arena arena;    /* of the names */
    struct entry *entries; /* sorted by name */
    size_t count;
    size_t capacity;
    char nobody[BCRYPT_TEXT_BYTES + 1]; /* for unknown users */
};

struct parser {
    const char *name;
    struct strbuf *why;
    struct htpasswd *table;
    unsigned line;
    unsigned costs[BCRYPT_COST_MAX + 1]; /* how many users have each */
};

static void complain(struct parser *p, const char *what)
{
    strbuf_append_format(p->why, "%s:%u: %s", p->name, p->line, what);
}

/* "$2y$10$", 22 characters of salt and 31 of hash; *ret_cost. */
static bool is_bcrypt(struct slice hash, unsigned *ret_cost)
{
    const char *h = hash.ptr;
    if (hash.len != BCRYPT_TEXT_BYTES || h[0] != '$' || h[1] != '2' || (h[2] != 'y' && h[2] != 'a' && h[2] != 'b') ||
        h[3] != '$' || h[4] < '0' || h[4] > '9' || h[5] < '0' || h[5] > '9' || h[6] != '$')
        return false;
    for (size_t i = 7; i < BCRYPT_TEXT_BYTES; i++)
        if (memchr(HASH_ALPHABET, h[i], 64) == NULL)
            return false;
    *ret_cost = (unsigned)(h[4] - '0') * 10 + (unsigned)(h[5] - '0');
    return true;
}

static bool is_user_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return false;
    return name.len > 0 && name.len <= USER_NAME_BYTES_MAX;
}

static void add_entry(struct htpasswd *h, struct slice user, struct slice hash, unsigned line)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity == 0 ? 16 : h->capacity * 2;
        h->entries = xrealloc(h->entries, h->capacity * sizeof(h->entries[0]));
    }
    struct entry *e = &h->entries[h->count++];
    e->user = arena_copy(&h->arena, user);
    e->line = line;
    memcpy(e->hash, hash.ptr, BCRYPT_TEXT_BYTES);
    e->hash[BCRYPT_TEXT_BYTES] = '\0';
}

static enum result parse_line(struct parser *p, struct slice line)
{
    struct slice user;
    struct slice hash;
    unsigned cost = 0;
    line = slice_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return OK;
    if (!slice_split(line, ':', &user, &hash)) {
        complain(p, "found no ':', expected user:hash");
        return INVALID;
    }
    if (!is_user_name(user)) {
        complain(p, "found a user name that is empty, over 255 bytes or has control characters");
        return INVALID;
    }
    if (!is_bcrypt(hash, &cost)) { /* the hash itself is not for the log */
        complain(p, "found a hash that is not bcrypt ($2y$, $2a$ or $2b$), expected what `htpasswd -B` writes");
        return INVALID;
    }
    if (cost < BCRYPT_COST_MIN || cost > BCRYPT_COST_MAX) {
        complain(p, "found a bcrypt cost outside 4 to 14: a check would take too little or too long");
        return INVALID;
    }
    if (p->table->count >= HTPASSWD_USERS_MAX) {
        complain(p, "found more than 10000 users");
        return TOO_LARGE;
    }
    p->costs[cost]++;
    add_entry(p->table, user, hash, p->line);
    return OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return slice_compare(x->user, y->user);
}

static enum result sort_entries(struct parser *p)
{
    struct htpasswd *h = p->table;
    if (h->count > 1)
        qsort(h->entries, h->count, sizeof(h->entries[0]), compare_entries);
    for (size_t i = 1; i < h->count; i++) {
        if (!slice_equal(h->entries[i - 1].user, h->entries[i].user))
            continue;
        unsigned a = h->entries[i - 1].line;
        unsigned b = h->entries[i].line;
        p->line = a > b ? a : b;
        strbuf_append_format(p->why, "%s:%u: found a user that is on line %u already", p->name, p->line, a > b ? b : a);
        return INVALID;
    }
    return OK;
}

/* A hash that takes as long as the others (the most frequent cost) and that no password has: its text is random. */
static void make_nobody(struct parser *p)
{
    unsigned cost = 10;
    for (unsigned c = BCRYPT_COST_MIN; c <= BCRYPT_COST_MAX; c++)
        if (p->costs[c] > (cost == 10 ? p->costs[10] : p->costs[cost]))
            cost = c;
    uint8_t noise[BCRYPT_TEXT_BYTES];
    random_bytes(noise, sizeof(noise));
    char *out = p->table->nobody;
    memcpy(out, "$2y$00$", 7);
    out[4] = (char)('0' + cost / 10);
    out[5] = (char)('0' + cost % 10);
    for (size_t i = 7; i < BCRYPT_TEXT_BYTES; i++)
        out[i] = HASH_ALPHABET[noise[i] % 64];
    out[28] = '.'; /* only two bits of the salt's last character count, crypt refuses others */
    out[BCRYPT_TEXT_BYTES] = '\0';
}

enum result htpasswd_parse(struct slice text, const char *name, struct strbuf *why, struct htpasswd **ret_htpasswd)
{
    struct htpasswd *h = xcalloc(1, sizeof(*h));
    arena_init(&h->arena);
    struct parser p = {.name = name, .why = why, .table = h};
    enum result r = OK;
    if (text.len > HTPASSWD_BYTES_MAX) {
        strbuf_append_format(why, "%s: found a file over 1MiB, expected a password file", name);
        r = TOO_LARGE;
    }
    while (r == OK && text.len > 0) {
        struct slice line = text;
        struct slice rest = SLICE_EMPTY;
        (void)slice_split(text, '\n', &line, &rest);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        p.line++;
        r = parse_line(&p, line);
        text = rest;
    }
    if (r == OK)
        r = sort_entries(&p);
    if (r != OK) {
        htpasswd_free(h);
        return r;
    }
    make_nobody(&p);
    *ret_htpasswd = h;
    return OK;
}

static struct file_mark mark_of(const struct stat *st)
{
    return (struct file_mark){
        .device = (uint64_t)st->st_dev,
        .inode = (uint64_t)st->st_ino,
        .size = (uint64_t)st->st_size,
        .modified_s = st->st_mtim.tv_sec,
        .modified_ns = st->st_mtim.tv_nsec,
        .changed_s = st->st_ctim.tv_sec,
        .changed_ns = st->st_ctim.tv_nsec,
    };
}

void htpasswd_stat(const char *path, struct file_mark *ret_mark)
{
    struct stat st;
    *ret_mark = stat(path, &st) == 0 ? mark_of(&st) : (struct file_mark){0};
}

/* *ret_len is over HTPASSWD_BYTES_MAX if the file is. */
static enum result read_all(int fd, char *text, size_t *ret_len)
{
    size_t len = 0;
    while (len <= HTPASSWD_BYTES_MAX) {
        ssize_t n = read(fd, text + len, HTPASSWD_BYTES_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return result_from_errno(errno);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return OK;
}

enum result htpasswd_load(const char *path, struct strbuf *why, struct file_mark *ret_mark,
                          struct htpasswd **ret_htpasswd)
{
    struct stat st;
    *ret_mark = (struct file_mark){0};
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum result r = result_from_errno(errno);
        strbuf_append_format(why, "%s: cannot be read: %s", path, strerrordesc_np(errno));
        return r;
    }
    *ret_mark = mark_of(&st); /* from before reading: a later change makes it differ */
    if (!S_ISREG(st.st_mode)) {
        strbuf_append_format(why, "%s: found what is no file, expected a password file", path);
        return INVALID;
    }
    OWNED_MEMORY char *text = xmalloc(HTPASSWD_BYTES_MAX + 1);
    size_t len = 0;
    enum result r = read_all(fd, text, &len);
    if (r != OK)
        strbuf_append_format(why, "%s: cannot be read: %s", path, result_name(r));
    else
        r = htpasswd_parse(slice_of(text, len), path, why, ret_htpasswd);
    explicit_bzero(text, len);
    return r;
}

void htpasswd_free(struct htpasswd *h)
{
    if (h == NULL)
        return;
    if (h->entries != NULL)
        explicit_bzero(h->entries, h->capacity * sizeof(h->entries[0]));
    free(h->entries);
    arena_done(&h->arena);
    free(h);
}

size_t htpasswd_count(const struct htpasswd *h)
{
    return h == NULL ? 0 : h->count;
}

const char *htpasswd_find(const struct htpasswd *h, struct slice user, bool *ret_is_known)
{
    const struct entry wanted = {.user = user};
    const struct entry *found =
        h->count == 0 ? NULL : bsearch(&wanted, h->entries, h->count, sizeof(h->entries[0]), compare_entries);
    *ret_is_known = found != NULL;
    return found == NULL ? h->nobody : found->hash;
}

bool htpasswd_verify(const char *password, const char *hash)
{
    struct crypt_data *data = xcalloc(1, sizeof(*data)); /* 32 KiB: too much for a pool thread's stack */
    const char *found = crypt_r(password, hash, data);
    bool is_right = found != NULL && slice_equal_secret(slice_from_cstr(found), slice_of(hash, BCRYPT_TEXT_BYTES));
    explicit_bzero(data, sizeof(*data));
    free(data);
    return is_right;
}
