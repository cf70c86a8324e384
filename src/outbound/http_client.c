/* SPDX-License-Identifier: Apache-2.0
 *
 * Exchanges: a request handed to libcurl, its body pulled by libcurl, the answer collected or handed on page by page.
 */
#include "outbound_int.h"

#include <stdlib.h>

#define BUFFER_BYTES (128L * 1024)

/* ---- the client ---- */

enum result http_client_new(const struct http_client_settings *settings, struct http_client **ret_client)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return UNAVAILABLE;
    struct http_client *client = xcalloc(1, sizeof(*client));
    client->settings = *settings;
    pthread_mutex_init(&client->mutex, NULL);
    *ret_client = client;
    return OK;
}

void http_client_leave(struct http_client *client, struct loop *loop)
{
    struct http_loop *found = NULL;
    pthread_mutex_lock(&client->mutex);
    struct http_loop **at = &client->loops;
    while (*at != NULL && (*at)->loop != loop)
        at = &(*at)->next;
    found = *at;
    if (found != NULL)
        *at = found->next;
    pthread_mutex_unlock(&client->mutex);
    if (found != NULL)
        outbound_int_loop_free(found);
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (client->loops != NULL)
        http_client_leave(client, client->loops->loop);
    pthread_mutex_destroy(&client->mutex);
    free(client);
}

/* ---- the request's body ---- */

static uint64_t body_bytes(const struct http_exchange *exchange)
{
    uint64_t bytes = exchange->body.len;
    for (const struct page *page = exchange->pages; page != NULL; page = page->next)
        bytes += page->len;
    return bytes;
}

static size_t on_body_wanted(char *out, size_t size, size_t count, void *data)
{
    struct http_download *t = data;
    size_t room = size * count;
    if (t->body.len > 0) {
        size_t n = t->body.len - t->at < room ? t->body.len - t->at : room;
        if (n > 0)
            memcpy(out, t->body.ptr + t->at, n);
        t->at += n;
        return n;
    }
    size_t copied = 0;
    while (copied < room && t->page != NULL) {
        size_t left = t->page->len - t->at;
        size_t n = left < room - copied ? left : room - copied;
        memcpy(out + copied, t->page->ptr + t->page->start + t->at, n);
        copied += n;
        t->at += n;
        if (t->at == t->page->len) {
            t->page = t->page->next;
            t->at = 0;
        }
    }
    return copied;
}

/* libcurl would send again, by itself, what went into a kept connection that ended without an answer. But the server
 * may have acted on it, and whoever asked must know. */
static int on_request(void *data, char *local_address, char *remote_address, int local_port, int remote_port)
{
    struct http_download *t = data;
    (void)local_address;
    (void)remote_address;
    (void)local_port;
    (void)remote_port;
    bool is_first = !t->was_sent;
    t->was_sent = true;
    return is_first ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* ---- the answer ---- */

static bool is_final_head(struct http_download *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200;
}

static size_t on_head_line(char *line, size_t size, size_t count, void *data)
{
    struct http_download *t = data;
    struct slice text = {line, size * count};
    if (slice_has_prefix(text, SLICE("HTTP/")))
        strbuf_clear(&t->head);
    strbuf_append(&t->head, text);
    if (t->head.overflowed)
        return 0;
    if (slice_equal(text, SLICE("\r\n")) && is_final_head(t)) {
        t->has_head = true;
        if (t->is_stream)
            outbound_int_queue(t);
    }
    return text.len;
}

static size_t hold_back(struct http_download *t)
{
    t->is_paused = true;
    return CURL_WRITEFUNC_PAUSE;
}

static size_t on_page_bytes(struct http_download *t, struct slice bytes)
{
    struct page *page = t->wanted;
    if (page == NULL)
        return hold_back(t);
    if (page->len + bytes.len > PAGE_BYTES) {
        t->wanted = NULL;
        outbound_int_queue(t);
        return hold_back(t);
    }
    memcpy(page->ptr + page->len, bytes.ptr, bytes.len);
    page->len += bytes.len;
    if (page->len == PAGE_BYTES) {
        t->wanted = NULL;
        outbound_int_queue(t);
    }
    return bytes.len;
}

static size_t on_answer(char *ptr, size_t size, size_t count, void *data)
{
    struct http_download *t = data;
    struct slice bytes = {ptr, size * count};
    if (t->is_stream)
        return on_page_bytes(t, bytes);
    strbuf_append(&t->answer, bytes);
    t->is_too_large = t->answer.overflowed;
    return t->answer.overflowed ? 0 : bytes.len;
}

/* ---- begin and end ---- */

static void set_request(struct http_download *t, const struct http_exchange *exchange)
{
    uint64_t bytes = body_bytes(exchange);
    curl_easy_setopt(t->easy, CURLOPT_URL, exchange->url);
    curl_easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
    if (strcmp(exchange->method, "HEAD") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(exchange->method, "PUT") == 0 || strcmp(exchange->method, "POST") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)bytes);
        curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_body_wanted);
        curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
        curl_easy_setopt(t->easy, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
    }
    if (strcmp(exchange->method, "GET") != 0 && strcmp(exchange->method, "HEAD") != 0)
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, exchange->method);
    t->fields = curl_slist_append(NULL, "Expect:");
    for (const char *const *field = exchange->fields; field != NULL && *field != NULL; field++)
        t->fields = curl_slist_append(t->fields, *field);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->fields);
}

