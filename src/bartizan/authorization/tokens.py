"""Tokens: access tokens (RFC 9068), which Envoy checks by itself, and refresh tokens, which are opaque and change with each use.

All refresh tokens that came of one login at one application are a family. One that was used before, or was never given, ends the
family: somebody has a copy (RFC 9700, section 4.14). What is revoked is told to every node, which refuses it within a second.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bartizan.authorization.clients import Known
from bartizan.authorization.person import Person, person
from bartizan.authorization.rows import Rows, digest
from bartizan.authorization.sessions import Sessions
from bartizan.authorization.surroundings import Around
from bartizan.errors import Conflict, Unauthenticated
from bartizan.identity.token_keys import SigningKeys
from bartizan.model.authorization import AuthorizationServer
from bartizan.store import Authorization, Authorizations

ACCESS = "at+jwt"
_PREFIX = "bzr_"
_GRACE_S = 10.0
"""So long a refresh token may be used again: two requests may have been under way at once."""
_MOST_AT_ONCE = 8
_MOST_ALIVE = 50
"""Access tokens of one family that count at once. The oldest ends with the next."""
_SKEW_S = 90.0
_CARRIED = frozenset({"sub", "sid", "auth_time", "acr", "amr", "groups", "preferred_username"})
"""What a token that is exchanged for another has in common with it."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens that were made."""

    answer: dict[str, Any]
    """As the token endpoint answers."""
    jti: str
    expires: float
    family: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What tokens are made of. `who`: None for an application by itself."""

    client: Known
    who: Person | None
    scope: str
    audiences: tuple[str, ...] = ()
    """Other than the application's own."""
    actor: Mapping[str, Any] | None = None
    """Who acts for somebody (RFC 8693, section 4.1)."""
    until: float | None = None
    """When the access token ends at the latest."""
    subject: Mapping[str, Any] | None = None
    """The claims of a token for which this one is exchanged: it tells the same of somebody."""


