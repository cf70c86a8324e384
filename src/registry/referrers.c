/* SPDX-License-Identifier: Apache-2.0
 *
 * The referrers of a subject: manifests that name it in their "subject", the entries of its fallback tag, which clients
 * kept before there was this API, and what cosign tags beside it. The index's list of them; cold it is made of the
 * descriptors that pushes left and of what the tags name. An entry whose manifest is gone does not count.
 */
#include "content_int.h"

#include <stdlib.h>

#define FALLBACK_HEX_MAX 64u /* of the digest, in the name of a fallback tag */
#define DESCRIPTOR_BYTES_MAX (16u * 1024u * 1024u)
#define PAGE_ENTRIES 1000u
#define PAGE_BYTES_MAX (4u * 1024u * 1024u)

/* ---- names ---- */

struct slice registry_int_subject_tag(const struct digest *subject, struct arena *arena)
{
    struct slice text = digest_text(subject, arena);
    struct slice algorithm = digest_algorithm_name(subject->algorithm);
    struct slice hex = slice_from(text, algorithm.len + 1);
    if (hex.len > FALLBACK_HEX_MAX)
        hex.len = FALLBACK_HEX_MAX;
    return arena_format(arena, "%.*s-%.*s", SLICE_ARG(algorithm), SLICE_ARG(hex));
}

static const char *const cosign_suffixes[] = {".sig", ".att", ".sbom"};
#define COSIGN_SUFFIXES (sizeof(cosign_suffixes) / sizeof(cosign_suffixes[0]))

/* "<algorithm>-<64 hex>", and perhaps a suffix of cosign's. */
static bool is_referrers_tag(struct slice tag, struct slice *ret_subject)
{
    static const enum digest_algorithm algorithms[] = {DIGEST_SHA256, DIGEST_SHA512};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct slice name = digest_algorithm_name(algorithms[i]);
        size_t length = name.len + 1 + FALLBACK_HEX_MAX;
        if (tag.len < length || !slice_has_prefix(tag, name) || tag.ptr[name.len] != '-')
            continue;
        *ret_subject = slice_of(tag.ptr, length);
        struct slice suffix = slice_from(tag, length);
        bool is_one = suffix.len == 0;
        for (size_t k = 0; k < COSIGN_SUFFIXES && !is_one; k++)
            is_one = slice_equal(suffix, slice_from_cstr(cosign_suffixes[k]));
        return is_one;
    }
    return false;
}

bool registry_int_fence_of_referrers_tag(struct registry *registry, struct repo_name repo, struct tag tag,
                                         struct fence *ret_fence)
{
    struct slice subject;
    if (!is_referrers_tag(tag.text, &subject))
        return false;
    *ret_fence = (struct fence){.registry = registry,
                                .is_of_list = true,
                                .list = {.kind = INDEX_LIST_REFERRERS, .repo = repo, .name = subject},
                                .outcome = INDEX_MEMBER_UNKNOWN};
    return true;
}

struct fence registry_int_fence_of_referrer(struct registry *registry, struct repo_name repo,
                                            const struct digest *subject, const struct digest *referrer,
                                            struct arena *arena)
{
    struct slice name = registry_int_subject_tag(subject, arena);
    return (struct fence){.registry = registry,
                          .is_of_list = true,
                          .list = {.kind = INDEX_LIST_REFERRERS, .repo = repo, .name = name},
                          .member = digest_text(referrer, arena),
                          .outcome = INDEX_MEMBER_UNKNOWN};
}

/* In the list an entry is its artifact type, a line end, and its descriptor: filters need not parse JSON. */
struct slice registry_int_referrer_data(struct slice artifact_type, struct slice descriptor, struct arena *arena)
{
    return arena_format(arena, "%.*s\n%.*s", SLICE_ARG(artifact_type), SLICE_ARG(descriptor));
}

/* ---- what the store has ---- */

struct referrers_fill {
    struct fan fan;
    struct list_read *read;
    struct arena *arena; /* of the flow that asked */
    struct digest subject;
    struct folder_list objects;
    size_t asked;

    /* what tags name: read whole, as nobody left a descriptor */
    size_t tags_asked;
    struct reference tag;
    struct manifest_view view;
    struct digest *tagged;
    size_t tagged_count;
    bool is_reading_tagged;
};

