/* SPDX-License-Identifier: Apache-2.0
 *
 * What each network wants to see in a URL: nothing (plain), nginx' secure_link, CloudFront's canned policy, Cloud CDN's
 * signature. The arithmetic is in cdn_signature.c. A path of the store needs no escapes in a URL (storage_driver.h).
 */
#include "cdn.h"

#include <stdlib.h>
#include <string.h>

#include "cdn_signature.h"

struct cdn {
    enum config_cdn type;
    char *base;           /* "https://cdn.example.com/prefix", without a slash at its end */
    size_t path_offset;   /* of "/prefix" in it */
    const char *key_name; /* the configuration's */
    struct cdn_key key;
};

/* ---- opening ---- */

static bool is_plain_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alphanumeric && strchr("-._~/:[]", c) == NULL)
            return false;
    }
    return true;
}

/* Where the path begins in "https://host/path", or 0 if that is not what `url` is. */
static size_t find_path(struct slice url)
{
    size_t scheme = slice_has_prefix(url, SLICE("https://")) ? sizeof("https://") - 1 : sizeof("http://") - 1;
    if (!slice_has_prefix(url, SLICE("https://")) && !slice_has_prefix(url, SLICE("http://")))
        return 0;
    const char *slash = memchr(url.ptr + scheme, '/', url.len - scheme);
    size_t end = slash == NULL ? url.len : (size_t)(slash - url.ptr);
    return end == scheme ? 0 : end;
}

/* The network stands for the bucket: what all keys begin with belongs to their URLs. */
static enum result set_base(struct cdn *cdn, const struct config *config, struct strbuf *ret_why)
{
    struct slice url = slice_from_cstr(config->redirect.cdn.url);
    while (slice_has_suffix(url, SLICE("/")))
        url.len--;
    struct slice prefix = slice_from_cstr(config->storage.s3.bucket != NULL     ? config->storage.s3.prefix
                                          : config->storage.s3v2.bucket != NULL ? config->storage.s3v2.prefix
                                                                                : NULL);
    cdn->path_offset = find_path(url);
    if (cdn->path_offset == 0 || !is_plain_text(url) || !is_plain_text(prefix)) {
        strbuf_append_cstr(ret_why,
                           "redirect.cdn.url: expected an address as https://cdn.example.com/prefix, without a "
                           "query or escapes in it or in the prefix of the store");
        return INVALID;
    }
    struct strbuf base;
    strbuf_init(&base, url.len + prefix.len + 1);
    strbuf_append(&base, url);
    if (prefix.len > 0) {
        strbuf_append_char(&base, '/');
        strbuf_append(&base, prefix);
    }
    cdn->base = base.ptr;
    return OK;
}

static enum result set_key(struct cdn *cdn, const struct config *config, struct strbuf *ret_why)
{
    struct slice secret = slice_from_cstr(config->redirect.cdn.key.value);
    switch (cdn->type) {
    case CDN_NGINX:
        if (cdn_key_from_text(&cdn->key, secret) == OK)
            return OK;
        strbuf_append_format(ret_why, "redirect.cdn.key: expected at most %u bytes", (unsigned)CDN_SECRET_MAX);
        return INVALID;
    case CDN_GOOGLE:
        if (cdn_key_from_base64url(&cdn->key, secret) == OK)
            return OK;
        strbuf_append_cstr(ret_why, "redirect.cdn.key: expected Cloud CDN's key, 16 bytes in base64url");
        return INVALID;
    case CDN_CLOUDFRONT:
        if (cdn_key_from_pem(&cdn->key, config->redirect.cdn.private_key_file) == OK)
            return OK;
        strbuf_append_format(ret_why, "redirect.cdn.private_key: %s is no RSA key in PEM, or cannot be read",
                             config->redirect.cdn.private_key_file);
        return INVALID;
    case CDN_NONE:
    case CDN_PLAIN:
        break;
    }
    return OK;
}

