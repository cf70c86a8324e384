/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of now, shared by all loops behind a lock, and their renewal on one loop: one at a time, before they end,
 * with growing pauses after failures. The old ones serve until then.
 */
#include "credentials.h"

#include <pthread.h>
#include <stdlib.h>

#include "credentials_int.h"

#define CONNECT_MS 1500u
#define STALL_S 5u
#define ATTEMPTS_AT_START 2u
#define LEAD_MAX_MS (15u * 60u * 1000u) /* no earlier than that before the end */
#define WAIT_MS 100
#define WHY_BYTES_MAX 2048u

struct s3_credentials {
    struct clock clock;
    struct pool *pool;
    struct s3_credential_settings settings;
    const char *source_name;
    const struct s3_credential_source *source; /* NULL: keys that stay */
    struct http_client *http;
    struct arena arena;
    pthread_mutex_t mutex; /* guards `keys` */
    struct s3_keys *keys;
    /* the refreshing loop's, and before it runs the opening thread's */
    struct loop *loop;
    struct log *log;
    struct timer timer;
    uint64_t next_ms; /* of the wall clock */
    unsigned failures;
    bool is_fetching;
    enum result outcome;
    struct s3_keys *fetched;
    struct strbuf why;
};

/* ---- the keys of now ---- */

struct s3_keys *s3_credentials_acquire(struct s3_credentials *credentials)
{
    pthread_mutex_lock(&credentials->mutex);
    struct s3_keys *keys = credentials->keys;
    atomic_fetch_add(&keys->holders, 1);
    pthread_mutex_unlock(&credentials->mutex);
    return keys;
}

bool s3_credentials_serve(struct s3_credentials *credentials)
{
    pthread_mutex_lock(&credentials->mutex);
    uint64_t expires_ms = credentials->keys->expires_ms;
    pthread_mutex_unlock(&credentials->mutex);
    return expires_ms == 0 || clock_wall_ms(credentials->clock) < expires_ms;
}

static void replace(struct s3_credentials *credentials, struct s3_keys *keys)
{
    pthread_mutex_lock(&credentials->mutex);
    struct s3_keys *old = credentials->keys;
    credentials->keys = keys;
    pthread_mutex_unlock(&credentials->mutex);
    s3_keys_release(old);
}

/* When to renew: when three quarters of the time have gone, but not long before the end. */
static uint64_t renewal_of(const struct s3_keys *keys, uint64_t now_ms)
{
    uint64_t by_share = now_ms + (keys->expires_ms - now_ms) / 4 * 3;
    uint64_t by_lead = keys->expires_ms > LEAD_MAX_MS ? keys->expires_ms - LEAD_MAX_MS : 0;
    return by_share > by_lead ? by_share : by_lead;
}

/* ---- one attempt ---- */

static void on_fetched(void *data, enum result outcome)
{
    struct s3_credentials *credentials = data;
    uint64_t now_ms = clock_wall_ms(credentials->clock);
    if (outcome == OK && credentials->fetched->expires_ms <= now_ms) {
        char date[CLOCK_RFC3339_SIZE];
        clock_format_rfc3339(credentials->fetched->expires_ms, date);
        strbuf_append_format(&credentials->why, "the keys given have ended already, at %s: check the clock", date);
        s3_keys_release(TAKE(credentials->fetched));
        outcome = INVALID;
    }
    if (outcome == OK) {
        credentials->next_ms = renewal_of(credentials->fetched, now_ms);
        replace(credentials, TAKE(credentials->fetched));
    }
    credentials->outcome = outcome;
    credentials->is_fetching = false;
}

static void fetch(struct s3_credentials *credentials, struct loop *loop, void (*on_end)(void *data, enum result r))
{
    struct flow *f = flow_new(loop);
    struct s3_fetch *attempt = ARENA_NEW(flow_arena(f), struct s3_fetch);
    *attempt = (struct s3_fetch){.settings = &credentials->settings,
                                 .http = credentials->http,
                                 .pool = credentials->pool,
                                 .why = &credentials->why,
                                 .ret_keys = &credentials->fetched};
    strbuf_clear(&credentials->why);
    credentials->is_fetching = true;
    flow_start(f, credentials->source->program, attempt, on_end, credentials);
}

/* ---- in the background ---- */

