/* SPDX-License-Identifier: Apache-2.0
 *
 * Checksums as S3 writes them, of bytes that have no digest to be checked by. Pure; any thread.
 */
#ifndef MINATO_S3_CHECKSUM_H
#define MINATO_S3_CHECKSUM_H

#include "minato/async.h"

#define S3_CHECKSUM_TEXT 8
#define S3_CHECKSUM_FIELD "x-amz-checksum-crc32c"

/* Of a chain of pages: base64 of four bytes, the highest first, and a NUL. */
void s3_checksum(const struct page *pages, char out[S3_CHECKSUM_TEXT + 1]);

#define S3_CONTENT_MD5_TEXT 24
/* The value of Content-MD5, which stores of any age take where they insist on a checksum, and a NUL. */
void s3_content_md5(struct slice bytes, char out[S3_CONTENT_MD5_TEXT + 1]);

#endif
