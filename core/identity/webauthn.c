#include "identity/webauthn.h"

#include <cbor.h>
#include <fido.h>
#include <fido/eddsa.h>
#include <fido/es256.h>
#include <fido/rs256.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/crypto.h"

enum { FLAG_PRESENT = 0x01, FLAG_VERIFIED = 0x04, FLAG_BACKED_UP = 0x10, FLAG_KEY = 0x40, TRANSPORTS_MAX = 8, FIELD_MAX = 65536 };

static int invalid(struct error *err, const char *why)
{
    return error_set(err, ERROR_UNPROCESSABLE, "credential_invalid", "/credential", "%s", why);
}

void webauthn_party_of(struct arena *arena, const char *origin, struct webauthn_party *ret)
{
    const char *host = strstr(origin, "://");
    host = host ? host + 3 : origin;
    ret->origin = origin;
    ret->id = arena_copy(arena, host, host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/"));
}

/* --- What the browser sent -------------------------------------------------------------------------------------------- */

static int decoded(struct arena *arena, const json_t *object, const char *name, bool required, struct text *ret, struct error *err)
{
    const json_t *value = json_object_get(object, name);
    struct text text = {json_string_value(value), json_string_length(value)};
    *ret = (struct text){0};
    if (!value || json_is_null(value))
        return required ? invalid(err, "A member of the credential's response is missing.") : 0;
    char *bytes = arena_alloc(arena, text.len + 1);
    int len = json_is_string(value) && text.len <= FIELD_MAX ? base64url_decode(text, bytes, text.len) : -1;
    if (len < 0)
        return invalid(err, "A member of the credential's response is not base64url.");
    *ret = (struct text){bytes, (size_t)len};
    return 0;
}

static int check_client_data(struct arena *arena, const struct webauthn_party *party, const char *type,
                             struct webauthn_response *ret, struct error *err)
{
    json_t *data;
    struct error ignored;
    if (json_parse(arena, ret->client_data, &data, &ignored) < 0 || !json_is_object(data))
        return invalid(err, "The client data are no JSON object.");
    const char *is_type = json_string_value(json_object_get(data, "type"));
    const char *origin = json_string_value(json_object_get(data, "origin"));
    if (!is_type || strcmp(is_type, type) != 0)
        return invalid(err, "The client data are of another ceremony.");
    if (!origin || strcmp(origin, party->origin) != 0)
        return invalid(err, "The client data are of another origin.");
    if (json_is_true(json_object_get(data, "crossOrigin")))
        return invalid(err, "The page stood in another site's frame.");
    if (decoded(arena, data, "challenge", true, &ret->challenge, err) < 0)
        return -1;
    return ret->challenge.len == WEBAUTHN_CHALLENGE_SIZE ? 0 : invalid(err, "The challenge is none of ours.");
}

/* Names of transports, as an array literal; what is no plain word is left out. */
static const char *transports_of(struct arena *arena, const json_t *response)
{
    struct buffer out;
    const json_t *list = json_object_get(response, "transports");
    int count = 0;
    buffer_init(&out, 1024);
    buffer_puts(&out, "{");
    for (size_t i = 0; i < json_array_size(list) && count < TRANSPORTS_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && name[0] && strlen(name) <= 20 && name[strspn(name, "abcdefghijklmnopqrstuvwxyz-")] == '\0')
            buffer_printf(&out, "%s\"%s\"", count++ ? "," : "", name);
    }
    buffer_puts(&out, "}");
    const char *literal = arena_copy(arena, out.p, out.len);
    buffer_finish(&out);
    return literal;
}