/* One of them, in a flow of its own. */
struct referrer {
    struct referrers_fill *fill;
    struct reference reference;
    struct lookup revision;
    struct slice descriptor;
    struct manifest_view view;
};

static void give_referrer(struct referrer *r, struct slice artifact_type, struct slice descriptor, struct arena *arena)
{
    struct referrers_fill *fill = r->fill;
    struct slice data = registry_int_referrer_data(artifact_type, descriptor, arena);
    registry_int_list_add(fill->read, digest_text(&r->reference.digest, fill->arena), arena_copy(fill->arena, data));
}

static enum flow_next look_for_revision(struct flow *f)
{
    struct referrer *r = flow_owner(f);
    struct registry *registry = r->fill->read->registry;
    registry_int_lookup_digest(&r->revision, registry, INDEX_REVISION, r->fill->read->key.repo, &r->reference.digest);
    return flow_any(f, flow_call(f, &registry_int_lookup_program, &r->revision));
}

static enum flow_next read_descriptor(struct flow *f)
{
    struct referrer *r = flow_owner(f);
    const struct list_read *read = r->fill->read;
    if (flow_result(f) == NOT_FOUND)
        return FLOW_RETURN;
    if (flow_result(f) != OK)
        return flow_fail(f, flow_result(f));
    struct slice path = layout_referrer(flow_arena(f), read->key.repo, &r->fill->subject, &r->reference.digest);
    return flow_await_any(f, storage_get(read->registry->storage, path, DESCRIPTOR_BYTES_MAX, flow_arena(f),
                                         &r->descriptor, NULL, flow_done(f)));
}

static enum flow_next give_descriptor(struct flow *f)
{
    struct referrer *r = flow_owner(f);
    struct slice type;
    enum result result = flow_result(f);
    if (result != OK && result != NOT_FOUND && result != TOO_LARGE)
        return flow_fail(f, result);
    if (result == OK && referrer_artifact_type(r->descriptor, flow_arena(f), &type) == OK)
        give_referrer(r, type, r->descriptor, flow_arena(f));
    return FLOW_NEXT;
}

static const struct flow_step object_steps[] = {
    {"look for revision", look_for_revision},
    {"read descriptor", read_descriptor},
    {"give descriptor", give_descriptor},
};
static const struct flow_program object_program = {.name = "referrer_object", FLOW_STEPS(object_steps)};

static enum flow_next read_manifest(struct flow *f)
{
    struct referrer *r = flow_owner(f);
    const struct list_read *read = r->fill->read;
    return flow_any(f, manifest_find(f, read->registry, read->key.repo, &r->reference, &r->view));
}

static enum flow_next describe_manifest(struct flow *f)
{
    struct referrer *r = flow_owner(f);
    struct manifest manifest;
    struct slice why;
    enum result result = flow_result(f);
    if (result != OK)
        return registry_int_is_unreadable(result) ? FLOW_NEXT : flow_fail(f, result);
    if (manifest_parse(r->view.bytes, r->view.media_type, flow_arena(f), &manifest, &why) != OK)
        return FLOW_NEXT;
    struct slice descriptor = referrer_descriptor(&manifest, &r->reference.digest, r->view.bytes.len, flow_arena(f));
    give_referrer(r, manifest.artifact_type, descriptor, flow_arena(f));
    return FLOW_NEXT;
}

static void release_referrer(void *owner)
{
    struct referrer *r = owner;
    manifest_view_release(&r->view);
}

static const struct flow_step tagged_steps[] = {
    {"read manifest", read_manifest},
    {"describe manifest", describe_manifest},
};
static const struct flow_program tagged_program = {
    .name = "referrer_tagged",
    FLOW_STEPS(tagged_steps),
    .dispose = release_referrer,
};

/* ---- those that left a descriptor ---- */

static enum flow_next list_objects(struct flow *f)
{
    struct referrers_fill *op = flow_owner(f);
    return registry_int_list_folder(f, &op->objects);
}

