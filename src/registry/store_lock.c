/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on names among replicas, by objects in the store they share: how they are taken, when the lock in this process
 * is held. How they are kept and given back is in lock_lease.c. All on the flow's loop. The model is
 * tests/model/marks.pml.
 *
 *   push     writes an intent that lists its names -> looks for marks -> one on a name of its own: takes the intent
 *            back, waits until the mark is gone, begins anew .. publishes .. removes it, after the answer
 *   delete   writes a mark on its name -> looks for intents -> waits until those that list its name are gone ..
 *            looks for references, takes links away .. removes it, before the answer
 *
 * Of a push and a delete that meet, at least one sees the other. Who waits for a mark has no intent, and marks do not
 * wait for each other: nobody waits in a circle. A delete waits for the intents of one listing, as later ones have seen
 * its mark: pushes cannot starve it. Deletes do not exclude each other: what one has taken the other does not find.
 *
 * Each attempt has an object of its own: who removes a stale one cannot take its successor. A holder renews its object,
 * and begins no write of a link LOCK_LEASE_MS after the last renewal that was confirmed in time. LOCK_STALE_MS after
 * it, by the store's clock, the others remove the object and go on; what lies between is for the writes begun last. A
 * write of unknown outcome may still arrive, so its object is left to become stale. Of the clocks of replicas only the
 * pace counts. Stale objects go when they are met: a delete removes all intents that are, a push the marks on its names
 * and one other, so that neither adds up where it costs.
 */
#include "content_int.h"

#include <stdlib.h>

#define PAUSE_DOUBLINGS 4u
#define UUID_LEN (UUID_TEXT_SIZE - 1)
/* More than the names of any manifest we take (oci.h): an intent that is longer names everything. */
#define BODY_BYTES_MAX ((size_t)4 * 1024 * 1024)

static uint64_t now_ms(const struct registry *registry)
{
    return clock_monotonic_ms(registry->clock);
}

static struct storage *storage_of(const struct held_lock *held)
{
    return held->registry->storage;
}

/* ---- waiting until an object is gone, or removed as stale ---- */

struct absence {
    struct held_lock *held;
    struct store_time time;
    struct slice path;
    struct storage_object object;
    bool is_asked;
    unsigned pauses;
    struct pause pause;
};

static enum result take_a_pause(struct absence *op, struct done done)
{
    uint64_t pause_ms = op->held->registry->lock_pause_ms << op->pauses;
    if (op->pauses < PAUSE_DOUBLINGS)
        op->pauses++;
    return registry_int_pause(&op->pause, pause_ms, done);
}

/* Again after each look and each pause. */
static enum flow_next wait_for_absence(struct flow *f)
{
    struct absence *op = flow_owner(f);
    if (!op->is_asked) {
        op->is_asked = true;
        return flow_await_again(f, storage_stat(storage_of(op->held), op->path, &op->object, flow_done(f)));
    }
    op->is_asked = false;
    enum result r = flow_result(f);
    if (r == NOT_FOUND)
        return FLOW_NEXT;
    if (r != OK)
        return flow_fail(f, r);
    if (registry_int_is_stale(op->held->registry, &op->time, &op->object))
        return flow_await_any(f, storage_delete(storage_of(op->held), op->path, flow_done(f)));
    if (now_ms(op->held->registry) >= op->held->store.wait_end_ms)
        return flow_fail(f, BUSY);
    return flow_await_again(f, take_a_pause(op, flow_done(f)));
}

static const struct flow_step absence_steps[] = {{"wait for absence", wait_for_absence}};
static const struct flow_program absence_program = {.name = "absence", FLOW_STEPS(absence_steps)};

/* ---- one attempt ---- */

struct attempt {
    struct fan fan;
    struct held_lock *held;
    struct folder_list others; /* marks for a push, intents for a delete */
    size_t read;               /* of the intents */
    struct storage_object own;
    struct store_time time;
    struct slice *in_the_way; /* paths */
    size_t count;
    size_t waited;
    bool *ret_is_over;
};

static struct slice names_as_lines(const struct name_lock *lock, struct arena *arena)
{
    struct strbuf text;
    strbuf_init(&text, BODY_BYTES_MAX);
    for (size_t i = 0; i < lock->count; i++) {
        strbuf_append(&text, lock->names[i]);
        strbuf_append_char(&text, '\n');
    }
    struct slice lines = arena_copy(arena, strbuf_slice(&text));
    strbuf_done(&text);
    return lines;
}

