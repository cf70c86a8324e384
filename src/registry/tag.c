/* SPDX-License-Identifier: Apache-2.0
 *
 * The tags of a repository: the index's list of them, read whole from the store when it is cold. A tag is listed as
 * long as its folder exists, as Docker Registry has it. And the removal of one.
 */
#include "content_int.h"

#include <stdlib.h>

/* ---- what the store has ---- */

struct tags_fill {
    struct list_read *read;
    struct folder_list folders;
};

static enum flow_next list_folders(struct flow *f)
{
    struct tags_fill *op = flow_owner(f);
    return registry_int_list_folder(f, &op->folders);
}

static enum flow_next give_tags(struct flow *f)
{
    struct tags_fill *op = flow_owner(f);
    struct tag tag;
    for (size_t i = 0; i < op->folders.count; i++)
        if (tag_parse(op->folders.names[i], &tag) == OK)
            registry_int_list_add(op->read, tag.text, SLICE_EMPTY);
    return FLOW_NEXT;
}

static void free_folders(void *owner)
{
    struct tags_fill *op = owner;
    free(op->folders.names);
}

static const struct flow_step tags_fill_steps[] = {
    {"list folders", list_folders},
    {"give tags", give_tags},
};
static const struct flow_program tags_fill_program = {
    .name = "tags_fill",
    FLOW_STEPS(tags_fill_steps),
    .dispose = free_folders,
};

static enum flow_next fill_tags(struct flow *f, struct list_read *read)
{
    struct tags_fill *op = ARENA_NEW(flow_arena(f), struct tags_fill);
    op->read = read;
    op->folders.registry = read->registry;
    op->folders.folder = layout_tags_folder(flow_arena(f), read->key.repo);
    return flow_call(f, &tags_fill_program, op);
}

struct list_read *registry_int_tags_read(struct flow *f, struct registry *registry, struct repo_name repo)
{
    struct list_read *read = ARENA_NEW(flow_arena(f), struct list_read);
    read->registry = registry;
    read->key = (struct index_list_key){.kind = INDEX_LIST_TAGS, .repo = repo};
    read->fill = fill_tags;
    return read;
}

/* ---- list ---- */

struct tag_list_op {
    struct list_read *read;
    struct tag_page *ret_page;
};

static enum flow_next read_tags(struct flow *f)
{
    const struct tag_list_op *op = flow_owner(f);
    return flow_call(f, &registry_int_list_read_program, op->read);
}

/* A repository that has manifests without tags, or layers only, has an empty list. */
static enum flow_next look_for_repository(struct flow *f)
{
    const struct tag_list_op *op = flow_owner(f);
    if (op->read->page.count > 0)
        return FLOW_NEXT;
    return registry_int_find_repository(f, op->read->registry, op->read->key.repo);
}

static enum flow_next give_page(struct flow *f)
{
    const struct tag_list_op *op = flow_owner(f);
    const struct index_list_page *found = &op->read->page;
    struct tag_page page = {.count = found->count, .has_more = found->has_more};
    page.tags = ARENA_ARRAY(flow_arena(f), struct slice, found->count + 1);
    for (size_t i = 0; i < found->count; i++)
        page.tags[i] = found->members[i].name;
    *op->ret_page = page;
    return FLOW_NEXT;
}

static const struct flow_step tag_list_steps[] = {
    {"read tags", read_tags},
    {"look for repository", look_for_repository},
    {"give page", give_page},
};
static const struct flow_program tag_list_program = {.name = "tag_list", FLOW_STEPS(tag_list_steps)};

enum flow_next tag_list(struct flow *f, struct registry *registry, struct repo_name repo, struct slice last,
                        size_t limit, struct tag_page *ret_page)
{
    struct tag_list_op *op = ARENA_NEW(flow_arena(f), struct tag_list_op);
    op->read = registry_int_tags_read(f, registry, repo);
    op->read->after = last;
    op->read->limit = limit;
    op->ret_page = ret_page;
    return flow_call(f, &tag_list_program, op);
}

/* ---- delete ---- */

struct tag_delete_op {
    struct registry *registry;
    struct repo_name repo;
    struct tag tag;
    bool is_conditional; /* only if it names `digest` */
    struct digest digest;
    struct held_lock held;
    struct lookup lookup;
};

static enum flow_next hold_tag(struct flow *f)
{
    struct tag_delete_op *op = flow_owner(f);
    return registry_int_hold(f, &op->held);
}

static enum flow_next ask_what_it_names(struct flow *f)
{
    struct tag_delete_op *op = flow_owner(f);
    if (!op->is_conditional)
        return FLOW_NEXT;
    registry_int_lookup_tag(&op->lookup, op->registry, op->repo, op->tag);
    return flow_call(f, &registry_int_lookup_program, &op->lookup);
}

static enum flow_next unlink_tag(struct flow *f)
{
    struct tag_delete_op *op = flow_owner(f);
    if (op->is_conditional && !digest_equal(&op->lookup.value.digest, &op->digest))
        return flow_fail(f, NOT_FOUND);
    return registry_int_unlink_tag(f, &op->held, op->tag);
}

static enum flow_next let_go_of_tag(struct flow *f)
{
    struct tag_delete_op *op = flow_owner(f);
    return registry_int_let_go(f, &op->held);
}

static const struct flow_step tag_delete_steps[] = {
    {"hold tag", hold_tag},
    {"ask what it names", ask_what_it_names},
    {"unlink tag", unlink_tag},
};
static const struct flow_step tag_delete_finally[] = {{"let go of tag", let_go_of_tag}};
static const struct flow_program tag_delete_program = {
    .name = "tag_delete",
    FLOW_STEPS(tag_delete_steps),
    FLOW_FINALLY(tag_delete_finally),
};

static struct tag_delete_op *tag_delete_new(struct flow *f, struct registry *registry, struct repo_name repo,
                                            struct tag tag)
{
    struct tag_delete_op *op = ARENA_NEW(flow_arena(f), struct tag_delete_op);
    op->registry = registry;
    op->repo = repo;
    op->tag = tag;
    op->held.registry = registry;
    op->held.reaches_replicas = true;
    op->held.lock = (struct name_lock){.repo = repo, .names = &op->tag.text, .count = 1, .is_exclusive = true};
    return op;
}

enum flow_next tag_delete(struct flow *f, struct registry *registry, struct repo_name repo, struct tag tag)
{
    return flow_call(f, &tag_delete_program, tag_delete_new(f, registry, repo, tag));
}

enum flow_next registry_int_tag_delete_if(struct flow *f, struct registry *registry, struct repo_name repo,
                                          struct tag tag, const struct digest *digest)
{
    struct tag_delete_op *op = tag_delete_new(f, registry, repo, tag);
    op->is_conditional = true;
    op->digest = *digest;
    op->held.lock.is_nested = true;
    return flow_call(f, &tag_delete_program, op);
}
