/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathering a body into pieces and sending them as parts. Side by side run: reading the next page, hashing one piece
 * (on the pool), writing several, and saving the state. A piece has room reserved before its first byte is read:
 * pieces that can never be filled would hold the budget for ever. So has what is read before the next piece has room.
 * All on the flow's loop but hash_piece.
 */
#include "upload_parts.h"

#define HASH_INLINE_BYTES (16u * 1024u)
/* The page whose beginning filled a piece, and what a connection has taken ahead. */
#define BETWEEN_PAGES (1u + PAGES_AHEAD_MAX)

void registry_int_parts_init(struct upload_parts *w, struct flow *f, struct registry *registry,
                             struct upload_ref upload, const struct upload_body *body, uint64_t *ret_offset_bytes)
{
    registry_int_writer_init(&w->writer, f, registry, upload, body, ret_offset_bytes);
    unsigned in_flight = registry->config->uploads.parts_in_flight;
    w->piece_max = 1 + (in_flight > 0 ? in_flight : 1); /* those on their way, and one being filled */
    w->pieces = ARENA_ARRAY(flow_arena(f), struct upload_piece, w->piece_max);
    w->flow = f;
    arena_init(&w->save_arena);
}

/* ---- pieces ---- */

static struct upload_piece *piece_at(struct upload_parts *w, unsigned i)
{
    return &w->pieces[(w->first + i) % w->piece_max];
}

static struct upload_piece *filling(struct upload_parts *w)
{
    struct upload_piece *last = w->count > 0 ? piece_at(w, w->count - 1) : NULL;
    return last != NULL && !last->is_sealed ? last : NULL;
}

struct upload_piece *registry_int_parts_open_piece(struct upload_parts *w)
{
    struct upload_piece *piece = piece_at(w, w->count++);
    memset(piece, 0, sizeof(*piece));
    piece->pages.last = &piece->pages.first;
    piece->reserved = w->granted;
    w->granted = 0;
    return piece;
}

static void close_piece(struct upload_parts *w)
{
    struct upload_piece *piece = piece_at(w, 0);
    registry_int_chain_release(&piece->pages);
    page_unreserve(flow_loop(w->flow), PAGES_GATHERED, piece->reserved);
    w->first = (w->first + 1) % w->piece_max;
    w->count--;
}

struct page *registry_int_piece_pour(struct upload_piece *piece, struct page *page, uint64_t part_bytes)
{
    struct page *last = piece->last_page;
    if (last != NULL) {
        size_t room = PAGE_BYTES - last->len;
        size_t n = page->len < room ? page->len : room;
        memcpy(last->ptr + last->len, page->ptr + page->start, n);
        last->len += n;
        piece->pages.bytes += n;
        page->start += n;
        page->len -= n;
    }
    if (page->len == 0) {
        page_release(page);
        return NULL;
    }
    if (piece->pages.bytes == part_bytes)
        return page;
    if (page->start > 0)
        memmove(page->ptr, page->ptr + page->start, page->len);
    page->start = 0;
    registry_int_chain_append(&piece->pages, page);
    piece->last_page = page;
    return NULL;
}

struct upload_piece *registry_int_parts_rest(struct upload_parts *w)
{
    struct upload_piece *piece = filling(w);
    return piece != NULL && w->count == 1 && !w->has_gap && piece->pages.bytes > 0 ? piece : NULL;
}

/* ---- room ---- */

void registry_int_parts_reserve(struct upload_parts *w, struct flow *f, uint64_t tail_bytes)
{
    const struct upload_body *body = &w->writer.body;
    uint64_t part_bytes = w->writer.session.state.part_bytes;
    uint64_t expected = body->source == NULL ? 0 : body->length;
    if (expected != UINT64_MAX) {
        expected = tail_bytes + (expected > w->writer.received ? expected - w->writer.received : 0);
        expected += w->writer.queue.bytes;
    }
    uint64_t bytes = expected < part_bytes ? expected : part_bytes;
    w->asks_between = expected > part_bytes && !w->holds_between;
    /* One more: the page that comes is poured into the others. */
    w->asked = w->asks_between ? BETWEEN_PAGES : (size_t)((bytes + PAGE_BYTES - 1) / PAGE_BYTES) + 1;
    struct done done = registry_int_pending_done(&w->reserve, &w->writer.gate, f);
    registry_int_pending_started(
        &w->reserve, page_reserve(flow_loop(f), w->asks_between ? PAGES_BETWEEN : PAGES_GATHERED, w->asked, done));
}

