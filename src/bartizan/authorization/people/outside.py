"""Logging in with an OpenID provider elsewhere: authorization code with PKCE, and an ID token that is checked (OpenID Connect Core)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import orjson
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.responses import RedirectResponse, Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.people.login import shown, taken_in
from bartizan.authorization.person import OUTSIDE, PHISHING_RESISTANT, TWO_FACTORS, Person
from bartizan.authorization.rows import Rows, digest
from bartizan.errors import BartizanError, NotFound, Unauthenticated
from bartizan.identity.discovery import places
from bartizan.identity.referred import UNREADABLE
from bartizan.lib.near import is_near, leads_near
from bartizan.model.authorization import Outside
from bartizan.model.fields import is_name
from bartizan.model.named import sent_to

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
_AWAY_S = 900.0
_FETCH_S = 5.0
_MOST_BYTES = 1 << 20
_SKEW_S = 60
_BOUND = "__Host-bartizan-outside"
_FAILED = "Logging in with {} failed. Try again, or log in another way."
_log = logging.getLogger("bartizan")


@dataclass(frozen=True, slots=True)
class _Endpoints:
    authorization: str
    token: str
    jwks: str


def away(here: Here, asked: Asked) -> Response:
    """Sends somebody to the provider. Only the browser that went there can come back."""
    name, leads = asked.places["name"], asked.one("in")
    outside = _declared(here, name)
    row = here.interaction(leads)
    query = dict(row.value.get("query", [])) if row is not None else {}  # type: ignore[arg-type]
    try:
        found = _endpoints(outside)
    except (ValueError, httpx.HTTPError) as error:
        return _failed(here, leads, name, outside, str(error))
    kept = {"name": name, "leads": leads, "nonce": secrets.token_urlsafe(16), "verifier": secrets.token_urlsafe(48)}
    state = _rows(here).hidden(kept, _AWAY_S)
    longest = "0" if "login" in str(query.get("prompt", "")).split() else str(query.get("max_age", ""))
    wanted = {
        "response_type": "code",
        "client_id": outside.client_id,
        "redirect_uri": _callback(here, name),
        "scope": " ".join(dict.fromkeys(["openid", *outside.scopes])),
        "state": state,
        "nonce": kept["nonce"],
        "code_challenge": create_s256_code_challenge(kept["verifier"]),
        "code_challenge_method": "S256",
        "max_age": longest if longest.isascii() and longest.isdigit() else str(int(here.declared().session.total_seconds())),
        **({"acr_values": query["acr_values"]} if query.get("acr_values") else {}),
    }
    joined = "&" if "?" in found.authorization else "?"
    answer = RedirectResponse(f"{found.authorization}{joined}{urlencode(wanted)}", status_code=303, headers={"cache-control": "no-store"})
    answer.set_cookie(_BOUND, digest("browser", state), max_age=int(_AWAY_S), path="/", secure=True, httponly=True, samesite="lax")
    return answer


def back(here: Here, asked: Asked) -> Response:
    """Somebody comes back from the provider."""
    name, state = asked.places["name"], asked.one("state")
    outside = _declared(here, name)
    row = _rows(here).behind(state)
    kept: Any = row.value if row is not None else {}
    bound = secrets.compare_digest(asked.cookies.get(_BOUND, "").encode("utf-8", "surrogatepass"), digest("browser", state).encode())
    if row is None or not bound or kept["name"] != name or _rows(here).take(row.id) is None:
        return shown(here, "", "That took too long, or was begun elsewhere. Try again.", 403)
    leads = str(kept["leads"])
    try:
        here.lockout.check(asked.origin)
        who = _person(here, name, outside, _claims(here, asked, outside, kept))
    except (BartizanError, ValueError, httpx.HTTPError) as error:
        here.lockout.wrong(asked.origin)
        return _failed(here, leads, name, outside, error.message if isinstance(error, BartizanError) else str(error))
    answer = taken_in(here, asked, who, leads)
    answer.delete_cookie(_BOUND, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def _rows(here: Here) -> Rows:
    return Rows(here.store, "outside")


def _callback(here: Here, name: str) -> str:
    return f"{here.declared().issuer}/login/outside/{name}/callback"


def _declared(here: Here, name: str) -> Outside:
    found = here.declared().outside.get(name)
    if found is None:
        raise NotFound(f"There is no provider {name!r}.", code="outside-unknown")
    return found


def _failed(here: Here, leads: str, name: str, outside: Outside, why: str) -> Response:
    """What was wrong is the owner's to know: a provider says what it likes."""
    _log.warning("logging in with %s failed: %s", name, why.encode("unicode_escape").decode()[:300])
    return shown(here, leads, _FAILED.format(outside.title or name), 403)


def _claims(here: Here, asked: Asked, outside: Outside, kept: Mapping[str, str]) -> dict[str, Any]:
    """The claims of the ID token that a code is exchanged for. Unauthenticated, ValueError or httpx.HTTPError."""
    if asked.one("iss") not in ("", outside.issuer):
        raise Unauthenticated("Another provider answered.", code="outside-refused")
    if not asked.one("code"):
        raise Unauthenticated(f"It answered {asked.one('error')!r}.", code="outside-refused")
    found = _endpoints(outside)
    try:
        secret = here.around.secret(outside.client_secret, sent_to(found.token))
    except UNREADABLE:
        raise ValueError(f"there is no {outside.client_secret.told} that may be sent there") from None
    form = {
        "grant_type": "authorization_code",
        "code": asked.one("code"),
        "redirect_uri": _callback(here, str(kept["name"])),
        "code_verifier": kept["verifier"],
    }
    token = _json(_fetched("POST", found.token, data=form, auth=(outside.client_id, secret))).get("id_token")
    if not isinstance(token, str):
        raise Unauthenticated("It gave no ID token.", code="outside-refused")
    return _checked(_decoded(token, found), outside, str(kept["nonce"]))


