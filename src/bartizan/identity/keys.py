"""The API keys of consumers: made, brought along, rotated, revoked; kept encrypted, outside revisions.

Keys are live data: their `generation` only grows, and no rollback of a policy touches them. Any process that holds the
envelope may write (`bartizan key new` does); a running gateway sees it by `poll`.
"""

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from bartizan.errors import BartizanError, Conflict, Invalid, NotFound
from bartizan.identity.key_record import Changes, KeyRecord, NewKey, Revoked, WantedKey
from bartizan.identity.key_text import ALL_SHARDS, brought_problem, is_wellformed, key_id, key_text, shard_of
from bartizan.identity.ledger import Ledger
from bartizan.identity.scopes import scopes_problem
from bartizan.model.attributes import text_problem
from bartizan.secrets.envelope import Envelope
from bartizan.secrets.sealed import Secret

_AT_ONCE = 4000
"""So many keys stand in one record of the journal at most."""
_PART_BYTES = 256 << 10
"""So much of keys that are brought along stands in one record of the journal."""
_LONGEST_S = 1e10
_TIMES = ("created", "expires")


class KeyStore:
    """The keys in the journal `path`. Methods may be called from any thread; writing waits for the disk."""

    def __init__(self, path: Path, envelope: Envelope, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._shards: dict[str, dict[str, KeyRecord]] = {shard: {} for shard in ALL_SHARDS}
        self._revoked: dict[bytes, str] = {}
        self._names: dict[str, str] = {}
        self._scopes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._expiring: dict[str, KeyRecord] = {}
        """Those that do: asked for twice a second, when most keys never expire."""
        self._added: list[KeyRecord] = []
        self._removed: list[KeyRecord] = []
        self._bringing: tuple[str, list[list[Any]]] = ("", [])
        """Keys that are being brought along, which count once all of them are there: which these are, and what came of them."""
        self._ending: list[KeyRecord] = []
        """Those that end sooner than it was said."""
        events: dict[str, Callable[..., None]] = {
            "add": self._apply_add,
            "add-scoped": self._apply_add,
            "rotate": self._apply_rotate,
            "revoke": self._apply_revoke,
            "taken": self._apply_taken,
            "bring": self._apply_bring,
        }
        self._ledger = Ledger(path, envelope, "keys", events)
        self._forget_changes()

    def close(self) -> None:
        self._ledger.close()

    @property
    def generation(self) -> int:
        """How often the keys have changed, ever. It never falls."""
        return self._ledger.count

    def new(self, consumer: str, *, name: str = "", expires: float | None = None, scopes: tuple[str, ...] = ()) -> NewKey:
        """Makes a key. `expires` is in seconds since the epoch."""
        return self.add(WantedKey(consumer, name, expires, scopes), Secret(key_text()))

    def add(self, wanted: WantedKey, key: Secret) -> NewKey:
        """Takes a key that was made elsewhere, in the same form. One that was revoked here stays so."""
        self._check(wanted, key)
        with self._ledger.writing():
            self._check_unused(key)
            ident = self._unused_id()
            fields = [ident, wanted.consumer, wanted.name, key.reveal(), float(self._clock()), _seconds(wanted.expires)]
            if wanted.scopes:
                self._ledger.append("add-scoped", *fields, wanted.scopes)
            else:
                self._ledger.append("add", *fields)
        return NewKey(ident, wanted.consumer, key)

    def bring(self, keys: Sequence[tuple[WantedKey, Secret]], *, dry: bool = False) -> dict[int, str]:
        """Takes keys that were made elsewhere, in whatever form: all of them or, if something is wrong with one, none. `dry`: only looks.

        Returns what is wrong with each, by its place; nothing if all is well.
        """
        wrong = {at: problem for at, (wanted, key) in enumerate(keys) if (problem := self._brought_problem(wanted, key))}
        with self._ledger.writing():
            held = {_digest(record.key): record for record in self._in(ALL_SHARDS)}
            for at, (_, key) in enumerate(keys):
                if (digest := _digest(key)) in self._revoked:
                    wrong.setdefault(at, "it was revoked, and stays so")
                elif there := held.get(digest):
                    wrong.setdefault(at, f"it is there already: it is {there.id} of {there.consumer}")
            if not wrong and not dry:
                self._bring(keys)
        return wrong

    def _bring(self, keys: Sequence[tuple[WantedKey, Secret]]) -> None:
        """In parts, since a line of the journal is bounded. They count once the last is there."""
        now, made = float(self._clock()), self._unused_ids(len(keys))
        entries = [
            (ident, one.consumer, one.name, key.reveal(), now, _seconds(one.expires), one.scopes)
            for ident, (one, key) in zip(made, keys, strict=True)
        ]
        parts = list(_parts(entries))
        for at, part in enumerate(parts):
            self._ledger.append("bring", made[0], at, len(parts), part)

    @staticmethod
    def _brought_problem(wanted: WantedKey, key: Secret) -> str | None:
        problem = text_problem(wanted.consumer) or (text_problem(wanted.name) if wanted.name else None)
        return problem or scopes_problem(wanted.scopes) or brought_problem(key.reveal())

    def rotate(self, ident: str, overlap: float, expires: float | None = None) -> tuple[NewKey, KeyRecord]:
        """Makes a key that takes the place of another, which ends after `overlap` seconds: the new one, and the old one as it is then.

        The new one has the same consumer, name and scopes. It `expires` then; by default it lasts as long as the old one was to.
        Conflict if the old one was rotated already.
        """
        with self._ledger.writing():
            old, now = self._there(ident), float(self._clock())
            if old.successor:
                raise Conflict(f"{ident} was rotated already: {old.successor} took its place. Rotate that one.", code="key-rotated")
            if not 0 < overlap < _LONGEST_S:
                raise Invalid("The overlap is a number of seconds above 0.", code="key-invalid")
            if expires is None and old.expires is not None:
                expires = now + max(old.expires - old.created, overlap)
            key = Secret(key_text())
            self._check(WantedKey(old.consumer, old.name, expires, old.scopes), key)
            ends = now + overlap if old.expires is None else min(now + overlap, old.expires)
            made = self._unused_id()
            self._ledger.append("rotate", ident, made, key.reveal(), ends, now, _seconds(expires))
            return NewKey(made, old.consumer, key), self._there(ident)

    def revoke(self, ident: str) -> KeyRecord:
        """Ends a key for good, and tells which one it was."""
        with self._ledger.writing():
            record = self._there(ident)
            self._ledger.append("revoke", ident, float(self._clock()))
        return record

    @property
    def revoked_count(self) -> int:
        """It never falls."""
        return len(self._revoked)

    def revoked(self) -> tuple[Revoked, ...]:
        """Every key that was ever revoked."""
        with self._ledger.lock:
            return tuple(Revoked(ident, digest) for digest, ident in self._revoked.items())

    def unknown(self, told: Iterable[Revoked]) -> tuple[Revoked, ...]:
        """Those of which it isn't known here that they were revoked."""
        with self._ledger.lock:
            return tuple(one for one in told if one.digest not in self._revoked)

    def take_revoked(self, wanted: Iterable[Revoked]) -> int:
        """Takes over what others know to be revoked, for good, be the keys here or not. How many weren't known to be."""
        with self._ledger.writing():
            missing = [(one.id, one.digest.hex()) for one in wanted if one.digest not in self._revoked]
            for at in range(0, len(missing), _AT_ONCE):
                self._ledger.append("taken", missing[at : at + _AT_ONCE], float(self._clock()))
        return len(missing)

    def records(self) -> tuple[KeyRecord, ...]:
        """Every key that wasn't revoked, expired ones too."""
        with self._ledger.lock:
            return tuple(self._in(ALL_SHARDS))

    def holds(self, ident: str) -> bool:
        """Whether there is such a key, and it wasn't revoked."""
        with self._ledger.lock:
            return self._by_id(ident) is not None

    def scoped(self) -> tuple[KeyRecord, ...]:
        """Those with scopes."""
        with self._ledger.lock:
            return tuple(one for one in self._in(ALL_SHARDS) if one.scopes) if self._scopes else ()

    def record(self, ident: str) -> KeyRecord:
        """This key. NotFound if there is none, or it was revoked."""
        with self._ledger.lock:
            return self._there(ident)

    def live(self, now: float, shards: Collection[str] = ALL_SHARDS) -> tuple[KeyRecord, ...]:
        """The keys of these shards that count at `now`."""
        with self._ledger.lock:
            return tuple(record for record in self._in(shards) if record.expires is None or record.expires > now)

    def shards_expired(self, since: float, now: float) -> frozenset[str]:
        """The shards of the keys that expired after `since`, up to `now`."""
        with self._ledger.lock:
            return _shards(record for record in self._expiring.values() if record.expires is not None and since < record.expires <= now)

    def shards_of(self, consumers: Collection[str]) -> frozenset[str]:
        """The shards that hold a key of one of these consumers."""
        with self._ledger.lock:
            return _shards(record for record in self._in(ALL_SHARDS) if record.consumer in consumers)

    def of(self, consumers: Collection[str]) -> tuple[KeyRecord, ...]:
        """The keys of these consumers, expired ones too."""
        with self._ledger.lock:
            return tuple([one for held in self._shards.values() for one in held.values() if one.consumer in consumers])

    def poll(self) -> Changes | None:
        """Reads what other processes appended, and tells what has changed since the last poll, by them or by this object."""
        with self._ledger.lock:
            try:
                self._ledger.absorb()
            except BartizanError:  # what was revoked before the record that can't be read counts first
                if not self._changed:
                    raise
            if not self._changed:
                return None
            changes = Changes(
                generation=self.generation,
                shards=_shards((*self._added, *self._removed, *self._ending)),
                added=tuple(record.id for record in self._added),
                revoked=tuple(record.id for record in self._removed),
            )
            self._forget_changes()
            return changes

    def _apply_add(self, ident: str, consumer: str, name: str, text: str, *more: Any) -> None:
        created, expires, scopes = more if len(more) > len(_TIMES) else (*more, ())
        # One object for each consumer and name, however many keys have it: 100,000 keys are held in memory.
        consumer, name = self._names.setdefault(consumer, consumer), self._names.setdefault(name, name)
        held = self._scopes.setdefault(told, told) if (told := tuple(scopes)) else ()
        self._added.append(self._put(KeyRecord(ident, consumer, name, Secret(text), created, expires, held)))

    def _apply_bring(self, which: str, at: int, parts: int, entries: list[list[Any]]) -> None:
        before = self._bringing[1] if self._bringing[0] == which and at else []
        self._bringing = which, [*before, *entries]  # parts follow each other; what a crash left without its last part counts for nothing
        if at + 1 == parts:
            for entry in self._bringing[1]:
                self._apply_add(*entry)
            self._bringing = "", []

    def _put(self, record: KeyRecord) -> KeyRecord:
        self._shards[shard_of(record.key.reveal())][record.id] = record
        if record.expires is not None:
            self._expiring[record.id] = record
        return record

    def _apply_rotate(self, ident: str, made: str, text: str, ends: float, *times: Any) -> None:
        created, expires = times
        if old := self._by_id(ident):
            self._added.append(self._put(KeyRecord(made, old.consumer, old.name, Secret(text), created, expires, old.scopes)))
            self._ending.append(self._put(replace(old, expires=ends, successor=made)))

    def _apply_revoke(self, ident: str, _when: float) -> None:
        if gone := self._by_id(ident):
            del self._shards[shard_of(gone.key.reveal())][ident]
            self._expiring.pop(ident, None)
            self._revoked[_digest(gone.key)] = ident
            self._removed.append(gone)

    def _apply_taken(self, entries: list[tuple[str, str]], _when: float) -> None:
        taken = {bytes.fromhex(digest): ident for ident, digest in entries}
        for record in [one for one in self._in(ALL_SHARDS) if _digest(one.key) in taken]:
            del self._shards[shard_of(record.key.reveal())][record.id]
            self._expiring.pop(record.id, None)
            self._removed.append(record)
        self._revoked |= taken

    def _forget_changes(self) -> None:
        self._added, self._removed, self._ending = [], [], []

    @property
    def _changed(self) -> bool:
        return bool(self._added or self._removed or self._ending)

    def _in(self, shards: Iterable[str]) -> Iterator[KeyRecord]:
        for shard in shards:
            yield from self._shards[shard].values()

    def _by_id(self, ident: str) -> KeyRecord | None:
        return next((records[ident] for records in self._shards.values() if ident in records), None)

    def _there(self, ident: str) -> KeyRecord:
        if (found := self._by_id(ident)) is None:
            raise NotFound(f"There is no key {ident}, or it is revoked already.", code="key-missing")
        return found

    def _unused_id(self) -> str:
        return self._unused_ids(1)[0]

    def _unused_ids(self, count: int) -> list[str]:
        taken = set(self._revoked.values())
        found: dict[str, None] = {}
        while len(found) < count:
            if (ident := key_id()) not in taken and self._by_id(ident) is None:
                found[ident] = None
        return list(found)

    def _check(self, wanted: WantedKey, key: Secret) -> None:
        for what, text in (("consumer", wanted.consumer), ("name", wanted.name or "-")):
            if problem := text_problem(text):
                raise Invalid(f"The {what} of a key {problem}.", code="key-invalid")
        if problem := scopes_problem(wanted.scopes):
            raise Invalid(problem, code="scopes-invalid")
        if not is_wellformed(key.reveal()):
            raise Invalid("This isn't the text of a key: it may have been mistyped or cut.", code="key-malformed")
        if wanted.expires is not None and not self._clock() < wanted.expires < 1e11:
            raise Invalid("A key has to expire in the future. Give the time in seconds since 1970.", code="key-expired")

    def _check_unused(self, key: Secret) -> None:
        if _digest(key) in self._revoked:
            raise Conflict("This key was revoked, and stays so. Make another.", code="key-revoked")
        for record in self._shards[shard_of(key.reveal())].values():
            if record.key == key:
                raise Conflict(f"This key is there already: it is {record.id} of {record.consumer}.", code="key-exists")


def _digest(key: Secret) -> bytes:
    return hashlib.sha256(key.reveal().encode()).digest()[:16]


def _shards(records: Iterable[KeyRecord]) -> frozenset[str]:
    return frozenset(shard_of(record.key.reveal()) for record in records)


def _seconds(expires: float | None) -> float | None:
    return None if expires is None else float(expires)


def _parts(entries: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    part: list[Sequence[Any]] = []
    size = 0
    for entry in entries:
        size += (more := len(orjson.dumps(entry)))
        if size > _PART_BYTES:
            yield part
            part, size = [], more
        part.append(entry)
    yield part