void registry_int_parts_take_room(struct upload_parts *w)
{
    w->reserve.state = PENDING_IDLE;
    if (w->asks_between)
        w->holds_between = true;
    else
        w->granted = w->asked;
}

static bool take_reserve(struct upload_parts *w)
{
    if (w->reserve.state != PENDING_OVER)
        return false;
    if (w->reserve.result == OK) {
        registry_int_parts_take_room(w);
    } else {
        w->reserve.state = PENDING_IDLE;
        registry_int_writer_refuse(&w->writer, w->reserve.result);
    }
    return true;
}

/* Room for what will not come keeps it from the others. */
static bool drop_reserve(struct upload_parts *w, const struct flow *f)
{
    struct upload_writer *base = &w->writer;
    bool is_needless = base->failure != OK || (base->is_ended && base->queue.first == NULL);
    if (w->reserve.state != PENDING_RUNNING || !is_needless)
        return false;
    page_reserve_cancel(flow_loop(f), &w->reserve);
    w->reserve.state = PENDING_IDLE;
    return true;
}

static bool needs_piece(struct upload_parts *w)
{
    const struct upload_piece *piece = filling(w);
    return piece == NULL || piece->pages.bytes == w->writer.session.state.part_bytes;
}

static bool start_reserve(struct upload_parts *w, struct flow *f)
{
    bool is_more_to_come = !w->writer.is_ended && w->writer.failure == OK;
    if (w->granted > 0 || w->reserve.state != PENDING_IDLE || w->count == w->piece_max || !needs_piece(w) ||
        w->writer.may_not_write || (w->writer.queue.first == NULL && !is_more_to_come))
        return false;
    registry_int_parts_reserve(w, f, 0);
    return true;
}

/* ---- reading ---- */

static bool take_read(struct upload_parts *w)
{
    if (w->writer.read.state != PENDING_OVER)
        return false;
    registry_int_writer_take_page(&w->writer);
    return true;
}

/* A full piece is read beyond without room for the next: the byte behind it seals it, and its own room comes free. */
static bool start_read(struct upload_parts *w, struct flow *f)
{
    struct upload_writer *base = &w->writer;
    if (base->is_ended || base->failure != OK || base->read.state != PENDING_IDLE || base->queue.first != NULL ||
        (filling(w) == NULL && w->granted == 0))
        return false;
    struct done done = registry_int_pending_done(&base->read, &base->gate, f);
    registry_int_pending_started(&base->read, byte_source_read(base->body.source, &base->page, done));
    return true;
}

/* A full piece is sealed by the byte behind it: until then it may be all there is, and needs no multipart. */
static bool gather(struct upload_parts *w)
{
    struct page_chain *queue = &w->writer.queue;
    if (queue->first == NULL || w->writer.may_not_write)
        return false;
    struct upload_piece *piece = filling(w);
    bool has_sealed = false;
    if (piece != NULL && needs_piece(w)) {
        has_sealed = true;
        piece->is_sealed = true;
        piece = NULL;
    }
    if (piece == NULL && (w->granted == 0 || w->count == w->piece_max))
        return has_sealed;
    if (piece == NULL)
        piece = registry_int_parts_open_piece(w);
    struct page *page = queue->first;
    *queue = (struct page_chain){.last = &queue->first};
    page = registry_int_piece_pour(piece, page, w->writer.session.state.part_bytes);
    if (page != NULL)
        registry_int_chain_append(queue, page);
    return true;
}

/* ---- hashing ---- */

static enum result hash_piece(void *data)
{
    struct upload_piece *piece = data;
    uint64_t skip = piece->hashed_bytes;
    for (const struct page *page = piece->pages.first; page != NULL; page = page->next) {
        size_t n = skip < page->len ? (size_t)skip : page->len;
        skip -= n;
        digest_state_update(&piece->hash_after, page->ptr + page->start + n, page->len - n);
    }
    return OK;
}

