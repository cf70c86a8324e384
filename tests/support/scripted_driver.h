/* SPDX-License-Identifier: Apache-2.0
 *
 * A storage driver for tests that stands in front of another one and lets the test say what happens next. Every call is
 * PENDING; it has its effect when it is picked, not when it was asked for, and reports then or when it is picked once
 * more. So whatever one store may do with several clients at once can be played through, in an order that follows from
 * one seed.
 *
 *     struct dice dice = {seed};
 *     struct scripted_driver *script = scripted_driver_new(&memory_driver, memory_driver_new(...), &dice);
 *     struct storage *storage = storage_wrap(&scripted_driver, script, NULL);
 *     ... start flows ...
 *     while (scripted_driver_step(script))
 *         loop_run_once(loop, 0);
 *
 * The inner driver must complete its calls at once. One loop, whose thread steps; completions run inside of the step.
 */
#ifndef MINATO_TEST_SCRIPTED_DRIVER_H
#define MINATO_TEST_SCRIPTED_DRIVER_H

#include "dice.h"
#include "minato/slice.h"
#include "minato/storage_driver.h"

struct scripted_driver;

extern const struct storage_driver scripted_driver;

/* Takes over `inner_self`: its close closes it. `dice` is borrowed. */
struct scripted_driver *scripted_driver_new(const struct storage_driver *inner, void *inner_self, struct dice *dice);
/* Calls complete at once, as if there was no script: to prepare and to look at what has come of it. */
void scripted_driver_run_at_once(struct scripted_driver *script, bool is_at_once);
/* So many calls of a hundred fail with IO, with or without their effect. 0 at first. */
void scripted_driver_fail(struct scripted_driver *script, unsigned percent);
/* Of them, puts and deletes may have their effect after they have failed, at any later step. */
void scripted_driver_fail_late(struct scripted_driver *script, bool may_be_late);
/* The next put to `path` (borrowed) has its effect and fails with IO: its answer was lost. */
void scripted_driver_lose(struct scripted_driver *script, struct slice path);
/* One waiting call has its effect or reports. False: none is waiting. */
bool scripted_driver_step(struct scripted_driver *script);
/* Calls that were made and have not reported, or have not had their effect. */
size_t scripted_driver_waiting(const struct scripted_driver *script);
/* Whether one of them is a write that has not had its effect. */
bool scripted_driver_is_writing(const struct scripted_driver *script);
/* Calls, and steps, so far; calls that completed at once do not count. */
uint64_t scripted_driver_calls(const struct scripted_driver *script);
uint64_t scripted_driver_steps(const struct scripted_driver *script);
/* Called when a call has just had its effect. NULL: nothing. */
void scripted_driver_watch(struct scripted_driver *script,
                           void (*on_effect)(void *data, const char *call, struct slice path), void *data);
/* What happens is written here, a line each. NULL: nowhere. */
void scripted_driver_trace(struct scripted_driver *script, struct strbuf *trace);

#endif
