"""Issuers' public keys: fetched, filtered to what the issuer may sign with, kept when a fetch fails.

Envoy's own token filter has no list of algorithms, never fetches again on an unknown `kid`, and lets a removed key verify cached tokens.
So keys are fetched here, each is bound to its algorithm, and they are pushed inline. Source: RFC 7517, RFC 7518, RFC 8725.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from bartizan.identity.discovery import jwks_url
from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import secret_text
from bartizan.model.consumer import Issuer
from bartizan.model.fields import SecretRef
from bartizan.model.named import OWN

_log = logging.getLogger(__name__)
_PUBLIC = ("kty", "kid", "use", "key_ops", "n", "e", "crv", "x", "y")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_MOST_BYTES = 1 << 20
_FETCH_S = 5.0
_FAILED_S = 5.0
_NEVER = (0, 0)
_NOTHING = (404, 410)
REFRESH_S = 300.0
"""How often keys are fetched from a URL."""
UNKNOWN_KID_S = 60.0
"""How often at most an unknown `kid` leads to a fetch."""
FILE_S = 0.25
"""How often a file of keys is looked at."""


def allowed_keys(jwks: Mapping[str, Any], algorithms: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The keys of a JWK Set that may verify signatures, each bound to one allowed algorithm. Shared secrets, private parts and
    RSA keys under 2048 bits are left out."""
    found: list[dict[str, Any]] = []
    for key in jwks.get("keys", ()):
        if isinstance(key, dict) and key.get("use", "sig") == "sig" and "d" not in key and "k" not in key:
            public = {name: key[name] for name in _PUBLIC if name in key}
            found += [{**public, "alg": alg} for alg in _algorithms(key) if alg in algorithms]
    return tuple(found)


def _algorithms(key: Mapping[str, Any]) -> tuple[str, ...]:
    if key.get("kty") == "RSA":
        fits: tuple[str, ...] = _RSA if len(_decoded(key.get("n", ""))) >= 256 else ()
    else:
        curve = _CURVES.get(str(key.get("crv", "")))
        fits = (curve,) if curve else ()
    own = key.get("alg")
    return tuple(alg for alg in fits if own in (None, alg))


def _decoded(text: object) -> bytes:
    try:
        return base64.urlsafe_b64decode(str(text) + "==").lstrip(b"\0")
    except ValueError:
        return b""


@dataclass(slots=True)
class KeySet:
    """What is known of one issuer's keys."""

    issuer: Issuer
    keys: tuple[dict[str, Any], ...] = ()
    fetched: float = 0.0
    """Unix time of the last good fetch; 0 if there was none."""
    error: str = ""
    tried: float = 0.0
    forced: float = field(default=-UNKNOWN_KID_S)
    stamp: tuple[int, int] = _NEVER
    fetching: bool = False

    @property
    def is_fetched(self) -> bool:
        """Whether they come over the network: from a URL, or from where the issuer's metadata says."""
        return self.issuer.jwks is None or isinstance(self.issuer.jwks, str)

    def is_due(self, now: float) -> bool:
        """Whether it is time to fetch."""
        return self.is_fetched and not self.fetching and (not self.tried or now - self.tried >= (_FAILED_S if self.error else REFRESH_S))


async def _fetched(client: httpx.AsyncClient, url: str) -> bytes | None:
    """The body; None if there is nothing. ValueError if it is too long, before it is all there."""
    async with client.stream("GET", url) as answer:
        if answer.status_code in _NOTHING:
            return None
        answer.raise_for_status()
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ValueError("what is there is larger than 1 MiB")
        return body


