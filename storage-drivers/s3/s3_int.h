/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared inside the S3 driver: the driver itself, and calls, each of which is one request with its repetitions.
 */
#ifndef MINATO_S3_INT_H
#define MINATO_S3_INT_H

#include "breaker.h"
#include "checksum.h"
#include "credentials.h"
#include "google_key.h"
#include "minato/outbound.h"
#include "minato/storage_driver.h"
#include "s3.h"
#include "sigv4.h"
#include "store_clock.h"

#define S3_CALL_FIELDS_MAX 10
#define S3_ANSWER_MAX (16u * 1024u * 1024u) /* of a listing or an error */

#define S3_IS_DONE(status) ((status) >= 200 && (status) < 300)

/* Within which everything ends, whatever the store does. */
struct s3_times {
    uint32_t attempt_ms;
    uint32_t call_ms;      /* all attempts, and all requests where a call is several */
    uint32_t long_call_ms; /* of a call that moves much: one part; half for a complete. Its attempt may take as long */
};

/* Read only once open, but for the signer, the credentials, the breaker and the store's clock. */
struct s3 {
    struct http_client *http;
    struct s3_clock store_clock;
    struct clock clock; /* the same, to read */
    struct sigv4_signer signer;
    struct s3_credentials *credentials;
    struct google_key *google_key; /* NULL: the credentials sign URLs */
    struct slice scheme;           /* "https" */
    struct slice host;             /* signed */
    struct slice path_prefix;      /* "/bucket/prefix/" */
    struct slice bucket_path;      /* "/bucket" or "/": for requests about the bucket */
    struct slice key_prefix;       /* "prefix/" or empty */
    struct slice public_scheme;    /* where clients reach it */
    struct slice public_host;
    struct slice kms_key; /* empty: none */
    bool is_google;       /* signs as Google wants it, and creates under a generation of 0 */
    bool has_bare_etags;  /* wants If-Match without quotes */
    bool can_swap;
    bool can_delete_many;
    bool has_checksums; /* verifies a CRC32C that is sent along */
    uint64_t part_bytes;
    struct s3_times times;
    struct s3_breaker breaker;
    struct log *log;                      /* NULL until the server runs */
    atomic_uint_fast64_t refusal_said_ms; /* when it was last logged that the store refused a call; 0: never */
    struct arena arena;                   /* of all of the above */
};

/* One request. An operation embeds it as its first member and lives until `finish`. */
struct s3_call {
    /* in */
    struct s3 *s3;
    const char *method;
    struct slice path;                   /* of the object: appended to the prefix; or: */
    bool is_of_bucket;                   /* the bucket itself */
    struct slice query;                  /* canonical; empty: none */
    const char *fields[4];               /* "If-None-Match: *"; signed if they are the dialect's */
    struct slice body;                   /* signed with its hash */
    const struct page *pages;            /* signed with `sha256`, or not */
    const uint8_t *sha256;               /* 32 bytes, or NULL */
    char checksum[S3_CHECKSUM_TEXT + 1]; /* of `pages`; empty: none is sent */
    bool is_encrypted_here;              /* a request that carries the KMS key */
    bool is_unrepeatable;                /* never again once the store may have acted on it */
    bool is_stream;
    bool is_long;         /* see s3_times */
    uint64_t deadline_ms; /* by the monotonic clock; 0: a call's time from now on */
    size_t answer_max;
    struct done done;
    /* What the final answer comes to, frees the operation, calls `done`. `r` is OK when there is an answer. */
    void (*finish)(struct s3_call *call, enum result r);
    /* out */
    struct http_exchange exchange;
    struct http_download *download; /* of a stream */
    bool was_doubtful;              /* an earlier attempt may have been carried out */
    struct arena arena;             /* of the operation */
    /* private */
    unsigned attempt;
    uint64_t sent_ms;  /* by the machine's clock */
    uint64_t dated_ms; /* by the store's, as far as it was known */
    bool was_dated_anew;
    struct timer timer;
    const char *wire_fields[S3_CALL_FIELDS_MAX + 4];
};

/* PENDING, or UNAVAILABLE at once when the store is known to be dead or no time is left: then finish was not called. A
 * call may be started again, as another request: its deadline stays. */
