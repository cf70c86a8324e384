/* SPDX-License-Identifier: Apache-2.0
 *
 *     micro                   the names of the functions, a line each
 *     micro NAME COUNT        calls the function so often in each of seven rounds; prints the median of ns a call
 *     micro NAME COUNT once   calls it so often and prints nothing: for callgrind
 *
 * Every call's answer is compared with the known one: another one ends the program with exit code 1.
 */
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 7u

static const struct micro_benchmark *find_benchmark(const char *name)
{
    for (size_t i = 0; i < micro_benchmark_count; i++)
        if (strcmp(micro_benchmarks[i].name, name) == 0)
            return &micro_benchmarks[i];
    return NULL;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void call_once(const struct micro_benchmark *benchmark, void *state)
{
    struct arena arena;
    arena_init(&arena);
    struct slice answer = benchmark->run(state, &arena);
    if (!slice_equal(answer, benchmark->answer)) {
        (void)fprintf(stderr, "micro: %s answered \"%.*s\"\n", benchmark->name, SLICE_ARG(answer));
        exit(1);
    }
    arena_done(&arena);
}

static double round_ns(const struct micro_benchmark *benchmark, void *state, unsigned long count)
{
    double begun = now_ns();
    for (unsigned long i = 0; i < count; i++)
        call_once(benchmark, state);
    return (now_ns() - begun) / (double)count;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_ns(const struct micro_benchmark *benchmark, void *state, unsigned long count)
{
    double rounds[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++)
        rounds[i] = round_ns(benchmark, state, count);
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare_doubles);
    return rounds[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        for (size_t i = 0; i < micro_benchmark_count; i++)
            puts(micro_benchmarks[i].name);
        return 0;
    }
    const struct micro_benchmark *benchmark = find_benchmark(argv[1]);
    unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    bool is_once = argc == 4 && strcmp(argv[3], "once") == 0;
    if (benchmark == NULL || count == 0 || (argc != 3 && !is_once)) {
        (void)fprintf(stderr, "usage: micro [NAME COUNT [once]]\n");
        return 2;
    }
    struct arena arena;
    arena_init(&arena);
    void *state = benchmark->setup(&arena);
    if (is_once)
        (void)round_ns(benchmark, state, count);
    else
        printf("%.1f\n", median_ns(benchmark, state, count));
    if (benchmark->teardown != NULL)
        benchmark->teardown(state);
    arena_done(&arena);
    return 0;
}
