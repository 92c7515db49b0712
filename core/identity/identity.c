#include "identity/identity.h"

#include <string.h>

#include "base/log.h"
#include "identity/email.h"
#include "identity/identity_http.h"
#include "identity/password.h"
#include "identity/identity_sql.h"

static const struct config *config;
static struct thread_pool *pool;

void identity_init(const struct config *settings, struct thread_pool *passwords)
{
    config = settings;
    pool = passwords;
}

bool identity_cookie_secure(void)
{
    return config->cookie_secure;
}

const char *identity_origin(void)
{
    return config->public_url;
}

const char *identity_cookie_name(void)
{
    return config->cookie_secure ? "__Host-overread" : "overread";
}

/* A browser sends the cookie by itself, so that the request must also show that our own page made it. */
static int check_same_origin(struct http_request *req, struct error *err)
{
    struct text method = http_method(req), origin, mark;
    if (text_is(method, "GET") || text_is(method, "HEAD"))
        return 0;
    if (!http_header(req, "origin", &origin) || !text_is(origin, config->public_url) ||
        !http_header(req, "x-overread", &mark))
        return error_set(err, ERROR_FORBIDDEN, "cross_origin", "Origin",
                         "A request with the session cookie needs this site's Origin and an X-Overread header.");
    return 0;
}

/* What a program's token must be good for: "cases:read" behind the roles. A session's token has no scopes. */
static const char *need_of(struct http_request *req, struct text token)
{
    const struct http_route *route = http_route(req);
    struct text method = http_method(req);
    if (!text_starts(token, IDENTITY_TOKEN_PREFIX) || !route->roles)
        return route->roles;
    const char *area = route->path + strlen("/v1/");
    bool reads = text_is(method, "GET") || text_is(method, "HEAD");
    return arena_printf(http_arena(req), "%s %.*s:%s", route->roles, (int)strcspn(area, "/"), area, reads ? "read" : "write");
}

int identity_scope(struct http_request *req, struct db_scope *ret, struct error *err)
{
    struct text header, token;
    if (http_header(req, "authorization", &header)) {
        if (!text_starts(header, "Bearer ") && !text_starts(header, "bearer "))
            return error_set(err, ERROR_UNAUTHENTICATED, "bearer_expected", "Authorization",
                             "The Authorization header must be: Bearer, a blank, the token.");
        token = (struct text){header.p + 7, header.len - 7};
    } else if (http_cookie(req, identity_cookie_name(), &token)) {
        if (check_same_origin(req, err) < 0)
            return -1;
    } else {
        return error_set(err, ERROR_UNAUTHENTICATED, "session_required", NULL,
                         "Sign in with POST /v1/sessions and send the token as Authorization: Bearer.");
    }
    char *hash = arena_alloc(http_arena(req), SHA256_HEX_SIZE);
    crypto_sha256_hex(token.p, token.len, hash);
    *ret = (struct db_scope){
        .arena = http_arena(req),
        .as = DB_AS_SESSION,
        .credential = hash,
        .need = need_of(req, token),
        .gone = http_gone,
        .gone_arg = req,
    };
    return 0;
}

int identity_guard(struct http_request *req, struct error *err)
{
    struct db_scope scope;
    return identity_scope(req, &scope, err);
}

/* --- Passwords on worker threads ----------------------------------------------------------------------------------- */

struct password_work {
    const char *phc, *password;
    bool matches, outdated;
    char rehashed[PASSWORD_PHC_SIZE];
};

static void verify(void *arg)
{
    struct password_work *work = arg;
    work->matches = password_matches(work->phc, work->password);
    if (work->matches && password_is_outdated(work->phc))
        work->outdated = password_hash(work->password, work->rehashed, NULL) == 0;
}

struct hash_work {
    const char *password;
    const struct password_about *about;
    char *phc;
    int rc;
    struct error err;
};

static void judge_and_hash(void *arg)
{
    struct hash_work *work = arg;
    work->rc = password_acceptable(work->password, work->about, &work->err);
    if (work->rc == 0)
        work->rc = password_hash(work->password, work->phc, &work->err);
}

