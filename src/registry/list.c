/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists: folders of the store read whole, and the lists of the index, which are read from the store when they are cold.
 * One flow of the process fills a list, the others wait for it: a cold list that a hundred clients ask for is read
 * once. While another replica fills it they wait a while, too; not for ever, as it may be dead.
 */
#include "content_int.h"

#include <stdlib.h>

#define FOLDER_PAGE 100000u /* as many as the store gives at a time */
#define OTHERS_FILL_MS 5000u
#define ASK_EVERY_MS 50u

/* ---- folders ---- */

static void take_names(struct folder_list *list)
{
    size_t wanted = list->count + list->listing.count;
    if (wanted > list->capacity) {
        list->capacity = wanted > 2 * list->capacity ? wanted : 2 * list->capacity;
        list->names = xrealloc(list->names, list->capacity * sizeof(list->names[0]));
    }
    for (size_t i = 0; i < list->listing.count; i++)
        if (list->listing.entries[i].is_folder == !list->wants_objects)
            list->names[list->count++] = list->listing.entries[i].name;
}

enum flow_next registry_int_list_folder(struct flow *f, struct folder_list *list)
{
    struct slice after = SLICE_EMPTY;
    if (list->is_asked) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        take_names(list);
        after = list->listing.next;
        if (after.len == 0)
            return FLOW_NEXT;
    }
    list->is_asked = true;
    memset(&list->listing, 0, sizeof(list->listing));
    return flow_await_again(f, storage_list(list->registry->storage, list->folder, after, FOLDER_PAGE, flow_arena(f),
                                            &list->listing, flow_done(f)));
}

struct repository_find {
    struct registry *registry;
    struct repo_name repo;
    struct folder_list list;
};

static enum flow_next list_repository(struct flow *f)
{
    struct repository_find *op = flow_owner(f);
    return registry_int_list_folder(f, &op->list);
}

static enum flow_next judge_repository(struct flow *f)
{
    const struct repository_find *op = flow_owner(f);
    for (size_t i = 0; i < op->list.count; i++)
        if (registry_int_makes_a_repository(op->list.names[i]))
            return FLOW_NEXT;
    return flow_fail(f, NOT_FOUND);
}

static void free_repository(void *owner)
{
    struct repository_find *op = owner;
    free(op->list.names);
}

static const struct flow_step repository_steps[] = {
    {"list repository", list_repository},
    {"judge repository", judge_repository},
};
static const struct flow_program repository_program = {
    .name = "find_repository",
    FLOW_STEPS(repository_steps),
    .dispose = free_repository,
};

bool registry_int_makes_a_repository(struct slice folder)
{
    return slice_equal(folder, SLICE("_manifests")) || slice_equal(folder, SLICE("_layers"));
}

enum flow_next registry_int_find_repository(struct flow *f, struct registry *registry, struct repo_name repo)
{
    struct repository_find *op = ARENA_NEW(flow_arena(f), struct repository_find);
    op->list.registry = registry;
    op->list.folder = layout_repository_folder(flow_arena(f), repo);
    return flow_call(f, &repository_program, op);
}

/* ---- lists of the index ---- */

void registry_int_list_add(struct list_read *read, struct slice name, struct slice data)
{
    if (read->filled_count == read->filled_capacity) {
        read->filled_capacity = read->filled_capacity == 0 ? 64 : 2 * read->filled_capacity;
        read->filled = xrealloc(read->filled, read->filled_capacity * sizeof(read->filled[0]));
    }
    read->filled[read->filled_count++] = (struct index_member){name, data};
}

/* OK: it is in op->page. The lease is asked for by whoever has become the filler. */
static enum flow_next ask(struct flow *f, index_lease *ret_lease)
{
    struct list_read *op = flow_owner(f);
    if (op->ask.state == PENDING_IDLE) {
        struct done done = registry_int_pending_done(&op->ask, &op->gate, f);
        registry_int_pending_started(&op->ask, index_list_read(op->registry->index, op->key, op->after, op->limit,
                                                               flow_arena(f), &op->page, ret_lease, done));
    }
    if (op->ask.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &op->gate);
    op->ask.state = PENDING_IDLE;
    return op->ask.result == OK ? FLOW_RETURN : FLOW_NEXT;
}

static enum flow_next ask_index(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    op->asked_ms = clock_monotonic_ms(op->registry->clock);
    return ask(f, NULL);
}

