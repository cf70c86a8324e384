/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects removed: one, or many by one request (DeleteObjects), which the store may carry out in part.
 */
#include "s3_int.h"

#include <stdlib.h>

/* ---- one: the store does not say whether there was something, so it is asked before ---- */

struct delete_op {
    struct s3_call call;
    bool is_asked;
};

static void finish_delete(struct s3_call *call, enum result r)
{
    struct delete_op *op = (struct delete_op *)call;
    if (r == OK && !S3_IS_DONE(call->exchange.status))
        r = s3_result_of(call);
    if (r == OK && !op->is_asked) {
        op->is_asked = true;
        call->method = "DELETE";
        r = s3_call_start(call);
        if (r == PENDING)
            return;
    }
    s3_operation_end(call, r);
}

enum result s3_delete(void *self, struct slice path, struct done done)
{
    struct delete_op *op = s3_operation_new(sizeof(*op), self, "HEAD", path, done);
    op->call.finish = finish_delete;
    return s3_operation_start(&op->call);
}

/* ---- many: nobody asks whether they were there ---- */

#define KEYS_BYTES_MAX (2u * 1024u * 1024u) /* a thousand of the longest */

/* A 200 may tell of some that could not be removed. */
static enum result result_of_many(const struct s3_call *call)
{
    struct slice answer = call->exchange.answer;
    struct slice code = s3_element(answer, "Code");
    if (call->exchange.status != 200)
        return s3_result_of(call);
    if (!s3_says(answer, "DeleteResult"))
        return CORRUPT;
    if (code.len == 0)
        return OK;
    return slice_equal(code, SLICE("AccessDenied")) || slice_equal(code, SLICE("MethodNotAllowed")) ? IO : UNAVAILABLE;
}

static void finish_many(struct s3_call *call, enum result r)
{
    s3_operation_end(call, r == OK ? result_of_many(call) : r);
}

/* Paths and prefixes have no character that XML would take for its own. */
static struct slice list_of_keys(struct arena *arena, struct slice prefix, const struct slice *paths, size_t count)
{
    struct strbuf text;
    strbuf_init(&text, KEYS_BYTES_MAX);
    strbuf_append_cstr(&text, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < count; i++)
        strbuf_append_format(&text, "<Object><Key>%.*s%.*s</Key></Object>", SLICE_ARG(prefix), SLICE_ARG(paths[i]));
    strbuf_append_cstr(&text, "</Delete>");
    struct slice result = arena_copy(arena, strbuf_slice(&text));
    strbuf_done(&text);
    return result;
}

enum result s3_delete_many(void *self, const struct slice *paths, size_t count, struct done done)
{
    struct s3 *s3 = self;
    struct s3_call *call = s3_operation_new(sizeof(*call), s3, "POST", SLICE_EMPTY, done);
    char md5[S3_CONTENT_MD5_TEXT + 1];
    call->finish = finish_many;
    call->is_of_bucket = true;
    call->query = SLICE("delete=");
    call->body = list_of_keys(&call->arena, s3->key_prefix, paths, count);
    call->answer_max = S3_ANSWER_MAX;
    s3_content_md5(call->body, md5);
    call->fields[0] = arena_cstr(&call->arena, arena_format(&call->arena, "Content-MD5: %s", md5));
    return s3_operation_start(call);
}
