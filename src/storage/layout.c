/* SPDX-License-Identifier: Apache-2.0
 *
 * Where everything lies in the store: the only code that builds paths. Pure, any thread. The names that go in have been
 * parsed (oci.h), so what comes out is a path as storage_driver.h defines it.
 *
 *   docker/registry/v2/                                     Docker Registry's tree: it can read it and we can read its
 *     blobs/<alg>/<2 hex>/<hex>/data                        the bytes of a blob or manifest
 *     blobs/<alg>/<2 hex>/<hex>/location                    ours: where the bytes are, if not there (no rename)
 *     repositories/<name>/
 *       _layers/<alg>/<hex>/link                            this repository may serve this blob
 *       _manifests/revisions/<alg>/<hex>/link               this repository has this manifest
 *       _manifests/tags/<tag>/current/link                  what the tag names now
 *       _manifests/tags/<tag>/index/<alg>/<hex>/link        what it has ever named
 *   minato/                                                 ours; never below a repository, whose deletion, lifecycle
 *     uploads/<uuid>/<seq, ten digits>                      rules and purgers would take shared bytes away
 *     uploads/<uuid>/<seq>.tail                             bytes of a part that is not full yet
 *     bytes/<uuid>                                          bytes whose digest is not known yet
 *     referrers/<name>/_subjects/<alg>-<hex>/<alg>-<hex>    the descriptor of a manifest that names the first as
 * subject
 *     name, secret                                        random, of this store, made when first wanted
 *     locks/<name>/_pushes/<uuid>                           what a push under way names: digests and tags, a line each
 *     locks/<name>/_deletes/d.<alg>-<hex>.<uuid>            a digest that is being deleted
 *     locks/<name>/_deletes/t.<tag>.<uuid>                  a tag that is being deleted
 *
 * A link is an object that holds "<alg>:<hex>" of its target. The filesystem driver keeps `tmp`, `parts` and `lock` of
 * its own below minato/; no path made here collides with them.
 */
#include "minato/storage.h"

#include <inttypes.h>

#define BLOBS "docker/registry/v2/blobs/"
#define REPOSITORIES "docker/registry/v2/repositories/"
#define UPLOADS "minato/uploads"
#define REFERRERS "minato/referrers/"
#define BYTES "minato/bytes"
#define LOCKS "minato/locks/"

/* A digest as the tree spells it: "<alg>/<hex>". */
struct digest_path {
    struct slice algorithm;
    struct slice hex;
    char text[DIGEST_TEXT_MAX];
};

static void digest_path_init(struct digest_path *p, const struct digest *digest)
{
    size_t length = digest_format(digest, p->text);
    p->algorithm = digest_algorithm_name(digest->algorithm);
    p->hex = slice_from(slice_of(p->text, length), p->algorithm.len + 1);
}

struct slice layout_blob(struct arena *arena, const struct digest *digest)
{
    struct digest_path d;
    digest_path_init(&d, digest);
    return ARENA_CONCAT(arena, SLICE(BLOBS), d.algorithm, SLICE("/"), slice_of(d.hex.ptr, 2), SLICE("/"), d.hex,
                        SLICE("/data"));
}

struct slice layout_blob_location(struct arena *arena, const struct digest *digest)
{
    struct digest_path d;
    digest_path_init(&d, digest);
    return ARENA_CONCAT(arena, SLICE(BLOBS), d.algorithm, SLICE("/"), slice_of(d.hex.ptr, 2), SLICE("/"), d.hex,
                        SLICE("/location"));
}

struct slice layout_repositories_folder(void)
{
    return SLICE("docker/registry/v2/repositories");
}

struct slice layout_repository_folder(struct arena *arena, struct repo_name repo)
{
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text);
}

struct slice layout_layer_link(struct arena *arena, struct repo_name repo, const struct digest *digest)
{
    struct digest_path d;
    digest_path_init(&d, digest);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_layers/"), d.algorithm, SLICE("/"), d.hex,
                        SLICE("/link"));
}

struct slice layout_layers_folder(struct arena *arena, struct repo_name repo, enum digest_algorithm algorithm)
{
    struct slice name = digest_algorithm_name(algorithm);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_layers/"), name);
}

struct slice layout_revision_link(struct arena *arena, struct repo_name repo, const struct digest *digest)
{
    struct digest_path d;
    digest_path_init(&d, digest);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/revisions/"), d.algorithm, SLICE("/"),
                        d.hex, SLICE("/link"));
}

