/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything the index may know, asked for once, so that it is read from the store and filled: for each repository its
 * list of tags, what every tag names, its manifests with the lists of their referrers, and its layers. Repositories are
 * taken in byte order, several at a time.
 */
#include "content_int.h"

#include <stdio.h>
#include <stdlib.h>

#define REPOSITORIES_PAGE 1000u
#define REACH_WITHIN_MS 30000u /* an index that is lost on the way */
#define REACH_EVERY_MS 50u

/* ---- the index can be asked ---- */

struct reach {
    struct registry *registry;
    uint64_t begun_ms;
    struct pause pause;
};

static enum flow_next wait_for_index(struct flow *f)
{
    struct reach *op = flow_owner(f);
    if (index_is_reachable(op->registry->index, flow_loop(f)))
        return FLOW_NEXT;
    if (clock_monotonic_ms(op->registry->clock) - op->begun_ms > REACH_WITHIN_MS)
        return flow_fail(f, UNAVAILABLE);
    return flow_await_again(f, registry_int_pause(&op->pause, REACH_EVERY_MS, flow_done(f)));
}

static const struct flow_step reach_steps[] = {{"wait for index", wait_for_index}};
static const struct flow_program reach_program = {.name = "reindex_reach", FLOW_STEPS(reach_steps)};

static enum flow_next reach_index(struct flow *f, struct registry *registry)
{
    struct reach *op = ARENA_NEW(flow_arena(f), struct reach);
    op->registry = registry;
    op->begun_ms = clock_monotonic_ms(registry->clock);
    return flow_call(f, &reach_program, op);
}

/* ---- one name of a repository, in a flow of its own ---- */

struct entry {
    struct registry_reindex *run;
    enum index_kind kind;
    struct repo_name repo;
    struct tag tag;       /* of TAG */
    struct digest digest; /* of the others */
    struct lookup lookup;
    struct referrer_page referrers;
    bool is_asked;
};

static enum flow_next reach(struct flow *f)
{
    const struct entry *op = flow_owner(f);
    return reach_index(f, op->run->registry);
}

static enum flow_next look_up(struct flow *f)
{
    struct entry *op = flow_owner(f);
    if (op->kind == INDEX_TAG)
        registry_int_lookup_tag(&op->lookup, op->run->registry, op->repo, op->tag);
    else
        registry_int_lookup_digest(&op->lookup, op->run->registry, op->kind, op->repo, &op->digest);
    if (registry_int_lookup_is_known(&op->lookup, f))
        return FLOW_NEXT;
    return flow_call(f, &registry_int_lookup_program, &op->lookup);
}

static enum flow_next settle(struct flow *f)
{
    struct entry *op = flow_owner(f);
    return registry_int_lookup_settle(f, &op->lookup);
}

static const struct flow_step attempt_steps[] = {
    {"reach", reach},
    {"look up", look_up},
};
static const struct flow_step attempt_finally[] = {{"settle", settle}};
static const struct flow_program attempt_program = {
    .name = "reindex_attempt",
    FLOW_STEPS(attempt_steps),
    FLOW_FINALLY(attempt_finally),
};

/* Again if the index was lost while it was asked: it was told nothing. */
static enum flow_next ask_until_told(struct flow *f)
{
    struct entry *op = flow_owner(f);
    if (op->is_asked && op->lookup.ask.result != UNAVAILABLE)
        return FLOW_NEXT;
    if (op->is_asked && flow_result(f) != OK && flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    op->is_asked = true;
    return flow_again(f, flow_call(f, &attempt_program, op));
}

/* A link that names nothing counts as absent. */
static enum flow_next judge(struct flow *f)
{
    struct entry *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r != OK && r != NOT_FOUND)
        return flow_fail(f, r);
    op->run->names_done++;
    return r == OK && op->kind == INDEX_REVISION ? FLOW_NEXT : FLOW_RETURN;
}

static enum flow_next list_referrers(struct flow *f)
{
    struct entry *op = flow_owner(f);
    return referrer_list(f, op->run->registry, op->repo, &op->digest, SLICE_EMPTY, SLICE_EMPTY, 1, &op->referrers);
}

