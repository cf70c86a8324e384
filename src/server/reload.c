/* SPDX-License-Identifier: Apache-2.0
 *
 * SIGHUP: certificate, key and authorities of clients are read again. New connections use them, those that are open go
 * on; what cannot be used is refused and the old ones stay. Main thread; each loop is handed its copy by a message.
 */
#include <stdlib.h>

#include "minato/own.h"
#include "server_int.h"

#define WHY_BYTES_MAX 4096

struct handover {
    struct loop_task task; /* first */
    struct server_loop *sl;
    struct http_tls *tls; /* a reference */
};

static void take_tls(struct loop_task *task)
{
    struct handover *handover = (struct handover *)(void *)task;
    http_server_set_tls(handover->sl->http, handover->tls);
    http_tls_unref(handover->tls);
    free(handover);
}

void server_int_reload(struct server *server)
{
    OWNED(strbuf_done) struct strbuf why;
    strbuf_init(&why, WHY_BYTES_MAX);
    struct http_tls *tls = NULL;
    if (server->tls == NULL)
        return;
    if (server_int_make_tls(server, &why, &tls) != OK) {
        log_event(server->log, LOG_LEVEL_ERROR, "tls.reload_failed", FIELD_STR("why", strbuf_slice(&why)),
                  FIELD_CSTR("next", "the certificate in use stays; mend the files and send SIGHUP again"));
        return;
    }
    for (unsigned i = 0; i < server->loop_count; i++) {
        struct handover *handover = xcalloc(1, sizeof(*handover));
        *handover = (struct handover){{.run = take_tls}, &server->loops[i], http_tls_ref(tls)};
        loop_post(server->loops[i].loop, &handover->task);
    }
    http_tls_unref(server->tls);
    server->tls = tls;
    log_event(server->log, LOG_LEVEL_INFO, "tls.reloaded",
              FIELD_CSTR("certificate", server->config->http.tls.certificate_file));
}