enum result cdn_open(const struct config *config, struct strbuf *ret_why, struct cdn **ret_cdn)
{
    struct cdn *cdn = xcalloc(1, sizeof(*cdn));
    cdn->type = config->redirect.cdn.type;
    cdn->key_name = config->redirect.cdn.key_name;
    enum result r = set_base(cdn, config, ret_why);
    if (r == OK && !is_plain_text(slice_from_cstr(cdn->key_name))) {
        strbuf_append_cstr(ret_why, "redirect.cdn.key_name: expected letters, digits and -._~");
        r = INVALID;
    }
    if (r == OK)
        r = set_key(cdn, config, ret_why);
    if (r != OK) {
        cdn_close(cdn);
        return r;
    }
    *ret_cdn = cdn;
    return OK;
}

void cdn_close(struct cdn *cdn)
{
    if (cdn == NULL)
        return;
    cdn_key_done(&cdn->key);
    free(cdn->base);
    free(cdn);
}

/* ---- signing ---- */

/* secure_link_md5 "$secure_link_expires$uri SECRET"; secure_link $arg_md5,$arg_expires; */
static enum result sign_for_nginx(const struct cdn *cdn, struct slice url, uint64_t expires_s, struct arena *arena,
                                  struct slice *ret_url)
{
    struct slice uri = slice_from(url, cdn->path_offset);
    struct slice text = arena_format(arena, "%llu%.*s ", (unsigned long long)expires_s, SLICE_ARG(uri));
    struct slice md5;
    enum result r = cdn_sign_md5(&cdn->key, text, arena, &md5);
    if (r == OK)
        *ret_url = arena_format(arena, "%.*s?md5=%.*s&expires=%llu", SLICE_ARG(url), SLICE_ARG(md5),
                                (unsigned long long)expires_s);
    return r;
}

static enum result sign_for_google(const struct cdn *cdn, struct slice url, uint64_t expires_s, struct arena *arena,
                                   struct slice *ret_url)
{
    struct slice text = arena_format(arena, "%.*s?Expires=%llu&KeyName=%s", SLICE_ARG(url),
                                     (unsigned long long)expires_s, cdn->key_name);
    struct slice signature;
    enum result r = cdn_sign_hmac_sha1(&cdn->key, text, arena, &signature);
    if (r == OK)
        *ret_url = arena_format(arena, "%.*s&Signature=%.*s", SLICE_ARG(text), SLICE_ARG(signature));
    return r;
}

static enum result sign_for_cloudfront(const struct cdn *cdn, struct slice url, uint64_t expires_s, struct arena *arena,
                                       struct slice *ret_url)
{
    struct slice policy = arena_format(
        arena, "{\"Statement\":[{\"Resource\":\"%.*s\",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":%llu}}}]}",
        SLICE_ARG(url), (unsigned long long)expires_s);
    struct slice signature;
    enum result r = cdn_sign_rsa_sha1(&cdn->key, policy, arena, &signature);
    if (r == OK)
        *ret_url = arena_format(arena, "%.*s?Expires=%llu&Signature=%.*s&Key-Pair-Id=%s", SLICE_ARG(url),
                                (unsigned long long)expires_s, SLICE_ARG(signature), cdn->key_name);
    return r;
}

enum result cdn_sign(const struct cdn *cdn, struct slice path, uint64_t expires_s, struct arena *arena,
                     struct slice *ret_url)
{
    struct slice url = arena_format(arena, "%s/%.*s", cdn->base, SLICE_ARG(path));
    switch (cdn->type) {
    case CDN_NGINX:
        return sign_for_nginx(cdn, url, expires_s, arena, ret_url);
    case CDN_GOOGLE:
        return sign_for_google(cdn, url, expires_s, arena, ret_url);
    case CDN_CLOUDFRONT:
        return sign_for_cloudfront(cdn, url, expires_s, arena, ret_url);
    case CDN_NONE:
    case CDN_PLAIN:
        break;
    }
    *ret_url = url;
    return OK;
}
