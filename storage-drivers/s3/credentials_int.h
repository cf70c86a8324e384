/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of the credentials: what they are set up with, one attempt to get keys, and the answers' forms.
 */
#ifndef MINATO_S3_CREDENTIALS_INT_H
#define MINATO_S3_CREDENTIALS_INT_H

#include "credentials.h"
#include "minato/outbound.h"
#include "minato/own.h"

#define S3_KEYS_TOKEN_MAX 4096u
#define S3_KEYS_ANSWER_MAX (32u * 1024u)

/* Of the environment; empty: not set. */
struct s3_credential_settings {
    struct slice identity_file; /* AWS_WEB_IDENTITY_TOKEN_FILE */
    struct slice role;          /* AWS_ROLE_ARN */
    struct slice role_session;
    struct slice sts_url;       /* without a '/' at its end */
    struct slice container_url; /* whole */
    struct slice container_token;
    struct slice container_token_file;
    struct slice metadata_url; /* without a '/' at its end; empty: must not be asked */
};

/* INVALID, with a sentence in `ret_why`, for what cannot be used. Texts are in `arena`. */
enum result s3_credential_settings_read(struct slice region, struct arena *arena,
                                        struct s3_credential_settings *ret_settings, struct strbuf *ret_why) NODISCARD;

/* One attempt, in its flow's arena. */
struct s3_fetch {
    /* in */
    const struct s3_credential_settings *settings;
    struct http_client *http;
    struct pool *pool;
    struct strbuf *why; /* a failure's sentence, without secrets */
    struct s3_keys **ret_keys;
    /* private */
    struct http_exchange exchange;
    const char *fields[4];
    struct slice bearer; /* what proves us to the source */
    struct slice role;
    struct pool_job job;
    const char *path;
    char *file;
    size_t file_bytes;
    enum result file_result;
    struct done file_done;
};

/* A source that a server has to be asked for; its program's owner is a struct s3_fetch. */
struct s3_credential_source {
    const char *name;
    bool is_near; /* reached without the proxy of the environment */
    const struct flow_program *program;
};
extern const struct s3_credential_source s3_web_identity;
extern const struct s3_credential_source s3_container;
extern const struct s3_credential_source s3_machine;

/* INVALID, with a sentence in `why`, if anything in it cannot be one. */
enum result s3_keys_new(struct slice access_key, struct slice secret_key, struct slice session_token,
                        uint64_t expires_ms, struct strbuf *why, struct s3_keys **ret_keys) NODISCARD;
/* The answer of a container's or machine's service: JSON. Expiration is a must. */
enum result s3_keys_parse_json(struct slice text, struct strbuf *why, struct s3_keys **ret_keys) NODISCARD;
/* The answer of STS: XML. */
enum result s3_keys_parse_xml(struct slice text, struct strbuf *why, struct s3_keys **ret_keys) NODISCARD;
/* Whether a token may stand in a header: printable, of at most S3_KEYS_TOKEN_MAX bytes. */
bool s3_keys_is_token(struct slice text);
/* Whether a token may be sent to this URL of a container's service: over TLS, or to this machine or ECS's or EKS's
 * addresses. */
bool s3_keys_is_container_url(struct slice url);

#endif
