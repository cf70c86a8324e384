/* SPDX-License-Identifier: Apache-2.0
 *
 * What the answers of operations say of the registers of the world: see race_world.h. An operation on several registers
 * is an event of each of them, somewhere between its begin and its end.
 */
#include "race_world.h"

#define ABSENT 1u     /* the set of the value 0 */
#define PRESENT 0xfeu /* the set of all others */
#define ALL (ABSENT | PRESENT)

struct recorder {
    const struct race_op *op;
    struct race_world *world;
    struct history *history;
};

static void add(const struct recorder *r, unsigned repo, unsigned reg, struct relation relation)
{
    /* Where the store failed nobody knows when, or whether, it did what it was asked. */
    bool is_unknown = r->op->outcome == IO || (r->op->outcome == CANCELLED && r->world->is_faulty);
    uint64_t ended = is_unknown ? UINT64_MAX : r->op->ended;
    history_add(r->history, repo * RACE_OF_REPO + reg, relation, r->op->begun, ended, race_kind_name(r->op->kind));
}

/* What an operation that was acknowledged did; one that was not did it or not. */
static void add_done(const struct recorder *r, unsigned reg, struct relation relation)
{
    add(r, r->op->repo, reg, r->op->outcome == OK ? relation : relation_perhaps(relation));
}

static void add_read(const struct recorder *r, unsigned reg, unsigned values)
{
    add(r, r->op->repo, reg, relation_read(values));
}

/* ---- put ---- */

unsigned race_op_condition(const struct race_op *op)
{
    unsigned holds = ALL;
    if (op->if_match.is_given)
        holds &= op->if_match.is_any ? PRESENT : op->if_match.manifests << 1;
    if (op->if_none_match.is_given)
        holds &= op->if_none_match.is_any ? ABSENT : ~(op->if_none_match.manifests << 1);
    return holds;
}

/* A condition on a digest is one on its revision, which is there or is not. */
static unsigned condition_on_revision(const struct race_op *op)
{
    unsigned holds = race_op_condition(op);
    return (holds & ABSENT) | (holds >> op->item & 2u);
}

static void add_needs(const struct recorder *r)
{
    const struct race_content *c = &r->world->content;
    for (unsigned b = 0; b < RACE_BLOBS; b++)
        if ((c->layers[r->op->item] >> b & 1u) != 0)
            add_read(r, RACE_LAYER + b, PRESENT);
    for (unsigned m = 0; m < RACE_MANIFESTS; m++)
        if ((c->children[r->op->item] >> m & 1u) != 0)
            add_read(r, RACE_REVISION + m, PRESENT);
}

static void add_missing(const struct recorder *r)
{
    unsigned first = r->world->content.children[r->op->item] != 0 ? RACE_REVISION : RACE_LAYER;
    for (unsigned i = 0; i < 8; i++)
        if ((r->op->missing >> i & 1u) != 0)
            add_read(r, first + i, ABSENT);
}

/* Of a conditional put: a compare-and-swap, or nothing at all where the tag named the manifest already (RFC 9110,
 * 13.1.1: a request that appears to have been applied may be told so). */
static void add_tags(const struct recorder *r)
{
    unsigned value = 1 + r->op->item;
    struct relation relation = relation_write(value);
    if (!r->op->by_digest)
        relation = relation_or(relation_change(race_op_condition(r->op), value), relation_read(1u << value));
    for (unsigned t = 0; t < RACE_TAGS; t++) {
        if ((r->op->tags >> t & 1u) == 0)
            continue;
        add_done(r, RACE_TAG + t, relation);
        add_done(r, RACE_LISTED + t, relation_write(1));
    }
}

static void add_revision(const struct recorder *r)
{
    add_done(r, RACE_REVISION + r->op->item, relation_write(1));
    if (r->op->item == RACE_REFERRER)
        add_done(r, RACE_REFERRED, relation_write(1));
}

/* A swap is also refused when somebody else wrote the tag meanwhile, be it what it named before. */
static void add_put(const struct recorder *r)
{
    const struct race_op *op = r->op;
    if (op->outcome == NOT_FOUND) {
        add_missing(r);
    } else if (op->outcome == CONFLICT && op->by_digest) {
        add_read(r, RACE_REVISION + op->item, ~condition_on_revision(op));
    } else if (op->outcome == CONFLICT) {
        for (unsigned t = 0; t < RACE_TAGS; t++)
            if ((op->tags >> t & 1u) != 0)
                add_read(r, RACE_TAG + t, op->is_disturbed ? ALL : ~race_op_condition(op));
        add_revision(r); /* perhaps: the link of the tag comes last */
    } else {
        if (op->outcome == OK)
            add_needs(r);
        add_tags(r);
        add_revision(r);
    }
}

