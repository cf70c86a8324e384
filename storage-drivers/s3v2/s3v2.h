/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver for stores that know only Signature Version 2: README.md.
 */
#ifndef MINATO_S3V2_H
#define MINATO_S3V2_H

#include "minato/storage_driver.h"

extern const struct storage_driver s3v2_driver;

#endif
