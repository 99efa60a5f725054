"""Who is logged in with which browser: a cookie leads to a Person, until it ends, is ended, or the account changes."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bartizan.authorization.person import Person, person
from bartizan.authorization.rows import Rows, digest
from bartizan.authorization.surroundings import Around
from bartizan.identity.accounts import Accounts
from bartizan.store import Authorization, Authorizations

_LONGEST_TOKEN_S = 3700.0
"""So long a session that was ended is remembered: no token of it counts for longer."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which somebody is logged in."""

    id: str
    person: Person
    since: float
    agent: str
    """What the browser calls itself."""


class Sessions:
    """The sessions of the authorization server."""

    def __init__(self, store: Authorizations, accounts: Accounts, around: Around) -> None:
        self._rows, self._ended = Rows(store, "session"), Rows(store, "session-ended")
        self._accounts, self._around = accounts, around

    def begin(self, who: Person, lasts_s: float, agent: str, before: str = "") -> tuple[str, Person]:
        """Takes somebody in who has just logged in. `before`: the cookie until now; if it was the same person's, it is the same session,
        only younger. Returns the new cookie, and the person with their session."""
        now = self._rows.clock()
        known = self.of(before) if before else None
        if known is not None:
            self._rows.take(known.id)
        sid = known.person.sid if known is not None and known.person.id == who.id else secrets.token_hex(12)
        if known is not None and known.person.id != who.id:
            self._told_ended(known, "somebody else logged in with the same browser")
        made = replace(who, sid=sid, until=now + lasts_s)
        return self._rows.hidden({"person": made.kept(), "since": now, "agent": agent[:200]}, lasts_s, made.id), made

    def of(self, cookie: str) -> Session | None:
        """Who is logged in with this cookie, as their account is now."""
        row = self._rows.behind(cookie) if cookie else None
        if row is None or self.has_ended(str(_kept(row.value)["sid"])):
            return None
        found = _session(row)
        who = self.current(found.person)
        return replace(found, person=who) if who is not None else None

    def current(self, who: Person) -> Person | None:
        """Somebody as their account is now; None if there is none any more. What is known elsewhere stays as it was told."""
        if who.outside:
            declared = self._around.declared()
            return who if declared is not None and who.outside in declared.outside else None
        account = self._accounts.with_id(who.id)
        return replace(who, name=account.name, title=account.name, groups=account.groups) if account is not None else None

    def all(self, owner: str) -> tuple[Session, ...]:
        """Somebody's sessions."""
        return tuple(sorted(map(_session, self._rows.of(owner)), key=lambda one: one.since))

    def end(self, session: Session, reason: str = "logged out") -> None:
        """Ends a session, and all tokens of it, everywhere."""
        self._rows.take(session.id)
        self._told_ended(session, reason)

    def _told_ended(self, session: Session, reason: str) -> None:
        now, who = self._rows.clock(), session.person
        if self._ended.note(digest(who.sid), max(_LONGEST_TOKEN_S, who.until - now)):  # refresh tokens ask for it, too
            self._around.block("session", who.sid, now + _LONGEST_TOKEN_S, reason)

    def end_all(self, owner: str, reason: str) -> int:
        """Ends all of somebody's sessions. How many there were."""
        found = self.all(owner)
        for one in found:
            self.end(one, reason)
        return len(found)

    def has_ended(self, sid: str) -> bool:
        """Whether this session was ended before its time."""
        return self._ended.get(digest(sid)) is not None


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    return dict(value["person"])


def _session(row: Authorization) -> Session:
    """As it was begun."""
    value: Mapping[str, Any] = row.value
    return Session(row.id, person(_kept(value)), float(value["since"]), str(value["agent"]))