static const struct flow_step entry_steps[] = {
    {"ask until told", ask_until_told},
    {"judge", judge},
    {"list referrers", list_referrers},
};
static const struct flow_program entry_program = {.name = "reindex_entry", FLOW_STEPS(entry_steps)};

/* ---- one folder of names ---- */

struct names {
    struct fan fan;
    struct registry_reindex *run;
    struct repo_name repo;
    enum index_kind kind;
    enum digest_algorithm algorithm;
    struct folder_list folder;
    size_t next;
};

/* What is no tag or digest is passed over. */
static bool parse_name(const struct names *op, struct slice name, struct entry *ret_entry)
{
    if (op->kind == INDEX_TAG)
        return tag_parse(name, &ret_entry->tag) == OK;
    char text[DIGEST_TEXT_MAX];
    struct slice algorithm = digest_algorithm_name(op->algorithm);
    int len = snprintf(text, sizeof(text), "%.*s:%.*s", SLICE_ARG(algorithm), SLICE_ARG(name));
    return len > 0 && (size_t)len < sizeof(text) &&
           digest_parse((struct slice){text, (size_t)len}, &ret_entry->digest) == OK;
}

static bool has_next_name(struct fan *fan)
{
    struct names *op = (struct names *)fan;
    struct entry ignored;
    while (op->next < op->folder.count && !parse_name(op, op->folder.names[op->next], &ignored))
        op->next++;
    return op->next < op->folder.count;
}

static const struct flow_program *take_next_name(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct names *op = (struct names *)fan;
    struct entry *entry = ARENA_NEW(arena, struct entry);
    entry->run = op->run;
    entry->repo = op->repo;
    entry->kind = op->kind;
    (void)parse_name(op, op->folder.names[op->next++], entry); /* it is one: has_next_name saw it */
    *ret_owner = entry;
    return &entry_program;
}

static enum flow_next list_names(struct flow *f)
{
    struct names *op = flow_owner(f);
    return registry_int_list_folder(f, &op->folder);
}

