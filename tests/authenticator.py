"""An authenticator in software, and the browser around it: answers WebAuthn's questions as real ones do, or wrongly on purpose."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.cose import ES256, RS256, EdDSA
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import CollectedClientData

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
AT, UP, UV, BE, BS = 0x40, 0x01, 0x04, 0x08, 0x10


def new_key(kind: str) -> Key:
    """A private key for one of the algorithms."""
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048) if kind == "RS256" else ec.generate_private_key(ec.SECP256R1())


def cose(key: Key) -> dict[int, Any]:
    """Its public key."""
    public = key.public_key()
    kind = ES256 if isinstance(key, ec.EllipticCurvePrivateKey) else EdDSA if isinstance(key, ed25519.Ed25519PrivateKey) else RS256
    return dict(kind.from_cryptography_key(public))


def signature(key: Key, over: bytes) -> bytes:
    """Of the key's own algorithm."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(over, ec.ECDSA(SHA256()))
    return key.sign(over) if isinstance(key, ed25519.Ed25519PrivateKey) else key.sign(over, padding.PKCS1v15(), SHA256())


@dataclass
class Authenticator:
    """Holds one credential, made anew by each `create`. Its fields say what it answers: change one to have it lie."""

    origin: str
    host: str
    key: Key = field(default_factory=lambda: new_key("ES256"))
    ident: bytes = field(default_factory=lambda: os.urandom(32))
    handle: bytes | None = None
    count: int = 0
    step: int = 1
    """How far the counter moves with each answer."""
    flags: int = UP | UV
    aaguid: bytes = bytes(range(16))
    client: dict[str, Any] = field(default_factory=dict)
    """What the browser says otherwise."""
    public: dict[int, Any] | None = None
    """The public key that it tells instead of its own."""

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`, as its `toJSON()` is."""
        self.handle = websafe_decode(options["user"]["id"])
        self.count += self.step
        attested = bytes(self.aaguid + len(self.ident).to_bytes(2, "big") + self.ident + cbor.encode(self.public or cose(self.key)))
        told = self._said(AT, attested)
        statement = cbor.encode({"fmt": "none", "attStmt": {}, "authData": told})
        return self._answer({"clientDataJSON": self._client("webauthn.create", options), "attestationObject": statement})

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `navigator.credentials.get`."""
        self.count += self.step
        client, told = self._client("webauthn.get", options), self._said(0, b"")
        signed = signature(self.key, told + hashlib.sha256(client).digest())
        parts = {"clientDataJSON": client, "authenticatorData": told, "signature": signed}
        return self._answer(parts | ({} if self.handle is None else {"userHandle": self.handle}))

    def _said(self, more: int, attested: bytes) -> bytes:
        hashed = hashlib.sha256(self.host.encode()).digest()
        return hashed + bytes([self.flags | more]) + self.count.to_bytes(4, "big") + attested

    def _client(self, kind: str, options: Mapping[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False} | self.client
        return bytes(
            CollectedClientData.create(told.pop("type"), told.pop("challenge"), told.pop("origin"), told.pop("crossOrigin"), **told)
        )

    def _answer(self, response: Mapping[str, bytes]) -> dict[str, Any]:
        ident = websafe_encode(self.ident)
        told = {part: websafe_encode(value) for part, value in response.items()}
        return {"id": ident, "rawId": ident, "type": "public-key", "response": told, "clientExtensionResults": {}}