int webauthn_response_of(struct arena *arena, const struct webauthn_party *party, const json_t *credential, const char *type,
                         struct webauthn_response *ret, struct error *err)
{
    const json_t *response = json_object_get(credential, "response");
    const char *kind = json_string_value(json_object_get(credential, "type"));
    bool creating = strcmp(type, "webauthn.create") == 0;
    memset(ret, 0, sizeof(*ret));
    if (!json_is_object(response) || !kind || strcmp(kind, "public-key") != 0)
        return invalid(err, "This is no public-key credential.");
    if (decoded(arena, credential, "id", true, &ret->id, err) < 0 ||
        decoded(arena, response, "clientDataJSON", true, &ret->client_data, err) < 0 ||
        decoded(arena, response, "attestationObject", creating, &ret->attestation, err) < 0 ||
        decoded(arena, response, "authenticatorData", !creating, &ret->authenticator_data, err) < 0 ||
        decoded(arena, response, "signature", !creating, &ret->signature, err) < 0 ||
        decoded(arena, response, "userHandle", false, &ret->user_handle, err) < 0 ||
        check_client_data(arena, party, type, ret, err) < 0)
        return -1;
    ret->transports = transports_of(arena, response);
    return 0;
}

/* --- Keys of the three algorithms ------------------------------------------------------------------------------------------ */

/* With `assertion`: did this key sign it. Without: is it a key at all, a point on its curve, a number of its size. */
static bool key_holds(int algorithm, struct text key, const fido_assert_t *assertion)
{
    bool good = false;
    EVP_PKEY *point = NULL;
    if (algorithm == COSE_ES256) {
        es256_pk_t *pk = es256_pk_new();
        good = pk && es256_pk_from_ptr(pk, key.p, key.len) == FIDO_OK && (point = es256_pk_to_EVP_PKEY(pk)) &&
               (!assertion || fido_assert_verify(assertion, 0, algorithm, pk) == FIDO_OK);
        es256_pk_free(&pk);
    } else if (algorithm == COSE_EDDSA) {
        eddsa_pk_t *pk = eddsa_pk_new();
        good = pk && eddsa_pk_from_ptr(pk, key.p, key.len) == FIDO_OK && (point = eddsa_pk_to_EVP_PKEY(pk)) &&
               (!assertion || fido_assert_verify(assertion, 0, algorithm, pk) == FIDO_OK);
        eddsa_pk_free(&pk);
    } else if (algorithm == COSE_RS256) {
        rs256_pk_t *pk = rs256_pk_new();
        good = pk && rs256_pk_from_ptr(pk, key.p, key.len) == FIDO_OK && (point = rs256_pk_to_EVP_PKEY(pk)) &&
               (!assertion || fido_assert_verify(assertion, 0, algorithm, pk) == FIDO_OK);
        rs256_pk_free(&pk);
    }
    EVP_PKEY_free(point);
    return good;
}

/* --- Registering ---------------------------------------------------------------------------------------------------------- */

/* The byte string "authData" of the CBOR map. */
static struct text auth_data_of(struct arena *arena, struct text attestation)
{
    struct cbor_load_result result;
    struct text ret = {0};
    cbor_item_t *item = cbor_load((const unsigned char *)attestation.p, attestation.len, &result);
    if (!item)
        return ret;
    if (result.read == attestation.len && cbor_isa_map(item))
        for (size_t i = 0; i < cbor_map_size(item); i++) {
            const struct cbor_pair *pair = &cbor_map_handle(item)[i];
            if (cbor_isa_string(pair->key) && cbor_string_is_definite(pair->key) && cbor_isa_bytestring(pair->value) &&
                cbor_bytestring_is_definite(pair->value) &&
                text_is((struct text){(const char *)cbor_string_handle(pair->key), cbor_string_length(pair->key)}, "authData"))
                ret = (struct text){arena_copy(arena, (const char *)cbor_bytestring_handle(pair->value),
                                               cbor_bytestring_length(pair->value)),
                                    cbor_bytestring_length(pair->value)};
        }
    cbor_decref(&item);
    return ret;
}

static bool is_ours(const struct webauthn_party *party, struct text auth_data)
{
    uint8_t hash[SHA256_SIZE];
    crypto_sha256(party->id, strlen(party->id), hash);
    return auth_data.len > SHA256_SIZE && crypto_equal(auth_data.p, hash, sizeof(hash));
}

