/* SPDX-License-Identifier: Apache-2.0
 *
 * One login's way: perhaps wait for a look at the password file, then the remembered verdicts, then one bcrypt in the
 * pool's slow lane, shared by all who bring the same credentials. Every loop comes here; `access->mutex` guards what
 * they share, and a login is finished on its own loop. What is guaranteed under a flood is in README.md.
 *
 *   login_start -> [reload, once in 5 s] -> resolve -> remembered: OK or DENIED
 *                                                   -> the same attempt runs: wait for it
 *                                                   -> room: a new attempt, wait for it
 *                                                   -> no room: OK if proven today, else BUSY
 */
#include "access_int.h"

#include <stdlib.h>

#define ATTEMPT_OF(job_ptr) ((struct attempt *)(void *)((char *)(job_ptr)-offsetof(struct attempt, job)))
#define RELOAD_OF(job_ptr) ((struct reload *)(void *)((char *)(job_ptr)-offsetof(struct reload, job)))
#define LOGIN_OF(task_ptr) ((struct login *)(void *)((char *)(task_ptr)-offsetof(struct login, task)))

/* ---- the end of a login: on its own loop ---------------------------------------------------------------------------
 */

static enum result settle(struct login *login, enum result outcome)
{
    struct metrics *metrics = login->access->metrics;
    unsigned index = loop_index(login->done.loop);
    credentials_wipe(&login->credentials);
    if (outcome == OK)
        *login->ret_identity = (struct identity){.name = arena_copy(login->arena, login->credentials.user)};
    else if (metrics != NULL)
        metrics_add(metrics, index, outcome == BUSY ? METRIC_AUTH_REFUSED_BUSY : METRIC_AUTH_FAILURES, 1);
    return outcome;
}

static void finish(struct login *login)
{
    struct done done = login->done;
    done_call(done, settle(login, login->outcome));
}

static void on_finish_task(struct loop_task *task)
{
    finish(LOGIN_OF(task));
}

/* ---- attempts ------------------------------------------------------------------------------------------------------
 */

static void attempt_free(struct attempt *a)
{
    explicit_bzero(a->password, strlen(a->password));
    explicit_bzero(a->hash, sizeof(a->hash));
    free(a->password);
    free(a->user);
    free(a);
}

static void verify_on_pool(struct pool_job *job)
{
    struct attempt *a = ATTEMPT_OF(job);
    a->is_right = htpasswd_verify(a->password, a->hash);
}

static void unlink_attempt(struct access *access, const struct attempt *a)
{
    struct attempt **link = &access->attempts;
    while (*link != a)
        link = &(*link)->next;
    *link = a->next;
    access->attempt_count--;
}

static void on_verified(struct pool_job *job)
{
    struct attempt *a = ATTEMPT_OF(job);
    struct access *access = a->access;
    pthread_mutex_lock(&access->mutex);
    unlink_attempt(access, a);
    verdicts_add(access->verdicts, &a->key, a->is_right, clock_monotonic_ms(access->clock));
    pthread_mutex_unlock(&access->mutex); /* nobody can join any more: the waiters are ours */
    struct login *waiter = a->waiters;
    while (waiter != NULL) {
        struct login *next = waiter->next; /* a finished login may be gone */
        waiter->outcome = a->is_right ? OK : DENIED;
        if (waiter->done.loop == job->loop) {
            finish(waiter);
        } else {
            waiter->task.run = on_finish_task;
            loop_post(waiter->done.loop, &waiter->task);
        }
        waiter = next;
    }
    attempt_free(a);
}

static char *copy_text(struct slice s)
{
    char *text = xmalloc(s.len + 1);
    if (s.len > 0)
        memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return text;
}

/* Under the mutex. Room is kept for names that exist, and for other names than this one. */
static bool is_room(const struct access *access, struct slice user, bool is_known)
{
    unsigned of_user = 0;
    unsigned of_unknown = 0;
    for (const struct attempt *a = access->attempts; a != NULL; a = a->next) {
        of_user += slice_equal(slice_from_cstr(a->user), user) ? 1 : 0;
        of_unknown += a->is_known ? 0 : 1;
    }
    return access->attempt_count < ATTEMPTS_MAX && of_user < ATTEMPTS_PER_USER_MAX &&
           (is_known || of_unknown < ATTEMPTS_UNKNOWN_MAX);
}

/* Under the mutex: OK (the login waits), or BUSY. */
static enum result begin_attempt(struct login *login, const struct verdict_key *key, const char *hash, bool is_known)
{
    struct access *access = login->access;
    if (!is_room(access, login->credentials.user, is_known))
        return BUSY;
    struct attempt *a = xcalloc(1, sizeof(*a));
    a->job = (struct pool_job){.work = verify_on_pool, .done = on_verified, .loop = login->done.loop};
    a->access = access;
    a->key = *key;
    a->user = copy_text(login->credentials.user);
    a->password = copy_text(login->credentials.password);
    memcpy(a->hash, hash, sizeof(a->hash));
    a->is_known = is_known;
    a->waiters = login;
    enum result r = pool_submit(access->pool, POOL_SLOW, &a->job);
    if (r != OK) {
        attempt_free(a);
        return r;
    }
    a->next = access->attempts;
    access->attempts = a;
    access->attempt_count++;
    return OK;
}

/* Under the mutex. */
static bool join_attempt(struct login *login, const struct verdict_key *key)
{
    for (struct attempt *a = login->access->attempts; a != NULL; a = a->next) {
        if (memcmp(a->key.bytes, key->bytes, VERDICT_KEY_BYTES) != 0)
            continue;
        login->next = a->waiters;
        a->waiters = login;
        return true;
    }
    return false;
}

