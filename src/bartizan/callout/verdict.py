"""What an introspection endpoint answers, judged (RFC 7662, section 2.2). Pure but for the time that is handed in.

The answer is believed as far as it is one: of the right form, of this issuer, for this audience, of now. What isn't there isn't made up,
and what has another type than it should have makes all of it worthless.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bartizan.callout.issuer import Issuer
from bartizan.envoy import names
from bartizan.identity.claims import claim_text

_LONGEST = 8000
"""Bytes of a claim. Envoy keeps no longer one."""
_MOST = 32_000
"""Bytes of all claims together."""
_TYPES = frozenset({"bearer", "dpop", "access_token"})
_OTHERS = frozenset({"refresh", "refresh_token", "offline", "id", "id_token"})
"""What servers call tokens that are for them, or for the client, and not for an API."""


class Garbage(Exception):
    """The answer is none: nothing is known of the token. Nothing of the answer is in it."""


class Refused(Enum):
    """Why a token doesn't count."""

    INACTIVE = "inactive"
    """The issuer says that it doesn't, or that it is for something else."""
    UNASKED = "unasked"
    """The issuer couldn't be asked."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an issuer says of a token that counts."""

    lines: bytes
    """Subject and claims as lines of headers, each with its end."""
    until: float
    """When it ends, if it does: infinite if it wasn't said."""
    jkt: str
    """The thumbprint of the key that it is bound to; empty if to none. So `x5t` of the certificate."""
    x5t: str


Verdict = Told | Refused


def judged(body: bytes, issuer: Issuer, now: float) -> Verdict:
    """What the answer says. Garbage if it is none."""
    found = _read(body)
    active = found.get("active")
    if not isinstance(active, bool):
        raise Garbage("`active` is neither true nor false")
    if not active:
        return Refused.INACTIVE
    begins, ends = _moment(found, "nbf"), _moment(found, "exp")
    if not (_is_its_own(found, issuer) and _is_for_apis(found)):
        return Refused.INACTIVE
    if (begins is not None and now < begins - issuer.skew_s) or (ends is not None and now >= ends + issuer.skew_s):
        return Refused.INACTIVE
    lines = _lines(found, issuer)
    if lines is None:
        return Refused.INACTIVE
    jkt, x5t = _bound(found)
    return Told(lines, ends + issuer.skew_s if ends is not None else math.inf, jkt, x5t)


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_none)
    except (ValueError, RecursionError):
        raise Garbage("it is no JSON, or says something twice") from None
    if not isinstance(found, dict):
        raise Garbage("it is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _none(_: str) -> None:
    raise ValueError


def _moment(found: Mapping[str, Any], name: str) -> float | None:
    value = found.get(name)
    if value is None and name not in found:
        return None
    try:
        moment = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        moment = math.nan
    if not math.isfinite(moment):
        raise Garbage(f"`{name}` is no time")
    return moment


def _text(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if value is not None and not isinstance(value, str):
        raise Garbage(f"`{name}` is no text")
    return value


def _is_its_own(found: Mapping[str, Any], issuer: Issuer) -> bool:
    """Of this issuer, if it says of whom it is, and for one of the audiences."""
    audience = found.get("aud", [])
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
        raise Garbage("`aud` is neither a text nor a list of texts")
    return _text(found, "iss") in {None, issuer.issuer} and any(one in issuer.audiences for one in audiences)


def _is_for_apis(found: Mapping[str, Any]) -> bool:
    """An access token, as far as it says what it is."""
    kind = _text(found, "token_type")
    told = {str(found.get(name)).lower() for name in ("token_type", "token_use", "typ")}
    return (kind is None or kind.lower() in _TYPES) and not told & _OTHERS


def _lines(found: Mapping[str, Any], issuer: Issuer) -> bytes | None:
    """Subject and claims; None without a subject that can be told. A claim that no header can hold isn't there."""
    subject = _sendable(_text(found, "sub") or "")
    if not subject:
        return None
    lines = [_line(issuer.subject, subject)]
    for header, claim in issuer.headers.items():
        try:
            text = _sendable(claim_text(_claim(found, claim)))
        except ValueError:
            continue
        if text:
            lines.append(_line(header, text))
    for header, claim in _IDS:
        if isinstance(value := found.get(claim), str) and (text := _sendable(value)):
            lines.append(_line(header, text))
    whole = b"".join(lines)
    if len(whole) > _MOST:
        raise Garbage("its claims are too long")
    return whole


_IDS = ((names.H_JTI, "jti"), (names.H_SID, "sid"))
"""By these a token, or a session, can be blocked."""


def _line(name: str, value: bytes) -> bytes:
    return name.encode() + b": " + value + b"\r\n"


def _sendable(text: str) -> bytes:
    """A text as a header's value; empty if it can't be one, unchanged: blanks at its ends would be lost on the way."""
    if text != text.strip(" \t") or any(ord(one) < 32 or ord(one) == 127 for one in text):
        return b""
    try:
        value = text.encode()
    except UnicodeEncodeError:
        return b""
    return value if len(value) <= _LONGEST else b""


def _claim(found: Mapping[str, Any], path: str) -> Any:
    value: Any = found
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _bound(found: Mapping[str, Any]) -> tuple[str, str]:
    """What it is bound to: the thumbprints of a key and of a certificate."""
    confirmation = found.get("cnf", {})
    if not isinstance(confirmation, dict):
        raise Garbage("`cnf` is no object")
    both = [_text(confirmation, name) or "" for name in ("jkt", "x5t#S256")]
    if any(one and not (one.isascii() and one.replace("-", "A").replace("_", "A").isalnum() and len(one) <= 128) for one in both):
        raise Garbage("`cnf` holds no thumbprint")
    return both[0], both[1]
