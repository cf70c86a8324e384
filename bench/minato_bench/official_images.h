/* SPDX-License-Identifier: Apache-2.0
 *
 * The layers of real images.
 */
#ifndef MINATO_BENCH_OFFICIAL_IMAGES_H
#define MINATO_BENCH_OFFICIAL_IMAGES_H

#include <stdint.h>

#define OFFICIAL_IMAGES 11U
#define OFFICIAL_LAYERS_MAX 13U

struct official_image {
    const char *name;
    unsigned layers;
    uint32_t sizes[OFFICIAL_LAYERS_MAX]; /* compressed, in bytes, base first */
};

extern const struct official_image official_images[OFFICIAL_IMAGES];

#endif
