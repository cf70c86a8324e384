/* SPDX-License-Identifier: Apache-2.0
 *
 * What a registry answers to everything that may be asked of a small world of content, a line for each question: two
 * registries on one store, or one before and after, are compared line by line. And what must be true of the store.
 */
#ifndef MINATO_TEST_CONTENT_PROBE_H
#define MINATO_TEST_CONTENT_PROBE_H

#include "content.h"

#define WORLD_REPOS 3
#define WORLD_TAGS 8
#define WORLD_MANIFESTS 11
#define WORLD_BLOBS 9
#define PROBE_LINES_MAX 256

enum world_manifest {
    W_IMAGE,    /* "v1", "latest"; the subject; signed by a tag of cosign's */
    W_CHILD,    /* of W_INDEX */
    W_INDEX,    /* "multi" */
    W_REFERRER, /* of W_IMAGE, by its subject and by the fallback tag */
    W_SIGNATURE,
    W_FALLBACK, /* the index that the fallback tag of W_IMAGE names */
    W_OTHER,    /* all that the second repository has; without config and layers */
    W_OLD,      /* linked as a layer only; "old" */
    W_NEW,      /* not there yet: to be put */
    W_NEW_REFERRER,
    W_NEW_FALLBACK,
};

enum world_blob { W_CONFIG, W_LAYER, W_SPARE, W_NESTED, W_NEW_BLOB, W_EMPTY, W_NEW_BLOB_512, W_ALIAS, W_LINKED };

struct world {
    struct arena arena;
    struct repo_name repos[WORLD_REPOS]; /* library/test, library/other, library/test/nested */
    const char *tags[WORLD_TAGS];        /* v1 latest multi old new new2 <fallback> <cosign> */
    struct digest manifests[WORLD_MANIFESTS];
    struct slice bytes[WORLD_MANIFESTS];
    struct digest blobs[WORLD_BLOBS];
};

#define WORLD_NEW_BYTES SLICE("these bytes are new")

/* Pushes it; a registry knows it all afterwards, through its index. */
void world_build(struct env *env, struct world *world);
void world_done(struct world *world);
/* Which blobs a probe asks for in which repository: those that may be there. */
bool world_asks_for(size_t repo, enum world_blob blob);
/* A put of one of its manifests; reference NULL: by its digest. */
struct env_call world_put(struct world *world, enum world_manifest manifest, const char *reference);

struct probe {
    struct arena arena;
    struct slice lines[PROBE_LINES_MAX];
    size_t count;
    size_t first_of_lists; /* before it: what manifests and blobs stand for */
};

void probe_run(struct env *env, struct world *world, struct probe *ret_probe);
void probe_done(struct probe *probe);
/* The first line that differs, or NULL. */
const char *probe_difference(const struct probe *a, const struct probe *b, bool has_lists);
/* The first line of `p` that is neither of `a` nor of `b`. */
const char *probe_stranger(const struct probe *p, const struct probe *a, const struct probe *b);

/* NULL, or what in the store names something that is not there. */
const char *world_dangling(struct env *env, struct world *world);

#endif
