/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver for stores that speak Amazon's S3 with Signature Version 4: README.md.
 */
#ifndef MINATO_S3_H
#define MINATO_S3_H

#include "minato/storage_driver.h"

extern const struct storage_driver s3_driver;

#endif
