/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding, judging, saving and removing an upload session. Its states are the objects minato/uploads/<uuid>/<seq>; the
 * one with the highest number counts. A claim is not durable: a power failure may leave its name without its bytes.
 * Then the one below counts, which is never behind what was acknowledged. All on the flow's loop.
 */
#include "upload_int.h"

#include <stdlib.h>

#define LIST_LIMIT 1000u /* many times what pruning leaves of a session */
#define LOOKS_MAX 5u
/* How long a committed session answers a repeated final PUT. */
#define DONE_KEPT_MS (10u * 60u * 1000u)
/* How far replicas may be wrong about the store's clock, and how long a request may still be under way. */
#define UPLOAD_LEASE_GRACE_MS 30000u

void registry_int_session_init(struct upload_session *s, struct registry *registry, struct upload_ref upload,
                               struct arena *arena)
{
    memset(s, 0, sizeof(*s));
    s->registry = registry;
    s->arena = arena;
    s->repo = upload.repo.text;
    s->uuid = upload.uuid;
}

bool registry_int_session_is_expired(const struct upload_session *s)
{
    uint64_t kept_ms = s->registry->config->uploads.expire_after_ms;
    if (s->state.kind == UPLOAD_DONE && kept_ms > DONE_KEPT_MS)
        kept_ms = DONE_KEPT_MS;
    uint64_t now_ms = storage_now_ms(s->registry->storage, s->registry->clock);
    return now_ms > s->state.activity_ms && now_ms - s->state.activity_ms > kept_ms;
}

/* A claim of this process: the caller has entered the table, so nobody else is at it. Of another process: where the
 * store is one process' own (its lock file), that one is dead; where it is shared, its lease must have run out. */
bool registry_int_session_is_abandoned(const struct upload_session *s)
{
    const struct registry *registry = s->registry;
    if (s->state.kind != UPLOAD_OPEN)
        return false;
    bool is_ours = strcmp(s->state.process, registry->process) == 0;
    return !registry->has_fixed_parts || is_ours ||
           storage_now_ms(registry->storage, registry->clock) > s->state.lease_ms + UPLOAD_LEASE_GRACE_MS;
}

enum result registry_int_session_save(struct upload_session *s, uint32_t seq, unsigned flags, struct done done)
{
    s->state.activity_ms = storage_now_ms(s->registry->storage, s->registry->clock);
    struct slice path = layout_upload_state(s->arena, s->uuid, seq);
    return storage_put(s->registry->storage, path, registry_int_upload_state_format(&s->state, s->arena), flags, done);
}

/* ---- load ---- */

static void note_newest(struct upload_session *s)
{
    for (size_t i = 0; i < s->listing.count; i++) {
        uint64_t seq;
        const struct storage_entry *entry = &s->listing.entries[i];
        if (entry->is_folder || slice_parse_u64(entry->name, &seq) != OK || seq > UINT32_MAX)
            continue;
        if (seq > s->seq)
            s->seq = (uint32_t)seq;
        if (seq > s->read_seq && (s->unreadable == 0 || seq < s->unreadable))
            s->read_seq = (uint32_t)seq;
    }
}

static enum flow_next list_folder(struct upload_session *s, struct flow *f)
{
    struct slice folder = layout_upload_folder(s->arena, s->uuid);
    memset(&s->listing, 0, sizeof(s->listing));
    return flow_await_again(
        f, storage_list(s->registry->storage, folder, s->after, LIST_LIMIT, s->arena, &s->listing, flow_done(f)));
}

/* Again after each page of the listing. */
static enum flow_next find_newest(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    if (!uuid_is_valid(s->uuid))
        return flow_fail(f, NOT_FOUND);
    if (s->attempts > 0) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        note_newest(s);
        s->after = s->listing.next;
        if (s->after.len == 0 && s->read_seq > 0)
            return FLOW_NEXT;
        if (s->after.len == 0)
            return flow_fail(f, s->unreadable > 0 ? CORRUPT : NOT_FOUND);
    }
    s->attempts++;
    return list_folder(s, f);
}

static enum flow_next read_newest(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    s->was_seen = true;
    struct slice path = layout_upload_state(s->arena, s->uuid, s->read_seq);
    return flow_await(f, storage_get(s->registry->storage, path, UPLOAD_STATE_BYTES_MAX, s->arena, &s->bytes,
                                     &s->object, flow_done(f)));
}

static enum flow_next judge_newest(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    s->was_seen = false;
    enum result r = registry_int_upload_state_parse(s->bytes, s->arena, &s->state);
    if (r != OK) {
        s->unreadable = s->read_seq;
        return flow_fail(f, r);
    }
    if (s->repo.len == 0) /* the purge looks at every repository's */
        return FLOW_NEXT;
    if (!slice_equal(s->state.repo, s->repo) || registry_int_session_is_expired(s))
        return flow_fail(f, NOT_FOUND);
    return FLOW_NEXT;
}

static const struct flow_step look_steps[] = {
    {"find newest", find_newest},
    {"read newest", read_newest},
    {"judge newest", judge_newest},
};
static const struct flow_program look_program = {.name = "session_look", FLOW_STEPS(look_steps)};

/* Again if the state was there when we listed and gone when we read (its writer has pruned it meanwhile), or if it
 * cannot be read and there is one below. */
static enum flow_next look(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    if (s->looks > 0) {
        enum result r = flow_result(f);
        if (r == OK)
            return FLOW_NEXT;
        bool is_pruned = r == NOT_FOUND && s->was_seen;
        bool is_torn = r == CORRUPT && s->read_seq > 0;
        if ((!is_pruned && !is_torn) || s->looks == LOOKS_MAX)
            return flow_fail(f, r == CORRUPT && s->repo.len > 0 ? NOT_FOUND : r);
    }
    s->looks++;
    s->was_seen = false;
    s->attempts = 0;
    s->seq = 0;
    s->read_seq = 0;
    s->after = SLICE_EMPTY;
    return flow_again(f, flow_call(f, &look_program, s));
}

