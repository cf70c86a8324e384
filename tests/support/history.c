/* SPDX-License-Identifier: Apache-2.0
 *
 * The search for an order of events: see history.h. No threads.
 */
#include "history.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "minato/arena.h"

struct event {
    struct relation relation;
    uint64_t begun;
    uint64_t ended;
    const char *what;
};

struct events {
    struct event all[HISTORY_EVENTS_MAX];
    unsigned count;
};

struct history {
    struct events *registers;
    unsigned count;
};

/* ---- relations ---- */

struct relation relation_change_if(unsigned values, unsigned value)
{
    struct relation r;
    for (unsigned v = 0; v < HISTORY_VALUES; v++)
        r.next[v] = (uint8_t)(1u << ((values >> v & 1u) != 0 ? value : v));
    return r;
}

struct relation relation_change(unsigned values, unsigned value)
{
    struct relation r;
    for (unsigned v = 0; v < HISTORY_VALUES; v++)
        r.next[v] = (uint8_t)((values >> v & 1u) << value);
    return r;
}

struct relation relation_write(unsigned value)
{
    return relation_change(UINT32_MAX, value);
}

struct relation relation_read(unsigned values)
{
    struct relation r;
    for (unsigned v = 0; v < HISTORY_VALUES; v++)
        r.next[v] = (uint8_t)(values & 1u << v);
    return r;
}

struct relation relation_or(struct relation a, struct relation b)
{
    for (unsigned v = 0; v < HISTORY_VALUES; v++)
        a.next[v] |= b.next[v];
    return a;
}

struct relation relation_perhaps(struct relation a)
{
    return relation_or(a, relation_read(UINT32_MAX));
}

/* ---- histories ---- */

struct history *history_new(unsigned registers)
{
    struct history *history = xcalloc(1, sizeof(*history));
    history->registers = xcalloc(registers, sizeof(history->registers[0]));
    history->count = registers;
    return history;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    free(history->registers);
    free(history);
}

void history_clear(struct history *history)
{
    for (unsigned i = 0; i < history->count; i++)
        history->registers[i].count = 0;
}

void history_add(struct history *history, unsigned reg, struct relation relation, uint64_t begun, uint64_t ended,
                 const char *what)
{
    struct events *events = &history->registers[reg];
    if (events->count == HISTORY_EVENTS_MAX)
        abort();
    events->all[events->count++] = (struct event){relation, begun, ended, what};
}

bool history_is_constant(const struct history *history, unsigned reg, unsigned value)
{
    const struct events *events = &history->registers[reg];
    for (unsigned i = 0; i < events->count; i++)
        if ((events->all[i].relation.next[value] & ~(1u << value)) != 0)
            return false;
    return true;
}

/* ---- the search ---- */

struct search {
    const struct events *events;
    unsigned last;
    unsigned char *seen; /* for each set of events that are through: the values it was looked at with */
};

/* Nothing that is left ended before it began. */
static bool may_be_next(const struct events *events, uint32_t through, unsigned i)
{
    for (unsigned k = 0; k < events->count; k++)
        if (k != i && (through & 1u << k) == 0 && events->all[k].ended < events->all[i].begun)
            return false;
    return true;
}

static bool search_from(struct search *s, uint32_t through, unsigned value)
{
    if (through == (1u << s->events->count) - 1)
        return value == s->last;
    if ((s->seen[through] & 1u << value) != 0)
        return false;
    s->seen[through] |= (uint8_t)(1u << value);
    for (unsigned i = 0; i < s->events->count; i++) {
        if ((through & 1u << i) != 0 || !may_be_next(s->events, through, i))
            continue;
        for (unsigned next = 0; next < HISTORY_VALUES; next++)
            if ((s->events->all[i].relation.next[value] & 1u << next) != 0 && search_from(s, through | 1u << i, next))
                return true;
    }
    return false;
}

bool history_is_explained(const struct history *history, unsigned reg, unsigned first, unsigned last)
{
    struct search s = {.events = &history->registers[reg], .last = last};
    if (s.events->count == 0)
        return first == last;
    s.seen = xcalloc((size_t)1 << s.events->count, 1);
    bool is_explained = search_from(&s, 0, first);
    free(s.seen);
    return is_explained;
}

void history_print(const struct history *history, unsigned reg, struct strbuf *out)
{
    const struct events *events = &history->registers[reg];
    for (unsigned i = 0; i < events->count; i++) {
        const struct event *e = &events->all[i];
        strbuf_append_format(out, "  %4" PRIu64 " to %4" PRIu64 "  %-28s", e->begun, e->ended, e->what);
        for (unsigned v = 0; v < HISTORY_VALUES; v++)
            if (e->relation.next[v] != 0)
                strbuf_append_format(out, " %u->%02x", v, (unsigned)e->relation.next[v]);
        strbuf_append_char(out, '\n');
    }
}
