/* SPDX-License-Identifier: Apache-2.0
 *
 * The one closed set of outcomes. errno, CURLcode and redis replies become a result in the file that made the call;
 * only src/api/error_reply.c turns a result into an HTTP status.
 */
#ifndef MINATO_RESULT_H
#define MINATO_RESULT_H

#define NODISCARD __attribute__((warn_unused_result))

enum result {
    OK = 0,
    NOT_FOUND,   /* the named thing does not exist */
    EXISTS,      /* create-only write found the name taken */
    INVALID,     /* what was given breaks its grammar or its promise (a digest that does not hold) */
    DENIED,      /* known, but not allowed */
    CONFLICT,    /* somebody else is writing it, or it changed meanwhile */
    RANGE,       /* offset or range outside what exists */
    TOO_LARGE,   /* over a limit of ours */
    QUOTA,       /* no room left: ENOSPC, EDQUOT, or a project's quota */
    BUSY,        /* a bounded queue is full; try again */
    UNAVAILABLE, /* a server or resource we need is out of reach (EMFILE, a dead store) */
    UNSUPPORTED, /* this driver or configuration cannot do it */
    CORRUPT,     /* stored bytes are not what was stored */
    CANCELLED,   /* the client went away or the server stops; nobody wants the answer */
    IO,          /* any other failure of the system underneath */
    PENDING      /* never an outcome: an asynchronous call will report through its `done` later (see async.h) */
};

/* The name of a result in lower case ("not_found"), for logs. Static storage. */
const char *result_name(enum result r);

/* The result for an errno value. ENOENT and ENOTDIR: NOT_FOUND, EEXIST: EXISTS, ENOSPC and EDQUOT: QUOTA,
 * EMFILE, ENFILE and ENOMEM: UNAVAILABLE, anything else: IO. */
enum result result_from_errno(int err);

#endif