class Tokens:
    """Makes, reads and revokes tokens. Its methods may be called from any thread."""

    def __init__(self, keys: SigningKeys, store: Authorizations, sessions: Sessions, around: Around) -> None:
        self.keys, self._sessions, self._around = keys, sessions, around
        self._families, self._revoked = Rows(store, "family"), Rows(store, "revoked")
        self._exchanged = Rows(store, "exchanged")

    def issue(self, declared: AuthorizationServer, wanted: Wanted, *, refresh: bool = False) -> Issued:
        """An access token, and with `refresh` the first of a family of refresh tokens."""
        made = self._access(declared, wanted)
        if wanted.subject is not None:
            value, lasts = {"jti": made.jti, "expires": made.expires}, made.expires - self._families.clock() + _SKEW_S
            self._exchanged.put(digest("exchanged", made.jti), value, lasts, digest(str(wanted.subject.get("jti"))))
        if not refresh or wanted.who is None:
            return made
        family, secret = f"fam_{secrets.token_hex(10)}", secrets.token_urlsafe(32)
        value = {
            "client": wanted.client.name,
            "person": wanted.who.kept(),
            "scope": wanted.scope,
            "since": self._families.clock(),
            "secrets": {digest(secret): None},
            "alive": [[made.jti, made.expires]],
        }
        self._families.put(family, value, self._lasts(declared, wanted.who, wanted.scope), wanted.who.id)
        return replace(made, answer={**made.answer, "refresh_token": f"{_PREFIX}{family}.{secret}"}, family=family)

    def _lasts(self, declared: AuthorizationServer, who: Person, scope: str) -> float:
        """How long a refresh token counts: for as long as somebody is logged in, or with offline_access until it isn't used."""
        lasts = declared.refresh_token.total_seconds()
        return lasts if _is_offline(who, scope) else max(0.0, min(lasts, who.until - self._families.clock()))

    def _access(self, declared: AuthorizationServer, wanted: Wanted) -> Issued:
        now, who = int(self._families.clock()), wanted.who
        expires = now + int(declared.access_token.total_seconds())
        if wanted.until is not None:
            expires = min(expires, int(wanted.until))
        if who is not None and not _is_offline(who, wanted.scope):
            expires = min(expires, int(who.until))  # afterwards nobody knows the session any more, to end it
        jti = secrets.token_hex(12)
        audiences = wanted.audiences or wanted.client.audiences
        claims: dict[str, Any] = {
            "iss": declared.issuer,
            "sub": who.id if who is not None else wanted.client.name,
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "client_id": wanted.client.name,
            "scope": wanted.scope,
            "iat": now,
            "exp": expires,
            "jti": jti,
        }
        claims |= of_login(who) if who is not None else {}
        claims |= {name: told for name, told in (wanted.subject or {}).items() if name in _CARRIED}
        claims |= {"act": dict(wanted.actor)} if wanted.actor is not None else {}
        self.keys.tend(declared.keys.total_seconds())
        answer = {
            "access_token": self.keys.signed(claims, ACCESS),
            "token_type": "Bearer",
            "expires_in": expires - now,
            "scope": wanted.scope,
        }
        return Issued(answer, jti, expires)

    def family(self, text: str, client: str) -> Authorization | None:
        """The family of a refresh token of this application, if it may be used now. One that was used before ends it."""
        row, secret = self._of(text)
        if row is None or row.value["client"] != client:
            return None
        if not self._is_fresh(row, secret):
            self.end_family(row, "a refresh token was used again")
            return None
        return row

    def _of(self, text: str) -> tuple[Authorization | None, str]:
        ident, _, secret = text.removeprefix(_PREFIX).partition(".")
        sound = text.startswith(_PREFIX) and ident.startswith("fam_") and secret
        return (self._families.get(ident) if sound else None), secret

    def _is_fresh(self, row: Authorization, secret: str) -> bool:
        known: Any = row.value["secrets"]
        used = known.get(digest(secret), 0.0)
        return used is None or self._families.clock() - used <= _GRACE_S

    def now(self, who: Person) -> Person | None:
        """Somebody as their account is now; None if they have none any more, or logged out since."""
        return None if self._sessions.has_ended(who.sid) else self._sessions.current(who)

    def person_of(self, row: Authorization) -> Person | None:
        """Whose family it is, as their account is now; None if they have none any more, or logged out."""
        kept: Any = row.value["person"]
        who = person(kept)
        return self._sessions.current(who) if _is_offline(who, str(row.value["scope"])) else self.now(who)

    def refreshed(self, declared: AuthorizationServer, row: Authorization, text: str, wanted: Wanted) -> Issued:
        """An access token and the next refresh token. Conflict if that one was revoked meanwhile."""
        if wanted.who is not None and self._sessions.has_ended(wanted.who.sid):
            # It outlasts the session, whose tokens every node refuses.
            wanted = replace(wanted, who=replace(wanted.who, sid=digest("family", row.id)[:24]))
        made, secret, shown = self._access(declared, wanted), secrets.token_urlsafe(32), digest(self._of(text)[1])
        kept: Any = row.value["person"]
        lasts = self._lasts(declared, person(kept), str(row.value["scope"]))
        for _ in range(_MOST_AT_ONCE):
            now = self._families.clock()
            alive, gone = self._alive([*_pairs(row.value["alive"]), (made.jti, made.expires)], now)
            value = {**row.value, "secrets": _next(row.value["secrets"], shown, digest(secret), now), "alive": alive}
            with suppress(Conflict):
                self._families.again(row, value, now + lasts)
                for jti, expires in gone:
                    self.revoke(jti, expires, "the same refresh token made many others")
                return replace(made, answer={**made.answer, "refresh_token": f"{_PREFIX}{row.id}.{secret}"}, family=row.id)
            if (found := self._families.get(row.id)) is None:
                break
            row = found
        raise Conflict("This refresh token counts no more.", code="refresh-token-gone")

    def _alive(self, pairs: list[tuple[str, float]], now: float) -> tuple[list[list[Any]], list[tuple[str, float]]]:
        """The access tokens that count, and those that are too many."""
        counting = [(jti, expires) for jti, expires in pairs if expires > now]
        return [[jti, expires] for jti, expires in counting[-_MOST_ALIVE:]], counting[:-_MOST_ALIVE]

    def end_family(self, row: Authorization, reason: str) -> None:
        """Ends a family and all access tokens that came of it."""
        if self._families.take(row.id) is None:
            return
        who: Any = row.value["person"]
        self._around.note(str(who["name"]), "authorization.revoke", f"client/{row.value['client']}", "unknown", reason=reason)
        for jti, expires in _pairs(row.value["alive"]):
            self.revoke(jti, expires, reason)

    def families(self, owner: str) -> tuple[Authorization, ...]:
        """All of somebody's."""
        return self._families.of(owner)

    def is_of(self, row: Authorization, who: Person) -> bool:
        """Whether a family came of this session of somebody."""
        kept: Any = row.value["person"]
        return bool(kept["sid"] == who.sid)

    def find_family(self, text: str) -> Authorization | None:
        """The family of a refresh token, be it one that was used."""
        row, secret = self._of(text)
        return row if row is not None and digest(secret) in dict(row.value["secrets"]) else None  # type: ignore[arg-type]

    def counts(self, text: str) -> bool:
        """Whether this refresh token would be taken now."""
        row, secret = self._of(text)
        return row is not None and self._is_fresh(row, secret) and self.person_of(row) is not None

    def end_by_id(self, family: str, reason: str) -> None:
        """Ends the family of this id, if it is there."""
        if family and (row := self._families.get(family)) is not None:
            self.end_family(row, reason)

    def revoke(self, jti: str, expires: float, reason: str) -> None:
        """An access token counts no more, here and at every node; nor does what it was exchanged for."""
        now = self._families.clock()
        if expires > now - _SKEW_S and self._revoked.note(digest(jti), expires - now + _SKEW_S):
            self._around.block("token", jti, expires + _SKEW_S, reason)
            for row in self._exchanged.of(digest(jti)):
                of: Any = row.value
                self.revoke(str(of["jti"]), float(of["expires"]), reason)

    def read(self, declared: AuthorizationServer, text: str) -> dict[str, Any]:
        """The claims of an access token that counts. Unauthenticated."""
        claims = self.keys.read(text, ACCESS)
        now = self._families.clock()
        good = claims.get("iss") == declared.issuer and isinstance(claims.get("exp"), int) and now < claims["exp"]
        if not good or self._revoked.get(digest(str(claims.get("jti")))) is not None:
            raise Unauthenticated("This token counts no more.", code="token-unknown")
        if "sid" in claims and self._sessions.has_ended(str(claims["sid"])):
            raise Unauthenticated("This token's session has ended.", code="token-unknown")
        return claims

    def once(self, claims: Mapping[str, Any]) -> bool:
        """Whether this token wasn't used up before; it is now."""
        return self._revoked.note(digest("used", str(claims.get("jti"))), 3700.0)


