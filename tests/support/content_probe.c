/* SPDX-License-Identifier: Apache-2.0
 *
 * A small world of content and what is asked of it: see content_probe.h. The loop's own thread.
 */
#include "content_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "await.h"

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define REPOSITORIES "docker/registry/v2/repositories/"

/* ---- the world ---- */

static void define(struct world *w, enum world_manifest at, struct content content)
{
    w->bytes[at] = content_json(&w->arena, &content);
    w->manifests[at] = env_digest(w->bytes[at]);
}

static void define_manifests(struct world *w)
{
    const struct digest *config = &w->blobs[W_CONFIG];
    const struct digest *layer = &w->blobs[W_LAYER];
    const struct digest *m = w->manifests;
    define(w, W_IMAGE, (struct content){.config = config, .children = layer, .child_count = 1, .note = "image"});
    define(w, W_CHILD, (struct content){.config = config, .children = layer, .child_count = 1, .note = "child"});
    define(w, W_INDEX, (struct content){.is_index = true, .children = &m[W_CHILD], .child_count = 1});
    define(w, W_REFERRER, (struct content){.is_index = true, .subject = &m[W_IMAGE]});
    define(w, W_SIGNATURE, (struct content){.config = config, .note = "signature"});
    define(w, W_FALLBACK, (struct content){.is_index = true, .children = &m[W_REFERRER], .child_count = 1});
    define(w, W_OTHER, (struct content){.is_index = true, .note = "other"});
    define(w, W_OLD, (struct content){.config = config, .note = "old"});
    define(w, W_NEW, (struct content){.config = config, .children = layer, .child_count = 1, .note = "new"});
    define(w, W_NEW_REFERRER, (struct content){.is_index = true, .subject = &m[W_IMAGE], .note = "new"});
    const struct digest both[] = {m[W_REFERRER], m[W_CHILD]};
    define(w, W_NEW_FALLBACK, (struct content){.is_index = true, .children = both, .child_count = 2});
}

static void define_all(struct world *w)
{
    static const char *const tags[] = {"v1", "latest", "multi", "old", "new", "new2"};
    arena_init(&w->arena);
    w->repos[0].text = SLICE("library/test");
    w->repos[1].text = SLICE("library/other");
    w->repos[2].text = SLICE("library/test/nested");
    w->blobs[W_CONFIG] = env_digest(SLICE("config"));
    w->blobs[W_LAYER] = env_digest(SLICE("layer"));
    w->blobs[W_SPARE] = env_digest(SLICE("spare"));
    w->blobs[W_NESTED] = env_digest(SLICE("nested"));
    w->blobs[W_NEW_BLOB] = env_digest(WORLD_NEW_BYTES);
    w->blobs[W_EMPTY] = env_digest(SLICE(""));
    digest_of(DIGEST_SHA512, WORLD_NEW_BYTES, &w->blobs[W_NEW_BLOB_512]);
    digest_of(DIGEST_SHA512, SLICE("layer"), &w->blobs[W_ALIAS]);
    define_manifests(w);
    w->blobs[W_LINKED] = w->manifests[W_OLD];
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        w->tags[i] = tags[i];
    struct slice subject = digest_text(&w->manifests[W_IMAGE], &w->arena);
    w->tags[6] = arena_cstr(&w->arena, arena_format(&w->arena, "sha256-%.64s", subject.ptr + 7));
    w->tags[7] = arena_cstr(&w->arena, arena_format(&w->arena, "%s.sig", w->tags[6]));
}

struct env_call world_put(struct world *w, enum world_manifest manifest, const char *reference)
{
    struct manifest m;
    struct slice why;
    MUST(manifest_parse(w->bytes[manifest], SLICE(""), &w->arena, &m, &why) == OK);
    return (struct env_call){.kind = ENV_MANIFEST_PUT,
                             .reference =
                                 reference == NULL ? content_name(&w->arena, &w->manifests[manifest]) : reference,
                             .content_type = m.kind == MANIFEST_INDEX ? INDEX_TYPE : IMAGE_TYPE,
                             .bytes = w->bytes[manifest]};
}

static void put(struct env *env, struct world *w, enum world_manifest manifest, const char *reference)
{
    struct env_call call = world_put(w, manifest, reference);
    MUST(env_run(env, &call) == OK);
    env_call_done(&call);
}

void world_build(struct env *env, struct world *w)
{
    define_all(w);
    env->repo = w->repos[1].text;
    put(env, w, W_OTHER, "v1");
    env->repo = w->repos[2].text;
    MUST(env_push_blob(env, SLICE("nested"), NULL) == OK);
    env->repo = w->repos[0].text;
    static const char *const blobs[] = {"config", "layer", "spare"};
    for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
        MUST(env_push_blob(env, slice_from_cstr(blobs[i]), NULL) == OK);
    put(env, w, W_IMAGE, "v1");
    put(env, w, W_IMAGE, "latest");
    put(env, w, W_CHILD, NULL);
    put(env, w, W_INDEX, "multi");
    put(env, w, W_REFERRER, NULL);
    put(env, w, W_SIGNATURE, w->tags[7]);
    put(env, w, W_FALLBACK, w->tags[6]);
    put(env, w, W_OLD, "old");
    struct digest old = w->manifests[W_OLD];
    MUST(content_remove(env, layout_revision_link(&w->arena, w->repos[0], &old)) == OK);
    MUST(content_store(env, layout_layer_link(&w->arena, w->repos[0], &old), digest_text(&old, &w->arena)) == OK);
    struct slice alias = layout_layer_link(&w->arena, w->repos[0], &w->blobs[W_ALIAS]);
    MUST(content_store(env, alias, digest_text(&w->blobs[W_LAYER], &w->arena)) == OK);
    env_restart(env); /* the last three went past it */
}

