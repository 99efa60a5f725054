"""Time-based one-time passwords (RFC 6238), as authenticator apps make them; and recovery codes, which stand in for one."""

import base64
import secrets
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

_STEP_S = 30
_DIGITS = 6
_SKEW = 1
"""Steps that a clock may be ahead or behind."""
_SECRET_BYTES = 20
_RECOVERIES = 10


def new_secret() -> str:
    """A secret, in base32."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def uri(name: str, secret: str, issuer: str) -> str:
    """What authenticator apps take the secret from (Key URI Format)."""
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    return f"otpauth://totp/{label}?secret={secret}&issuer={quote(issuer, safe='')}&algorithm=SHA1&digits={_DIGITS}&period={_STEP_S}"


def step(secret: str, code: str, now: float) -> int | None:
    """The step whose code this is, if it is one of now (seconds since the epoch). None if it isn't."""
    if len(code) != _DIGITS or not code.isascii() or not code.isdigit():
        return None
    made = TOTP(base64.b32decode(secret), _DIGITS, SHA1(), _STEP_S)  # noqa: S303 - what apps can do; a MAC, no signature
    here = int(now) // _STEP_S
    for one in range(here + _SKEW, here - _SKEW - 1, -1):
        try:
            made.verify(code.encode(), one * _STEP_S)
        except InvalidToken:
            continue
        return one
    return None


def recovery_codes() -> list[str]:
    """New ones, as people are shown them."""
    return [_grouped(base64.b32encode(secrets.token_bytes(10)).decode().lower()) for _ in range(_RECOVERIES)]


def _grouped(text: str) -> str:
    return "-".join(text[at : at + 4] for at in range(0, 16, 4))


def bare(code: str) -> str:
    """A recovery code however it was typed."""
    return code.replace("-", "").replace(" ", "").lower()
