"""What Envoy acknowledged last, on disk and sealed, so that a node serves it again without a control plane.

A journal: first a whole state, then each release that came after it, so that what changes is all that is written. When it has
grown long, a new one is written beside it and takes its place at once: a crash at any moment leaves the old state or the new one.
A release that a crash cut off at the end was never told as kept, and is passed over. Each line says which journal it is of, and is sealed
for its place in it: whatever else is missing, changed or moved refuses the whole.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.identity.journal import Journal
from bartizan.lib.files import synced
from bartizan.lib.sockets import private_folder
from bartizan.secrets.envelope import Envelope
from bartizan.xds.frames import decoded_release, encoded_release
from bartizan.xds.release import Position, Release, Resource, State, Step

_NAME = "last-good"
_MORE, _END = b"+", b"."
"""How a line begins: the release goes on in the next one, or ends here."""
_IDENT = slice(1, 17)
"""Where a line says which journal it is of."""
_LINE = 1 << 19
"""So much of a release is in one line: the journal reads lines of up to a megabyte, and sealing one doesn't hold up the event loop."""
_SHORT = 4 << 20
"""A journal isn't long as long as its releases are this small, or no larger than the state at its beginning."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole state."""

    position: Position
    resources: tuple[Resource, ...]


class LastGood:
    """The kept state in `folder`, which belongs to one process. Its methods block: call them off the event loop."""

    def __init__(self, folder: Path, envelope: Envelope) -> None:
        self._path = folder / "journal"
        self._envelope = envelope
        self._state = State()
        self._position = Position()
        self._journal: Journal | None = None
        self._ident = b""
        self._sound = False
        """The next release may be appended."""
        self._first = self._later = 0
        """The bytes of the state at the journal's beginning, and of the releases after it."""
        self._writing = threading.Lock()

    @property
    def is_long(self) -> bool:
        """It is time to `compact`."""
        return self._later > max(_SHORT, self._first)

    def load(self) -> Kept | None:
        """What was kept, or None if nothing was. Unavailable if any of it was changed or can't be read: then none is to be trusted."""
        try:
            if not self._path.exists():
                return None
            self._read(Journal(self._path, self._envelope, _NAME))
        except (Unavailable, ValueError, OSError) as error:
            raise Unavailable(
                f"The last good state in {self._path.parent} can't be trusted, so none of it is served: {error} "
                f"Start the control plane, which replaces it; or remove {self._path.parent}.",
                code="last-good-unreadable",
            ) from error
        return Kept(self._position, tuple(self._state))

    def keep(self, release: Release) -> None:
        """Returns when `release` outlasts a crash. After one that failed, the whole state is written with the next."""
        with self._writing:
            for step in release.steps:
                self._state.take(step)
            self._position = release.position
            sound, self._sound = self._sound, False
            if self._journal and sound:
                self._later += self._append(self._journal, release)
            else:
                self._begin()
            self._sound = True

    def reseal(self) -> None:
        """Seals what is kept anew, with the key that is the current one now; what can't be trusted stays as it is."""
        if self._sound:
            self.compact()

    def compact(self) -> None:
        """Begins a new journal with the whole state."""
        with self._writing:
            self._sound = False
            self._begin()
            self._sound = True

    def _begin(self) -> None:
        folder = private_folder(self._path.parent)
        for path in folder.iterdir():
            if path != self._path:
                path.unlink()  # what a crash left behind
        if self._journal:
            self._journal.close()
        self._ident = os.urandom(16)
        journal = self._journal = Journal(folder / "journal.new", self._envelope, _NAME)
        at = self._position
        self._first = self._append(journal, Release(at.sequence, at.revision, at.generation, (Step(tuple(self._state)),)))
        self._later = 0
        journal.path = journal.path.replace(self._path)
        synced(folder)

    def _append(self, journal: Journal, release: Release) -> int:
        """How many bytes it took."""
        record = encoded_release(release)
        with journal.locked():
            for _ in journal.read():  # looks whether the file is still the one we have open
                raise Unavailable(f"Another process writes to {journal.path}.")
            for start in range(0, len(record), _LINE):
                mark = _MORE if start + _LINE < len(record) else _END
                journal.append(mark + self._ident + record[start : start + _LINE])
        return len(record)

    def _read(self, journal: Journal) -> None:
        self._journal = journal
        state, position, ident = State(), None, None
        parts: list[bytes] = []
        for line in journal.read():
            ident = ident or line[_IDENT]
            if line[_IDENT] != ident:
                raise ValueError(f"line {journal.count} is of another journal.")
            parts.append(line[_IDENT.stop :])
            if line[:1] == _MORE:
                continue
            release, size = decoded_release(b"".join(parts)), sum(map(len, parts))
            for step in release.steps:
                state.take(step)
            self._first, self._later = (size, 0) if position is None else (self._first, self._later + size)
            position = release.position
            parts.clear()
        if ident is None or position is None:
            raise ValueError("its beginning is cut off.")
        self._state, self._position, self._ident, self._sound = state, position, ident, not parts
