"""A stream of records on a node's disk, from a place on: over files that are closed, and past those that had to be deleted."""

import hashlib
import os
import threading
from collections.abc import Iterator
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
        self._waiting: dict[tuple[int, int], tuple[int, int]] = {}
        """Closed files behind the one that is read, by device and inode: how many records and bytes."""
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
            return max(own, 0) + sum(size for _, size in self._waiting.values())

    def next(self) -> Piece | None:
        """What comes next; None if there is nothing yet."""
        with self._lock:
            while self._file is not None or self._advance():
                if (piece := self._lines()) is not None:
                    return piece
                if next(self._newer(), None) is None:
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
        there: dict[tuple[int, int], tuple[int, int]] = {}
        for path in self._newer():
            try:
                told = path.stat()
            except FileNotFoundError:
                continue
            key = told.st_dev, told.st_ino
            if path.name == f"{self._stem}.jsonl":
                there[key] = 0, told.st_size  # nobody deletes it
            else:
                known = self._waiting.get(key, (0, 0))
                there[key] = known if known[0] else (_count(path), told.st_size)
        self._lost += sum(count for key, (count, _) in self._waiting.items() if key not in there)
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
        for path in self._oldest_first() if name else ():
            if (opened := _opened(path)) is None:
                continue
            if _name(opened) == name:
                return opened
            opened.close()
        return None

    def _advance(self) -> bool:
        """To the file behind the one that is open, or to the oldest."""
        self.look()
        for path in self._newer():
            if (opened := _opened(path)) is None:
                continue
            self.close()
            self._file, self._at = opened, At(file=_name(opened))
            self._waiting.pop(_key(opened), None)
            return True
        return False

    def _oldest_first(self) -> list[Path]:
        return list(files(self._folder, self._stem))[::-1]

    def _newer(self) -> Iterator[Path]:
        """The files behind the one that is open: all, if that was deleted, because the oldest are deleted first."""
        paths = self._oldest_first()
        if self._file is None:
            return iter(paths)
        if os.fstat(self._file.fileno()).st_nlink == 0:
            return iter(paths)
        mine = _key(self._file)
        for at, path in enumerate(paths):
            with suppress(FileNotFoundError):
                told = path.stat()
                if (told.st_dev, told.st_ino) == mine:
                    return iter(paths[at + 1 :])
        return iter(())  # it is being given another name at this moment


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _key(file: BinaryIO) -> tuple[int, int]:
    told = os.fstat(file.fileno())
    return told.st_dev, told.st_ino


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
