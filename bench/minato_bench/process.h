/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process uses, from /proc.
 */
#ifndef MINATO_BENCH_PROCESS_H
#define MINATO_BENCH_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process_use {
    uint64_t cpu_ticks; /* user and system, all threads; sysconf(_SC_CLK_TCK) a second */
    uint64_t rss_bytes;
};

/* False: it is gone. */
bool process_read(int pid, struct process_use *ret_use);

#endif
