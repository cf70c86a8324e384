/* SPDX-License-Identifier: Apache-2.0
 *
 * Random text that the first start leaves in the store and all later ones find there. At start-up, while nothing
 * serves.
 */
#include "registry_int.h"

#define TEXT_MAX 128u
#define NAME_PATH SLICE("minato/name")

struct stored_random {
    struct storage *storage;
    struct slice path;
    size_t length;
    char fresh[TEXT_MAX];
    struct slice stored;
    char *ret_text;
    bool is_over;
    enum result outcome;
};

static enum flow_next read_text(struct flow *f)
{
    struct stored_random *op = flow_owner(f);
    return flow_await_any(f,
                          storage_get(op->storage, op->path, TEXT_MAX, flow_arena(f), &op->stored, NULL, flow_done(f)));
}

static enum flow_next make_text(struct flow *f)
{
    struct stored_random *op = flow_owner(f);
    uint8_t bytes[TEXT_MAX / 2];
    if (flow_result(f) == OK)
        return FLOW_NEXT;
    if (flow_result(f) != NOT_FOUND)
        return flow_fail(f, flow_result(f));
    random_bytes(bytes, op->length / 2);
    hex_encode(bytes, op->length / 2, op->fresh);
    return flow_await_any(
        f, storage_put(op->storage, op->path, slice_of(op->fresh, op->length), STORAGE_PUT_CREATE_ONLY, flow_done(f)));
}

/* Again whatever was there: of several makers the first one's counts. */
static enum flow_next read_again(struct flow *f)
{
    struct stored_random *op = flow_owner(f);
    if (flow_result(f) != OK && flow_result(f) != EXISTS)
        return flow_fail(f, flow_result(f));
    return flow_await(f, storage_get(op->storage, op->path, TEXT_MAX, flow_arena(f), &op->stored, NULL, flow_done(f)));
}

static enum flow_next give_text(struct flow *f)
{
    struct stored_random *op = flow_owner(f);
    if (op->stored.len < op->length)
        return flow_fail(f, CORRUPT);
    memcpy(op->ret_text, op->stored.ptr, op->length);
    return FLOW_NEXT;
}

static const struct flow_step stored_random_steps[] = {
    {"read text", read_text},
    {"make text", make_text},
    {"read again", read_again},
    {"give text", give_text},
};
static const struct flow_program stored_random_program = {.name = "stored_random", FLOW_STEPS(stored_random_steps)};

static void on_loaded(void *data, enum result outcome)
{
    struct stored_random *op = data;
    op->is_over = true;
    op->outcome = outcome;
}

enum result registry_int_stored_random(struct storage *storage, struct loop *loop, struct slice path, char *ret_text,
                                       size_t length)
{
    struct stored_random op = {.storage = storage, .path = path, .length = length, .ret_text = ret_text};
    flow_start(flow_new(loop), &stored_random_program, &op, on_loaded, &op);
    while (!op.is_over)
        loop_run_once(loop, 1000);
    explicit_bzero(op.fresh, sizeof(op.fresh));
    return op.outcome;
}

enum result registry_name_store(struct storage *storage, struct loop *loop, char ret_name[REGISTRY_STORE_NAME_SIZE])
{
    enum result r = registry_int_stored_random(storage, loop, NAME_PATH, ret_name, REGISTRY_STORE_NAME_SIZE - 1);
    if (r == OK)
        ret_name[REGISTRY_STORE_NAME_SIZE - 1] = '\0';
    return r;
}
