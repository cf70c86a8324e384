/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations of the races: chosen at random, run as flows, their answers kept. See race_world.h.
 */
#include <string.h>

#include "await.h"
#include "race_world.h"

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define TURNS_MAX 200

/* ---- sessions, prepared beside the race ---- */

struct session {
    struct race_world *world;
    struct registry *registry;
    struct repo_name repo;
    struct byte_source source;
    struct slice bytes; /* left to bring */
    struct upload_body body;
    struct slice made;
    char *uuid;
    uint64_t offset;
    bool is_over;
    enum result outcome;
};

static enum result bring_bytes(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct session *s = (struct session *)((char *)source - offsetof(struct session, source));
    *ret_page = NULL;
    if (s->bytes.len == 0)
        return OK;
    enum result r = page_acquire(s->world->loop, ret_page, done);
    RACE_MUST(r == OK);
    (*ret_page)->start = 0;
    (*ret_page)->len = s->bytes.len;
    memcpy((*ret_page)->ptr, s->bytes.ptr, s->bytes.len);
    s->bytes.len = 0;
    return OK;
}

static enum flow_next create_session(struct flow *f)
{
    struct session *s = flow_owner(f);
    return upload_create(f, s->registry, s->repo, DIGEST_SHA256, &s->made);
}

static enum flow_next fill_session(struct flow *f)
{
    struct session *s = flow_owner(f);
    memcpy(s->uuid, s->made.ptr, s->made.len);
    s->body = (struct upload_body){.source = &s->source, .length = UINT64_MAX};
    struct upload_ref ref = {s->repo, slice_from_cstr(s->uuid)};
    return upload_append(f, s->registry, ref, &s->body, &s->offset);
}

static void on_session_end(void *data, enum result outcome)
{
    struct session *s = data;
    s->is_over = true;
    s->outcome = outcome;
}

static const struct flow_step session_steps[] = {
    {"create session", create_session},
    {"fill session", fill_session},
};
static const struct flow_program session_program = {.name = "race_session", FLOW_STEPS(session_steps)};

void race_op_prepare(struct race_op *op, struct race_world *world)
{
    struct session s = {.world = world,
                        .registry = world->registries[op->replica],
                        .repo = {world->content.repos[op->repo]},
                        .source = {bring_bytes},
                        .bytes = world->content.blobs[op->item],
                        .uuid = op->uuid};
    flow_start(flow_new(world->loop), &session_program, &s, on_session_end, &s);
    await_flag(world->loop, &s.is_over);
    RACE_MUST(s.outcome == OK);
}

/* ---- chosen at random ---- */

static const uint8_t weights[RACE_THEMES][RACE_KINDS] = {
    [RACE_THEME_ALL] = {30, 5, 6, 18, 11, 8, 4, 9, 4, 6, 6, 4},
    [RACE_THEME_TAG] = {45, 0, 0, 12, 0, 10, 0, 20, 0, 10, 2, 1},
    [RACE_THEME_LAYERS] = {4, 12, 18, 4, 30, 2, 0, 0, 10, 2, 0, 18},
    [RACE_THEME_REFERRERS] = {35, 0, 0, 25, 0, 6, 6, 0, 0, 0, 28, 0},
};

static enum race_kind choose_kind(struct dice *dice, unsigned theme)
{
    unsigned all = 0;
    for (unsigned i = 0; i < RACE_KINDS; i++)
        all += weights[theme][i];
    unsigned left = dice_below(dice, all);
    unsigned kind = 0;
    while (left >= weights[theme][kind])
        left -= weights[theme][kind++];
    return (enum race_kind)kind;
}

void race_world_choose_theme(struct race_world *world)
{
    world->theme = dice_chance(&world->dice, 40) ? 0 : dice_below(&world->dice, RACE_THEMES);
    world->focus = world->theme == RACE_THEME_REFERRERS ? RACE_REFERRER : dice_below(&world->dice, RACE_MANIFESTS);
    world->focus_repo = dice_below(&world->dice, RACE_REPOS);
}

static struct race_condition choose_condition(struct dice *dice)
{
    struct race_condition condition = {.is_given = true, .is_any = dice_chance(dice, 40)};
    if (!condition.is_any)
        condition.manifests = 1 + dice_below(dice, (1u << RACE_MANIFESTS) - 1);
    return condition;
}

