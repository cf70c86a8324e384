/* SPDX-License-Identifier: Apache-2.0
 *
 * The tags of a repository: read whole from the store's listing, sorted in byte order (the store's order of prefixes is
 * another one), then cut to the page. A tag is listed as long as its folder exists, as Docker Registry has it.
 */
#include "registry_int.h"

#include <stdlib.h>

#define LIST_LIMIT 1000u

struct tag_list_op {
    struct registry *registry;
    struct repo_name repo;
    struct slice last;
    size_t limit;
    struct tag_page *ret_page;

    struct slice folder;
    struct storage_listing listing;
    bool is_listed;
    struct slice *tags; /* those after `last` */
    size_t count;
    size_t capacity;
    bool has_any;
};

static void add_tag(struct tag_list_op *op, struct slice name)
{
    if (op->count == op->capacity) {
        op->capacity = op->capacity == 0 ? 64 : 2 * op->capacity;
        op->tags = xrealloc(op->tags, op->capacity * sizeof(op->tags[0]));
    }
    op->tags[op->count++] = name;
}

static void take_listing(struct tag_list_op *op)
{
    for (size_t i = 0; i < op->listing.count; i++) {
        const struct storage_entry *entry = &op->listing.entries[i];
        struct tag tag;
        if (!entry->is_folder || tag_parse(entry->name, &tag) != OK)
            continue;
        op->has_any = true;
        if (slice_compare(entry->name, op->last) > 0)
            add_tag(op, entry->name);
    }
}

/* Again for each page of the listing. */
static enum flow_next list_tags(struct flow *f)
{
    struct tag_list_op *op = flow_owner(f);
    struct slice after = SLICE_EMPTY;
    if (op->is_listed) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        take_listing(op);
        after = op->listing.next;
        if (after.len == 0)
            return FLOW_NEXT;
    }
    op->is_listed = true;
    memset(&op->listing, 0, sizeof(op->listing));
    return flow_await_again(f, storage_list(op->registry->storage, op->folder, after, LIST_LIMIT, flow_arena(f),
                                            &op->listing, flow_done(f)));
}

/* A repository that has manifests without tags, or layers only, has an empty list. */
static enum flow_next look_for_repository(struct flow *f)
{
    struct tag_list_op *op = flow_owner(f);
    if (op->has_any)
        return FLOW_NEXT;
    memset(&op->listing, 0, sizeof(op->listing));
    struct slice folder = layout_repository_folder(flow_arena(f), op->repo);
    return flow_await(f, storage_list(op->registry->storage, folder, SLICE_EMPTY, LIST_LIMIT, flow_arena(f),
                                      &op->listing, flow_done(f)));
}

static bool is_repository(const struct storage_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        struct slice name = listing->entries[i].name;
        if (slice_equal(name, SLICE("_manifests")) || slice_equal(name, SLICE("_layers")))
            return true;
    }
    return false;
}

static int compare_tags(const void *left, const void *right)
{
    return slice_compare(*(const struct slice *)left, *(const struct slice *)right);
}

static enum flow_next cut_page(struct flow *f)
{
    struct tag_list_op *op = flow_owner(f);
    if (!op->has_any && !is_repository(&op->listing))
        return flow_fail(f, NOT_FOUND);
    if (op->count > 1)
        qsort(op->tags, op->count, sizeof(op->tags[0]), compare_tags);
    size_t count = op->count < op->limit ? op->count : op->limit;
    struct tag_page page = {.count = count, .has_more = count < op->count};
    page.tags = ARENA_ARRAY(flow_arena(f), struct slice, count + 1);
    if (count > 0)
        memcpy(page.tags, op->tags, count * sizeof(page.tags[0]));
    *op->ret_page = page;
    return FLOW_NEXT;
}

static void dispose_list(void *owner)
{
    struct tag_list_op *op = owner;
    free(op->tags);
}

static const struct flow_step tag_list_steps[] = {
    {"list tags", list_tags},
    {"look for repository", look_for_repository},
    {"cut page", cut_page},
};
static const struct flow_program tag_list_program = {
    .name = "tag_list",
    FLOW_STEPS(tag_list_steps),
    .dispose = dispose_list,
};

enum flow_next tag_list(struct flow *f, struct registry *registry, struct repo_name repo, struct slice last,
                        size_t limit, struct tag_page *ret_page)
{
    struct tag_list_op *op = ARENA_NEW(flow_arena(f), struct tag_list_op);
    op->registry = registry;
    op->repo = repo;
    op->last = last;
    op->limit = limit;
    op->ret_page = ret_page;
    op->folder = layout_tags_folder(flow_arena(f), repo);
    return flow_call(f, &tag_list_program, op);
}
