#include "identity/oidc.h"

#include <cjose/cjose.h>
#include <string.h>
#include <strings.h>

#include "base/crypto.h"

enum { RSA_BITS_MIN = 2048, ID_TOKEN_AGE_SECONDS = 900, KEYS_MAX = 100, HEADER_MAX = 4096, PATH_MAX_LEN = 500 };

/* The text of a member, or NULL. */
static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool lists(const json_t *list, const char *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item && strcmp(item, wanted) == 0)
            return true;
    }
    return false;
}

/* --- The provider -------------------------------------------------------------------------------------------------- */

static int unsuitable(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNPROCESSABLE, "provider_unsuitable", "/issuer", "%s", why);
}

static bool same_scheme(const char *endpoint, const char *issuer)
{
    const char *scheme = strncmp(issuer, "http://", 7) == 0 ? "http://" : "https://";
    if (!endpoint || strncmp(endpoint, scheme, strlen(scheme)) != 0 || strlen(endpoint) > 1000)
        return false;
    for (const char *p = endpoint; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '#' || *p == '"' || *p == '\\')
            return false;
    return true;
}

const char *oidc_discovery_url(struct arena *arena, const char *issuer)
{
    size_t len = strlen(issuer);
    while (len && issuer[len - 1] == '/')
        len--;
    return arena_printf(arena, "%.*s/.well-known/openid-configuration", (int)len, issuer);
}

/* A provider that does not list the methods of PKCE is asked with S256 all the same: some do it and do not say so. */
static const char *lacks(const json_t *document)
{
    const json_t *pkce = json_object_get(document, "code_challenge_methods_supported");
    const json_t *algorithms = json_object_get(document, "id_token_signing_alg_values_supported");
    if (!lists(json_object_get(document, "response_types_supported"), "code"))
        return "The provider does not offer the authorization code flow.";
    if (pkce && !lists(pkce, "S256"))
        return "The provider does not offer PKCE with S256.";
    if (algorithms && !lists(algorithms, "RS256") && !lists(algorithms, "PS256") && !lists(algorithms, "ES256"))
        return "The provider signs with none of RS256, PS256 and ES256.";
    return NULL;
}

int oidc_provider_from(const json_t *document, const char *issuer, struct oidc_provider *ret, struct error *err)
{
    const char *said = member(document, "issuer");
    const json_t *methods = json_object_get(document, "token_endpoint_auth_methods_supported");
    if (!said || strcmp(said, issuer) != 0)
        return unsuitable(err, "The provider's own document names another issuer.");
    *ret = (struct oidc_provider){
        .issuer = said,
        .authorization_endpoint = member(document, "authorization_endpoint"),
        .token_endpoint = member(document, "token_endpoint"),
        .jwks_uri = member(document, "jwks_uri"),
        .userinfo_endpoint = member(document, "userinfo_endpoint"),
        .says_iss = json_is_true(json_object_get(document, "authorization_response_iss_parameter_supported")),
        .secret_in_body = methods && !lists(methods, "client_secret_basic"),
    };
    if (!same_scheme(ret->authorization_endpoint, issuer) || !same_scheme(ret->token_endpoint, issuer) ||
        !same_scheme(ret->jwks_uri, issuer) || (ret->userinfo_endpoint && !same_scheme(ret->userinfo_endpoint, issuer)))
        return unsuitable(err, "The provider's document lacks an endpoint, or one is no https URL.");
    if (ret->secret_in_body && !lists(methods, "client_secret_post"))
        return unsuitable(err, "The provider takes a client's secret neither by client_secret_basic nor by client_secret_post.");
    const char *why = lacks(document);
    return why ? unsuitable(err, why) : 0;
}

/* May this key have signed with this algorithm? */
static bool key_fits(const json_t *key, const char *algorithm)
{
    const char *kty = member(key, "kty"), *use = member(key, "use"), *alg = member(key, "alg"), *crv = member(key, "crv");
    if (!kty || (use && strcmp(use, "sig") != 0) || (alg && strcmp(alg, algorithm) != 0))
        return false;
    if (strcmp(algorithm, "ES256") == 0)
        return strcmp(kty, "EC") == 0 && crv && strcmp(crv, "P-256") == 0;
    return strcmp(kty, "RSA") == 0;
}

static const char *const algorithms[] = {"RS256", "PS256", "ES256"};
enum { ALGORITHMS = sizeof(algorithms) / sizeof(*algorithms) };

int oidc_keys_check(const json_t *keys, struct error *err)
{
    const json_t *list = json_object_get(keys, "keys");
    if (json_array_size(list) > KEYS_MAX)
        return unsuitable(err, "The provider publishes too many keys.");
    for (size_t i = 0; i < json_array_size(list); i++)
        for (int a = 0; a < ALGORITHMS; a++)
            if (key_fits(json_array_get(list, i), algorithms[a]))
                return 0;
    return unsuitable(err, "The provider publishes no key that signs with RS256, PS256 or ES256.");
}

/* --- What is asked --------------------------------------------------------------------------------------------------- */

