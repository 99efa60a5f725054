"""Attempts to log in: what is remembered of them is small, whatever was shown."""

from typing import Any, cast

import pytest

from bartizan.authorization.here import Here
from bartizan.errors import TooMany, Unauthenticated


def refused() -> None:
    raise Unauthenticated("no", code="no")


def test_a_name_is_remembered_by_its_hash_however_long_it_is() -> None:
    nothing = cast("Any", None)
    here = Here(nothing, nothing, nothing, nothing)
    for number in range(5):
        with pytest.raises(Unauthenticated):
            here.tries(f"192.0.2.{number}", "x" * 200_000 + str(number), refused)
    assert all(len(key) < 100 for key in here.lockout._wrong) and len(here.lockout._wrong) == 10


def test_a_name_is_locked_out_from_everywhere_and_others_arent() -> None:
    nothing = cast("Any", None)
    here = Here(nothing, nothing, nothing, nothing)
    for number in range(10):
        with pytest.raises(Unauthenticated):
            here.tries(f"192.0.2.{number}", "ines", refused)
    with pytest.raises(TooMany):
        here.tries("198.51.100.1", "ines", refused)
    assert here.tries("198.51.100.1", "max", lambda: 1) == 1
