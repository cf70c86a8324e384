/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings: ListObjectsV2 with a delimiter, one level, its XML read by expat into entries.
 */
#include "s3_int.h"

#include <stdlib.h>

#include <expat.h>

#define PAGE_MAX 1000u
#define DEPTH_MAX 8u
#define TEXT_MAX 2048u

struct list_op {
    struct s3_call call;
    struct slice prefix; /* of the folder, as keys in the bucket begin */
    struct arena *arena;
    size_t limit;
    struct storage_listing *ret_listing;
};

/* The document as it is read. */
struct listing_parse {
    struct slice prefix;
    struct arena *arena;
    struct storage_listing listing;
    size_t capacity;
    XML_Parser parser;
    unsigned depth;
    bool is_in_prefix; /* of <CommonPrefixes> */
    bool is_in_object;
    bool is_truncated;
    struct strbuf text;
    bool is_broken;
};

static void give_up(struct listing_parse *p)
{
    p->is_broken = true;
    XML_StopParser(p->parser, XML_FALSE);
}

static void add_entry(struct listing_parse *p, bool is_folder)
{
    struct slice key = strbuf_slice(&p->text);
    if (!slice_has_prefix(key, p->prefix) || p->listing.count == p->capacity) {
        give_up(p);
        return;
    }
    struct slice name = slice_from(key, p->prefix.len);
    if (is_folder && slice_has_suffix(name, SLICE("/")))
        name.len--;
    if (name.len == 0) /* the folder's own marker, which some tools make */
        return;
    if (memchr(name.ptr, '/', name.len) != NULL)
        give_up(p); /* more than the one level that was asked for */
    else
        p->listing.entries[p->listing.count++] = (struct storage_entry){arena_copy(p->arena, name), is_folder};
}

static void on_begin(void *data, const XML_Char *name, const XML_Char **attributes)
{
    struct listing_parse *p = data;
    (void)attributes;
    if (++p->depth > DEPTH_MAX)
        give_up(p);
    if (p->depth == 2) {
        p->is_in_prefix = strcmp(name, "CommonPrefixes") == 0;
        p->is_in_object = strcmp(name, "Contents") == 0;
    }
    strbuf_clear(&p->text);
}

static void on_end(void *data, const XML_Char *name)
{
    struct listing_parse *p = data;
    if (p->text.overflowed)
        give_up(p);
    else if (p->depth == 3 && p->is_in_object && strcmp(name, "Key") == 0)
        add_entry(p, false);
    else if (p->depth == 3 && p->is_in_prefix && strcmp(name, "Prefix") == 0)
        add_entry(p, true);
    else if (p->depth == 2 && strcmp(name, "NextContinuationToken") == 0)
        p->listing.next = arena_copy(p->arena, strbuf_slice(&p->text));
    else if (p->depth == 2 && strcmp(name, "IsTruncated") == 0)
        p->is_truncated = slice_equal(strbuf_slice(&p->text), SLICE("true"));
    p->depth--;
    strbuf_clear(&p->text);
}

static void on_text(void *data, const XML_Char *text, int len)
{
    struct listing_parse *p = data;
    strbuf_append(&p->text, slice_of(text, (size_t)len));
}

/* By key, a folder's ending in '/': stores list folders and objects of a page one after the other, either first. */
static int compare_entries(const void *left, const void *right)
{
    const struct storage_entry *a = left;
    const struct storage_entry *b = right;
    size_t shared = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.ptr, b->name.ptr, shared);
    if (order != 0)
        return order;
    int next_a = a->name.len > shared ? (unsigned char)a->name.ptr[shared] : a->is_folder ? '/' : -1;
    int next_b = b->name.len > shared ? (unsigned char)b->name.ptr[shared] : b->is_folder ? '/' : -1;
    return next_a - next_b;
}

enum result s3_parse_listing(struct slice xml, struct slice prefix, size_t limit, struct arena *arena,
                             struct storage_listing *ret_listing)
{
    struct listing_parse p = {.prefix = prefix, .arena = arena, .capacity = limit};
    p.listing.entries = ARENA_ARRAY(arena, struct storage_entry, limit + 1);
    p.parser = XML_ParserCreate("UTF-8");
    strbuf_init(&p.text, TEXT_MAX);
    XML_SetUserData(p.parser, &p);
    XML_SetElementHandler(p.parser, on_begin, on_end);
    XML_SetCharacterDataHandler(p.parser, on_text);
    bool is_whole = XML_Parse(p.parser, xml.ptr == NULL ? "" : xml.ptr, (int)xml.len, 1) == XML_STATUS_OK;
    XML_ParserFree(p.parser);
    strbuf_done(&p.text);
    /* Without the way to go on the rest would be missing, and nobody would know. */
    if (!is_whole || p.is_broken || (p.is_truncated && p.listing.next.len == 0))
        return CORRUPT;
    qsort(p.listing.entries, p.listing.count, sizeof(p.listing.entries[0]), compare_entries);
    *ret_listing = p.listing;
    return OK;
}

static void finish_list(struct s3_call *call, enum result r)
{
    struct list_op *op = (struct list_op *)call;
    if (r == OK && call->exchange.status != 200)
        r = s3_result_of(call) == NOT_FOUND ? UNAVAILABLE : s3_result_of(call); /* the bucket itself is gone */
    if (r == OK)
        r = s3_parse_listing(call->exchange.answer, op->prefix, op->limit, op->arena, op->ret_listing);
    s3_operation_end(call, r);
}

enum result s3_list(void *self, struct slice folder, struct slice after, size_t limit, struct arena *arena,
                    struct storage_listing *ret_listing, struct done done)
{
    struct s3 *s3 = self;
    struct list_op *op = s3_operation_new(sizeof(*op), s3, "GET", SLICE_EMPTY, done);
    struct arena *own = &op->call.arena;
    op->call.finish = finish_list;
    op->call.is_of_bucket = true;
    op->call.answer_max = S3_ANSWER_MAX;
    op->limit = limit < PAGE_MAX ? limit : PAGE_MAX;
    op->arena = arena;
    op->ret_listing = ret_listing;
    op->prefix = arena_format(own, "%.*s%.*s/", SLICE_ARG(s3->key_prefix), SLICE_ARG(folder));
    struct slice query = SLICE_EMPTY;
    if (after.len > 0)
        query = s3_query(own, query, "continuation-token", after);
    query = s3_query(own, query, "delimiter", SLICE("/"));
    query = s3_query(own, query, "list-type", SLICE("2"));
    query = s3_query(own, query, "max-keys", arena_format(own, "%zu", op->limit));
    op->call.query = s3_query(own, query, "prefix", op->prefix);
    return s3_operation_start(&op->call);
}
