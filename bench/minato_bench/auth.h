/* SPDX-License-Identifier: Apache-2.0
 *
 * What a registry wants to see, learnt from its challenge: nothing, a password, or tokens, which are kept for each
 * scope.
 */
#ifndef MINATO_BENCH_AUTH_H
#define MINATO_BENCH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOPE_SIZE 512

struct auth;

/* The texts belong to the caller. Without a user, tokens are asked for anonymously. */
struct auth *auth_new(const char *user, const char *password);
void auth_free(struct auth *auth);

/* Takes in a WWW-Authenticate. False: it says nothing that helps. */
bool auth_learn(struct auth *auth, const char *challenge);

/* Whether a request of this scope ("repository:a/b:pull,push", several with spaces between; empty: none) needs a token
 * first. */
bool auth_needs_token(const struct auth *auth, const char *scope, uint64_t at_ns);
/* The value of its Authorization; NULL: it needs none. Until the next call that changes tokens. */
const char *auth_header(const struct auth *auth, const char *scope);
/* Where the token is asked for; the caller frees it. NULL: the realm is not a URL. */
char *auth_token_url(const struct auth *auth, const char *scope);
/* What the password is sent as; NULL without a user. */
const char *auth_password_header(const struct auth *auth);
/* The token server's answer. False: no token is in it. */
bool auth_keep_token(struct auth *auth, const char *scope, const char *body, size_t length, uint64_t at_ns);
void auth_forget_token(struct auth *auth, const char *scope);

#endif
