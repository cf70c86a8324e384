/* SPDX-License-Identifier: Apache-2.0
 *
 * The saved state of an upload session: text, one field a line, in this order, so that an operator can read it and an
 * older minato refuses what it does not know. Pure; any thread.
 *
 *     minato-upload 1
 *     kind open|closed|done
 *     repo library/debian
 *     process <32 hex>             whose claim; "-" unless open
 *     activity <ms since 1970>
 *     offset <bytes>
 *     hash <hex of digest_state_save>
 *     parts <how many were put>
 *     multipart <the driver's id>  "-": no body yet
 *     digest <algorithm:hex>       "-" unless done
 *
 * Where the store cannot rename it is `minato-upload 2`: `parts` is the highest number used, `digest` stands as soon as
 * it is known what the bytes will be published as, and there follow
 *
 *     lease <ms since 1970>        open: nobody else may write before
 *     part-bytes <size>            of all parts but the last
 *     target bytes|blob            of the multipart: minato/bytes/<uuid>, or the path of `digest`
 *     tail-seq <state>             the state that the tail was written with
 *     tail <bytes>                 offset less the parts
 *     part <number> <etag>         for each that the store acknowledged, in order
 */
#include "minato/own.h"
#include "upload_int.h"

static const struct slice kind_names[] = {
    [UPLOAD_OPEN] = {"open", 4},
    [UPLOAD_CLOSED] = {"closed", 6},
    [UPLOAD_DONE] = {"done", 4},
};

struct slice registry_int_upload_target(const struct upload_state *state, struct slice uuid, struct arena *arena)
{
    return state->is_direct ? layout_blob(arena, &state->digest) : layout_bytes(arena, uuid);
}

void registry_int_upload_add_name(struct upload_state *state, const struct storage_part *part, struct arena *arena)
{
    if (state->name_count == state->name_room) {
        size_t room = state->name_room == 0 ? 16 : 2 * state->name_room;
        struct upload_part_name *names = ARENA_ARRAY(arena, struct upload_part_name, room);
        if (state->name_count > 0)
            memcpy(names, state->names, state->name_count * sizeof(names[0]));
        state->names = names;
        state->name_room = room;
    }
    struct upload_part_name *name = &state->names[state->name_count++];
    name->number = part->number;
    memcpy(name->etag, part->etag, sizeof(name->etag));
}

static void format_parts(const struct upload_state *state, struct strbuf *text)
{
    strbuf_append_format(text, "lease %llu\npart-bytes %llu\ntarget %s\ntail-seq %u\ntail %llu\n",
                         (unsigned long long)state->lease_ms, (unsigned long long)state->part_bytes,
                         state->is_direct ? "blob" : "bytes", state->tail_seq, (unsigned long long)state->tail_bytes);
    for (size_t i = 0; i < state->name_count; i++)
        strbuf_append_format(text, "part %u %s\n", state->names[i].number, state->names[i].etag);
}

struct slice registry_int_upload_state_format(const struct upload_state *state, struct arena *arena)
{
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    char hex[2 * DIGEST_STATE_SAVED_MAX];
    char digest[DIGEST_TEXT_MAX] = "-";
    size_t saved_len = digest_state_save(&state->hash, saved);
    hex_encode(saved, saved_len, hex);
    size_t digest_len = state->kind == UPLOAD_DONE || state->has_digest ? digest_format(&state->digest, digest) : 1;
    OWNED(strbuf_done) struct strbuf text;
    strbuf_init(&text, UPLOAD_STATE_BYTES_MAX);
    strbuf_append_format(&text,
                         "minato-upload %d\nkind %.*s\nrepo %.*s\nprocess %s\nactivity %llu\noffset %llu\n"
                         "hash %.*s\nparts %u\nmultipart %s\ndigest %.*s\n",
                         state->part_bytes > 0 ? 2 : 1, SLICE_ARG(kind_names[state->kind]), SLICE_ARG(state->repo),
                         state->kind == UPLOAD_OPEN ? state->process : "-", (unsigned long long)state->activity_ms,
                         (unsigned long long)state->offset, (int)(2 * saved_len), hex, state->parts,
                         state->multipart.id[0] != '\0' ? state->multipart.id : "-", (int)digest_len, digest);
    if (state->part_bytes > 0)
        format_parts(state, &text);
    return arena_copy(arena, strbuf_slice(&text));
}

/* Takes the line "<name> <value>\n" off the front of *rest. */
static bool take_field(struct slice *rest, struct slice name, struct slice *ret_value)
{
    struct slice line, tail;
    if (!slice_split(*rest, '\n', &line, &tail))
        return false;
    if (line.len <= name.len || !slice_has_prefix(line, name) || line.ptr[name.len] != ' ')
        return false;
    *ret_value = slice_from(line, name.len + 1);
    *rest = tail;
    return ret_value->len > 0;
}

static bool take_number(struct slice *rest, struct slice name, uint64_t *ret_value)
{
    struct slice text;
    return take_field(rest, name, &text) && slice_parse_u64(text, ret_value) == OK;
}

