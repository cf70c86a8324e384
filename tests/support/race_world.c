/* SPDX-License-Identifier: Apache-2.0
 *
 * The world of the races: its content, its store, and what is in the store. See race_world.h; the operations are in
 * race_op.c.
 */
#include "race_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "await.h"
#include "memory_driver.h"
#include "src/registry/registry_int.h"

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

/* ---- content ---- */

static struct slice describe(struct race_content *c, const char *type, const struct digest *digest, struct slice bytes)
{
    return arena_format(&c->arena, "{\"mediaType\":\"%s\",\"digest\":\"%.*s\",\"size\":%zu}", type,
                        SLICE_ARG(digest_text(digest, &c->arena)), bytes.len);
}

static void set_manifest(struct race_content *c, unsigned i, struct slice bytes)
{
    c->manifests[i] = bytes;
    digest_of(DIGEST_SHA256, bytes, &c->manifest_digests[i]);
    c->manifest_texts[i] = digest_text(&c->manifest_digests[i], &c->arena);
    c->manifest_paths[i] = layout_blob(&c->arena, &c->manifest_digests[i]);
}

/* `layers`: a set of blobs; blob 0 is the config of all. */
static void make_image(struct race_content *c, unsigned i, unsigned layers, struct slice more)
{
    struct slice list = SLICE_EMPTY;
    for (unsigned b = 1; b < RACE_BLOBS; b++)
        if ((layers >> b & 1u) != 0)
            list = arena_format(
                &c->arena, "%.*s%s%.*s", SLICE_ARG(list), list.len > 0 ? "," : "",
                SLICE_ARG(describe(c, "application/vnd.oci.image.layer.v1.tar", &c->blob_digests[b], c->blobs[b])));
    struct slice config = describe(c, "application/vnd.oci.image.config.v1+json", &c->blob_digests[0], c->blobs[0]);
    c->layers[i] = layers | 1u;
    set_manifest(c, i,
                 arena_format(&c->arena,
                              "{\"schemaVersion\":2,\"mediaType\":\"" IMAGE_TYPE
                              "\",\"config\":%.*s,\"layers\":[%.*s]%.*s}",
                              SLICE_ARG(config), SLICE_ARG(list), SLICE_ARG(more)));
}

static void make_index(struct race_content *c, unsigned i, unsigned child)
{
    struct slice entry = describe(c, IMAGE_TYPE, &c->manifest_digests[child], c->manifests[child]);
    c->children[i] = 1u << child;
    set_manifest(c, i,
                 arena_format(&c->arena, "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":[%.*s]}",
                              SLICE_ARG(entry)));
}

static void make_descriptor(struct race_content *c)
{
    struct manifest manifest;
    struct slice why;
    RACE_MUST(manifest_parse(c->manifests[RACE_REFERRER], SLICE_EMPTY, &c->arena, &manifest, &why) == OK);
    c->descriptor =
        referrer_descriptor(&manifest, &c->manifest_digests[RACE_REFERRER], c->manifests[RACE_REFERRER].len, &c->arena);
}

static void make_paths(struct race_content *c)
{
    struct arena *arena = &c->arena;
    for (unsigned r = 0; r < RACE_REPOS; r++) {
        struct repo_name repo = {c->repos[r]};
        struct slice *paths = &c->paths[r * RACE_OF_REPO];
        for (unsigned b = 0; b < RACE_BLOBS; b++)
            paths[RACE_LAYER + b] = layout_layer_link(arena, repo, &c->blob_digests[b]);
        for (unsigned m = 0; m < RACE_MANIFESTS; m++)
            paths[RACE_REVISION + m] = layout_revision_link(arena, repo, &c->manifest_digests[m]);
        for (unsigned t = 0; t < RACE_TAGS; t++) {
            paths[RACE_TAG + t] = layout_tag_current(arena, repo, (struct tag){c->tags[t]});
            paths[RACE_LISTED + t] =
                arena_format(arena, "%.*s/%.*s", SLICE_ARG(layout_tags_folder(arena, repo)), SLICE_ARG(c->tags[t]));
        }
        paths[RACE_REFERRED] =
            layout_referrer(arena, repo, &c->manifest_digests[RACE_SUBJECT], &c->manifest_digests[RACE_REFERRER]);
    }
}

