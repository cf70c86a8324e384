/* SPDX-License-Identifier: Apache-2.0
 *
 * start_time PORT COMMAND...: starts a server, asks for /v2/ until it answers 200, ends it, and prints the seconds
 * from fork to that answer. The server's output goes to its standard error.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load_client.h"

#define GIVE_UP_NS 10000000000U
#define POLL_NS 200000U

static bool is_ready(uint16_t port)
{
    static struct response response;
    int fd = client_try_connect(port);
    if (fd < 0) {
        return false;
    }
    bool answered = client_send_head(fd, "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port) &&
                    client_read_head(fd, &response) && response.status == 200;
    close(fd);
    return answered;
}

static pid_t start(char **command)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(command[0], command);
        fail("%s: %s", command[0], strerror(errno));
    }
    return child;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fail("usage: start_time PORT COMMAND...");
    }
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    uint64_t begun = clock_now_ns();
    pid_t child = start(argv + 2);
    bool ready = false;
    while (!(ready = is_ready(port)) && clock_now_ns() - begun < GIVE_UP_NS && waitpid(child, NULL, WNOHANG) == 0) {
        clock_sleep_until(clock_now_ns() + POLL_NS);
    }
    double seconds = (double)(clock_now_ns() - begun) / 1e9;
    if (!ready) {
        kill(child, SIGKILL);
        fail("the server never became ready");
    }
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    printf("{\"seconds\": %.6f}\n", seconds);
    return 0;
}
