/* SPDX-License-Identifier: Apache-2.0
 *
 * One request to the store: signed anew for each attempt, repeated with growing, random pauses while the deadline
 * lasts. Not repeated: what the store may have acted on and must not act on twice.
 */
#include "s3_int.h"

#include <stdlib.h>

#define DATED_WRONG_MS 60000u
#define BETWEEN_REFUSALS_MS 60000u

/* ---- building ---- */

static void add_field(struct s3_call *call, size_t *n, struct sigv4_request *request, struct slice name,
                      struct slice value)
{
    request->fields[request->field_count++] = (struct sigv4_field){name, value};
    call->wire_fields[(*n)++] =
        arena_cstr(&call->arena, arena_format(&call->arena, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(value)));
}

/* "x-amz-date", or how the dialect has it. */
static struct slice own_name(struct s3_call *call, const char *name)
{
    return arena_format(&call->arena, "%.*s%s", SLICE_ARG(call->s3->signer.dialect->field), name);
}

static void add_encryption(struct s3_call *call, size_t *n, struct sigv4_request *request)
{
    const struct s3 *s3 = call->s3;
    if (!call->is_encrypted_here || s3->kms_key.len == 0)
        return;
    if (s3->is_google) {
        add_field(call, n, request, SLICE("x-goog-encryption-kms-key-name"), s3->kms_key);
        return;
    }
    add_field(call, n, request, SLICE("x-amz-server-side-encryption"), SLICE("aws:kms"));
    add_field(call, n, request, SLICE("x-amz-server-side-encryption-aws-kms-key-id"), s3->kms_key);
}

/* The call's own fields: those of the dialect are signed. */
static void add_given(struct s3_call *call, size_t *n, struct sigv4_request *request)
{
    struct slice prefix = call->s3->signer.dialect->field;
    for (size_t i = 0; i < sizeof(call->fields) / sizeof(call->fields[0]) && call->fields[i] != NULL; i++) {
        struct slice name = slice_from_cstr(call->fields[i]);
        struct slice value;
        if (slice_has_prefix(name, prefix) && slice_split(name, ':', &name, &value))
            add_field(call, n, request, name, slice_trim(value));
        else
            call->wire_fields[(*n)++] = call->fields[i];
    }
}

static struct slice payload_hash(struct s3_call *call)
{
    if (call->pages != NULL && call->sha256 == NULL)
        return SLICE(SIGV4_UNSIGNED);
    char *hash = arena_alloc(&call->arena, SIGV4_HASH_TEXT + 1);
    if (call->pages != NULL)
        hex_encode(call->sha256, SIGV4_HASH_TEXT / 2, hash);
    else
        sigv4_hash(call->body, hash);
    return slice_of(hash, SIGV4_HASH_TEXT);
}

static void sign_fields(struct s3_call *call, struct slice path)
{
    struct s3 *s3 = call->s3;
    struct s3_keys *keys = s3_credentials_acquire(s3->credentials);
    struct sigv4_field fields[S3_CALL_FIELDS_MAX];
    struct sigv4_request request = {.method = slice_from_cstr(call->method),
                                    .path = path,
                                    .query = call->query,
                                    .fields = fields,
                                    .payload_hash = payload_hash(call)};
    size_t n = 0;
    call->dated_ms = clock_wall_ms(s3->clock);
    sigv4_format_date(call->dated_ms, request.date);
    add_field(call, &n, &request, own_name(call, "date"), slice_from_cstr(request.date));
    add_field(call, &n, &request, own_name(call, "content-sha256"), request.payload_hash);
    if (keys->credentials.session_token.len > 0)
        add_field(call, &n, &request, own_name(call, "security-token"), keys->credentials.session_token);
    if (call->checksum[0] != '\0')
        add_field(call, &n, &request, SLICE(S3_CHECKSUM_FIELD), slice_from_cstr(call->checksum));
    add_encryption(call, &n, &request);
    add_given(call, &n, &request);
    fields[request.field_count++] = (struct sigv4_field){SLICE("host"), s3->host}; /* libcurl sends it */
    struct slice value = sigv4_authorize(&s3->signer, &keys->credentials, &request, &call->arena);
    s3_keys_release(keys);
    call->wire_fields[n++] =
        arena_cstr(&call->arena, arena_format(&call->arena, "Authorization: %.*s", SLICE_ARG(value)));
    call->wire_fields[n] = NULL;
}

