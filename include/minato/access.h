/* SPDX-License-Identifier: Apache-2.0
 *
 * Who are you, may you. Identities come from htpasswd (bcrypt) today; tokens, OIDC and roles come in behind this door.
 */
#ifndef MINATO_ACCESS_H
#define MINATO_ACCESS_H

#include <stdbool.h>

#include "minato/arena.h"
#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/oci.h"
#include "minato/telemetry.h"

struct access;

struct identity {
    bool is_anonymous;
    struct slice name; /* empty when anonymous */
};

enum permission {
    PERMISSION_NONE,   /* health: everybody */
    PERMISSION_LOGIN,  /* GET /v2/: tells clients whether they must log in */
    PERMISSION_PULL,   /* read one repository */
    PERMISSION_PUSH,   /* write one repository */
    PERMISSION_DELETE, /* delete from one repository; never anonymous */
    PERMISSION_CATALOG,
};

/* Reads the password file. On failure one line for the operator in `ret_why` (file:line: what is wrong). */
enum result access_new(const struct config *config, struct pool *pool, struct clock clock, struct metrics *metrics,
                       struct strbuf *ret_why, struct access **ret_access) NODISCARD;
void access_free(struct access *access); /* no call outstanding; accepts NULL */

/* `authorization`: the header's value, empty if absent; then, and for Basic with an empty user name and password, and
 * where no password file is configured, whoever the client's certificate names (`certificate_name`, verified by TLS),
 * and anonymous where it is empty. The identity's name is in `arena`. DENIED: wrong credentials or a
 * scheme we do not speak; BUSY: too many wrong passwords are being checked. bcrypt runs in the pool's slow lane; a
 * verified pair is remembered under a keyed hash for a minute, so that a push pays for it once. */
enum result access_authenticate(struct access *access, struct slice authorization, struct slice certificate_name,
                                struct arena *arena, struct identity *ret_identity, struct done done) NODISCARD;
/* How often a changed password file could not be used, so that the old users stay; the newest reason in `ret_why`. For
 * the log; any thread. Files are looked at when somebody logs in, at most every 5 s. */
uint64_t access_reload_failures(struct access *access, struct strbuf *ret_why);
/* OK or DENIED. `repo` is NULL for what belongs to no repository. */
enum result access_authorize(struct access *access, const struct identity *identity, enum permission permission,
                             const struct repo_name *repo, struct done done) NODISCARD;
/* The value of WWW-Authenticate (RFC 9110, 11.6.1); empty when nobody can log in here. In `arena` or static. */
struct slice access_challenge(const struct access *access, struct arena *arena);

#endif
