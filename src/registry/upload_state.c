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
 */
#include "upload_int.h"

static const struct slice kind_names[] = {
    [UPLOAD_OPEN] = {"open", 4},
    [UPLOAD_CLOSED] = {"closed", 6},
    [UPLOAD_DONE] = {"done", 4},
};

struct slice registry_int_upload_state_format(const struct upload_state *state, struct arena *arena)
{
    uint8_t saved[DIGEST_STATE_SAVED_MAX];
    char hex[2 * DIGEST_STATE_SAVED_MAX];
    char digest[DIGEST_TEXT_MAX] = "-";
    size_t saved_len = digest_state_save(&state->hash, saved);
    hex_encode(saved, saved_len, hex);
    size_t digest_len = state->kind == UPLOAD_DONE ? digest_format(&state->digest, digest) : 1;
    return arena_format(arena,
                        "minato-upload 1\nkind %.*s\nrepo %.*s\nprocess %s\nactivity %llu\noffset %llu\n"
                        "hash %.*s\nparts %u\nmultipart %s\ndigest %.*s\n",
                        SLICE_ARG(kind_names[state->kind]), SLICE_ARG(state->repo),
                        state->kind == UPLOAD_OPEN ? state->process : "-", (unsigned long long)state->activity_ms,
                        (unsigned long long)state->offset, (int)(2 * saved_len), hex, state->parts,
                        state->multipart.id[0] != '\0' ? state->multipart.id : "-", (int)digest_len, digest);
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

static bool take_digest(struct slice *rest, enum upload_kind kind, struct digest *ret_digest)
{
    struct slice text;
    if (!take_field(rest, SLICE("digest"), &text))
        return false;
    return kind == UPLOAD_DONE ? digest_parse(text, ret_digest) == OK : slice_equal(text, SLICE("-"));
}

enum result registry_int_upload_state_parse(struct slice bytes, struct upload_state *ret)
{
    struct upload_state state;
    struct slice version;
    uint64_t parts;
    struct repo_name repo;
    memset(&state, 0, sizeof(state));
    if (!take_field(&bytes, SLICE("minato-upload"), &version) || !slice_equal(version, SLICE("1")) ||
        !take_kind(&bytes, &state.kind) || !take_field(&bytes, SLICE("repo"), &state.repo) ||
        repo_name_parse(state.repo, &repo) != OK ||
        !take_text(&bytes, SLICE("process"), state.process, sizeof(state.process)) ||
        (state.kind == UPLOAD_OPEN) != (state.process[0] != '\0') ||
        !take_number(&bytes, SLICE("activity"), &state.activity_ms) ||
        !take_number(&bytes, SLICE("offset"), &state.offset) || !take_hash(&bytes, &state.hash) ||
        !take_number(&bytes, SLICE("parts"), &parts) || parts > UINT32_MAX ||
        !take_text(&bytes, SLICE("multipart"), state.multipart.id, sizeof(state.multipart.id)) ||
        !take_digest(&bytes, state.kind, &state.digest) || bytes.len > 0)
        return CORRUPT;
    if (state.offset > 0 && state.multipart.id[0] == '\0')
        return CORRUPT;
    state.parts = (uint32_t)parts;
    *ret = state;
    return OK;
}