/* At least 1, as 0 would be no limit. */
static uint32_t timeout_of_attempt(const struct s3_call *call)
{
    const struct s3 *s3 = call->s3;
    uint64_t now_ms = clock_monotonic_ms(s3->clock);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;
    uint32_t most_ms = call->is_long ? s3->times.long_call_ms : s3->times.attempt_ms;
    return left_ms < most_ms ? (uint32_t)left_ms : most_ms;
}

static void build(struct s3_call *call)
{
    const struct s3 *s3 = call->s3;
    struct slice path = call->is_of_bucket
                            ? s3->bucket_path
                            : arena_format(&call->arena, "%.*s%.*s", SLICE_ARG(s3->path_prefix), SLICE_ARG(call->path));
    struct slice url = arena_format(&call->arena, "%.*s://%.*s%.*s%s%.*s", SLICE_ARG(s3->scheme), SLICE_ARG(s3->host),
                                    SLICE_ARG(path), call->query.len > 0 ? "?" : "", SLICE_ARG(call->query));
    sign_fields(call, path);
    call->exchange = (struct http_exchange){.method = call->method,
                                            .url = arena_cstr(&call->arena, url),
                                            .fields = call->wire_fields,
                                            .body = call->body,
                                            .pages = call->pages,
                                            .timeout_ms = timeout_of_attempt(call),
                                            .answer_max = call->answer_max,
                                            .arena = &call->arena};
}

/* ---- attempts ---- */

static bool has_code(const struct s3_call *call, struct slice code)
{
    return slice_equal(s3_element(call->exchange.answer, "Code"), code);
}

/* The bytes are not those of the digest that the caller gave. Any other 400 says nothing of them. */
static bool is_digest_refused(const struct s3_call *call)
{
    return call->sha256 != NULL && (has_code(call, SLICE("XAmzContentSHA256Mismatch")) ||
                                    has_code(call, SLICE("BadDigest")) || has_code(call, SLICE("InvalidDigest")));
}

/* It was we who summed them up. */
static bool is_damaged_on_its_way(const struct s3_call *call)
{
    return (call->checksum[0] != '\0' && has_code(call, SLICE("BadDigest"))) ||
           (call->sha256 == NULL && has_code(call, SLICE("XAmzContentSHA256Mismatch")));
}

