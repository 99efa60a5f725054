"""A stream of records is read in order over files that are closed; what was deleted unread is counted."""

import json
from pathlib import Path

import pytest

from bartizan.node import trail as module
from bartizan.node.trail import Trail
from bartizan.telemetry.places import REQUESTS
from bartizan.telemetry.rotation import pruned, rotated
from bartizan.telemetry.shipping import MOST_BYTES, At


def append(folder: Path, first: int, last: int, rest: str = "") -> None:
    with (folder / "requests.jsonl").open("a") as file:
        file.write("".join(json.dumps({"n": i}) + "\n" for i in range(first, last)) + rest)


def drained(trail: Trail) -> tuple[list[int], At]:
    found, at = [], At()
    while (piece := trail.next()) is not None:
        found += [json.loads(line)["n"] for line in piece.lines.splitlines()]
        at = piece.at
    return found, at


def begun(folder: Path, at: At | None = None) -> Trail:
    trail = Trail(folder, REQUESTS)
    trail.seek(at or At())
    return trail


def test_it_reads_from_the_oldest_file_on_and_follows(tmp_path: Path) -> None:
    append(tmp_path, 0, 3)
    rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 3, 5, '{"n": 5')
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0, 1, 2, 3, 4]
    append(tmp_path, 0, 0, "}\n")
    assert drained(trail)[0] == [5]
    assert trail.lost() == 0 and trail.behind() == 0


def test_a_file_is_read_to_its_end_before_the_next_one(tmp_path: Path) -> None:
    append(tmp_path, 0, 2)
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0, 1]
    closed = rotated(tmp_path / "requests.jsonl")
    with closed.open("a") as file:  # Envoy writes on until it is told to open the file anew
        file.write('{"n": 2}\n')
    assert drained(trail)[0] == [2]
    append(tmp_path, 3, 4)
    with closed.open("a") as file:
        file.write('{"n": 33}\n{"cut')
    assert drained(trail)[0] == [33, 3]


def test_what_is_written_between_the_last_look_and_the_next_file_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, 0, 1)
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0]
    closed, newer = rotated(tmp_path / "requests.jsonl"), trail._newer
    append(tmp_path, 2, 3)
    late = iter(['{"n": 1}\n'])

    def meanwhile() -> list[Path] | None:
        with closed.open("a") as file:
            file.write(next(late, ""))
        return newer()

    monkeypatch.setattr(trail, "_newer", meanwhile)
    assert drained(trail)[0] == [1, 2]


def test_each_piece_follows_the_one_before_also_over_files(tmp_path: Path) -> None:
    for start in (0, 10, 20):
        append(tmp_path, start, start + 10)
        rotated(tmp_path / "requests.jsonl")
    trail, after = begun(tmp_path), At()
    for _ in range(3):
        piece = trail.next()
        assert piece and piece.after == after
        after = piece.at


def test_it_goes_on_from_a_place_whatever_the_file_is_called_by_now(tmp_path: Path) -> None:
    append(tmp_path, 0, 3)
    first = begun(tmp_path)
    _, at = drained(first)
    append(tmp_path, 3, 5)
    rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 5, 6)
    assert drained(begun(tmp_path, at))[0] == [3, 4, 5]
    assert drained(first)[0] == [3, 4, 5]
    first.seek(at)  # the connection broke before they were acknowledged
    assert drained(first)[0] == [3, 4, 5]
    assert first.lost() == 0


def test_what_rotation_deletes_unread_is_counted_but_the_open_file_is_read_on(tmp_path: Path) -> None:
    current = tmp_path / "requests.jsonl"
    append(tmp_path, 0, 4)
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0, 1, 2, 3]
    append(tmp_path, 4, 6)
    for start in (6, 16, 26):
        rotated(current)
        append(tmp_path, start, start + 10)
        trail.look()
    assert len(pruned(current, 200)) == 2
    trail.look()
    assert drained(trail)[0] == [4, 5, *range(16, 36)]
    assert trail.lost() == 10 and trail.lost() == 0


def test_a_place_that_is_gone_costs_at_least_one(tmp_path: Path) -> None:
    append(tmp_path, 0, 4)
    _, at = drained(begun(tmp_path))
    closed = rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 4, 6)
    closed.unlink()
    trail = begun(tmp_path, at)
    found = trail.next()
    assert found and found.after == at and trail.lost() == 1
    assert drained(begun(tmp_path, at))[0] == [4, 5]


def test_pieces_are_bounded_and_a_line_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    append(tmp_path, 0, 1, '{"n": "' + "x" * (MOST_BYTES + 5))
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0]
    append(tmp_path, 0, 0, '"}\n')
    append(tmp_path, 1, 60_000)
    sizes = []
    found: list[int] = []
    while (piece := trail.next()) is not None:
        sizes.append(len(piece.lines))
        found += [json.loads(line)["n"] for line in piece.lines.splitlines()]
    assert found == list(range(1, 60_000))
    assert max(sizes) <= MOST_BYTES and len(sizes) > 2
    assert trail.lost() == 1


def test_behind_is_what_is_there_unread(tmp_path: Path) -> None:
    assert begun(tmp_path).behind() == 0
    append(tmp_path, 0, 3)
    rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 3, 6)
    trail = begun(tmp_path)
    assert trail.behind() == 6 * len('{"n": 0}\n')
    assert trail.next()
    assert trail.behind() == 3 * len('{"n": 0}\n')


def test_a_rename_in_the_middle_of_a_look_brings_nothing_twice(tmp_path: Path) -> None:
    append(tmp_path, 0, 3)
    rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 3, 5)
    trail = begun(tmp_path)
    assert drained(trail)[0] == [0, 1, 2, 3, 4]
    listed = trail._oldest_first()
    rotated(tmp_path / "requests.jsonl")
    append(tmp_path, 5, 6)
    trail._oldest_first = lambda: listed  # type: ignore[method-assign]
    assert trail.next() is None
    del trail._oldest_first  # type: ignore[attr-defined]
    assert drained(trail)[0] == [5]


def test_records_are_counted_over_the_borders_of_chunks(tmp_path: Path) -> None:
    path = tmp_path / "requests-1.jsonl"
    path.write_bytes(b"x" * module._CHUNK + b"\n" * 3)
    assert module._count(path) == 3