int identity_password_new(const char *password, const struct password_about *about, char ret[IDENTITY_PHC_SIZE],
                          struct error *err)
{
    _Static_assert(IDENTITY_PHC_SIZE == PASSWORD_PHC_SIZE, "one size");
    struct hash_work work = {.password = password, .about = about, .phc = ret};
    if (thread_pool_run(pool, judge_and_hash, &work, err) < 0)
        return -1;
    if (work.rc < 0 && err)
        *err = work.err;
    return work.rc;
}

int identity_password_verify(const char *phc, const char *password, bool *ret, struct error *err)
{
    struct password_work work = {.phc = phc, .password = password};
    if (thread_pool_run(pool, verify, &work, err) < 0)
        return -1;
    *ret = work.matches;
    return 0;
}

struct session_ids {
    char session[UUID_SIZE], token_hash[SHA256_HEX_SIZE];
};

static struct session_ids session_ids_of(const char *token)
{
    struct session_ids ids;
    uuid_v7(ids.session);
    crypto_sha256_hex(token, strlen(token), ids.token_hash);
    return ids;
}

/* The same error for an unknown address, a wrong password and a foreign tenant. */
static int sign_in_failed(const char *person, struct error *err)
{
    log_line(LOG_LEVEL_WARNING, "sign_in_failed", "person", person, NULL); /* "": nobody of that address */
    return error_set(err, ERROR_UNAUTHENTICATED, "sign_in_failed", NULL,
                     "The e-mail address, the password or the tenant is not right.");
}

int identity_sign_in(struct db_scope *scope, const struct sign_in *in, const char *token, struct text *ret,
                     struct error *err)
{
    const struct db_result *found;
    if (db_run(scope, sql_login_lookup, (const char *const[]){in->email}, &found, err) < 0)
        return -1;
    const char *person = db_string(found, 0, 0);
    struct password_work work = {.phc = db_string(found, 0, 1), .password = in->password};
    if (thread_pool_run(pool, verify, &work, err) < 0)
        return -1;
    if (!work.matches)
        return sign_in_failed(person, err);
    const struct db_result *done;
    if (work.outdated) {
        if (db_run(scope, sql_password_rehash, (const char *const[]){person, work.phc, work.rehashed}, &done, err) < 0)
            return -1;
        if (!db_bool(done, 0, 0)) /* somebody else did, or changed the password: with what there is now */
            return identity_sign_in(scope, in, token, ret, err);
    }
    struct session_ids made = session_ids_of(token);
    const char *const params[] = {person,   work.outdated ? work.rehashed : work.phc, in->tenant, made.session, made.token_hash,
                                  in->client};
    if (db_run(scope, sql_session_open_by_password, params, &done, err) < 0)
        return -1;
    *ret = db_text(done, 0, 0);
    return 0;
}

int identity_session_open(struct db_scope *scope, const char *person, const char *tenant, const char *client,
                          const char *methods, const char *token, struct text *ret, struct error *err)
{
    const struct db_result *done;
    struct session_ids made = session_ids_of(token);
    const char *const params[] = {person, tenant, made.session, made.token_hash, client, methods};
    if (db_run(scope, sql_session_open, params, &done, err) < 0)
        return -1;
    *ret = db_text(done, 0, 0);
    return 0;
}

int identity_person_add(struct db_session *admin, struct arena *arena, const char *email, const char *name,
                        const char *password, const char **ret_id, struct error *err)
{
    char id[UUID_SIZE], phc[PASSWORD_PHC_SIZE];
    const struct db_result *res;
    const struct password_about about = {.words = arena_printf(arena, "%s %s", email, name)};
    if (email_normal(arena, email, &email, "email", err) < 0)
        return -1;
    if (password && (password_acceptable(password, &about, err) < 0 || password_hash(password, phc, err) < 0))
        return -1;
    uuid_v7(id);
    if (db_session_run(admin, arena, sql_person_upsert, (const char *const[]){id, email, name}, &res, err) < 0)
        return -1;
    *ret_id = db_string(res, 0, 0);
    if (password)
        return db_session_run(admin, arena, sql_password_put, (const char *const[]){*ret_id, phc}, &res, err);
    return 0;
}
