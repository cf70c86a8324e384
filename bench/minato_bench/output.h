/* SPDX-License-Identifier: Apache-2.0
 *
 * What people and programs read: the line while it runs, the table, the JSON.
 */
#ifndef MINATO_BENCH_OUTPUT_H
#define MINATO_BENCH_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "stats.h"

/* Overwrites the line of the second before. */
void output_progress(FILE *out, const struct stats *stats, const char *phase, unsigned busy);
void output_progress_end(FILE *out);
void output_table(FILE *out, const struct options *options, const struct stats *stats);
/* False: it could not be written. */
bool output_json(const struct stats *stats, const struct options *options, FILE *out);

#endif
