/* SPDX-License-Identifier: Apache-2.0
 *
 * The repositories of the registry: the index's list of them. When it is cold the tree of repositories is walked,
 * several folders at a time: a folder that has layers or manifests is a repository, any other may have some below it.
 */
#include "content_int.h"

#include <stdlib.h>

struct walk {
    struct fan fan;
    struct list_read *read;
    struct slice *pending; /* malloc'ed: names of folders to look into; the names live in the flow's arena */
    size_t count;
    size_t capacity;
    struct arena *arena;
};

/* One folder, in a flow of its own. */
struct visit {
    struct walk *walk;
    struct slice name; /* empty: the root of all */
    struct folder_list folders;
};

static void push_folder(struct walk *walk, struct slice name)
{
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity == 0 ? 64 : 2 * walk->capacity;
        walk->pending = xrealloc(walk->pending, walk->capacity * sizeof(walk->pending[0]));
    }
    walk->pending[walk->count++] = name;
}

static enum flow_next list_folder(struct flow *f)
{
    struct visit *op = flow_owner(f);
    return registry_int_list_folder(f, &op->folders);
}

/* A name that no repository can have is not looked into. */
static void go_down(struct visit *op, struct slice child)
{
    struct walk *walk = op->walk;
    struct slice name = op->name.len == 0
                            ? arena_copy(walk->arena, child)
                            : arena_format(walk->arena, "%.*s/%.*s", SLICE_ARG(op->name), SLICE_ARG(child));
    struct repo_name repo;
    if (repo_name_parse(name, &repo) == OK)
        push_folder(walk, name);
}

static enum flow_next take_folders(struct flow *f)
{
    struct visit *op = flow_owner(f);
    bool is_repository = false;
    for (size_t i = 0; i < op->folders.count; i++) {
        struct slice child = op->folders.names[i];
        if (registry_int_makes_a_repository(child))
            is_repository = true;
        else if (child.ptr[0] != '_')
            go_down(op, child);
    }
    if (is_repository && op->name.len > 0)
        registry_int_list_add(op->walk->read, op->name, SLICE_EMPTY);
    return FLOW_NEXT;
}

static void free_folders(void *owner)
{
    struct visit *op = owner;
    free(op->folders.names);
}

static const struct flow_step visit_steps[] = {
    {"list folder", list_folder},
    {"take folders", take_folders},
};
static const struct flow_program visit_program = {
    .name = "catalog_visit",
    FLOW_STEPS(visit_steps),
    .dispose = free_folders,
};

static bool has_next_folder(struct fan *fan)
{
    const struct walk *walk = (const struct walk *)fan;
    return walk->count > 0;
}

static const struct flow_program *take_next_folder(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct walk *walk = (struct walk *)fan;
    struct visit *visit = ARENA_NEW(arena, struct visit);
    visit->walk = walk;
    visit->name = walk->pending[--walk->count];
    visit->folders.registry = walk->read->registry;
    visit->folders.folder = visit->name.len == 0 ? layout_repositories_folder()
                                                 : layout_repository_folder(arena, (struct repo_name){visit->name});
    *ret_owner = visit;
    return &visit_program;
}

static enum flow_next walk_folders(struct flow *f)
{
    struct walk *walk = flow_owner(f);
    return flow_call(f, &registry_int_fan_program, &walk->fan);
}

static void free_walk(void *owner)
{
    struct walk *walk = owner;
    free(walk->pending);
}

static const struct flow_step walk_steps[] = {{"walk folders", walk_folders}};
static const struct flow_program walk_program = {
    .name = "catalog_walk",
    FLOW_STEPS(walk_steps),
    .dispose = free_walk,
};

static enum flow_next fill_repositories(struct flow *f, struct list_read *read)
{
    struct walk *walk = ARENA_NEW(flow_arena(f), struct walk);
    walk->fan.has_next = has_next_folder;
    walk->fan.take_next = take_next_folder;
    walk->read = read;
    walk->arena = flow_arena(f);
    push_folder(walk, SLICE_EMPTY);
    return flow_call(f, &walk_program, walk);
}

/* ---- list ---- */

struct repository_list_op {
    struct list_read read;
    struct repository_page *ret_page;
};

static enum flow_next read_repositories(struct flow *f)
{
    struct repository_list_op *op = flow_owner(f);
    return flow_call(f, &registry_int_list_read_program, &op->read);
}

static enum flow_next give_page(struct flow *f)
{
    const struct repository_list_op *op = flow_owner(f);
    const struct index_list_page *found = &op->read.page;
    struct repository_page page = {.count = found->count, .has_more = found->has_more};
    page.names = ARENA_ARRAY(flow_arena(f), struct repo_name, found->count + 1);
    for (size_t i = 0; i < found->count; i++)
        page.names[i] = (struct repo_name){found->members[i].name};
    *op->ret_page = page;
    return FLOW_NEXT;
}

static const struct flow_step repository_list_steps[] = {
    {"read repositories", read_repositories},
    {"give page", give_page},
};
static const struct flow_program repository_list_program = {
    .name = "repository_list",
    FLOW_STEPS(repository_list_steps),
};

enum flow_next repository_list(struct flow *f, struct registry *registry, struct slice last, size_t limit,
                               struct repository_page *ret_page)
{
    struct repository_list_op *op = ARENA_NEW(flow_arena(f), struct repository_list_op);
    op->read.registry = registry;
    op->read.key = (struct index_list_key){.kind = INDEX_LIST_REPOSITORIES};
    op->read.after = last;
    op->read.limit = limit;
    op->read.fill = fill_repositories;
    op->ret_page = ret_page;
    return flow_call(f, &repository_list_program, op);
}
