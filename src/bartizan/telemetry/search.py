"""Finds a request's record by its id, the newest files first."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_CHUNK = 8 << 20


def files(folder: Path, stem: str = "requests") -> Iterator[Path]:
    """The files of records, the newest first."""
    current = folder / f"{stem}.jsonl"
    if current.exists():
        yield current
    yield from sorted(folder.glob(f"{stem}-*.jsonl"), reverse=True)


def record(folder: Path, request_id: str) -> dict[str, Any] | None:
    """The record of this request, or None if none is kept."""
    needle = orjson.dumps(request_id)
    for path in files(folder):
        for line in _lines_with(path, needle):
            found = orjson.loads(line)
            if found.get("request_id") == request_id:
                return dict(found)
    return None


def _lines_with(path: Path, needle: bytes) -> Iterator[bytes]:
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            whole, _, rest = (rest + chunk).rpartition(b"\n")
            if needle in whole:
                yield from (line for line in whole.split(b"\n") if needle in line)
