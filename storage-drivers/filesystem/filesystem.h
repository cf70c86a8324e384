/* SPDX-License-Identifier: Apache-2.0
 *
 * The one name this folder shows to storage_drivers.c.
 */
#ifndef MINATO_FILESYSTEM_H
#define MINATO_FILESYSTEM_H

#include "minato/storage_driver.h"

extern const struct storage_driver filesystem_driver;

#endif
