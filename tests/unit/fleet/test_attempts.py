"""Wrong tokens are few."""

import pytest

from bartizan.errors import TooMany
from bartizan.fleet.attempts import Attempts


def test_few_from_one_address_and_others_go_on() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(5):
        attempts.check("a")
        attempts.wrong("a")
    with pytest.raises(TooMany):
        attempts.check("a")
    attempts.check("b")
    now[0] = 61
    attempts.check("a")


def test_few_in_all() -> None:
    attempts = Attempts(lambda: 0.0)
    for i in range(60):
        attempts.wrong(f"a{i}")
    with pytest.raises(TooMany):
        attempts.check("somebody else")
