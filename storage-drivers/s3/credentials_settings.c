/* SPDX-License-Identifier: Apache-2.0
 *
 * What the environment says of where keys are, under the names that all tools of the field know. At start only.
 */
#include <stdlib.h>

#include "credentials_int.h"

#define ECS_URL "http://169.254.170.2"
#define EC2_URL "http://169.254.169.254"

static struct slice variable(struct arena *arena, const char *name)
{
    return arena_copy(arena, slice_from_cstr(getenv(name)));
}

static struct slice variable_or(struct arena *arena, const char *name, struct slice otherwise)
{
    struct slice value = variable(arena, name);
    return value.len > 0 ? value : otherwise;
}

static struct slice without_slash(struct slice url)
{
    while (slice_has_suffix(url, SLICE("/")))
        url.len--;
    return url;
}

static enum result check_url(const char *name, struct slice url, struct strbuf *ret_why)
{
    bool is_url = slice_has_prefix(url, SLICE("http://")) || slice_has_prefix(url, SLICE("https://"));
    for (size_t i = 0; i < url.len; i++)
        is_url = is_url && url.ptr[i] > ' ' && url.ptr[i] <= '~';
    if (url.len == 0 || is_url)
        return OK;
    strbuf_append_format(ret_why, "storage.s3: %s is not a URL of http or https", name);
    return INVALID;
}

static enum result read_container(struct arena *arena, struct s3_credential_settings *settings, struct strbuf *ret_why)
{
    struct slice path = variable(arena, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    settings->container_url = variable(arena, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    settings->container_token = variable(arena, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    settings->container_token_file = variable(arena, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    if (path.len > 0)
        settings->container_url = arena_format(arena, ECS_URL "%s%.*s", path.ptr[0] == '/' ? "" : "/", SLICE_ARG(path));
    if (settings->container_url.len == 0 || s3_keys_is_container_url(settings->container_url))
        return check_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", settings->container_url, ret_why);
    strbuf_append_cstr(ret_why, "storage.s3: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or this machine, or the "
                                "address of ECS or EKS");
    return INVALID;
}

enum result s3_credential_settings_read(struct slice region, struct arena *arena,
                                        struct s3_credential_settings *ret_settings, struct strbuf *ret_why)
{
    struct s3_credential_settings settings = {0};
    settings.identity_file = variable(arena, "AWS_WEB_IDENTITY_TOKEN_FILE");
    settings.role = variable(arena, "AWS_ROLE_ARN");
    settings.role_session = variable_or(arena, "AWS_ROLE_SESSION_NAME", SLICE("minato"));
    settings.sts_url = without_slash(variable_or(
        arena, "AWS_ENDPOINT_URL_STS",
        arena_format(arena, "https://sts.%.*s.amazonaws.com", SLICE_ARG(variable_or(arena, "AWS_REGION", region)))));
    settings.metadata_url = without_slash(variable_or(arena, "AWS_EC2_METADATA_SERVICE_ENDPOINT", SLICE(EC2_URL)));
    enum result r = read_container(arena, &settings, ret_why);
    if (r == OK)
        r = check_url("AWS_ENDPOINT_URL_STS", settings.sts_url, ret_why);
    if (r == OK)
        r = check_url("AWS_EC2_METADATA_SERVICE_ENDPOINT", settings.metadata_url, ret_why);
    if (slice_equal_nocase(variable(arena, "AWS_EC2_METADATA_DISABLED"), SLICE("true")))
        settings.metadata_url = SLICE_EMPTY;
    if (r == OK)
        *ret_settings = settings;
    return r;
}