/* libfido2 takes a credential apart only as one of the algorithm that is expected. */
static fido_cred_t *take_apart(struct text auth_data)
{
    static const int algorithms[] = {COSE_ES256, COSE_EDDSA, COSE_RS256};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
        fido_cred_t *cred = fido_cred_new();
        if (cred && fido_cred_set_type(cred, algorithms[i]) == FIDO_OK &&
            fido_cred_set_authdata_raw(cred, (const unsigned char *)auth_data.p, auth_data.len) == FIDO_OK)
            return cred;
        fido_cred_free(&cred);
    }
    return NULL;
}

int webauthn_register(struct arena *arena, const struct webauthn_party *party, const struct webauthn_response *response,
                      struct webauthn_key *ret, struct error *err)
{
    struct text data = auth_data_of(arena, response->attestation);
    if (!is_ours(party, data))
        return invalid(err, "The authenticator data are of another site, or none.");
    fido_cred_t *cred = take_apart(data);
    if (!cred)
        return invalid(err, "The authenticator data hold no key of an algorithm that was asked for.");
    uint8_t flags = fido_cred_flags(cred);
    size_t id_len = fido_cred_id_len(cred), key_len = fido_cred_pubkey_len(cred);
    int rc = 0;
    struct text key = {(const char *)fido_cred_pubkey_ptr(cred), key_len};
    if ((flags & (FLAG_PRESENT | FLAG_KEY)) != (FLAG_PRESENT | FLAG_KEY) || !key.p || !key_holds(fido_cred_type(cred), key, NULL))
        rc = invalid(err, "Nobody was present, or there is no key.");
    else if (id_len < 16 || id_len > WEBAUTHN_CREDENTIAL_MAX || id_len != response->id.len ||
             memcmp(fido_cred_id_ptr(cred), response->id.p, id_len) != 0)
        rc = invalid(err, "The credential's id is not that of the authenticator data.");
    else
        *ret = (struct webauthn_key){
            .algorithm = fido_cred_type(cred),
            .id = {arena_copy(arena, (const char *)fido_cred_id_ptr(cred), id_len), id_len},
            .public_key = {arena_copy(arena, key.p, key.len), key.len},
            .sign_count = fido_cred_sigcount(cred),
            .verified = flags & FLAG_VERIFIED,
            .backed_up = flags & FLAG_BACKED_UP,
        };
    fido_cred_free(&cred);
    return rc;
}

/* --- Asserting -------------------------------------------------------------------------------------------------------------- */

static bool fill(fido_assert_t *assertion, const struct webauthn_party *party, const struct webauthn_response *response,
                 bool must_verify)
{
    struct text data = response->authenticator_data;
    return assertion && fido_assert_set_rp(assertion, party->id) == FIDO_OK && fido_assert_set_count(assertion, 1) == FIDO_OK &&
           fido_assert_set_clientdata(assertion, (const unsigned char *)response->client_data.p, response->client_data.len) ==
               FIDO_OK &&
           fido_assert_set_authdata_raw(assertion, 0, (const unsigned char *)data.p, data.len) == FIDO_OK &&
           fido_assert_set_sig(assertion, 0, (const unsigned char *)response->signature.p, response->signature.len) == FIDO_OK &&
           fido_assert_set_up(assertion, FIDO_OPT_TRUE) == FIDO_OK &&
           fido_assert_set_uv(assertion, must_verify ? FIDO_OPT_TRUE : FIDO_OPT_OMIT) == FIDO_OK;
}

int webauthn_assert(const struct webauthn_party *party, const struct webauthn_response *response, int algorithm,
                    struct text public_key, bool must_verify, uint32_t *ret_sign_count, bool *ret_backed_up, struct error *err)
{
    fido_assert_t *assertion = fido_assert_new();
    bool good = fill(assertion, party, response, must_verify) && key_holds(algorithm, public_key, assertion);
    if (good) {
        *ret_sign_count = fido_assert_sigcount(assertion, 0);
        *ret_backed_up = fido_assert_flags(assertion, 0) & FLAG_BACKED_UP;
    }
    fido_assert_free(&assertion);
    return good ? 0 : invalid(err, "The key did not sign this.");
}