struct slice layout_tags_folder(struct arena *arena, struct repo_name repo)
{
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/tags"));
}

struct slice layout_tag_current(struct arena *arena, struct repo_name repo, struct tag tag)
{
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/tags/"), tag.text,
                        SLICE("/current/link"));
}

struct slice layout_tag_index(struct arena *arena, struct repo_name repo, struct tag tag, const struct digest *digest)
{
    struct digest_path d;
    digest_path_init(&d, digest);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/tags/"), tag.text, SLICE("/index/"),
                        d.algorithm, SLICE("/"), d.hex, SLICE("/link"));
}

struct slice layout_tag_history_folder(struct arena *arena, struct repo_name repo, struct tag tag,
                                       enum digest_algorithm algorithm)
{
    struct slice name = digest_algorithm_name(algorithm);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/tags/"), tag.text, SLICE("/index/"),
                        name);
}

struct slice layout_revisions_folder(struct arena *arena, struct repo_name repo, enum digest_algorithm algorithm)
{
    struct slice name = digest_algorithm_name(algorithm);
    return ARENA_CONCAT(arena, SLICE(REPOSITORIES), repo.text, SLICE("/_manifests/revisions/"), name);
}

struct slice layout_referrers_folder(struct arena *arena, struct repo_name repo, const struct digest *subject)
{
    struct digest_path d;
    digest_path_init(&d, subject);
    return ARENA_CONCAT(arena, SLICE(REFERRERS), repo.text, SLICE("/_subjects/"), d.algorithm, SLICE("-"), d.hex);
}

struct slice layout_referrer(struct arena *arena, struct repo_name repo, const struct digest *subject,
                             const struct digest *referrer)
{
    struct digest_path d;
    digest_path_init(&d, referrer);
    struct slice folder = layout_referrers_folder(arena, repo, subject);
    return ARENA_CONCAT(arena, folder, SLICE("/"), d.algorithm, SLICE("-"), d.hex);
}

struct slice layout_uploads_folder(struct arena *arena)
{
    (void)arena;
    return SLICE(UPLOADS);
}

struct slice layout_upload_folder(struct arena *arena, struct slice uuid)
{
    return ARENA_CONCAT(arena, SLICE(UPLOADS "/"), uuid);
}

struct slice layout_upload_state(struct arena *arena, struct slice uuid, uint32_t seq)
{
    /* Ten digits: the store's byte order of a session's states is their order in time. */
    return arena_format(arena, UPLOADS "/%.*s/%010" PRIu32, SLICE_ARG(uuid), seq);
}

struct slice layout_upload_tail(struct arena *arena, struct slice uuid, uint32_t seq)
{
    return arena_format(arena, UPLOADS "/%.*s/%010" PRIu32 ".tail", SLICE_ARG(uuid), seq);
}

struct slice layout_bytes(struct arena *arena, struct slice uuid)
{
    return ARENA_CONCAT(arena, SLICE(BYTES "/"), uuid);
}

struct slice layout_pushes_folder(struct arena *arena, struct repo_name repo)
{
    return ARENA_CONCAT(arena, SLICE(LOCKS), repo.text, SLICE("/_pushes"));
}

struct slice layout_push(struct arena *arena, struct repo_name repo, struct slice uuid)
{
    return ARENA_CONCAT(arena, SLICE(LOCKS), repo.text, SLICE("/_pushes/"), uuid);
}

struct slice layout_deletes_folder(struct arena *arena, struct repo_name repo)
{
    return ARENA_CONCAT(arena, SLICE(LOCKS), repo.text, SLICE("/_deletes"));
}

/* A tag may look like a digest in a path, so the first letter tells. */
struct slice layout_delete_name(struct arena *arena, struct slice name)
{
    struct slice algorithm;
    struct slice hex;
    if (slice_split(name, ':', &algorithm, &hex))
        return ARENA_CONCAT(arena, SLICE("d."), algorithm, SLICE("-"), hex);
    return ARENA_CONCAT(arena, SLICE("t."), name);
}

struct slice layout_delete(struct arena *arena, struct repo_name repo, struct slice name, struct slice uuid)
{
    return ARENA_CONCAT(arena, SLICE(LOCKS), repo.text, SLICE("/_deletes/"), layout_delete_name(arena, name),
                        SLICE("."), uuid);
}
