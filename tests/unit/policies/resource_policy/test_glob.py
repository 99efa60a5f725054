"""Patterns: read, taken apart, and as regular expressions."""

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bartizan.policies.resource_policy.glob import (
    EVERYTHING,
    HEAVIEST,
    VariableError,
    Wild,
    folded,
    literal,
    matches,
    read,
    regex,
    rests,
    splits,
    weight,
)

TEXTS = st.text("ab/", max_size=8)
GLOBS = st.text("ab/*?", max_size=7)


def _is(pattern: str, text: str) -> bool:
    """As Python's own globs have it, which know the same wildcards."""
    return re.match(translate(pattern), text) is not None


def test_wildcards_are_read_and_may_be_written_as_themselves() -> None:
    assert read("a*?") == ("a", Wild.MANY, Wild.ONE)
    assert read("a${*}${?}${$}") == ("a", "*", "?", "$")
    assert read("a*?", wild=False) == ("a", "*", "?")
    assert read("$default") == tuple("$default")
    assert read("*") == EVERYTHING


@pytest.mark.parametrize("text", ["${aws:username}", "a${", "${}", "${aws:userid, 'x'}", "${**}"])
def test_policy_variables_are_refused(text: str) -> None:
    with pytest.raises(VariableError):
        read(text)


def test_without_variables_even_escapes_are_refused() -> None:
    with pytest.raises(VariableError):
        read("${*}", variables=False)
    assert read("$*", variables=False) == ("$", Wild.MANY)


def test_a_pattern_without_wildcards_is_a_text() -> None:
    assert literal(read("ab${*}")) == "ab*"
    assert literal(read("ab*")) is None
    assert literal(()) == ""


@given(GLOBS, TEXTS)
def test_what_matches(pattern: str, text: str) -> None:
    assert matches(read(pattern), text) == _is(pattern, text)
    assert (re.fullmatch(regex(read(pattern), one="(?s:.)", many="(?s:.*)"), text) is not None) == _is(pattern, text)


@given(GLOBS, TEXTS, TEXTS)
def test_the_rest_of_a_pattern_matches_what_follows(pattern: str, first: str, second: str) -> None:
    assert any(matches(rest, second) for rest in rests(read(pattern), first)) == _is(pattern, first + second)


@given(GLOBS, TEXTS, TEXTS)
def test_the_two_parts_of_a_pattern_match_the_two_parts_of_a_text(pattern: str, first: str, second: str) -> None:
    if _is(pattern, first + second):
        assert any(matches(left, first) and matches(right, second) for left, right in splits(read(pattern)))
    for left, right in splits(read(pattern)):
        if matches(left, first) and matches(right, second):
            assert _is(pattern, first + second)


def test_case_is_folded_where_it_is_asked_for() -> None:
    assert matches(read("execute-api:inv*"), "execute-api:Invoke", fold=True)
    assert not matches(read("execute-api:inv*"), "execute-api:Invoke")
    assert folded("k") == "(?:k|K)"
    assert folded("é") == "(?:é|É)"
    assert folded("ß") == "ß"  # its capital is two letters
    assert folded("7") == "7"


def test_a_character_is_told_by_its_bytes() -> None:
    pattern = re.compile(regex(read("?")).encode())
    for character in ("a", "\n", "é", "漢", "😀"):
        assert pattern.fullmatch(character.encode())
        assert not pattern.fullmatch((character * 2).encode())
    assert not pattern.fullmatch(b"\xff")


def test_heavy_patterns_are_noticed() -> None:
    assert weight(read("a" * HEAVIEST)) == HEAVIEST
    assert weight(read("?" * 200)) > HEAVIEST
    assert weight(read("é*")) == 27
