/* SPDX-License-Identifier: Apache-2.0
 *
 * A tiny world for races: two repositories, three blobs, four manifests (two images, one of them with a subject, an
 * index, and an image of everything), three tags, on the memory driver behind the scripted driver. One registry serves
 * it, as on a folder, or several replicas without an index do, as on a bucket. What it holds is a number of registers,
 * read from the store; operations on it are flows that a test starts and steps, and what they answered becomes a
 * history of those registers. One loop, its thread.
 */
#ifndef MINATO_TEST_RACE_WORLD_H
#define MINATO_TEST_RACE_WORLD_H

#include <stdio.h>
#include <stdlib.h>

#include "dice.h"
#include "history.h"
#include "minato/registry.h"
#include "scripted_driver.h"

#define RACE_REPLICAS 2u
#define RACE_REPOS 2u
#define RACE_BLOBS 3u
#define RACE_MANIFESTS 4u
#define RACE_TAGS 3u
/* Of manifests: */
#define RACE_SUBJECT 0u /* what the referrer names as its subject, and the index as its child */
#define RACE_REFERRER 1u
#define RACE_INDEX 2u
/* The last tag is the fallback tag of the subject. */

/* ---- registers: 0 is absent; a tag holds 1 + the number of the manifest, the others 1 ---- */

enum {
    RACE_LAYER = 0, /* + blob: the repository may serve it */
    RACE_REVISION = RACE_LAYER + RACE_BLOBS,
    RACE_TAG = RACE_REVISION + RACE_MANIFESTS,
    RACE_LISTED = RACE_TAG + RACE_TAGS, /* + tag: its folder is there */
    RACE_REFERRED = RACE_LISTED + RACE_TAGS,
    RACE_OF_REPO,
    RACE_REGISTERS = RACE_REPOS * RACE_OF_REPO
};

struct race_state {
    uint8_t values[RACE_REGISTERS];
};

struct race_content {
    struct arena arena;
    struct slice repos[RACE_REPOS];
    struct slice blobs[RACE_BLOBS];
    struct digest blob_digests[RACE_BLOBS];
    struct slice blob_texts[RACE_BLOBS]; /* of the digests */
    struct slice manifests[RACE_MANIFESTS];
    struct digest manifest_digests[RACE_MANIFESTS];
    struct slice manifest_texts[RACE_MANIFESTS]; /* of the digests */
    unsigned layers[RACE_MANIFESTS];             /* sets of blobs */
    unsigned children[RACE_MANIFESTS];           /* sets of manifests */
    struct slice descriptor;                     /* of the referrer */
    struct slice tags[RACE_TAGS];
    struct slice paths[RACE_REGISTERS]; /* of the link that a register is; of LISTED the folder */
    struct slice blob_paths[RACE_BLOBS];
    struct slice manifest_paths[RACE_MANIFESTS];
};

struct race_world {
    struct race_content content;
    struct dice dice;
    struct loop *loop;
    struct pool *pool;
    struct config config;
    char secret[33];
    uint64_t now_ms;  /* of all clocks */
    uint64_t moments; /* of the histories */
    void *memory;
    struct scripted_driver *script;
    struct storage *storage;
    unsigned replicas; /* to be set before it begins */
    struct index *indexes[RACE_REPLICAS];
    struct registry *registries[RACE_REPLICAS];
    unsigned background; /* flows of the registries that go on after operations */
    bool is_faulty;
    bool has_jumps; /* leases end in the middle of something */
    bool is_rough;  /* something is cut short: what it leaves may be in the way of others */
    /* what a round is about */
    unsigned theme; /* enum race_theme */
    unsigned focus; /* a manifest */
    unsigned focus_repo;
    struct strbuf trace; /* empty unless wanted */
    struct strbuf wrong; /* what is found to be wrong, a line each */
};

void race_world_init(struct race_world *world);
void race_world_done(struct race_world *world);
/* Another store, with nothing in it or with a random content that is in order, and registries that have not seen it. */
void race_world_begin_empty(struct race_world *world);
void race_world_begin(struct race_world *world);
void race_world_end(struct race_world *world);
/* Puts random things into the store that are in order, beside the registry, which must not have seen it yet. */
void race_world_fill(struct race_world *world);
/* Other processes on the same store. */
void race_world_restart(struct race_world *world);
void race_world_wants_trace(struct race_world *world);

