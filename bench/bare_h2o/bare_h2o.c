/* SPDX-License-Identifier: Apache-2.0
 *
 * The ceiling: libh2o as it comes, one loop, one handler that answers `GET /v2/` with 200 and `{}`, no access log.
 * What minato answers less often than this is what minato costs.
 *
 * bare_h2o PORT [HEAD_BYTES]: pads the response head up to HEAD_BYTES, so that both servers send the same amount.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>

#define OWN_HEAD_BYTES 197 /* of the answer without padding */
#define PAD_HEADER_BYTES 9 /* "x-pad: " and its CRLF */

struct answer {
    h2o_handler_t super;
    h2o_iovec_t pad;
};

struct listener {
    h2o_context_t context;
    h2o_accept_ctx_t accept;
};

static int answer_ping(h2o_handler_t *self, h2o_req_t *req)
{
    static h2o_generator_t generator = {NULL, NULL};
    const struct answer *answer = (const struct answer *)(const void *)self;
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET"))) {
        return -1;
    }
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = 2;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("docker-distribution-api-version"), 0, NULL,
                          H2O_STRLIT("registry/2.0"));
    if (answer->pad.len > 0) {
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-pad"), 0, NULL, answer->pad.base,
                              answer->pad.len);
    }
    h2o_iovec_t body = h2o_iovec_init(H2O_STRLIT("{}"));
    h2o_start_response(req, &generator);
    h2o_send(req, &body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

static void accept_connections(h2o_socket_t *socket, const char *error)
{
    struct listener *listener = socket->data;
    if (error != NULL) {
        return;
    }
    h2o_socket_t *connection = h2o_evloop_socket_accept(socket);
    if (connection != NULL) {
        h2o_accept(&listener->accept, connection);
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, SOMAXCONN) != 0) {
        perror("bare_h2o: listen");
        exit(1);
    }
    return fd;
}

static void add_handler(h2o_globalconf_t *config, size_t head_bytes)
{
    h2o_hostconf_t *host = h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/v2/", 0);
    struct answer *answer = (struct answer *)(void *)h2o_create_handler(path, sizeof(*answer));
    answer->super.on_req = answer_ping;
    answer->pad = h2o_iovec_init(NULL, 0);
    if (head_bytes > OWN_HEAD_BYTES + PAD_HEADER_BYTES) {
        answer->pad.len = head_bytes - OWN_HEAD_BYTES - PAD_HEADER_BYTES;
        answer->pad.base = h2o_mem_alloc(answer->pad.len);
        memset(answer->pad.base, 'p', answer->pad.len);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bare_h2o PORT [HEAD_BYTES]\n");
        return 2;
    }
    h2o_globalconf_t config;
    struct listener listener;
    memset(&listener, 0, sizeof(listener));
    h2o_config_init(&config);
    add_handler(&config, argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    h2o_context_init(&listener.context, h2o_evloop_create(), &config);
    listener.accept.ctx = &listener.context;
    listener.accept.hosts = config.hosts;

    int fd = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    h2o_socket_t *socket = h2o_evloop_socket_create(listener.context.loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    socket->data = &listener;
    h2o_socket_read_start(socket, accept_connections);
    while (h2o_evloop_run(listener.context.loop, INT32_MAX) == 0) {
    }
    return 0;
}
