"""Lists of texts, read by patterns: nothing inside an element can be taken for another element."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bartizan.envoy import to_dict
from bartizan.policies.resource_policy import lists
from bartizan.policies.resource_policy.glob import read

TEXTS = st.text(alphabet='ab",[]\\ é漢😀/<\n', max_size=4)
FORMS = st.sampled_from([(",", ":"), (", ", ": "), (" , ", ":")])


def _judged(rule: Any, text: bytes | None) -> bool:
    one = rule if isinstance(rule, dict) else to_dict(rule)
    for kind, combine in (("and", all), ("or", any)):
        if f"{kind}_matcher" in one:
            return combine(_judged(each, text) for each in one[f"{kind}_matcher"]["predicate"])
    if "not_matcher" in one:
        return not _judged(one["not_matcher"], text)
    value = one["single_predicate"]["custom_match"]["typed_config"]["value"]
    if text is None or "present_match" in value:
        return text is not None
    pattern = value["string_match"]["safe_regex"]["regex"].replace(r"\C", "(?:.|\\n)")
    flags = re.DOTALL if pattern.startswith("(?s)") else 0
    return re.fullmatch(pattern.removeprefix("(?s)").encode(), text, flags) is not None


def _text(values: list[Any], form: tuple[str, str], ascii_only: bool) -> bytes:
    return json.dumps(values, separators=form, ensure_ascii=ascii_only).encode()


@given(st.lists(TEXTS, max_size=4), TEXTS, FORMS, st.booleans())
@example(["a", 'x","a'], "a", (",", ":"), False)
@example(['","a","'], "a", (",", ":"), False)
@example(["a\\"], "a", (",", ":"), False)
def test_elements_are_compared_whole(values: list[str], wanted: str, form: tuple[str, str], ascii_only: bool) -> None:
    text = _text(values, form, ascii_only)
    glob = [tuple(wanted)]
    assert _judged(lists.readable("x"), text)
    assert _judged(lists.is_there("x"), text) == bool(values)
    assert _judged(lists.holds("x", glob), text) == (wanted in values)
    assert _judged(lists.holds_only("x", glob), text) == all(value == wanted for value in values)


@example(["<é"], "?*??", (",", ":"), True)
@example(["é"], "*9", (",", ":"), True)
@given(st.lists(TEXTS, max_size=3), st.text(alphabet="ab*?é", max_size=4), FORMS, st.booleans())
def test_elements_are_compared_with_patterns(values: list[str], pattern: str, form: tuple[str, str], ascii_only: bool) -> None:
    text = _text(values, form, ascii_only)
    whole = re.compile("".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(each, re.escape(each)) for each in pattern))
    matching = [whole.fullmatch(value) is not None for value in values]
    assert _judged(lists.holds("x", [read(pattern)]), text) == any(matching)
    assert _judged(lists.holds_only("x", [read(pattern)]), text) == all(matching)


def test_case_is_folded_in_every_form() -> None:
    for ascii_only in (False, True):
        text = _text(["GOLD", "É"], (",", ":"), ascii_only)
        assert _judged(lists.holds("x", [tuple("gold")], fold=True), text)
        assert _judged(lists.holds_only("x", [tuple("gold"), tuple("é")], fold=True), text)
        assert not _judged(lists.holds("x", [tuple("gold")]), text)


@pytest.mark.parametrize(
    "text",
    [
        "gold",
        '"gold"',
        '["gold"',
        '["gold"]]',
        "[gold]",
        "[7]",
        '["a", 7]',
        '["a", ["b"]]',
        '{"a": "b"}',
        "[null]",
        '["a" "b"]',
        "[,]",
        '["a",]',
        "",
        r'["\u0067old"]',
    ],
)
def test_what_is_no_list_of_texts_cannot_be_read(text: str) -> None:
    assert not _judged(lists.readable("x"), text.encode())


def test_what_is_no_utf_8_cannot_be_read() -> None:
    assert not _judged(lists.readable("x"), b'["\xff"]')
    assert not _judged(lists.readable("x"), b'["\xc3"]')


def test_a_missing_list_is_missing() -> None:
    assert _judged(lists.readable("x"), None)
    for rule in (lists.is_there("x"), lists.holds("x", [()]), lists.holds_only("x", [()])):
        assert not _judged(rule, None)
