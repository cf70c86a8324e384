/* SPDX-License-Identifier: Apache-2.0
 *
 * One large blob, up or down, over one connection, as fast as a socket takes it. Prints one line of JSON.
 *
 *   upload    POST, PATCH (chunked as docker sends it, or with Content-Length), PUT ?digest=. The clock runs from the
 *             first byte of the POST to the 201. The bytes are framed, and their digest computed, before it starts.
 *   download  GET of a digest. The clock runs from the request's first byte to the body's last; nothing is copied.
 *   refused   PATCH without credentials by a client that ignores the answer and sends until it cannot: how much of
 *             the body left this side, and how much the server's kernel acknowledged.
 */
#include <getopt.h>
#include <linux/tcp.h> /* its tcp_info knows the bytes acknowledged, the libc's does not */
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load_client.h"

#define BLOCK_BYTES (4U << 20)
#define CHUNK_BYTES 32768U   /* what Go's transport makes of docker's body */
#define CHUNK_FRAME_BYTES 8U /* "8000\r\n" before, "\r\n" after */
#define NO_SESSION "00000000-0000-4000-8000-000000000000"

struct options {
    const char *operation;
    uint16_t port;
    const char *repo;
    const char *digest;
    uint64_t size;
    uint64_t seed;
    bool sized; /* Content-Length in place of chunks */
    bool pause; /* wait for a line on stdin before the first byte */
};

/* The blob is `block` over and over, cut at `size`. Different seeds have nothing in common. */
struct payload {
    unsigned char *block;
    unsigned char *framed; /* the same as chunks */
    size_t framed_bytes;
    uint64_t size;
    char digest[72];
};

static void fill_block(unsigned char *block, uint64_t seed)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15U + 1;
    for (size_t i = 0; i < BLOCK_BYTES; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(block + i, &x, 8);
    }
}

/* Writes `length` bytes of the block as chunks. */
static size_t frame_chunks(const unsigned char *block, size_t length, unsigned char *ret_framed)
{
    unsigned char *out = ret_framed;
    for (size_t at = 0; at < length; at += CHUNK_BYTES) {
        size_t piece = length - at < CHUNK_BYTES ? length - at : CHUNK_BYTES;
        out += sprintf((char *)out, "%zx\r\n", piece);
        memcpy(out, block + at, piece);
        memcpy(out + piece, "\r\n", 2);
        out += piece + 2;
    }
    return (size_t)(out - ret_framed);
}

static double digest_payload(struct payload *payload)
{
    unsigned char sum[32];
    uint64_t begun = clock_now_ns();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (uint64_t left = payload->size; left > 0;) {
        size_t piece = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        EVP_DigestUpdate(context, payload->block, piece);
        left -= piece;
    }
    EVP_DigestFinal_ex(context, sum, NULL);
    EVP_MD_CTX_free(context);
    double seconds = (double)(clock_now_ns() - begun) / 1e9;
    char *out = payload->digest + sprintf(payload->digest, "sha256:");
    for (size_t i = 0; i < sizeof(sum); i++) {
        out += sprintf(out, "%02x", sum[i]);
    }
    return seconds;
}

static void payload_init(struct payload *payload, uint64_t size, uint64_t seed)
{
    payload->size = size;
    payload->block = malloc(BLOCK_BYTES);
    payload->framed = malloc(BLOCK_BYTES + (BLOCK_BYTES / CHUNK_BYTES) * CHUNK_FRAME_BYTES + 64);
    if (payload->block == NULL || payload->framed == NULL) {
        fail("out of memory");
    }
    fill_block(payload->block, seed);
    payload->framed_bytes = frame_chunks(payload->block, BLOCK_BYTES, payload->framed);
}

static void payload_done(struct payload *payload)
{
    free(payload->block);
    free(payload->framed);
}

static bool send_chunked(int fd, struct payload *payload, uint64_t *ret_sent)
{
    *ret_sent = 0;
    for (uint64_t left = payload->size; left > 0;) {
        size_t piece = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        if (piece < BLOCK_BYTES) {
            payload->framed_bytes = frame_chunks(payload->block, piece, payload->framed);
        }
        if (!client_send(fd, payload->framed, payload->framed_bytes)) {
            return false;
        }
        left -= piece;
        *ret_sent += piece;
    }
    return client_send(fd, "0\r\n\r\n", 5);
}

static bool send_sized(int fd, const struct payload *payload, uint64_t *ret_sent)
{
    *ret_sent = 0;
    for (uint64_t left = payload->size; left > 0;) {
        size_t piece = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        if (!client_send(fd, payload->block, piece)) {
            return false;
        }
        left -= piece;
        *ret_sent += piece;
    }
    return true;
}

static bool send_patch_head(int fd, const struct options *options, const char *location)
{
    char framing[64] = "Transfer-Encoding: chunked";
    if (options->sized) {
        snprintf(framing, sizeof(framing), "Content-Length: %llu", (unsigned long long)options->size);
    }
    return client_send_head(fd,
                            "PATCH %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: blob_load\r\n"
                            "Content-Type: application/octet-stream\r\n%s\r\n\r\n",
                            location, options->port, framing);
}

/* Reads one answer and insists on its status; a connection the server closes is replaced. */
static void expect(int *fd, const struct options *options, int status, struct response *ret_response)
{
    if (!client_read_head(*fd, ret_response)) {
        fail("connection lost while waiting for %d", status);
    }
    if (ret_response->status != status) {
        fail("expected %d, got:\n%s", status, ret_response->head);
    }
    client_discard(*fd, ret_response->content_length);
    if (ret_response->closes) {
        close(*fd);
        *fd = client_connect(options->port);
    }
}

