/* SPDX-License-Identifier: Apache-2.0
 *
 * Who in a repository names a digest: its manifests are read, several at a time, until one does. Most come from the
 * cache of manifests, and most of those are done with after one search for the digest's text.
 */
#include "content_int.h"

#include <stdlib.h>

struct references_op {
    struct fan fan;
    struct references_find *find;
    char text[DIGEST_TEXT_MAX];
    struct slice hex;
    struct folder_list lists[2]; /* by algorithm */
    size_t list_at;
    size_t begun;
};

static const enum digest_algorithm algorithms[] = {DIGEST_SHA256, DIGEST_SHA512};

bool registry_int_is_unreadable(enum result r)
{
    return r == NOT_FOUND || r == UNSUPPORTED || r == CORRUPT;
}

/* ---- one manifest, in a flow of its own ---- */

struct candidate {
    struct references_op *op;
    struct reference reference;
    struct manifest_view view;
};

static enum flow_next read_manifest(struct flow *f)
{
    struct candidate *c = flow_owner(f);
    const struct references_find *find = c->op->find;
    return flow_any(f, manifest_find(f, find->registry, find->repo, &c->reference, &c->view));
}

static bool descriptors_name(const struct manifest *manifest, const struct digest *digest)
{
    if (manifest->has_config && digest_equal(&manifest->config.digest, digest))
        return true;
    for (size_t i = 0; i < manifest->child_count; i++)
        if (digest_equal(&manifest->children[i].digest, digest))
            return true;
    return false;
}

static bool names_it(const struct candidate *c, struct arena *arena)
{
    const struct references_find *find = c->op->find;
    struct slice bytes = c->view.bytes;
    /* An escape could spell the digest in another way. */
    bool may_name = memmem(bytes.ptr, bytes.len, c->op->hex.ptr, c->op->hex.len) != NULL ||
                    memchr(bytes.ptr, '\\', bytes.len) != NULL;
    if (!may_name)
        return false;
    struct manifest manifest;
    struct slice why;
    if (manifest_parse(bytes, c->view.media_type, arena, &manifest, &why) != OK)
        return true; /* an older registry took it: what it means is not for us to say */
    const struct config *config = find->registry->config;
    bool is_index = manifest.kind == MANIFEST_INDEX;
    if (is_index ? !config->validation.children : !config->validation.layers)
        return false;
    return (is_index || !find->is_child) && descriptors_name(&manifest, &find->digest);
}

static enum flow_next judge_manifest(struct flow *f)
{
    struct candidate *c = flow_owner(f);
    struct references_find *find = c->op->find;
    enum result r = flow_result(f);
    if (registry_int_is_unreadable(r)) /* it keeps nothing alive */
        return FLOW_NEXT;
    if (r != OK)
        return flow_fail(f, r);
    if (!names_it(c, flow_arena(f)))
        return FLOW_NEXT;
    find->is_found = true;
    find->by = c->reference.digest;
    c->op->fan.is_enough = true;
    return FLOW_NEXT;
}

static void release_candidate(void *owner)
{
    struct candidate *c = owner;
    manifest_view_release(&c->view);
}

static const struct flow_step candidate_steps[] = {
    {"read manifest", read_manifest},
    {"judge manifest", judge_manifest},
};
static const struct flow_program candidate_program = {
    .name = "reference_candidate",
    FLOW_STEPS(candidate_steps),
    .dispose = release_candidate,
};

/* ---- all of them ---- */

static enum flow_next list_sha256(struct flow *f)
{
    struct references_op *op = flow_owner(f);
    return registry_int_list_folder(f, &op->lists[0]);
}

static enum flow_next list_sha512(struct flow *f)
{
    struct references_op *op = flow_owner(f);
    return registry_int_list_folder(f, &op->lists[1]);
}

static bool parse_folder(enum digest_algorithm algorithm, struct slice hex, struct digest *ret_digest)
{
    char text[DIGEST_TEXT_MAX];
    struct slice name = digest_algorithm_name(algorithm);
    if (name.len + 1 + hex.len > sizeof(text))
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = ':';
    memcpy(text + name.len + 1, hex.ptr, hex.len);
    return digest_parse(slice_of(text, name.len + 1 + hex.len), ret_digest) == OK;
}

static bool counts(const struct references_find *find, const struct digest *digest)
{
    return !digest_equal(digest, &find->digest) && !(find->has_ignored && digest_equal(digest, &find->ignored));
}

/* The next manifest but the digest itself and what does not count; false at the end. */
static bool find_next(struct references_op *op, struct digest *ret_digest)
{
    while (op->list_at < sizeof(algorithms) / sizeof(algorithms[0])) {
        const struct folder_list *list = &op->lists[op->list_at];
        for (; op->begun < list->count; op->begun++)
            if (parse_folder(algorithms[op->list_at], list->names[op->begun], ret_digest) &&
                counts(op->find, ret_digest))
                return true;
        op->list_at++;
        op->begun = 0;
    }
    return false;
}

static bool has_next(struct fan *fan)
{
    struct digest digest;
    return find_next((struct references_op *)fan, &digest);
}

static const struct flow_program *take_next(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct references_op *op = (struct references_op *)fan;
    struct candidate *c = ARENA_NEW(arena, struct candidate);
    c->op = op;
    c->reference.is_digest = true;
    (void)find_next(op, &c->reference.digest);
    op->begun++;
    *ret_owner = c;
    return &candidate_program;
}

static enum flow_next read_all(struct flow *f)
{
    struct references_op *op = flow_owner(f);
    op->fan.has_next = has_next;
    op->fan.take_next = take_next;
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

static void free_lists(void *owner)
{
    struct references_op *op = owner;
    free(op->lists[0].names);
    free(op->lists[1].names);
}

static const struct flow_step references_steps[] = {
    {"list sha256", list_sha256},
    {"list sha512", list_sha512},
    {"read all", read_all},
};
static const struct flow_program references_program = {
    .name = "references",
    FLOW_STEPS(references_steps),
    .dispose = free_lists,
};

enum flow_next registry_int_find_references(struct flow *f, struct references_find *find)
{
    const struct config *config = find->registry->config;
    find->is_found = false;
    if (!config->validation.children && (find->is_child || !config->validation.layers))
        return FLOW_NEXT;
    struct arena *arena = flow_arena(f);
    struct references_op *op = ARENA_NEW(arena, struct references_op);
    op->find = find;
    struct slice text = {op->text, digest_format(&find->digest, op->text)};
    op->hex = slice_from(text, digest_algorithm_name(find->digest.algorithm).len + 1);
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        op->lists[i].registry = find->registry;
        op->lists[i].folder = layout_revisions_folder(arena, find->repo, algorithms[i]);
    }
    return flow_call(f, &references_program, op);
}