enum result s3_call_start(struct s3_call *call) NODISCARD;
/* The field of a PUT that must find nothing. */
const char *s3_creation_field(const struct s3 *s3);
/* A stat of the path of `outer`, on which it waits, within its deadline. */
enum result s3_stat_for(struct s3_call *outer, struct storage_object *ret_object, struct done done) NODISCARD;
/* The result for an answer that is not what was hoped for. */
enum result s3_result_of(const struct s3_call *call);
/* An operation's memory, with its call begun. */
void *s3_operation_new(size_t bytes, struct s3 *s3, const char *method, struct slice path, struct done done);
/* Frees an operation and reports. */
void s3_operation_end(struct s3_call *call, enum result r);
/* s3_call_start for the vtable: frees the operation when it fails at once. */
enum result s3_operation_start(struct s3_call *call) NODISCARD;
/* INVALID if the answer does not describe an object. */
enum result s3_object_of(const struct http_exchange *exchange, struct storage_object *ret_object) NODISCARD;
/* ListObjectsV2's answer: at most `limit` entries below `prefix`, in the order of keys. CORRUPT: it is none, or half.
 * Pure. */
enum result s3_parse_listing(struct slice xml, struct slice prefix, size_t limit, struct arena *arena,
                             struct storage_listing *ret_listing) NODISCARD;
/* The text of the first element `name` of a small document, or empty. */
struct slice s3_element(struct slice xml, const char *name);
/* Whether it is an answer of that kind. */
bool s3_says(struct slice answer, const char *text);
/* "name=value&" encoded; a canonical query is made of these in the order of their names. */
struct slice s3_query(struct arena *arena, struct slice query, const char *name, struct slice value);

/* The members of the driver, by file. */
enum result s3_stat(void *self, struct slice path, struct storage_object *ret_object, struct done done);
enum result s3_get(void *self, struct slice path, size_t max_bytes, struct arena *arena, struct slice *ret_bytes,
                   struct storage_object *ret_object, struct done done);
enum result s3_put(void *self, struct slice path, struct slice bytes, unsigned flags, struct done done);
enum result s3_put_pages(void *self, struct slice path, const struct page *pages, uint64_t size, const uint8_t *sha256,
                         unsigned flags, struct done done);
enum result s3_put_if_match(void *self, struct slice path, struct slice bytes, struct slice etag, struct done done);
enum result s3_delete(void *self, struct slice path, struct done done);
enum result s3_delete_many(void *self, const struct slice *paths, size_t count, struct done done);
enum result s3_check(void *self, struct done done);
uint64_t s3_time_ms(const void *self, uint64_t machine_ms);
enum result s3_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                    struct storage_listing *ret_listing, struct done done);
enum result s3_open_read(void *self, struct slice path, uint64_t offset, uint64_t length,
                         struct storage_object *ret_object, struct storage_reader **ret_reader, struct done done);
enum result s3_read(struct storage_reader *reader, struct page *page, struct done done);
void s3_close_read(struct storage_reader *reader);
enum result s3_presign(void *self, struct slice path, struct slice method, struct storage_validity *validity,
                       struct arena *arena, struct slice *ret_url);
enum result s3_multipart_begin(void *self, struct slice path, struct storage_multipart *ret_multipart,
                               struct done done);
enum result s3_multipart_put(void *self, struct slice path, const struct storage_multipart *multipart,
                             const struct page *pages, struct storage_part *part, struct done done);
enum result s3_multipart_sync(void *self, struct slice path, const struct storage_multipart *multipart,
                              struct done done);
enum result s3_multipart_complete(void *self, struct slice path, const struct storage_multipart *multipart,
                                  const struct storage_part *parts, size_t part_count, uint64_t size, unsigned flags,
                                  struct done done);
enum result s3_multipart_abort(void *self, struct slice path, const struct storage_multipart *multipart,
                               struct done done);
/* What a URL is for. */
struct s3_target {
    struct slice method;
    struct slice scheme;
    struct slice host;
    struct slice path; /* whole */
};
/* A URL that serves it to whoever has it; for a shorter time (`validity`) where the keys end before. UNAVAILABLE: they
 * have ended. Any thread. */
enum result s3_sign_url(struct s3 *s3, const struct s3_target *target, struct storage_validity *validity,
                        struct arena *arena, struct slice *ret_url) NODISCARD;
/* Finds out what the store can do; a sentence for the operator when it cannot do what is needed. Blocks. */
enum result s3_probe(struct s3 *s3, struct strbuf *ret_why) NODISCARD;

#endif
