"""What people have allowed applications, so that they are asked once."""

from dataclasses import dataclass
from typing import Any

from bartizan.authorization.here import Here
from bartizan.authorization.person import Person
from bartizan.authorization.rows import Rows, digest
from bartizan.store import Authorization

_LASTS_S = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Consent:
    """What somebody has allowed an application."""

    client: str
    scopes: tuple[str, ...]
    since: float


def _rows(here: Here) -> Rows:
    return Rows(here.store, "consent")


def _row(here: Here, who: Person, client: str) -> Authorization | None:
    return _rows(here).get(digest("consent", who.id, client))


def agreed(here: Here, who: Person, client: str, scope: str) -> bool:
    """Whether they have allowed all of this."""
    row = _row(here, who, client)
    return row is not None and set(scope.split()) <= set(_scopes(row))


def agree(here: Here, who: Person, client: str, scope: str) -> None:
    """They allow this, beside what they allowed before."""
    row, rows = _row(here, who, client), _rows(here)
    if row is not None:
        rows.take(row.id)
    scopes = dict.fromkeys([*(_scopes(row) if row is not None else ()), *scope.split()])
    value = {"client": client, "scopes": list(scopes), "since": rows.clock()}
    rows.put(digest("consent", who.id, client), value, _LASTS_S, who.id)


def all_of(here: Here, owner: str) -> tuple[Consent, ...]:
    """What somebody has allowed, by application."""
    found = [(row.value["client"], _scopes(row), row.value["since"]) for row in _rows(here).of(owner)]
    return tuple(sorted((Consent(str(name), scopes, _seconds(since)) for name, scopes, since in found), key=lambda one: one.client))


def withdraw(here: Here, owner: str, client: str) -> None:
    """They allow an application nothing any more, and what it has counts no more."""
    _rows(here).take(digest("consent", owner, client))
    for family in here.tokens.families(owner):
        if family.value["client"] == client:
            here.tokens.end_family(family, "its owner withdrew what they had allowed")


def _scopes(row: Authorization) -> tuple[str, ...]:
    kept: Any = row.value["scopes"]
    return tuple(map(str, kept))


def _seconds(kept: Any) -> float:
    return float(kept)
