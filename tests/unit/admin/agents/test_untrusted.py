"""What callers sent, in its envelope: nothing in it hides, and it ends."""

from typing import Any

import pytest

from bartizan.admin.agents.untrusted import LONGEST, clean, plain, untrusted

HIDING = [
    *("\0", "\x1b[2J", "\x7f", "\x85", "\u061c", "\u200b", "\u200e", "\u2028", "\u202e", "\u2060", "\u2066", "\ufeff"),
    *("\U000e0041", "\ud800", "\u00ad"),
]


@pytest.mark.parametrize("text", HIDING)
def test_what_cant_be_seen_is_written_out(text: str) -> None:
    told = untrusted({text: [f"a{text}b"]})["untrusted"]
    [(name, [value])] = told.items()
    assert text not in name + value and (name + value).isascii() and (name + value).isprintable()


def test_what_can_be_seen_stays() -> None:
    assert plain("Grüße, 世界 🎈") == "Grüße, 世界 🎈"
    assert clean([None, True, 1, 1.5, "x"]) == [None, True, 1, 1.5, "x"]


def test_it_is_bounded() -> None:
    assert plain("a" * LONGEST) == "a" * LONGEST
    assert plain("a" * (LONGEST + 1)) == "a" * LONGEST + f" (cut: {LONGEST + 1} characters)"
    assert clean(list(range(1000)))[-1] == "(left out: 872 more)"
    many = clean({str(number): number for number in range(1000)})
    assert len(many) == 129 and many["(left out)"] == 872
    deep: Any = "x"
    for _ in range(2000):
        deep = [deep]
    assert "too deep" in str(clean(deep))
    assert len(plain("\u202e" * 10_000)) < LONGEST * 6 + 40
