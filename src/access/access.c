/* SPDX-License-Identifier: Apache-2.0
 *
 * The door: who is anonymous, what everybody may do, and the challenge. How a password is checked is in login.c.
 */
#include "access_int.h"

#include <stdlib.h>

#define WHY_BYTES_MAX 1024u

static char *copy_cstr(const char *s)
{
    if (s == NULL)
        return NULL;
    size_t size = strlen(s) + 1;
    return memcpy(xmalloc(size), s, size);
}

enum result access_new(const struct config *config, struct pool *pool, struct clock clock, struct metrics *metrics,
                       struct strbuf *ret_why, struct access **ret_access)
{
    struct access *access = xcalloc(1, sizeof(*access));
    access->pool = pool;
    access->clock = clock;
    access->metrics = metrics;
    access->path = copy_cstr(config->auth.htpasswd_file);
    access->realm = copy_cstr(config->auth.htpasswd_realm == NULL ? "minato" : config->auth.htpasswd_realm);
    access->anonymous = config->auth.anonymous;
    pthread_mutex_init(&access->mutex, NULL);
    strbuf_init(&access->reload.why, WHY_BYTES_MAX);
    strbuf_init(&access->reload_why, WHY_BYTES_MAX);
    if (access->path != NULL) {
        enum result r = htpasswd_load(access->path, ret_why, &access->reload.mark, &access->htpasswd);
        if (r != OK) {
            access_free(access);
            return r;
        }
        access->verdicts = verdicts_new();
        access->reload.due_ms = clock_monotonic_ms(clock) + RELOAD_EVERY_MS;
    }
    *ret_access = access;
    return OK;
}

void access_free(struct access *access)
{
    if (access == NULL)
        return;
    htpasswd_free(access->htpasswd);
    verdicts_free(access->verdicts);
    strbuf_done(&access->reload.why);
    strbuf_done(&access->reload_why);
    pthread_mutex_destroy(&access->mutex);
    free(access->path);
    free(access->realm);
    free(access);
}

static enum result without_password(struct slice certificate_name, struct arena *arena, struct identity *ret_identity)
{
    *ret_identity = (struct identity){.is_anonymous = certificate_name.len == 0};
    if (certificate_name.len > 0)
        ret_identity->name = arena_copy(arena, certificate_name);
    return OK;
}

enum result access_authenticate(struct access *access, struct slice authorization, struct slice certificate_name,
                                struct arena *arena, struct identity *ret_identity, struct done done)
{
    /* Without users nobody can be checked: as every registry without a password file, ignore what clients remember. */
    if (authorization.len == 0 || access->path == NULL)
        return without_password(certificate_name, arena, ret_identity);
    struct credentials credentials;
    if (credentials_parse(authorization, arena, &credentials) != OK) {
        if (access->metrics != NULL)
            metrics_add(access->metrics, loop_index(done.loop), METRIC_AUTH_FAILURES, 1);
        return DENIED;
    }
    if (credentials.user.len == 0 && credentials.password.len == 0) /* podman without credentials */
        return without_password(certificate_name, arena, ret_identity);
    struct login *login = ARENA_NEW(arena, struct login);
    *login = (struct login){
        .access = access, .credentials = credentials, .arena = arena, .ret_identity = ret_identity, .done = done};
    return login_start(login);
}

static bool has_users(struct access *access)
{
    pthread_mutex_lock(&access->mutex);
    bool result = htpasswd_count(access->htpasswd) > 0;
    pthread_mutex_unlock(&access->mutex);
    return result;
}

static bool may_anonymous(struct access *access, enum permission permission)
{
    switch (permission) {
    case PERMISSION_NONE:
        return true;
    case PERMISSION_LOGIN: /* refused as soon as somebody could log in: `docker login` asks here */
        return access->anonymous == ANONYMOUS_PUSH || (access->anonymous != ANONYMOUS_NONE && !has_users(access));
    case PERMISSION_PULL:
    case PERMISSION_CATALOG:
        return access->anonymous != ANONYMOUS_NONE;
    case PERMISSION_PUSH:
        return access->anonymous == ANONYMOUS_PUSH;
    case PERMISSION_DELETE:
        return false;
    }
    return false;
}

enum result access_authorize(struct access *access, const struct identity *identity, enum permission permission,
                             const struct repo_name *repo, struct done done)
{
    (void)repo; /* roles by repository come behind this door */
    (void)done;
    if (!identity->is_anonymous || may_anonymous(access, permission))
        return OK;
    return DENIED;
}

struct slice access_challenge(const struct access *access, struct arena *arena)
{
    if (access->path == NULL)
        return SLICE_EMPTY;
    return arena_format(arena, "Basic realm=\"%s\"", access->realm); /* config refuses quotes in a realm */
}

uint64_t access_reload_failures(struct access *access, struct strbuf *ret_why)
{
    pthread_mutex_lock(&access->mutex);
    uint64_t failures = access->reload_failures;
    strbuf_append(ret_why, strbuf_slice(&access->reload_why));
    pthread_mutex_unlock(&access->mutex);
    return failures;
}
