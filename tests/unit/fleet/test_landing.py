"""Each batch is on the disk once, whatever ends in between."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bartizan.fleet import landing as module
from bartizan.fleet.landing import Arrival, Landing, OutOfStep, Totals
from bartizan.telemetry.search import files
from bartizan.telemetry.shipping import At


def bounds(rotate: int = 1 << 20, keep: int = 1 << 30) -> Callable[[], tuple[int, int]]:
    return lambda: (rotate, keep)


def arrival(number: int, lines: bytes | None = None, lost: int = 0) -> Arrival:
    """The batch number so and so of a node, with one line."""
    after, at = (At(file="0" * 16, offset=i * 10) if i else At() for i in (number - 1, number))
    return Arrival(after, at, b"record %d\n" % number if lines is None else lines, 1, 0, lost)


def kept(folder: Path) -> list[int]:
    return [int(line.split()[1]) for path in reversed(list(files(folder))) for line in path.read_bytes().splitlines()]


def test_batches_follow_each_other_and_the_place_outlasts_a_restart(tmp_path: Path) -> None:
    first = Landing(tmp_path, "requests", bounds())
    assert first.at == At()
    for number in (1, 2, 3):
        assert first.take(arrival(number, lost=number)).offset == number * 10
    again = Landing(tmp_path, "requests", bounds())
    assert again.at == first.at and again.totals == Totals(3, 0, 6)
    assert kept(tmp_path) == [1, 2, 3]
    assert (tmp_path / "requests.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_batch_that_comes_twice_or_too_early_is_refused(tmp_path: Path) -> None:
    landing = Landing(tmp_path, "requests", bounds())
    landing.take(arrival(1))
    for wrong in (1, 3):
        with pytest.raises(OutOfStep):
            landing.take(arrival(wrong))
    assert kept(tmp_path) == [1]


@pytest.mark.parametrize("rotate", [1 << 20, 18], ids=["same file", "first of a new file"])
def test_what_was_written_and_never_acknowledged_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotate: int) -> None:
    landing = Landing(tmp_path, "requests", bounds(rotate))
    for number in (1, 2):
        landing.take(arrival(number))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(module, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            landing.take(arrival(3, b"record 3\nrecord 33\n"))
    assert 33 in kept(tmp_path)
    again = Landing(tmp_path, "requests", bounds(rotate))
    assert kept(tmp_path) == [1, 2] and again.at.offset == 20
    again.take(arrival(3))
    assert kept(tmp_path) == [1, 2, 3]
    landing = Landing(tmp_path, "requests", bounds(rotate))
    landing.take(arrival(4))
    assert kept(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("rotate", [1 << 20, 18], ids=["same file", "first of a new file"])
def test_a_place_that_cant_be_written_costs_no_record_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotate: int
) -> None:
    landing = Landing(tmp_path, "requests", bounds(rotate))
    for number in (1, 2):
        landing.take(arrival(number))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(module, "_write", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                landing.take(arrival(3, b"record 3\nrecord 33\nrecord 333\n"))
    landing.take(arrival(3))
    landing.take(arrival(4))
    assert kept(tmp_path) == [1, 2, 3, 4]


def test_a_full_disk_costs_no_record_and_doubles_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing = Landing(tmp_path, "requests", bounds())
    landing.take(arrival(1))
    write = os.pwrite

    def half(descriptor: int, data: bytes, at: int) -> int:
        if len(data) <= 5:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2], at)

    with monkeypatch.context() as context:
        context.setattr(module.os, "pwrite", half)
        with pytest.raises(OSError, match="No space"):
            landing.take(arrival(2, b"record 2\nrecord 22\n"))
    landing.take(arrival(2))
    assert kept(tmp_path) == [1, 2]


def test_files_are_closed_and_the_oldest_deleted(tmp_path: Path) -> None:
    landing = Landing(tmp_path, "requests", bounds(100, 300))
    for number in range(1, 201):
        landing.take(arrival(number))
    found = kept(tmp_path)
    assert found == list(range(found[0], 201)) and found[0] > 150
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 420


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_place_cut_by_a_crash_is_the_one_before(tmp_path: Path, damaged: int) -> None:
    landing = Landing(tmp_path, "requests", bounds())
    for number in (1, 2, 3):
        landing.take(arrival(number))
    place = tmp_path / ".requests.position"
    data = bytearray(place.read_bytes())
    data[damaged * 1024 + 40] ^= 1
    place.write_bytes(data)
    again = Landing(tmp_path, "requests", bounds())
    assert again.at.offset == (30 if damaged == 0 else 20)
    assert kept(tmp_path) == ([1, 2, 3] if damaged == 0 else [1, 2])


def test_what_nobody_knows_of_stays(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_bytes(b"record 7\n")
    landing = Landing(tmp_path, "requests", bounds())
    landing.take(arrival(1))
    assert kept(tmp_path) == [7, 1]


def test_a_batch_without_records_moves_on_only(tmp_path: Path) -> None:
    landing = Landing(tmp_path, "requests", bounds())
    landing.take(arrival(1, b""))
    assert landing.at.offset == 10 and not kept(tmp_path)
    landing.take(arrival(2))
    assert kept(tmp_path) == [2]