void world_done(struct world *w)
{
    arena_done(&w->arena);
}

/* ---- questions ---- */

static void add(struct probe *p, struct slice line)
{
    MUST(p->count < PROBE_LINES_MAX);
    p->lines[p->count++] = line;
}

static void ask_manifest(struct env *env, struct probe *p, const char *reference)
{
    struct digest digest;
    enum result r = content_find(env, reference, &digest);
    add(p, arena_format(&p->arena, "%.*s manifest %s: %s %s", SLICE_ARG(env->repo), reference, result_name(r),
                        r == OK ? content_name(&p->arena, &digest) : ""));
}

static void ask_blob(struct env *env, struct probe *p, const struct digest *blob)
{
    struct env_call call = {.kind = ENV_BLOB_FIND, .digest = *blob};
    enum result r = env_run(env, &call);
    add(p, arena_format(&p->arena, "%.*s blob %s: %s %s %u", SLICE_ARG(env->repo), content_name(&p->arena, blob),
                        result_name(r), r == OK ? content_name(&p->arena, &call.info.digest) : "",
                        r == OK ? (unsigned)call.info.size : 0));
    env_call_done(&call);
}

static bool list_has(struct slice list, const char *name, struct arena *arena)
{
    struct slice spaced = arena_format(arena, " %.*s", SLICE_ARG(list));
    struct slice wanted = arena_format(arena, " %s ", name);
    return memmem(spaced.ptr, spaced.len, wanted.ptr, wanted.len) != NULL;
}

/* A line for each name that may be in it, and one for all of it. */
static void add_list(struct probe *p, struct slice what, struct slice list, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(p, arena_format(&p->arena, "%.*s has %s: %s", SLICE_ARG(what), names[i],
                            list_has(list, names[i], &p->arena) ? "yes" : "no"));
}

static void ask_list(struct env *env, struct probe *p, enum env_kind kind, const char *const *names, size_t count)
{
    struct env_call call = {.kind = kind, .limit = 1000};
    enum result r = env_run(env, &call);
    MUST(r == OK || r == NOT_FOUND);
    size_t known = 0;
    struct slice list = arena_copy(&p->arena, strbuf_slice(&call.content));
    for (size_t i = 0; i < list.len; i++)
        known += list.ptr[i] == ' ';
    for (size_t i = 0; i < count; i++)
        known -= list_has(list, names[i], &p->arena);
    MUST(known == 0); /* nothing that nobody has put there */
    add_list(p, arena_format(&p->arena, "%.*s %s", SLICE_ARG(env->repo), kind == ENV_TAGS ? "tags" : "catalog"), list,
             names, count);
    if (kind == ENV_TAGS)
        add(p, arena_format(&p->arena, "%.*s tags: %s", SLICE_ARG(env->repo), result_name(r)));
    env_call_done(&call);
}

static void ask_referrers(struct env *env, struct probe *p, struct world *w)
{
    const char *names[WORLD_MANIFESTS];
    for (size_t i = 0; i < WORLD_MANIFESTS; i++)
        names[i] = content_name(&p->arena, &w->manifests[i]);
    struct slice list = slice_from_cstr(content_referrers(env, &w->manifests[W_IMAGE], &p->arena));
    add_list(p, SLICE("referrers"), list, names, WORLD_MANIFESTS);
}

bool world_asks_for(size_t repo, enum world_blob blob)
{
    if (repo == 1)
        return blob == W_LAYER || blob == W_EMPTY;
    return repo == 0 || blob == W_NESTED || blob == W_ALIAS;
}

void probe_run(struct env *env, struct world *w, struct probe *p)
{
    memset(p, 0, sizeof(*p));
    arena_init(&p->arena);
    struct slice before = env->repo;
    const char *repos[WORLD_REPOS];
    for (size_t i = 0; i < WORLD_REPOS; i++) {
        env->repo = w->repos[i].text;
        repos[i] = arena_cstr(&p->arena, env->repo);
        for (size_t k = 0; k < (i == 0 ? WORLD_TAGS : 1); k++)
            ask_manifest(env, p, w->tags[k]);
        for (size_t k = i == 0 ? 0 : W_OTHER; k <= (i == 0 ? WORLD_MANIFESTS - 1 : W_OTHER); k++)
            ask_manifest(env, p, content_name(&p->arena, &w->manifests[k]));
        for (size_t k = 0; k < WORLD_BLOBS; k++)
            if (world_asks_for(i, (enum world_blob)k))
                ask_blob(env, p, &w->blobs[k]);
    }
    p->first_of_lists = p->count;
    for (size_t i = 0; i < WORLD_REPOS; i++) {
        env->repo = w->repos[i].text;
        ask_list(env, p, ENV_TAGS, w->tags, i == 0 ? WORLD_TAGS : 1);
    }
    env->repo = w->repos[0].text;
    ask_list(env, p, ENV_REPOSITORIES, repos, WORLD_REPOS);
    ask_referrers(env, p, w);
    env->repo = before;
}