static bool is_worth_repeating(const struct s3_call *call)
{
    unsigned status = call->exchange.status;
    if (status == 400) /* Amazon says RequestTimeout of a body that came too slowly */
        return is_damaged_on_its_way(call) || has_code(call, SLICE("RequestTimeout"));
    return status == 408 || status == 409 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* It lives and wants less of us. An answer to HEAD has no code; then the words of its first line say it. */
static bool is_slow_down(const struct http_exchange *exchange)
{
    struct slice line;
    struct slice rest;
    struct slice code = s3_element(exchange->answer, "Code");
    if (exchange->status != 503)
        return exchange->status == 429;
    if (code.len > 0)
        return slice_equal(code, SLICE("SlowDown"));
    return slice_split(exchange->head, '\n', &line, &rest) && slice_has_suffix(line, SLICE("Slow Down\r"));
}

/* Over HTTP/2 the first line has no words. */
static bool is_wordless_503(const struct http_exchange *exchange)
{
    return exchange->status == 503 && exchange->answer.len == 0 && slice_has_prefix(exchange->head, SLICE("HTTP/2 "));
}

/* ---- what the operator is told ---- */

static void tell_health(const struct s3_call *call, bool is_failing)
{
    const struct http_exchange *exchange = &call->exchange;
    if (!is_failing) {
        log_event(call->s3->log, LOG_LEVEL_INFO, "storage.reachable", FIELD_STR("host", call->s3->host));
        return;
    }
    log_event(call->s3->log, LOG_LEVEL_WARN, "storage.unreachable", FIELD_STR("host", call->s3->host),
              FIELD_NUM("status", exchange->status), FIELD_STR("code", s3_element(exchange->answer, "Code")),
              FIELD_CSTR("next", "calls fail at once; one a second tries"));
}

/* Revoked keys fail every call: one line a minute says so. An answer to HEAD has no code and is left to the others. */
static void tell_refusal(const struct s3_call *call, uint64_t now_ms)
{
    struct s3 *s3 = call->s3;
    struct slice code = s3_element(call->exchange.answer, "Code");
    uint_fast64_t said_ms = atomic_load(&s3->refusal_said_ms);
    if (call->exchange.status != 403 || code.len == 0 || (said_ms != 0 && now_ms - said_ms < BETWEEN_REFUSALS_MS) ||
        !atomic_compare_exchange_strong(&s3->refusal_said_ms, &said_ms, now_ms))
        return;
    log_event(s3->log, LOG_LEVEL_WARN, "storage.refused", FIELD_STR("host", s3->host), FIELD_STR("code", code),
              FIELD_CSTR("method", call->method),
              FIELD_CSTR("next", "what needs it answers 503; see the keys and what they may do in the bucket"));
}

/* ---- health ---- */

/* What an attempt says of the store as a whole. 408 is what gateways answer when the store behind them is gone. Nothing
 * is said by a store that is full or lacks the call, nor by a 500 to what another overtook or what was done before, nor
 * by a 503 that may mean less. */
static void report_health(const struct s3_call *call, enum result r, uint64_t now_ms)
{
    const struct http_exchange *exchange = &call->exchange;
    unsigned status = exchange->status;
    bool is_silent = r == UNAVAILABLE;
    if (!is_silent &&
        (status == 501 || status == 507 || (status == 500 && call->is_unrepeatable) || is_wordless_503(exchange)))
        return;
    bool is_failing = is_silent || status == 408 || (status >= 500 && !is_slow_down(exchange));
    if (s3_breaker_report(&call->s3->breaker, !is_failing, now_ms))
        tell_health(call, is_failing);
}

/* The time that the store names (RFC 9110, 10.2.3), in seconds or by its clock; 0: none. */
static uint64_t retry_after_s(const struct http_exchange *exchange)
{
    struct slice after;
    struct slice date;
    uint64_t seconds;
    if (!http_exchange_field(exchange, SLICE("retry-after"), &after))
        return 0;
    if (slice_parse_u64(after, &seconds) == OK)
        return seconds;
    uint64_t then_ms = s3_parse_date(after);
    uint64_t now_ms = http_exchange_field(exchange, SLICE("date"), &date) ? s3_parse_date(date) : 0;
    return now_ms > 0 && then_ms > now_ms ? (then_ms - now_ms) / 1000 : 0;
}

/* The shortest pause that is as long, of a few that the loop knows; 0: longer than anybody waits. */
static uint64_t pause_for(uint64_t seconds)
{
    static const uint64_t pauses[] = {1000, 3200, 10000, 30000};
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++)
        if (seconds <= pauses[i] / 1000)
            return pauses[i];
    return 0;
}

