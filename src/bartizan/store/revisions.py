"""The kept revisions: a line of signed commits for each team, each following the one before."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, insert, select

from bartizan.errors import Conflict, Invalid, NotFound, Unavailable
from bartizan.store import objects
from bartizan.store.database import Database, Tampered
from bartizan.store.model import DEFAULT_TEAM, Change, Commit, Content, Finding, Seal, canonical, canonical_form, keepable, sha256
from bartizan.store.tables import COMMITS, is_sound

_NUMBER = re.compile(r"[0-9]{1,9}")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


class Revisions:
    """The commits and what they hold."""

    def __init__(self, database: Database, seal: Seal | None) -> None:
        self._database = database
        self._seal = seal

    def commit(self, content: Content, change: Change) -> Commit:
        """Keeps `content` as the team's newest. Conflict if the newest isn't the one that the change was made from."""
        if (seal := self._seal) is None:
            raise Unavailable("This store was opened for reading: nothing can be committed.", code="store-read-only")
        keepable(change.author, change.message, change.team, *change.loosens)
        made = objects.tree(content)
        with self._database.writing("commits") as connection:
            newest = self._newest(connection, change.team)
            if (newest.number if newest else None) != change.parent:
                raise _conflict(newest, change)
            objects.write(connection, made)
            unsigned = Commit(
                number=newest.number + 1 if newest else 1,
                team=change.team,
                revision=content.revision,
                digest=made.digest,
                author=change.author,
                message=change.message,
                time_ms=round(self._database.clock() * 1000),
                door=change.door,
                loosens=change.loosens,
                before=sha256(canonical_form(newest)) if newest else "",
                signer=seal.signer,
                signature=b"",
            )
            commit = replace(unsigned, signature=seal.sign(canonical_form(unsigned)))
            connection.execute(insert(COMMITS), [_row(commit)])
        return commit

    def head(self, team: str = DEFAULT_TEAM) -> Commit | None:
        """The team's newest commit."""
        with self._database.reading() as connection:
            return self._newest(connection, team)

    def commits(self, team: str = DEFAULT_TEAM, before: int | None = None, limit: int = 50) -> tuple[Commit, ...]:
        """The newest first; with `before`, those with a lower number."""
        wanted = select(COMMITS).where(COMMITS.c.team == team).order_by(COMMITS.c.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(COMMITS.c.number < before)
        with self._database.reading() as connection:
            return tuple(self._checked(row) for row in connection.execute(wanted))

    def find(self, text: str, team: str = DEFAULT_TEAM) -> Commit:
        """The commit that a number names; or the newest one with this revision, or with the one revision that begins so."""
        by_number = _NUMBER.fullmatch(text)
        if not by_number and not _PREFIX.fullmatch(text):
            raise Invalid(
                f"{text!r} is neither a number nor a revision, nor the first 4 or more characters of one.", code="revision-unreadable"
            )
        wanted = select(COMMITS).where(COMMITS.c.team == team).order_by(COMMITS.c.number.desc())
        with self._database.reading() as connection:
            row = connection.execute(wanted.where(COMMITS.c.number == int(text))).first() if by_number else None
            if row is None and _PREFIX.fullmatch(text):
                begin = wanted.where(COMMITS.c.revision.startswith(text))
                names = connection.scalars(begin.with_only_columns(COMMITS.c.revision).order_by(None).distinct().limit(3)).all()
                if len(names) > 1:
                    raise Invalid(f"Several revisions begin with {text}: {', '.join(sorted(names))}.", code="revision-ambiguous")
                row = connection.execute(begin.limit(1)).first()
            if row is None:
                raise NotFound(f"There is no revision {text}. `bartizan log` lists them.", code="revision-missing")
            return self._checked(row)

    def content(self, commit: Commit) -> Content:
        """What this commit holds. Never anything else: it is held against the commit's digest."""
        with self._database.reading() as connection:
            found = objects.content(connection, commit.digest)
        if found.revision != commit.revision:
            raise Tampered(f"Commit {commit.number} names a revision that its content isn't. Restore the store from a backup.")
        return found

    def teams(self) -> Mapping[str, int]:
        """The teams that have committed, and how often."""
        with self._database.reading() as connection:
            rows = connection.execute(select(COMMITS.c.team, func.count()).group_by(COMMITS.c.team).order_by(COMMITS.c.team))
            return {team: count for team, count in rows}

    def findings(self, team: str = DEFAULT_TEAM) -> Iterator[Finding]:
        """All that is wrong with a team's line: commits changed, forged, missing, or out of order."""
        before, number = "", 0
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=500).execute(
                select(COMMITS).where(COMMITS.c.team == team).order_by(COMMITS.c.number)
            ):
                try:
                    commit = _commit(row)
                except Tampered:
                    yield Finding(row.number, f"{team}: was changed after it was signed")
                    before, number = "", row.number
                    continue
                if commit.number != number + 1:
                    yield Finding(commit.number, f"{team}: commits {number + 1} to {commit.number - 1} are missing")
                elif commit.before != before:
                    yield Finding(commit.number, f"{team}: doesn't follow the commit before")
                if self._seal is not None and not self._seal.verify(commit.signer, canonical_form(commit), commit.signature):
                    yield Finding(commit.number, f"{team}: was changed after it was signed, or signed with a key that isn't trusted")
                before, number = sha256(canonical_form(commit)), commit.number

    def content_findings(self) -> tuple[Finding, ...]:
        """All that is wrong with what the commits hold: documents and files that were changed or are gone."""
        with self._database.reading() as connection:
            digests = connection.scalars(select(COMMITS.c.digest).distinct()).all()
            return tuple(Finding(0, told) for told in objects.findings(connection, digests))

    def _newest(self, connection: Connection, team: str) -> Commit | None:
        row = connection.execute(select(COMMITS).where(COMMITS.c.team == team).order_by(COMMITS.c.number.desc()).limit(1)).first()
        return self._checked(row) if row is not None else None

    def _checked(self, row: Row[Any]) -> Commit:
        commit = _commit(row)
        if self._seal is not None and not self._seal.verify(commit.signer, canonical_form(commit), commit.signature):
            raise Tampered(
                f"Commit {commit.number} of {commit.team} was changed after it was signed, or signed with a key that isn't trusted. "
                "Restore the store from a backup, and find out who did it: `bartizan audit verify`."
            )
        return commit


def _conflict(newest: Commit | None, change: Change) -> Conflict:
    if newest is None:
        return Conflict(f"There is no commit {change.parent}: {change.team} has none yet.", code="commit-conflict")
    seen = f"you started from {change.parent}" if change.parent is not None else "you started from none"
    return Conflict(
        f"{newest.author} was faster: commit {newest.number} (revision {newest.revision}: {newest.message!r}) is the newest, and {seen}. "
        "Look at what changed, then try again from there.",
        code="commit-conflict",
    )


def _row(commit: Commit) -> dict[str, object]:
    kept = {column.name: getattr(commit, column.name) for column in COMMITS.columns}
    return {**kept, "loosens": canonical(commit.loosens).decode()}


def _commit(row: Row[Any]) -> Commit:
    try:
        loosens = tuple(orjson.loads(row.loosens)) if is_sound(row, COMMITS) else None
    except (ValueError, TypeError):
        loosens = None
    if loosens is None:
        raise Tampered(f"Commit {row.number} was changed after it was written. Restore the store from a backup.")
    return Commit(**{**row._mapping, "loosens": loosens})  # noqa: SLF001 - SQLAlchemy's documented name