void probe_done(struct probe *p)
{
    arena_done(&p->arena);
}

const char *probe_difference(const struct probe *a, const struct probe *b, bool has_lists)
{
    MUST(a->count == b->count);
    for (size_t i = 0; i < (has_lists ? a->count : a->first_of_lists); i++)
        if (!slice_equal(a->lines[i], b->lines[i]))
            return a->lines[i].ptr;
    return NULL;
}

const char *probe_stranger(const struct probe *p, const struct probe *a, const struct probe *b)
{
    for (size_t i = 0; i < p->count; i++)
        if (!slice_equal(p->lines[i], a->lines[i]) && !slice_equal(p->lines[i], b->lines[i]))
            return p->lines[i].ptr;
    return NULL;
}

/* ---- the store ---- */

struct object {
    struct env *env;
    struct world *world;
    struct arena arena;
    struct slice path;
    struct slice bytes;
    struct repo_name repo;
    struct digest target;
};

static enum result get(struct object *o, struct slice path, struct slice *ret_bytes)
{
    return AWAIT(o->env->loop, storage_get(o->env->storage, path, 1u << 20, &o->arena, ret_bytes, NULL, done));
}

static bool has_layer(struct object *o, const struct digest *digest)
{
    return content_exists(o->env, layout_layer_link(&o->arena, o->repo, digest));
}

static bool has_manifest(struct object *o, const struct digest *digest)
{
    return content_exists(o->env, layout_revision_link(&o->arena, o->repo, digest)) || has_layer(o, digest);
}

/* The index of a fallback tag does not keep what it lists. */
static bool is_fallback(const struct object *o)
{
    return digest_equal(&o->target, &o->world->manifests[W_FALLBACK]) ||
           digest_equal(&o->target, &o->world->manifests[W_NEW_FALLBACK]);
}

static bool manifest_stands(struct object *o)
{
    struct manifest m;
    struct slice why;
    struct slice bytes;
    if (get(o, layout_blob(&o->arena, &o->target), &bytes) != OK ||
        manifest_parse(bytes, SLICE(""), &o->arena, &m, &why) != OK)
        return false;
    if (m.has_config && !has_layer(o, &m.config.digest))
        return false;
    for (size_t i = 0; i < m.child_count && !is_fallback(o); i++)
        if (!(m.kind == MANIFEST_INDEX ? has_manifest(o, &m.children[i].digest) : has_layer(o, &m.children[i].digest)))
            return false;
    return true;
}

/* A tag's history may name what is gone: the manifest was deleted when the tag named another one. */
static bool link_stands(struct object *o)
{
    struct slice rest = slice_from(o->path, sizeof(REPOSITORIES) - 1);
    const char *end = memmem(rest.ptr, rest.len, "/_", 2);
    struct slice target;
    if (end == NULL || digest_parse(o->bytes, &o->target) != OK)
        return false;
    o->repo.text = slice_of(rest.ptr, (size_t)(end - rest.ptr));
    if (get(o, layout_blob(&o->arena, &o->target), &target) != OK)
        return false;
    if (slice_has_suffix(o->path, SLICE("/current/link")))
        return has_manifest(o, &o->target) && manifest_stands(o);
    return memmem(o->path.ptr, o->path.len, "/revisions/", 11) == NULL || manifest_stands(o);
}

static bool stands(struct object *o)
{
    if (get(o, o->path, &o->bytes) != OK)
        return false;
    if (slice_has_prefix(o->path, SLICE(REPOSITORIES)))
        return link_stands(o);
    if (!slice_has_prefix(o->path, SLICE("docker/registry/v2/blobs/")))
        return true;
    struct digest by_256 = env_digest(o->bytes);
    struct digest by_512;
    digest_of(DIGEST_SHA512, o->bytes, &by_512);
    return slice_equal(o->path, layout_blob(&o->arena, &by_256)) ||
           slice_equal(o->path, layout_blob(&o->arena, &by_512));
}

const char *world_dangling(struct env *env, struct world *w)
{
    size_t count = memory_driver_object_count(env->memory);
    for (size_t i = 0; i < count; i++) {
        struct object o = {.env = env, .world = w};
        arena_init(&o.arena);
        o.path = arena_copy(&o.arena, memory_driver_object_path(env->memory, i));
        bool is_well = stands(&o);
        arena_done(&o.arena);
        if (!is_well)
            return memory_driver_object_path(env->memory, i).ptr;
    }
    return NULL;
}
