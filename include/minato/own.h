/* SPDX-License-Identifier: Apache-2.0
 *
 * Cleanup written where a thing is acquired, for what lives as long as a scope.
 *
 *     OWNED_FD int fd = open(...);           closed on every return
 *     OWNED(strbuf_done) struct strbuf sb;   strbuf_done(&sb) on every return
 *     return TAKE(fd_or_pointer)             moves it out
 */
#ifndef MINATO_OWN_H
#define MINATO_OWN_H

#include <stdlib.h>
#include <unistd.h>

#define OWNED(cleanup_function) __attribute__((cleanup(cleanup_function)))

static inline void own_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void own_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

#define OWNED_FD OWNED(own_close_fd)
#define OWNED_MEMORY OWNED(own_free)

/* Moves a pointer out of its owner. */
#define TAKE(p)                                                                                                        \
    ({                                                                                                                 \
        __typeof__(p) taken_ = (p);                                                                                    \
        (p) = NULL;                                                                                                    \
        taken_;                                                                                                        \
    })

/* Moves a file descriptor out of its owner. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