/* ---- verdicts ------------------------------------------------------------------------------------------------------
 */

/* Under the mutex: OK, DENIED, BUSY, or PENDING when the login waits for an attempt. */
static enum result judge(struct login *login, const struct verdict_key *key, const char *hash, bool is_known)
{
    struct access *access = login->access;
    enum verdict verdict = verdicts_find(access->verdicts, key, clock_monotonic_ms(access->clock));
    if (verdict == VERDICT_RIGHT)
        return OK;
    if (verdict == VERDICT_WRONG)
        return DENIED;
    if (join_attempt(login, key) || begin_attempt(login, key, hash, is_known) == OK)
        return PENDING;
    return verdict == VERDICT_PROVEN ? OK : BUSY;
}

/* On the login's loop; PENDING or its outcome. */
static enum result resolve(struct login *login)
{
    struct access *access = login->access;
    char hash[BCRYPT_TEXT_BYTES + 1];
    struct verdict_key key;
    bool is_known = false;
    login->next = NULL;
    pthread_mutex_lock(&access->mutex);
    memcpy(hash, htpasswd_find(access->htpasswd, login->credentials.user, &is_known), sizeof(hash));
    pthread_mutex_unlock(&access->mutex);
    verdicts_key(access->verdicts, &login->credentials, hash, &key); /* the costly part, outside the mutex */
    pthread_mutex_lock(&access->mutex);
    enum result r = judge(login, &key, hash, is_known);
    pthread_mutex_unlock(&access->mutex);
    explicit_bzero(hash, sizeof(hash));
    return r;
}

/* ---- reload --------------------------------------------------------------------------------------------------------
 */

static void resume(struct login *login)
{
    enum result r = resolve(login);
    if (r == PENDING)
        return;
    login->outcome = r;
    finish(login);
}

static void on_resume_task(struct loop_task *task)
{
    resume(LOGIN_OF(task));
}

static bool is_same_mark(const struct file_mark *a, const struct file_mark *b)
{
    return memcmp(a, b, sizeof(*a)) == 0; /* all members are 8 bytes: no padding */
}

static void reload_on_pool(struct pool_job *job)
{
    struct reload *reload = RELOAD_OF(job);
    const struct access *access =
        (const struct access *)(const void *)((const char *)reload - offsetof(struct access, reload));
    struct file_mark seen;
    struct file_mark loaded;
    reload->loaded = NULL;
    reload->outcome = OK;
    htpasswd_stat(access->path, &seen);
    if (is_same_mark(&seen, &reload->mark))
        return;
    strbuf_clear(&reload->why);
    reload->outcome = htpasswd_load(access->path, &reload->why, &loaded, &reload->loaded);
    if (reload->outcome == OK)
        reload->mark = loaded;
    else if (reload->outcome == INVALID || reload->outcome == TOO_LARGE || reload->outcome == NOT_FOUND)
        reload->mark = seen; /* it stays broken until it changes; anything else is tried again */
}

/* Under the mutex; what is to be freed is returned. */
static struct htpasswd *take_over(struct access *access)
{
    struct reload *reload = &access->reload;
    struct htpasswd *old = NULL;
    if (reload->outcome != OK) {
        access->reload_failures++;
        strbuf_clear(&access->reload_why);
        strbuf_append(&access->reload_why, strbuf_slice(&reload->why));
    } else if (reload->loaded != NULL) {
        old = access->htpasswd;
        access->htpasswd = reload->loaded;
    }
    reload->loaded = NULL;
    reload->is_running = false;
    reload->due_ms = clock_monotonic_ms(access->clock) + RELOAD_EVERY_MS;
    return old;
}

static void on_reloaded(struct pool_job *job)
{
    struct reload *reload = RELOAD_OF(job);
    struct access *access = (struct access *)(void *)((char *)reload - offsetof(struct access, reload));
    struct loop *loop = job->loop;
    pthread_mutex_lock(&access->mutex);
    bool has_failed = reload->outcome != OK;
    struct htpasswd *old = take_over(access);
    struct login *waiter = reload->waiters;
    reload->waiters = NULL;
    pthread_mutex_unlock(&access->mutex); /* from here on another loop may start the next reload */
    htpasswd_free(old);
    if (has_failed && access->metrics != NULL)
        metrics_add(access->metrics, loop_index(loop), METRIC_AUTH_RELOADS_FAILED, 1);
    while (waiter != NULL) {
        struct login *next = waiter->next;
        if (waiter->done.loop == loop) {
            resume(waiter);
        } else {
            waiter->task.run = on_resume_task;
            loop_post(waiter->done.loop, &waiter->task);
        }
        waiter = next;
    }
}

/* Under the mutex. Whether the login waits for a look at the file. */
static bool wait_for_reload(struct login *login)
{
    struct reload *reload = &login->access->reload;
    if (!reload->is_running && clock_monotonic_ms(login->access->clock) < reload->due_ms)
        return false;
    if (!reload->is_running) {
        reload->job = (struct pool_job){.work = reload_on_pool, .done = on_reloaded, .loop = login->done.loop};
        if (pool_submit(login->access->pool, POOL_FILES, &reload->job) != OK)
            return false;
        reload->is_running = true;
    }
    login->next = reload->waiters;
    reload->waiters = login;
    return true;
}

enum result login_start(struct login *login)
{
    struct access *access = login->access;
    pthread_mutex_lock(&access->mutex);
    bool must_wait = wait_for_reload(login);
    pthread_mutex_unlock(&access->mutex);
    if (must_wait)
        return PENDING;
    enum result r = resolve(login);
    return r == PENDING ? PENDING : settle(login, r);
}