static void hash_on(struct upload_parts *w, struct flow *f, struct upload_piece *piece, const struct digest_state *from)
{
    struct registry *registry = w->writer.session.registry;
    piece->hash_after = *from;
    struct done done = registry_int_pending_done(&piece->hash, &w->writer.gate, f);
    enum result r = piece->pages.bytes <= HASH_INLINE_BYTES
                        ? hash_piece(piece)
                        : registry_int_offload(registry, &piece->hash_job, hash_piece, piece, done);
    registry_int_pending_started(&piece->hash, r);
}

static bool start_hash(struct upload_parts *w, struct flow *f)
{
    const struct digest_state *from = &w->writer.session.state.hash;
    for (unsigned i = 0; i < w->count && !w->writer.may_not_write; i++) {
        struct upload_piece *piece = piece_at(w, i);
        if (!piece->is_sealed || piece->hash.state == PENDING_RUNNING)
            return false;
        if (piece->hash.state == PENDING_IDLE) {
            hash_on(w, f, piece, from);
            return true;
        }
        from = &piece->hash_after;
    }
    return false;
}

enum flow_next registry_int_parts_hash_rest(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    struct upload_piece *rest = registry_int_parts_rest(w);
    if (rest == NULL || rest->pages.bytes == rest->hashed_bytes)
        return FLOW_NEXT;
    if (rest->hash.state == PENDING_IDLE)
        hash_on(w, f, rest, &w->writer.session.state.hash);
    return registry_int_pending_await(f, &rest->hash);
}

const struct digest_state *registry_int_parts_hash(struct upload_parts *w)
{
    const struct upload_piece *rest = registry_int_parts_rest(w);
    return rest != NULL && rest->hash.state == PENDING_OVER ? &rest->hash_after : &w->writer.session.state.hash;
}

/* ---- sending ---- */

/* The multipart, once there is more than a part of bytes. Where the digest is known, and is what we hash, they go to
 * their own path, as nothing is seen there before the digest has been compared. */
static bool start_place(struct upload_parts *w, struct flow *f)
{
    struct upload_session *s = &w->writer.session;
    if (w->is_placed || w->place.state != PENDING_IDLE || w->writer.may_not_write || w->count == 0 ||
        !piece_at(w, 0)->is_sealed)
        return false;
    if (s->state.multipart.id[0] != '\0') {
        w->is_placed = true;
        return true;
    }
    const struct digest *wanted = w->writer.wanted;
    s->state.is_direct = wanted != NULL && wanted->algorithm == s->state.hash.algorithm;
    s->state.has_digest = s->state.is_direct;
    if (s->state.is_direct)
        s->state.digest = *wanted;
    struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
    struct done done = registry_int_pending_done(&w->place, &w->writer.gate, f);
    registry_int_pending_started(&w->place,
                                 storage_multipart_begin(s->registry->storage, path, &s->state.multipart, done));
    return true;
}

static bool take_place(struct upload_parts *w)
{
    if (w->place.state != PENDING_OVER || w->is_place_taken || w->writer.may_not_write)
        return false;
    if (w->place.result != OK) {
        registry_int_writer_refuse(&w->writer, w->place.result);
        return true;
    }
    w->is_save_due = true;
    w->is_place_taken = true;
    return true;
}

static bool take_save(struct upload_parts *w)
{
    if (w->save.state != PENDING_OVER)
        return false;
    enum result r = registry_int_parts_take_save(w);
    if (r != OK)
        registry_int_writer_refuse(&w->writer, r);
    else
        w->is_placed = w->is_placed || w->has_saved_place;
    return true;
}

static bool start_save(struct upload_parts *w, const struct flow *f)
{
    bool is_due = w->is_save_due || w->writer.session.state.parts - w->saved_number >= UPLOAD_SAVE_EVERY;
    if (!is_due || w->save.state != PENDING_IDLE || w->writer.may_not_write)
        return false;
    registry_int_parts_start_save(w, f);
    return true;
}