static void wait_for_go(const struct options *options)
{
    if (options->pause) {
        puts("prepared");
        fflush(stdout);
        (void)getchar();
    }
}

static double cpu_seconds(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec / 1e9;
}

static void upload(const struct options *options)
{
    struct payload payload;
    static struct response response;
    payload_init(&payload, options->size, options->seed);
    double hash_seconds = digest_payload(&payload);
    int fd = client_connect(options->port);
    wait_for_go(options);

    double cpu_begun = cpu_seconds();
    uint64_t begun = clock_now_ns();
    client_send_head(fd, "POST /v2/%s/blobs/uploads/ HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 0\r\n\r\n",
                     options->repo, options->port);
    expect(&fd, options, 202, &response);
    uint64_t sent = 0;
    send_patch_head(fd, options, response.location);
    bool complete = options->sized ? send_sized(fd, &payload, &sent) : send_chunked(fd, &payload, &sent);
    if (!complete) {
        fprintf(stderr, "the server stopped reading after %llu bytes\n", (unsigned long long)sent);
    }
    uint64_t body_sent = clock_now_ns();
    expect(&fd, options, 202, &response);
    uint64_t accepted = clock_now_ns();
    client_send_head(fd, "PUT %s%cdigest=%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: 0\r\n\r\n",
                     response.location, strchr(response.location, '?') != NULL ? '&' : '?', payload.digest,
                     options->port);
    expect(&fd, options, 201, &response);
    uint64_t ended = clock_now_ns();
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"body_seconds\": %.6f, \"patch_answer_seconds\": %.6f, "
           "\"put_seconds\": %.6f, \"client_cpu_seconds\": %.6f, \"hash_seconds\": %.6f, \"digest\": \"%s\"}\n",
           (unsigned long long)options->size, (double)(ended - begun) / 1e9, (double)(body_sent - begun) / 1e9,
           (double)(accepted - body_sent) / 1e9, (double)(ended - accepted) / 1e9, cpu_seconds() - cpu_begun,
           hash_seconds, payload.digest);
    close(fd);
    payload_done(&payload);
}

static void download(const struct options *options)
{
    static struct response response;
    int fd = client_connect(options->port);
    double cpu_begun = cpu_seconds();
    uint64_t begun = clock_now_ns();
    client_send_head(fd, "GET /v2/%s/blobs/%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", options->repo, options->digest,
                     options->port);
    if (!client_read_head(fd, &response) || response.status != 200) {
        fail("expected 200, got:\n%s", response.head);
    }
    uint64_t first = clock_now_ns();
    if (!client_discard(fd, response.content_length)) {
        fail("the body ended early");
    }
    uint64_t ended = clock_now_ns();
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"head_seconds\": %.6f, \"client_cpu_seconds\": %.6f}\n",
           (unsigned long long)response.content_length, (double)(ended - begun) / 1e9, (double)(first - begun) / 1e9,
           cpu_seconds() - cpu_begun);
    close(fd);
}

static void refused(const struct options *options)
{
    struct payload payload;
    static struct response response;
    struct tcp_info info;
    socklen_t length = sizeof(info);
    char location[1024];
    payload_init(&payload, options->size, options->seed);
    snprintf(location, sizeof(location), "/v2/%s/blobs/uploads/" NO_SESSION, options->repo);
    int fd = client_connect(options->port);
    wait_for_go(options);
    uint64_t begun = clock_now_ns();
    uint64_t sent = 0;
    send_patch_head(fd, options, location);
    bool complete = options->sized ? send_sized(fd, &payload, &sent) : send_chunked(fd, &payload, &sent);
    double seconds = (double)(clock_now_ns() - begun) / 1e9;
    memset(&info, 0, sizeof(info));
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    bool answered = client_read_head(fd, &response);
    printf("{\"bytes\": %llu, \"complete\": %s, \"acknowledged_bytes\": %llu, \"seconds\": %.6f, \"status\": %d}\n",
           (unsigned long long)options->size, complete ? "true" : "false", (unsigned long long)info.tcpi_bytes_acked,
           seconds, answered ? response.status : 0);
    close(fd);
    payload_done(&payload);
}

static void parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'}, {"repo", required_argument, NULL, 'r'},
        {"size", required_argument, NULL, 's'}, {"digest", required_argument, NULL, 'd'},
        {"seed", required_argument, NULL, 'e'}, {"content-length", no_argument, NULL, 'c'},
        {"pause", no_argument, NULL, 'w'},      {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'p':
            options->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            options->repo = optarg;
            break;
        case 's':
            options->size = parse_size(optarg);
            break;
        case 'd':
            options->digest = optarg;
            break;
        case 'e':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 'c':
            options->sized = true;
            break;
        case 'w':
            options->pause = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind + 1 != argc || options->port == 0) {
        fail("usage: blob_load --port N [--repo R] [--size S] [--seed N] [--digest D] [--content-length] [--pause] "
             "upload|download|refused");
    }
    options->operation = argv[optind];
}

int main(int argc, char **argv)
{
    struct options options = {.repo = "bench/blob", .size = 64U << 20, .seed = clock_now_ns(), .digest = ""};
    parse_options(argc, argv, &options);
    if (strcmp(options.operation, "upload") == 0) {
        upload(&options);
    } else if (strcmp(options.operation, "download") == 0) {
        download(&options);
    } else if (strcmp(options.operation, "refused") == 0) {
        refused(&options);
    } else {
        fail("unknown operation: %s", options.operation);
    }
    return 0;
}