static enum flow_next write_own(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    struct store_lock *own = &op->held->store;
    const struct name_lock *lock = &op->held->lock;
    struct arena *arena = flow_arena(f);
    char uuid[UUID_TEXT_SIZE];
    uuid_generate(uuid);
    own->path = lock->is_exclusive ? layout_delete(arena, lock->repo, lock->names[0], slice_from_cstr(uuid))
                                   : layout_push(arena, lock->repo, slice_from_cstr(uuid));
    own->written_ms = now_ms(op->held->registry);
    return flow_await(f, storage_put(storage_of(op->held), own->path, own->body, 0, flow_done(f)));
}

static enum flow_next list_others(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    const struct name_lock *lock = &op->held->lock;
    if (!op->others.is_asked) {
        op->time.own_ms = now_ms(op->held->registry);
        op->others.registry = op->held->registry;
        op->others.wants_objects = true;
        op->others.folder = lock->is_exclusive ? layout_pushes_folder(flow_arena(f), lock->repo)
                                               : layout_deletes_folder(flow_arena(f), lock->repo);
    }
    return registry_int_list_folder(f, &op->others);
}

/* Whether a mark is on a name: "<name>.<uuid>". */
static bool is_mark_on(struct slice mark, struct slice name)
{
    return mark.len == name.len + 1 + UUID_LEN && slice_has_prefix(mark, name) && mark.ptr[name.len] == '.';
}

static void find_marks(struct attempt *op, struct arena *arena)
{
    const struct name_lock *lock = &op->held->lock;
    for (size_t i = 0; i < lock->count; i++) {
        struct slice name = layout_delete_name(arena, lock->names[i]);
        for (size_t k = 0; k < op->others.count; k++) {
            struct slice mark = op->others.names[k];
            if (is_mark_on(mark, name)) {
                struct slice uuid = slice_from(mark, name.len + 1);
                op->in_the_way[op->count++] = layout_delete(arena, lock->repo, lock->names[i], uuid);
                op->others.names[k] = SLICE_EMPTY; /* a name may be listed twice */
            }
        }
    }
}

/* Any of the others: the same one each time might live for long. */
static void find_stray(struct attempt *op, struct arena *arena)
{
    uint32_t dice;
    random_bytes(&dice, sizeof(dice));
    for (size_t i = 0; i < op->others.count; i++) {
        struct slice mark = op->others.names[(dice + i) % op->others.count];
        if (mark.len > 0) {
            op->held->store.stray = arena_format(arena, "%.*s/%.*s", SLICE_ARG(op->others.folder), SLICE_ARG(mark));
            return;
        }
    }
}

/* Nearly always there is nothing. */
static enum flow_next look_at_others(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    if (op->others.count > 0)
        op->in_the_way = ARENA_ARRAY(flow_arena(f), struct slice, op->others.count);
    if (!op->held->lock.is_exclusive && op->others.count > 0) {
        find_marks(op, flow_arena(f));
        find_stray(op, flow_arena(f));
    }
    *op->ret_is_over = op->count == 0;
    bool has_to_read = op->held->lock.is_exclusive && op->others.count > 0;
    return op->count > 0 || has_to_read ? FLOW_NEXT : FLOW_RETURN;
}

static enum flow_next ask_the_time(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    return flow_await_any(f, storage_stat(storage_of(op->held), op->held->store.path, &op->own, flow_done(f)));
}

static enum flow_next take_the_time(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r != OK) /* NOT_FOUND: somebody has found it stale already */
        return flow_fail(f, r == NOT_FOUND ? UNAVAILABLE : r);
    op->time.store_ms = op->own.modified_ms;
    return FLOW_NEXT;
}

/* ---- the intents, several at a time ---- */

struct intent {
    struct attempt *attempt;
    struct slice path; /* in the arena of the attempt */
    struct slice body;
    struct storage_object object;
};

static enum flow_next read_intent(struct flow *f)
{
    struct intent *intent = flow_owner(f);
    return flow_await_any(f, storage_get(storage_of(intent->attempt->held), intent->path, BODY_BYTES_MAX, flow_arena(f),
                                         &intent->body, &intent->object, flow_done(f)));
}

static bool has_line(struct slice lines, struct slice wanted)
{
    struct slice line;
    while (slice_split(lines, '\n', &line, &lines))
        if (slice_equal(line, wanted))
            return true;
    return false;
}

static enum flow_next judge_intent(struct flow *f)
{
    struct intent *intent = flow_owner(f);
    struct attempt *op = intent->attempt;
    enum result r = flow_result(f);
    if (r == NOT_FOUND)
        return FLOW_NEXT;
    if (r != OK && r != TOO_LARGE)
        return flow_fail(f, r);
    if (r == OK && registry_int_is_stale(op->held->registry, &op->time, &intent->object))
        return flow_await_any(f, storage_delete(storage_of(op->held), intent->path, flow_done(f)));
    if (r == TOO_LARGE || has_line(intent->body, op->held->lock.names[0]))
        op->in_the_way[op->count++] = intent->path;
    return FLOW_NEXT;
}