/* Full jitter, unless the store names a time. False: the deadline comes first. */
static bool find_pause(const struct s3_call *call, uint64_t now_ms, uint64_t *ret_pause_ms)
{
    static const uint64_t pauses[] = {50, 100, 200, 400, 800, 1600, 3200};
    uint64_t seconds = retry_after_s(&call->exchange);
    uint8_t dice;
    random_bytes(&dice, sizeof(dice));
    size_t highest = call->attempt + (is_slow_down(&call->exchange) ? 3 : 0);
    uint64_t pause_ms = pauses[dice % ((highest < 6 ? highest : 6) + 1)];
    if (seconds > 0)
        pause_ms = pause_for(seconds);
    *ret_pause_ms = pause_ms;
    return pause_ms > 0 && now_ms + pause_ms < call->deadline_ms;
}

static void attempt(struct s3_call *call);

static void on_pause_over(struct timer *timer)
{
    attempt((struct s3_call *)(void *)((char *)timer - offsetof(struct s3_call, timer)));
}

/* What stands between says 502, 504 or a 503 of its own also when the store behind it has done what was asked; 429 and
 * the store's 503, which names a code, are refusals. */
static bool leaves_in_doubt(const struct s3_call *call)
{
    unsigned status = call->exchange.status;
    return status == 408 || status == 500 || status == 502 || status == 504 ||
           (status == 503 && s3_element(call->exchange.answer, "Code").len == 0);
}

/* The store refuses what is dated a quarter of an hour off, whatever its code, which an answer to HEAD has not. */
static bool is_dated_wrong(const struct s3_call *call, uint64_t date_ms)
{
    uint64_t off_ms = date_ms > call->dated_ms ? date_ms - call->dated_ms : call->dated_ms - date_ms;
    return call->exchange.status == 403 && date_ms > 0 && off_ms > DATED_WRONG_MS && !call->was_dated_anew;
}

/* Errors of what stands between have a clock of their own. */
static bool is_of_the_store(const struct http_exchange *exchange)
{
    struct slice id;
    return exchange->status < 500 || http_exchange_field(exchange, SLICE("x-amz-request-id"), &id);
}

/* The time of an answer; true if the call is worth another attempt because of it, once. */
static bool learn_time(struct s3_call *call, enum result r)
{
    struct s3_clock *clock = &call->s3->store_clock;
    struct slice text;
    if (r != OK || !is_of_the_store(&call->exchange) || !http_exchange_field(&call->exchange, SLICE("date"), &text))
        return false;
    uint64_t date_ms = s3_parse_date(text);
    if (date_ms > 0)
        s3_clock_learn(clock, call->sent_ms, s3_clock_machine_ms(clock), date_ms);
    if (!is_dated_wrong(call, date_ms))
        return false;
    call->was_dated_anew = true;
    return true;
}

static bool may_repeat(struct s3_call *call, enum result r)
{
    bool is_refused = r == OK && is_worth_repeating(call);
    bool is_in_doubt = (r == UNAVAILABLE && call->exchange.was_sent) || (r == OK && leaves_in_doubt(call));
    if (r != UNAVAILABLE && !is_refused)
        return false;
    if (is_in_doubt && call->is_unrepeatable)
        return false;
    call->was_doubtful = call->was_doubtful || is_in_doubt;
    return true;
}

static void on_answer(void *data, enum result r)
{
    struct s3_call *call = data;
    uint64_t now_ms = clock_monotonic_ms(call->s3->clock);
    report_health(call, r, now_ms);
    bool is_dated_anew = learn_time(call, r);
    if (r == OK && !is_dated_anew)
        tell_refusal(call, now_ms);
    uint64_t pause_ms;
    if ((!is_dated_anew && !may_repeat(call, r)) || !find_pause(call, now_ms, &pause_ms)) {
        call->finish(call, r);
        return;
    }
    http_download_close(call->download);
    call->download = NULL;
    call->attempt++;
    timer_start(call->done.loop, &call->timer, pause_ms, on_pause_over);
}

