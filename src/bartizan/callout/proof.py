"""Proofs of possession, checked as RFC 9449, section 4.3, says. Pure but for the clock that is handed in."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

LASTS_S = 60.0
"""How old a proof may be."""
SKEW_S = 30.0
"""How far in the future it may be made: clocks differ."""
ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
_LONGEST = 8192
_SHORTEST_RSA = 2048
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_PORTS = {"http": 80, "https": 443}


class BadProof(Exception):
    """Why a proof doesn't count. Nothing of the token is in it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proof has to be for."""

    method: str
    url: str
    token: str
    thumbprint: str
    """Of the key that the token is bound to: `cnf.jkt`."""
    now: float


@dataclass(frozen=True, slots=True)
class Proof:
    """A good one, which counts once."""

    id: bytes
    """It is this one alone: of its key and its `jti`."""
    made: float
    nonce: str


def checked(text: str, asked: Asked) -> Proof:
    """The proof, if it is one for this request. BadProof if not."""
    if len(text) > _LONGEST:
        raise BadProof("it is too long")
    key, algorithm, thumbprint = _key(text.partition(".")[0])
    if not asked.thumbprint or thumbprint != asked.thumbprint:
        raise BadProof("the token is bound to another key")
    claims = _claims(text, key, algorithm)
    jti, made, nonce = claims.get("jti"), claims.get("iat"), claims.get("nonce", "")
    if not isinstance(jti, str) or not 0 < len(jti) <= 512 or not isinstance(nonce, str):
        raise BadProof("its jti or nonce is no text")
    if isinstance(made, bool) or not isinstance(made, int | float) or not asked.now - LASTS_S <= made <= asked.now + SKEW_S:
        raise BadProof("it isn't of now")
    if claims.get("htm") != asked.method:
        raise BadProof("it is for another method")
    if not isinstance(url := claims.get("htu"), str) or _plain(url) != _plain(asked.url):
        raise BadProof("it is for another URL")
    if claims.get("ath") != _encoded(hashlib.sha256(asked.token.encode()).digest()):
        raise BadProof("it is for another token")
    return Proof(hashlib.sha256(f"{asked.thumbprint}\0{jti}".encode()).digest()[:16], float(made), nonce)


@functools.lru_cache(maxsize=4096)  # a client's proofs all begin alike
def _key(first: str) -> tuple[Any, str, str]:
    """The key, the algorithm and the key's thumbprint out of the first part of a proof."""
    try:
        header = jwt.get_unverified_header(f"{first}.e30.")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadProof("it is no JWS") from None
    jwk, algorithm = header.get("jwk"), header.get("alg")
    if header.get("typ") != "dpop+jwt" or algorithm not in ALGORITHMS or "crit" in header:
        raise BadProof("its header isn't that of a proof")
    if not isinstance(jwk, dict) or _PRIVATE & jwk.keys() or jwk.get("kty") not in _MEMBERS:
        raise BadProof("it holds no public key")
    try:
        key = jwt.PyJWK(jwk, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise BadProof("it holds no public key") from None
    if isinstance(key, RSAPublicKey) and key.key_size < _SHORTEST_RSA:
        raise BadProof("its key is too short")
    return key, str(algorithm), thumbprint_of(jwk)


def _claims(text: str, key: Any, algorithm: str) -> Mapping[str, Any]:
    none = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        return dict(jwt.decode(text, key, algorithms=[algorithm], options=none))  # type: ignore[arg-type]  # a TypedDict of these
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise BadProof("its signature isn't good") from None


def thumbprint_of(jwk: Mapping[str, Any]) -> str:
    """RFC 7638. Empty if a member isn't there, or is no text."""
    members = {name: jwk.get(name) for name in _MEMBERS.get(str(jwk.get("kty")), ())}
    if not members or not all(isinstance(value, str) for value in members.values()):
        return ""
    return _encoded(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _plain(url: str) -> tuple[str, str, int | None, str] | None:
    """A URL without query and fragment, in its one form (RFC 3986, section 6.2). None if it is none."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        port = parts.port or _PORTS.get(scheme)
    except ValueError:
        return None
    if scheme not in _PORTS or not parts.hostname or parts.username is not None:
        return None
    return scheme, parts.hostname, port, parts.path or "/"
