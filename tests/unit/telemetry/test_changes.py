"""The record of changes, also on a disk that is full for a while."""

import json
import resource as limits
from pathlib import Path

from bartizan.telemetry.changes import Changes


def lines(path: Path) -> list[str]:
    return [json.loads(line)["revision"] for line in path.read_text().splitlines()]


def test_what_a_full_disk_doesnt_take_is_written_whole_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    changes = Changes(path)
    changes.note({"revision": "one"})
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))  # the beginning of a line would fit
    try:
        changes.note({"revision": "two"})
        assert lines(path) == ["one"]
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)
    changes.note({"revision": "three"})
    assert lines(path) == ["one", "two", "three"]
