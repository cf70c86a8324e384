/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to src/access: credentials from a header, the password file, remembered verdicts, and one login's way through
 * them.
 */
#ifndef MINATO_ACCESS_INT_H
#define MINATO_ACCESS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "minato/access.h"

#define USER_NAME_BYTES_MAX 255u
#define PASSWORD_BYTES_MAX 1024u
#define BCRYPT_TEXT_BYTES 60u
#define BCRYPT_COST_MIN 4u
#define BCRYPT_COST_MAX 14u
#define HTPASSWD_BYTES_MAX (1024u * 1024u)
#define HTPASSWD_USERS_MAX 10000u

/* ---- credentials.c -------------------------------------------------------------------------------------------------
 */

struct credentials {
    struct slice user;
    struct slice password; /* wiped by credentials_wipe */
};

/* A Basic header's value (RFC 7617) into the arena. INVALID: another scheme, bad base64, no ':', limits passed. */
enum result credentials_parse(struct slice authorization, struct arena *arena,
                              struct credentials *ret_credentials) NODISCARD;
void credentials_wipe(struct credentials *c);

/* ---- htpasswd.c: one parsed file, immutable, shared ----------------------------------------------------------------
 */

struct htpasswd;

/* Tells whether a file changed. All zero: there was none. */
struct file_mark {
    uint64_t device, inode, size;
    int64_t modified_s, modified_ns, changed_s, changed_ns;
};

/* `why` gets "name:line: what is wrong". INVALID, or TOO_LARGE. */
enum result htpasswd_parse(struct slice text, const char *name, struct strbuf *why,
                           struct htpasswd **ret_htpasswd) NODISCARD;
/* Blocks. `*ret_mark` is set whatever the outcome. */
enum result htpasswd_load(const char *path, struct strbuf *why, struct file_mark *ret_mark,
                          struct htpasswd **ret_htpasswd) NODISCARD;
/* Blocks. */
void htpasswd_stat(const char *path, struct file_mark *ret_mark);
void htpasswd_free(struct htpasswd *h); /* accepts NULL, wipes */
size_t htpasswd_count(const struct htpasswd *h);
/* The hash of `user`; for an unknown one a hash of the same cost that no password has. Always BCRYPT_TEXT_BYTES and a
 * NUL, valid as long as `h`. */
const char *htpasswd_find(const struct htpasswd *h, struct slice user, bool *ret_is_known);
/* bcrypt: milliseconds to seconds. Both with a NUL. */
bool htpasswd_verify(const char *password, const char *hash);

/* ---- verdicts.c: what was found out about (user, password, hash), under a keyed hash --------------------------------
 */

#define VERDICT_KEY_BYTES 32u
#define VERDICT_FRESH_MS (60u * 1000u)
#define VERDICT_WRONG_MS (10u * 1000u)
#define VERDICT_PROVEN_MS (24u * 3600u * 1000u)

struct verdict_key {
    uint8_t bytes[VERDICT_KEY_BYTES];
};

enum verdict {
    VERDICT_UNKNOWN,
    VERDICT_WRONG,  /* a few seconds ago */
    VERDICT_RIGHT,  /* within the last minute */
    VERDICT_PROVEN, /* within the last day: right, but bcrypt is due again when there is room for it */
};

struct verdicts;

/* Not thread-safe, but verdicts_key. */
struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts *v);
void verdicts_key(const struct verdicts *v, const struct credentials *c, const char *hash, struct verdict_key *ret_key);
enum verdict verdicts_find(const struct verdicts *v, const struct verdict_key *key, uint64_t now_ms);
void verdicts_add(struct verdicts *v, const struct verdict_key *key, bool is_right, uint64_t now_ms);

/* ---- login.c: one login's way -------------------------------------------------------------------------------------
 */

#define ATTEMPTS_MAX 32u         /* bcrypt computations accepted at once */
#define ATTEMPTS_UNKNOWN_MAX 16u /* of them for names that do not exist */
#define ATTEMPTS_PER_USER_MAX 4u /* of them for one name */
#define RELOAD_EVERY_MS 5000u

/* One access_authenticate that cannot answer at once; in the caller's arena until `done`. */
struct login {
    struct access *access;
    struct credentials credentials;
    struct arena *arena;
    struct identity *ret_identity;
    struct done done;
    enum result outcome;
    struct loop_task task;
    struct login *next;
};

/* One bcrypt computation and everybody who waits for it. */
struct attempt {
    struct pool_job job;
    struct access *access;
    struct verdict_key key;
    char *user;
    char *password;
    char hash[BCRYPT_TEXT_BYTES + 1];
    bool is_known;
    bool is_right;
    struct login *waiters;
    struct attempt *next;
};

/* A look at the password file, in the pool. */
struct reload {
    struct pool_job job;
    bool is_running;
    uint64_t due_ms;
    struct file_mark mark;   /* of the newest file looked at, broken ones too */
    struct htpasswd *loaded; /* by the job; NULL: nothing new */
    enum result outcome;     /* of the job */
    struct strbuf why;       /* of the job */
    struct login *waiters;
};

struct access {
    struct pool *pool;
    struct clock clock;
    struct metrics *metrics;
    char *path; /* NULL: no password file */
    char *realm;
    enum config_anonymous anonymous;
    /* `mutex` guards all below; nothing blocks under it. While reload.is_running the job has its fields. */
    pthread_mutex_t mutex;
    struct htpasswd *htpasswd;
    struct verdicts *verdicts;
    struct attempt *attempts;
    unsigned attempt_count;
    struct reload reload;
    uint64_t reload_failures;
    struct strbuf reload_why;
};

/* Any loop. OK, DENIED, BUSY or PENDING, as access_authenticate. */
enum result login_start(struct login *login) NODISCARD;

#endif
