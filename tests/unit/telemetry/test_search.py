"""A record is found by its id, in the newest file first, whatever else stands in the files."""

import json
from pathlib import Path

import pytest

from bartizan.telemetry import search
from bartizan.telemetry.search import files, record


def write(path: Path, *records: dict[str, object] | str) -> None:
    lines = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in records]
    path.write_text("".join(f"{line}\n" for line in lines))


def test_the_newest_file_comes_first(tmp_path: Path) -> None:
    names = ["requests-20261101T000000-000000001.jsonl", "requests-20261102T000000-000000001.jsonl", "requests.jsonl"]
    for name in (*names, "failures.jsonl", "failures-20261103T000000-1.jsonl"):
        (tmp_path / name).touch()
    assert [path.name for path in files(tmp_path)] == names[::-1]


def test_a_record_is_found_in_any_file(tmp_path: Path) -> None:
    write(tmp_path / "requests-20261101T000000-000000001.jsonl", {"request_id": "a", "n": 1}, {"request_id": "b", "n": 2})
    write(tmp_path / "requests.jsonl", {"request_id": "c", "n": 3})
    assert [record(tmp_path, ident) for ident in "abc"] == [{"request_id": ident, "n": n} for n, ident in enumerate("abc", 1)]
    assert record(tmp_path, "d") is None
    assert record(tmp_path / "nowhere", "a") is None


def test_only_the_id_counts_not_what_a_caller_wrote_elsewhere(tmp_path: Path) -> None:
    write(
        tmp_path / "requests.jsonl",
        {"request_id": "x", "user_agent": "a"},
        {"request_id": "y", "path": '"a"', "user_agent": 'request_id":"a"'},
        {"request_id": "a", "n": 1},
    )
    assert record(tmp_path, "a") == {"request_id": "a", "n": 1}


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "requests.jsonl", '{"request_id":"a","n":', '["a"]', '"a"', {"request_id": "a", "n": 1})
    assert record(tmp_path, "a") == {"request_id": "a", "n": 1}


def test_a_line_that_is_not_whole_yet_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text('{"request_id":"a"}')
    assert record(tmp_path, "a") is None


def test_a_file_that_is_gone_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "requests-20261101T000000-000000001.jsonl").symlink_to(tmp_path / "gone")
    write(tmp_path / "requests-20261001T000000-000000001.jsonl", {"request_id": "a"})
    assert record(tmp_path, "a") == {"request_id": "a"}


def test_lines_over_the_borders_of_chunks_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_CHUNK", 64)
    write(tmp_path / "requests.jsonl", *({"request_id": f"id-{i}", "pad": "x" * (i * 7 % 150)} for i in range(60)))
    assert all(record(tmp_path, f"id-{i}") for i in range(60))


def test_a_record_of_any_node_is_found(tmp_path: Path) -> None:
    (tmp_path / "nodes" / "edge").mkdir(parents=True)
    write(tmp_path / "requests.jsonl", {"request_id": "a"})
    write(tmp_path / "nodes" / "edge" / "requests-1.jsonl", {"node": "edge", "request_id": "b"})
    assert record(tmp_path, "a") == {"request_id": "a"} and record(tmp_path, "b") == {"node": "edge", "request_id": "b"}
