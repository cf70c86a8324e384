/* SPDX-License-Identifier: Apache-2.0
 *
 * A storage driver for tests that stands in front of another one and misbehaves as told: fails, stalls or cuts short
 * the Nth call, and can make every call complete later, so that every await of the code under test really waits.
 *
 *     struct fault_driver *fault = fault_driver_new(&memory_driver, memory_driver_new(...));
 *     struct storage *storage = storage_wrap(&fault_driver, fault, NULL);
 *     fault_driver_plan(fault, (struct fault_plan){.nth = 3, .kind = FAULT_BEFORE, .result = IO});
 *
 * To walk through all faults of an operation: run it once without a plan, read fault_driver_calls, then run it once
 * for each nth. Calls that count are all but close_read, reader_fd, presign and
 * time_ms. One loop.
 */
#ifndef MINATO_TEST_FAULT_DRIVER_H
#define MINATO_TEST_FAULT_DRIVER_H

#include "minato/storage_driver.h"

struct fault_driver;

extern const struct storage_driver fault_driver;

enum fault_kind {
    FAULT_BEFORE, /* the call has no effect and reports `result` */
    FAULT_AFTER,  /* the call has its effect, but reports `result`: an answer that was lost */
    FAULT_SHORT,  /* half of it has its effect: multipart_put stores half the bytes, delete_many removes half the
                     objects,  and they report `result`; read brings one byte and reports OK; any other call is as
                     FAULT_BEFORE */
    FAULT_STALL,  /* the call has its effect and reports nothing before fault_driver_release; then `result` */
    FAULT_HOLD,   /* put, put_if_match and delete have no effect before fault_driver_release, and report then: `result`,
                     or with OK what the inner driver says; any other call is as FAULT_STALL */
    FAULT_LATE,   /* put, put_if_match and delete report `result` at once, and have their effect at
                     fault_driver_release; any other call is as FAULT_BEFORE */
};

struct fault_plan {
    unsigned nth;     /* which call, from 1; 0: none */
    unsigned repeat;  /* so many calls after that one misbehave too; UINT_MAX: all */
    const char *call; /* count only calls of this name ("put", "stat", "read", ..); NULL: all */
    enum fault_kind kind;
    enum result result;
};

/* Takes over `inner_self`: its close closes it. */
struct fault_driver *fault_driver_new(const struct storage_driver *inner, void *inner_self);
/* Calls complete on the loop's next turn, never at once. */
void fault_driver_defer(struct fault_driver *fault, bool is_deferred);
/* Replaces the plan and starts counting from 0. */
void fault_driver_plan(struct fault_driver *fault, struct fault_plan plan);
/* Calls since the last plan (all names), and how many of them misbehaved. */
unsigned fault_driver_calls(const struct fault_driver *fault);
unsigned fault_driver_hits(const struct fault_driver *fault);
/* The name of the last call; NULL before the first. */
const char *fault_driver_last_call(const struct fault_driver *fault);
/* Calls that were made and have not reported. */
unsigned fault_driver_outstanding(const struct fault_driver *fault);
/* Lets stalled calls report. */
void fault_driver_release(struct fault_driver *fault);
/* Called before each call has its effect; for tests that change the world at one step. NULL: nothing. */
void fault_driver_hook(struct fault_driver *fault, void (*hook)(void *data, const char *call), void *data);

#endif