const char *oidc_escape(struct arena *arena, struct text raw)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, raw.len * 3 + 1), *to = out;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c))) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        }
    }
    return out;
}

const char *oidc_authorization_url(struct arena *arena, const struct oidc_provider *provider, const struct oidc_request *request)
{
    uint8_t hash[SHA256_SIZE];
    char challenge[(SHA256_SIZE * 4 + 2) / 3 + 1];
    const char *endpoint = provider->authorization_endpoint;
    crypto_sha256(request->verifier, strlen(request->verifier), hash);
    base64url_encode(hash, sizeof(hash), challenge);
    return arena_printf(arena,
                        "%s%cresponse_type=code&scope=openid%%20email%%20profile&client_id=%s&redirect_uri=%s&state=%s&nonce=%s"
                        "&code_challenge=%s&code_challenge_method=S256",
                        endpoint, strchr(endpoint, '?') ? '&' : '?', oidc_escape(arena, text_of(request->client_id)),
                        oidc_escape(arena, text_of(request->redirect_uri)), request->state, request->nonce, challenge);
}

/* Browsers read "//host" and "/\host" as another site's, and drop tabs and line ends before they look. */
bool oidc_return_path_good(struct text path)
{
    if (path.len == 0 || path.len > PATH_MAX_LEN || path.p[0] != '/' || (path.len > 1 && path.p[1] == '/'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '\\' || path.p[i] == '"' || path.p[i] == '<')
            return false;
    return true;
}

/* --- Signatures ------------------------------------------------------------------------------------------------------- */

static int bad_token(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNPROCESSABLE, "bad_token", NULL, "%s", why);
}

static void release_key(void *key)
{
    cjose_jwk_release(key);
}

static void release_token(void *token)
{
    cjose_jws_release(token);
}

/* The header as we read it, strictly: libcjose's reader is more patient. */
static int read_header(struct arena *arena, struct text token, const char *type, json_t **ret, struct error *err)
{
    const char *dot = memchr(token.p, '.', token.len);
    char *bytes = arena_alloc(arena, HEADER_MAX);
    int len = dot ? base64url_decode((struct text){token.p, (size_t)(dot - token.p)}, bytes, HEADER_MAX) : -1;
    if (len < 0 || json_parse(arena, (struct text){bytes, (size_t)len}, ret, NULL) < 0 || !json_is_object(*ret))
        return bad_token(err, "It is no signed token.");
    const char *typ = member(*ret, "typ");
    if (json_object_get(*ret, "crit") || json_object_get(*ret, "b64"))
        return bad_token(err, "Its header wants what we do not know.");
    if (json_object_get(*ret, "typ") && (!typ || (strcasecmp(typ, "JWT") != 0 && !(type && strcasecmp(typ, type) == 0))))
        return bad_token(err, "It is a token of another type.");
    return 0;
}

static const char *known_algorithm(const json_t *header)
{
    const char *alg = member(header, "alg");
    for (int i = 0; alg && i < ALGORITHMS; i++)
        if (strcmp(alg, algorithms[i]) == 0)
            return algorithms[i];
    return NULL;
}

/* The key that the header names, or the only one that fits when it names none. NULL: there is none. */
static json_t *choose_key(const json_t *keys, const char *kid, const char *algorithm)
{
    const json_t *list = json_object_get(keys, "keys");
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *key = json_array_get(list, i);
        const char *own = member(key, "kid");
        if (!key_fits(key, algorithm) || (kid && (!own || strcmp(own, kid) != 0)))
            continue;
        if (found)
            return NULL; /* which one would be a guess */
        found = key;
    }
    return found;
}

static bool signature_good(struct arena *arena, struct text token, json_t *key, struct text *ret_payload)
{
    cjose_err ignored;
    uint8_t *plain;
    size_t len;
    cjose_jwk_t *jwk = cjose_jwk_import_json(key, &ignored);
    if (!jwk)
        return false;
    arena_defer(arena, release_key, jwk);
    if (cjose_jwk_get_kty(jwk, &ignored) == CJOSE_JWK_KTY_RSA && cjose_jwk_get_keysize(jwk, &ignored) < RSA_BITS_MIN)
        return false;
    cjose_jws_t *jws = cjose_jws_import(token.p, token.len, &ignored);
    if (!jws)
        return false;
    arena_defer(arena, release_token, jws);
    if (!cjose_jws_verify(jws, jwk, &ignored) || !cjose_jws_get_plaintext(jws, &plain, &len, &ignored))
        return false;
    *ret_payload = (struct text){arena_copy(arena, plain, len), len};
    return true;
}

