"""A security key in software: what a browser would send of it. Debian's python3-cryptography signs; CBOR (RFC 8949) is written
here, for an authenticator that lies must be able to write it wrongly."""
import base64
import hashlib
import json
import secrets
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def cbor(value):
    def head(major, number):
        for size, code in ((24, None), (1 << 8, ">B"), (1 << 16, ">H"), (1 << 32, ">I")):
            if number < size:
                extra = b"" if code is None else struct.pack(code, number)
                return bytes([major << 5 | (number if code is None else {">B": 24, ">H": 25, ">I": 26}[code])]) + extra
        raise ValueError(number)

    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())
    raise TypeError(value)


class Authenticator:
    """Every ceremony's parts may be overridden by name: origin, rp_id, type, flags, challenge, count, user_handle, ..."""

    PRESENT, VERIFIED, ELIGIBLE, BACKED_UP, KEY = 0x01, 0x04, 0x08, 0x10, 0x40

    def __init__(self, origin, algorithm=-7, counts=True):
        self.origin, self.rp_id = origin, origin.split("://")[1].split(":")[0]
        self.algorithm, self.id, self.count, self.counts = algorithm, secrets.token_bytes(32), 0, counts
        self.user_handle = None
        if algorithm == -7:
            self.key = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == -8:
            self.key = ed25519.Ed25519PrivateKey.generate()
        else:
            self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def cose(self):
        public = self.key.public_key()
        if self.algorithm == -7:
            numbers = public.public_numbers()
            return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        if self.algorithm == -8:
            from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes(Encoding.Raw, PublicFormat.Raw)}
        numbers = public.public_numbers()
        return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}

    def sign(self, message):
        if self.algorithm == -7:
            return self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        if self.algorithm == -8:
            return self.key.sign(message)
        return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())

    def client_data(self, kind, options, **lie):
        data = {"type": kind, "challenge": options["publicKey"]["challenge"], "origin": self.origin, "crossOrigin": False}
        data.update({name: lie[name] for name in ("type", "challenge", "origin", "crossOrigin") if name in lie})
        return json.dumps(data).encode()

    def auth_data(self, usual, tail=b"", **lie):
        self.count += 1 if self.counts else 0
        count = lie.get("count", self.count)
        return (hashlib.sha256(lie.get("rp_id", self.rp_id).encode()).digest() + bytes([lie.get("flags", usual)])
                + struct.pack(">I", count) + tail)

    def create(self, options, verified=True, **lie):
        self.user_handle = unb64(options["publicKey"]["user"]["id"])
        data = self.client_data("webauthn.create", options, **lie)
        credential = lie.get("credential_id", self.id)
        flags = self.PRESENT | self.KEY | (self.VERIFIED if verified else 0)
        tail = bytes(16) + struct.pack(">H", len(credential)) + credential + lie.get("cose", cbor(self.cose()))
        attestation = cbor({"fmt": "none", "attStmt": {}, "authData": self.auth_data(flags, tail, **lie)})
        return {"id": b64(lie.get("id", self.id)), "rawId": b64(self.id), "type": "public-key", "clientExtensionResults": {},
                "response": {"clientDataJSON": b64(data), "attestationObject": b64(lie.get("attestation", attestation)),
                             "transports": ["usb", "nfc"]}}

    def get(self, options, verified=True, handle=True, **lie):
        data = self.client_data("webauthn.get", options, **lie)
        auth = self.auth_data(self.PRESENT | (self.VERIFIED if verified else 0), **lie)
        signature = lie.get("signature", self.sign(auth + hashlib.sha256(data).digest()))
        user = lie.get("user_handle", self.user_handle)
        return {"id": b64(lie.get("id", self.id)), "rawId": b64(self.id), "type": "public-key", "clientExtensionResults": {},
                "response": {"clientDataJSON": b64(data), "authenticatorData": b64(auth), "signature": b64(signature),
                             **({"userHandle": b64(user)} if handle else {})}}
