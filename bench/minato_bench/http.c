/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange has up to three legs, one after the other on one easy handle: a token, the request, where it was sent on
 * to.
 */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_int.h"
#include "must.h"

#define BODY_MAX (4U << 20)
#define REDIRECTS_MAX 5U
#define CONNECT_TIMEOUT_MS 10000L
#define STALLED_S 60L
#define BLOB_BUFFER_BYTES (256L << 10)

/* ---- what comes and goes ---- */

static size_t on_body(char *bytes, size_t unit, size_t count, void *data)
{
    struct exchange *exchange = data;
    struct response *response = &exchange->response;
    size_t n = unit * count;
    response->received += n;
    stats_add_traffic(exchange->transport->stats, n, 0);
    if (response->status / 100 == 2) {
        EVP_DigestUpdate(exchange->digest, bytes, n);
    }
    bool is_kept = exchange->leg == LEG_TOKEN || exchange->request.keeps_body;
    if (is_kept && response->body_length + n <= BODY_MAX) {
        response->body = must(realloc(response->body, response->body_length + n));
        memcpy(response->body + response->body_length, bytes, n);
        response->body_length += n;
    }
    return n;
}

static size_t on_more(char *bytes, size_t unit, size_t count, void *data)
{
    struct exchange *exchange = data;
    size_t n =
        blob_read(exchange->transport->source, exchange->request.blob, exchange->body_offset, bytes, unit * count);
    exchange->body_offset += n;
    exchange->response.sent = exchange->body_offset;
    stats_add_traffic(exchange->transport->stats, 0, n);
    return n;
}

/* A connection that had been closed meanwhile is replaced: the body begins again. */
static int on_seek(void *data, curl_off_t offset, int origin)
{
    struct exchange *exchange = data;
    if (origin != SEEK_SET) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    exchange->body_offset = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static bool take_header(const char *line, size_t length, const char *name, char *ret_value, size_t size)
{
    size_t name_length = strlen(name);
    if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length) != 0) {
        return false;
    }
    const char *value = line + name_length + 1;
    const char *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) {
        end--;
    }
    size_t n = (size_t)(end - value) < size - 1 ? (size_t)(end - value) : size - 1;
    memcpy(ret_value, value, n);
    ret_value[n] = '\0';
    return true;
}

static size_t on_header(char *line, size_t unit, size_t count, void *data)
{
    struct response *response = &((struct exchange *)data)->response;
    size_t n = unit * count;
    char value[CHALLENGE_SIZE];
    if (n > 9 && strncmp(line, "HTTP/", 5) == 0) {
        const char *status = memchr(line, ' ', n);
        response->status = status == NULL ? 0 : (int)strtol(status, NULL, 10);
        return n;
    }
    if (take_header(line, n, "docker-content-digest", response->content_digest, DIGEST_SIZE)) {
        return n;
    }
    if (take_header(line, n, "location", response->location, URL_SIZE)) {
        return n;
    }
    if (take_header(line, n, "link", value, sizeof(value))) {
        response->has_link = true;
    } else if (take_header(line, n, "www-authenticate", value, sizeof(value))) {
        /* Of several the one for tokens counts. */
        if (response->challenge[0] == '\0' || strncasecmp(value, "Bearer", 6) == 0) {
            memcpy(response->challenge, value, sizeof(value));
        }
    }
    return n;
}

/* ---- one leg ---- */

/* HTTP/2 without TLS: libcurl 7.88 cannot go on with a connection that was made by prior knowledge unless it is asked
 * for HTTP/2 by another name. So a client makes one of its own, and then does. */
static void set_clear_http2(struct exchange *exchange)
{
    long version = exchange->has_http2 ? (long)CURL_HTTP_VERSION_2_0 : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    curl_easy_setopt(exchange->easy, CURLOPT_HTTP_VERSION, version);
    curl_easy_setopt(exchange->easy, CURLOPT_FRESH_CONNECT, exchange->has_http2 ? 0L : 1L);
}

/* Stores and token servers speak what they like. */
static void set_protocol(struct exchange *exchange)
{
    enum protocol protocol = exchange->leg == LEG_REQUEST ? exchange->transport->options->protocol : PROTOCOL_ANY;
    bool is_secure = strncmp(exchange->request.url, "https:", 6) == 0;
    if (protocol == PROTOCOL_HTTP2 && !is_secure) {
        set_clear_http2(exchange);
    } else {
        curl_easy_setopt(exchange->easy, CURLOPT_HTTP_VERSION,
                         protocol == PROTOCOL_HTTP1 ? (long)CURL_HTTP_VERSION_1_1 : (long)CURL_HTTP_VERSION_2TLS);
    }
}

