/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests for tests, built from what they name, and the calls of a registry_env that tests of several files make.
 */
#ifndef MINATO_TEST_CONTENT_H
#define MINATO_TEST_CONTENT_H

#include "registry_env.h"

#define IMAGE_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"

struct content {
    bool is_index;
    const struct digest *config; /* of an image; NULL: the digest of "{}" */
    const struct digest *children;
    size_t child_count;
    const struct digest *subject; /* may be NULL */
    const char *artifact_type;    /* may be NULL */
    const char *note;             /* an annotation; makes otherwise equal manifests differ; may be NULL */
    size_t padding;               /* bytes of one more annotation */
};

struct slice content_json(struct arena *arena, const struct content *content);
const char *content_type_of(const struct content *content);
/* As a C string in `arena`. */
const char *content_name(struct arena *arena, const struct digest *digest);

enum result content_put(struct env *env, const char *reference, const struct content *content,
                        struct digest *ret_digest);
enum result content_find(struct env *env, const char *reference, struct digest *ret_digest);
enum result content_delete_manifest(struct env *env, const struct digest *digest, struct digest *ret_by);
enum result content_delete_tag(struct env *env, const char *tag);
enum result content_delete_blob(struct env *env, const struct digest *digest, struct digest *ret_by);
enum result content_mount(struct env *env, const char *from, const struct digest *digest);
enum result content_find_blob(struct env *env, const struct digest *digest);
/* Whether the list answers exactly this, each name followed by ' '. */
bool content_tags_are(struct env *env, const char *expected);
bool content_repositories_are(struct env *env, const char *expected);
/* The digests of all referrers of `subject`, in the list's order, each followed by ' '; in `arena`. */
const char *content_referrers(struct env *env, const struct digest *subject, struct arena *arena);

enum result content_store(struct env *env, struct slice path, struct slice bytes);
enum result content_remove(struct env *env, struct slice path);
bool content_exists(struct env *env, struct slice path);

#endif
