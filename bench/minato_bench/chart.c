/* SPDX-License-Identifier: Apache-2.0
 *
 * One chart: a grid, a polyline for each line, a legend below. Nothing but standard SVG, no script.
 */
#include "chart.h"

#include <math.h>

#define WIDTH 860.0
#define HEIGHT 240.0
#define LEFT 70.0
#define TOP 12.0
#define BOTTOM 24.0
#define PLOT_WIDTH (WIDTH - LEFT - 16.0)
#define PLOT_HEIGHT (HEIGHT - TOP - BOTTOM)

static const char *const colours[CHART_LINES_MAX] = {"#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b",
                                                     "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#00429d", "#93003a",
                                                     "#4b8b3b", "#a65628", "#5e3c99", "#404040"};

struct scale {
    double low; /* logarithms if is_log */
    double high;
    double step;
    bool is_log;
};

static double largest(const struct chart *chart)
{
    double most = 0;
    for (unsigned line = 0; line < chart->line_count; line++) {
        for (size_t point = 0; point < chart->points; point++) {
            most = fmax(most, chart->value(chart->data, line, point));
        }
    }
    return most;
}

static double smallest(const struct chart *chart)
{
    double least = INFINITY;
    for (unsigned line = 0; line < chart->line_count; line++) {
        for (size_t point = 0; point < chart->points; point++) {
            least = fmin(least, chart->value(chart->data, line, point));
        }
    }
    return least;
}

/* Steps of 1, 2 or 5 times a power of ten, four to ten of them; decades on a logarithmic axis. */
static struct scale make_scale(const struct chart *chart)
{
    double most = fmax(largest(chart), 1e-9);
    if (chart->is_log) {
        double low = floor(log10(fmax(smallest(chart), 1)));
        return (struct scale){.low = low, .high = fmax(ceil(log10(fmax(most, 1))), low + 1), .step = 1, .is_log = true};
    }
    double power = pow(10, floor(log10(most)));
    double step = most / power > 5 ? power : most / power > 2 ? power / 2 : power / 5;
    return (struct scale){.high = ceil(most / step) * step, .step = step};
}

static double y_of(const struct scale *scale, double value)
{
    double at = scale->is_log ? log10(fmax(value, 1)) : value;
    return TOP + PLOT_HEIGHT * (1 - (at - scale->low) / (scale->high - scale->low));
}

static double x_of(const struct chart *chart, size_t point)
{
    return LEFT + (chart->points < 2 ? 0 : PLOT_WIDTH * (double)point / (double)(chart->points - 1));
}

static void draw_grid(FILE *out, const struct scale *scale)
{
    for (double at = scale->low; at <= scale->high + scale->step / 2; at += scale->step) {
        double value = scale->is_log ? pow(10, at) : at;
        double y = y_of(scale, value);
        fprintf(out,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.10g</text>\n",
                LEFT, y, LEFT + PLOT_WIDTH, y, LEFT - 6, y + 4, value);
    }
}

static void draw_labels(FILE *out, const struct chart *chart)
{
    char label[32];
    for (size_t point = 0; point < chart->points; point++) {
        if (chart->label(chart->data, point, label, sizeof(label))) {
            fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", x_of(chart, point),
                    HEIGHT - 6, label);
        }
    }
}

/* One point alone is drawn as a dot, which is what the round ends of an empty line are. */
static void draw_line(FILE *out, const struct chart *chart, const struct scale *scale, unsigned line)
{
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" stroke-linecap=\"round\" points=\"",
            colours[line]);
    for (size_t point = 0; point < chart->points; point++) {
        fprintf(out, "%.1f,%.1f ", x_of(chart, point), y_of(scale, chart->value(chart->data, line, point)));
    }
    if (chart->points == 1) {
        fprintf(out, "%.1f,%.1f", LEFT + 2, y_of(scale, chart->value(chart->data, line, 0)));
    }
    fputs("\"/>\n", out);
}

void chart_draw(FILE *out, const struct chart *chart)
{
    struct scale scale = make_scale(chart);
    fprintf(out, "<h2>%s</h2>\n<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" role=\"img\">\n", chart->title, WIDTH,
            HEIGHT, WIDTH);
    draw_grid(out, &scale);
    draw_labels(out, chart);
    for (unsigned line = 0; line < chart->line_count; line++) {
        draw_line(out, chart, &scale, line);
    }
    fputs("</svg>\n<p>", out);
    for (unsigned line = 0; line < chart->line_count; line++) {
        fprintf(out, "<span style=\"color:%s\">&#9632;</span> %s&#160; ", colours[line], chart->names[line]);
    }
    fputs("</p>\n", out);
}