static void set_limits(struct http_download *t, const struct http_client_settings *settings, uint32_t timeout_ms)
{
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* A reader may hold its stream back for long: over HTTP/2 libcurl then reads nothing for the others beside it. */
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION,
                     (long)(t->is_stream ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(t->easy, CURLOPT_LOW_SPEED_TIME, (long)settings->stall_timeout_s);
    curl_easy_setopt(t->easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    if (settings->is_direct)
        curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
    if (settings->ca_file != NULL) {
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, settings->ca_file);
        curl_easy_setopt(t->easy, CURLOPT_CAPATH, NULL);
    }
}

static struct http_download *begin(struct http_client *client, struct http_exchange *exchange, bool is_stream,
                                   struct done done)
{
    struct http_download *t = xcalloc(1, sizeof(*t));
    t->http = outbound_int_loop(client, done.loop);
    t->exchange = exchange;
    t->is_stream = is_stream;
    t->is_waiting = true;
    t->done = done;
    t->body = exchange->body;
    t->page = exchange->pages;
    strbuf_init(&t->head, HTTP_CLIENT_HEAD_MAX);
    strbuf_init(&t->answer, exchange->answer_max);
    t->easy = curl_easy_init();
    set_request(t, exchange);
    set_limits(t, &client->settings, exchange->timeout_ms);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->trouble);
    curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    outbound_int_start(t);
    return t;
}

static void end(struct http_download *t)
{
    outbound_int_unqueue(t);
    curl_multi_remove_handle(t->http->multi, t->easy); /* harmless when it is out already */
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->fields);
    strbuf_done(&t->head);
    strbuf_done(&t->answer);
    free(t);
}

void outbound_int_over(struct http_download *t, CURLcode code)
{
    t->is_over = true;
    t->outcome = code == CURLE_OK && t->has_head ? OK : t->is_too_large ? TOO_LARGE : UNAVAILABLE;
    curl_multi_remove_handle(t->http->multi, t->easy);
    outbound_int_queue(t);
}

static void fill_exchange(struct http_download *t)
{
    struct http_exchange *x = t->exchange;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    x->was_sent = t->was_sent;
    x->trouble = arena_copy(x->arena, slice_from_cstr(t->trouble));
    x->status = t->has_head ? (unsigned)status : 0;
    x->head = arena_copy(x->arena, strbuf_slice(&t->head));
    x->answer = arena_copy(x->arena, strbuf_slice(&t->answer));
}

static void tell_head(struct http_download *t)
{
    fill_exchange(t);
    t->is_head_told = true;
    t->is_waiting = false;
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, 0L); /* from now on it may take as long as it moves */
    enum result r = t->has_head ? OK : t->outcome;
    struct done done = t->done;
    if (r == OK)
        *t->ret_self = t;
    else
        end(t);
    done_call(done, r);
}

/* A page is full, or nothing more will come. */
static void tell_read(struct http_download *t)
{
    if (!t->is_waiting || (t->wanted != NULL && !t->is_over))
        return;
    t->wanted = NULL;
    t->is_waiting = false;
    done_call(t->done, t->is_over ? t->outcome : OK);
}

void outbound_int_tell(struct http_download *t)
{
    if (t->is_stream) {
        if (!t->is_head_told)
            tell_head(t);
        else
            tell_read(t);
        return;
    }
    struct done done = t->done;
    enum result r = t->outcome;
    fill_exchange(t);
    end(t);
    done_call(done, r);
}

enum result http_client_perform(struct http_client *client, struct http_exchange *exchange, struct done done)
{
    begin(client, exchange, false, done);
    return PENDING;
}

enum result http_client_open(struct http_client *client, struct http_exchange *exchange,
                             struct http_download **ret_download, struct done done)
{
    begin(client, exchange, true, done)->ret_self = ret_download;
    return PENDING;
}

enum result http_download_read(struct http_download *t, struct page *page, struct done done)
{
    page->start = 0;
    page->len = 0;
    if (t->is_over)
        return t->outcome;
    t->wanted = page;
    if (t->is_paused) {
        t->is_paused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT); /* may bring bytes at once */
        if (t->wanted == NULL) {
            outbound_int_unqueue(t);
            return OK;
        }
    }
    t->done = done;
    t->is_waiting = true;
    return PENDING;
}

void http_download_close(struct http_download *download)
{
    if (download != NULL)
        end(download);
}

bool http_exchange_field(const struct http_exchange *exchange, struct slice name, struct slice *ret_value)
{
    struct slice line;
    struct slice rest = exchange->head;
    while (slice_split(rest, '\n', &line, &rest)) {
        struct slice found;
        struct slice value;
        if (!slice_split(line, ':', &found, &value) || !slice_equal_nocase(found, name))
            continue;
        if (value.len > 0 && value.ptr[value.len - 1] == '\r')
            value.len--;
        *ret_value = slice_trim(value);
        return true;
    }
    return false;
}
