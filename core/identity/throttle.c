#include "identity/throttle.h"

#include <arpa/inet.h>
#include <string.h>

#include "identity/accounts_sql.h"

enum { NETWORK_BYTES = 8, KEY_MAX = 1024, ARRAY_MAX = 8192 };

const char *throttle_network(struct arena *arena, struct text address)
{
    struct in6_addr in6;
    char text[INET6_ADDRSTRLEN];
    const char *whole = arena_copy(arena, address.p, address.len);
    if (inet_pton(AF_INET6, whole, &in6) != 1)
        return whole;
    if (IN6_IS_ADDR_V4MAPPED(&in6)) {
        inet_ntop(AF_INET, &in6.s6_addr[12], text, sizeof(text));
        return arena_strdup(arena, text);
    }
    memset(in6.s6_addr + NETWORK_BYTES, 0, sizeof(in6.s6_addr) - NETWORK_BYTES);
    inet_ntop(AF_INET6, &in6, text, sizeof(text));
    return arena_printf(arena, "%s/64", text);
}

const char *throttle_client(struct http_request *req)
{
    return throttle_network(http_arena(req), http_peer(req));
}

/* A PostgreSQL array of texts. Elements are quoted, but NULL. */
static const char *array_of(struct arena *arena, const struct throttle_key keys[], bool kinds)
{
    struct buffer out;
    buffer_init(&out, ARRAY_MAX);
    buffer_puts(&out, "{");
    for (int i = 0; keys[i].kind; i++) {
        const char *s = kinds ? keys[i].kind : keys[i].key;
        buffer_puts(&out, i ? "," : "");
        if (!s) {
            buffer_puts(&out, "NULL");
            continue;
        }
        buffer_puts(&out, "\"");
        for (size_t n = 0; s[n] && n < KEY_MAX; n++) {
            if (s[n] == '"' || s[n] == '\\')
                buffer_puts(&out, "\\");
            buffer_add(&out, &s[n], 1);
        }
        buffer_puts(&out, "\"");
    }
    buffer_puts(&out, "}");
    const char *array = arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    return array;
}

static int run(struct db_scope *scope, const struct db_statement *statement, const struct throttle_key keys[],
               const struct db_result **ret, struct error *err)
{
    const char *const params[] = {array_of(scope->arena, keys, true), array_of(scope->arena, keys, false)};
    return db_run(scope, statement, params, ret, err);
}

int throttle_take(struct http_request *req, struct db_scope *scope, const struct throttle_key keys[], struct error *err)
{
    const struct db_result *res;
    if (run(scope, sql_throttle_take, keys, &res, err) < 0)
        return -1;
    http_header_add(req, "ratelimit", db_string(res, 0, 1));
    http_header_add(req, "ratelimit-policy", db_string(res, 0, 2));
    int64_t wait = db_int(res, 0, 0);
    if (wait == 0)
        return 0;
    error_set(err, ERROR_TOO_MANY, "too_many_attempts", NULL,
              "That was tried too often. Wait %lld seconds before the next attempt.", (long long)wait);
    err->retry_after = (unsigned)wait;
    return -1;
}

int throttle_forgive(struct db_scope *scope, const struct throttle_key keys[], struct error *err)
{
    const struct db_result *res;
    return run(scope, sql_throttle_forgive, keys, &res, err);
}
