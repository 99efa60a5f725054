"""What is known of tokens is bounded in number and in time."""

import math

import pytest

from bartizan.callout import known
from bartizan.callout.known import Known
from bartizan.callout.verdict import Refused, Told

GOOD = Told(b"", math.inf, "", "")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_it_is_known_for_a_while_and_no_longer_than_it_counts() -> None:
    kept = Known(30.0)
    kept.put(digest(1), GOOD, 100.0)
    kept.put(digest(2), Told(b"", 110.0, "", ""), 100.0)
    kept.put(digest(3), Refused.INACTIVE, 100.0)
    kept.put(digest(4), Refused.UNASKED, 100.0)
    known_at = {at: [kept.get(digest(one), at) is not None for one in (1, 2, 3, 4)] for at in (100.0, 104.9, 109.9, 129.9, 130.0)}
    assert known_at == {
        100.0: [True, True, True, False],
        104.9: [True, True, True, False],
        109.9: [True, True, False, False],
        129.9: [True, False, False, False],
        130.0: [False] * 4,
    }


def test_a_clock_that_is_set_back_keeps_nothing_for_longer() -> None:
    kept = Known(30.0)
    kept.put(digest(1), GOOD, 1000.0)
    assert kept.get(digest(1), 100.0) is None


def test_garbage_pushes_out_garbage_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 3)
    kept = Known(30.0)
    kept.put(digest(0), GOOD, 100.0)
    for number in range(1, 10):
        kept.put(digest(number), Refused.INACTIVE, 100.0)
    assert [number for number in range(10) if kept.get(digest(number), 101.0) is not None] == [0, 7, 8, 9]
    for number in range(10, 12):
        kept.put(digest(number), GOOD, 100.0)
    assert kept.get(digest(0), 101.0) is GOOD
    kept.put(digest(12), GOOD, 100.0)
    assert [kept.get(digest(number), 101.0) is GOOD for number in (0, 10, 11, 12)] == [True, False, True, True], "who comes often stays"


def test_the_newest_answer_counts() -> None:
    kept = Known(30.0)
    kept.put(digest(1), GOOD, 100.0)
    kept.put(digest(1), Refused.INACTIVE, 101.0)
    assert kept.get(digest(1), 102.0) is Refused.INACTIVE
    kept.put(digest(1), GOOD, 103.0)
    assert kept.get(digest(1), 104.0) is GOOD
    assert kept.get(digest(1), 112.0) is GOOD


def test_long_ones_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_BYTES", 100)
    kept = Known(30.0)
    for number in range(5):
        kept.put(digest(number), Told(b"x" * 40, math.inf, "", ""), 100.0)
        kept.put(digest(number), Told(b"x" * 40, math.inf, "", ""), 100.0)
    assert [number for number in range(5) if kept.get(digest(number), 101.0)] == [3, 4]
    assert kept.get(digest(3), 131.0) is None
    kept.put(digest(5), Told(b"x" * 60, math.inf, "", ""), 101.0)
    assert [number for number in range(6) if kept.get(digest(number), 102.0)] == [4, 5], "what has ended takes no room"