def _decoded(token: str, found: _Endpoints) -> dict[str, Any]:
    try:
        keys = KeySet.import_key_set(_json(_fetched("GET", found.jwks)))  # type: ignore[arg-type]
        return dict(jwt.decode(token, keys, _ALGORITHMS).claims)
    except (JoseError, KeyError, TypeError, ValueError, RecursionError) as error:  # the last for claims that are lists in lists
        raise Unauthenticated(f"Its ID token isn't signed by a key of its own ({type(error).__name__}).", code="outside-refused") from None


def _checked(claims: dict[str, Any], outside: Outside, nonce: str) -> dict[str, Any]:
    """Claims that are for us, of now, and an answer to what we asked (OpenID Connect Core, section 3.1.3.7)."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    now, expires = time.time(), claims.get("exp")
    wrong = {
        "another issuer": claims.get("iss") != outside.issuer,
        "for somebody else": set(map(str, audiences)) != {outside.client_id} or claims.get("azp", outside.client_id) != outside.client_id,
        "expired": not isinstance(expires, int | float) or expires < now - _SKEW_S,
        "not of this login": not isinstance(claims.get("nonce"), str)
        or not secrets.compare_digest(claims["nonce"].encode(), nonce.encode()),
        "of somebody whom the audit log knows otherwise": str(claims.get("sub")).startswith(("local:", "node:")),
        "of nobody": not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255 or not claims["sub"].isprintable(),
    }
    if found := [text for text, is_wrong in wrong.items() if is_wrong]:
        raise Unauthenticated(f"Its ID token is {found[0]}.", code="outside-refused")
    return claims


def _person(here: Here, name: str, outside: Outside, claims: Mapping[str, Any]) -> Person:
    """Whom a provider knows. They are called by what never changes there: a name that they choose isn't theirs alone."""
    listed = claims.get(outside.groups) if outside.groups else None
    told = [one for one in listed if isinstance(one, str) and is_name(one)] if isinstance(listed, list) else []
    trusted = outside.factors == "trust"
    at = claims.get("auth_time")
    title = claims.get("name") or claims.get("preferred_username")
    known = f"{claims['sub']}@{name}"
    shown_as = title[:100] if isinstance(title, str) and title.isprintable() else known
    amr = claims.get("amr") if trusted else None
    return Person(
        f"{OUTSIDE}{digest(outside.issuer, claims['sub'])[:32]}",
        known,
        shown_as,
        tuple(one for one in dict.fromkeys(told) if one in outside.trusted_groups),
        _level(claims) if trusted else "",
        tuple(map(str, amr))[:10] if isinstance(amr, list) else (),
        min(float(at), here.interactions.clock()) if isinstance(at, int | float) else 0.0,
        "",
        0.0,
        outside=name,
    )


def _level(claims: Mapping[str, Any]) -> str:
    amr = claims.get("amr")
    if claims.get("acr") in (PHISHING_RESISTANT, "phrh"):
        return PHISHING_RESISTANT
    return TWO_FACTORS if claims.get("acr") == TWO_FACTORS or (isinstance(amr, list) and TWO_FACTORS in amr) else ""


def _endpoints(outside: Outside) -> _Endpoints:
    """Where a provider is asked, as its metadata says, which has to be its own. ValueError or httpx.HTTPError."""
    told = _json(_fetched("GET", places(outside.issuer)[0]))
    if told.get("issuer") != outside.issuer:
        raise ValueError("its metadata is another issuer's")
    return _Endpoints(*(_endpoint(outside, told.get(f"{what}")) for what in ("authorization_endpoint", "token_endpoint", "jwks_uri")))


def _endpoint(outside: Outside, url: Any) -> str:
    here, there = urlsplit(outside.issuer), urlsplit(url if isinstance(url, str) else "")
    if there.scheme != "https" and (there.scheme, here.scheme) != ("http", "http"):
        raise ValueError("its metadata tells an endpoint that is no https:// URL")
    if not is_near(here.hostname or "") and asyncio.run(leads_near(there.hostname or "")):
        raise ValueError("its metadata leads to this machine or its neighbours")
    return there.geturl()


def _fetched(method: str, url: str, **more: Any) -> bytes:
    with httpx.Client(timeout=_FETCH_S, follow_redirects=False) as client, client.stream(method, url, **more) as answer:
        if answer.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answers {answer.status_code}")
        body, until = bytearray(), time.monotonic() + _FETCH_S
        for chunk in answer.iter_bytes():
            body += chunk
            if time.monotonic() > until:
                raise ValueError(f"what {url} answers comes too slowly")
            if len(body) > _MOST_BYTES:
                raise ValueError(f"what {url} answers is too large")
        return bytes(body)


def _json(body: bytes) -> dict[str, Any]:
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError("what it answers is no JSON object")
    return found
