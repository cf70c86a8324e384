/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of results, and the one translation of errno. Any thread.
 */
#include "minato/result.h"

#include <errno.h>
#include <stddef.h>

const char *result_name(enum result r)
{
    static const char *const names[] = {
        [OK] = "ok",           [NOT_FOUND] = "not_found",     [EXISTS] = "exists",
        [INVALID] = "invalid", [DENIED] = "denied",           [CONFLICT] = "conflict",
        [RANGE] = "range",     [TOO_LARGE] = "too_large",     [QUOTA] = "quota",
        [BUSY] = "busy",       [UNAVAILABLE] = "unavailable", [UNSUPPORTED] = "unsupported",
        [CORRUPT] = "corrupt", [CANCELLED] = "cancelled",     [IO] = "io",
        [PENDING] = "pending",
    };
    return (size_t)r < sizeof(names) / sizeof(names[0]) ? names[r] : "unknown";
}

enum result result_from_errno(int err)
{
    switch (err) {
    case 0:
        return OK;
    case ENOENT:
    case ENOTDIR:
        return NOT_FOUND;
    case EEXIST:
        return EXISTS;
    case ENOSPC:
    case EDQUOT:
        return QUOTA;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return UNAVAILABLE;
    default:
        return IO;
    }
}