static void on_time(struct timer *timer);

/* A loop knows few different delays: the next lower one, and then the clock is looked at again. */
static void arm(struct s3_credentials *credentials)
{
    static const uint64_t delays[] = {60000, 5000, 1000, 100};
    uint64_t now_ms = clock_wall_ms(credentials->clock);
    uint64_t left_ms = credentials->next_ms > now_ms ? credentials->next_ms - now_ms : 0;
    size_t i = 0;
    while (i < sizeof(delays) / sizeof(delays[0]) - 1 && delays[i] > left_ms)
        i++;
    timer_start(credentials->loop, &credentials->timer, delays[i], on_time);
}

static void log_failure(struct s3_credentials *credentials, uint64_t pause_s)
{
    char date[CLOCK_RFC3339_SIZE];
    struct s3_keys *keys = s3_credentials_acquire(credentials);
    clock_format_rfc3339(keys->expires_ms, date);
    s3_keys_release(keys);
    log_event(credentials->log, LOG_LEVEL_WARN, "storage.credentials_not_renewed",
              FIELD_CSTR("source", credentials->source_name), FIELD_STR("why", strbuf_slice(&credentials->why)),
              FIELD_RESULT(credentials->outcome), FIELD_CSTR("old_ones_end", date), FIELD_NUM("retry_in_s", pause_s));
}

static void on_renewed(void *data, enum result outcome)
{
    static const uint64_t pauses_s[] = {1, 2, 5, 10, 30, 60};
    struct s3_credentials *credentials = data;
    on_fetched(credentials, outcome);
    if (credentials->outcome == OK) {
        credentials->failures = 0;
        log_event(credentials->log, LOG_LEVEL_DEBUG, "storage.credentials_renewed",
                  FIELD_CSTR("source", credentials->source_name));
    } else {
        size_t last = sizeof(pauses_s) / sizeof(pauses_s[0]) - 1;
        uint64_t pause_s = pauses_s[credentials->failures < last ? credentials->failures : last];
        credentials->failures++;
        credentials->next_ms = clock_wall_ms(credentials->clock) + pause_s * 1000;
        log_failure(credentials, pause_s);
    }
    arm(credentials);
}

static void on_time(struct timer *timer)
{
    struct s3_credentials *credentials =
        (struct s3_credentials *)(void *)((char *)timer - offsetof(struct s3_credentials, timer));
    if (clock_wall_ms(credentials->clock) < credentials->next_ms)
        arm(credentials);
    else
        fetch(credentials, credentials->loop, on_renewed);
}

void s3_credentials_start(struct s3_credentials *credentials, struct loop *loop, struct log *log)
{
    char date[CLOCK_RFC3339_SIZE] = "";
    if (credentials->keys->expires_ms != 0)
        clock_format_rfc3339(credentials->keys->expires_ms, date);
    log_event(log, LOG_LEVEL_INFO, "storage.credentials", FIELD_CSTR("source", credentials->source_name),
              FIELD_CSTR("end", date));
    if (credentials->source == NULL)
        return;
    credentials->loop = loop;
    credentials->log = log;
    arm(credentials);
}

/* ---- start ---- */

static enum result fetch_first(struct s3_credentials *credentials)
{
    struct loop *loop;
    struct http_client_settings settings = {.connect_timeout_ms = CONNECT_MS,
                                            .stall_timeout_s = STALL_S,
                                            .connections_kept = 1,
                                            .is_direct = credentials->source->is_near};
    enum result r = http_client_new(&settings, &credentials->http);
    if (r == OK)
        r = loop_new(0, PAGE_BYTES, &loop);
    if (r != OK)
        return r;
    for (unsigned i = 0; i < ATTEMPTS_AT_START && credentials->keys == NULL; i++) {
        fetch(credentials, loop, on_fetched);
        while (credentials->is_fetching)
            loop_run_once(loop, WAIT_MS);
    }
    http_client_leave(credentials->http, loop);
    loop_run_once(loop, 0);
    loop_free(loop);
    return credentials->outcome;
}

