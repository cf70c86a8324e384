/* SPDX-License-Identifier: Apache-2.0
 *
 * Random choices of a test that can be repeated: everything follows from one seed (splitmix64).
 */
#ifndef MINATO_TEST_DICE_H
#define MINATO_TEST_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state; /* the seed, at first */
};

static inline uint64_t dice_roll(struct dice *dice)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* 0 to `count` - 1. */
static inline unsigned dice_below(struct dice *dice, unsigned count)
{
    return (unsigned)(dice_roll(dice) % count);
}

static inline bool dice_chance(struct dice *dice, unsigned percent)
{
    return dice_below(dice, 100) < percent;
}

#endif