static bool start_write(struct upload_parts *w, const struct flow *f)
{
    struct upload_session *s = &w->writer.session;
    uint32_t numbers_max = storage_capabilities(s->registry->storage).parts_max;
    for (unsigned i = 0; i < w->count && w->is_placed && !w->writer.may_not_write; i++) {
        struct upload_piece *piece = piece_at(w, i);
        if (!piece->is_sealed || s->state.parts - w->saved_number >= UPLOAD_NUMBERS_UNSAVED_MAX)
            return false;
        if (piece->write.state != PENDING_IDLE)
            continue;
        if (!registry_int_parts_has_lease(w) || (numbers_max > 0 && s->state.parts >= numbers_max)) {
            registry_int_writer_refuse(&w->writer, registry_int_parts_has_lease(w) ? TOO_LARGE : UNAVAILABLE);
            return true;
        }
        piece->part = (struct storage_part){.number = ++s->state.parts,
                                            .offset = (s->state.name_count + i) * s->state.part_bytes,
                                            .size = piece->pages.bytes};
        struct slice path = registry_int_upload_target(&s->state, s->uuid, s->arena);
        struct done done = registry_int_pending_done(&piece->write, &w->writer.gate, f);
        registry_int_pending_started(&piece->write,
                                     storage_multipart_put(s->registry->storage, path, &s->state.multipart,
                                                           piece->pages.first, &piece->part, done));
        return true;
    }
    return false;
}

static void accept_piece(struct upload_parts *w, const struct upload_piece *piece)
{
    struct upload_session *s = &w->writer.session;
    registry_int_upload_add_name(&s->state, &piece->part, s->arena);
    s->state.offset = s->state.name_count * s->state.part_bytes;
    s->state.hash = piece->hash_after;
    s->state.tail_bytes = 0;
    s->state.tail_seq = 0;
}

/* The oldest piece, when both have reported: offset, hash and list move on together or not at all. */
static bool take_piece(struct upload_parts *w)
{
    struct upload_piece *piece = w->count > 0 ? piece_at(w, 0) : NULL;
    if (piece == NULL || !piece->is_sealed || piece->hash.state == PENDING_RUNNING ||
        piece->write.state == PENDING_RUNNING)
        return false;
    bool is_over = piece->hash.state == PENDING_OVER && piece->write.state == PENDING_OVER;
    if (!is_over && !w->writer.may_not_write)
        return false;
    if (is_over && !w->has_gap && piece->hash.result == OK && piece->write.result == OK) {
        accept_piece(w, piece);
    } else {
        if (is_over && !w->has_gap) {
            w->writer.is_spoilt = piece->write.result == NOT_FOUND;
            registry_int_writer_refuse(&w->writer,
                                       piece->write.result != OK ? piece->write.result : piece->hash.result);
        }
        w->has_gap = true;
    }
    close_piece(w);
    return true;
}

/* ---- all together ---- */

static bool is_running(struct upload_parts *w)
{
    bool is_piece_running = false;
    for (unsigned i = 0; i < w->count; i++) {
        const struct upload_piece *piece = piece_at(w, i);
        is_piece_running |= piece->hash.state == PENDING_RUNNING || piece->write.state == PENDING_RUNNING;
    }
    return is_piece_running || w->writer.read.state == PENDING_RUNNING || w->reserve.state == PENDING_RUNNING ||
           w->place.state == PENDING_RUNNING || w->save.state == PENDING_RUNNING;
}

/* Takes what has reported and starts what can be started, until neither is possible. True: something is running. */
static bool turn(struct upload_parts *w, struct flow *f, bool may_read)
{
    bool has_moved = true;
    while (has_moved) {
        has_moved = take_read(w);
        has_moved |= take_reserve(w);
        has_moved |= take_place(w);
        has_moved |= take_save(w);
        has_moved |= gather(w);
        has_moved |= take_piece(w);
        has_moved |= start_hash(w, f);
        has_moved |= start_place(w, f);
        has_moved |= start_save(w, f);
        has_moved |= start_write(w, f);
        has_moved |= drop_reserve(w, f);
        if (may_read) {
            has_moved |= start_reserve(w, f);
            has_moved |= start_read(w, f);
        }
    }
    return is_running(w);
}

static void on_renew(struct timer *timer)
{
    struct upload_parts *w = (struct upload_parts *)(void *)((char *)timer - offsetof(struct upload_parts, renew));
    w->is_save_due = true;
    timer_start(flow_loop(w->flow), timer, UPLOAD_RENEW_MS, on_renew);
    struct done waiter = w->writer.gate.waiter;
    if (waiter.fn != NULL) {
        w->writer.gate.waiter.fn = NULL;
        done_call(waiter, OK);
    }
}

