/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/PID/stat; the name in it may hold anything, so that fields are counted from its last parenthesis.
 */
#include "process.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool process_read(int pid, struct process_use *ret_use)
{
    char path[64];
    char text[2048];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    const char *fields = strrchr(text, ')');
    uint64_t user;
    uint64_t system;
    uint64_t pages;
    if (fields == NULL || sscanf(fields,
                                 ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64
                                 " %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64,
                                 &user, &system, &pages) != 3) {
        return false;
    }
    *ret_use = (struct process_use){.cpu_ticks = user + system, .rss_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE)};
    return true;
}