static void set_common(struct exchange *exchange, const char *url)
{
    const struct options *options = exchange->transport->options;
    CURL *easy = exchange->easy;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, exchange);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* what is measured is the registry, not what the environment names */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "minato-bench/" MINATO_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, STALLED_S);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    set_protocol(exchange);
    if (options->ca != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca);
    }
    if (options->is_insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void add_header(struct exchange *exchange, const char *name, const char *value)
{
    char line[URL_SIZE];
    snprintf(line, sizeof(line), "%s:%s%s", name, value[0] == '\0' ? "" : " ", value);
    exchange->headers = must(curl_slist_append(exchange->headers, line));
}

static void send_leg(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    uint64_t received = response->received;
    free(response->body);
    *response = (struct response){.content_length = -1, .received = received};
    exchange->leg_begun_ns = now_ns();
    exchange->body_offset = 0;
    digest_begin(exchange->digest);
    curl_easy_setopt(exchange->easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_multi_add_handle(exchange->transport->multi, exchange->easy);
}

static void set_body(struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    CURL *easy = exchange->easy;
    add_header(exchange, "Expect", "");
    add_header(exchange, "Content-Type", request->content_type != NULL ? request->content_type : "");
    if (request->blob != NULL) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, BLOB_BUFFER_BYTES);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_more);
        curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, exchange);
    } else {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->text != NULL ? request->text : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request->text_length);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_method(struct exchange *exchange)
{
    const char *method = exchange->request.method;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(exchange->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "DELETE") == 0) {
        curl_easy_setopt(exchange->easy, CURLOPT_CUSTOMREQUEST, method);
    } else if (strcmp(method, "GET") != 0) {
        set_body(exchange);
    } else if (exchange->request.operation == OP_GET_BLOB) {
        curl_easy_setopt(exchange->easy, CURLOPT_BUFFERSIZE, BLOB_BUFFER_BYTES);
    }
}

static void clear_headers(struct exchange *exchange)
{
    curl_slist_free_all(exchange->headers);
    exchange->headers = NULL;
}

static void ask_registry(struct exchange *exchange)
{
    const char *authorization = auth_header(exchange->transport->auth, exchange->request.scope);
    exchange->leg = LEG_REQUEST;
    set_common(exchange, exchange->request.url);
    clear_headers(exchange);
    set_method(exchange);
    if (exchange->request.accept != NULL) {
        add_header(exchange, "Accept", exchange->request.accept);
    }
    if (authorization != NULL) {
        add_header(exchange, "Authorization", authorization);
    }
    send_leg(exchange);
}

/* Without the password: what it points to says itself who may read it. */
static void ask_elsewhere(struct exchange *exchange)
{
    char location[URL_SIZE];
    memcpy(location, exchange->response.location, sizeof(location));
    exchange->leg = LEG_REDIRECT;
    exchange->redirects++;
    set_common(exchange, location);
    clear_headers(exchange);
    set_method(exchange);
    send_leg(exchange);
}

static void finish(struct exchange *exchange, enum failure failure)
{
    exchange->response.failure = failure;
    exchange->is_busy = false;
    exchange->done(exchange);
}

static void ask_token(struct exchange *exchange)
{
    char *url = auth_token_url(exchange->transport->auth, exchange->request.scope);
    const char *password = auth_password_header(exchange->transport->auth);
    exchange->leg = LEG_TOKEN;
    if (url == NULL) {
        finish(exchange, FAILURE_WRONG_ANSWER);
        return;
    }
    set_common(exchange, url);
    free(url);
    clear_headers(exchange);
    if (password != NULL) {
        add_header(exchange, "Authorization", password);
    }
    send_leg(exchange);
}

static void ask(struct exchange *exchange)
{
    if (auth_needs_token(exchange->transport->auth, exchange->request.scope, now_ns())) {
        ask_token(exchange);
    } else {
        ask_registry(exchange);
    }
}

/* ---- its end ---- */

static enum failure failure_of(CURLcode code, const struct response *response)
{
    switch ((int)code) {
    case CURLE_OK:
        return FAILURE_NONE;
    case CURLE_OPERATION_TIMEDOUT:
        return FAILURE_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
        return FAILURE_CONNECT;
    case CURLE_PARTIAL_FILE:
        return FAILURE_TRUNCATED;
    case CURLE_HTTP2: /* how nghttp2 takes a body that is shorter than was said */
    case CURLE_HTTP2_STREAM:
        return response->content_length > (int64_t)response->received ? FAILURE_TRUNCATED : FAILURE_RESET;
    default:
        return FAILURE_RESET;
    }
}

