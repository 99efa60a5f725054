"""A clock that is set is noticed, by how much and which way."""

import pytest

from bartizan.lib.clock import Jumps


@pytest.mark.parametrize("by", [86_400.0, -86_400.0, 60.0])
def test_a_clock_that_is_set_is_noticed_once(by: float) -> None:
    now, running = 1_000_000.0, 5.0
    jumps = Jumps(lambda: now, lambda: running)
    now, running = now + 0.5, running + 0.5
    assert jumps.look() == 0.0
    now, running = now + 0.5 + by, running + 0.5
    assert jumps.look() == pytest.approx(by)
    now, running = now + 0.5, running + 0.5
    assert jumps.look() == 0.0


def test_a_clock_that_is_put_right_little_by_little_isnt() -> None:
    now, running = 1_000_000.0, 5.0
    jumps = Jumps(lambda: now, lambda: running)
    for _ in range(100):
        now, running = now + 1.5, running + 0.5
        assert jumps.look() == 0.0
