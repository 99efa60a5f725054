"""What an edit adds, changes and removes, by name."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bartizan.model.snapshot import LIVE_KINDS, Snapshot

Digests = Mapping[str, str]
"""What each thing says, as a hash: by names such as `Authorize/refunds`."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Names, in order."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def to_json(self) -> dict[str, list[str]]:
        """As JSON."""
        return {"added": [*self.added], "changed": [*self.changed], "removed": [*self.removed]}


def edits(before: Digests, after: Digests) -> Edits:
    """What is otherwise after than before."""
    return Edits(
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
        tuple(sorted(before.keys() - after.keys())),
    )


def digests(snapshot: Snapshot, *, live: bool | None = None) -> dict[str, str]:
    """What its resources say; only those that are `live` data, or only those that aren't, if it is given."""
    held = snapshot.resources.items()
    return {f"{kind}/{name}": one.digest for (kind, name), one in held if live is None or (kind in LIVE_KINDS) is live}


def file_digests(snapshot: Snapshot) -> dict[str, str]:
    """What the files say that its policies name."""
    return {f"File/{name}": hashlib.sha256(content).hexdigest() for name, content in snapshot.files.items()}