static void make_content(struct race_content *c)
{
    static const char *const blobs[RACE_BLOBS] = {"{}", "first layer", "second layer"};
    arena_init(&c->arena);
    c->repos[0] = SLICE("a");
    c->repos[1] = SLICE("a/b"); /* below the other */
    for (unsigned b = 0; b < RACE_BLOBS; b++) {
        c->blobs[b] = slice_from_cstr(blobs[b]);
        digest_of(DIGEST_SHA256, c->blobs[b], &c->blob_digests[b]);
        c->blob_texts[b] = digest_text(&c->blob_digests[b], &c->arena);
        c->blob_paths[b] = layout_blob(&c->arena, &c->blob_digests[b]);
    }
    make_image(c, RACE_SUBJECT, 2, SLICE_EMPTY);
    struct slice subject = describe(c, IMAGE_TYPE, &c->manifest_digests[RACE_SUBJECT], c->manifests[RACE_SUBJECT]);
    make_image(c, RACE_REFERRER, 4, arena_format(&c->arena, ",\"subject\":%.*s", SLICE_ARG(subject)));
    make_index(c, RACE_INDEX, RACE_SUBJECT);
    make_image(c, 3, 6, SLICE_EMPTY);
    make_descriptor(c);
    c->tags[0] = SLICE("v1");
    c->tags[1] = SLICE("v1-rc");
    struct slice text = c->manifest_texts[RACE_SUBJECT];
    c->tags[2] = arena_format(&c->arena, "sha256-%.*s", SLICE_ARG(slice_from(text, strlen("sha256:"))));
    make_paths(c);
}

/* ---- the store, looked at and filled beside the registry ---- */

static void store(struct race_world *world, struct slice path, struct slice bytes)
{
    RACE_MUST(memory_driver.put(world->memory, path, bytes, 0, (struct done){0}) == OK);
}

static bool exists(const struct race_world *world, struct slice path)
{
    struct storage_object object;
    return memory_driver.stat(world->memory, path, &object, (struct done){0}) == OK;
}

/* 1 + the manifest that a tag's link names; 0 if it is not there. */
static unsigned read_tag(const struct race_world *world, struct slice path)
{
    struct arena arena;
    struct slice bytes = SLICE_EMPTY;
    unsigned value = 0;
    arena_init(&arena);
    enum result r = memory_driver.get(world->memory, path, 1024, &arena, &bytes, NULL, (struct done){0});
    for (unsigned m = 0; r == OK && m < RACE_MANIFESTS; m++)
        if (slice_equal(bytes, world->content.manifest_texts[m]))
            value = 1 + m;
    RACE_MUST(r == NOT_FOUND || value > 0);
    arena_done(&arena);
    return value;
}

static bool has_objects(const struct race_world *world, struct slice folder)
{
    struct arena arena;
    struct storage_listing listing;
    arena_init(&arena);
    RACE_MUST(memory_driver.list(world->memory, folder, SLICE_EMPTY, 1, &arena, &listing, (struct done){0}) == OK);
    bool is_there = listing.count > 0;
    arena_done(&arena);
    return is_there;
}

struct race_state race_world_state(struct race_world *world)
{
    struct race_state state = {{0}};
    for (unsigned r = 0; r < RACE_REPOS; r++) {
        const struct slice *paths = &world->content.paths[r * RACE_OF_REPO];
        uint8_t *values = &state.values[r * RACE_OF_REPO];
        for (unsigned i = 0; i < RACE_TAG; i++)
            values[i] = exists(world, paths[i]);
        for (unsigned t = 0; t < RACE_TAGS; t++) {
            values[RACE_TAG + t] = (uint8_t)read_tag(world, paths[RACE_TAG + t]);
            values[RACE_LISTED + t] = has_objects(world, paths[RACE_LISTED + t]);
        }
        values[RACE_REFERRED] = exists(world, paths[RACE_REFERRED]) && values[RACE_REVISION + RACE_REFERRER] != 0;
    }
    return state;
}

bool race_world_has_repositories(const struct race_world *world)
{
    return has_objects(world, layout_repositories_folder());
}

bool race_world_has_locks(const struct race_world *world)
{
    return has_objects(world, SLICE("minato/locks"));
}

bool race_world_has_referrers(const struct race_world *world)
{
    return has_objects(world, SLICE("minato/referrers"));
}

