/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that a registry must do for an upload to S3: receive the body, digest it, and send it on in parts of 16
 * MiB, four on their way. One thread, one client at a time, as much of the API as blob_load's upload needs; nothing is
 * checked, remembered or made durable beyond the object itself.
 *
 *   relay serve PORT STORE_PORT BUCKET ACCESS_KEY SECRET_KEY    until it is ended
 *   relay raw SIZE STORE_PORT BUCKET ACCESS_KEY SECRET_KEY      the same parts from memory: what the store takes
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../load/load_client.h"
#include "multipart.h"

#define READ_BYTES (256U << 10)
#define HEAD_MAX 8192

/* The body as it comes: chunked, as blob_load frames it (hexadecimal sizes, no extensions, no trailers). */
struct body {
    unsigned char bytes[READ_BYTES]; /* read and not yet taken */
    size_t at;
    size_t length;
    size_t chunk_left;
    bool is_ended;
};

struct relay {
    const struct store *store;
    int client;
    struct body body;
    struct multipart *upload;
    size_t filled; /* of the upload's buffer */
    EVP_MD_CTX *digest;
    unsigned number; /* of the object */
};

/* ---- receiving ---- */

static bool receive(struct relay *relay, int flags)
{
    struct body *body = &relay->body;
    if (body->at == body->length) {
        body->at = body->length = 0;
    } else if (body->length == READ_BYTES) {
        memmove(body->bytes, body->bytes + body->at, body->length - body->at);
        body->length -= body->at;
        body->at = 0;
    }
    ssize_t n = recv(relay->client, body->bytes + body->length, READ_BYTES - body->length, flags);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0) {
        return false;
    }
    body->length += (size_t)n;
    return true;
}

/* Reads a request's head; its first letters tell what it is. False: the client is gone. */
static bool read_head(struct relay *relay, char head[HEAD_MAX])
{
    struct body *body = &relay->body;
    for (;;) {
        size_t have = body->length - body->at;
        const unsigned char *end = have > 0 ? memmem(body->bytes + body->at, have, "\r\n\r\n", 4) : NULL;
        if (end != NULL) {
            size_t length = (size_t)(end - (body->bytes + body->at)) + 4;
            if (length >= HEAD_MAX) {
                fail("head too long");
            }
            memcpy(head, body->bytes + body->at, length);
            head[length] = '\0';
            body->at += length;
            return true;
        }
        if (!receive(relay, 0)) {
            return false;
        }
    }
}

/* The line that opens a chunk, with the end of the one before; false: it is not all there. */
static bool open_chunk(struct body *body)
{
    const unsigned char *begin = body->bytes + body->at;
    size_t have = body->length - body->at;
    size_t skipped = have >= 2 && begin[0] == '\r' ? 2 : 0;
    const unsigned char *end = have > skipped ? memmem(begin + skipped, have - skipped, "\r\n", 2) : NULL;
    if (end == NULL) {
        return false;
    }
    body->chunk_left = strtoul((const char *)begin + skipped, NULL, 16);
    size_t line = (size_t)(end - begin) + 2;
    if (body->chunk_left == 0 && have < line + 2) {
        return false;
    }
    body->is_ended = body->chunk_left == 0;
    body->at += line + (body->is_ended ? 2 : 0);
    return true;
}

/* What has been read goes into parts, as long as there is a buffer. */
static void take(struct relay *relay)
{
    struct body *body = &relay->body;
    unsigned char *buffer = NULL;
    while (!body->is_ended && (body->chunk_left > 0 || open_chunk(body)) && !body->is_ended) {
        size_t have = body->length - body->at;
        size_t n = have < body->chunk_left ? have : body->chunk_left;
        if (n == 0 || (buffer = multipart_buffer(relay->upload)) == NULL) {
            return;
        }
        n = n < PART_BYTES - relay->filled ? n : PART_BYTES - relay->filled;
        EVP_DigestUpdate(relay->digest, body->bytes + body->at, n);
        memcpy(buffer + relay->filled, body->bytes + body->at, n);
        relay->filled += n;
        body->at += n;
        body->chunk_left -= n;
        if (relay->filled == PART_BYTES) {
            multipart_send(relay->upload, relay->filled);
            relay->filled = 0;
        }
    }
}

