/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository lets go of a blob, unless one of its manifests names it; and gets one that another repository has. Only
 * links come and go: the bytes are garbage collection's.
 */
#include "content_int.h"

struct blob_delete_op {
    struct references_find find;
    struct slice name;
    struct digest *ret_by;
    struct held_lock held;
    struct storage_object link;
};

static enum flow_next hold_blob(struct flow *f)
{
    struct blob_delete_op *op = flow_owner(f);
    return registry_int_hold(f, &op->held);
}

static enum flow_next look_for_link(struct flow *f)
{
    struct blob_delete_op *op = flow_owner(f);
    struct slice path = layout_layer_link(flow_arena(f), op->find.repo, &op->find.digest);
    return flow_await(f, storage_stat(op->find.registry->storage, path, &op->link, flow_done(f)));
}

static enum flow_next look_for_references(struct flow *f)
{
    struct blob_delete_op *op = flow_owner(f);
    return registry_int_find_references(f, &op->find);
}

static enum flow_next unlink_blob(struct flow *f)
{
    struct blob_delete_op *op = flow_owner(f);
    if (op->find.is_found) {
        *op->ret_by = op->find.by;
        return flow_fail(f, CONFLICT);
    }
    return registry_int_unlink_digest(f, &op->held, INDEX_LAYER, &op->find.digest);
}

static enum flow_next let_go_of_blob(struct flow *f)
{
    struct blob_delete_op *op = flow_owner(f);
    return registry_int_let_go(f, &op->held);
}

static const struct flow_step blob_delete_steps[] = {
    {"hold blob", hold_blob},
    {"look for link", look_for_link},
    {"look for references", look_for_references},
    {"unlink blob", unlink_blob},
};
static const struct flow_step blob_delete_finally[] = {{"let go of blob", let_go_of_blob}};
static const struct flow_program blob_delete_program = {
    .name = "blob_delete",
    FLOW_STEPS(blob_delete_steps),
    FLOW_FINALLY(blob_delete_finally),
};

enum flow_next blob_delete(struct flow *f, struct registry *registry, struct repo_name repo,
                           const struct digest *digest, struct digest *ret_by)
{
    struct blob_delete_op *op = ARENA_NEW(flow_arena(f), struct blob_delete_op);
    op->find.registry = registry;
    op->find.repo = repo;
    op->find.digest = *digest;
    op->name = digest_text(digest, flow_arena(f));
    op->ret_by = ret_by;
    op->held.registry = registry;
    op->held.reaches_replicas = true;
    op->held.lock = (struct name_lock){.repo = repo, .names = &op->name, .count = 1, .is_exclusive = true};
    return flow_call(f, &blob_delete_program, op);
}

/* ---- mount ---- */

struct blob_mount_op {
    struct registry *registry;
    struct repo_name repo;
    struct repo_name from;
    struct digest digest;
    struct blob_info source;
};

static enum flow_next find_source(struct flow *f)
{
    struct blob_mount_op *op = flow_owner(f);
    return blob_find(f, op->registry, op->from, &op->digest, &op->source);
}

/* What its link names may be another algorithm's digest: the new link says so too. */
static enum flow_next link_blob(struct flow *f)
{
    struct blob_mount_op *op = flow_owner(f);
    return registry_int_link_digest(f, op->registry, NULL, INDEX_LAYER, op->repo, &op->digest, &op->source.digest);
}

static enum flow_next verify_stands(struct flow *f)
{
    struct blob_mount_op *op = flow_owner(f);
    return registry_int_verify_stands(f, op->registry, &op->source.digest);
}

static const struct flow_step blob_mount_steps[] = {
    {"find source", find_source},
    {"link blob", link_blob},
    {"verify stands", verify_stands},
};
static const struct flow_program blob_mount_program = {.name = "blob_mount", FLOW_STEPS(blob_mount_steps)};

enum flow_next blob_mount(struct flow *f, struct registry *registry, struct repo_name repo, struct repo_name from,
                          const struct digest *digest)
{
    struct blob_mount_op *op = ARENA_NEW(flow_arena(f), struct blob_mount_op);
    op->registry = registry;
    op->repo = repo;
    op->from = from;
    op->digest = *digest;
    return flow_call(f, &blob_mount_program, op);
}