void registry_int_parts_keep_lease(struct upload_parts *w, const struct flow *f)
{
    if (!timer_is_running(&w->renew))
        timer_start(flow_loop(f), &w->renew, UPLOAD_RENEW_MS, on_renew);
    (void)take_save(w);
    (void)start_save(w, f);
}

enum flow_next registry_int_parts_receive(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    if (w->writer.body.source == NULL) {
        timer_stop(&w->renew);
        (void)take_save(w);
        if (w->save.state == PENDING_RUNNING) /* begun while room for the tail was waited for */
            return registry_int_gate_wait(f, &w->writer.gate);
        return w->writer.failure == OK ? FLOW_NEXT : flow_fail(f, w->writer.failure);
    }
    registry_int_parts_keep_lease(w, f);
    if (turn(w, f, true))
        return registry_int_gate_wait(f, &w->writer.gate);
    timer_stop(&w->renew);
    return w->writer.failure == OK ? FLOW_NEXT : flow_fail(f, w->writer.failure);
}

static void roll_back(struct upload_parts *w)
{
    struct upload_state *state = &w->writer.session.state;
    state->offset = w->claimed.offset;
    state->hash = w->claimed.hash;
    state->name_count = w->claimed.name_count;
    state->tail_bytes = w->claimed.tail_bytes;
    state->tail_seq = w->claimed.tail_seq;
    w->has_gap = true;
}

enum flow_next registry_int_parts_drain(struct flow *f)
{
    struct upload_parts *w = flow_owner(f);
    timer_stop(&w->renew);
    if (w->reserve.state == PENDING_RUNNING) {
        page_reserve_cancel(flow_loop(f), &w->reserve);
        w->reserve.state = PENDING_IDLE;
    }
    if (turn(w, f, false) || w->writer.claim.state == PENDING_RUNNING || w->tail_open.state == PENDING_RUNNING ||
        w->tail_acquire.state == PENDING_RUNNING)
        return registry_int_gate_wait(f, &w->writer.gate);
    enum result outcome = flow_outcome(f);
    bool is_unwanted = outcome == INVALID || outcome == TOO_LARGE || (w->is_hashed_anew && outcome != OK);
    if (registry_int_writer_is_claimed(&w->writer) && is_unwanted)
        roll_back(w);
    return FLOW_NEXT;
}

void registry_int_parts_dispose(void *owner)
{
    struct upload_parts *w = owner;
    timer_stop(&w->renew);
    while (w->count > 0)
        close_piece(w);
    page_unreserve(flow_loop(w->flow), PAGES_GATHERED, w->granted);
    page_unreserve(flow_loop(w->flow), PAGES_BETWEEN, w->holds_between ? BETWEEN_PAGES : 0);
    page_release(w->tail_page);
    if (w->tail_reader != NULL)
        storage_close_read(w->writer.session.registry->storage, w->tail_reader);
    arena_done(&w->save_arena);
    registry_int_writer_dispose(owner);
}

static const struct flow_step append_steps[] = {
    {"enter", registry_int_writer_enter},
    {"check", registry_int_writer_check},
    {"claim", registry_int_parts_claim},
    {"forget empty", registry_int_parts_forget_empty},
    {"reserve tail", registry_int_parts_reserve_tail},
    {"open tail", registry_int_parts_open_tail},
    {"read tail", registry_int_parts_read_tail},
    {"receive", registry_int_parts_receive},
};
static const struct flow_step append_finally[] = {
    {"drain", registry_int_parts_drain},
    {"hash rest", registry_int_parts_hash_rest},
    {"put tail", registry_int_parts_put_tail},
    {"close", registry_int_parts_close},
    {"after close", registry_int_parts_after_close},
    {"drop tail", registry_int_parts_drop_tail},
    {"prune", registry_int_writer_prune},
};
static const struct flow_program append_program = {
    .name = "upload_append_parts",
    FLOW_STEPS(append_steps),
    FLOW_FINALLY(append_finally),
    .dispose = registry_int_parts_dispose,
};

enum flow_next registry_int_parts_append(struct flow *f, struct registry *registry, struct upload_ref upload,
                                         const struct upload_body *body, uint64_t *ret_offset_bytes)
{
    struct upload_parts *w = ARENA_NEW(flow_arena(f), struct upload_parts);
    registry_int_parts_init(w, f, registry, upload, body, ret_offset_bytes);
    return flow_call(f, &append_program, w);
}
