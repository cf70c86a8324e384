/* SPDX-License-Identifier: Apache-2.0
 *
 * idle_connections PORT COUNT: opens COUNT connections, makes one GET /v2/ on each, says "open", and holds them until
 * its standard input ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "load_client.h"

static void open_one(uint16_t port)
{
    static struct response response;
    int fd = client_connect(port);
    client_send_head(fd, "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: idle_connections\r\n\r\n", port);
    if (!client_read_head(fd, &response) || response.status != 200 || response.closes ||
        !client_discard(fd, response.content_length)) {
        fail("no kept-alive 200");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fail("usage: idle_connections PORT COUNT");
    }
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    unsigned long count = strtoul(argv[2], NULL, 10);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned long i = 0; i < count; i++) {
        open_one(port);
    }
    puts("open");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return 0;
}