/* No tag or digest has a blank. */
static enum flow_next become_the_filler(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    if (op->single.registry == NULL) {
        op->lock_name = arena_format(flow_arena(f), "list %d %.*s", (int)op->key.kind, SLICE_ARG(op->key.name));
        op->single.registry = op->registry;
        op->single.lock = (struct name_lock){
            .repo = op->key.repo, .names = &op->lock_name, .count = 1, .is_exclusive = true, .is_nested = true};
    }
    return registry_int_hold(f, &op->single);
}

/* While another replica is at it: until it is through, or should have been since this was first asked. */
static enum flow_next ask_again(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    enum flow_next next = ask(f, &op->lease);
    if (next != FLOW_NEXT)
        return next;
    bool is_late = clock_monotonic_ms(op->registry->clock) - op->asked_ms >= OTHERS_FILL_MS;
    if (op->ask.result == BUSY && !is_late)
        return flow_await_again(f, registry_int_pause(&op->pause, ASK_EVERY_MS, flow_done(f)));
    if (op->ask.result != NOT_FOUND)
        op->lease = 0; /* the store answers, and the index is not told */
    return FLOW_NEXT;
}

static enum flow_next read_store(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    return op->fill(f, op);
}

static int compare_members(const void *left, const void *right)
{
    return slice_compare(((const struct index_member *)left)->name, ((const struct index_member *)right)->name);
}

static enum flow_next sort_members(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    if (op->filled_count > 1)
        qsort(op->filled, op->filled_count, sizeof(op->filled[0]), compare_members);
    size_t kept = 0;
    for (size_t i = 0; i < op->filled_count; i++)
        if (kept == 0 || !slice_equal(op->filled[kept - 1].name, op->filled[i].name))
            op->filled[kept++] = op->filled[i];
    op->filled_count = kept;
    return FLOW_NEXT;
}

static enum flow_next fill_index(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    if (op->lease == 0 || op->stays_cold)
        return FLOW_NEXT;
    index_lease lease = op->lease;
    op->lease = 0;
    struct done done = registry_int_pending_done(&op->tell, &op->gate, f);
    registry_int_pending_started(
        &op->tell, index_list_fill(op->registry->index, op->key, op->filled, op->filled_count, lease, done));
    return FLOW_NEXT;
}

/* It borrows what was read. */
static enum flow_next await_fill(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    return op->tell.state == PENDING_RUNNING ? registry_int_gate_wait(f, &op->gate) : FLOW_NEXT;
}

/* From what was just read, not from the index, which need not have kept it. */
static enum flow_next cut_page(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    size_t first = 0;
    size_t past = op->filled_count;
    while (first < past) {
        size_t middle = first + (past - first) / 2;
        if (slice_compare(op->filled[middle].name, op->after) > 0)
            past = middle;
        else
            first = middle + 1;
    }
    size_t left = op->filled_count - first;
    size_t count = left < op->limit ? left : op->limit;
    op->page = (struct index_list_page){.count = count, .has_more = count < left};
    op->page.members = ARENA_ARRAY(flow_arena(f), struct index_member, count + 1);
    if (count > 0)
        memcpy(op->page.members, op->filled + first, count * sizeof(op->page.members[0]));
    return FLOW_NEXT;
}

static enum flow_next settle_questions(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    bool is_running = op->ask.state == PENDING_RUNNING || op->tell.state == PENDING_RUNNING;
    return is_running ? registry_int_gate_wait(f, &op->gate) : FLOW_NEXT;
}

static enum flow_next give_back(struct flow *f)
{
    const struct list_read *op = flow_owner(f);
    return flow_await_any(f, index_list_give_back(op->registry->index, op->key, op->lease, flow_done(f)));
}

static enum flow_next let_others(struct flow *f)
{
    struct list_read *op = flow_owner(f);
    return registry_int_let_go(f, &op->single);
}

static void free_filled(void *owner)
{
    struct list_read *op = owner;
    free(op->filled);
}

static const struct flow_step list_read_steps[] = {
    {"ask index", ask_index},       {"become the filler", become_the_filler},
    {"ask again", ask_again},       {"read store", read_store},
    {"sort members", sort_members}, {"fill index", fill_index},
    {"await fill", await_fill},     {"cut page", cut_page},
};
static const struct flow_step list_read_finally[] = {
    {"settle questions", settle_questions},
    {"give back", give_back},
    {"let others", let_others},
};
const struct flow_program registry_int_list_read_program = {
    .name = "list_read",
    FLOW_STEPS(list_read_steps),
    FLOW_FINALLY(list_read_finally),
    .dispose = free_filled,
};