/* Whether the repository has everything that the manifest names. */
static bool names_stand(const struct race_world *world, unsigned repo, unsigned m)
{
    const struct race_content *c = &world->content;
    const struct slice *paths = &c->paths[repo * RACE_OF_REPO];
    bool stands = true;
    for (unsigned b = 0; b < RACE_BLOBS; b++)
        if ((c->layers[m] >> b & 1u) != 0)
            stands = stands && exists(world, paths[RACE_LAYER + b]);
    for (unsigned k = 0; k < RACE_MANIFESTS; k++)
        if ((c->children[m] >> k & 1u) != 0)
            stands = stands && exists(world, paths[RACE_REVISION + k]);
    return stands;
}

void race_world_check_references(struct race_world *world)
{
    const struct race_content *c = &world->content;
    for (unsigned r = 0; r < RACE_REPOS; r++) {
        const struct slice *paths = &c->paths[r * RACE_OF_REPO];
        for (unsigned b = 0; b < RACE_BLOBS; b++)
            if (exists(world, paths[RACE_LAYER + b]) && !exists(world, c->blob_paths[b]))
                strbuf_append_format(&world->wrong, "blob %u of %.*s is linked without bytes\n", b,
                                     SLICE_ARG(c->repos[r]));
        for (unsigned m = 0; m < RACE_MANIFESTS; m++)
            if (exists(world, paths[RACE_REVISION + m]) &&
                !(exists(world, c->manifest_paths[m]) && names_stand(world, r, m)))
                strbuf_append_format(&world->wrong, "manifest %u of %.*s names what is not there\n", m,
                                     SLICE_ARG(c->repos[r]));
        for (unsigned t = 0; t < RACE_TAGS; t++) {
            unsigned value = read_tag(world, paths[RACE_TAG + t]);
            if (value > 0 && !exists(world, paths[RACE_REVISION + value - 1]))
                strbuf_append_format(&world->wrong, "tag %u of %.*s names manifest %u, which is not there\n", t,
                                     SLICE_ARG(c->repos[r]), value - 1);
        }
    }
}

/* After each change of a link: a crash may come at any moment. */
static void on_effect(void *data, const char *call, struct slice path)
{
    struct race_world *world = data;
    bool is_write = strcmp(call, "put") == 0 || strcmp(call, "delete") == 0 || strcmp(call, "put_if_match") == 0;
    if (is_write && world->wrong.len == 0 && slice_has_prefix(path, layout_repositories_folder()))
        race_world_check_references(world);
}

/* ---- a store to begin with ---- */

static void fill_manifest(struct race_world *world, unsigned repo, unsigned m)
{
    const struct race_content *c = &world->content;
    store(world, c->manifest_paths[m], c->manifests[m]);
    store(world, c->paths[repo * RACE_OF_REPO + RACE_REVISION + m], c->manifest_texts[m]);
    if (m == RACE_REFERRER)
        store(world, c->paths[repo * RACE_OF_REPO + RACE_REFERRED], c->descriptor);
}

static void fill_tag(struct race_world *world, unsigned repo, unsigned t, unsigned m)
{
    const struct race_content *c = &world->content;
    struct arena arena;
    arena_init(&arena);
    store(
        world,
        layout_tag_index(&arena, (struct repo_name){c->repos[repo]}, (struct tag){c->tags[t]}, &c->manifest_digests[m]),
        c->manifest_texts[m]);
    store(world, c->paths[repo * RACE_OF_REPO + RACE_TAG + t], c->manifest_texts[m]);
    arena_done(&arena);
}

static void fill_repo(struct race_world *world, unsigned repo)
{
    const struct race_content *c = &world->content;
    struct dice *dice = &world->dice;
    bool is_sparse = dice_chance(dice, 20);           /* so that what is taken away is the last of a repository */
    unsigned percent = 10 + 25 * dice_below(dice, 4); /* without manifests layers can go */
    for (unsigned b = 0; b < RACE_BLOBS; b++) {
        if (!dice_chance(dice, is_sparse ? 25 : 92))
            continue;
        store(world, c->blob_paths[b], c->blobs[b]);
        store(world, c->paths[repo * RACE_OF_REPO + RACE_LAYER + b], c->blob_texts[b]);
    }
    for (unsigned m = 0; m < RACE_MANIFESTS; m++)
        if (dice_chance(dice, percent) && names_stand(world, repo, m))
            fill_manifest(world, repo, m);
    for (unsigned t = 0; t < RACE_TAGS; t++) {
        unsigned m = dice_below(dice, RACE_MANIFESTS);
        if (dice_chance(dice, 80) && exists(world, c->paths[repo * RACE_OF_REPO + RACE_REVISION + m]))
            fill_tag(world, repo, t, m);
    }
}