/* "<algorithm>-<hex>" as an object's name. */
static bool parse_object_name(struct slice name, struct digest *ret_digest)
{
    char text[DIGEST_TEXT_MAX];
    const char *dash = name.len > sizeof(text) ? NULL : memchr(name.ptr, '-', name.len);
    if (dash == NULL)
        return false;
    memcpy(text, name.ptr, name.len);
    text[dash - name.ptr] = ':';
    return digest_parse(slice_of(text, name.len), ret_digest) == OK;
}

static bool has_next(struct fan *fan)
{
    struct referrers_fill *op = (struct referrers_fill *)fan;
    struct digest digest;
    if (op->is_reading_tagged)
        return op->asked < op->tagged_count;
    while (op->asked < op->objects.count && !parse_object_name(op->objects.names[op->asked], &digest))
        op->asked++;
    return op->asked < op->objects.count;
}

static const struct flow_program *take_next(struct fan *fan, struct arena *arena, void **ret_owner)
{
    struct referrers_fill *op = (struct referrers_fill *)fan;
    struct referrer *r = ARENA_NEW(arena, struct referrer);
    r->fill = op;
    r->reference.is_digest = true;
    *ret_owner = r;
    if (op->is_reading_tagged) {
        r->reference.digest = op->tagged[op->asked++];
        return &tagged_program;
    }
    (void)parse_object_name(op->objects.names[op->asked++], &r->reference.digest);
    return &object_program;
}

