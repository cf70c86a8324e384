/* SPDX-License-Identifier: Apache-2.0
 *
 * Basic, and Bearer as Docker's token server does it. Tokens are kept in as many places as there are TOKENS; two scopes
 * that meet in one displace each other.
 */
#include "auth.h"

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "must.h"

#define TOKENS 1024U
#define TOKEN_LIFE_S 60 /* where the server does not say, as the specification has it */
#define VALUE_SIZE 1024

enum scheme { SCHEME_NONE, SCHEME_BASIC, SCHEME_BEARER };

struct token {
    char scope[SCOPE_SIZE];
    char *header;
    uint64_t ends_ns;
};

struct auth {
    enum scheme scheme;
    char *password_header;
    char realm[VALUE_SIZE];
    char service[VALUE_SIZE];
    struct token *tokens;
};

static char *make_password_header(const char *user, const char *password)
{
    size_t length = strlen(user) + 1 + strlen(password);
    char *plain = must(malloc(length + 1));
    snprintf(plain, length + 1, "%s:%s", user, password);
    char *header = must(malloc(sizeof("Basic ") + 4 * (length / 3 + 1)));
    memcpy(header, "Basic ", 6);
    EVP_EncodeBlock((unsigned char *)header + 6, (const unsigned char *)plain, (int)length);
    free(plain);
    return header;
}

struct auth *auth_new(const char *user, const char *password)
{
    struct auth *auth = must(calloc(1, sizeof(*auth)));
    auth->tokens = must(calloc(TOKENS, sizeof(*auth->tokens)));
    auth->password_header = user != NULL ? make_password_header(user, password) : NULL;
    return auth;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL) {
        return;
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        free(auth->tokens[i].header);
    }
    free(auth->tokens);
    free(auth->password_header);
    free(auth);
}

/* ---- the challenge ---- */

/* The value of a parameter, in quotes or not; false without it. */
static bool find_parameter(const char *parameters, const char *name, char ret_value[VALUE_SIZE])
{
    size_t name_length = strlen(name);
    for (const char *at = parameters; *at != '\0';) {
        at += strspn(at, " \t,");
        size_t length = strcspn(at, "= \t,");
        bool is_it = length == name_length && strncasecmp(at, name, length) == 0;
        at += length;
        if (*at != '=') {
            continue;
        }
        bool is_quoted = at[1] == '"';
        at += is_quoted ? 2 : 1;
        length = strcspn(at, is_quoted ? "\"" : " \t,");
        if (is_it && length < VALUE_SIZE) {
            memcpy(ret_value, at, length);
            ret_value[length] = '\0';
            return true;
        }
        at += length;
        at += is_quoted && *at == '"';
    }
    return false;
}

bool auth_learn(struct auth *auth, const char *challenge)
{
    if (strncasecmp(challenge, "Bearer ", 7) == 0) {
        if (!find_parameter(challenge + 7, "realm", auth->realm)) {
            return false;
        }
        if (!find_parameter(challenge + 7, "service", auth->service)) {
            auth->service[0] = '\0';
        }
        auth->scheme = SCHEME_BEARER;
        return true;
    }
    if (strncasecmp(challenge, "Basic", 5) == 0 && auth->password_header != NULL && auth->scheme == SCHEME_NONE) {
        auth->scheme = SCHEME_BASIC;
        return true;
    }
    return false;
}

/* ---- tokens ---- */

static struct token *token_of(const struct auth *auth, const char *scope)
{
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (const char *at = scope; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619U;
    }
    return &auth->tokens[hash % TOKENS];
}

static bool is_kept(const struct token *token, const char *scope)
{
    return token->header != NULL && strcmp(token->scope, scope) == 0;
}

bool auth_needs_token(const struct auth *auth, const char *scope, uint64_t at_ns)
{
    const struct token *token = token_of(auth, scope);
    return auth->scheme == SCHEME_BEARER && !(is_kept(token, scope) && at_ns < token->ends_ns);
}

const char *auth_header(const struct auth *auth, const char *scope)
{
    const struct token *token = token_of(auth, scope);
    switch (auth->scheme) {
    case SCHEME_BASIC:
        return auth->password_header;
    case SCHEME_BEARER:
        return is_kept(token, scope) ? token->header : NULL;
    case SCHEME_NONE:
        break;
    }
    return NULL;
}

const char *auth_password_header(const struct auth *auth)
{
    return auth->password_header;
}

static bool append_query(CURLU *url, const char *name, const char *value, size_t length)
{
    char query[VALUE_SIZE + 16];
    snprintf(query, sizeof(query), "%s=%.*s", name, (int)length, value);
    return curl_url_set(url, CURLUPART_QUERY, query, CURLU_APPENDQUERY | CURLU_URLENCODE) == CURLUE_OK;
}

char *auth_token_url(const struct auth *auth, const char *scope)
{
    CURLU *url = curl_url();
    char *text = NULL;
    char *copy = NULL;
    bool is_good = url != NULL && curl_url_set(url, CURLUPART_URL, auth->realm, 0) == CURLUE_OK;
    if (is_good && auth->service[0] != '\0') {
        is_good = append_query(url, "service", auth->service, strlen(auth->service));
    }
    for (const char *at = scope; is_good && *at != '\0';) {
        size_t length = strcspn(at, " ");
        is_good = append_query(url, "scope", at, length);
        at += length + strspn(at + length, " ");
    }
    if (is_good && curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
        copy = must(strdup(text));
    }
    curl_free(text);
    curl_url_cleanup(url);
    return copy;
}

bool auth_keep_token(struct auth *auth, const char *scope, const char *body, size_t length, uint64_t at_ns)
{
    json_t *answer = json_loadb(body, length, 0, NULL);
    const char *text = json_string_value(json_object_get(answer, "token"));
    text = text != NULL ? text : json_string_value(json_object_get(answer, "access_token"));
    json_int_t life_s = json_integer_value(json_object_get(answer, "expires_in"));
    if (text != NULL) {
        struct token *token = token_of(auth, scope);
        size_t size = sizeof("Bearer ") + strlen(text);
        free(token->header);
        token->header = must(malloc(size));
        snprintf(token->header, size, "Bearer %s", text);
        snprintf(token->scope, sizeof(token->scope), "%s", scope);
        /* Renewed at nine tenths of its life, so that none ends on its way. */
        token->ends_ns = at_ns + (uint64_t)(life_s > 0 ? life_s : TOKEN_LIFE_S) * 900000000U;
    }
    json_decref(answer);
    return text != NULL;
}

void auth_forget_token(struct auth *auth, const char *scope)
{
    struct token *token = token_of(auth, scope);
    if (is_kept(token, scope)) {
        free(token->header);
        token->header = NULL;
    }
}