static enum flow_next look_names_up(struct flow *f)
{
    struct names *op = flow_owner(f);
    op->fan.has_next = has_next_name;
    op->fan.take_next = take_next_name;
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

static void free_names(void *owner)
{
    struct names *op = owner;
    free(op->folder.names);
}

static const struct flow_step names_steps[] = {
    {"list names", list_names},
    {"look names up", look_names_up},
};
static const struct flow_program names_program = {
    .name = "reindex_names",
    FLOW_STEPS(names_steps),
    .dispose = free_names,
};

/* ---- one repository, in a flow of its own ---- */

struct repository {
    struct registry_reindex *run;
    struct repo_name name;
    size_t position; /* among all */
    struct tag_page tags;
    size_t folders_begun;
};

/* One tag of the list: the whole list is read and filled. */
static enum flow_next list_tags(struct flow *f)
{
    struct repository *op = flow_owner(f);
    return flow_any(f, tag_list(f, op->run->registry, op->name, SLICE_EMPTY, 1, &op->tags));
}

/* A repository that is gone meanwhile has none. */
static enum flow_next judge_tags(struct flow *f)
{
    enum result r = flow_result(f);
    return r == OK || r == NOT_FOUND ? FLOW_NEXT : flow_fail(f, r);
}

static struct slice folder_of(const struct names *names, struct arena *arena)
{
    switch (names->kind) {
    case INDEX_TAG:
        return layout_tags_folder(arena, names->repo);
    case INDEX_REVISION:
        return layout_revisions_folder(arena, names->repo, names->algorithm);
    case INDEX_LAYER:
        return layout_layers_folder(arena, names->repo, names->algorithm);
    }
    return SLICE_EMPTY;
}

static enum flow_next read_folders(struct flow *f)
{
    static const struct {
        enum index_kind kind;
        enum digest_algorithm algorithm;
    } folders[] = {
        {INDEX_TAG, DIGEST_SHA256},   {INDEX_REVISION, DIGEST_SHA256}, {INDEX_REVISION, DIGEST_SHA512},
        {INDEX_LAYER, DIGEST_SHA256}, {INDEX_LAYER, DIGEST_SHA512},
    };
    struct repository *op = flow_owner(f);
    if (op->folders_begun > 0 && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (op->folders_begun == sizeof(folders) / sizeof(folders[0]))
        return FLOW_NEXT;
    struct names *names = ARENA_NEW(flow_arena(f), struct names);
    names->run = op->run;
    names->repo = op->name;
    names->kind = folders[op->folders_begun].kind;
    names->algorithm = folders[op->folders_begun].algorithm;
    names->folder.registry = op->run->registry;
    names->folder.folder = folder_of(names, flow_arena(f));
    op->folders_begun++;
    return flow_again(f, flow_call(f, &names_program, names));
}

static enum flow_next note_done(struct flow *f)
{
    struct repository *op = flow_owner(f);
    struct registry_reindex *run = op->run;
    run->is_done[op->position] = true;
    run->repositories_done++;
    while (run->first_left < run->repositories && run->is_done[run->first_left])
        run->last = run->names[run->first_left++].text;
    return FLOW_NEXT;
}

static const struct flow_step repository_steps[] = {
    {"list tags", list_tags},
    {"judge tags", judge_tags},
    {"read folders", read_folders},
    {"note done", note_done},
};
static const struct flow_program repository_program = {.name = "reindex_repository", FLOW_STEPS(repository_steps)};

/* ---- all of them ---- */

struct reindex_op {
    struct fan fan;
    struct registry_reindex *run;
    struct repository_page page;
    size_t begun;
    bool is_listed;
};

static void take_page(struct registry_reindex *run, const struct repository_page *page)
{
    run->names = xrealloc(run->names, (run->repositories + page->count + 1) * sizeof(run->names[0]));
    for (size_t i = 0; i < page->count; i++)
        run->names[run->repositories++] = page->names[i];
}

static enum flow_next reach_at_first(struct flow *f)
{
    const struct reindex_op *op = flow_owner(f);
    return reach_index(f, op->run->registry);
}

static enum flow_next list_repositories(struct flow *f)
{
    struct reindex_op *op = flow_owner(f);
    struct slice last = op->run->after;
    if (op->is_listed) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        take_page(op->run, &op->page);
        if (!op->page.has_more)
            return FLOW_NEXT;
        last = op->run->names[op->run->repositories - 1].text;
    }
    op->is_listed = true;
    return flow_again(f, repository_list(f, op->run->registry, last, REPOSITORIES_PAGE, &op->page));
}

static bool has_next_repository(struct fan *fan)
{
    const struct reindex_op *op = (const struct reindex_op *)fan;
    return op->begun < op->run->repositories;
}

static const struct flow_program *take_next_repository(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct reindex_op *op = (struct reindex_op *)fan;
    struct repository *repository = ARENA_NEW(arena, struct repository);
    repository->run = op->run;
    repository->position = op->begun;
    repository->name = op->run->names[op->begun++];
    *ret_owner = repository;
    return &repository_program;
}

static enum flow_next read_repositories(struct flow *f)
{
    struct reindex_op *op = flow_owner(f);
    op->run->is_done = xcalloc(op->run->repositories + 1, sizeof(op->run->is_done[0]));
    op->fan.has_next = has_next_repository;
    op->fan.take_next = take_next_repository;
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

static void free_lists(void *owner)
{
    struct reindex_op *op = owner;
    free(op->run->names);
    free(op->run->is_done);
    op->run->names = NULL;
    op->run->is_done = NULL;
}

static const struct flow_step reindex_steps[] = {
    {"reach", reach_at_first},
    {"list repositories", list_repositories},
    {"read repositories", read_repositories},
};
static const struct flow_program reindex_program = {
    .name = "reindex",
    FLOW_STEPS(reindex_steps),
    .dispose = free_lists,
};

enum flow_next registry_reindex(struct flow *f, struct registry *registry, struct registry_reindex *run)
{
    struct reindex_op *op = ARENA_NEW(flow_arena(f), struct reindex_op);
    run->registry = registry;
    op->run = run;
    return flow_call(f, &reindex_program, op);
}
