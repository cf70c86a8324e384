/* SPDX-License-Identifier: Apache-2.0
 *
 * The results as one page that needs nothing else to be read.
 */
#ifndef MINATO_BENCH_REPORT_H
#define MINATO_BENCH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "stats.h"

/* False: it could not be written. */
bool report_write(const struct stats *stats, const struct options *options, FILE *out);

#endif