static const struct flow_step intent_steps[] = {
    {"read intent", read_intent},
    {"judge intent", judge_intent},
};
static const struct flow_program intent_program = {.name = "intent", FLOW_STEPS(intent_steps)};

static bool has_next_intent(struct fan *fan)
{
    const struct attempt *op = (const struct attempt *)fan;
    return op->read < op->others.count;
}

static const struct flow_program *take_next_intent(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct attempt *op = (struct attempt *)fan;
    struct intent *intent = ARENA_NEW(arena, struct intent);
    intent->attempt = op;
    intent->path = op->others.names[op->read++];
    *ret_owner = intent;
    return &intent_program;
}

static enum flow_next read_intents(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    if (!op->held->lock.is_exclusive)
        return FLOW_NEXT;
    for (size_t i = 0; i < op->others.count; i++)
        op->others.names[i] = layout_push(flow_arena(f), op->held->lock.repo, op->others.names[i]);
    op->fan.has_next = has_next_intent;
    op->fan.take_next = take_next_intent;
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

/* ---- what is in the way ---- */

/* A push that waits must not be waited for. */
static enum flow_next withdraw(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    if (op->held->lock.is_exclusive)
        return FLOW_NEXT;
    struct slice path = op->held->store.path;
    op->held->store.path = SLICE_EMPTY;
    return flow_await_any(f, storage_delete(storage_of(op->held), path, flow_done(f)));
}

/* Again for each: one after the other, as all have to go. */
static enum flow_next wait_for_others(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    if (op->waited > 0 && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (op->waited == op->count)
        return FLOW_NEXT;
    struct absence *absence = ARENA_NEW(flow_arena(f), struct absence);
    absence->held = op->held;
    absence->time = op->time;
    absence->path = op->in_the_way[op->waited++];
    return flow_again(f, flow_call(f, &absence_program, absence));
}

/* Intents that came after our mark belong to pushes that have seen it. */
static enum flow_next end_attempt(struct flow *f)
{
    struct attempt *op = flow_owner(f);
    *op->ret_is_over = op->held->lock.is_exclusive;
    return FLOW_NEXT;
}

static void free_others(void *owner)
{
    struct attempt *op = owner;
    free(op->others.names);
}

static const struct flow_step attempt_steps[] = {
    {"write own", write_own},       {"list others", list_others},         {"look at others", look_at_others},
    {"ask the time", ask_the_time}, {"take the time", take_the_time},     {"read intents", read_intents},
    {"withdraw", withdraw},         {"wait for others", wait_for_others}, {"end attempt", end_attempt},
};
static const struct flow_program attempt_program = {
    .name = "lock_attempt",
    FLOW_STEPS(attempt_steps),
    .dispose = free_others,
};

/* ---- hold ---- */

struct store_hold {
    struct held_lock *held;
    bool is_begun;
    bool is_over;
};

/* Again until nobody was in the way. */
static enum flow_next attempt(struct flow *f)
{
    struct store_hold *op = flow_owner(f);
    if (op->is_begun && flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    if (op->is_over)
        return FLOW_NEXT;
    op->is_begun = true;
    struct attempt *next = ARENA_NEW(flow_arena(f), struct attempt);
    next->held = op->held;
    next->ret_is_over = &op->is_over;
    return flow_again(f, flow_call(f, &attempt_program, next));
}

static enum flow_next begin_lease(struct flow *f)
{
    const struct store_hold *op = flow_owner(f);
    registry_int_lease_begin(f, op->held);
    return FLOW_NEXT;
}

static const struct flow_step hold_steps[] = {
    {"attempt", attempt},
    {"begin lease", begin_lease},
};
static const struct flow_program hold_program = {.name = "store_hold", FLOW_STEPS(hold_steps)};

/* Where nothing is ever deleted, on no replica, nobody has to be told. */
static bool is_needed(const struct held_lock *held)
{
    const struct registry *registry = held->registry;
    return held->reaches_replicas && registry->is_shared && registry->config->storage.delete_enabled;
}

enum flow_next registry_int_store_hold(struct flow *f, struct held_lock *held)
{
    if (!is_needed(held))
        return FLOW_NEXT;
    struct store_hold *op = ARENA_NEW(flow_arena(f), struct store_hold);
    op->held = held;
    held->store.body = names_as_lines(&held->lock, flow_arena(f));
    return flow_call(f, &hold_program, op);
}
