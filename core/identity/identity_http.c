#include "identity/identity_http.h"

#include <string.h>

#include "identity/email.h"
#include "identity/identity_sql.h"
#include "identity/throttle.h"

enum { TOKEN_BYTES = 32, SIGN_IN_BODY_MAX = 8192 };

static int sign_in_from_body(struct http_request *req, struct sign_in *ret, bool *ret_cookie, struct error *err)
{
    json_t *body;
    if (http_body_json(req, &body, err) < 0 ||
        json_object_only(body, err, "email", "password", "tenant", "client", "cookie", NULL) < 0 ||
        json_get_string(body, "email", true, 1, 254, &ret->email, err) < 0 ||
        json_get_string(body, "password", true, 1, 1024, &ret->password, err) < 0 ||
        json_get_string(body, "tenant", false, 1, 63, &ret->tenant, err) < 0 ||
        json_get_string(body, "client", false, 0, 200, &ret->client, err) < 0 ||
        json_get_bool(body, "cookie", false, ret_cookie, err) < 0)
        return -1;
    return 0;
}

static void set_cookie(struct http_request *req, const char *token, const char *attributes)
{
    http_header_add(req, "set-cookie",
                    arena_printf(http_arena(req), "%s=%s; Path=/; HttpOnly; SameSite=Lax%s%s", identity_cookie_name(),
                                 token, identity_cookie_secure() ? "; Secure" : "", attributes));
}

void identity_set_cookie(struct http_request *req, const char *token)
{
    set_cookie(req, token, "");
}

void identity_token(char ret[IDENTITY_TOKEN_SIZE])
{
    unsigned char random[TOKEN_BYTES];
    crypto_random(random, sizeof(random));
    base64url_encode(random, sizeof(random), ret);
}

bool identity_by_cookie(const struct http_request *req)
{
    struct text header;
    return !http_header(req, "authorization", &header);
}

void identity_reply_session(struct http_request *req, int status, const char *token, bool cookie, struct text session)
{
    struct arena *arena = http_arena(req);
    /* The session's JSON is an object: its members go behind ours. */
    const char *json;
    if (cookie) {
        set_cookie(req, token, "");
        json = arena_copy(arena, session.p, session.len);
    } else {
        json = arena_printf(arena, "{\"token\":\"%s\",%.*s", token, (int)session.len - 1, session.p + 1);
    }
    http_reply_json(req, status, text_of(json));
}

static void session_post(struct http_request *req)
{
    struct sign_in in = {0};
    bool cookie = false;
    struct error err = {0};
    struct text session;
    struct db_scope scope = {.arena = http_arena(req), .as = DB_AS_NOBODY, .gone = http_gone, .gone_arg = req};
    char token[IDENTITY_TOKEN_SIZE];
    if (sign_in_from_body(req, &in, &cookie, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    email_normal(scope.arena, in.email, &in.email, "/email", NULL); /* what is no address is nobody's */
    const struct throttle_key keys[] = {
        {"account", in.email}, {"address", throttle_client(req)}, {in.tenant ? "tenant" : NULL, in.tenant}, {0}};
    identity_token(token);
    if (throttle_take(req, &scope, keys, &err) < 0 || identity_sign_in(&scope, &in, token, &session, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    throttle_forgive(&scope, keys, NULL); /* when that fails, the attempt stays counted */
    identity_reply_session(req, 201, token, cookie, session);
}

/* How many sessions ended, or -1. */
static int64_t end_sessions(struct http_request *req, const struct db_statement *statement, const char *session, struct error *err)
{
    struct db_scope scope;
    const struct db_result *res;
    if (identity_scope(req, &scope, err) < 0 || db_run(&scope, statement, (const char *const[]){session}, &res, err) < 0)
        return -1;
    return db_int(res, 0, 0);
}

static void session_delete(struct http_request *req)
{
    struct error err = {0};
    if (end_sessions(req, sql_session_end_this, NULL, &err) < 0) {
        http_reply_error(req, &err);
        return;
    }
    set_cookie(req, "", "; Max-Age=0");
    http_reply(req, 204, NULL, (struct text){0});
}

static void session_revoke(struct http_request *req)
{
    struct error err = {0};
    const char *session;
    int64_t ended = path_uuid(req, "session", "session_not_found", &session, &err) < 0
                        ? -1
                        : end_sessions(req, sql_session_end, session, &err);
    if (ended == 0)
        ended = error_set(&err, ERROR_NOT_FOUND, "session_not_found", NULL, "You have no such session.");
    if (ended < 0)
        http_reply_error(req, &err);
    else
        http_reply(req, 204, NULL, (struct text){0});
}

static void session_revoke_others(struct http_request *req)
{
    struct error err = {0};
    if (http_query_only(req, &err, NULL) < 0 || end_sessions(req, sql_session_end_others, NULL, &err) < 0)
        http_reply_error(req, &err);
    else
        http_reply(req, 204, NULL, (struct text){0});
}

static void session_get(struct http_request *req)
{
    respond_row(req, sql_session_show, NULL, "session_not_found");
}

static void session_list(struct http_request *req)
{
    respond_list(req, sql_session_list);
}

const struct http_route identity_routes[] = {
    {"POST", "/v1/sessions", NULL, SIGN_IN_BODY_MAX, session_post},
    {"GET", "/v1/sessions", "*", 0, session_list},
    {"DELETE", "/v1/sessions", "*", 0, session_revoke_others},
    {"DELETE", "/v1/sessions/{session}", "*", 0, session_revoke},
    {"GET", "/v1/session", "pending", 0, session_get},
    {"DELETE", "/v1/session", "pending", 0, session_delete},
    {0},
};
