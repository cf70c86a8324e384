/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a blob's bytes are: at its digest's path, which wins, or, on a store that cannot rename, where the `location`
 * beside it says. The only place that knows of the two. All on the flow's loop.
 */
#include "registry_int.h"

#define LOCATION_BYTES_MAX 512
#define BYTES_PREFIX "minato/bytes/"

/* ---- as the index keeps it: pure ---- */

void registry_int_place_keep(const struct blob_place *place, char ret_kept[UUID_TEXT_SIZE])
{
    struct slice prefix = SLICE(BYTES_PREFIX);
    struct slice uuid = slice_has_prefix(place->path, prefix) ? slice_from(place->path, prefix.len) : SLICE_EMPTY;
    memset(ret_kept, 0, UUID_TEXT_SIZE);
    if (uuid.len > 0)
        memcpy(ret_kept, uuid.ptr, UUID_TEXT_SIZE - 1);
}

struct slice registry_int_place_path(const char kept[UUID_TEXT_SIZE], const struct digest *digest, struct arena *arena)
{
    return kept[0] != '\0' ? layout_bytes(arena, slice_from_cstr(kept)) : layout_blob(arena, digest);
}

/* ---- the location object: pure ---- */

struct slice registry_int_location_format(const struct blob_place *place, const struct digest *digest,
                                          struct arena *arena)
{
    struct slice text = digest_text(digest, arena);
    return arena_format(arena, "{\"key\":\"%.*s\",\"size\":%llu,\"digest\":\"%.*s\"}", SLICE_ARG(place->path),
                        (unsigned long long)place->size, SLICE_ARG(text));
}

/* Takes `name` off the front and the value that follows, up to `end`. */
static bool take_value(struct slice *rest, struct slice name, char end, struct slice *ret_value)
{
    if (!slice_has_prefix(*rest, name))
        return false;
    return slice_split(slice_from(*rest, name.len), end, ret_value, rest);
}

enum result registry_int_location_parse(struct slice bytes, const struct digest *digest, struct blob_place *ret_place)
{
    struct slice key, size, named;
    struct digest its;
    uint64_t size_bytes;
    if (!take_value(&bytes, SLICE("{\"key\":\""), '"', &key) || !take_value(&bytes, SLICE(",\"size\":"), ',', &size) ||
        !take_value(&bytes, SLICE("\"digest\":\""), '"', &named) || !slice_equal(bytes, SLICE("}")))
        return CORRUPT;
    if (!slice_has_prefix(key, SLICE(BYTES_PREFIX)) || !uuid_is_valid(slice_from(key, strlen(BYTES_PREFIX))) ||
        slice_parse_u64(size, &size_bytes) != OK || digest_parse(named, &its) != OK || !digest_equal(&its, digest))
        return CORRUPT;
    *ret_place = (struct blob_place){key, size_bytes};
    return OK;
}

/* ---- reading it ---- */

struct location_read {
    struct registry *registry;
    struct digest digest;
    struct slice bytes;
    struct blob_place *ret_place;
};

static enum flow_next get_location(struct flow *f)
{
    struct location_read *op = flow_owner(f);
    struct slice path = layout_blob_location(flow_arena(f), &op->digest);
    return flow_await(
        f, storage_get(op->registry->storage, path, LOCATION_BYTES_MAX, flow_arena(f), &op->bytes, NULL, flow_done(f)));
}

static enum flow_next parse_location(struct flow *f)
{
    struct location_read *op = flow_owner(f);
    enum result r = registry_int_location_parse(op->bytes, &op->digest, op->ret_place);
    return r == OK ? FLOW_NEXT : flow_fail(f, r);
}

static const struct flow_step location_read_steps[] = {
    {"get location", get_location},
    {"parse location", parse_location},
};
static const struct flow_program location_read_program = {.name = "location_read", FLOW_STEPS(location_read_steps)};

enum flow_next registry_int_location_read(struct flow *f, struct registry *registry, const struct digest *digest,
                                          struct blob_place *ret_place)
{
    struct location_read *op = ARENA_NEW(flow_arena(f), struct location_read);
    op->registry = registry;
    op->digest = *digest;
    op->ret_place = ret_place;
    return flow_call(f, &location_read_program, op);
}

/* ---- finding a blob ---- */

struct place_find {
    struct registry *registry;
    struct digest digest;
    struct blob_place place;
    struct storage_object object;
    struct blob_place *ret_place;
};

static enum flow_next stat_data(struct flow *f)
{
    struct place_find *op = flow_owner(f);
    op->place.path = layout_blob(flow_arena(f), &op->digest);
    return flow_await_any(f, storage_stat(op->registry->storage, op->place.path, &op->object, flow_done(f)));
}

static enum flow_next judge_data(struct flow *f)
{
    struct place_find *op = flow_owner(f);
    enum result r = flow_result(f);
    if (r == OK) {
        *op->ret_place = (struct blob_place){op->place.path, op->object.size};
        return FLOW_RETURN;
    }
    if (r != NOT_FOUND || !op->registry->has_fixed_parts)
        return flow_fail(f, r);
    return registry_int_location_read(f, op->registry, &op->digest, &op->place);
}

static enum flow_next stat_located(struct flow *f)
{
    struct place_find *op = flow_owner(f);
    return flow_await(f, storage_stat(op->registry->storage, op->place.path, &op->object, flow_done(f)));
}

static enum flow_next return_located(struct flow *f)
{
    struct place_find *op = flow_owner(f);
    if (op->object.size != op->place.size)
        return flow_fail(f, CORRUPT);
    *op->ret_place = op->place;
    return FLOW_NEXT;
}

static const struct flow_step place_find_steps[] = {
    {"stat data", stat_data},
    {"judge data", judge_data},
    {"stat located", stat_located},
    {"return located", return_located},
};
static const struct flow_program place_find_program = {.name = "place_find", FLOW_STEPS(place_find_steps)};

enum flow_next registry_int_blob_place(struct flow *f, struct registry *registry, const struct digest *digest,
                                       struct blob_place *ret_place)
{
    struct place_find *op = ARENA_NEW(flow_arena(f), struct place_find);
    op->registry = registry;
    op->digest = *digest;
    op->ret_place = ret_place;
    return flow_call(f, &place_find_program, op);
}
