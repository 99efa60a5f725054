"""Numbers that only grow, whatever the clock and the disk do."""

from pathlib import Path

import pytest

from bartizan.errors import Unavailable
from bartizan.rollout.sequence import Sequence

DAY = 86_400.0
NOW = 1_800_000_000.0


def test_they_begin_at_the_clock_and_count(tmp_path: Path) -> None:
    numbers = Sequence(tmp_path / "sequence", lambda: NOW)
    first = numbers.next()
    assert first == NOW * 1000 + 1
    assert numbers.next() == first + 1
    assert numbers.next(above=first + 20_000) == first + 20_001
    assert numbers.next() == first + 20_002


def test_a_restart_with_a_clock_that_went_back_gives_none_that_was_given(tmp_path: Path) -> None:
    given: set[int] = set()
    for back, count in ((0, 3), (1, 25_000), (400, 1), (2, 6_000), (800, 5)):
        numbers = Sequence(tmp_path / "state" / "sequence", lambda back=back: NOW - back * DAY)
        some = [numbers.next() for _ in range(count)]
        assert not given or min(some) > max(given)
        given |= set(some)


def test_many_restarts_dont_lead_far_ahead_of_the_clock(tmp_path: Path) -> None:
    for _ in range(100):
        last = Sequence(tmp_path / "sequence", lambda: NOW).next()
    assert last < (NOW + DAY) * 1000


def test_a_disk_that_fails_stops_nothing_until_what_was_set_aside_is_used_up(tmp_path: Path) -> None:
    numbers = Sequence(tmp_path / "state" / "sequence", lambda: NOW)
    first = numbers.next()
    (tmp_path / "state" / "sequence").unlink()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("in the way")
    given = [numbers.next() for _ in range(9_999)]
    assert given[-1] == first + 9_999
    with pytest.raises(Unavailable):
        for _ in range(10):
            numbers.next()


@pytest.mark.parametrize("text", ["", "x", "1.5"])
def test_a_damaged_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "sequence").write_text(text)
    with pytest.raises(Unavailable):
        Sequence(tmp_path / "sequence")
