/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader seen as a source of pages: each read takes a page of the loop's budget, then fills it. One read at a time,
 * on the loop of the source; the reader stays its opener's.
 */
#include "minato/storage.h"

#include "minato/arena.h"

struct reader_source {
    struct byte_source source;
    struct storage *storage;
    struct storage_reader *reader;
    struct loop *loop;
    /* the read under way */
    struct page *page;
    struct page **ret_page;
    struct done done;
};

/* The page is filled, or it never will be. */
static enum result finish(struct reader_source *s, enum result r)
{
    struct page *page = s->page;
    s->page = NULL;
    if (r != OK) {
        page_release(page);
        return r;
    }
    if (page->len == 0) {
        page_release(page);
        page = NULL;
    }
    *s->ret_page = page;
    return OK;
}

static void on_read(void *data, enum result r)
{
    struct reader_source *s = data;
    r = finish(s, r);
    done_call(s->done, r);
}

static enum result fill(struct reader_source *s)
{
    enum result r = storage_read(s->storage, s->reader, s->page, (struct done){on_read, s, s->loop});
    return r == PENDING ? PENDING : finish(s, r);
}

static void on_page(void *data, enum result r)
{
    struct reader_source *s = data;
    if (r == OK)
        r = fill(s);
    if (r != PENDING)
        done_call(s->done, r);
}

static enum result reader_source_read(struct byte_source *source, struct page **ret_page, struct done done)
{
    struct reader_source *s = (struct reader_source *)source; /* its first member */
    s->ret_page = ret_page;
    s->done = done;
    enum result r = page_acquire(s->loop, &s->page, (struct done){on_page, s, s->loop});
    return r == OK ? fill(s) : r;
}

struct byte_source *storage_reader_source(struct storage *storage, struct storage_reader *reader, struct loop *loop,
                                          struct arena *arena)
{
    struct reader_source *s = ARENA_NEW(arena, struct reader_source);
    s->source.read = reader_source_read;
    s->storage = storage;
    s->reader = reader;
    s->loop = loop;
    return &s->source;
}
