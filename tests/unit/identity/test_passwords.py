"""Passwords: which are let in, and how they are kept."""

import pytest

from bartizan.errors import Invalid
from bartizan.identity.passwords import LONGEST, SHORTEST, check_password, fits, hashed


@pytest.mark.parametrize("text", ["correct horse", "x1y2z3x1y2z3", "ÄÖÜäöüßéèêëç", "密码密码密码abcdefgh", "abcdef" * 42 + "abcd"])
def test_what_can_be_a_password(text: str) -> None:
    assert SHORTEST <= len(text) <= LONGEST
    check_password("ann", text)


@pytest.mark.parametrize("text", ["", "elevenchars", "abcdeabcdeab", "my name is aNN!", "ab" * 128, "abcdefg" * 37])
def test_what_cant(text: str) -> None:
    with pytest.raises(Invalid) as found:
        check_password("Ann", text)
    assert found.value.code == "password-unfit" and (text not in found.value.message or not text)


def test_one_fits_itself_alone() -> None:
    kept = hashed("correct horse battery")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$") and hashed("correct horse battery") != kept
    assert fits("correct horse battery", kept)
    for other in ("", "correct horse batterY", "correct horse battery ", "correct horse battery\0", "correct horse batter"):
        assert not fits(other, kept)


def test_nobodys_password_fits_nothing() -> None:
    for text in ("", "correct horse battery", "\0", "\ud800"):
        assert not fits(text, "")


def test_what_is_too_long_doesnt_fit_by_its_beginning() -> None:
    longest = "abcdef" * 42 + "abcd"
    kept = hashed(longest)
    assert fits(longest, kept) and not fits(longest + "x", kept) and not fits(longest + "x" * 1_000_000, kept)


def test_any_text_can_be_shown() -> None:
    kept = hashed("half a pair \ud800 of letters")
    assert fits("half a pair \ud800 of letters", kept) and not fits("half a pair ? of letters", kept)
