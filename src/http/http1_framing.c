/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers that decide where a request ends and whether another follows. Whatever two servers could read in two ways
 * is refused (RFC 9112, sections 6.1 and 6.3): that is how requests are smuggled.
 */
#include "http1.h"

static const struct http_error bad_length = {400, "UNSUPPORTED",
                                             "Content-Length must be one header with one decimal number", NULL};
static const struct http_error bad_coding = {
    400, "UNSUPPORTED", "Transfer-Encoding must be exactly \"chunked\", once, and only on HTTP/1.1", NULL};
static const struct http_error both_framings = {400, "UNSUPPORTED",
                                                "send either Content-Length or Transfer-Encoding, not both", NULL};
static const struct http_error bad_host = {400, "UNSUPPORTED", "send exactly one valid Host header", NULL};
static const struct http_error bad_expectation = {417, "UNSUPPORTED",
                                                  "the only Expect header understood is \"100-continue\"", NULL};

/* ---- headers ---- */

static const struct http_error *note_length(struct http1_facts *facts, struct slice value)
{
    facts->length_count++;
    if (facts->length_count > 1 || slice_parse_u64(value, &facts->length) != OK || facts->length > INT64_MAX)
        return &bad_length;
    return NULL;
}

static const struct http_error *note_coding(struct http1_facts *facts, struct slice value)
{
    facts->coding_count++;
    return facts->coding_count > 1 || !slice_equal_nocase(value, SLICE("chunked")) ? &bad_coding : NULL;
}

static void note_connection(struct http1_facts *facts, struct slice value)
{
    while (value.len > 0) {
        struct slice token = value;
        struct slice rest = SLICE_EMPTY;
        (void)slice_split(value, ',', &token, &rest);
        token = slice_trim(token);
        if (slice_equal_nocase(token, SLICE("close")))
            facts->close = true;
        else if (slice_equal_nocase(token, SLICE("keep-alive")))
            facts->keep_alive = true;
        value = rest;
    }
}

const struct http_error *http_int_http1_note_header(struct http1_facts *facts, struct slice name, struct slice value)
{
    switch (name.len) {
    case 4:
        if (slice_equal(name, SLICE("host"))) {
            facts->host_count++;
            facts->host = value;
        }
        return NULL;
    case 6:
        if (!slice_equal(name, SLICE("expect")))
            return NULL;
        facts->expects_continue = slice_equal_nocase(value, SLICE("100-continue"));
        return facts->expects_continue ? NULL : &bad_expectation;
    case 10:
        if (slice_equal(name, SLICE("connection")))
            note_connection(facts, value);
        return NULL;
    case 14:
        return slice_equal(name, SLICE("content-length")) ? note_length(facts, value) : NULL;
    case 17:
        return slice_equal(name, SLICE("transfer-encoding")) ? note_coding(facts, value) : NULL;
    default:
        return NULL;
    }
}

const struct http_error *http_int_http1_check_facts(const struct http1_facts *facts, bool is_http10)
{
    if (facts->coding_count > 0 && facts->length_count > 0)
        return &both_framings;
    if (facts->coding_count > 0 && is_http10)
        return &bad_coding;
    if (facts->host_count > 1 || (facts->host_count == 0 && !is_http10) || !http_int_is_host(facts->host))
        return &bad_host;
    return NULL;
}
