"""So many in a minute, of one and of all."""

import pytest

from bartizan.admin.agents.bounds import Rate
from bartizan.errors import TooMany


def test_of_one_and_of_all() -> None:
    now = [0.0]
    rate = Rate(3, 5, "Looks", lambda: now[0])
    for _ in range(3):
        rate.take("ann")
    with pytest.raises(TooMany, match="60 s"):
        rate.take("ann")
    rate.take("bob")
    now[0] = 30.0
    rate.take("bob")
    with pytest.raises(TooMany, match="30 s"):
        rate.take("eve")
    now[0] = 60.0
    for _ in range(3):
        rate.take("ann")
    with pytest.raises(TooMany):
        rate.take("ann")


def test_names_are_forgotten() -> None:
    now = [0.0]
    rate = Rate(1, 10_000, "Looks", lambda: now[0])
    for number in range(2000):
        now[0] += 1
        rate.take(str(number))
    assert len(rate._times) < 1100