static const struct flow_step load_steps[] = {{"look", look}};
const struct flow_program registry_int_session_load_program = {.name = "session_load", FLOW_STEPS(load_steps)};

/* ---- remove ---- */

static enum flow_next abort_multipart(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    s->after = SLICE_EMPTY;
    if (s->state.multipart.id[0] == '\0')
        return FLOW_NEXT;
    struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
    return flow_await(f, storage_multipart_abort(s->registry->storage, path, &s->state.multipart, flow_done(f)));
}

/* Whose are the completed bytes, if there are any? Known by the location, which a commit may have come to write. */
static enum flow_next read_location(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    s->named.path = SLICE_EMPTY;
    if (s->state.multipart.id[0] == '\0' || s->state.is_direct || s->state.part_bytes == 0 || !s->state.has_digest)
        return FLOW_NEXT;
    return flow_any(f, registry_int_location_read(f, s->registry, &s->state.digest, &s->named));
}

/* There when a commit completed the multipart and got no further. */
static enum flow_next delete_bytes(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    if (s->state.multipart.id[0] == '\0' || s->state.is_direct)
        return FLOW_NEXT;
    bool is_asked = s->state.part_bytes > 0 && s->state.has_digest;
    if (is_asked && flow_result(f) != OK && flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    if (is_asked && slice_equal(s->named.path, layout_bytes(s->arena, s->uuid)))
        return FLOW_NEXT; /* a blob's now */
    return flow_await_any(f, storage_delete(s->registry->storage, layout_bytes(s->arena, s->uuid), flow_done(f)));
}

static enum flow_next list_states(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    if (s->state.multipart.id[0] != '\0' && flow_result(f) != OK && flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    struct slice folder = layout_upload_folder(s->arena, s->uuid);
    return flow_await(
        f, storage_list(s->registry->storage, folder, SLICE_EMPTY, LIST_LIMIT, s->arena, &s->listing, flow_done(f)));
}

static uint64_t seq_of(const struct storage_entry *entry)
{
    uint64_t seq;
    return slice_parse_u64(entry->name, &seq) == OK ? seq : 0;
}

static int compare_seq(const void *left, const void *right)
{
    uint64_t a = seq_of(left);
    uint64_t b = seq_of(right);
    return a < b ? -1 : a > b;
}

static struct slice path_of_state(const struct upload_session *s, size_t i)
{
    struct slice folder = layout_upload_folder(s->arena, s->uuid);
    return arena_format(s->arena, "%.*s/%.*s", SLICE_ARG(folder), SLICE_ARG(s->listing.entries[i].name));
}

static enum flow_next delete_older_states(struct flow *f)
{
    const struct upload_session *s = flow_owner(f);
    size_t count = s->listing.count;
    if (count < 2)
        return FLOW_NEXT;
    qsort(s->listing.entries, count, sizeof(s->listing.entries[0]), compare_seq);
    struct slice *paths = ARENA_ARRAY(s->arena, struct slice, count - 1);
    for (size_t i = 0; i + 1 < count; i++)
        paths[i] = path_of_state(s, i);
    return flow_await(f, storage_delete_many(s->registry->storage, paths, count - 1, flow_done(f)));
}

/* The newest goes last: until then the session, bytes gone or not, is still found by the purge. */
static enum flow_next delete_newest_state(struct flow *f)
{
    const struct upload_session *s = flow_owner(f);
    if (s->listing.count == 0)
        return FLOW_NEXT;
    return flow_await_any(f,
                          storage_delete(s->registry->storage, path_of_state(s, s->listing.count - 1), flow_done(f)));
}

static enum flow_next judge_delete(struct flow *f)
{
    const struct upload_session *s = flow_owner(f);
    if (s->listing.count > 0 && flow_result(f) != OK && flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    return FLOW_NEXT;
}

static const struct flow_step remove_steps[] = {
    {"abort multipart", abort_multipart},
    {"read location", read_location},
    {"delete bytes", delete_bytes},
    {"list states", list_states},
    {"delete older states", delete_older_states},
    {"delete newest state", delete_newest_state},
    {"judge delete", judge_delete},
};
const struct flow_program registry_int_session_remove_program = {.name = "session_remove", FLOW_STEPS(remove_steps)};

/* ---- take and remove ---- */

/* Else another replica could end it between our look at its state and the removal of its bytes. */
static enum flow_next take(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    struct registry *registry = s->registry;
    if (!registry->has_fixed_parts)
        return FLOW_NEXT;
    s->state.kind = UPLOAD_OPEN;
    memcpy(s->state.process, registry->process, sizeof(s->state.process));
    s->state.lease_ms = storage_now_ms(registry->storage, registry->clock) + UPLOAD_LEASE_MS;
    s->seq++;
    return flow_await_any(f, registry_int_session_save(s, s->seq, STORAGE_PUT_CREATE_ONLY, flow_done(f)));
}

static enum flow_next remove_taken(struct flow *f)
{
    struct upload_session *s = flow_owner(f);
    if (s->registry->has_fixed_parts && flow_result(f) != OK)
        return flow_fail(f, flow_result(f) == EXISTS ? CONFLICT : flow_result(f));
    return flow_call(f, &registry_int_session_remove_program, s);
}

static const struct flow_step take_and_remove_steps[] = {
    {"take", take},
    {"remove taken", remove_taken},
};
const struct flow_program registry_int_session_take_and_remove_program = {
    .name = "session_take_and_remove",
    FLOW_STEPS(take_and_remove_steps),
};
