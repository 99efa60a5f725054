"""Follows files of JSON lines as they grow, over rotations: one of them, or those of all nodes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from bartizan.telemetry.places import folders

_PAUSE_S = 0.1
_MOST_BYTES = 256 << 10
"""So much is read at a time: other work waits meanwhile."""


class _Tail:
    """One file, by its name."""

    def __init__(self, path: Path, *, at_end: bool) -> None:
        self._path, self._at_end = path, at_end
        self._file: BinaryIO | None = None
        self._rest = b""

    def read(self, *, wanted: bool = True) -> list[dict[str, Any]] | None:
        """The records of what was appended, none of them unless they are wanted; None if nothing was appended."""
        if self._file is None:
            self._file = _opened(self._path, self._at_end)
            self._at_end = False  # a file that comes later is read from its beginning
        if self._file is None:
            return None
        data = self._file.read(_MOST_BYTES)
        if not data and _replaced(self._file, self._path):
            data = self._file.read(_MOST_BYTES)  # what came between the last look and the new file
            if not data:
                self.close()
                return self.read(wanted=wanted)
        if not data:
            return None
        if not wanted:
            self._rest = (self._rest + data).rpartition(b"\n")[2]
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [record for record in map(_record, lines) if record is not None]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""


async def followed(path: Path) -> AsyncIterator[list[dict[str, Any]]]:
    """Batches of records appended from now on. A line that can't be read is left out: a record must never cost anything else."""
    tail = _Tail(path, at_end=True)
    try:
        while True:
            if (batch := tail.read()) is not None:
                yield batch
            await asyncio.sleep(_PAUSE_S if batch is None else 0)
    finally:
        tail.close()


async def followed_everywhere(records: Path, stem: str, wanted: Callable[[], bool] = lambda: True) -> AsyncIterator[list[dict[str, Any]]]:
    """The same of all nodes whose records come to this folder; each batch is of one of them. As long as none are `wanted` they are passed
    over, and not looked into."""
    tails = {folder: _Tail(folder / f"{stem}.jsonl", at_end=True) for folder in folders(records)}
    try:
        while True:
            busy = False
            for tail in list(tails.values()):
                if (batch := tail.read(wanted=wanted())) is not None:
                    busy = True
                    if batch:
                        yield batch
                    await asyncio.sleep(0)
            if not busy:
                await asyncio.sleep(_PAUSE_S)
            came = {folder: _Tail(folder / f"{stem}.jsonl", at_end=False) for folder in folders(records) if folder not in tails}
            tails.update(came)  # nodes that came meanwhile
    finally:
        for tail in tails.values():
            tail.close()


def _opened(path: Path, at_end: bool) -> BinaryIO | None:
    try:
        file = path.open("rb")
    except OSError:
        return None
    if at_end:
        file.seek(0, os.SEEK_END)
    return file


def _replaced(file: BinaryIO, path: Path) -> bool:
    try:
        now, then = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (now.st_ino, now.st_dev) != (then.st_ino, then.st_dev) or now.st_size < file.tell()


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
