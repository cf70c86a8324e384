/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the driver's keys come from, and that they are new before they end. Sources, in this order: the configuration,
 * the environment, a web identity (EKS), the container's (ECS, EKS), the machine's metadata (EC2). The first that is
 * set up is the one.
 */
#ifndef MINATO_S3_CREDENTIALS_H
#define MINATO_S3_CREDENTIALS_H

#include <stdatomic.h>

#include "minato/async.h"
#include "minato/clock.h"
#include "minato/config.h"
#include "minato/telemetry.h"
#include "sigv4.h"

/* One set of keys: never changed, shared by counting, wiped when the last holder lets go. Any thread. */
struct s3_keys {
    struct sigv4_credentials credentials;
    uint64_t expires_ms; /* by the wall clock; 0: never */
    atomic_uint holders;
    size_t text_bytes;
    char text[];
};

struct s3_credentials;

/* Start-up, blocks for some seconds where a server has to be asked. `has_amazons_sources`: false where sources that
 * only Amazon has make no sense. On failure `ret_why` says what was tried. */
enum result s3_credentials_new(const struct config *config, bool has_amazons_sources, struct pool *pool,
                               struct clock clock, struct strbuf *ret_why,
                               struct s3_credentials **ret_credentials) NODISCARD;
/* From now on keys are renewed on `loop`, a quarter of their time before they end; what happens is logged. */
void s3_credentials_start(struct s3_credentials *credentials, struct loop *loop, struct log *log);
/* No loop runs, but `loop` exists: waits for a renewal under way. Accepts NULL. */
void s3_credentials_free(struct s3_credentials *credentials);

/* The keys of now, to be released. Any thread. */
struct s3_keys *s3_credentials_acquire(struct s3_credentials *credentials);
void s3_keys_release(struct s3_keys *keys);
/* False once they have ended and no new ones came. Any thread. */
bool s3_credentials_serve(struct s3_credentials *credentials);

#endif
