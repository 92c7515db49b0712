/* Between identity.c and identity_http.c; not for other rooms. */
#ifndef OVERREAD_IDENTITY_HTTP_H
#define OVERREAD_IDENTITY_HTTP_H

#include "identity/identity.h"

struct sign_in {
    const char *email, *password;
    const char *tenant; /* slug; NULL: the person's only one */
    const char *client; /* what the session list shows */
};

bool identity_cookie_secure(void);
const char *identity_cookie_name(void);
/* *ret is the session as JSON. The token is the caller's random text; only its hash is stored. */
int fiber_fn identity_sign_in(struct db_scope *scope, const struct sign_in *in, const char *token, struct text *ret,
                              struct error *err);

#endif