/* Against the URL that was asked. What cannot be resolved is none. */
static void resolve_location(struct exchange *exchange)
{
    char *location = exchange->response.location;
    char *asked = NULL;
    char *resolved = NULL;
    CURLU *url = must(curl_url());
    curl_easy_getinfo(exchange->easy, CURLINFO_EFFECTIVE_URL, &asked);
    bool is_good = curl_url_set(url, CURLUPART_URL, asked, 0) == CURLUE_OK &&
                   curl_url_set(url, CURLUPART_URL, location, 0) == CURLUE_OK &&
                   curl_url_get(url, CURLUPART_URL, &resolved, 0) == CURLUE_OK && strlen(resolved) < URL_SIZE;
    if (is_good) {
        memcpy(location, resolved, strlen(resolved) + 1);
    } else {
        location[0] = '\0';
    }
    curl_free(resolved);
    curl_url_cleanup(url);
}

static void take_answer(struct exchange *exchange)
{
    struct response *response = &exchange->response;
    curl_off_t length = -1;
    long version = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_HTTP_VERSION, &version);
    if (exchange->leg == LEG_REQUEST) {
        exchange->has_http2 = version == (long)CURL_HTTP_VERSION_2_0;
    }
    curl_easy_getinfo(exchange->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    response->content_length = length;
    if (response->location[0] != '\0') {
        resolve_location(exchange);
    }
    if (response->status / 100 == 2) {
        digest_finish(exchange->digest, response->digest);
    }
}

static void token_ended(struct exchange *exchange, enum failure failure)
{
    struct transport *transport = exchange->transport;
    const struct response *response = &exchange->response;
    if (failure == FAILURE_NONE && response->status != 200) {
        failure = (enum failure)(response->status > 0 ? response->status : FAILURE_WRONG_ANSWER);
    }
    if (failure == FAILURE_NONE && !auth_keep_token(transport->auth, exchange->request.scope, response->body,
                                                    response->body_length, exchange->leg_begun_ns)) {
        failure = FAILURE_WRONG_ANSWER;
    }
    if (exchange->is_measured) {
        stats_add_request(transport->stats, OP_TOKEN, now_ns() - exchange->leg_begun_ns, response->received, 0,
                          failure);
    }
    exchange->response.received = 0;
    if (failure != FAILURE_NONE) {
        finish(exchange, failure);
        return;
    }
    ask_registry(exchange);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void exchange_int_ended(struct exchange *exchange, CURLcode code)
{
    const struct response *response = &exchange->response;
    take_answer(exchange);
    enum failure failure = failure_of(code, response);
    if (exchange->leg == LEG_TOKEN) {
        token_ended(exchange, failure);
        return;
    }
    if (failure == FAILURE_NONE && exchange->leg == LEG_REQUEST && response->status == 401 &&
        !exchange->was_challenged && auth_learn(exchange->transport->auth, response->challenge)) {
        exchange->was_challenged = true;
        auth_forget_token(exchange->transport->auth, exchange->request.scope);
        exchange->response.received = 0;
        ask(exchange);
        return;
    }
    if (failure == FAILURE_NONE && exchange->request.follows && is_redirect(response->status) &&
        response->location[0] != '\0' && exchange->redirects < REDIRECTS_MAX) {
        exchange->response.received = 0;
        ask_elsewhere(exchange);
        return;
    }
    finish(exchange, failure);
}

/* ---- exchanges ---- */

void exchange_init(struct exchange *exchange, struct transport *transport, void (*done)(struct exchange *exchange))
{
    *exchange = (struct exchange){.transport = transport, .done = done};
    exchange->easy = must(curl_easy_init());
    exchange->digest = must(EVP_MD_CTX_new());
}

void exchange_free(struct exchange *exchange)
{
    exchange_cancel(exchange);
    curl_easy_cleanup(exchange->easy);
    clear_headers(exchange);
    EVP_MD_CTX_free(exchange->digest);
    free(exchange->response.body);
}

void exchange_reset(struct exchange *exchange)
{
    struct request *request = &exchange->request;
    request->url[0] = '\0';
    request->scope[0] = '\0';
    request->accept = NULL;
    request->content_type = NULL;
    request->text = NULL;
    request->text_length = 0;
    request->blob = NULL;
    request->follows = false;
    request->keeps_body = false;
}

void exchange_start(struct exchange *exchange, uint64_t intended_ns, bool is_measured)
{
    exchange->intended_ns = intended_ns;
    exchange->is_measured = is_measured;
    exchange->is_busy = true;
    exchange->was_challenged = false;
    exchange->redirects = 0;
    exchange->response.received = 0;
    ask(exchange);
}

void exchange_cancel(struct exchange *exchange)
{
    if (exchange->is_busy) {
        curl_multi_remove_handle(exchange->transport->multi, exchange->easy);
        exchange->is_busy = false;
    }
}
