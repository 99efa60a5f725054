"""An append-only file of sealed records, one a line, that several processes read and write at once.

A record is sealed for its line number, so that records can't be moved, copied or left out in the middle. A writer holds the
file's lock; readers need none, because a line counts only once its end is there. A last line without an end is what a crash
left behind: readers pass over it, and the next writer cuts it off.
"""

import binascii
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bartizan.errors import Unavailable
from bartizan.lib.files import synced
from bartizan.secrets.envelope import CannotOpen, Envelope

_CHUNK = 1 << 20


class Journal:
    """The records of `path`; `count` of them have been read or written through this object."""

    def __init__(self, path: Path, envelope: Envelope, name: str) -> None:
        self.path = path
        self.count = 0
        self._envelope = envelope
        self._name = name
        self._offset = 0
        with self._named():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            synced(path.parent)

    def close(self) -> None:
        os.close(self._file)

    def read(self) -> Iterator[bytes]:
        """The records appended since the last read, by whomever. A record counts as read when it is yielded."""
        with self._named():
            self._check_same()
            while lines := self._lines():
                for line in lines:
                    record = self._open(line)
                    self.count += 1
                    self._offset += len(line) + 1
                    yield record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds off other writers. Read everything first, then `append`."""
        with self._named():
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def append(self, record: bytes) -> None:
        """Writes `record` so that it outlasts a crash, or not at all. Only while `locked`, with everything read."""
        line = binascii.b2a_base64(self._envelope.seal(record, self._context()))
        with self._named():
            os.ftruncate(self._file, self._offset)  # what a writer that crashed began
            try:
                _write(self._file, line)
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._offset)
                raise
        self.count += 1
        self._offset += len(line)

    def _context(self) -> str:
        return f"{self._name}/{self.count + 1}"

    def _lines(self) -> list[bytes]:
        """The next complete lines, about a megabyte of them; none at the end."""
        chunk = os.pread(self._file, _CHUNK, self._offset)
        return chunk[: chunk.rfind(b"\n") + 1].split(b"\n")[:-1]

    def _open(self, line: bytes) -> bytes:
        try:
            return self._envelope.open(binascii.a2b_base64(line, strict_mode=True), self._context())
        except CannotOpen as error:
            raise type(error)(f"The file {self.path} can't be read. {error.message}") from None
        except binascii.Error:
            raise Unavailable(f"The file {self.path} is damaged at line {self.count + 1}. Restore it from a backup.") from None

    def _check_same(self) -> None:
        """A file that was swapped or cut while in use would bring back what was revoked."""
        mine = os.fstat(self._file)
        there = self.path.stat()
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino) or mine.st_size < self._offset:
            raise Unavailable(
                f"The file {self.path} was replaced or cut while it was in use. Restart to take what is there now.", code="journal-replaced"
            )

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"The file {self.path} can't be used: {error.strerror or error}.", code="journal-unusable") from error


def _write(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]
