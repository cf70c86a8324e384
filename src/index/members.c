/* SPDX-License-Identifier: Apache-2.0
 *
 * A list's members as a sorted array: a page is a binary search and a copy, a new member a binary search and a memmove
 * (tens of microseconds among 100,000). Not thread-safe: a list's shard lock is around it.
 */
#include "members.h"

#include <stdlib.h>

#define MALLOC_OVERHEAD 16u
#define SPARE_MIN 8u

/* ---- one member ---- */

static struct slice name_of(const struct member *m)
{
    return slice_of(m->bytes, m->name_len);
}

static size_t member_bytes(size_t name_len, size_t data_len)
{
    const size_t align = _Alignof(struct member);
    return (sizeof(struct member) + name_len + data_len + align - 1) / align * align;
}

static struct member *member_write(void *memory, struct slice name, struct slice data)
{
    struct member *m = memory;
    m->name_len = (uint32_t)name.len;
    m->data_len = (uint32_t)data.len;
    if (name.len > 0)
        memcpy(m->bytes, name.ptr, name.len);
    if (data.len > 0)
        memcpy(m->bytes + name.len, data.ptr, data.len);
    return m;
}

static struct member *member_new(struct slice name, struct slice data)
{
    return member_write(xmalloc(member_bytes(name.len, data.len)), name, data);
}

static size_t memory_of(const struct member *m)
{
    return member_bytes(m->name_len, m->data_len) + MALLOC_OVERHEAD;
}

/* ---- the array ---- */

static bool is_in_block(const struct members *members, const struct member *m)
{
    uintptr_t at = (uintptr_t)m;
    uintptr_t block = (uintptr_t)members->block;
    return at >= block && at < block + members->block_bytes;
}

/* Frees a member that is no longer in the array. The block stays as it was: it goes when the list does. */
static void member_drop(struct members *members, struct member *m)
{
    if (is_in_block(members, m))
        return;
    members->bytes -= memory_of(m);
    free(m);
}