static unsigned choose_tag(struct dice *dice)
{
    return dice_chance(dice, 15) ? RACE_TAGS - 1 : dice_chance(dice, 70) ? 0 : 1;
}

static void choose_put(struct race_op *op, struct dice *dice, bool is_about_a_tag)
{
    op->by_digest = dice_chance(dice, is_about_a_tag ? 10 : 30);
    op->tags = 1u << choose_tag(dice);
    if (op->by_digest)
        op->tags = dice_below(dice, 1u << RACE_TAGS);
    unsigned conditions = dice_below(dice, is_about_a_tag ? 75 : 150);
    if (conditions < 35)
        op->if_match = choose_condition(dice);
    if (conditions >= 30 && conditions < 60)
        op->if_none_match = choose_condition(dice);
}

/* Most are about one manifest, and what it names, and one tag: so they meet. */
static unsigned choose_manifest(const struct race_world *world, struct dice *dice, enum race_kind kind)
{
    unsigned focus = world->focus;
    if (dice_chance(dice, world->theme == RACE_THEME_TAG ? 60 : 35)) /* a tag moves between them */
        return dice_below(dice, RACE_MANIFESTS);
    if (kind == RACE_MANIFEST_DELETE && focus == RACE_INDEX && dice_chance(dice, 50))
        return RACE_SUBJECT;
    return focus;
}

void race_op_choose(struct race_op *op, struct race_world *world)
{
    struct dice *dice = &world->dice;
    *op = (struct race_op){.kind = choose_kind(dice, world->theme)};
    op->replica = dice_below(dice, world->replicas);
    op->repo = dice_chance(dice, 85) ? world->focus_repo : 1 - world->focus_repo;
    bool is_of_manifest =
        op->kind == RACE_MANIFEST_PUT || op->kind == RACE_MANIFEST_DELETE || op->kind == RACE_MANIFEST_FIND;
    bool is_of_blob = op->kind == RACE_BLOB_COMMIT || op->kind == RACE_BLOB_MOUNT || op->kind == RACE_BLOB_DELETE ||
                      op->kind == RACE_BLOB_FIND;
    op->item = is_of_manifest ? choose_manifest(world, dice, op->kind)
               : is_of_blob   ? dice_below(dice, RACE_BLOBS)
                              : choose_tag(dice);
    if (op->kind == RACE_MANIFEST_PUT)
        choose_put(op, dice, world->theme == RACE_THEME_TAG);
    if (op->kind == RACE_BLOB_COMMIT)
        race_op_prepare(op, world);
}

/* ---- told ---- */

static const char *const kind_names[RACE_KINDS] = {
    "manifest_put",  "blob_commit", "blob_mount", "manifest_delete", "blob_delete",   "tag_delete",
    "manifest_find", "tag_find",    "blob_find",  "tag_list",        "referrer_list", "repository_list",
};

const char *race_kind_name(enum race_kind kind)
{
    return kind_names[kind];
}

static struct slice condition_name(const char *name, const struct race_condition *condition, struct arena *arena)
{
    if (!condition->is_given)
        return SLICE_EMPTY;
    if (condition->is_any)
        return arena_format(arena, " %s *", name);
    return arena_format(arena, " %s %x", name, condition->manifests);
}

struct slice race_op_name(const struct race_op *op, const struct race_content *content, struct arena *arena)
{
    struct slice more = SLICE_EMPTY;
    if (op->kind == RACE_MANIFEST_PUT)
        more = arena_format(arena, " %s tags %x%.*s%.*s", op->by_digest ? "by digest," : "by tag,", op->tags,
                            SLICE_ARG(condition_name("If-Match", &op->if_match, arena)),
                            SLICE_ARG(condition_name("If-None-Match", &op->if_none_match, arena)));
    return arena_format(arena, "at %u: %s %.*s %u%.*s: %s%s", op->replica, race_kind_name(op->kind),
                        SLICE_ARG(content->repos[op->repo]), op->item, SLICE_ARG(more),
                        op->is_over ? result_name(op->outcome) : "under way", op->is_cancelled ? " (cancelled)" : "");
}