/* ---- deletes ---- */

/* CONFLICT: somebody names it. */
static void add_refusal(const struct recorder *r, unsigned reg)
{
    const struct race_content *c = &r->world->content;
    const struct race_op *op = r->op;
    unsigned named = op->kind == RACE_BLOB_DELETE ? c->layers[op->by] : c->children[op->by];
    if ((named >> op->item & 1u) == 0)
        strbuf_append_cstr(&r->world->wrong, "a delete was refused for a manifest that does not name it\n");
    add_read(r, reg, PRESENT);
    add_read(r, RACE_REVISION + op->by, PRESENT);
}

static void add_manifest_delete(const struct recorder *r)
{
    unsigned item = r->op->item;
    if (r->op->outcome == NOT_FOUND) {
        add_read(r, RACE_REVISION + item, ABSENT);
        return;
    }
    if (r->op->outcome == CONFLICT) {
        add_refusal(r, RACE_REVISION + item);
        return;
    }
    add_done(r, RACE_REVISION + item, relation_change(r->op->is_joined ? ALL : PRESENT, 0));
    for (unsigned t = 0; t < RACE_TAGS; t++) {
        add_done(r, RACE_TAG + t, relation_change_if(2u << item, 0));
        add_done(r, RACE_LISTED + t, relation_perhaps(relation_write(0)));
    }
    if (item == RACE_REFERRER)
        add_done(r, RACE_REFERRED, relation_write(0));
}

static void add_blob_delete(const struct recorder *r)
{
    unsigned reg = RACE_LAYER + r->op->item;
    if (r->op->outcome == NOT_FOUND)
        add_read(r, reg, ABSENT);
    else if (r->op->outcome == CONFLICT)
        add_refusal(r, reg);
    else
        add_done(r, reg, relation_change(PRESENT, 0));
}

static void add_tag_delete(const struct recorder *r)
{
    if (r->op->outcome == NOT_FOUND) {
        add_read(r, RACE_TAG + r->op->item, ABSENT);
        add_read(r, RACE_LISTED + r->op->item, ABSENT);
        return;
    }
    add_done(r, RACE_TAG + r->op->item, relation_write(0));
    add_done(r, RACE_LISTED + r->op->item, relation_change(r->op->is_joined ? ALL : PRESENT, 0));
}

/* ---- blobs, reads ---- */

static void add_mount(const struct recorder *r)
{
    unsigned reg = RACE_LAYER + r->op->item;
    if (r->op->outcome == OK || r->op->outcome == NOT_FOUND)
        add(r, 1 - r->op->repo, reg, relation_read(r->op->outcome == OK ? PRESENT : ABSENT));
    if (r->op->outcome != NOT_FOUND)
        add_done(r, reg, relation_write(1));
}

static void add_find(const struct recorder *r)
{
    const struct race_op *op = r->op;
    unsigned values = op->outcome == OK ? PRESENT : ABSENT;
    if (op->outcome != OK && op->outcome != NOT_FOUND)
        return;
    if (op->kind == RACE_BLOB_FIND)
        add_read(r, RACE_LAYER + op->item, values);
    else if (op->kind == RACE_MANIFEST_FIND)
        add_read(r, RACE_REVISION + op->item, values);
    else
        add_read(r, RACE_TAG + op->item, op->outcome == OK ? 1u << op->found : ABSENT);
    if (op->kind == RACE_TAG_FIND && op->outcome == OK)
        add_read(r, RACE_REVISION + op->found - 1, PRESENT);
}

static void add_list(const struct recorder *r)
{
    const struct race_op *op = r->op;
    if (op->outcome != OK && !(op->outcome == NOT_FOUND && op->kind == RACE_TAG_LIST))
        return;
    for (unsigned t = 0; op->kind == RACE_TAG_LIST && t < RACE_TAGS; t++)
        add_read(r, RACE_LISTED + t, (op->found >> t & 1u) != 0 ? PRESENT : ABSENT);
    if (op->kind == RACE_REFERRER_LIST)
        add_read(r, RACE_REFERRED, op->found != 0 ? PRESENT : ABSENT);
}

/* ---- all ---- */

static bool delete_the_same(const struct race_op *op, const struct race_op *other)
{
    if (op->kind == RACE_TAG_DELETE && other->kind == RACE_MANIFEST_DELETE)
        return true;
    return op->kind == other->kind && op->item == other->item;
}

