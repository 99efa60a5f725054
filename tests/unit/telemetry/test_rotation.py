"""Files of records are closed at a size, and the oldest deleted beyond what is kept."""

from pathlib import Path

import pytest

from bartizan.telemetry import rotation
from bartizan.telemetry.rotation import due, pruned, rotated


def test_a_full_file_is_closed_under_a_name_that_sorts_by_time(tmp_path: Path) -> None:
    current = tmp_path / "requests.jsonl"
    assert not due(current, 10)
    current.write_bytes(b"x" * 9)
    assert not due(current, 10)
    current.write_bytes(b"x" * 10)
    assert due(current, 10)
    first = rotated(current)
    assert not current.exists()
    current.write_bytes(b"y")
    second = rotated(current)
    assert sorted([second, first]) == [first, second]


def test_the_oldest_go_first_and_the_current_one_counts(tmp_path: Path) -> None:
    current = tmp_path / "requests.jsonl"
    closed = []
    for i in range(4):
        current.write_bytes(bytes([i]) * 100)
        closed.append(rotated(current))
    current.write_bytes(b"z" * 50)
    assert pruned(current, 260) == closed[:2]
    assert [path.exists() for path in closed] == [False, False, True, True]
    assert pruned(current, 260) == []


def test_a_closed_file_comes_behind_all_others_also_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current, closed = tmp_path / "requests.jsonl", []
    for nanoseconds in (2_000_000_000_999_999_999, 2_000_000_001_000_000_001, 1_000_000_000_000_000_000, 1_000_000_000_000_000_001):
        monkeypatch.setattr(rotation.time, "time_ns", lambda now=nanoseconds: now)
        current.touch()
        closed.append(rotated(current))
    assert sorted(closed) == closed and len(set(closed)) == 4