/* ---- run ---- */

static struct manifest_condition condition_of(struct race_op *op, const struct race_condition *condition,
                                              struct digest *digests)
{
    struct manifest_condition given = {.is_given = condition->is_given, .is_any = condition->is_any};
    for (unsigned m = 0; m < RACE_MANIFESTS; m++)
        if ((condition->manifests >> m & 1u) != 0)
            digests[given.count++] = op->world->content.manifest_digests[m];
    given.digests = digests;
    return given;
}

static enum flow_next put(struct flow *f, struct race_op *op, struct repo_name repo)
{
    const struct race_content *c = &op->world->content;
    size_t count = 0;
    for (unsigned t = 0; t < RACE_TAGS; t++)
        if ((op->tags >> t & 1u) != 0)
            op->names[count++] = (struct tag){c->tags[t]};
    op->put = (struct manifest_put){
        .repo = repo,
        .if_match = condition_of(op, &op->if_match, op->matches[0]),
        .if_none_match = condition_of(op, &op->if_none_match, op->matches[1]),
        .content_type = op->item == RACE_INDEX ? SLICE(INDEX_TYPE) : SLICE(IMAGE_TYPE),
        .bytes = c->manifests[op->item],
    };
    if (op->by_digest) {
        op->put.reference = (struct reference){.is_digest = true, .digest = c->manifest_digests[op->item]};
        op->put.tags = op->names;
        op->put.tag_count = count;
    } else {
        op->put.reference = (struct reference){.tag = op->names[0]};
    }
    return manifest_put(f, op->world->registries[op->replica], &op->put);
}

static enum flow_next find(struct flow *f, struct race_op *op, struct repo_name repo)
{
    const struct race_content *c = &op->world->content;
    if (op->kind == RACE_MANIFEST_FIND)
        op->reference = (struct reference){.is_digest = true, .digest = c->manifest_digests[op->item]};
    else
        op->reference = (struct reference){.tag = {c->tags[op->item]}};
    return manifest_find(f, op->world->registries[op->replica], repo, &op->reference, &op->view);
}

static enum flow_next run_op(struct flow *f)
{
    struct race_op *op = flow_owner(f);
    const struct race_content *c = &op->world->content;
    struct registry *registry = op->world->registries[op->replica];
    struct repo_name repo = {c->repos[op->repo]};
    switch (op->kind) {
    case RACE_MANIFEST_PUT:
        return put(f, op, repo);
    case RACE_BLOB_COMMIT:
        return upload_commit(f, registry, (struct upload_ref){repo, slice_from_cstr(op->uuid)}, NULL,
                             &c->blob_digests[op->item], &op->offset);
    case RACE_BLOB_MOUNT:
        return blob_mount(f, registry, repo, (struct repo_name){c->repos[1 - op->repo]}, &c->blob_digests[op->item]);
    case RACE_MANIFEST_DELETE:
        return manifest_delete(f, registry, repo, &c->manifest_digests[op->item], &op->by_digest_of);
    case RACE_BLOB_DELETE:
        return blob_delete(f, registry, repo, &c->blob_digests[op->item], &op->by_digest_of);
    case RACE_TAG_DELETE:
        return tag_delete(f, registry, repo, (struct tag){c->tags[op->item]});
    case RACE_MANIFEST_FIND:
    case RACE_TAG_FIND:
        return find(f, op, repo);
    case RACE_BLOB_FIND:
        return blob_find(f, registry, repo, &c->blob_digests[op->item], &op->info);
    case RACE_TAG_LIST:
        return tag_list(f, registry, repo, SLICE_EMPTY, 100, &op->tag_page);
    case RACE_REFERRER_LIST:
        return referrer_list(f, registry, repo, &c->manifest_digests[RACE_SUBJECT], SLICE_EMPTY, SLICE_EMPTY, 100,
                             &op->referrer_page);
    case RACE_REPOSITORY_LIST:
        return repository_list(f, registry, SLICE_EMPTY, 100, &op->repository_page);
    case RACE_KINDS:
        break;
    }
    return FLOW_NEXT;
}

/* ---- what it answered; the arena that this is in goes at once ---- */

