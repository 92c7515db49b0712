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
const char *identity_origin(void); /* as browsers see it: "https://learn.example.org" */
/* *ret is the session as JSON. The token is the caller's random text; only its hash is stored. */
int fiber_fn identity_sign_in(struct db_scope *scope, const struct sign_in *in, const char *token, struct text *ret,
                              struct error *err);

/* On a worker thread. phc "": nobody's, never matches, takes as long. */
int fiber_fn identity_password_verify(const char *phc, const char *password, bool *ret, struct error *err);

/* Opens a session for who has just been recognised otherwise than by a password. methods: "passkey", ... (0007). The reply's "stage" says whether the session still owes a step. */
int fiber_fn identity_session_open(struct db_scope *scope, const char *person, const char *tenant, const char *client,
                                   const char *methods, const char *token, struct text *ret, struct error *err);

/* 256 random bits as text: a session's token. */
#define IDENTITY_TOKEN_SIZE 44
void identity_token(char ret[IDENTITY_TOKEN_SIZE]);
/* 201 with a session that was opened or moved on under this token: in the cookie, or (cookie false) in the body. */
void identity_reply_session(struct http_request *req, int status, const char *token, bool cookie, struct text session);
/* The session's cookie on the reply: for one that is no page of JSON. */
void identity_set_cookie(struct http_request *req, const char *token);
/* Did this request show its session by the cookie? */
bool identity_by_cookie(const struct http_request *req);

#endif