void race_world_fill(struct race_world *world)
{
    for (unsigned r = 0; r < RACE_REPOS; r++)
        fill_repo(world, r);
}

/* ---- life ---- */

static uint64_t now_ms(void *data)
{
    const struct race_world *world = data;
    return world->now_ms;
}

static void on_begun(void *data, unsigned loop)
{
    struct race_world *world = data;
    (void)loop;
    world->background++;
}

static void on_ended(void *data, unsigned loop)
{
    struct race_world *world = data;
    (void)loop;
    world->background--;
}

/* Replicas do not pause between two looks: the script says who goes on. */
static void start_registries(struct race_world *world)
{
    struct clock clock = {.wall_ms = now_ms, .monotonic_ms = now_ms, .data = world};
    for (unsigned i = 0; i < world->replicas; i++) {
        world->indexes[i] = world->replicas > 1 ? index_new_none() : index_new_local(1024, clock, NULL);
        RACE_MUST(registry_new(&world->config, world->storage, world->indexes[i], world->pool, clock, NULL, NULL,
                               &world->registries[i]) == OK);
        world->registries[i]->lock_pause_ms = 0;
        registry_watch_background(world->registries[i], (struct registry_background){on_begun, on_ended, world});
    }
}

static void stop_registries(struct race_world *world)
{
    RACE_MUST(world->background == 0);
    for (unsigned i = 0; i < world->replicas; i++) {
        registry_free(world->registries[i]);
        index_free(world->indexes[i]);
    }
}

void race_world_init(struct race_world *world)
{
    memset(world, 0, sizeof(*world));
    make_content(&world->content);
    world->now_ms = 1700000000000u;
    memset(world->secret, 115, sizeof(world->secret) - 1);
    world->config.http.secret.value = world->secret; /* else each registry would load one from the store */
    world->replicas = 1;
    world->config.storage.delete_enabled = true;
    world->config.uploads.expire_after_ms = 24u * 3600u * 1000u;
    world->config.uploads.parts_in_flight = 1;
    world->config.http.max_manifest_bytes = 4u * 1024u * 1024u;
    world->config.validation.layers = true;
    world->config.validation.children = true;
    strbuf_init(&world->trace, 1u << 20);
    strbuf_init(&world->wrong, 1u << 16);
    RACE_MUST(loop_new(0, 64u * PAGE_BYTES, &world->loop) == OK);
    RACE_MUST(pool_new(1, 4, &world->pool) == OK);
}

void race_world_done(struct race_world *world)
{
    await_pool(world->loop, world->pool);
    pool_free(world->pool);
    loop_free(world->loop);
    strbuf_done(&world->trace);
    strbuf_done(&world->wrong);
    arena_done(&world->content.arena);
}

void race_world_begin_empty(struct race_world *world)
{
    strbuf_clear(&world->trace);
    strbuf_clear(&world->wrong);
    world->moments = 0;
    world->memory =
        memory_driver_new(world->replicas > 1 ? memory_driver_like_s3(PAGE_BYTES) : memory_driver_like_filesystem());
    memory_driver_set_clock(world->memory, &world->now_ms);
    world->script = scripted_driver_new(&memory_driver, world->memory, &world->dice);
    scripted_driver_run_at_once(world->script, true);
    scripted_driver_watch(world->script, on_effect, world);
    world->storage = storage_wrap(&scripted_driver, world->script, NULL);
    start_registries(world);
}

void race_world_begin(struct race_world *world)
{
    race_world_begin_empty(world);
    race_world_fill(world);
}

void race_world_end(struct race_world *world)
{
    RACE_MUST(scripted_driver_waiting(world->script) == 0);
    RACE_MUST(memory_driver_reader_count(world->memory) == 0);
    RACE_MUST(pages_in_use_bytes(world->loop) == 0);
    stop_registries(world);
    storage_close(world->storage);
}

void race_world_restart(struct race_world *world)
{
    stop_registries(world);
    start_registries(world);
}

void race_world_wants_trace(struct race_world *world)
{
    scripted_driver_trace(world->script, &world->trace);
}
