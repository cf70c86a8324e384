/* SPDX-License-Identifier: Apache-2.0
 *
 * Is the libh2o that was loaded the one whose structs and habits this folder knows? It has no function that tells its
 * version, so the file name of the loaded library and what is inside must both fit. Also sets it up for this process.
 */
#include "http_int.h"

#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <h2o.h>

/* Debian 12, 13: 2.2.5+dfsg2. The soname says 0.13, the file 0.13.5 (2.2.6 counts as 0.13.6 and has the same structs).
 */
#define KNOWN_FILE "libh2o-evloop.so.0.13."

#if H2O_LIBRARY_VERSION_MAJOR != 0 || H2O_LIBRARY_VERSION_MINOR != 13
#error "src/http is written for libh2o 0.13 (h2o 2.2.5)"
#endif

/* Pages and bodies come and go by the megabyte: give them back to the allocator, not to the kernel. */
#define KEEP_BYTES (64 << 20)

/* What was compiled in, on the machines we know. */
_Static_assert(sizeof(void *) != 8 || sizeof(h2o_socket_t) == 96, "h2o_socket_t is not that of libh2o 0.13");

static enum result complain(struct strbuf *ret_why, const char *what)
{
    strbuf_append_format(
        ret_why,
        "libh2o cannot be used: %s. Install libh2o-evloop0.13 (2.2.5) as packaged by Debian, and build "
        "against its headers (compiled for version " H2O_VERSION ")",
        what);
    return UNSUPPORTED;
}

/* What an own look at its data shows. */
static bool has_known_insides(void)
{
    return h2o_socket_buffer_prototype._initial_buf.capacity == 8192 &&
           h2o_socket_buffer_prototype.mmap_settings == &h2o_socket_buffer_mmap_settings;
}

enum result http_library_check(struct strbuf *ret_why)
{
    Dl_info info;
    /* The address of a function would be that of our own import stub. */
    void *symbol = dlsym(RTLD_DEFAULT, "h2o_evloop_run");
    if (symbol == NULL || dladdr(symbol, &info) == 0 || info.dli_fname == NULL)
        return complain(ret_why, "it is not loaded as a shared library");
    char *path = realpath(info.dli_fname, NULL);
    bool is_known = path != NULL && strstr(path, KNOWN_FILE) != NULL;
    free(path);
    if (!is_known)
        return complain(ret_why, "its file is not libh2o-evloop.so.0.13.x");
    if (dlsym(RTLD_DEFAULT, "phr_parse_request") == NULL)
        return complain(ret_why, "it does not export phr_parse_request");
    if (!has_known_insides())
        return complain(ret_why, "its structs are not those of version 2.2.5");
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX; /* nothing ever goes to a file in /tmp */
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
    (void)signal(SIGPIPE, SIG_IGN); /* sendfile and libh2o's writes raise it */
    return OK;
}
