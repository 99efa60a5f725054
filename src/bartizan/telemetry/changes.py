"""The record of changes: one line of JSON for each revision that became active, with what it loosens. Never rotated away."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

CHANGES = "records/changes.jsonl"


def note(path: Path, change: Mapping[str, Any]) -> None:
    """Appends a line, and waits for the disk: what changed the rules must be there after a crash."""
    line = orjson.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **change}) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