#define RACE_MUST(condition)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct race_state race_world_state(struct race_world *world);
/* Every link's target stands, and so does all that the manifests name; else it is told in `wrong`. */
void race_world_check_references(struct race_world *world);
bool race_world_has_repositories(const struct race_world *world);
/* Intents and marks. */
bool race_world_has_locks(const struct race_world *world);
/* Descriptors of referrers, be their manifests there or not. */
bool race_world_has_referrers(const struct race_world *world);

/* ---- operations ---- */

enum race_kind {
    RACE_MANIFEST_PUT,
    RACE_BLOB_COMMIT,
    RACE_BLOB_MOUNT,
    RACE_MANIFEST_DELETE,
    RACE_BLOB_DELETE,
    RACE_TAG_DELETE,
    RACE_MANIFEST_FIND,
    RACE_TAG_FIND,
    RACE_BLOB_FIND,
    RACE_TAG_LIST,
    RACE_REFERRER_LIST,
    RACE_REPOSITORY_LIST,
    RACE_KINDS
};

/* A set of tag values: bit 0 is "absent". */
struct race_condition {
    bool is_given;
    bool is_any;
    unsigned manifests; /* a set */
};

struct race_op {
    /* in */
    enum race_kind kind;
    unsigned replica;
    unsigned repo;
    unsigned item;  /* blob, manifest or tag */
    bool by_digest; /* PUT: under its digest, else under the first of `tags` */
    unsigned tags;  /* PUT: a set */
    struct race_condition if_match;
    struct race_condition if_none_match;
    char uuid[37]; /* COMMIT */
    /* out */
    bool is_begun;
    bool is_over;
    bool is_cancelled; /* asked to be */
    enum result outcome;
    uint64_t begun; /* moments */
    uint64_t ended;
    unsigned found;    /* TAG_FIND: the tag's value; lists: a set */
    unsigned by;       /* CONFLICT of a delete: the manifest that names it */
    unsigned missing;  /* NOT_FOUND of a put: a set of blobs, or of an index of manifests */
    bool is_disturbed; /* PUT: somebody else wrote its tags meanwhile (race_op_note_others) */
    bool is_joined;    /* a delete: another replica deleted the same meanwhile, and both may be told that they did it */
    struct strbuf text; /* lists: all of it; race_op_done frees */
    /* private */
    struct race_world *world;
    struct flow *flow;
    struct reference reference;
    struct tag names[RACE_TAGS];
    struct digest matches[2][RACE_MANIFESTS];
    struct manifest_put put;
    struct manifest_view view;
    struct blob_info info;
    struct digest by_digest_of;
    struct tag_page tag_page;
    struct repository_page repository_page;
    struct referrer_page referrer_page;
    uint64_t offset;
};

enum race_theme {
    RACE_THEME_ALL,
    RACE_THEME_TAG,    /* one tag that moves */
    RACE_THEME_LAYERS, /* and whether there is a repository */
    RACE_THEME_REFERRERS,
    RACE_THEMES
};

/* What the operations of a round, chosen after this, are mostly about. */
void race_world_choose_theme(struct race_world *world);
const char *race_kind_name(enum race_kind kind);
/* What it is and what came of it, for a reader. */
struct slice race_op_name(const struct race_op *op, const struct race_content *content, struct arena *arena);
/* Opens and fills a COMMIT's session. */
void race_op_prepare(struct race_op *op, struct race_world *world);
/* A random one, prepared. */
void race_op_choose(struct race_op *op, struct race_world *world);
void race_op_begin(struct race_op *op, struct race_world *world);
/* Begins it and runs it to its end, with a store that answers at once. PENDING: it does not end. */
enum result race_op_run(struct race_op *op, struct race_world *world);
void race_op_done(struct race_op *op);

/* ---- what operations say of the registers (race_history.c) ---- */

/* The values of a tag for which the conditions of a put hold. */
unsigned race_op_condition(const struct race_op *op);
/* Once all are over, before the next. */
void race_op_note_others(struct race_op *op, const struct race_op *ops, unsigned count);
/* Adds what an operation that is over did, or tells in `world->wrong` that its answer cannot be. */
void race_op_add_to_history(const struct race_op *op, struct race_world *world, struct history *history);
/* Answers on whole repositories, once all of the history is there. */
void race_op_check_repositories(const struct race_op *op, struct race_world *world, const struct history *history,
                                const struct race_state *before);

#endif
