/* What mail and fetch share. */
#ifndef OVERREAD_OUTBOUND_INTERNAL_H
#define OVERREAD_OUTBOUND_INTERNAL_H

#include <curl/curl.h>
#include "outbound/outbound.h"

const struct config *outbound_config(void);
/* Must the mail server speak TLS? Only this machine need not; and must when smtp_ca says whom to trust. */
bool outbound_smtp_encrypted(const struct config *config);

/* In a fiber: work(arg) on a thread of the pool. As thread_pool_run. */
int fiber_fn outbound_run(void (*work)(void *arg), void *arg, struct error *err);

/* A handle that asks nothing of the environment, and gives up when the time is over or the server stops. NULL: out of
 * memory. On a thread of the pool. */
CURL *outbound_handle(unsigned connect_ms, unsigned whole_ms);
/* The first failure stays: `code = outbound_set(code, curl, OPTION, value)`. */
#define outbound_set(code, curl, option, value) ((code) ? (code) : curl_easy_setopt(curl, option, value))

#endif