static unsigned find_digest(const struct digest *digests, unsigned count, const struct digest *digest)
{
    for (unsigned i = 0; i < count; i++)
        if (digest_equal(&digests[i], digest))
            return i;
    abort();
}

static unsigned find_name(const struct slice *names, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++)
        if (slice_equal(names[i], name))
            return i;
    abort();
}

static void take_found(struct race_op *op)
{
    const struct race_content *c = &op->world->content;
    if (op->kind == RACE_MANIFEST_FIND || op->kind == RACE_TAG_FIND) {
        unsigned m = find_digest(c->manifest_digests, RACE_MANIFESTS, &op->view.digest);
        RACE_MUST(slice_equal(op->view.bytes, c->manifests[m]));
        op->found = 1 + m;
    } else if (op->kind == RACE_BLOB_FIND) {
        RACE_MUST(op->info.size == c->blobs[op->item].len);
        op->found = 1;
    }
}

static void take_list(struct race_op *op, size_t i, struct slice text, unsigned member)
{
    if (i == 0)
        strbuf_init(&op->text, 1u << 16);
    strbuf_append(&op->text, text);
    strbuf_append_char(&op->text, ' ');
    op->found |= member;
}

static void take_lists(struct race_op *op)
{
    const struct race_content *c = &op->world->content;
    for (size_t i = 0; op->kind == RACE_TAG_LIST && i < op->tag_page.count; i++)
        take_list(op, i, op->tag_page.tags[i], 1u << find_name(c->tags, RACE_TAGS, op->tag_page.tags[i]));
    for (size_t i = 0; op->kind == RACE_REPOSITORY_LIST && i < op->repository_page.count; i++) {
        struct slice name = op->repository_page.names[i].text;
        take_list(op, i, name, 1u << find_name(c->repos, RACE_REPOS, name));
    }
    for (size_t i = 0; op->kind == RACE_REFERRER_LIST && i < op->referrer_page.count; i++) {
        struct slice descriptor = op->referrer_page.descriptors[i];
        take_list(op, i, descriptor, slice_equal(descriptor, c->descriptor) ? 1 : 0);
    }
}

static void take_failure(struct race_op *op)
{
    const struct race_content *c = &op->world->content;
    bool is_delete = op->kind == RACE_MANIFEST_DELETE || op->kind == RACE_BLOB_DELETE;
    if (op->outcome == CONFLICT && is_delete)
        op->by = find_digest(c->manifest_digests, RACE_MANIFESTS, &op->by_digest_of);
    for (size_t i = 0; op->kind == RACE_MANIFEST_PUT && op->outcome == NOT_FOUND && i < op->put.missing_count; i++)
        op->missing |=
            1u << (c->children[op->item] != 0 ? find_digest(c->manifest_digests, RACE_MANIFESTS, &op->put.missing[i])
                                              : find_digest(c->blob_digests, RACE_BLOBS, &op->put.missing[i]));
}

static void on_op_end(void *data, enum result outcome)
{
    struct race_op *op = data;
    op->is_over = true;
    op->outcome = outcome;
    op->ended = ++op->world->moments;
    if (outcome == OK) {
        take_found(op);
        take_lists(op);
    } else {
        take_failure(op);
    }
    manifest_view_release(&op->view);
}

static const struct flow_step op_steps[] = {{"run", run_op}};
static const struct flow_program op_program = {.name = "race", FLOW_STEPS(op_steps)};

void race_op_begin(struct race_op *op, struct race_world *world)
{
    op->world = world;
    op->is_begun = true;
    op->begun = ++world->moments;
    op->flow = flow_new(world->loop);
    flow_start(op->flow, &op_program, op, on_op_end, op);
}

enum result race_op_run(struct race_op *op, struct race_world *world)
{
    race_op_begin(op, world);
    for (int i = 0; i < TURNS_MAX && !(op->is_over && world->background == 0); i++)
        loop_run_once(world->loop, 0);
    if (op->is_over && world->background == 0)
        return op->outcome;
    strbuf_append_format(&world->wrong, "%s waits for something that never comes\n", race_kind_name(op->kind));
    return PENDING;
}

void race_op_done(struct race_op *op)
{
    strbuf_done(&op->text);
}
