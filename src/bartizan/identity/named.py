"""Named secrets: values that resources refer to by name, each bound to a team and to where it may be sent; kept encrypted, outside
revisions.

Live data: any process that holds the envelope may write (`bartizan secret set` does); a running gateway sees it by `poll`. A value is never
told again, and a grant is never changed without giving the value anew: so nobody gets a secret sent elsewhere who doesn't have it already.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bartizan.errors import Invalid, NotFound
from bartizan.identity.ledger import Ledger
from bartizan.model.attributes import text_problem
from bartizan.model.fields import is_name
from bartizan.model.named import Grant, Use, destination
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

FILE = "secrets.journal"
LONGEST = 64 * 1024
"""Characters of a value, at most."""
_MOST = 1000
"""Secrets of one team, at most: nobody fills up what others need."""
_MOST_TO, _LONGEST_TO = 100, 300
Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """A secret, whose value only `value.reveal()` tells."""

    name: str
    team: str | None
    """None: the gateway's owner's own."""
    to: tuple[str, ...]
    created: float
    """Seconds since the epoch, as is `changed`."""
    changed: float
    by: str
    value: Secret
    version: int
    """Differs from that of every other value that any of them ever had."""
    times: int = 1
    """How often it was set."""

    @property
    def grant(self) -> Grant:
        """What it may be used for."""
        return Grant(self.team, self.to)

    @property
    def target(self) -> str:
        """As the audit log calls it."""
        return f"secret/{self.team}/{self.name}" if self.team is not None else f"secret/{self.name}"

    def told(self) -> dict[str, Any]:
        """All but the value."""
        fields = {"name": self.name, "team": self.team, "to": list(self.to)}
        return {**fields, "created": self.created, "changed": self.changed, "by": self.by, "version": self.times}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A secret as somebody sets it."""

    name: str
    value: Secret
    by: str
    team: str | None = None
    to: tuple[str, ...] = ()


class NamedSecrets:
    """The secrets in the journal `path`. Methods may be called from any thread; writing waits for the disk."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._envelope = clock, envelope
        self._held: dict[Key, NamedSecret] = {}
        self._version = 0
        self._ledger = Ledger(path, envelope, "secrets", {"set": self._apply_set, "delete": self._apply_delete})
        self._polled = self._version

    def close(self) -> None:
        self._ledger.close()

    @property
    def key_id(self) -> str:
        """The key by which they are sealed."""
        return self._envelope.key_id

    def set(self, wanted: Wanted) -> NamedSecret:
        """Makes a secret, or gives it another value and other destinations. Invalid if it can't be one."""
        to = _checked(wanted)
        with self._ledger.writing():
            key = (wanted.team, wanted.name)
            if key not in self._held and sum(team == wanted.team for team, _ in self._held) >= _MOST:
                raise Invalid(f"There are {_MOST} secrets already: delete some.", code="secrets-too-many")
            self._ledger.append("set", wanted.team, wanted.name, list(to), wanted.by, float(self._clock()), wanted.value.reveal())
            return self._held[key]

    def delete(self, team: str | None, name: str, by: str) -> NamedSecret:
        """Takes a secret away, and tells which one it was."""
        with self._ledger.writing():
            held = self._held.get((team, name))
            if held is None:
                raise missing(name)
            self._ledger.append("delete", team, name, by, float(self._clock()))
        return held

    def all(self) -> tuple[NamedSecret, ...]:
        """Every secret, in order."""
        with self._ledger.lock:
            return tuple(sorted(self._held.values(), key=lambda one: (one.team or "", one.name)))

    def grants(self) -> dict[Key, Grant]:
        """What each may be used for."""
        with self._ledger.lock:
            return {key: one.grant for key, one in self._held.items()}

    def used(self, name: str, use: Use) -> NamedSecret:
        """The secret of this name, for this use. KeyError if there is none that may be used so: both look alike."""
        with self._ledger.lock:
            found = self._held.get((use.team, name))
        if found is None or not found.grant.allows(use):
            raise KeyError(name)
        return found

    def poll(self) -> bool:
        """Reads what other processes appended. Whether anything has changed since the last poll, by them or by this object."""
        with self._ledger.lock:
            self._ledger.absorb()
            before, self._polled = self._polled, self._version
            return before != self._polled

    def _apply_set(self, team: str | None, name: str, *fields: Any) -> None:
        to, by, changed, value = fields
        self._version += 1
        known = self._held.get((team, name))
        created, times = (known.created, known.times + 1) if known is not None else (changed, 1)
        self._held[team, name] = NamedSecret(name, team, tuple(to), created, changed, by, Secret(value), self._version, times)

    def _apply_delete(self, team: str | None, name: str, _by: str, _when: float) -> None:
        self._version += 1
        self._held.pop((team, name), None)


def missing(name: str) -> NotFound:
    """There is no such secret, or it is another's: both look alike."""
    return NotFound(f"There is no secret {name}.", code="secret-missing")


def _checked(wanted: Wanted) -> tuple[str, ...]:
    """Its destinations in their one form. The value is in no message."""
    for what, name in (("name of a secret", wanted.name), ("team of a secret", wanted.team)):
        if name is not None and not is_name(name):
            told = f"The {what} is 1 to 63 of a-z, 0-9 and '-', and begins and ends with a letter or digit."
            raise Invalid(told, code="secret-invalid")
    if problem := text_problem(wanted.by):
        raise Invalid(f"The name of who sets a secret {problem}.", code="secret-invalid")
    if not 0 < len(wanted.value.reveal()) <= LONGEST:
        raise Invalid(f"The value of a secret has 1 to {LONGEST} characters.", code="secret-invalid")
    if len(wanted.to) > _MOST_TO or any(len(one) > _LONGEST_TO for one in wanted.to):
        told = f"A secret has up to {_MOST_TO} destinations, each of up to {_LONGEST_TO} characters."
        raise Invalid(told, code="secret-invalid")
    try:
        return tuple(sorted({destination(one) for one in wanted.to}))
    except ValueError as error:
        raise Invalid(f"{error}.", code="secret-invalid") from None