class KeySets:
    """The keys of all issuers. `changed` is called when some issuer's keys are no longer what they were."""

    def __init__(self, changed: Callable[[], None], folder: Path, named: NamedSecrets | None = None) -> None:
        self._changed = changed
        self._folder = folder
        self._named = named
        self._sets: dict[str, KeySet] = {}
        self._wake = asyncio.Event()

    def keys(self) -> dict[str, tuple[dict[str, Any], ...]]:
        """Each issuer's keys; none if they were never fetched."""
        return {name: one.keys for name, one in self._sets.items()}

    def sets(self) -> Iterator[KeySet]:
        """What `status` shows."""
        yield from self._sets.values()

    def declare(self, issuers: Mapping[str, Issuer]) -> None:
        """The issuers there are now. Keys of one whose source didn't change are kept."""
        fresh: dict[str, KeySet] = {}
        for name, issuer in issuers.items():
            known = self._sets.get(name)
            if known is None or (known.issuer.jwks, known.issuer.algorithms) != (issuer.jwks, issuer.algorithms):
                fresh[name] = self._initial(issuer)
            else:
                known.issuer = issuer  # in place: a fetch may be on its way for it
                fresh[name] = known
        self._sets = fresh
        self._wake.set()

    def fetch_anew(self, issuer: str) -> None:
        """The keys of the issuer with this `iss` are others now: they are fetched at once."""
        for one in self._sets.values():
            if one.issuer.issuer == issuer:
                one.tried = 0.0
        self._wake.set()

    def _initial(self, issuer: Issuer) -> KeySet:
        made = KeySet(issuer)
        if isinstance(issuer.jwks, dict):
            made.keys, made.fetched = allowed_keys(issuer.jwks, issuer.algorithms), time.time()
        elif isinstance(issuer.jwks, SecretRef):
            self._read(made)
        return made

    def unknown_key(self) -> None:
        """A token was refused, perhaps for a key that isn't known yet: fetch, at most once a minute for each issuer."""
        now = time.monotonic()
        for one in self._sets.values():
            if one.is_fetched and now - one.forced >= UNKNOWN_KID_S:
                one.forced, one.tried = now, 0.0
                self._wake.set()

    def look(self) -> None:
        """A source may hold others now."""
        self._wake.set()

    async def run(self) -> None:
        """Keeps the keys fresh, for ever. Each fetch is a task of its own, so that an issuer that is slow holds up no other."""
        async with httpx.AsyncClient(timeout=_FETCH_S, follow_redirects=False) as client, asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for one in self._sets.values():
                    if isinstance(one.issuer.jwks, SecretRef):
                        if self._read(one):
                            self._changed()
                    elif one.is_due(time.monotonic()):
                        one.tried, one.fetching = time.monotonic(), True
                        group.create_task(self._fetch(client, one))
                with suppress(TimeoutError):
                    async with asyncio.timeout(FILE_S):
                        await self._wake.wait()

    async def _fetch(self, client: httpx.AsyncClient, one: KeySet) -> None:
        url = one.issuer.jwks if isinstance(one.issuer.jwks, str) else ""
        try:
            async with asyncio.timeout(_FETCH_S):
                url = url or await jwks_url(one.issuer.issuer, lambda place: _fetched(client, place))
                body = await _fetched(client, url)
            if body is None:
                raise ValueError("there is nothing")
            self._take(one, body)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            one.error = f"{type(error).__name__}: {error}"
            told = "issuer %s: its keys can't be fetched from %s (%s); the last good ones are kept"
            _log.warning(told, one.issuer.name, url or one.issuer.issuer, one.error)
        finally:
            one.fetching = False

    def _read(self, one: KeySet) -> bool:
        source, before = one.issuer.jwks, one.keys
        if not isinstance(source, SecretRef) or source.env is not None:
            one.error = "jwks is {file: PATH}, {secret: NAME}, a URL or a JWK Set"
            return False
        try:
            stamp = self._stamp(source)
            if stamp == one.stamp:
                return False
            one.stamp = stamp
            self._take(one, secret_text(source, self._folder, self._named).encode(), tell=False)
            return one.keys != before
        except KeyError:
            # Unlike a file that is being replaced, a secret that is gone was taken away.
            one.keys, one.stamp, one.fetched, one.error = (), _NEVER, 0.0, f"the {source.told} isn't there"
            return bool(before)
        except (OSError, ValueError) as error:
            if not one.error:
                _log.warning("issuer %s: its keys can't be read (%s); the last good ones are kept", one.issuer.name, error)
            one.error = str(error)
            return False

    def _stamp(self, source: SecretRef) -> tuple[int, int]:
        """Changes with what the source holds. KeyError if a named secret isn't there."""
        if source.secret is not None:
            if self._named is None:
                raise KeyError(source.secret)
            return self._named.used(source.secret, OWN).version, -1
        stat = (self._folder / str(source.file)).stat()
        return stat.st_mtime_ns, stat.st_ino

    def _take(self, one: KeySet, body: bytes, *, tell: bool = True) -> None:
        found = orjson.loads(body)
        if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
            raise ValueError("this is no JWK Set")
        keys = allowed_keys(found, one.issuer.algorithms)
        one.error, one.fetched = "", time.time()
        if keys != one.keys:
            one.keys = keys
            if tell:
                self._changed()
