/* SPDX-License-Identifier: Apache-2.0
 *
 * What Linux tells about this process in /proc/self, as metrics. The files are memory: reading them does not block.
 */
#include "telemetry_int.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "minato/own.h"

/* The beginning of a small file, with a NUL; empty if it cannot be read. */
static void read_text(const char *path, char *out, size_t size)
{
    OWNED_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
}

static void append(struct strbuf *out, const char *name, const char *type, const char *help, double value)
{
    strbuf_append_format(out, "# HELP minato_process_%s %s\n# TYPE minato_process_%s %s\nminato_process_%s %.15g\n",
                         name, help, name, type, name, value);
}

static void render_memory(struct strbuf *out)
{
    char text[256];
    unsigned long long virtual_pages;
    unsigned long long resident_pages;
    read_text("/proc/self/statm", text, sizeof(text));
    if (sscanf(text, "%llu %llu", &virtual_pages, &resident_pages) != 2)
        return;
    double page = (double)sysconf(_SC_PAGESIZE);
    append(out, "virtual_memory_bytes", "gauge", "Address space in use.", (double)virtual_pages * page);
    append(out, "resident_memory_bytes", "gauge", "Memory in use.", (double)resident_pages * page);
}

/* Since Linux 6.2 the folder's size is the number of entries; before, they have to be counted. */
static double count_descriptors(void)
{
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (double)st.st_size;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return -1;
    double count = -3; /* ".", ".." and the folder itself */
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void render_descriptors(struct strbuf *out)
{
    double count = count_descriptors();
    struct rlimit limit;
    if (count >= 0)
        append(out, "open_fds", "gauge", "File descriptors open.", count);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        append(out, "max_fds", "gauge", "File descriptors allowed.", (double)limit.rlim_cur);
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

/* Start in ticks since boot: field 22 of stat, counted behind the command's name, which may hold anything. */
static double start_since_boot(void)
{
    char text[1024];
    read_text("/proc/self/stat", text, sizeof(text));
    const char *rest = strrchr(text, ')');
    for (int field = 2; rest != NULL && field < 22; field++) {
        rest = strchr(rest, ' ');
        rest = rest == NULL ? NULL : rest + 1;
    }
    return rest == NULL ? -1 : (double)strtoull(rest, NULL, 10) / (double)sysconf(_SC_CLK_TCK);
}

static double boot_time(void)
{
    char text[16384];
    read_text("/proc/stat", text, sizeof(text));
    const char *line = strstr(text, "\nbtime ");
    return line == NULL ? -1 : (double)strtoull(line + 7, NULL, 10);
}

static void render_time(struct strbuf *out)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        append(out, "cpu_seconds_total", "counter", "CPU time used.",
               seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    double start = start_since_boot();
    double boot = boot_time();
    if (start >= 0 && boot >= 0)
        append(out, "start_time_seconds", "gauge", "When the process began, since 1970.", boot + start);
}

void metrics_int_render_process(struct strbuf *out)
{
    render_memory(out);
    render_descriptors(out);
    render_time(out);
}
