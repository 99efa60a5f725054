"""Proposals: changes that somebody would like and that a person looks at. Few, small, for a while; signed, so that their author holds."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Row, delete, func, insert, select

from bartizan.errors import NotFound, TooMany, Unavailable
from bartizan.store.database import Database, Tampered
from bartizan.store.model import Draft, Proposal, Seal, canonical, keepable
from bartizan.store.tables import PROPOSALS, is_sound

MOST, MOST_OF_ONE = 200, 20
"""So many are kept, and so many of one author."""
LARGEST = 256 << 10
"""Bytes of one."""
LASTS_S = 14 * 86400


class Proposals:
    """The table of proposals."""

    def __init__(self, database: Database, seal: Seal | None) -> None:
        self._database = database
        self._seal = seal

    def add(self, draft: Draft) -> Proposal:
        """Keeps a draft. TooMany if it is too large, or there are too many, of this author or in all."""
        if (seal := self._seal) is None:
            raise Unavailable("This store was opened for reading: nothing can be proposed.", code="store-read-only")
        keepable(draft.author, draft.team, draft.origin, draft.message, draft.base)
        body = _body(draft)
        if len(body) > LARGEST:
            raise TooMany(f"A proposal has up to {LARGEST >> 10} KiB; this one has {len(body) >> 10}.", code="proposal-too-large")
        now = round(self._database.clock() * 1000)
        bare = Proposal(f"prp_{secrets.token_hex(6)}", draft, now, now + LASTS_S * 1000, seal.signer, b"")
        made = replace(bare, signature=seal.sign(_signed(bare)))
        with self._database.writing("proposals") as connection:
            connection.execute(delete(PROPOSALS).where(PROPOSALS.c.expires_ms <= now))
            held: dict[str, int] = {
                author: count for author, count in connection.execute(select(PROPOSALS.c.author, func.count()).group_by(PROPOSALS.c.author))
            }
            if held.get(draft.author, 0) >= MOST_OF_ONE or sum(held.values()) >= MOST:
                told = f"{MOST_OF_ONE} of one author" if held.get(draft.author, 0) >= MOST_OF_ONE else f"{MOST}"
                raise TooMany(f"There are {told} already: somebody has to apply or discard some.", code="proposals-full")
            connection.execute(insert(PROPOSALS), [_row(made)])
        return made

    def all(self) -> tuple[Proposal, ...]:
        """Those that haven't expired, the newest first."""
        wanted = select(PROPOSALS).where(PROPOSALS.c.expires_ms > round(self._database.clock() * 1000))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(PROPOSALS.c.time_ms.desc(), PROPOSALS.c.id)).all()
        return tuple(map(self._checked, rows))

    def authors(self) -> frozenset[str]:
        """Who has made one that is still there, be it expired or tampered with."""
        with self._database.reading() as connection:
            return frozenset(map(str, connection.scalars(select(PROPOSALS.c.author).distinct())))

    def get(self, ident: str) -> Proposal:
        """The proposal. NotFound if there is none, or it has expired."""
        now = round(self._database.clock() * 1000)
        with self._database.reading() as connection:
            row = connection.execute(select(PROPOSALS).where(PROPOSALS.c.id == ident, PROPOSALS.c.expires_ms > now)).first()
        if row is None:
            raise missing(ident)
        return self._checked(row)

    def remove(self, ident: str) -> None:
        """Takes it away: it was applied, or discarded. Nothing if it is gone."""
        with self._database.writing("proposals") as connection:
            connection.execute(delete(PROPOSALS).where(PROPOSALS.c.id == ident))

    def _checked(self, row: Row[Any]) -> Proposal:
        found = _proposal(row)
        if self._seal is not None and not self._seal.verify(found.signer, _signed(found), found.signature):
            raise _tampered(row)
        return found


def missing(ident: str) -> NotFound:
    """There is none of this name; one of another team looks the same."""
    return NotFound(f"There is no proposal {ident}: it was applied or discarded, or has expired.", code="proposal-missing")


def _body(draft: Draft) -> bytes:
    return canonical(
        {
            "delete": ["/".join(key) for key in draft.delete],
            "put": {"/".join(key): orjson.loads(body) for key, body in draft.put.items()},
            "seen": {"/".join(key): digest for key, digest in draft.seen.items()},
        }
    )


def _signed(one: Proposal) -> bytes:
    named = {name: getattr(one.draft, name) for name in ("author", "team", "origin", "message", "base")}
    whole = {**named, "id": one.id, "time_ms": one.time_ms, "expires_ms": one.expires_ms, "signer": one.signer}
    return b"bartizan proposal 1\0" + canonical(whole) + b"\0" + _body(one.draft)


def _row(one: Proposal) -> dict[str, object]:
    draft = one.draft
    named = {name: getattr(draft, name) for name in ("author", "team", "origin", "message", "base")}
    own = {"id": one.id, "time_ms": one.time_ms, "expires_ms": one.expires_ms, "signer": one.signer, "signature": one.signature}
    return {**named, **own, "body": _body(draft).decode()}


def _proposal(row: Row[Any]) -> Proposal:
    try:
        body: Mapping[str, Any] = orjson.loads(row.body) if is_sound(row, PROPOSALS) else {}
        put = {_key(name): canonical(document) for name, document in body["put"].items()}
        gone, seen = tuple(map(_key, body["delete"])), {_key(name): str(digest) for name, digest in body["seen"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _tampered(row) from None
    draft = Draft(row.author, row.team, row.origin, row.message, row.base, put, gone, seen)
    return Proposal(row.id, draft, row.time_ms, row.expires_ms, row.signer, row.signature)


def _key(name: str) -> tuple[str, str]:
    kind, _, rest = name.partition("/")
    return kind, rest


def _tampered(row: Row[Any]) -> Tampered:
    return Tampered(
        f"The proposal {str(row.id)[:20]} was changed after it was written, or signed with a key that isn't trusted. Discard it."
    )
