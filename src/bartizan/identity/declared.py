"""Consumers and issuers that are declared through the admin API, beside those of the files.

Live data, no policy: kept in a sealed journal that only grows, outside revisions, so that no rollback brings one back. They are read
together with the files, as if they stood in one of them: a name that both declare is a Problem.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

import orjson

from bartizan.compile.read import Read, read_documents
from bartizan.errors import Invalid, Unavailable
from bartizan.identity.journal import Journal
from bartizan.lib.yaml import Document
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Key, Resource, share_of
from bartizan.secrets.envelope import Envelope

DECLARED = "declared.journal"
PLACE = "api"
"""What stands where a file's name does: `api/Consumer/acme`."""


class Declared:
    """The live resources in the journal `path`. Methods may be called from any thread; writing waits for the disk."""

    def __init__(self, path: Path, envelope: Envelope) -> None:
        self._lock = threading.Lock()
        self._journal = Journal(path, envelope, "declared")
        self._reads: dict[Key, Read] = {}
        self._whole: Read | None = None
        for record in self._journal.read():
            self._apply(record)

    def close(self) -> None:
        self._journal.close()

    @property
    def generation(self) -> int:
        """How often they have changed, ever. It never falls."""
        return self._journal.count

    def __contains__(self, key: Key) -> bool:
        return key in self._reads

    def read(self) -> Read:
        """All of them. The very same object as long as none changes."""
        with self._lock:
            if self._whole is None:
                self._whole = _joined(self._reads.values())
            return self._whole

    def put(self, key: Key, body: bytes, by: str, when: float) -> None:
        """Declares this, as canonical JSON with its kind and name. Invalid if it can't be. `when` in seconds since the epoch."""
        found = document_read(key, body)
        if found.problems:
            raise Invalid("The document has problems.", problems=found.problems)
        self._append(["put", *key, body.decode(), by, when])

    def delete(self, key: Key, by: str, when: float) -> None:
        """Takes it away for good."""
        self._append(["delete", *key, by, when])

    def _append(self, event: list[str | float]) -> None:
        with self._lock, self._journal.locked():
            for record in self._journal.read():
                self._apply(record)
            record = orjson.dumps(event)
            self._journal.append(record)
            self._apply(record)

    def _apply(self, record: bytes) -> None:
        event, kind, name, *fields = orjson.loads(record)
        if event == "put":
            self._reads[kind, name] = document_read((kind, name), fields[0].encode())
        elif event == "delete":
            self._reads.pop((kind, name), None)
        else:
            raise Unavailable(
                f"The file {self._journal.path} holds a record that this version doesn't know. Use the version that wrote it.",
                code="journal-of-newer-version",
            )
        self._whole = None


def document_read(key: Key, body: bytes) -> Read:
    """One document, with what is wrong with it. It isn't YAML: a reader of that would read some of it otherwise."""
    return read_documents([Document(orjson.loads(body), {})], "/".join((PLACE, *key)))


def _joined(reads: Iterable[Read]) -> Read:
    resources: list[Resource] = []
    problems: list[Problem] = []
    for one in reads:
        resources += one.resources
        problems += one.problems
    return Read(share_of(tuple(resources)), tuple(problems))
