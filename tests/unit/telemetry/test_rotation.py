"""Files of records are closed at a size, and the oldest deleted beyond what is kept."""

from pathlib import Path

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
