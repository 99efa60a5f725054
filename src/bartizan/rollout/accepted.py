"""The files as they were accepted last: what a control plane goes on with when it restarts among files with mistakes.

Without it, no key could be revoked and no consumer's keys be told until somebody mends the files.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

import orjson

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot


class Accepted:
    """Kept in `file`, whole or not at all."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def keep(self, texts: Mapping[str, str], named: Mapping[str, bytes]) -> None:
        """Keeps the YAML files by their names, and the files that policies name."""
        contents = {name: base64.b64encode(content).decode() for name, content in named.items()}
        partial = self._file.with_suffix(".new")
        partial.write_bytes(orjson.dumps({"texts": dict(texts), "named": contents}))
        partial.replace(self._file)

    def compiled(self) -> Compiled | None:
        """What was kept. None if nothing was, or if this version finds a mistake in it."""
        try:
            kept = orjson.loads(self._file.read_bytes())
            reads = [read(text, name) for name, text in kept["texts"].items()]
            named = {name: base64.b64decode(content) for name, content in kept["named"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        found = assemble(reads, named)
        made = compile(found) if isinstance(found, Snapshot) else None
        return made if made is not None and not made.problems else None
