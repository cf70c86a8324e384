/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines over an axis, as SVG within a page.
 */
#ifndef MINATO_BENCH_CHART_H
#define MINATO_BENCH_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CHART_LINES_MAX 16

struct chart {
    const char *title; /* with the unit */
    bool is_log;       /* the vertical axis; values are at least 1 */
    unsigned line_count;
    const char *names[CHART_LINES_MAX];
    size_t points; /* of each line, at equal distances */
    /* The value of a point, at least 0. */
    double (*value)(const void *data, unsigned line, size_t point);
    /* What stands below a point; false: nothing. */
    bool (*label)(const void *data, size_t point, char *ret_label, size_t size);
    const void *data;
};

void chart_draw(FILE *out, const struct chart *chart);

#endif
