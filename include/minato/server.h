/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole server: builds every subsystem from a configuration, runs until told to stop, drains, takes it all down.
 */
#ifndef MINATO_SERVER_H
#define MINATO_SERVER_H

#include "minato/config.h"
#include "minato/result.h"
#include "minato/slice.h"

/* Runs on the calling thread (and one more per further loop) until SIGTERM or SIGINT; then stops accepting, finishes
 * what runs, up to http.drain_timeout, and returns OK. A second signal ends it at once. On a failure to start, one
 * sentence for the operator is in `ret_why`. Prints one line to standard output when it is ready. */
enum result server_run(const struct config *config, struct strbuf *ret_why) NODISCARD;

/* Fills the index that replicas share from the store: all repositories after `after` (empty: all), several at a time.
 * Servers may be running on the same store meanwhile. Tells how far it is on standard error; SIGINT and SIGTERM end it
 * (CANCELLED). On a failure `ret_why` says what, and from where to go on. Start-up thread; blocks. */
enum result server_reindex(const struct config *config, struct slice after, struct strbuf *ret_why) NODISCARD;

#endif
