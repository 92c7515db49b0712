"""An OpenID provider on loopback that can be made to misbehave: what a token says, who signs it, and how."""
import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_int(number, size=None):
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class Key:
    """One that signs: alg is RS256, PS256 or ES256."""

    def __init__(self, alg="RS256", bits=2048):
        self.alg, self.kid = alg, secrets.token_hex(4)
        self.private = (ec.generate_private_key(ec.SECP256R1()) if alg == "ES256"
                        else rsa.generate_private_key(public_exponent=65537, key_size=bits))

    def public(self):
        numbers = self.private.public_key().public_numbers()
        own = ({"kty": "EC", "crv": "P-256", "x": b64_int(numbers.x, 32), "y": b64_int(numbers.y, 32)} if self.alg == "ES256"
               else {"kty": "RSA", "n": b64_int(numbers.n), "e": b64_int(numbers.e)})
        return {**own, "kid": self.kid, "use": "sig", "alg": self.alg}

    def sign(self, claims, **header):
        head = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **header}
        text = ".".join(b64(json.dumps(part).encode()) for part in ({k: v for k, v in head.items() if v is not None}, claims))
        raw = text.encode()
        if self.alg == "ES256":
            r, s = decode_dss_signature(self.private.sign(raw, ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        elif self.alg == "PS256":
            signature = self.private.sign(raw, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        else:
            signature = self.private.sign(raw, padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{b64(signature)}"


class Provider:
    """.issuer; .user are the claims of who signs in; .change(claims) and .forge(token) make the next tokens wrong;
    .document overrides members of the discovery; .asked counts requests by path."""

    def __init__(self, client="overread", secret="s3cret/with:signs"):
        self.client, self.secret = client, secret
        self.keys = [Key()]
        self.user, self.userinfo, self.document, self.answer = {}, {}, {}, {}
        self.change = self.forge = lambda it: it
        self.down = False
        self.asked, self.codes = {}, {}
        self.last_token = None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                provider._get(self)

            def do_POST(self):
                provider._post(self)

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()

    def discovery(self):
        own = {"issuer": self.issuer, "authorization_endpoint": self.issuer + "/authorize", "token_endpoint": self.issuer + "/token",
               "jwks_uri": self.issuer + "/keys", "userinfo_endpoint": self.issuer + "/userinfo",
               "response_types_supported": ["code"], "code_challenge_methods_supported": ["S256"],
               "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
               "token_endpoint_auth_methods_supported": ["client_secret_basic"],
               "authorization_response_iss_parameter_supported": True}
        return {name: value for name, value in {**own, **self.document}.items() if value is not None}

    def claims(self, **more):
        now = int(time.time())
        return {"iss": self.issuer, "aud": self.client, "iat": now, "exp": now + 300, **more}

    def logout_token(self, key=None, header=None, **more):
        claims = {**self.claims(jti=secrets.token_hex(8), events={LOGOUT_EVENT: {}}), **more}
        return (key or self.keys[0]).sign({k: v for k, v in claims.items() if v is not None},
                                          **{"typ": "logout+jwt", **(header or {})})

    # --- What it answers ----------------------------------------------------------------------------------------------

    def _get(self, http):
        path = urlsplit(http.path).path
        self.asked[path] = self.asked.get(path, 0) + 1
        if self.down:
            return self._reply(http, 500, {})
        if path == "/.well-known/openid-configuration":
            return self._reply(http, 200, self.discovery())
        if path == "/keys":
            return self._reply(http, 200, {"keys": [key.public() for key in self.keys]})
        if path == "/userinfo" and http.headers["Authorization"] == "Bearer access-" + self.client:
            return self._reply(http, 200, self.userinfo)
        if path == "/authorize":
            query = dict(parse_qsl(urlsplit(http.path).query))
            code = secrets.token_urlsafe(12)
            self.codes[code] = query
            answer = {"code": code, "state": query["state"], "iss": self.issuer, **self.answer}
            http.send_response(303)
            http.send_header("Location", query["redirect_uri"] + "?" + urlencode({k: v for k, v in answer.items() if v is not None}))
            http.send_header("Content-Length", "0")
            return http.end_headers()
        return self._reply(http, 404, {})

    def _post(self, http):
        self.asked["/token"] = self.asked.get("/token", 0) + 1
        form = dict(parse_qsl(http.rfile.read(int(http.headers["Content-Length"])).decode()))
        query = self.codes.pop(form.get("code"), None)
        if self.down:
            return self._reply(http, 500, {})
        if not self._client_good(http, form):
            return self._reply(http, 401, {"error": "invalid_client"})
        challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        if not query or query["code_challenge"] != challenge or query["code_challenge_method"] != "S256" \
                or form["redirect_uri"] != query["redirect_uri"]:
            return self._reply(http, 400, {"error": "invalid_grant"})
        access = "access-" + self.client
        claims = self.claims(nonce=query["nonce"], at_hash=b64(hashlib.sha256(access.encode()).digest()[:16]), **self.user)
        token = self.forge(self.keys[0].sign(self.change(claims)))
        self.last_token = token
        return self._reply(http, 200, {"access_token": access, "token_type": "Bearer", "id_token": token})

    def _client_good(self, http, form):
        if "client_secret_post" in self.discovery()["token_endpoint_auth_methods_supported"]:
            return form.get("client_id") == self.client and form.get("client_secret") == self.secret
        from urllib.parse import unquote
        kind, _, pair = (http.headers["Authorization"] or "").partition(" ")
        name, _, secret = base64.b64decode(pair).decode().partition(":")
        return kind == "Basic" and (unquote(name), unquote(secret)) == (self.client, self.secret)

    @staticmethod
    def _reply(http, status, body):
        data = json.dumps(body).encode()
        http.send_response(status)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(data)))
        http.end_headers()
        http.wfile.write(data)