/* The first place from `from` on whose member is not before `name`. */
static size_t lower_bound(const struct members *members, size_t from, struct slice name)
{
    size_t end = members->count;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (slice_compare(name_of(members->at[middle]), name) < 0)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

static bool is_at(const struct members *members, size_t at, struct slice name)
{
    return at < members->count && slice_equal(name_of(members->at[at]), name);
}

static void set_capacity(struct members *members, size_t capacity)
{
    members->bytes += capacity * sizeof(struct member *) - members->capacity * sizeof(struct member *);
    members->capacity = capacity;
}

void index_int_members_put(struct members *members, struct slice name, struct slice data)
{
    struct member *fresh = member_new(name, data);
    members->bytes += memory_of(fresh);
    size_t at = lower_bound(members, 0, name);
    if (is_at(members, at, name)) {
        member_drop(members, members->at[at]);
        members->at[at] = fresh;
        return;
    }
    if (members->count == members->capacity) {
        set_capacity(members, members->capacity + members->capacity / 2 + SPARE_MIN);
        members->at = xrealloc(members->at, members->capacity * sizeof(struct member *));
    }
    memmove(members->at + at + 1, members->at + at, (members->count - at) * sizeof(struct member *));
    members->at[at] = fresh;
    ++members->count;
}

void index_int_members_remove(struct members *members, struct slice name)
{
    size_t at = lower_bound(members, 0, name);
    if (!is_at(members, at, name))
        return;
    member_drop(members, members->at[at]);
    --members->count;
    memmove(members->at + at, members->at + at + 1, (members->count - at) * sizeof(struct member *));
}

void index_int_members_page(const struct members *members, struct slice after, size_t limit, struct arena *arena,
                            struct index_list_page *ret_page)
{
    size_t begin = after.len == 0 ? 0 : lower_bound(members, 0, after);
    if (after.len > 0 && is_at(members, begin, after))
        ++begin;
    size_t count = members->count - begin < limit ? members->count - begin : limit;
    size_t text_bytes = 0;
    for (size_t i = begin; i < begin + count; ++i)
        text_bytes += (size_t)members->at[i]->name_len + members->at[i]->data_len;
    char *text = arena_alloc(arena, text_bytes);
    struct index_member *page = ARENA_ARRAY(arena, struct index_member, count);
    for (size_t i = 0; i < count; ++i) {
        const struct member *m = members->at[begin + i];
        memcpy(text, m->bytes, (size_t)m->name_len + m->data_len);
        page[i].name = slice_of(text, m->name_len);
        page[i].data = slice_of(text + m->name_len, m->data_len);
        text += (size_t)m->name_len + m->data_len;
    }
    *ret_page = (struct index_list_page){page, count, begin + count < members->count};
}

/* ---- filling ---- */

static int compare_given(const void *a, const void *b)
{
    const struct index_member *x = *(const struct index_member *const *)a;
    const struct index_member *y = *(const struct index_member *const *)b;
    int order = slice_compare(x->name, y->name);
    return order != 0 ? order : (x > y) - (x < y); /* of equals, the one given last comes last */
}

/* Pointers to what was given, in byte order. The caller frees it. */
static const struct index_member **sorted(const struct index_member *from, size_t count)
{
    const struct index_member **order = xmalloc(count * sizeof(const struct index_member *));
    bool is_sorted = true;
    for (size_t i = 0; i < count; ++i) {
        order[i] = &from[i];
        is_sorted = is_sorted && (i == 0 || slice_compare(from[i - 1].name, from[i].name) <= 0);
    }
    if (!is_sorted)
        qsort(order, count, sizeof(const struct index_member *), compare_given);
    return order;
}

static size_t capacity_for(size_t count)
{
    return count + count / 16 + SPARE_MIN;
}

size_t index_int_members_bytes(const struct index_member *from, size_t count)
{
    size_t bytes = sizeof(struct members) + MALLOC_OVERHEAD * 3 + capacity_for(count) * sizeof(struct member *);
    for (size_t i = 0; i < count; ++i) {
        if (from[i].name.len == 0 || from[i].name.len > REPO_NAME_MAX || from[i].data.len > UINT32_MAX)
            return SIZE_MAX;
        bytes += member_bytes(from[i].name.len, from[i].data.len);
    }
    return bytes;
}

struct members *index_int_members_new(const struct index_member *from, size_t count)
{
    struct members *members = xmalloc(sizeof(*members));
    *members = (struct members){.capacity = capacity_for(count), .bytes = index_int_members_bytes(from, count)};
    members->at = xmalloc(members->capacity * sizeof(struct member *));
    for (size_t i = 0; i < count; ++i)
        members->block_bytes += member_bytes(from[i].name.len, from[i].data.len);
    members->block = xmalloc(members->block_bytes);
    const struct index_member **order = sorted(from, count);
    char *next = members->block;
    for (size_t i = 0; i < count; ++i) {
        if (i + 1 < count && slice_equal(order[i]->name, order[i + 1]->name))
            continue;
        members->at[members->count++] = member_write(next, order[i]->name, order[i]->data);
        next += member_bytes(order[i]->name.len, order[i]->data.len);
    }
    free(order);
    return members;
}

void index_int_members_free(struct members *members)
{
    if (members == NULL)
        return;
    for (size_t i = 0; i < members->count; ++i)
        if (!is_in_block(members, members->at[i]))
            free(members->at[i]);
    free(members->at);
    free(members->block);
    free(members);
}

/* ---- changes ---- */

struct changes *index_int_changes_new(void)
{
    struct changes *changes = xcalloc(1, sizeof(*changes));
    changes->bytes = sizeof(*changes) + MALLOC_OVERHEAD * 2;
    return changes;
}

void index_int_changes_free(struct changes *changes)
{
    if (changes == NULL)
        return;
    for (size_t i = 0; i < changes->count; ++i)
        free(changes->at[i].member);
    free(changes->at);
    free(changes);
}

void index_int_changes_add(struct changes *changes, uint64_t number, bool is_present, struct index_member member)
{
    if (changes->count == changes->capacity) {
        size_t more = changes->capacity + SPARE_MIN;
        changes->capacity += more;
        changes->bytes += more * sizeof(struct change);
        changes->at = xrealloc(changes->at, changes->capacity * sizeof(struct change));
    }
    struct change *change = &changes->at[changes->count++];
    *change = (struct change){number, member_new(member.name, member.data), is_present};
    changes->bytes += memory_of(change->member);
}

static int compare_changes(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    int order = slice_compare(name_of(x->member), name_of(y->member));
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* Moves the members in [begin, end) of the old array behind what the new one has. */
static size_t copy_run(struct member **to, size_t count, const struct members *from, size_t begin, size_t end)
{
    memcpy(to + count, from->at + begin, (end - begin) * sizeof(struct member *));
    return count + (end - begin);
}

void index_int_members_replay(struct members *members, struct changes *changes, uint64_t after_number)
{
    size_t first = 0;
    while (first < changes->count && changes->at[first].number <= after_number)
        ++first;
    if (first == changes->count)
        return;
    qsort(changes->at + first, changes->count - first, sizeof(struct change), compare_changes);
    size_t capacity = capacity_for(members->count + (changes->count - first));
    struct member **merged = xmalloc(capacity * sizeof(struct member *));
    size_t count = 0;
    size_t done = 0; /* members that have been moved or left out */
    for (size_t i = first; i < changes->count; ++i) {
        struct change *change = &changes->at[i];
        struct slice name = name_of(change->member);
        if (i + 1 < changes->count && slice_equal(name, name_of(changes->at[i + 1].member)))
            continue; /* only the last of a member counts */
        size_t at = lower_bound(members, done, name);
        count = copy_run(merged, count, members, done, at);
        done = at;
        if (is_at(members, at, name))
            member_drop(members, members->at[done++]);
        if (!change->is_present)
            continue;
        members->bytes += memory_of(change->member);
        merged[count++] = change->member;
        change->member = NULL;
    }
    count = copy_run(merged, count, members, done, members->count);
    free(members->at);
    members->at = merged;
    members->count = count;
    set_capacity(members, capacity);
}
