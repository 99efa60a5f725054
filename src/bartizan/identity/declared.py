"""Consumers and issuers that are declared through the admin API, beside those of the files.

Live data, no policy: kept in a sealed journal that only grows, outside revisions, so that no rollback brings one back. They are read
together with the files, as if they stood in one of them: a name that both declare is a Problem.
"""

from collections.abc import Iterable
from pathlib import Path

import orjson

from bartizan.compile.read import Read, read_documents
from bartizan.errors import Invalid
from bartizan.identity.ledger import Ledger
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
        self._reads: dict[Key, Read] = {}
        self._whole: Read | None = None
        self._ledger = Ledger(path, envelope, "declared", {"put": self._apply_put, "delete": self._apply_delete})

    def close(self) -> None:
        self._ledger.close()

    @property
    def generation(self) -> int:
        """How often they have changed, ever. It never falls."""
        return self._ledger.count

    def __contains__(self, key: Key) -> bool:
        return key in self._reads

    def read(self) -> Read:
        """All of them. The very same object as long as none changes."""
        with self._ledger.lock:
            if self._whole is None:
                self._whole = _joined(self._reads.values())
            return self._whole

    def put(self, key: Key, body: bytes, by: str, when: float) -> None:
        """Declares this, as canonical JSON with its kind and name. Invalid if it can't be. `when` in seconds since the epoch."""
        found = document_read(key, body)
        if found.problems:
            raise Invalid("The document has problems.", problems=found.problems)
        with self._ledger.writing():
            self._ledger.append("put", *key, body.decode(), by, when)

    def delete(self, key: Key, by: str, when: float) -> None:
        """Takes it away for good."""
        with self._ledger.writing():
            self._ledger.append("delete", *key, by, when)

    def _apply_put(self, kind: str, name: str, body: str, _by: str, _when: float) -> None:
        self._reads[kind, name] = document_read((kind, name), body.encode())
        self._whole = None

    def _apply_delete(self, kind: str, name: str, _by: str, _when: float) -> None:
        self._reads.pop((kind, name), None)
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
