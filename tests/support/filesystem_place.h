/* SPDX-License-Identifier: Apache-2.0
 *
 * A temporary folder with a filesystem store in it, for tests.
 */
#ifndef MINATO_TEST_FILESYSTEM_PLACE_H
#define MINATO_TEST_FILESYSTEM_PLACE_H

#include "minato/storage.h"

struct filesystem_place {
    char root[64]; /* "" until it is made */
};

/* Makes an empty folder on a disk. False: it cannot be made. */
bool filesystem_place_make(struct filesystem_place *place);
/* Opens a store there. */
enum result filesystem_place_open(struct filesystem_place *place, struct pool *pool, struct strbuf *ret_why,
                                  struct storage **ret_storage) NODISCARD;
/* Counts the files below `folder` ("": all) but the lock, and names them on stderr. */
size_t filesystem_place_count(const struct filesystem_place *place, const char *folder);
/* Removes it with all there is. */
void filesystem_place_remove(struct filesystem_place *place);

#endif
