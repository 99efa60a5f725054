"""Notes: small values under a key that outlast restarts, written only by who has seen the last version.

None is ever taken away, so that a version means the same note for good; one that is done with holds null.
"""

import orjson
from pydantic import JsonValue
from sqlalchemy import Connection, insert, select, update

from bartizan.errors import Conflict
from bartizan.store.database import Database
from bartizan.store.model import Note, canonical, keepable
from bartizan.store.tables import NOTES


class Notes:
    """The table of notes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Note | None:
        """The note."""
        with self._database.reading() as connection:
            return _note(connection, key)

    def under(self, prefix: str) -> tuple[Note, ...]:
        """The notes whose keys begin so, in order."""
        wanted = select(NOTES).where(NOTES.c.key.startswith(prefix, autoescape=True))
        with self._database.reading() as connection:
            found = [Note(key, orjson.loads(value), version) for key, value, version in connection.execute(wanted)]
        return tuple(sorted((one for one in found if one.key.startswith(prefix)), key=lambda one: one.key))

    def put(self, key: str, value: JsonValue, seen: int = 0) -> Note:
        """Writes a note whose version is `seen`; 0 for one that mustn't be there yet. Conflict if it is another."""
        keepable(key)
        kept = canonical(value).decode()
        with self._database.writing("notes") as connection:
            _compare(_note(connection, key), key, seen)
            if seen:
                connection.execute(update(NOTES).where(NOTES.c.key == key), {"value": kept, "version": seen + 1})
            else:
                connection.execute(insert(NOTES), {"key": key, "value": kept, "version": 1})
        return Note(key, value, seen + 1)


def _note(connection: Connection, key: str) -> Note | None:
    row = connection.execute(select(NOTES.c.value, NOTES.c.version).where(NOTES.c.key == key)).first()
    return Note(key, orjson.loads(row[0]), row[1]) if row is not None else None


def _compare(found: Note | None, key: str, seen: int) -> None:
    version = found.version if found else 0
    if version != seen:
        raise Conflict(f"The note {key} was written by someone else: it has version {version}, and you saw {seen}.", code="note-conflict")
