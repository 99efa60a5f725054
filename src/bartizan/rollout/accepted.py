"""The files as they were accepted last: what a control plane goes on with when it restarts among files with mistakes.

Without it, no key could be revoked and no consumer's keys be told until somebody mends the files.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

import orjson

from bartizan.compile import Compiled, compile
from bartizan.compile.read import Read, assemble, read
from bartizan.lib.files import replaced
from bartizan.model.snapshot import Snapshot

FILE = "accepted.json"


class Accepted:
    """Kept in `file`, whole or not at all; not at once, because nobody waits for it but a restart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._next: tuple[Mapping[str, str], Mapping[str, bytes]] | None = None

    def take(self, texts: Mapping[str, str], named: Mapping[str, bytes]) -> None:
        """The YAML files by their names, and the files that policies name: what is to be kept next."""
        self._next = texts, named

    @property
    def due(self) -> bool:
        """Whether something is to be kept that isn't yet."""
        return self._next is not None

    def keep(self) -> None:
        """Writes what was taken last. May be called from another thread."""
        if (wanted := self._next) is None:
            return
        texts, named = wanted
        contents = {name: base64.b64encode(content).decode() for name, content in named.items()}
        replaced(self._file, orjson.dumps({"texts": texts, "named": contents}))
        if self._next is wanted:
            self._next = None

    def compiled(self, *beside: Read) -> Compiled | None:
        """What was kept, with what is declared `beside` the files. None if nothing was, or if this version finds a mistake in it."""
        try:
            kept = orjson.loads(self._file.read_bytes())
            reads = [read(text, name) for name, text in kept["texts"].items()]
            named = {name: base64.b64decode(content) for name, content in kept["named"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        found = assemble([*reads, *beside], named)
        made = compile(found) if isinstance(found, Snapshot) else None
        return made if made is not None and not made.problems else None
