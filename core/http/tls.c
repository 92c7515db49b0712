#include "http/http_internal.h"

#include <openssl/err.h>

static SSL_CTX *fail(SSL_CTX *tls, struct error *err, const char *what, const char *file)
{
    char reason[160];

    ERR_error_string_n(ERR_get_error(), reason, sizeof(reason));
    ERR_clear_error();
    error_set(err, ERROR_INTERNAL, "tls_unusable", what, "The TLS %s \"%s\" cannot be used: %s.", what, file,
              reason);
    SSL_CTX_free(tls);
    return NULL;
}

SSL_CTX *tls_create(const char *certificate, const char *key, bool http2, struct error *err)
{
    static char http1_name[] = "http/1.1", http2_name[] = "h2"; /* libh2o's vectors are not const */
    static const h2o_iovec_t HTTP1[] = {{http1_name, sizeof(http1_name) - 1}, {NULL, 0}};
    static const h2o_iovec_t HTTP2[] = {
        {http2_name, sizeof(http2_name) - 1}, {http1_name, sizeof(http1_name) - 1}, {NULL, 0}};
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION))
        return fail(tls, err, "library", OPENSSL_VERSION_TEXT);
    SSL_CTX_set_options(tls,
                        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1)
        return fail(tls, err, "certificate", certificate);
    if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(tls) != 1)
        return fail(tls, err, "key", key);
    h2o_ssl_register_alpn_protocols(tls, http2 ? HTTP2 : HTTP1);
    return tls;
}
