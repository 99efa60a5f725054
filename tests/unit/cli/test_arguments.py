"""Arguments that commands share."""

import argparse

import pytest

from bartizan.cli.arguments import lasting


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)])
def test_a_while(text: str, seconds: float) -> None:
    assert lasting(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1", "1w", "-1h", "1.5h", "1 h", "١h", "ever"])
def test_what_is_no_while(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        lasting(text)
