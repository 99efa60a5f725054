"""The record of changes: one line of JSON for each revision that became active, with what it loosens. Never rotated away."""

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

CHANGES = "records/changes.jsonl"
_log = logging.getLogger("bartizan")
_MOST_WAITING = 10_000


class Changes:
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        """What couldn't be written yet."""

    def note(self, change: Mapping[str, Any]) -> None:
        """Appends a line, and waits for the disk: what changed the rules must be there after a crash.

        If it can't be written, it waits for the next one: what decides already goes on without it."""
        self._waiting.append(orjson.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **change}) + b"\n")
        try:
            _appended(self._path, b"".join(self._waiting))
        except OSError as error:
            _log.error("that revision %s decides can't be noted yet: %s: %s", change.get("revision"), self._path, error.strerror or error)
            del self._waiting[:-_MOST_WAITING]
        else:
            self._waiting.clear()


def _appended(path: Path, lines: bytes) -> None:
    """All of them, or nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        try:
            rest = lines
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
