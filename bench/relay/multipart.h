/* SPDX-License-Identifier: Apache-2.0
 *
 * One object in parts to an S3 store, several parts on their way at once: libcurl's multi interface and nothing else.
 * For the relay only: anything unexpected ends the program.
 */
#ifndef MINATO_BENCH_MULTIPART_H
#define MINATO_BENCH_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PART_BYTES (16U << 20)
#define PARTS_IN_FLIGHT 4

struct store {
    uint16_t port; /* of 127.0.0.1, without TLS */
    const char *bucket;
    const char *access_key;
    const char *secret_key;
};

struct multipart;

/* CreateMultipartUpload of `key`; `store` outlives it. */
struct multipart *multipart_begin(const struct store *store, const char *key);
/* The buffer of PART_BYTES to fill next; NULL while all are on their way. */
unsigned char *multipart_buffer(struct multipart *upload);
/* Sends that buffer's first `bytes`. */
void multipart_send(struct multipart *upload, size_t bytes);
/* Waits for what is on its way or, if it is not -1, for `fd` to be readable, and moves what is on its way. */
void multipart_turn(struct multipart *upload, int fd);
/* Waits for the parts. */
void multipart_drain(struct multipart *upload);
/* CompleteMultipartUpload, which frees `upload`. */
void multipart_complete(struct multipart *upload);

#endif
