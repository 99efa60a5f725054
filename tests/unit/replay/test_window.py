"""Records are read from their files one by one, and only those of the window."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bartizan.replay import window
from bartizan.replay.window import Records, Window

_START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def write(path: Path, first: int, last: int, rest: str = "") -> None:
    moments = [(_START + timedelta(seconds=i)).isoformat(timespec="milliseconds").replace("+00:00", "Z") for i in range(first, last)]
    lines = [json.dumps({"time": moment, "request_id": str(first + i)}) + "\n" for i, moment in enumerate(moments)]
    path.write_text("".join(lines) + rest)


def ids(records: Records) -> list[int]:
    with records:
        return [int(one["request_id"]) for one in records.read()]


def test_the_oldest_files_come_first(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", 20, 30)
    write(tmp_path / "requests-20261122T080010-1.jsonl", 0, 10)
    write(tmp_path / "requests-20261122T080020-1.jsonl", 10, 20)
    assert ids(Records.folder(tmp_path, Window())) == list(range(30))
    assert ids(Records.folder(tmp_path / "none", Window())) == []


def test_the_window_has_its_first_moment_and_not_its_last(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", 0, 30)
    window = Window(_START + timedelta(seconds=5), (_START + timedelta(seconds=8)).astimezone(timezone(timedelta(hours=2))))
    assert ids(Records.folder(tmp_path, window)) == [5, 6, 7]


def test_a_sample_is_of_that_many_from_all_over(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", 0, 1000)
    found = ids(Records.folder(tmp_path, Window(), sample=100))
    assert len(set(found)) == 100 and found == sorted(found)
    assert min(found) < 100 and max(found) > 900
    assert ids(Records.folder(tmp_path, Window(), sample=5000)) == list(range(1000))


def test_what_is_no_record_is_counted_and_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", 0, 3, '[1]\n{"no": "time"}\n{"time": "2026-11-22T08:00:05.000Z", "requ')
    for sample in (None, 3):
        records = Records.folder(tmp_path, Window(), sample)
        assert (ids(records), records.skipped) == ([0, 1, 2], 3)


def test_a_file_that_is_renamed_meanwhile_is_read_once_and_what_comes_later_is_left(tmp_path: Path) -> None:
    current = tmp_path / "requests.jsonl"
    write(current, 0, 10)
    with Records.folder(tmp_path, Window()) as records:
        read = records.read()
        assert next(read)["request_id"] == "0"
        with current.open("a") as more:
            more.write(json.dumps({"time": "2026-11-22T09:00:00.000Z", "request_id": "99"}) + "\n")
        current.rename(tmp_path / "requests-20261122T080010-1.jsonl")
        write(current, 10, 20)
        assert [int(one["request_id"]) for one in read] == list(range(1, 10))


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", 0, 30_000)
    told: list[tuple[int, int]] = []
    with Records.folder(tmp_path, Window()) as records:
        for _ in records.read(lambda done, whole: told.append((done, whole))):
            pass
    size = (tmp_path / "requests.jsonl").stat().st_size
    assert told[-1] == (size, size) and len(told) > 1 and [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_records_of_all_nodes_are_read_however_many_files_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = tmp_path / "nodes" / "edge"
    edge.mkdir(parents=True)
    write(tmp_path / "requests.jsonl", 10, 20)
    write(tmp_path / "requests-1.jsonl", 0, 10)
    write(edge / "requests.jsonl", 30, 40)
    write(edge / "requests-1.jsonl", 20, 30)
    assert ids(Records.folder(tmp_path, Window())) == list(range(40))
    monkeypatch.setattr(window, "_AT_ONCE", 2)
    records = Records.folder(tmp_path, Window())
    with records:
        assert len(records._open) == 2
        assert [int(one["request_id"]) for one in records.read()] == list(range(40))
    assert len(ids(Records.folder(tmp_path, Window(), sample=10))) == 10
