"""The keys that sign tokens (ES256): one after the other, each published before it signs and for as long as what it signed counts.

Kept in a sealed journal. `GET /jwks` tells the public ones (RFC 7517).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from bartizan.errors import Unauthenticated
from bartizan.identity.ledger import Ledger
from bartizan.secrets.envelope import Envelope

FILE = "authorization.journal"
ALGORITHM = "ES256"
_LEAD_S = 3600.0
"""So long before it signs a key is published: others may keep what they fetched."""
_AFTER_S = 2 * 3600.0
"""So long after the next one took over it still is: no token counts for longer."""


@dataclass(frozen=True, slots=True)
class _Held:
    key: ECKey
    since: float
    """From when on it signs."""


class SigningKeys:
    """The keys of a state. Methods may be called from any thread."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._ledger = Ledger(path, envelope, "authorization", {"make": self._make, "drop": self._drop})

    def close(self) -> None:
        self._ledger.close()

    def tend(self, lasts_s: float) -> None:
        """Makes the key that is due, if one is, and drops what nothing needs any more. `lasts_s`: how long a key signs."""
        if not self._due(lasts_s):
            return
        with self._ledger.writing():
            now, newest = self._clock(), self._newest()
            if newest is None:
                self._add(now)
            elif now >= newest.since + lasts_s - _LEAD_S:
                self._add(max(now + _LEAD_S, newest.since + lasts_s))
            for kid in self._done(now):
                self._ledger.append("drop", kid)

    def _due(self, lasts_s: float) -> bool:
        with self._ledger.lock:
            self._ledger.absorb()
            newest, now = self._newest(), self._clock()
            return newest is None or now >= newest.since + lasts_s - _LEAD_S or bool(self._done(now))

    def _newest(self) -> _Held | None:
        return max(self._held.values(), key=lambda one: one.since, default=None)

    def _done(self, now: float) -> list[str]:
        """Those after which another has signed for long enough."""
        signs = [one.since for one in self._held.values() if one.since + _AFTER_S <= now]
        return [kid for kid, one in self._held.items() if any(since > one.since for since in signs)]

    def rotate(self, *, lost: bool = False) -> str:
        """Has a new key sign: soon, so that others learn of it; or, if the old ones are `lost`, at once and they count no more. Its id."""
        with self._ledger.writing():
            old, now = tuple(self._held), self._clock()
            made = self._add(now if lost or not old else now + _LEAD_S)
            for kid in old if lost else ():
                self._ledger.append("drop", kid)
            return made

    def _add(self, since: float) -> str:
        kid = secrets.token_hex(8)
        self._ledger.append("make", kid, ECKey.generate_key("P-256", {"kid": kid}).as_dict(private=True), since)
        return kid

    def signer(self) -> tuple[str, ECKey]:
        """The id of the key that signs now, and the key."""
        with self._ledger.lock:
            self._ledger.absorb()
            now = self._clock()
            counting = {kid: one for kid, one in self._held.items() if one.since <= now} or self._held
            kid = max(counting, key=lambda one: counting[one].since)
            return kid, counting[kid].key

    def signed(self, claims: dict[str, Any], kind: str) -> str:
        """A token of these claims, of this type (`typ`)."""
        kid, key = self.signer()
        return jwt.encode({"alg": ALGORITHM, "typ": kind, "kid": kid}, claims, key, [ALGORITHM])

    def read(self, text: str, kind: str) -> dict[str, Any]:
        """The claims of a token of this type that a key of ours has signed. When it counts isn't looked at. Unauthenticated."""
        with self._ledger.lock:
            self._ledger.absorb()
            known = KeySet([one.key for one in self._held.values()])
        try:
            found = jwt.decode(text, known, [ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError):
            raise Unauthenticated("This is no token of ours.", code="token-unknown") from None
        if found.header.get("typ") != kind or not isinstance(found.claims, dict):
            raise Unauthenticated("This is a token for something else.", code="token-unknown")
        return found.claims

    def published(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        with self._ledger.lock:
            self._ledger.absorb()
            keys = [one.key.as_dict(private=False) for _, one in sorted(self._held.items(), key=lambda item: item[1].since)]
        return {"keys": [{**key, "use": "sig", "alg": ALGORITHM} for key in keys]}

    def _make(self, kid: str, key: dict[str, Any], since: float) -> None:
        self._held[kid] = _Held(ECKey.import_key(key), since)

    def _drop(self, kid: str) -> None:
        del self._held[kid]