/* "-" is the empty text. */
static bool take_text(struct slice *rest, struct slice name, char *out, size_t size)
{
    struct slice text;
    if (!take_field(rest, name, &text) || text.len >= size || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    if (slice_equal(text, SLICE("-")))
        text.len = 0;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool take_kind(struct slice *rest, enum upload_kind *ret_kind)
{
    struct slice text;
    if (!take_field(rest, SLICE("kind"), &text))
        return false;
    for (size_t i = 0; i < sizeof(kind_names) / sizeof(kind_names[0]); i++) {
        if (slice_equal(text, kind_names[i])) {
            *ret_kind = (enum upload_kind)i;
            return true;
        }
    }
    return false;
}

static bool take_hash(struct slice *rest, struct digest_state *ret_hash)
{
    struct slice text;
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    if (!take_field(rest, SLICE("hash"), &text) || text.len / 2 > sizeof(saved) || text.len % 2 != 0)
        return false;
    return hex_decode(text, saved, text.len / 2) == OK && digest_state_load(ret_hash, saved, text.len / 2) == OK;
}

static bool take_digest(struct slice *rest, bool is_second, struct upload_state *state)
{
    struct slice text;
    if (!take_field(rest, SLICE("digest"), &text))
        return false;
    bool is_none = slice_equal(text, SLICE("-"));
    state->has_digest = !is_none;
    if (is_none ? state->kind == UPLOAD_DONE : !is_second && state->kind != UPLOAD_DONE)
        return false;
    return is_none || digest_parse(text, &state->digest) == OK;
}

static bool take_part(struct slice *rest, struct upload_state *state, struct arena *arena)
{
    struct slice text, number, etag;
    uint64_t n;
    struct storage_part part = {0};
    if (!take_field(rest, SLICE("part"), &text) || !slice_split(text, ' ', &number, &etag) ||
        slice_parse_u64(number, &n) != OK ||
        n <= (state->name_count > 0 ? state->names[state->name_count - 1].number : 0) || n > state->parts ||
        etag.len == 0 || etag.len > STORAGE_ETAG_MAX || memchr(etag.ptr, '\0', etag.len) != NULL)
        return false;
    part.number = (uint32_t)n;
    memcpy(part.etag, etag.ptr, etag.len);
    registry_int_upload_add_name(state, &part, arena);
    return true;
}

static bool take_parts(struct slice *rest, struct upload_state *state, struct arena *arena)
{
    struct slice target;
    uint64_t tail_seq;
    if (!take_number(rest, SLICE("lease"), &state->lease_ms) ||
        !take_number(rest, SLICE("part-bytes"), &state->part_bytes) || state->part_bytes == 0 ||
        state->part_bytes % PAGE_BYTES != 0 || !take_field(rest, SLICE("target"), &target) ||
        !take_number(rest, SLICE("tail-seq"), &tail_seq) || tail_seq > UINT32_MAX ||
        !take_number(rest, SLICE("tail"), &state->tail_bytes) || state->tail_bytes > state->part_bytes)
        return false;
    state->tail_seq = (uint32_t)tail_seq;
    state->is_direct = slice_equal(target, SLICE("blob"));
    if ((!state->is_direct && !slice_equal(target, SLICE("bytes"))) || (state->is_direct && !state->has_digest))
        return false;
    while (rest->len > 0)
        if (!take_part(rest, state, arena))
            return false;
    bool is_done = state->kind == UPLOAD_DONE; /* which keeps no list */
    return is_done || state->offset - state->tail_bytes == state->name_count * state->part_bytes;
}

enum result registry_int_upload_state_parse(struct slice bytes, struct arena *arena, struct upload_state *ret)
{
    struct upload_state state;
    struct slice version;
    uint64_t parts;
    struct repo_name repo;
    memset(&state, 0, sizeof(state));
    if (!take_field(&bytes, SLICE("minato-upload"), &version))
        return CORRUPT;
    bool is_second = slice_equal(version, SLICE("2"));
    if ((!is_second && !slice_equal(version, SLICE("1"))) || !take_kind(&bytes, &state.kind) ||
        !take_field(&bytes, SLICE("repo"), &state.repo) || repo_name_parse(state.repo, &repo) != OK ||
        !take_text(&bytes, SLICE("process"), state.process, sizeof(state.process)) ||
        (state.kind == UPLOAD_OPEN) != (state.process[0] != '\0') ||
        !take_number(&bytes, SLICE("activity"), &state.activity_ms) ||
        !take_number(&bytes, SLICE("offset"), &state.offset) || !take_hash(&bytes, &state.hash) ||
        !take_number(&bytes, SLICE("parts"), &parts) || parts > UINT32_MAX ||
        !take_text(&bytes, SLICE("multipart"), state.multipart.id, sizeof(state.multipart.id)) ||
        !take_digest(&bytes, is_second, &state))
        return CORRUPT;
    state.parts = (uint32_t)parts;
    if (is_second ? !take_parts(&bytes, &state, arena) : bytes.len > 0)
        return CORRUPT;
    bool has_parts = is_second ? state.name_count > 0 : state.offset > 0;
    if (has_parts && state.multipart.id[0] == '\0')
        return CORRUPT;
    *ret = state;
    return OK;
}