void race_op_note_others(struct race_op *op, const struct race_op *ops, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct race_op *other = &ops[i];
        bool is_writer = (other->kind == RACE_MANIFEST_PUT && (op->tags & other->tags) != 0) ||
                         (other->kind == RACE_TAG_DELETE && (op->tags & 1u << other->item) != 0) ||
                         other->kind == RACE_MANIFEST_DELETE;
        bool is_beside = other != op && other->repo == op->repo && other->begun < op->ended && op->begun < other->ended;
        if (is_writer && is_beside)
            op->is_disturbed = true;
        if (is_beside && other->replica != op->replica && delete_the_same(op, other))
            op->is_joined = true;
    }
}

/* Others were in the way for too long, or the operation itself was. */
static bool may_give_up(const struct race_op *op, const struct race_world *world)
{
    bool is_writer = op->kind <= RACE_TAG_DELETE;
    return world->replicas > 1 && is_writer &&
           ((op->outcome == BUSY && world->is_rough) || (op->outcome == UNAVAILABLE && world->has_jumps));
}

/* What an operation may answer; IO only where the store fails. */
static bool may_end_so(const struct race_op *op, const struct race_world *world)
{
    bool may_miss = op->kind != RACE_BLOB_COMMIT && op->kind != RACE_REFERRER_LIST && op->kind != RACE_REPOSITORY_LIST;
    bool may_conflict = op->kind == RACE_MANIFEST_DELETE || op->kind == RACE_BLOB_DELETE ||
                        (op->kind == RACE_MANIFEST_PUT && (op->if_match.is_given || op->if_none_match.is_given));
    return op->outcome == OK || (op->outcome == NOT_FOUND && may_miss) || (op->outcome == CONFLICT && may_conflict) ||
           (op->outcome == CANCELLED && op->is_cancelled) || (op->outcome == IO && world->is_faulty) ||
           may_give_up(op, world);
}

void race_op_add_to_history(const struct race_op *op, struct race_world *world, struct history *history)
{
    struct recorder r = {.op = op, .world = world, .history = history};
    if (!may_end_so(op, world))
        strbuf_append_format(&world->wrong, "%s answered %s\n", race_kind_name(op->kind), result_name(op->outcome));
    switch (op->kind) {
    case RACE_MANIFEST_PUT:
        add_put(&r);
        break;
    case RACE_BLOB_COMMIT:
        add_done(&r, RACE_LAYER + op->item, relation_write(1));
        break;
    case RACE_BLOB_MOUNT:
        add_mount(&r);
        break;
    case RACE_MANIFEST_DELETE:
        add_manifest_delete(&r);
        break;
    case RACE_BLOB_DELETE:
        add_blob_delete(&r);
        break;
    case RACE_TAG_DELETE:
        add_tag_delete(&r);
        break;
    case RACE_MANIFEST_FIND:
    case RACE_TAG_FIND:
    case RACE_BLOB_FIND:
        add_find(&r);
        break;
    case RACE_TAG_LIST:
    case RACE_REFERRER_LIST:
    case RACE_REPOSITORY_LIST:
    case RACE_KINDS:
        add_list(&r);
        break;
    }
}

/* ---- repositories: there while they have anything ---- */

static void check_repository(const struct race_op *op, struct race_world *world, const struct history *history,
                             const struct race_state *before, unsigned repo, bool is_there)
{
    bool must_be = false;
    bool may_be = false;
    for (unsigned i = repo * RACE_OF_REPO; i < (repo + 1) * RACE_OF_REPO; i++) {
        bool is_constant = history_is_constant(history, i, before->values[i]);
        must_be = must_be || (is_constant && before->values[i] != 0);
        may_be = may_be || !is_constant || before->values[i] != 0;
    }
    if ((is_there && !may_be) || (!is_there && must_be))
        strbuf_append_format(&world->wrong, "%s said that repository %u is %s\n", race_kind_name(op->kind), repo,
                             is_there ? "there" : "not there");
}

void race_op_check_repositories(const struct race_op *op, struct race_world *world, const struct history *history,
                                const struct race_state *before)
{
    if (op->kind == RACE_TAG_LIST && (op->outcome == OK || op->outcome == NOT_FOUND))
        check_repository(op, world, history, before, op->repo, op->outcome == OK);
    for (unsigned r = 0; op->kind == RACE_REPOSITORY_LIST && op->outcome == OK && r < RACE_REPOS; r++)
        check_repository(op, world, history, before, r, (op->found >> r & 1u) != 0);
}
