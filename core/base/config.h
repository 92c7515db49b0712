/* Configuration: an INI file (libinih), overridden by environment variables OVERREAD_<KEY>. Unknown keys in the file
 * are errors: a typing mistake is never a silent default. Keys and defaults are documented in config.c's table and
 * printed by `overread doctor`. */
#ifndef OVERREAD_BASE_CONFIG_H
#define OVERREAD_BASE_CONFIG_H

#include <stdbool.h>
#include "base/error.h"
#include "base/text.h"

struct config {
    const char *database;       /* libpq conninfo of the application role, which owns nothing */
    const char *database_admin; /* conninfo of the owning role: migrate, tenant, person, library */
    const char *listen;         /* "127.0.0.1:8080", or "unix:/run/overread.sock" */
    const char *tls_certificate, *tls_key; /* PEM files; both or none */
    bool http2;                 /* off; see http.md: behind HAProxy only */
    bool cookie_secure;         /* on, off only for plain HTTP on loopback: __Host- needs Secure */
    const char *public_url;     /* exact Origin that browsers send, "" = derive from listen */
    const char *cors_origins;   /* origins of other sites whose pages may call; "" = none */
    int threads;                /* event loops; 0: one a core */
    int connections_max;        /* of clients, all loops together: 2304; 0: as many as descriptors allow */
    int database_read_connections, database_write_connections; /* per loop: 2 and 4 */
    int database_queue;         /* bound of waiting statements per loop and lane: 1024 */
    const char *state_dir;      /* var/: images by content hash */
    const char *plugin_dir;     /* <plugin_dir>/<id>/{manifest.json,<id>.so} */
    const char *plugin_keys;    /* PEM file of the keys whose plugins are loaded; "" = see the next */
    bool allow_unsigned_plugins; /* when there are no plugin_keys, without which nothing is served otherwise */
    const char *secret_key;     /* file; "" = no second factors by app, no single sign-on */
    const char *grader;         /* path of overread-grader; "" = beside the running binary */
    int grader_workers;         /* per loop and plugin: 1 */
    int body_limit;             /* bytes: 1048576 */
    int request_timeout_ms;     /* headers + body: 10000 */
    int stop_timeout_ms;        /* graceful stop: 20000 */
    const char *smtp_url;       /* smtp://host:port (STARTTLS, but on loopback) or smtps://host:port; "" = mails wait */
    const char *smtp_user, *smtp_password; /* "" = without */
    const char *smtp_ca;        /* PEM file; "" = the system's. With it, STARTTLS on loopback too */
    const char *mail_from;      /* "Overread <no-reply@example.org>" */
    const char *fetch_ca;       /* PEM file for requests to others; "" = the system's */
    const char *stripe_key;     /* "" = nothing is sold through Stripe */
    const char *stripe_url;     /* https; http only on this machine */
    const char *stripe_webhook_secret; /* whsec_...; two, with a comma, while one replaces the other */
    bool stripe_tax;            /* Stripe computes taxes */
    int invoice_days_max;       /* days until an invoice is due that a payer may choose: 30 */
    bool fetch_loopback;        /* off; requests to others may go to this machine, and there by http: to try things */
    const char *log_level;
};

/* path may be NULL (environment and defaults only). The strings live as long as the process. 0 or -1. */
int config_load(const char *path, struct config *ret, struct error *err);
/* Is it one of cors_origins, to the byte? */
bool config_lists_origin(const struct config *config, struct text origin);
/* Prints every key with its value (secrets masked) as INI. */
void config_print(const struct config *config);

#endif
