"""A stream of records on a node's disk, from a place on: over files that are closed, and past those that had to be deleted."""

import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bartizan.telemetry.search import files
from bartizan.telemetry.shipping import MOST_BYTES, At

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines, and the places where the piece before ended and where this one does."""

    lines: bytes
    after: At
    at: At


class Trail:
    """The files `stem` in `folder`. Bytes are never parsed here. Methods block, and may be called from any thread.

    The file that is being read stays open, so that what rotation deletes meanwhile is read to its end all the same.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder, self._stem = folder, stem
        self._file: BinaryIO | None = None
        self._at = At()
        self._end = At()
        """Where the last piece ended: in the file that is open, or in the one before."""
        self._lock = threading.RLock()
        self._waiting: dict[str, tuple[int, int]] = {}
        """Closed files behind the one that is read, by name, which they keep: how many records and bytes."""
        self._current = 0
        """Bytes of the file that is being written, unless that is the one that is read."""
        self._lost = 0

    def seek(self, at: At) -> None:
        """Goes on from here. A place that can't be found any more was deleted: then the oldest is next."""
        with self._lock:
            self.look()
            if self._file is None or at.file != self._at.file:
                self.close()
                self._file = self._found(at.file)
                self._lost += bool(at.file) and self._file is None  # how many of it were left to be read, nobody knows
            self._at = at if self._file is not None else At()
            self._end = at
            self.look()

    def lost(self) -> int:
        """How many records were deleted unread since this was asked last; at least."""
        with self._lock:
            lost, self._lost = self._lost, 0
            return lost

    def behind(self) -> int:
        """How many bytes are there unread, as far as was looked."""
        with self._lock:
            own = os.fstat(self._file.fileno()).st_size - self._at.offset if self._file is not None else 0
            return max(own, 0) + sum(size for _, size in self._waiting.values()) + self._current

    def next(self) -> Piece | None:
        """What comes next; None if there is nothing yet."""
        with self._lock:
            while self._file is not None or self._advance():
                if (piece := self._lines()) is not None:
                    return piece
                if not self._newer():
                    return None
                if (piece := self._lines()) is not None:  # written between the last look and the next file
                    return piece
                if not self._advance():
                    return None
            return None

    def look(self) -> None:
        """Notes which files wait; counts what was deleted unread. To be called again and again, also while nothing can be shipped."""
        with self._lock:
            self._look()

    def _look(self) -> None:
        newer = self._newer()
        if newer is None:
            return
        there: dict[str, tuple[int, int]] = {}
        self._current = 0
        for path in newer:
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                if path.name == f"{self._stem}.jsonl":
                    self._current = size
                else:
                    there[path.name] = self._waiting.get(path.name) or (_count(path), size)
        gone = [count for name, (count, _) in self._waiting.items() if name not in there and not (self._folder / name).exists()]
        self._lost += sum(gone)
        self._waiting = there

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _lines(self) -> Piece | None:
        """The next lines of the file that is open."""
        if self._file is None:
            return None
        self._file.seek(self._at.offset)
        data = self._file.read(MOST_BYTES)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == MOST_BYTES:  # no record of ours is so long
            rest = self._file.readline()
            if not rest.endswith(b"\n"):
                return None
            self._lost += 1
            self._at = At(file=self._at.file or _hash(data), offset=self._file.tell())
            return self._piece(b"")
        if not end:
            return None
        self._at = At(file=self._at.file or _hash(data), offset=self._at.offset + end)
        return self._piece(data[:end])

    def _piece(self, lines: bytes) -> Piece:
        after, self._end = self._end, self._at
        return Piece(lines, after, self._at)

    def _found(self, name: str) -> BinaryIO | None:
        for path in (*self._oldest_first(), *self._oldest_first()) if name else ():  # again, if one was given another name meanwhile
            if (opened := _opened(path)) is None:
                continue
            if _name(opened) == name:
                return opened
            opened.close()
        return None

    def _advance(self) -> bool:
        """To the file behind the one that is open, or to the oldest."""
        self._look()
        for path in self._newer() or ():
            if (opened := _opened(path)) is None:
                continue
            first = next(iter(self._newer() or ()), None)
            if first is None or not _is(opened, first):  # given another name meanwhile: what was opened is the one behind it
                opened.close()
                return False
            self.close()
            self._file, self._at = opened, At(file=_name(opened))
            self._waiting.pop(first.name, None)
            self._look()
            return True
        return False

    def _oldest_first(self) -> list[Path]:
        return list(files(self._folder, self._stem))[::-1]

    def _newer(self) -> list[Path] | None:
        """The files behind the one that is open; if that was deleted, all, as the oldest go first. None: nobody can tell now."""
        paths = self._oldest_first()
        if self._file is None or os.fstat(self._file.fileno()).st_nlink == 0:
            return paths
        at = next((at for at, path in enumerate(paths) if _is(self._file, path)), None)
        return paths[at + 1 :] if at is not None else None


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is(file: BinaryIO, path: Path) -> bool:
    """Whether this is what the path leads to."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _name(file: BinaryIO) -> str:
    """The file as `At` names it; empty if it has no whole line yet."""
    file.seek(0)
    line = file.readline(MOST_BYTES)
    return _hash(line) if line.endswith(b"\n") or len(line) == MOST_BYTES else ""


def _hash(data: bytes) -> str:
    return hashlib.sha256(data.partition(b"\n")[0]).hexdigest()[:16]


def _count(path: Path) -> int:
    """How many records it holds."""
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found += chunk.count(b"\n")
    return found
