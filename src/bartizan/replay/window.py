"""The records of a span of time, read one after the other from their files: never all of them at once."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bartizan.telemetry.search import series

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are read."""
_TELL_EACH = 1 << 20
_SEED = 1
_AT_ONCE = 200
"""So many files are held open; of more, only those that are still being written."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time; an end that is None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def bounds(self) -> tuple[str, str]:
        """The first moment that is in, and the first that isn't, as records write them: they sort as texts."""
        return _moment(self.since) if self.since else "", _moment(self.until) if self.until else "~"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Records:
    """The records in files, in their order; `folder` gives those of a gateway, the oldest first. To be used once, in a `with`."""

    def __init__(self, paths: Sequence[Path], window: Window, sample: int | None = None) -> None:
        self._paths, self._window, self._sample = paths, window, sample
        self._stack = ExitStack()
        self._open: dict[Path, BinaryIO] = {}
        self.skipped = 0
        """Lines that are no records: a crash may have cut one."""

    @classmethod
    def folder(cls, folder: Path, window: Window, sample: int | None = None) -> "Records":
        """The records that a gateway keeps in this folder: those of each node, one node after the other."""
        return cls(tuple(path for files in series(folder) for path in reversed(list(files))), window, sample)

    def __enter__(self) -> "Records":
        # The newest is opened first: a file that is renamed meanwhile is read all the same, and none twice.
        for path in reversed(self._paths):
            if len(self._paths) <= _AT_ONCE or "-" not in path.stem:
                with suppress(FileNotFoundError):  # the oldest are deleted as new ones come
                    self._open[path] = self._stack.enter_context(path.open("rb"))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, progress: Progress = lambda done, whole: None) -> Iterator[dict[str, Any]]:
        """The records of the window; of so many as a sample wants, chosen among all alike."""
        if self._sample is None:
            yield from self._all(progress)
            return
        left = sum(1 for _ in self._all(lambda done, whole: None))
        wanted, chance = self._sample, random.Random(_SEED)  # noqa: S311 - a sample, not a secret
        self.skipped = 0
        for record in self._all(progress):
            if wanted and left and chance.random() * left < wanted:
                wanted -= 1
                yield record
            left -= 1

    def _all(self, progress: Progress) -> Iterator[dict[str, Any]]:
        first, end = self._window.bounds()
        sizes = {path: self._size(path) for path in self._paths}
        before, told, whole = 0, 0, sum(sizes.values())
        for path, size in sizes.items():
            at = 0
            for line in self._lines(path, size):
                at += len(line)
                if before + at >= told + _TELL_EACH:
                    told = before + at
                    progress(told, whole)
                record = self._record(line)
                if record is not None and first <= record["time"] < end:
                    yield record
            before += size
        progress(whole, whole)

    def _size(self, path: Path) -> int:
        if (file := self._open.get(path)) is not None:
            return file.seek(0, 2)
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return 0

    def _lines(self, path: Path, size: int) -> Iterator[bytes]:
        """The lines that begin before `size`: what comes from now on is for the next time, else a busy gateway would never let it end."""
        file, at = self._open.get(path), 0
        with ExitStack() as stack:
            if file is None:
                try:
                    file = stack.enter_context(path.open("rb"))
                except FileNotFoundError:
                    return
            file.seek(0)
            while at < size and (line := file.readline()):
                at += len(line)
                yield line

    def _record(self, line: bytes) -> dict[str, Any] | None:
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict) and isinstance(found.get("time"), str):
            return found
        self.skipped += 1
        return None
