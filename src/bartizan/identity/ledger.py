"""A journal whose records are events, and what each event does to the state that it makes.

Live data is kept so: keys, blocks, secrets, declared consumers, the nodes of the fleet. Whatever process appends an event, all come to
the same state, because each is applied once and in the same order.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from bartizan.errors import Unavailable
from bartizan.identity.journal import Journal
from bartizan.secrets.envelope import Envelope


class Ledger:
    """The events of the journal `path`, sealed as `name`'s. Whoever reads or changes the state that they make holds `lock`."""

    def __init__(self, path: Path, envelope: Envelope, name: str, events: Mapping[str, Callable[..., None]]) -> None:
        """`events`: what is called for each, with what it was appended with. Their targets have to be there: all are read at once."""
        self.lock = threading.Lock()
        self._journal = Journal(path, envelope, name)
        self._events = events
        self.absorb()

    def close(self) -> None:
        self._journal.close()

    @property
    def count(self) -> int:
        """How many events there were, ever. It never falls."""
        return self._journal.count

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the lock, and other processes off, with everything taken in that they wrote. Then `append`."""
        with self.lock, self._journal.locked():
            self.absorb()
            yield

    def append(self, event: str, *fields: Any) -> None:
        """Writes an event so that it outlasts a crash, and applies it. Only while `writing`. `fields` are what JSON can hold."""
        record = orjson.dumps((event, *fields))
        self._journal.append(record)
        self._apply(record)

    def absorb(self) -> None:
        """Applies what was appended since, by whomever. Only with `lock` held."""
        for record in self._journal.read():
            self._apply(record)

    def _apply(self, record: bytes) -> None:
        event, *fields = orjson.loads(record)
        known = self._events.get(event)
        if known is None:
            told = f"The file {self._journal.path} holds a record that this version doesn't know. Use the version that wrote it."
            raise Unavailable(told, code="journal-of-newer-version")
        known(*fields)
