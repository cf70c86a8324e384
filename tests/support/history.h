/* SPDX-License-Identifier: Apache-2.0
 *
 * Can what clients were told of one register be explained by some order of what they did? (Linearizability, by Wing and
 * Gong: every order that keeps what ended before something else began in front of it.) Registers are independent of
 * each other, so a store of many is checked one at a time. For a handful of events each.
 *
 *     struct history *h = history_new(registers);
 *     history_add(h, tag, relation_write(2), begun, ended, "put");     it became 2
 *     history_add(h, tag, relation_read(1u << 2), begun, ended, "get"); it was 2
 *     history_is_explained(h, tag, 0, 2)                               from 0 to 2?
 */
#ifndef MINATO_TEST_HISTORY_H
#define MINATO_TEST_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "minato/slice.h"

#define HISTORY_VALUES 8u      /* of a register: 0 to 7; sets of them are bits */
#define HISTORY_EVENTS_MAX 20u /* of one register */

/* What an event makes of each value: the set of what it can become, empty where the event cannot have happened. */
struct relation {
    uint8_t next[HISTORY_VALUES];
};

/* It was one of these and stays so. */
struct relation relation_read(unsigned values);
/* Whatever it was, it becomes `value`. */
struct relation relation_write(unsigned value);
/* It was one of these and becomes `value`. */
struct relation relation_change(unsigned values, unsigned value);
/* If it is one of these it becomes `value`, else it stays. */
struct relation relation_change_if(unsigned values, unsigned value);
/* One or the other. */
struct relation relation_or(struct relation a, struct relation b);
/* It happened or it did not: of a failure. */
struct relation relation_perhaps(struct relation a);

struct history;

struct history *history_new(unsigned registers);
void history_free(struct history *history); /* accepts NULL */
void history_clear(struct history *history);
/* `begun` and `ended` are moments of one clock that no two of them share. `what` is not copied. */
void history_add(struct history *history, unsigned reg, struct relation relation, uint64_t begun, uint64_t ended,
                 const char *what);
bool history_is_explained(const struct history *history, unsigned reg, unsigned first, unsigned last);
/* Whether no event could have made anything else of `value`. */
bool history_is_constant(const struct history *history, unsigned reg, unsigned value);
/* The events of a register, a line each. */
void history_print(const struct history *history, unsigned reg, struct strbuf *out);

#endif