static enum result fetch_or_explain(struct s3_credentials *credentials, struct strbuf *ret_why)
{
    enum result r = fetch_first(credentials);
    if (r != OK && credentials->source == &s3_machine)
        strbuf_append_format(ret_why,
                             "storage.s3: no credentials. Tried: access_key and secret_key of the configuration (not "
                             "set), AWS_ACCESS_KEY_ID (not set), web identity (AWS_WEB_IDENTITY_TOKEN_FILE and "
                             "AWS_ROLE_ARN not set), container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI "
                             "not set), machine metadata (%s)",
                             credentials->why.ptr);
    else if (r != OK)
        strbuf_append_format(ret_why, "storage.s3: no credentials from the source that is set up (%s): %s",
                             credentials->source_name, credentials->why.ptr);
    return r;
}

/* Keys that are there already. */
static enum result keep(struct s3_credentials *credentials, const char *access_key, const char *secret_key,
                        const char *session_token, struct strbuf *ret_why)
{
    enum result r = s3_keys_new(slice_from_cstr(access_key), slice_from_cstr(secret_key),
                                slice_from_cstr(session_token), 0, &credentials->why, &credentials->keys);
    if (r != OK)
        strbuf_append_format(ret_why, "storage.s3: credentials from the %s: %s", credentials->source_name,
                             credentials->why.ptr);
    return r;
}

static enum result refuse(struct strbuf *ret_why, bool has_amazons_sources)
{
    strbuf_append_format(ret_why,
                         "storage.s3: no credentials. Tried: access_key and secret_key of the configuration (not set), "
                         "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not set)%s",
                         has_amazons_sources ? ", web identity and container (not set), machine metadata (switched off "
                                               "by AWS_EC2_METADATA_DISABLED)"
                                             : "; Google's store takes HMAC keys");
    return INVALID;
}

static enum result choose(struct s3_credentials *credentials, const struct config *config, bool has_amazons_sources,
                          struct strbuf *ret_why)
{
    const struct s3_credential_settings *settings = &credentials->settings;
    const char *access_key = config->storage.s3.access_key;
    if (access_key != NULL) {
        credentials->source_name = "configuration";
        return keep(credentials, access_key, config->storage.s3.secret_key.value,
                    config->storage.s3.session_token.value, ret_why);
    }
    access_key = getenv("AWS_ACCESS_KEY_ID");
    if (access_key != NULL && access_key[0] != '\0') {
        credentials->source_name = "environment";
        return keep(credentials, access_key, getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN"), ret_why);
    }
    if (has_amazons_sources && settings->identity_file.len > 0 && settings->role.len > 0)
        credentials->source = &s3_web_identity;
    else if (has_amazons_sources && settings->container_url.len > 0)
        credentials->source = &s3_container;
    else if (has_amazons_sources && settings->metadata_url.len > 0)
        credentials->source = &s3_machine;
    else
        return refuse(ret_why, has_amazons_sources);
    credentials->source_name = credentials->source->name;
    return fetch_or_explain(credentials, ret_why);
}

enum result s3_credentials_new(const struct config *config, bool has_amazons_sources, struct pool *pool,
                               struct clock clock, struct strbuf *ret_why, struct s3_credentials **ret_credentials)
{
    struct s3_credentials *credentials = xcalloc(1, sizeof(*credentials));
    credentials->clock = clock;
    credentials->pool = pool;
    arena_init(&credentials->arena);
    pthread_mutex_init(&credentials->mutex, NULL);
    strbuf_init(&credentials->why, WHY_BYTES_MAX);
    strbuf_append_cstr(&credentials->why, ""); /* never NULL */
    enum result r = s3_credential_settings_read(slice_from_cstr(config->storage.s3.region), &credentials->arena,
                                                &credentials->settings, ret_why);
    if (r == OK)
        r = choose(credentials, config, has_amazons_sources, ret_why);
    if (r != OK) {
        s3_credentials_free(credentials);
        return r;
    }
    *ret_credentials = credentials;
    return OK;
}

void s3_credentials_free(struct s3_credentials *credentials)
{
    if (credentials == NULL)
        return;
    while (credentials->loop != NULL && credentials->is_fetching)
        loop_run_once(credentials->loop, WAIT_MS);
    timer_stop(&credentials->timer);
    http_client_free(credentials->http);
    s3_keys_release(credentials->keys);
    strbuf_done(&credentials->why);
    pthread_mutex_destroy(&credentials->mutex);
    arena_done(&credentials->arena);
    free(credentials);
}