def _next(known: Any, shown: str, made: str, now: float) -> dict[str, float | None]:
    """The secrets of a family, each with when it was used: the one that is shown is, another is made. Conflict if it isn't there."""
    if shown not in known:
        raise Conflict("This refresh token counts no more.", code="refresh-token-gone")
    used = {**known, shown: known[shown] if known[shown] is not None else now}
    fresh = [(one, at) for one, at in used.items() if at is None or now - at <= _GRACE_S]
    fresh.sort(key=lambda pair: (pair[1] is None, pair[1] or 0.0))  # the store keeps no order: those that were used first go first
    return dict([*fresh, (made, None)][-_MOST_AT_ONCE:])


def of_login(who: Person) -> dict[str, Any]:
    """The claims that tell who somebody is and how they logged in."""
    return {
        "sid": who.sid,
        "auth_time": int(who.at),
        "acr": who.acr,
        "amr": list(who.amr),
        "groups": list(who.groups),
        "preferred_username": who.name,
        **({"passkey": who.passkey} if who.passkey else {}),
    }


def audiences_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """For whom a token is meant."""
    told = claims.get("aud")
    return tuple(map(str, told)) if isinstance(told, list) else (str(told),)


def _is_offline(who: Person, scope: str) -> bool:
    """Whether its refresh tokens outlast the session. What is known elsewhere can't be asked again, so it doesn't."""
    return "offline_access" in scope.split() and not who.outside


def _pairs(kept: Any) -> list[tuple[str, float]]:
    return [(str(jti), float(expires)) for jti, expires in kept]
