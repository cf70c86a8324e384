/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptors that libraries own, watched in one epoll per loop that libh2o polls as a single descriptor: libh2o's own
 * sockets would take the descriptors over. On the loop's thread alone.
 */
#include "async_int.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

void async_int_watches_init(struct watch_set *set)
{
    *set = (struct watch_set){.epoll_fd = -1};
}

static unsigned events_from_epoll(uint32_t events)
{
    unsigned result = 0;
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        result |= FD_READABLE;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        result |= FD_WRITABLE;
    return result;
}

void async_int_watches_run(struct watch_set *set)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(set->epoll_fd, events, EVENTS_PER_TURN, 0);
    set->pending = events;
    set->pending_count = count;
    for (int i = 0; i < count; i++) {
        struct fd_watch *watch = events[i].data.ptr;
        if (watch != NULL) /* else unwatched by one before it */
            watch->ready(watch, events_from_epoll(events[i].events));
    }
    set->pending = NULL;
}

enum result loop_watch(struct loop *loop, struct fd_watch *watch, int fd, unsigned events,
                       void (*ready)(struct fd_watch *watch, unsigned events))
{
    struct watch_set *set = async_int_loop_watches(loop);
    if (set == NULL)
        return IO;
    struct epoll_event event = {.data.ptr = watch};
    if (events & FD_READABLE)
        event.events |= EPOLLIN;
    if (events & FD_WRITABLE)
        event.events |= EPOLLOUT;
    if (watch->is_watched && watch->fd != fd)
        loop_unwatch(loop, watch);
    if (epoll_ctl(set->epoll_fd, watch->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
        return result_from_errno(errno);
    *watch = (struct fd_watch){fd, true, ready};
    return OK;
}

void loop_unwatch(struct loop *loop, struct fd_watch *watch)
{
    if (!watch->is_watched)
        return;
    struct watch_set *set = async_int_loop_watches(loop);
    epoll_ctl(set->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = 0; set->pending != NULL && i < set->pending_count; i++)
        if (set->pending[i].data.ptr == watch)
            set->pending[i].data.ptr = NULL;
    watch->is_watched = false;
}
