"""An append-only file of sealed records, one a line, that several processes read and write at once.

A record is sealed for its line number, so that records can't be moved, copied or left out in the middle. A writer holds the
file's lock; readers need none, because a line counts only once its end is there. A last line without an end is what a crash
left behind: readers pass over it, and the next writer cuts it off. A file that another process put in its
place is gone on with, if it begins with the very same records: so keys can be rotated while everybody reads and writes.
"""

import binascii
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bartizan.errors import Unavailable
from bartizan.lib.files import synced
from bartizan.secrets.envelope import CannotOpen, Envelope

_CHUNK = 1 << 20
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


@dataclass(slots=True)
class _At:
    """A file that is open, and how far it was read."""

    file: int
    count: int = 0
    offset: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    """Of all records that were read: a file in the place of this one has to begin with the same."""

    def passed(self, record: bytes, length: int) -> None:
        self.count += 1
        self.offset += length
        self.digest.update(len(record).to_bytes(8, "big"))
        self.digest.update(record)


class Journal:
    """The records of `path`; `count` of them have been read or written through this object."""

    def __init__(self, path: Path, envelope: Envelope, name: str) -> None:
        self.path = path
        self._envelope = envelope
        self._name = name
        with self._named():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._at = _At(os.open(path, _OPEN | os.O_CREAT, 0o600))
            synced(path.parent)

    @property
    def count(self) -> int:
        return self._at.count

    def close(self) -> None:
        os.close(self._at.file)

    def read(self) -> Iterator[bytes]:
        """The records appended since the last read, by whomever. A record counts as read when it is yielded."""
        with self._named():
            self._envelope.look()
            self._follow()
            yield from self._records(self._at)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds off other writers. Read everything first, then `append`."""
        with ExitStack() as held:
            with self._named():
                fcntl.flock(self._at.file, fcntl.LOCK_EX)
                held.callback(self._unlock)
                while self._follow():  # who held the lock may have put a file in the place of the one that we waited for
                    fcntl.flock(self._at.file, fcntl.LOCK_EX)
            yield

    def _unlock(self) -> None:
        fcntl.flock(self._at.file, fcntl.LOCK_UN)

    def append(self, record: bytes) -> None:
        """Writes `record` so that it outlasts a crash, or not at all. Only while `locked`, with everything read."""
        at = self._at
        line = self._line(record, at.count + 1)
        with self._named():
            os.ftruncate(at.file, at.offset)  # what a writer that crashed began
            try:
                _write(at.file, line)
                os.fsync(at.file)
            except OSError:
                os.ftruncate(at.file, at.offset)
                raise
        at.passed(record, len(line))

    def reseal(self) -> None:
        """Seals all records anew, with the key that is the current one now, in a file that takes this one's place at once. Whoever has the
        journal open goes on in that file. A crash leaves the old one or the new one."""
        with self.locked():
            for _ in self.read():
                pass
            anew = self.path.with_name(f"{self.path.name}.anew")
            with self._named(), ExitStack() as undone:
                anew.unlink(missing_ok=True)  # what a crash left
                at = _At(os.open(anew, _OPEN | os.O_CREAT | os.O_EXCL, 0o600))
                undone.callback(os.close, at.file)
                undone.callback(anew.unlink, missing_ok=True)
                fcntl.flock(at.file, fcntl.LOCK_EX)
                self._copy(_At(self._at.file), at)
                os.fsync(at.file)
                anew.replace(self.path)
                undone.pop_all()
                os.close(self._at.file)
                self._at = at
                synced(self.path.parent)

    def _copy(self, old: _At, new: _At) -> None:
        whole = self._at.count
        for record in self._records(old):
            line = self._line(record, new.count + 1)
            _write(new.file, line)
            new.passed(record, len(line))
            if new.count == whole:
                return

    def _line(self, record: bytes, number: int) -> bytes:
        return binascii.b2a_base64(self._envelope.seal(record, self._context(number)))

    def _records(self, at: _At) -> Iterator[bytes]:
        while lines := _lines(at):
            for line in lines:
                record = self._open(line, at.count + 1)
                at.passed(record, len(line) + 1)
                yield record

    def _context(self, number: int) -> str:
        return f"{self._name}/{number}"

    def _open(self, line: bytes, number: int) -> bytes:
        try:
            return self._envelope.open(binascii.a2b_base64(line, strict_mode=True), self._context(number))
        except CannotOpen as error:
            raise type(error)(f"The file {self.path} can't be read. {error.message}") from None
        except binascii.Error:
            raise Unavailable(f"The file {self.path} is damaged at line {number}. Restore it from a backup.") from None

    def _follow(self) -> bool:
        """Whether another file is in this one's place, which holds the same so far: we go on in that one. A file that was swapped or cut
        while in use would bring back what was revoked."""
        mine, there = os.fstat(self._at.file), self.path.stat()
        if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
            if mine.st_size < self._at.offset:
                raise self._replaced()
            return False
        found = _At(os.open(self.path, _OPEN))
        with ExitStack() as undone:
            undone.callback(os.close, found.file)
            self._compare(found)
            undone.pop_all()
        os.close(self._at.file)
        self._at = found
        return True

    def _compare(self, found: _At) -> None:
        if self._at.count:
            for _ in self._records(found):
                if found.count == self._at.count:
                    break
        if found.count != self._at.count or found.digest.digest() != self._at.digest.digest():
            raise self._replaced()

    def _replaced(self) -> Unavailable:
        told = f"The file {self.path} was replaced or cut while it was in use. Restart to take what is there now."
        return Unavailable(told, code="journal-replaced")

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"The file {self.path} can't be used: {error.strerror or error}.", code="journal-unusable") from error


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def _lines(at: _At) -> list[bytes]:
    """The next complete lines, about a megabyte of them; none at the end."""
    chunk = os.pread(at.file, _CHUNK, at.offset)
    return chunk[: chunk.rfind(b"\n") + 1].split(b"\n")[:-1]
