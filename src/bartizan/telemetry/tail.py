"""Follows a file of JSON lines as it grows, over rotations."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

_PAUSE_S = 0.1
_MOST_BYTES = 4 << 20


async def followed(path: Path) -> AsyncIterator[list[dict[str, Any]]]:
    """Batches of records appended from now on. A line that can't be read is left out: a record must never cost anything else."""
    file: BinaryIO | None = None
    rest = b""
    at_end = True
    while True:
        if file is None:
            file = _opened(path, at_end)
            at_end = False  # a file that comes later is read from its beginning
        data = file.read(_MOST_BYTES) if file is not None else b""
        if data:
            *lines, rest = (rest + data).split(b"\n")
            yield [record for record in map(_record, lines) if record is not None]
            continue
        if file is not None and _replaced(file, path):
            file.close()
            file, rest = None, b""
            continue
        await asyncio.sleep(_PAUSE_S)


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
