/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests for tests: see content.h. The loop's own thread.
 */
#include "content.h"

#include "await.h"

const char *content_type_of(const struct content *content)
{
    return content->is_index ? INDEX_TYPE : IMAGE_TYPE;
}

const char *content_name(struct arena *arena, const struct digest *digest)
{
    return arena_cstr(arena, digest_text(digest, arena));
}

static struct slice descriptor(struct arena *arena, const char *type, const struct digest *digest)
{
    return arena_format(arena, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":2}", type,
                        content_name(arena, digest));
}

static struct slice children(struct arena *arena, const struct content *content)
{
    const char *type = content->is_index ? IMAGE_TYPE : "application/vnd.oci.image.layer.v1.tar";
    struct slice all = SLICE("");
    for (size_t i = 0; i < content->child_count; i++)
        all = arena_format(arena, "%.*s%s%.*s", SLICE_ARG(all), i == 0 ? "" : ",",
                           SLICE_ARG(descriptor(arena, type, &content->children[i])));
    return all;
}

struct slice content_json(struct arena *arena, const struct content *content)
{
    struct digest nothing = env_digest(SLICE("{}"));
    const struct digest *config = content->config == NULL ? &nothing : content->config;
    struct slice text = arena_format(arena, "{\"schemaVersion\":2,\"mediaType\":\"%s\"", content_type_of(content));
    if (!content->is_index)
        text = arena_format(arena, "%.*s,\"config\":%.*s", SLICE_ARG(text),
                            SLICE_ARG(descriptor(arena, CONFIG_TYPE, config)));
    text = arena_format(arena, "%.*s,\"%s\":[%.*s]", SLICE_ARG(text), content->is_index ? "manifests" : "layers",
                        SLICE_ARG(children(arena, content)));
    if (content->subject != NULL)
        text = arena_format(arena, "%.*s,\"subject\":%.*s", SLICE_ARG(text),
                            SLICE_ARG(descriptor(arena, IMAGE_TYPE, content->subject)));
    if (content->artifact_type != NULL)
        text = arena_format(arena, "%.*s,\"artifactType\":\"%s\"", SLICE_ARG(text), content->artifact_type);
    return arena_format(arena, "%.*s,\"annotations\":{\"note\":\"%s\",\"padding\":\"%0*d\"}}", SLICE_ARG(text),
                        content->note == NULL ? "" : content->note, (int)content->padding + 1, 7);
}

/* ---- calls ---- */

static enum result run(struct env *env, struct env_call *call)
{
    enum result r = env_run(env, call);
    env_call_done(call);
    return r;
}

enum result content_put(struct env *env, const char *reference, const struct content *content,
                        struct digest *ret_digest)
{
    struct arena arena;
    arena_init(&arena);
    struct slice bytes = content_json(&arena, content);
    struct digest digest = env_digest(bytes);
    struct env_call call = {.kind = ENV_MANIFEST_PUT,
                            .reference = reference == NULL ? content_name(&arena, &digest) : reference,
                            .content_type = content_type_of(content),
                            .bytes = bytes};
    enum result r = run(env, &call);
    if (ret_digest != NULL)
        *ret_digest = call.digest;
    arena_done(&arena);
    return r;
}

enum result content_find(struct env *env, const char *reference, struct digest *ret_digest)
{
    struct env_call call = {.kind = ENV_MANIFEST_FIND, .reference = reference};
    enum result r = run(env, &call);
    if (r == OK && ret_digest != NULL)
        *ret_digest = call.digest;
    return r;
}

enum result content_delete_manifest(struct env *env, const struct digest *digest, struct digest *ret_by)
{
    struct env_call call = {.kind = ENV_MANIFEST_DELETE, .digest = *digest};
    enum result r = run(env, &call);
    if (ret_by != NULL)
        *ret_by = call.by;
    return r;
}

enum result content_delete_tag(struct env *env, const char *tag)
{
    struct env_call call = {.kind = ENV_TAG_DELETE, .reference = tag};
    return run(env, &call);
}

enum result content_delete_blob(struct env *env, const struct digest *digest, struct digest *ret_by)
{
    struct env_call call = {.kind = ENV_BLOB_DELETE, .digest = *digest};
    enum result r = run(env, &call);
    if (ret_by != NULL)
        *ret_by = call.by;
    return r;
}

enum result content_mount(struct env *env, const char *from, const struct digest *digest)
{
    struct env_call call = {.kind = ENV_MOUNT, .from = from, .digest = *digest};
    return run(env, &call);
}

enum result content_find_blob(struct env *env, const struct digest *digest)
{
    struct env_call call = {.kind = ENV_BLOB_FIND, .digest = *digest};
    return run(env, &call);
}

static bool list_is(struct env *env, enum env_kind kind, const char *expected)
{
    struct env_call call = {.kind = kind, .limit = 1000};
    bool is_so = env_run(env, &call) == OK && slice_equal(strbuf_slice(&call.content), slice_from_cstr(expected));
    env_call_done(&call);
    return is_so;
}

bool content_tags_are(struct env *env, const char *expected)
{
    return list_is(env, ENV_TAGS, expected);
}

bool content_repositories_are(struct env *env, const char *expected)
{
    return list_is(env, ENV_REPOSITORIES, expected);
}

const char *content_referrers(struct env *env, const struct digest *subject, struct arena *arena)
{
    struct env_call call = {.kind = ENV_REFERRERS, .digest = *subject, .limit = 1000};
    enum result r = env_run(env, &call);
    struct slice all = r == OK ? SLICE("") : slice_from_cstr(result_name(r));
    struct slice left = strbuf_slice(&call.content);
    const char *at;
    while (left.len > 0 && (at = memmem(left.ptr, left.len, "\"digest\":\"", 10)) != NULL) {
        left = slice_from(left, (size_t)(at - left.ptr) + 10);
        const char *end = memchr(left.ptr, '"', left.len);
        all = arena_format(arena, "%.*s%.*s ", SLICE_ARG(all), (int)(end - left.ptr), left.ptr);
    }
    env_call_done(&call);
    return arena_cstr(arena, all);
}

/* ---- the store ---- */

enum result content_store(struct env *env, struct slice path, struct slice bytes)
{
    return AWAIT(env->loop, storage_put(env->storage, path, bytes, 0, done));
}

enum result content_remove(struct env *env, struct slice path)
{
    return AWAIT(env->loop, storage_delete(env->storage, path, done));
}

bool content_exists(struct env *env, struct slice path)
{
    struct storage_object object;
    return AWAIT(env->loop, storage_stat(env->storage, path, &object, done)) == OK;
}
