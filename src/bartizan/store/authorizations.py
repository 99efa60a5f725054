"""What an authorization server remembers for a while: sessions, codes, refresh tokens, consents. Each has an end, and then it is gone.

Signed, so that who can write the database gives herself nothing. Secrets come as hashes: whoever reads it can't use it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import JsonValue
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from bartizan.errors import Conflict, Invalid, TooMany, Unavailable
from bartizan.store.database import Database
from bartizan.store.model import Seal, canonical, keepable
from bartizan.store.tables import AUTHORIZATIONS as TABLE
from bartizan.store.tables import is_sound

MOST = 1_000_000
"""So many are kept. Then no new one is, until some have ended."""
MOST_OF_STRANGERS = 100_000
"""So many are kept of what anybody can have kept who isn't known, such as what somebody was about to do when they had to log in."""
OF_STRANGERS = frozenset({"interaction", "challenge", "outside", "device", "device-typed"})
OF_ENDS = frozenset({"revoked", "session-ended", "code-used"})
"""What says that something counts no more is always kept, however much there is."""
_COUNTED_EVERY = 256
_FULL_S = 1.0
"""So long nothing is counted again that was found to be full."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One of them. `expires` is in seconds since the epoch."""

    id: str
    """Often the hash of the secret that leads to it."""
    kind: str
    owner: str
    """Whose it is: all of somebody's are found by it. Empty: nobody's."""
    expires: float
    value: Mapping[str, JsonValue]
    version: int = 0


class Authorizations:
    """The table of them."""

    def __init__(self, database: Database, seal: Seal | None) -> None:
        self._database, self._seal = database, seal
        self._written = dict.fromkeys((True, False), 0)
        """How many were written, of strangers and of others."""
        self._full = dict.fromkeys((True, False), 0.0)
        """When it was found full."""

    @property
    def clock(self) -> Callable[[], float]:
        """Which time counts, in seconds since the epoch."""
        return self._database.clock

    def put(self, one: Authorization) -> Authorization:
        """Keeps it. Its version is the one that was seen, 0 for a new one. Conflict if somebody was faster, TooMany."""
        seal = self._writer()
        keepable(one.id, one.kind, one.owner)
        row = {**_row(one, one.version + 1), "signer": seal.signer}
        row["signature"] = seal.sign(_signed(row))
        ended = TABLE.c.expires_ms <= self._now()
        with self._database.writing("authorizations") as connection:
            if one.version:
                of = and_(TABLE.c.id == one.id, TABLE.c.version == one.version)
                if connection.execute(update(TABLE).where(of), row).rowcount != 1:
                    raise _faster(one)
            else:
                self._check_room(connection, one.kind)
                connection.execute(delete(TABLE).where(TABLE.c.id == one.id, ended))
                if connection.scalar(select(TABLE.c.id).where(TABLE.c.id == one.id)) is not None:
                    raise _faster(one)
                connection.execute(insert(TABLE), row)
        return Authorization(one.id, one.kind, one.owner, row["expires_ms"] / 1000, one.value, one.version + 1)

    def _check_room(self, connection: Connection, kind: str) -> None:
        """TooMany if there is no room for another. Strangers have their own, so that they can't take that of others."""
        strangers, now = kind in OF_STRANGERS, self._database.clock()
        if kind in OF_ENDS:
            return
        if 0 <= now - self._full[strangers] < _FULL_S:
            raise _too_many()
        if self._written[strangers] % _COUNTED_EVERY == 0:
            connection.execute(delete(TABLE).where(TABLE.c.expires_ms <= self._now()))
            counted = TABLE.c.kind.in_(OF_STRANGERS) if strangers else TABLE.c.kind.not_in(OF_STRANGERS | OF_ENDS)
            found = connection.scalar(select(func.count()).select_from(TABLE).where(counted)) or 0
            if found >= (MOST_OF_STRANGERS if strangers else MOST):
                self._full[strangers] = now
                raise _too_many()
        self._written[strangers] += 1

    def get(self, ident: str, kind: str) -> Authorization | None:
        """The one of this id and kind that hasn't ended. One that was tampered with is none."""
        if not _may_be_there(ident):
            return None
        with self._database.reading() as connection:
            row = connection.execute(select(TABLE).where(self._counting(ident, kind))).first()
        return self._checked(row)

    def take(self, ident: str, kind: str) -> Authorization | None:
        """The same, and takes it away: of all who ask at once, one gets it."""
        self._writer()
        if not _may_be_there(ident):
            return None
        with self._database.writing("authorizations") as connection:
            row = connection.execute(select(TABLE).where(self._counting(ident, kind))).first()
            gone = connection.execute(delete(TABLE).where(TABLE.c.id == ident, TABLE.c.kind == kind)).rowcount
        return self._checked(row) if gone == 1 else None

    def of(self, owner: str, kind: str) -> tuple[Authorization, ...]:
        """Somebody's of this kind that haven't ended, by id."""
        if not _may_be_there(owner):
            return ()
        wanted = select(TABLE).where(TABLE.c.owner == owner, TABLE.c.kind == kind, TABLE.c.expires_ms > self._now()).order_by(TABLE.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).all()
        return tuple(one for row in rows if (one := self._checked(row)) is not None)

    def _writer(self) -> Seal:
        if self._seal is None:
            raise Unavailable("This store was opened for reading.", code="store-read-only")
        return self._seal

    def _counting(self, ident: str, kind: str) -> ColumnElement[bool]:
        return and_(TABLE.c.id == ident, TABLE.c.kind == kind, TABLE.c.expires_ms > self._now())

    def _now(self) -> int:
        return math.floor(self._database.clock() * 1000)

    def _checked(self, row: Row[Any] | None) -> Authorization | None:
        if row is None or not is_sound(row, TABLE):
            return None
        told: dict[str, Any] = dict(zip(TABLE.columns.keys(), row, strict=True))
        if self._seal is not None and not self._seal.verify(row.signer, _signed(told), row.signature):
            return None
        return Authorization(row.id, row.kind, row.owner, row.expires_ms / 1000, orjson.loads(row.body), row.version)


def _may_be_there(ident: str) -> bool:
    """Whether a database can be asked for it: what callers show comes here as it is."""
    try:
        keepable(ident)
    except Invalid:
        return False
    return True


def _row(one: Authorization, version: int) -> dict[str, Any]:
    ends = math.floor(one.expires * 1000)
    body = canonical(dict(one.value)).decode()
    return {"id": one.id, "kind": one.kind, "owner": one.owner, "expires_ms": ends, "version": version, "body": body}


def _signed(row: Mapping[str, Any]) -> bytes:
    whole = {name: row[name] for name in ("id", "kind", "owner", "expires_ms", "version", "body", "signer")}
    return b"bartizan authorization 1\0" + canonical(whole)


def _too_many() -> TooMany:
    return TooMany("The authorization server has too much to remember. Try again later.", code="authorizations-full")


def _faster(one: Authorization) -> Conflict:
    return Conflict(f"Somebody was faster with this {one.kind}.", code="authorization-conflict")
