/* SPDX-License-Identifier: Apache-2.0
 *
 * hiredis' asynchronous context on an event loop. Until it is connected, and when the kernel takes no more, the loop
 * says when to write; else what one turn of the loop has sent goes out at the turn's end, by one system call.
 */
#include "redis_int.h"

#include <stdlib.h>

#define SOCKET_PATH_MAX 107u

/* Lives as long as the context: hiredis frees both (on_cleanup), maybe later than its owner asked for it. */
struct redis_socket {
    struct fd_watch watch;
    struct loop *loop;
    redisAsyncContext *ac;
    struct timer flush;
    unsigned events; /* watched for */
    bool is_writing; /* hiredis is called to write: what it says then is that it could not write all */
};

static struct redis_socket *socket_of_timer(struct timer *timer)
{
    return (struct redis_socket *)(void *)((char *)timer - offsetof(struct redis_socket, flush));
}

static void on_ready(struct fd_watch *watch, unsigned events);

static void watch_for(struct redis_socket *sock, unsigned events)
{
    if (sock->events == events)
        return;
    sock->events = events;
    if (events == 0)
        loop_unwatch(sock->loop, &sock->watch);
    else if (loop_watch(sock->loop, &sock->watch, sock->ac->c.fd, events, on_ready) != OK)
        sock->events = 0; /* it will not be heard of: its deadline ends it */
}

/* ---- what hiredis asks for ---- */

static void on_add_read(void *data)
{
    struct redis_socket *sock = data;
    watch_for(sock, sock->events | FD_READABLE);
}

static void on_del_read(void *data)
{
    struct redis_socket *sock = data;
    watch_for(sock, sock->events & ~(unsigned)FD_READABLE);
}

static void on_flush(struct timer *timer)
{
    struct redis_socket *sock = socket_of_timer(timer);
    sock->is_writing = true;
    redisAsyncHandleWrite(sock->ac); /* may end it */
}

static void on_add_write(void *data)
{
    struct redis_socket *sock = data;
    bool is_connected = sock->ac->c.flags & REDIS_CONNECTED;
    if (sock->is_writing || !is_connected)
        watch_for(sock, sock->events | FD_WRITABLE);
    else if (!(sock->events & FD_WRITABLE) && !timer_is_running(&sock->flush))
        timer_start(sock->loop, &sock->flush, 0, on_flush);
    sock->is_writing = false;
}

static void on_del_write(void *data)
{
    struct redis_socket *sock = data;
    sock->is_writing = false;
    watch_for(sock, sock->events & ~(unsigned)FD_WRITABLE);
}

static void on_cleanup(void *data)
{
    struct redis_socket *sock = data;
    timer_stop(&sock->flush);
    watch_for(sock, 0);
    free(sock);
}

/* ---- what the loop says ---- */

static void on_ready(struct fd_watch *watch, unsigned events)
{
    struct redis_socket *sock = (struct redis_socket *)(void *)watch;
    redisAsyncContext *ac = sock->ac;
    /* One of the two, as either may end it; the other comes again, levels being what is watched. */
    if ((events & FD_WRITABLE) && (sock->events & FD_WRITABLE)) {
        sock->is_writing = true;
        redisAsyncHandleWrite(ac);
    } else {
        redisAsyncHandleRead(ac);
    }
}

/* ---- its beginning ---- */

static redisAsyncContext *connect_to(const struct redis_address *address, struct slice path)
{
    char text[SOCKET_PATH_MAX + 1];
    if (path.len == 0)
        return redisAsyncConnect(address->host, address->port);
    memcpy(text, path.ptr, path.len);
    text[path.len] = '\0';
    return redisAsyncConnectUnix(text);
}

redisAsyncContext *redis_socket_open(struct loop *loop, const struct redis_address *address, struct slice path,
                                     void *owner, struct strbuf *ret_why)
{
    redisAsyncContext *ac = connect_to(address, path);
    if (ac == NULL || ac->err != 0) {
        strbuf_append_cstr(ret_why, ac == NULL ? "out of memory" : ac->errstr);
        if (ac != NULL)
            redisAsyncFree(ac);
        return NULL;
    }
    struct redis_socket *sock = xcalloc(1, sizeof(*sock));
    sock->loop = loop;
    sock->ac = ac;
    ac->data = owner;
    ac->ev.data = sock;
    ac->ev.addRead = on_add_read;
    ac->ev.delRead = on_del_read;
    ac->ev.addWrite = on_add_write;
    ac->ev.delWrite = on_del_write;
    ac->ev.cleanup = on_cleanup;
    return ac;
}