static bool relay_body(struct relay *relay)
{
    struct body *body = &relay->body;
    char key[64];
    snprintf(key, sizeof(key), "relay/%u", ++relay->number);
    relay->upload = multipart_begin(relay->store, key);
    relay->filled = 0;
    body->chunk_left = 0;
    body->is_ended = false;
    EVP_DigestInit_ex(relay->digest, EVP_sha256(), NULL);
    for (take(relay); !body->is_ended; take(relay)) {
        bool may_read = multipart_buffer(relay->upload) != NULL;
        multipart_turn(relay->upload, may_read ? relay->client : -1);
        if (may_read && !receive(relay, MSG_DONTWAIT)) {
            return false;
        }
    }
    if (relay->filled > 0) {
        multipart_send(relay->upload, relay->filled);
    }
    multipart_drain(relay->upload);
    return true;
}

/* ---- answering ---- */

static void answer(const struct relay *relay, const char *status, const char *location)
{
    client_send_head(relay->client, "HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location);
}

/* The digest is computed and thrown away, as the client's word is not checked either. */
static void publish(struct relay *relay)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    EVP_DigestFinal_ex(relay->digest, sum, NULL);
    multipart_complete(relay->upload);
    relay->upload = NULL;
}

static void serve_client(struct relay *relay)
{
    char head[HEAD_MAX];
    relay->body.at = relay->body.length = 0;
    while (read_head(relay, head)) {
        if (strncmp(head, "POST", 4) == 0) {
            answer(relay, "202 Accepted", "/relay");
        } else if (strncmp(head, "PATCH", 5) == 0) {
            if (!relay_body(relay)) {
                fail("the client left");
            }
            answer(relay, "202 Accepted", "/relay");
        } else if (strncmp(head, "PUT", 3) == 0 && relay->upload != NULL) {
            publish(relay);
            answer(relay, "201 Created", "/relay");
        } else {
            answer(relay, "200 OK", "/relay");
        }
    }
    close(relay->client);
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 16) != 0) {
        fail("port %u: %s", port, strerror(errno));
    }
    return fd;
}

static void serve(const struct store *store, uint16_t port)
{
    static struct relay relay;
    int listener = listen_on(port);
    relay.store = store;
    relay.digest = EVP_MD_CTX_new();
    for (;;) {
        relay.client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (relay.client >= 0) {
            serve_client(&relay);
        }
    }
}

/* ---- raw ---- */

static double cpu_seconds(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static void send_raw(const struct store *store, uint64_t size)
{
    double cpu_begun = cpu_seconds();
    uint64_t begun = clock_now_ns();
    struct multipart *upload = multipart_begin(store, "raw");
    for (uint64_t left = size; left > 0;) {
        size_t n = left < PART_BYTES ? (size_t)left : PART_BYTES;
        if (multipart_buffer(upload) != NULL) {
            multipart_send(upload, n);
            left -= n;
        } else {
            multipart_turn(upload, -1);
        }
    }
    multipart_drain(upload);
    multipart_complete(upload);
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", (unsigned long long)size,
           (double)(clock_now_ns() - begun) / 1e9, cpu_seconds() - cpu_begun);
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fail("usage: relay serve PORT|raw SIZE STORE_PORT BUCKET ACCESS_KEY SECRET_KEY");
    }
    struct store store = {(uint16_t)strtoul(argv[3], NULL, 10), argv[4], argv[5], argv[6]};
    if (strcmp(argv[1], "raw") == 0) {
        send_raw(&store, parse_size(argv[2]));
    } else {
        serve(&store, (uint16_t)strtoul(argv[2], NULL, 10));
    }
    return 0;
}
