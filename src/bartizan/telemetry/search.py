"""Finds a request's record by its id, whichever node wrote it, the newest files first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bartizan.telemetry.places import folders

_CHUNK = 8 << 20


def files(folder: Path, stem: str = "requests") -> Iterator[Path]:
    """The files of records in one folder, the newest first."""
    current = folder / f"{stem}.jsonl"
    if current.exists():
        yield current
    yield from sorted(folder.glob(f"{stem}-*.jsonl"), reverse=True)


def series(folder: Path, stem: str = "requests") -> Iterator[Iterator[Path]]:
    """The files of records of each node, the newest first."""
    return (files(one, stem) for one in folders(folder))


def record(folder: Path, request_id: str) -> dict[str, Any] | None:
    """The record of this request, or None if none is kept. What isn't a record is passed over: a crash may have cut a line."""
    needle = orjson.dumps(request_id)
    for path in (path for one in series(folder) for path in one):
        for line in _lines_with(path, needle):
            found = _read(line)
            if found is not None and found.get("request_id") == request_id:
                return found
    return None


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _lines_with(path: Path, needle: bytes) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:  # rotated or deleted since the folder was listed
        return
    with file:
        rest = b""
        while chunk := file.read(_CHUNK):
            whole, _, rest = (rest + chunk).rpartition(b"\n")
            if needle in whole:
                yield from (line for line in whole.split(b"\n") if needle in line)