static void attempt(struct s3_call *call)
{
    struct done done = {on_answer, call, call->done.loop};
    if (call->attempt > 0 && !s3_breaker_lets_through(&call->s3->breaker, clock_monotonic_ms(call->s3->clock))) {
        call->exchange.status = 0;
        call->finish(call, UNAVAILABLE);
        return;
    }
    build(call);
    call->sent_ms = s3_clock_machine_ms(&call->s3->store_clock);
    enum result r = call->is_stream ? http_client_open(call->s3->http, &call->exchange, &call->download, done)
                                    : http_client_perform(call->s3->http, &call->exchange, done);
    if (r != PENDING)
        call->finish(call, r);
}

enum result s3_call_start(struct s3_call *call)
{
    struct s3 *s3 = call->s3;
    uint64_t now_ms = clock_monotonic_ms(s3->clock);
    if (call->deadline_ms == 0)
        call->deadline_ms = now_ms + (call->is_long ? s3->times.long_call_ms : s3->times.call_ms);
    if (now_ms >= call->deadline_ms || !s3_credentials_serve(s3->credentials) ||
        !s3_breaker_lets_through(&s3->breaker, now_ms))
        return UNAVAILABLE;
    call->attempt = 0;
    attempt(call);
    return PENDING;
}

/* ---- operations ---- */

const char *s3_creation_field(const struct s3 *s3)
{
    return s3->is_google ? "x-goog-if-generation-match: 0" : "If-None-Match: *";
}

void *s3_operation_new(size_t bytes, struct s3 *s3, const char *method, struct slice path, struct done done)
{
    struct s3_call *call = xcalloc(1, bytes);
    call->s3 = s3;
    call->method = method;
    call->path = path;
    call->done = done;
    call->answer_max = 64 * 1024;
    arena_init(&call->arena);
    return call;
}

void s3_operation_end(struct s3_call *call, enum result r)
{
    struct done done = call->done;
    arena_done(&call->arena);
    free(call);
    done_call(done, r);
}

enum result s3_operation_start(struct s3_call *call)
{
    enum result r = s3_call_start(call);
    if (r != PENDING) {
        arena_done(&call->arena);
        free(call);
    }
    return r;
}

enum result s3_result_of(const struct s3_call *call)
{
    struct slice code = s3_element(call->exchange.answer, "Code");
    switch (call->exchange.status) {
    case 400:
        return is_worth_repeating(call) ? UNAVAILABLE : is_digest_refused(call) ? INVALID : IO;
    case 404:
        return NOT_FOUND;
    case 412:
        return CONFLICT;
    case 416:
        return RANGE;
    case 403:
        return slice_equal(code, SLICE("QuotaExceeded")) ? QUOTA : UNAVAILABLE;
    case 507:
        return QUOTA;
    default:
        return is_worth_repeating(call) || call->exchange.status >= 500 ? UNAVAILABLE : IO;
    }
}

struct slice s3_element(struct slice xml, const char *name)
{
    size_t len = strlen(name);
    struct slice rest = xml;
    struct slice before;
    while (slice_split(rest, '<', &before, &rest)) {
        if (rest.len <= len || memcmp(rest.ptr, name, len) != 0 || rest.ptr[len] != '>')
            continue;
        struct slice text = slice_from(rest, len + 1);
        struct slice after;
        return slice_split(text, '<', &text, &after) ? text : SLICE_EMPTY;
    }
    return SLICE_EMPTY;
}

bool s3_says(struct slice answer, const char *text)
{
    return memmem(answer.ptr, answer.len, text, strlen(text)) != NULL;
}

struct slice s3_query(struct arena *arena, struct slice query, const char *name, struct slice value)
{
    struct strbuf text;
    strbuf_init(&text, 16384);
    strbuf_append(&text, query);
    strbuf_append_format(&text, "%s%s=", query.len > 0 ? "&" : "", name);
    strbuf_append_percent_encoded(&text, value);
    struct slice result = arena_copy(arena, strbuf_slice(&text));
    strbuf_done(&text);
    return result;
}
