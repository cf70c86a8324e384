/* SPDX-License-Identifier: Apache-2.0
 *
 * A registry on the memory driver behind the fault driver, with a clock that stands until told, and its doors called as
 * if they were not asynchronous. For unit tests of src/registry and for what drives it.
 *
 *     struct env env;
 *     env_init(&env, ENV_DEFERRED);
 *     struct env_call call = {.kind = ENV_APPEND, .uuid = uuid, .body = {.bytes = SLICE("hello")}};
 *     assert_int_equal(env_run(&env, &call), OK);
 *     env_done(&env);
 */
#ifndef MINATO_TEST_REGISTRY_ENV_H
#define MINATO_TEST_REGISTRY_ENV_H

#include "fault_driver.h"
#include "memory_driver.h"
#include "minato/registry.h"

#define ENV_DEFERRED 1u  /* storage calls complete on a later turn of the loop */
#define ENV_NO_SWAP 4u   /* the store has no put_if_match */
#define ENV_SHARED 8u    /* as S3: no rename, parts of one page, other replicas */
#define ENV_NO_INDEX 16u /* every look-up reads the store */
#define ENV_NO_FAULTS 2u /* no fault driver, which is for one loop: a copy of the env with another loop runs beside */

struct env {
    struct loop *loop;
    bool is_loop_borrowed;
    char secret[33];
    struct pool *pool;
    void *memory;
    struct fault_driver *fault; /* NULL with ENV_NO_FAULTS */
    struct storage *storage;
    struct index *index;
    bool has_index;
    struct config config;
    uint64_t now_ms; /* of our clocks; and of the store's, where the env was not copied */
    struct registry *registry;
    unsigned background;      /* flows of the registry that go on after a call; of its loop */
    bool is_quiet;            /* there are none */
    struct slice repo;        /* of the calls; "library/test" */
    struct env_call *running; /* the call begun last */
};

void env_init(struct env *env, unsigned flags);
/* On a loop of the caller's, with a secret in the configuration, which a registry makes a loop to load else: for
 * thousands of them, as libh2o leaves the epoll instance of each loop open. */
void env_init_on(struct env *env, struct loop *loop, unsigned flags);
/* Ends the registry and starts it again on what the store holds: another process. */
void env_restart(struct env *env);
/* Another registry on the same store, which knows nothing yet; calls may go to `*ret_fresh` until env_fresh_done. */
void env_fresh(struct env *env, struct env *ret_fresh);
void env_fresh_done(struct env *fresh);
/* Asserts that no page, reader or call is left over, then frees. */
void env_done(struct env *env);

/* A body that a test hands in, delivered in pages. */
struct env_body {
    struct slice bytes;
    size_t page_bytes; /* 0: whole pages */
    enum result end;   /* OK: the body ends; else it fails so after the bytes */
    bool is_held;      /* after the bytes nothing comes before env_body_release */
    bool is_none;      /* no body at all */
    bool has_range;
    struct byte_range range;
    bool has_length;
    uint64_t length;
};

enum env_kind {
    ENV_CREATE,
    ENV_STATUS,
    ENV_APPEND,
    ENV_COMMIT,
    ENV_CANCEL,
    ENV_BLOB_FIND,
    ENV_BLOB_READ, /* finds, opens, reads all: `content` */
    ENV_MANIFEST_FIND,
    ENV_MANIFEST_PUT,
    ENV_MANIFEST_DELETE,
    ENV_TAG_DELETE,
    ENV_BLOB_DELETE,
    ENV_MOUNT,
    ENV_TAGS,
    ENV_REPOSITORIES,
    ENV_REFERRERS,
    ENV_PURGE,
};

struct env_source;

struct env_call {
    /* in */
    enum env_kind kind;
    enum digest_algorithm algorithm; /* ENV_CREATE */
    char uuid[37];                   /* out of ENV_CREATE */
    struct env_body body;
    struct digest digest;
    const char *reference; /* of manifests: tag or digest; the tag of ENV_TAG_DELETE */
    const char *content_type;
    struct slice bytes; /* ENV_MANIFEST_PUT, and with it: */
    const struct tag *tags;
    size_t tag_count;
    struct manifest_condition if_match;
    struct manifest_condition if_none_match;
    const char *from;          /* ENV_MOUNT: the other repository */
    const char *artifact_type; /* ENV_REFERRERS: NULL for all */
    const char *last;          /* of lists; NULL: from the beginning */
    size_t limit;
    /* out; texts are freed by env_call_done */
    uint64_t offset;
    struct blob_info info;
    struct strbuf content;    /* bytes of a blob or manifest; what is in a list, each followed by ' ' */
    struct strbuf media_type; /* of a manifest; the sentence why; the last digest of referrers */
    size_t count;             /* of a list; missing references */
    bool flag;                /* has_more; has_subject */
    struct digest by;         /* CONFLICT of a delete: who names it */
    /* private */
    struct env *env;
    struct flow *flow;
    struct env_source *source;
    struct storage_reader *reader;
    struct page *page;
    struct upload_body upload_body;
    struct reference parsed;
    struct manifest_view view;
    struct manifest_put put;
    struct tag_page tag_page;
    struct repository_page repository_page;
    struct referrer_page referrer_page;
    struct slice text;
    bool is_over;
    enum result outcome;
};

/* Begins a call; `call` stays until env_wait. */
void env_start(struct env *env, struct env_call *call);
enum result env_wait(struct env_call *call);
/* Both. */
enum result env_run(struct env *env, struct env_call *call);
void env_call_done(struct env_call *call);
/* Until nothing goes on after the calls that have ended. */
void env_wait_for_background(struct env *env);
/* Runs the loop until nothing happens at once. */
void env_settle(struct env *env);
/* Lets a held body end with `end`. */
void env_body_release(struct env_call *call, enum result end);

/* A push in short. */
enum result env_create(struct env *env, char uuid[37]);
enum result env_append(struct env *env, const char *uuid, struct slice bytes, uint64_t *ret_offset);
enum result env_commit(struct env *env, const char *uuid, struct slice bytes, const struct digest *digest);
enum result env_push_blob(struct env *env, struct slice bytes, struct digest *ret_digest);
struct digest env_digest(struct slice bytes);
/* True if the repository serves exactly `bytes` under `digest`. */
bool env_serves(struct env *env, const struct digest *digest, struct slice bytes);

#endif
