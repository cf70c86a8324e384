/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Signature Version 4 (docs.aws.amazon.com, "Authenticating Requests (AWS Signature Version 4)"), for headers and
 * for presigned URLs. Pure but for the cache of the day's key; any thread.
 */
#ifndef MINATO_S3_SIGV4_H
#define MINATO_S3_SIGV4_H

#include <pthread.h>

#include "minato/arena.h"

#define SIGV4_HASH_TEXT 64 /* a SHA-256 in hexadecimal */
#define SIGV4_DATE_TEXT 16 /* 20261124T101500Z */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct sigv4_credentials {
    struct slice access_key;
    struct slice secret_key;
    struct slice session_token; /* empty: none */
};

/* Who reads the signature: the same sums under other names. */
struct sigv4_dialect {
    struct slice algorithm;     /* "AWS4-HMAC-SHA256" */
    struct slice secret_prefix; /* "AWS4" */
    struct slice terminator;    /* "aws4_request" */
    struct slice parameter;     /* of a URL's query: "X-Amz-" */
    struct slice field;         /* of a head: "x-amz-"; all that begin so are signed */
};
extern const struct sigv4_dialect sigv4_amazon;
extern const struct sigv4_dialect sigv4_google; /* GOOG4: Google's store takes no x-goog- beside an x-amz- */

/* A key is made once a day; the lock guards it. */
struct sigv4_signer {
    const struct sigv4_dialect *dialect;
    struct slice region;
    struct slice service; /* "s3" */
    pthread_mutex_t mutex;
    char day[9];
    uint8_t key[32];
    uint8_t secret_hash[32]; /* whose key it is */
};
/* Amazon's. */
void sigv4_signer_init(struct sigv4_signer *signer, struct slice region, struct slice service);
void sigv4_signer_init_google(struct sigv4_signer *signer);
void sigv4_signer_done(struct sigv4_signer *signer);

/* One header that is signed, its name in lower case. */
struct sigv4_field {
    struct slice name;
    struct slice value;
};

struct sigv4_request {
    struct slice method;
    struct slice path;          /* encoded once, '/' kept */
    struct slice query;         /* canonical: names and values encoded, sorted, always with '=' */
    struct sigv4_field *fields; /* sorted in place by name; "host" among them */
    size_t field_count;
    struct slice payload_hash; /* hexadecimal, or SIGV4_UNSIGNED */
    char date[SIGV4_DATE_TEXT + 1];
};

void sigv4_format_date(uint64_t wall_ms, char out[SIGV4_DATE_TEXT + 1]);
void sigv4_hash(struct slice bytes, char out[SIGV4_HASH_TEXT + 1]);
/* The value of Authorization, in `arena`. */
struct slice sigv4_authorize(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                             struct sigv4_request *request, struct arena *arena);
/* A URL to be signed: as whom, for what. */
struct sigv4_url {
    const struct sigv4_dialect *dialect;
    struct slice algorithm;
    struct slice name;  /* the key's */
    struct slice scope; /* "20261124/region/service/aws4_request" */
    struct slice token; /* of the session; empty: none */
    struct slice method;
    struct slice host;
    struct slice path; /* encoded once */
    const char *date;
    uint32_t expires_s;
};
/* The text that is to be signed, and the query that the signature is appended to; both in `arena`. */
struct slice sigv4_url_text(const struct sigv4_url *url, struct arena *arena, struct slice *ret_query);
/* The query of a presigned URL for `host`, with its signature, in `arena`. */
struct slice sigv4_presign(struct sigv4_signer *signer, const struct sigv4_credentials *credentials,
                           struct slice method, struct slice host, struct slice path, const char *date,
                           uint32_t expires_s, struct arena *arena);

#endif
