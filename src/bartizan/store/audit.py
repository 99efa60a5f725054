"""The audit log: who did what, when, from where, with which result. It only grows, and each entry holds the one before by its hash.

Who can write the database can't write an entry, because each is signed. Who cuts the end off is told by the head, which is kept apart:
in a file beside the store, and wherever the operator wrote down what `bartizan audit verify` printed.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, insert, select

from bartizan.errors import Unavailable
from bartizan.store.database import Database, Tampered
from bartizan.store.head import HeadFile
from bartizan.store.model import Entry, Event, Finding, Head, Seal, canonical, hash_of, keepable, signed_text
from bartizan.store.tables import AUDIT, is_sound


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: all that is said must hold."""

    after: int = 0
    """A number: entries behind it."""
    since_ms: int = 0
    actor: str = ""
    action: str = ""
    """The whole word, or its beginning up to a dot: `rollout` finds `rollout.promote`."""
    limit: int = 1000
    newest: bool = False
    """Whether the last ones count where there are more than `limit`. They come in their order all the same."""


class Audit:
    """The log of one store."""

    def __init__(self, database: Database, seal: Seal | None, head: Path | None) -> None:
        self._database = database
        self._seal = seal
        self._head = HeadFile(head, seal) if head is not None else None

    def append(self, event: Event) -> Entry:
        """Writes an entry behind the last. It is on the disk when this returns."""
        if (seal := self._seal) is None:
            raise Unavailable("This store was opened for reading: nothing can be written to its audit log.", code="store-read-only")
        keepable(event.actor, event.action, event.target, event.origin, event.result)
        canonical(event.details)
        with self._head.locked() if self._head else nullcontext():
            with self._database.writing("audit") as connection:
                self._check_kept(connection)
                last = connection.execute(select(AUDIT.c.number, AUDIT.c.hash).order_by(AUDIT.c.number.desc()).limit(1)).first()
                number, before = (last[0] + 1, last[1]) if last is not None else (1, "")
                bare = Entry(number, round(self._database.clock() * 1000), event, before, "", seal.signer, b"")
                hashed = replace(bare, hash=hash_of(bare))
                entry = replace(hashed, signature=seal.sign(signed_text(hashed)))
                connection.execute(insert(AUDIT), [_row(entry)])
            if self._head is not None:
                self._head.write(Head(entry.number, entry.hash))
        return entry

    def entries(self, wanted: Wanted = Wanted()) -> tuple[Entry, ...]:
        """Entries in their order."""
        rows = _narrowed(wanted).order_by(AUDIT.c.number.desc() if wanted.newest else AUDIT.c.number).limit(wanted.limit)
        with self._database.reading() as connection:
            found = tuple(_entry(row) for row in connection.execute(rows))
        return found[::-1] if wanted.newest else found

    def is_genuine(self, entry: Entry) -> bool:
        """Whether the entry is what was signed, by a key that is trusted. Whether others are missing, only `verify` tells."""
        signed = self._seal is None or self._seal.verify(entry.signer, signed_text(entry), entry.signature)
        return signed and entry.hash == hash_of(entry)

    def kept_head(self) -> Head | None:
        """How far the log went, as the file beside it says. Raises if that file is damaged or forged."""
        return self._head.read() if self._head is not None else None

    def verify(self, head: Head | None = None) -> tuple[Head | None, tuple[Finding, ...]]:
        """The log's last entry, and all that is wrong: entries changed, forged, missing or out of order, or an end that is cut off. The end
        is held against `head` and against the file that is kept beside the store; without either it can't be."""
        findings: list[Finding] = []
        try:
            known = [one for one in (head, self.kept_head()) if one is not None]
        except Tampered as error:
            known = [head] if head is not None else []
            findings.append(Finding(0, error.message))
        last: Head | None = None
        expected = {one.number: one.hash for one in known}
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=500).execute(select(AUDIT).order_by(AUDIT.c.number))
            for last, faults in self._walked(rows):
                findings += faults
                if expected.get(last.number, last.hash) != last.hash:
                    findings.append(Finding(last.number, "isn't the entry that the head names"))
        end = last.number if last else 0
        findings += [
            Finding(one.number, f"the log was cut off: it ends with {end}, and went on to {one.number}")
            for one in known
            if one.number > end
        ]
        if self._head is not None and last is not None and not known and not findings:
            findings.append(Finding(last.number, f"the file {self._head.path} is gone, so nothing tells whether the end was cut off"))
        return last, tuple(dict.fromkeys(findings))

    def _walked(self, rows: Iterable[Row[Any]]) -> Iterator[tuple[Head, list[Finding]]]:
        before, number = "", 0
        for row in rows:
            faults: list[Finding] = []
            try:
                entry = _entry(row)
            except Tampered:
                number, before = (row.number if isinstance(row.number, int) else number + 1), str(row.hash)
                yield Head(number, before), [Finding(number, "was changed after it was written")]
                continue
            if entry.number != number + 1:
                faults.append(Finding(entry.number, f"entries {number + 1} to {entry.number - 1} are missing"))
            elif entry.before != before:
                faults.append(Finding(entry.number, "doesn't follow the entry before"))
            if entry.hash != hash_of(entry):
                faults.append(Finding(entry.number, "was changed after it was written"))
            if self._seal is not None and not self._seal.verify(entry.signer, signed_text(entry), entry.signature):
                faults.append(Finding(entry.number, "wasn't signed with a key that is trusted"))
            before, number = entry.hash, entry.number
            yield Head(number, before), faults

    def _check_kept(self, connection: Connection) -> None:
        """An entry behind a cut would make the cut good: the head would lie before it."""
        kept = self.kept_head()
        if kept is not None and connection.scalar(select(AUDIT.c.hash).where(AUDIT.c.number == kept.number)) != kept.hash:
            raise Tampered(
                f"The audit log was cut off or replaced: entry {kept.number}, which it had, isn't there. Restore the log. If it was put "
                f"back from a backup on purpose, note that, and move {self._head.path if self._head else 'the head'} aside.",
                code="audit-cut",
            )


def _narrowed(wanted: Wanted) -> Select[Any]:
    rows = select(AUDIT).where(AUDIT.c.number > wanted.after, AUDIT.c.time_ms >= wanted.since_ms)
    if wanted.actor:
        rows = rows.where(AUDIT.c.actor == wanted.actor)
    if wanted.action:
        rows = rows.where((AUDIT.c.action == wanted.action) | AUDIT.c.action.startswith(wanted.action + ".", autoescape=True))
    return rows


def _row(entry: Entry) -> dict[str, object]:
    event = entry.event
    return {
        "number": entry.number,
        "time_ms": entry.time_ms,
        "actor": event.actor,
        "action": event.action,
        "target": event.target,
        "origin": event.origin,
        "result": event.result,
        "details": canonical(event.details).decode(),
        "before": entry.before,
        "hash": entry.hash,
        "signer": entry.signer,
        "signature": entry.signature,
    }


def _entry(row: Row[Any]) -> Entry:
    try:
        details = orjson.loads(row.details) if is_sound(row, AUDIT) else None
    except ValueError:
        details = None
    if not isinstance(details, dict):
        raise Tampered(f"Entry {row.number} of the audit log was changed after it was written: see `bartizan audit verify`.")
    event = Event(row.actor, row.action, row.target, row.origin, row.result, details)
    return Entry(row.number, row.time_ms, event, row.before, row.hash, row.signer, row.signature)
