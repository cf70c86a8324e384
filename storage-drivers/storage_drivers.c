/* SPDX-License-Identifier: Apache-2.0
 *
 * The drivers compiled in, and what a path is for all of them. A new driver is one line here and one folder beside.
 */
#include "minato/storage_driver.h"

#include "filesystem/filesystem.h"
#include "s3/s3.h"
#include "s3v2/s3v2.h"

const struct storage_driver *const storage_drivers[] = {&filesystem_driver, &s3_driver,
#if MINATO_S3V2
                                                        &s3v2_driver,
#endif
                                                        NULL};

const struct storage_driver *storage_driver_find(struct slice name)
{
    for (const struct storage_driver *const *at = storage_drivers; *at != NULL; at++)
        if (slice_equal(slice_from_cstr((*at)->name), name))
            return *at;
    return NULL;
}

static bool is_path_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

static bool is_component(struct slice s)
{
    if (s.len == 0 || slice_equal(s, SLICE(".")) || slice_equal(s, SLICE("..")))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_path_character(s.ptr[i]))
            return false;
    return true;
}

bool storage_path_is_valid(struct slice path)
{
    if (path.len > STORAGE_PATH_MAX)
        return false;
    struct slice head;
    struct slice rest = path;
    while (slice_split(rest, '/', &head, &rest))
        if (!is_component(head))
            return false;
    return is_component(rest);
}
