/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole server in a process of its own: what it says when it is ready, how it ends, what it says when it cannot
 * start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "minato/arena.h"
#include "minato/own.h"
#include "minato/server.h"

#define START_FAILED 3

struct running {
    char folder[64];
    pid_t pid;
    int ready_fd;  /* its standard output */
    int output_fd; /* its standard error */
    unsigned port;
};

static int setup(void **state)
{
    struct running *s = xcalloc(1, sizeof(*s));
    *state = s;
    (void)snprintf(s->folder, sizeof(s->folder), "/tmp/minato-test-XXXXXX");
    return mkdtemp(s->folder) == NULL ? -1 : 0;
}

/* A test that failed leaves its server running. */
static int teardown(void **state)
{
    struct running *s = *state;
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
    }
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", s->folder, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(pid, NULL, 0);
    free(s);
    return 0;
}

/* In the child. */
static void serve(const char *folder, const char *listen)
{
    struct arena arena;
    arena_init(&arena);
    char *environment[] = {arena_cstr(&arena, arena_format(&arena, "MINATO_HTTP_LISTEN=%s", listen)),
                           arena_cstr(&arena, arena_format(&arena, "MINATO_STORAGE_FILESYSTEM_ROOT=%s", folder)), NULL};
    struct strbuf why;
    strbuf_init(&why, 65536);
    struct config *config = NULL;
    enum result r = config_load(NULL, environment, &why, &config);
    if (r == OK)
        r = server_run(config, &why);
    config_free(config);
    if (r != OK)
        (void)fprintf(stderr, "why: %s\n", why.ptr);
    strbuf_done(&why);
    arena_done(&arena);
    exit(r == OK ? 0 : START_FAILED);
}

static void start(struct running *s, const char *listen)
{
    int ready[2];
    int output[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(output), 0);
    (void)fflush(NULL);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        dup2(ready[1], STDOUT_FILENO);
        dup2(output[1], STDERR_FILENO);
        close(ready[0]);
        close(output[0]);
        serve(s->folder, listen);
    }
    close(ready[1]);
    close(output[1]);
    s->ready_fd = ready[0];
    s->output_fd = output[0];
}

static void read_all(int fd, char *out, size_t size)
{
    size_t n = 0;
    ssize_t got;
    while (n < size - 1 && (got = read(fd, out + n, size - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = '\0';
}

static void wait_until_ready(struct running *s)
{
    char line[512];
    size_t n = 0;
    while (n < sizeof(line) - 1 && read(s->ready_fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    static const char expected[] = "minato " MINATO_VERSION " listening on http://127.0.0.1:";
    assert_int_equal(strncmp(line, expected, strlen(expected)), 0);
    s->port = (unsigned)strtoul(line + strlen(expected), NULL, 10);
    assert_in_range(s->port, 1, 65535);
    assert_non_null(strstr(line, s->folder));
}

static int wait_for_end(struct running *s)
{
    int status = 0;
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = 0;
    close(s->ready_fd);
    close(s->output_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int connect_to(const struct running *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    return fd;
}

static void it_announces_its_port_serves_and_ends_on_sigterm(void **state)
{
    struct running *s = *state;
    start(s, "127.0.0.1:0");
    wait_until_ready(s);

    OWNED_FD int fd = connect_to(s);
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    char answer[4096];
    read_all(fd, answer, sizeof(answer));
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);

    kill(s->pid, SIGTERM);
    assert_int_equal(wait_for_end(s), 0);
}

static void a_second_signal_ends_it_at_once(void **state)
{
    struct running *s = *state;
    start(s, "127.0.0.1:0");
    wait_until_ready(s);

    /* A request in the middle of its body keeps it draining. */
    OWNED_FD int fd = connect_to(s);
    static const char request[] = "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                                  "Content-Length: 100\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);

    kill(s->pid, SIGTERM);
    /* Two pending SIGTERMs are one: the second is of the other kind. */
    kill(s->pid, SIGINT);
    assert_int_equal(wait_for_end(s), 1);
}

static void it_says_why_it_cannot_listen(void **state)
{
    struct running *s = *state;
    start(s, "192.0.2.1:5000");
    char output[8192];
    read_all(s->output_fd, output, sizeof(output));
    assert_non_null(strstr(output, "why: "));
    assert_non_null(strstr(output, "192.0.2.1:5000"));
    assert_int_equal(wait_for_end(s), START_FAILED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_announces_its_port_serves_and_ends_on_sigterm),
        TEST(a_second_signal_ends_it_at_once),
        TEST(it_says_why_it_cannot_listen),
    };
    return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
