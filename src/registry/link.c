/* SPDX-License-Identifier: Apache-2.0
 *
 * Link files: "<algorithm>:<hex>" of what a name in a repository stands for. Looked up through the index and read from
 * the store on a miss. An empty or broken link counts as absent.
 */
#include "registry_int.h"

enum result registry_int_link_parse(struct slice bytes, struct digest *ret_target)
{
    while (bytes.len > 0 && (bytes.ptr[bytes.len - 1] == '\n' || bytes.ptr[bytes.len - 1] == '\r'))
        bytes.len--;
    return digest_parse(slice_trim(bytes), ret_target) == OK ? OK : NOT_FOUND;
}

/* ---- looking up ---- */

void registry_int_lookup_digest(struct lookup *l, struct registry *registry, enum index_kind kind,
                                struct repo_name repo, const struct digest *digest)
{
    l->registry = registry;
    l->digest = *digest;
    l->key = (struct index_key){.kind = kind, .repo = repo, .name = {l->name, digest_format(digest, l->name)}};
    l->lease = 0;
    l->ask.state = PENDING_IDLE;
    l->links_tried = 0;
}

void registry_int_lookup_tag(struct lookup *l, struct registry *registry, struct repo_name repo, struct tag tag)
{
    l->registry = registry;
    l->key = (struct index_key){.kind = INDEX_TAG, .repo = repo, .name = tag.text};
    l->lease = 0;
    l->ask.state = PENDING_IDLE;
    l->links_tried = 0;
}

bool registry_int_lookup_is_known(struct lookup *l, struct flow *f)
{
    struct done done = registry_int_pending_done(&l->ask, &l->gate, f);
    registry_int_pending_started(&l->ask, index_read(l->registry->index, l->key, &l->value, &l->lease, done));
    return l->ask.state == PENDING_OVER && l->ask.result == OK;
}

void registry_int_lookup_take(struct lookup *l, const struct index_found *found)
{
    l->ask.state = PENDING_OVER;
    l->ask.result = found->result;
    l->value = found->value;
    l->lease = found->lease;
}

static enum flow_next ask_index(struct flow *f)
{
    struct lookup *l = flow_owner(f);
    if (l->ask.state == PENDING_IDLE)
        (void)registry_int_lookup_is_known(l, f);
    if (l->ask.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &l->gate);
    if (l->ask.result == OK)
        return FLOW_RETURN;
    if (l->ask.result != NOT_FOUND)
        l->lease = 0; /* the index is out of reach: the store answers */
    return FLOW_NEXT;
}

/* The link to try next; false when there is none left. Manifests of very old folders are linked under _layers only. */
static bool next_link(struct lookup *l, struct arena *arena, struct slice *ret_path)
{
    switch (l->key.kind) {
    case INDEX_LAYER:
        *ret_path = layout_layer_link(arena, l->key.repo, &l->digest);
        return l->links_tried == 0;
    case INDEX_REVISION:
        *ret_path = l->links_tried == 0 ? layout_revision_link(arena, l->key.repo, &l->digest)
                                        : layout_layer_link(arena, l->key.repo, &l->digest);
        return l->links_tried <= 1;
    case INDEX_TAG:
        *ret_path = layout_tag_current(arena, l->key.repo, (struct tag){l->key.name});
        return l->links_tried == 0;
    }
    return false;
}

/* Another algorithm's digest may be of the same bytes; another digest of the same algorithm is of others. */
static bool may_lead_there(const struct lookup *l)
{
    return l->key.kind == INDEX_TAG || l->value.digest.algorithm != l->digest.algorithm ||
           digest_equal(&l->value.digest, &l->digest);
}

static enum flow_next read_link(struct flow *f)
{
    struct lookup *l = flow_owner(f);
    if (l->links_tried > 0) {
        enum result r = flow_result(f);
        if (r == OK && registry_int_link_parse(l->bytes, &l->value.digest) == OK && may_lead_there(l))
            return FLOW_NEXT;
        if (r == OK || r == TOO_LARGE)
            log_event(l->registry->log, LOG_LEVEL_WARN, "link.broken", FIELD_STR("path", l->path));
        if (r != OK && r != NOT_FOUND && r != TOO_LARGE)
            return flow_fail(f, r);
    }
    if (!next_link(l, flow_arena(f), &l->path))
        return flow_fail(f, NOT_FOUND);
    l->links_tried++;
    return flow_await_again(
        f, storage_get(l->registry->storage, l->path, LINK_BYTES_MAX, flow_arena(f), &l->bytes, NULL, flow_done(f)));
}

static enum flow_next stat_bytes(struct flow *f)
{
    struct lookup *l = flow_owner(f);
    l->place = (struct blob_place){0};
    if (l->key.kind != INDEX_LAYER)
        return FLOW_NEXT;
    return registry_int_blob_place(f, l->registry, &l->value.digest, &l->place);
}

static enum flow_next fill_index(struct flow *f)
{
    struct lookup *l = flow_owner(f);
    l->value.size = l->place.size;
    registry_int_place_keep(&l->place, l->value.place);
    /* What a second link said is not filled: nobody who removes that link would know of this key. */
    if (l->lease == 0 || l->links_tried > 1)
        return FLOW_RETURN;
    return flow_await_any(f, index_fill(l->registry->index, l->key, &l->value, l->lease, flow_done(f)));
}

enum flow_next registry_int_lookup_settle(struct flow *f, struct lookup *l)
{
    return l->ask.state == PENDING_RUNNING ? registry_int_gate_wait(f, &l->gate) : FLOW_NEXT;
}

static enum flow_next settle_question(struct flow *f)
{
    return registry_int_lookup_settle(f, flow_owner(f));
}

static const struct flow_step lookup_steps[] = {
    {"ask index", ask_index},
    {"read link", read_link},
    {"stat bytes", stat_bytes},
    {"fill index", fill_index},
};
static const struct flow_step lookup_finally[] = {{"settle question", settle_question}};

const struct flow_program registry_int_lookup_program = {
    .name = "lookup",
    FLOW_STEPS(lookup_steps),
    FLOW_FINALLY(lookup_finally),
};

/* ---- publish, then verify ---- */

struct verify_stands {
    struct registry *registry;
    struct digest digest;
    struct blob_place place;
};

static enum flow_next find_target(struct flow *f)
{
    struct verify_stands *op = flow_owner(f);
    return flow_any(f, registry_int_blob_place(f, op->registry, &op->digest, &op->place));
}

static enum flow_next judge_target(struct flow *f)
{
    enum result r = flow_result(f);
    if (r == OK)
        return FLOW_NEXT;
    return flow_fail(f, r == NOT_FOUND ? UNAVAILABLE : r);
}

static const struct flow_step verify_stands_steps[] = {
    {"find target", find_target},
    {"judge target", judge_target},
};
static const struct flow_program verify_stands_program = {.name = "verify_stands", FLOW_STEPS(verify_stands_steps)};

enum flow_next registry_int_verify_stands(struct flow *f, struct registry *registry, const struct digest *digest)
{
    struct verify_stands *op = ARENA_NEW(flow_arena(f), struct verify_stands);
    op->registry = registry;
    op->digest = *digest;
    return flow_call(f, &verify_stands_program, op);
}
