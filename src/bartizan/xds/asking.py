"""What a node asks its control plane before it can talk to it: to join by a token, or to have its certificate renewed."""

import base64
import binascii
import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bartizan.errors import Invalid

_PREFIX = "bzn_"
_SECRET_BYTES, _FINGERPRINT_BYTES = 24, 32


class Ask(BaseModel):
    """A question. `ca`: the certificate of the authority, known by the token; `join` and `renew`: a certificate for a request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Literal["ca", "join", "renew"]
    token: str = ""
    """The token's secret, in hex."""
    name: str = ""
    """What the node would like to be called, unless its token says it."""
    request: str = ""
    """A certificate request, PEM."""


class Told(BaseModel):
    """The answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str = ""
    code: str = ""
    ca: str = ""
    certificate: str = ""
    name: str = ""
    group: str = ""
    keys: tuple[str, ...] = ()
    """The public keys that sign releases, in hex."""
    lifetime_s: float = 0.0


def token_text(secret: bytes, fingerprint: bytes) -> str:
    """What is given to whoever sets up a node: the secret, and the SHA-256 of the authority's certificate."""
    return _PREFIX + base64.urlsafe_b64encode(secret + fingerprint + _check(secret + fingerprint)).decode().rstrip("=")


def read_token(text: str) -> tuple[bytes, bytes]:
    """The secret and the fingerprint. Invalid if this is no token."""
    body = text.strip().removeprefix(_PREFIX)
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    known, check = data[: _SECRET_BYTES + _FINGERPRINT_BYTES], data[_SECRET_BYTES + _FINGERPRINT_BYTES :]
    if not text.strip().startswith(_PREFIX) or len(known) != _SECRET_BYTES + _FINGERPRINT_BYTES or check != _check(known):
        raise Invalid("This isn't the text of a join token: it may have been mistyped or cut.", code="token-malformed")
    return known[:_SECRET_BYTES], known[_SECRET_BYTES:]


def _check(data: bytes) -> bytes:
    return hashlib.sha256(b"bartizan join token\0" + data).digest()[:3]