int oidc_token_open(struct arena *arena, const json_t *keys, struct text token, const char *type, json_t **ret_claims,
                    struct error *err)
{
    json_t *header, *claims;
    struct text payload;
    if (token.len > OIDC_TOKEN_MAX)
        return bad_token(err, "It is too long.");
    if (read_header(arena, token, type, &header, err) < 0)
        return -1;
    const char *algorithm = known_algorithm(header), *kid = member(header, "kid");
    if (!algorithm)
        return bad_token(err, "It is signed by none of RS256, PS256 and ES256.");
    if (json_object_get(header, "kid") && !kid)
        return bad_token(err, "Its kid is no text.");
    json_t *key = choose_key(keys, kid, algorithm);
    if (!key)
        return error_set(err, ERROR_UNPROCESSABLE, "unknown_key", NULL, "No key of the provider is the one that signed it.");
    if (!signature_good(arena, token, key, &payload))
        return bad_token(err, "Its signature is not the provider's.");
    if (json_parse(arena, payload, &claims, NULL) < 0 || !json_is_object(claims))
        return bad_token(err, "It holds no claims.");
    *ret_claims = claims;
    return 0;
}

/* --- Claims ---------------------------------------------------------------------------------------------------------- */

static bool text_claim_is(const json_t *claims, const char *name, const char *wanted)
{
    const char *got = member(claims, name);
    return got && strlen(got) == strlen(wanted) && crypto_equal(got, wanted, strlen(wanted));
}

static bool seconds_claim(const json_t *claims, const char *name, int64_t *ret)
{
    const json_t *value = json_object_get(claims, name);
    if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) > 1e12)
        return false;
    *ret = (int64_t)json_number_value(value);
    return true;
}

/* One audience, which is us: a token that is for others too might be replayed by them. */
static bool for_us(const json_t *claims, const char *client_id)
{
    const json_t *aud = json_object_get(claims, "aud"), *azp = json_object_get(claims, "azp");
    if (json_is_array(aud))
        aud = json_array_size(aud) == 1 ? json_array_get(aud, 0) : NULL;
    const char *audience = json_string_value(aud);
    return audience && strcmp(audience, client_id) == 0 && (!azp || text_claim_is(claims, "azp", client_id));
}

static bool sub_good(const json_t *claims)
{
    const char *sub = member(claims, "sub");
    return sub && sub[0] && strlen(sub) <= OIDC_SUB_MAX;
}

static int check_common(const json_t *claims, const struct oidc_expected *expected, bool needs_exp, struct error *err)
{
    int64_t at;
    if (!text_claim_is(claims, "iss", expected->issuer))
        return bad_token(err, "Its issuer is another.");
    if (!for_us(claims, expected->client_id))
        return bad_token(err, "It is not for this client, or not for it alone.");
    if (!seconds_claim(claims, "iat", &at) || at > expected->now + OIDC_LEEWAY_SECONDS || at < expected->now - ID_TOKEN_AGE_SECONDS)
        return bad_token(err, "It was not issued now.");
    if ((needs_exp || json_object_get(claims, "exp")) &&
        (!seconds_claim(claims, "exp", &at) || at <= expected->now - OIDC_LEEWAY_SECONDS))
        return bad_token(err, "It has expired.");
    if (json_object_get(claims, "nbf") && (!seconds_claim(claims, "nbf", &at) || at > expected->now + OIDC_LEEWAY_SECONDS))
        return bad_token(err, "It is not good yet.");
    return 0;
}

/* All three algorithms hash with SHA-256: at_hash is the left half of the access token's. */
static bool at_hash_good(const json_t *claims, const char *access_token)
{
    uint8_t hash[SHA256_SIZE];
    char half[(SHA256_SIZE / 2 * 4 + 2) / 3 + 1];
    if (!json_object_get(claims, "at_hash"))
        return true;
    if (!access_token)
        return false;
    crypto_sha256(access_token, strlen(access_token), hash);
    base64url_encode(hash, SHA256_SIZE / 2, half);
    return text_claim_is(claims, "at_hash", half);
}

int oidc_id_token_check(const json_t *claims, const struct oidc_expected *expected, struct error *err)
{
    if (check_common(claims, expected, true, err) < 0)
        return -1;
    if (!text_claim_is(claims, "nonce", expected->nonce))
        return bad_token(err, "Its nonce is another.");
    if (!sub_good(claims))
        return bad_token(err, "It names nobody.");
    if (!at_hash_good(claims, expected->access_token))
        return bad_token(err, "It came with another access token.");
    return 0;
}

int oidc_logout_token_check(const json_t *claims, const struct oidc_expected *expected, struct error *err)
{
    const json_t *events = json_object_get(claims, "events"), *sid = json_object_get(claims, "sid");
    const char *jti = member(claims, "jti");
    if (check_common(claims, expected, false, err) < 0)
        return -1;
    if (!json_is_object(json_object_get(events, "http://schemas.openid.net/event/backchannel-logout")))
        return bad_token(err, "It is no logout token.");
    if (json_object_get(claims, "nonce"))
        return bad_token(err, "A logout token has no nonce.");
    if (!jti || !jti[0])
        return bad_token(err, "It has no jti.");
    if ((json_object_get(claims, "sub") && !sub_good(claims)) || (sid && !json_is_string(sid)) ||
        (!sid && !json_object_get(claims, "sub")))
        return bad_token(err, "It names neither a session nor a person.");
    return 0;
}