static enum flow_next read_objects(struct flow *f)
{
    struct referrers_fill *op = flow_owner(f);
    op->fan.has_next = has_next;
    op->fan.take_next = take_next;
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

/* ---- those that tags name ---- */

static void add_tagged(struct referrers_fill *op, const struct digest *digest)
{
    op->tagged = xrealloc(op->tagged, (op->tagged_count + 1) * sizeof(op->tagged[0]));
    op->tagged[op->tagged_count++] = *digest;
}

/* The fallback tag names an index of referrers, a tag of cosign's names one referrer. With validation switched off an
 * index keeps nothing: what it lists comes and goes without a word to this list, which therefore stays cold. */
static void take_tagged(struct referrers_fill *op, bool is_fallback, struct arena *arena)
{
    struct manifest manifest;
    struct slice why;
    if (!is_fallback) {
        add_tagged(op, &op->view.digest);
        return;
    }
    if (manifest_parse(op->view.bytes, op->view.media_type, arena, &manifest, &why) != OK ||
        manifest.kind != MANIFEST_INDEX)
        return;
    for (size_t i = 0; i < manifest.child_count; i++)
        add_tagged(op, &manifest.children[i].digest);
    if (manifest.child_count > 0 && !op->read->registry->config->validation.children)
        op->read->stays_cold = true;
}

/* Again for each tag: the fallback tag, then cosign's. */
static enum flow_next read_tags(struct flow *f)
{
    struct referrers_fill *op = flow_owner(f);
    struct arena *arena = flow_arena(f);
    if (op->tags_asked > 0) {
        enum result r = flow_result(f);
        if (r != OK && !registry_int_is_unreadable(r))
            return flow_fail(f, r);
        if (r == OK)
            take_tagged(op, op->tags_asked == 1, arena);
        manifest_view_release(&op->view);
    }
    if (op->tags_asked > COSIGN_SUFFIXES)
        return FLOW_NEXT;
    const char *suffix = op->tags_asked == 0 ? "" : cosign_suffixes[op->tags_asked - 1];
    struct slice text = arena_format(arena, "%.*s%s", SLICE_ARG(op->read->key.name), suffix);
    op->tag = (struct reference){.tag = {text}};
    op->tags_asked++;
    return flow_again(f, manifest_find(f, op->read->registry, op->read->key.repo, &op->tag, &op->view));
}

static enum flow_next read_tagged(struct flow *f)
{
    struct referrers_fill *op = flow_owner(f);
    op->is_reading_tagged = true;
    op->asked = 0;
    op->fan = (struct fan){.has_next = has_next, .take_next = take_next};
    return flow_call(f, &registry_int_fan_program, &op->fan);
}

static void release_fill(void *owner)
{
    struct referrers_fill *op = owner;
    manifest_view_release(&op->view);
    free(op->objects.names);
    free(op->tagged);
}

static const struct flow_step fill_steps[] = {
    {"list objects", list_objects},
    {"read objects", read_objects},
    {"read tags", read_tags},
    {"read tagged", read_tagged},
};
static const struct flow_program fill_program = {
    .name = "referrers_fill",
    FLOW_STEPS(fill_steps),
    .dispose = release_fill,
};

/* ---- list ---- */

struct referrer_list_op {
    struct list_read read; /* first: the filler finds this struct by it */
    struct digest subject;
    struct slice artifact_type; /* ptr NULL: any */
    size_t limit;
    size_t bytes;
    bool is_asked;
    struct referrer_page *ret_page;
};

static enum flow_next fill_referrers(struct flow *f, struct list_read *read)
{
    const struct referrer_list_op *op = (const struct referrer_list_op *)read;
    struct referrers_fill *fill = ARENA_NEW(flow_arena(f), struct referrers_fill);
    fill->read = read;
    fill->arena = flow_arena(f);
    fill->subject = op->subject;
    fill->objects.registry = read->registry;
    fill->objects.wants_objects = true;
    fill->objects.folder = layout_referrers_folder(flow_arena(f), read->key.repo, &op->subject);
    return flow_call(f, &fill_program, fill);
}

/* Those that the filter lets through, until the page is full. */
static bool take_page(struct referrer_list_op *op)
{
    struct referrer_page *page = op->ret_page;
    for (size_t i = 0; i < op->read.page.count; i++) {
        const struct index_member *member = &op->read.page.members[i];
        const char *end = memchr(member->data.ptr, '\n', member->data.len);
        size_t type_length = end == NULL ? 0 : (size_t)(end - member->data.ptr);
        struct slice type = slice_of(member->data.ptr, type_length);
        struct slice descriptor = slice_from(member->data, end == NULL ? 0 : type_length + 1);
        if (op->artifact_type.ptr != NULL && !slice_equal(type, op->artifact_type))
            continue;
        if (page->count == op->limit || (page->count > 0 && op->bytes + descriptor.len > PAGE_BYTES_MAX)) {
            page->has_more = true;
            return false;
        }
        page->descriptors[page->count++] = descriptor;
        op->bytes += descriptor.len;
        page->last = member->name;
    }
    return op->read.page.has_more;
}

/* Again until the page is full or the list at its end. */
static enum flow_next read_page(struct flow *f)
{
    struct referrer_list_op *op = flow_owner(f);
    if (op->is_asked) {
        if (flow_result(f) != OK)
            return flow_fail(f, flow_result(f));
        if (!take_page(op))
            return FLOW_NEXT;
        op->read = (struct list_read){.registry = op->read.registry,
                                      .key = op->read.key,
                                      .after = op->read.page.members[op->read.page.count - 1].name,
                                      .limit = PAGE_ENTRIES,
                                      .fill = fill_referrers};
    }
    op->is_asked = true;
    return flow_again(f, flow_call(f, &registry_int_list_read_program, &op->read));
}

static const struct flow_step referrer_list_steps[] = {{"read page", read_page}};
static const struct flow_program referrer_list_program = {.name = "referrer_list", FLOW_STEPS(referrer_list_steps)};

enum flow_next referrer_list(struct flow *f, struct registry *registry, struct repo_name repo,
                             const struct digest *subject, struct slice artifact_type, struct slice last, size_t limit,
                             struct referrer_page *ret_page)
{
    struct arena *arena = flow_arena(f);
    struct referrer_list_op *op = ARENA_NEW(arena, struct referrer_list_op);
    op->read.registry = registry;
    op->read.key = (struct index_list_key){
        .kind = INDEX_LIST_REFERRERS, .repo = repo, .name = registry_int_subject_tag(subject, arena)};
    op->read.after = last;
    op->read.limit = PAGE_ENTRIES;
    op->read.fill = fill_referrers;
    op->subject = *subject;
    op->artifact_type = artifact_type;
    op->limit = limit < PAGE_ENTRIES ? limit : PAGE_ENTRIES;
    op->ret_page = ret_page;
    *ret_page = (struct referrer_page){.descriptors = ARENA_ARRAY(arena, struct slice, PAGE_ENTRIES)};
    return flow_call(f, &referrer_list_program, op);
}
